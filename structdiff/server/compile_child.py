"""The process that compiles for a service: it loads the vocabulary once and forks a child for every constraint.

A child can be killed at any moment, keeps its memory to a bound, and takes nothing of the service's time. Messages
are pickles behind their length: a `Hello`, then `Job`s and `Kill`s on standard input, `Begun`s and `Done`s on standard
output. A job's result lies in a file that the service names.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import struct
import sys
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, Protocol

from structdiff.constraint.compile import Compiler
from structdiff.core.errors import CompileLimit, StructdiffError
from structdiff.core.limits import Limits
from structdiff.frontends.choice import Choice
from structdiff.tokens.vocabulary import Vocabulary

WARM = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "maxLength": 3, "pattern": "^a"},
        "b": {"type": "array", "items": {"type": "number", "minimum": 2}, "maxItems": 2},
        "c": {"not": {"const": 1}, "type": "integer"},
    },
}
"""Compiled once before the first fork, so that children find the kernels loaded."""


@dataclass(frozen=True)
class Hello:
    """A tokenizer as tokenizer.json, the end tokens and V."""

    tokenizer: str
    end_ids: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class Job:
    """Compile what ``pickled`` holds, (source, options), into the file ``path``, within ``memory`` more bytes."""

    number: int
    pickled: bytes
    path: str
    memory: int
    seconds: float


@dataclass(frozen=True)
class Kill:
    number: int


@dataclass(frozen=True)
class Begun:
    """A job's child has started."""

    number: int


@dataclass(frozen=True)
class Done:
    """A job's child has ended: with a result in its file, or without."""

    number: int
    complete: bool = True


@dataclass(frozen=True)
class Refused:
    """A library error in a form that pickles, whatever its constructor takes."""

    kind: type[StructdiffError]
    message: str
    state: dict[str, Any]

    @classmethod
    def of(cls, error: StructdiffError) -> Refused:
        return cls(type(error), str(error), dict(vars(error)))

    def error(self) -> StructdiffError:
        """The error again.

        >>> str(Refused.of(CompileLimit("/a", "9 states")).error()) == str(CompileLimit("/a", "9 states"))
        True
        """
        error = self.kind.__new__(self.kind)
        Exception.__init__(error, self.message)
        error.__dict__.update(self.state)
        return error


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def send(stream: IO[bytes], message: Any) -> None:
    """Write a message and flush it."""
    data = pickle.dumps(message)
    stream.write(struct.pack("<Q", len(data)) + data)
    stream.flush()


def receive(stream: Readable) -> Any:
    """The next message; None at the end of the stream."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    data = stream.read(struct.unpack("<Q", head)[0])
    return pickle.loads(data)


def compiled(job: Job, vocabulary: Vocabulary) -> Any:
    """What a job is compiled to, by name (`Compiler.remembered`), or why there is nothing."""
    try:
        source, options = pickle.loads(job.pickled)
        compiler = Compiler(vocabulary, memory_bytes=sys.maxsize)
        compiler.compile(source, **options)
        return compiler.remembered
    except StructdiffError as error:
        return Refused.of(error)
    except MemoryError:
        return Refused.of(CompileLimit("", f"{job.memory >> 20} MB of memory"))


def _bound(job: Job) -> None:
    """Keep this process to the job's memory and to twice its time, whatever becomes of the service."""
    import resource

    with open("/proc/self/statm") as file:
        own = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (own + job.memory, own + job.memory))
    cpu = int(2 * job.seconds) + 5
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))


def _child(job: Job, vocabulary: Vocabulary) -> None:
    """Compile in this process and end it."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.closerange(3, 256)  # the pipes of the process that forked: their ends must end with it
        with contextlib.suppress(OSError, ImportError, ValueError):  # a system without these bounds
            _bound(job)
        result = compiled(job, vocabulary)
        with open(job.path, "wb") as file:
            pickle.dump(result, file, protocol=pickle.HIGHEST_PROTOCOL)
        code = 0
    finally:
        os._exit(code)


def _reap(children: dict[int, int], out: BinaryIO) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        number = children.pop(pid, None)
        if number is not None:
            send(out, Done(number, os.waitstatus_to_exitcode(status) == 0))


def _serve(source: _Whole, out: BinaryIO, vocabulary: Vocabulary) -> None:
    children: dict[int, int] = {}
    reading, waking = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(waking, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking)
    while True:
        ready, _, _ = select.select([source.fileno(), reading], [], [])
        if reading in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(reading, 4096)
            _reap(children, out)
        if source.fileno() not in ready:
            continue
        message = receive(source)
        if message is None:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            return
        if isinstance(message, Kill):
            for pid, number in children.items():
                if number == message.number:
                    os.kill(pid, signal.SIGKILL)
        else:
            pid = os.fork()
            if pid == 0:
                _child(message, vocabulary)
            children[pid] = message.number
            send(out, Begun(message.number))


def main() -> None:
    """Load the vocabulary that comes first and serve until standard input ends."""
    from tokenizers import Tokenizer

    source: BinaryIO = os.fdopen(os.dup(0), "rb", buffering=0)
    out: BinaryIO = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints goes to the log
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hello = receive(_Whole(source))
    vocabulary = Vocabulary.of(Tokenizer.from_str(hello.tokenizer), hello.end_ids, hello.size)
    for source_of_all_kernels in (Choice(["a", "b"]), WARM):
        Compiler(vocabulary, memory_bytes=0).compile(source_of_all_kernels, limits=Limits(seconds=3600))
    _serve(_Whole(source), out, vocabulary)


class _Whole:
    """Reads exactly as much as asked for from an unbuffered stream, so that `select` sees all that is left."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def fileno(self) -> int:
        return self._stream.fileno()

    def read(self, size: int) -> bytes:
        parts = []
        while size:
            part = self._stream.read(size)
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
