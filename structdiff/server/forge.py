"""The compiling process as the service sees it: jobs go in, futures come out, and a job can be killed."""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from structdiff.core.errors import CompileLimit, StructdiffError
from structdiff.frontends import front_ends
from structdiff.server.compile_child import Begun, Hello, Job, Kill, Refused, receive, send
from structdiff.tokens.vocabulary import Vocabulary

START = "from structdiff.server.compile_child import main; main()"
_BUILT_IN = "structdiff."


@dataclass(frozen=True, eq=False)
class _Job:
    future: Future[Any]
    path: Path
    memory: int
    begun: Callable[[], object]


class Forge:
    """One process for one vocabulary, started at the first job and again when it has died."""

    def __init__(self, tokenizer: Any, vocabulary: Vocabulary) -> None:
        raw = getattr(tokenizer, "backend_tokenizer", tokenizer)
        self._hello = Hello(raw.to_str(), vocabulary.end_ids, vocabulary.size)
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._jobs: dict[int, _Job] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._folder: Path | None = None

    @staticmethod
    def takes(source: Any, options: dict[str, Any]) -> bytes | None:
        """A job's content, or None where another process could not compile it.

        A front end registered in this process alone is unknown there, and not every source can be sent.
        """
        reader = next((one for one in reversed(front_ends().values()) if one.accepts(source)), None)
        if not hasattr(os, "fork") or reader is None or not type(reader).__module__.startswith(_BUILT_IN):
            return None
        try:
            return pickle.dumps((source, options))
        except Exception:  # pickle raises whatever the parts of the source raise
            return None

    def start(self) -> None:
        """Start the process, so that it is ready when the first job comes."""
        with self._lock:
            self._running()

    def submit(
        self, pickled: bytes, memory: int, seconds: float, begun: Callable[[], object] = lambda: None
    ) -> tuple[int, Future[Any]]:
        """(the job's number, the future of its automata by name). The future raises a `StructdiffError`.

        ``begun`` is called, from another thread, when the job's own process starts.
        """
        future: Future[Any] = Future()
        with self._lock:
            folder = self._running()
            number = next(self._numbers)
            path = folder / f"{number}.pickle"
            self._jobs[number] = _Job(future, path, memory, begun)
            self._outbox.put(Job(number, pickled, str(path), memory, seconds))
        return number, future

    def kill(self, number: int) -> None:
        """End a job; its future is cancelled."""
        with self._lock:
            job = self._jobs.pop(number, None)
            self._outbox.put(Kill(number))
        if job is not None:
            job.future.cancel()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            process, self._process = self._process, None
            self._outbox.put(None)
            if process is not None:
                process.terminate()
                process.wait()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _running(self) -> Path:
        """Start the process where it does not run; the folder of results."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="structdiff-compile-"))
        if self._process is None:
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            self._process = process = subprocess.Popen(
                [sys.executable, "-c", START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
            self._outbox = queue.SimpleQueue()
            self._outbox.put(self._hello)
            for work, own in ((self._write, (process, self._outbox)), (self._read, (process,))):
                threading.Thread(target=work, args=own, name="structdiff-forge", daemon=True).start()
        return self._folder

    def _write(self, process: subprocess.Popen[bytes], outbox: queue.SimpleQueue[Any]) -> None:
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it has died: the thread that reads from it says so
            while (message := outbox.get()) is not None:
                send(process.stdin, message)
            process.stdin.close()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        while (done := receive(process.stdout)) is not None:
            if isinstance(done, Begun):
                with self._lock:
                    job = self._jobs.get(done.number)
                if job is not None:
                    job.begun()
            else:
                self._finish(done)
        process.wait()
        with self._lock:
            if self._process is not process:
                return
            self._process = None
            self._outbox.put(None)
            lost, self._jobs = self._jobs, {}
        for job in lost.values():
            job.future.set_exception(StructdiffError("the process that compiles has ended; send the request again"))

    def _finish(self, done: Any) -> None:
        with self._lock:
            job = self._jobs.pop(done.number, None)
        if job is None:  # killed: what it left behind goes
            if self._folder is not None:
                (self._folder / f"{done.number}.pickle").unlink(missing_ok=True)
            return
        try:
            result = pickle.loads(job.path.read_bytes()) if done.complete else None
        except (OSError, EOFError, pickle.UnpicklingError):
            result = None
        job.path.unlink(missing_ok=True)
        if result is None:
            result = Refused.of(CompileLimit("", f"the time or the {job.memory >> 20} MB of memory that it may take"))
        if isinstance(result, Refused):
            job.future.set_exception(result.error())
        else:
            job.future.set_result(result)


_forges: dict[str, Forge] = {}
_users: dict[str, int] = {}
_lock = threading.Lock()


def shared_forge(tokenizer: Any, vocabulary: Vocabulary) -> Forge:
    """The forge of a vocabulary, one for all services of this process; each gives it back with `release`."""
    with _lock:
        name = vocabulary.fingerprint
        if name not in _forges:
            _forges[name] = Forge(tokenizer, vocabulary)
        _users[name] = _users.get(name, 0) + 1
        return _forges[name]


def release(forge: Forge) -> None:
    """Say that a service needs its forge no more; the last one ends it."""
    with _lock:
        name = next((name for name, one in _forges.items() if one is forge), None)
        if name is None:
            return
        _users[name] -= 1
        if _users[name]:
            return
        del _forges[name], _users[name]
    forge.close()
