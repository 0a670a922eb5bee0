"""Every error of every command as one line and one exit code."""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import sys
import traceback
from collections.abc import Iterable, Iterator

import click

GENERATION_FAILED, USAGE, BAD_SCHEMA, SMALL_BUDGET, SOME_ERRORS, MACHINE = 1, 2, 3, 4, 5, 6
INTERNAL, INTERRUPTED, BROKEN_PIPE = 70, 130, 141

TABLE = """\b
Exit codes: 0 done; 1 generation failed; 2 usage: a wrong option, a file that
cannot be read; 3 schema invalid or not enforceable; 4 budget too small; 5 some
rows of extract are errors; 6 the machine: disk full, port busy, no memory;
70 a fault of structdiff itself; 130 interrupted; 141 the reader of a pipe left."""

_BY_NAME = {
    "BudgetTooSmall": SMALL_BUDGET,
    "InvalidSchema": BAD_SCHEMA,
    "UnsupportedSchema": BAD_SCHEMA,
    "CompileLimit": BAD_SCHEMA,
    "Restricted": BAD_SCHEMA,
    "BadSetting": USAGE,
    "InputError": USAGE,
    "MissingLibrary": USAGE,
    "ModelNotFound": USAGE,
    "BaseWeightsError": USAGE,
    "UnknownDevice": USAGE,
    "NoTexts": USAGE,
    "OutputError": MACHINE,
    "StructdiffError": GENERATION_FAILED,
}
"""The exit code of a library error, by the name of its class or the next one above it."""
_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EADDRINUSE, errno.EMFILE, errno.ENOMEM}


class Failure(click.ClickException):
    """An error a user can meet: one line on standard error, and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(" ".join(message.split()))
        setattr(self, "exit_code", exit_code)  # noqa: B010 - click declares it per class

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure that reports any error.

        >>> from structdiff.core.errors import BudgetTooSmall
        >>> Failure.of(BudgetTooSmall(needed=12, given=8)).exit_code
        4
        >>> Failure.of(FileNotFoundError(2, "No such file or directory", "a.txt")).message
        'a.txt: No such file or directory'
        """
        if isinstance(error, Failure):
            return error
        if isinstance(error, click.UsageError):
            command = error.ctx.command_path if error.ctx is not None else "structdiff"
            return cls(f"{error.format_message()} (see {command} --help)", USAGE)
        if isinstance(error, click.ClickException):
            return cls(error.format_message(), error.exit_code)
        if isinstance(error, KeyboardInterrupt | click.Abort):
            return cls("interrupted", INTERRUPTED)
        for base in type(error).__mro__:
            if base.__name__ in _BY_NAME and base.__module__.startswith("structdiff"):
                return cls(str(error), _BY_NAME[base.__name__])
        return cls._of_machine(error)

    @classmethod
    def _of_machine(cls, error: BaseException) -> Failure:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return cls(f"not enough memory: {error}", MACHINE)
        if isinstance(error, OSError) and error.strerror:
            where = f"{error.filename}: " if error.filename else ""
            return cls(f"{where}{error.strerror}", MACHINE if error.errno in _MACHINE else USAGE)
        shown = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return cls(f"a fault of structdiff itself, please report it (--debug shows where): {shown}", INTERNAL)


class ReaderLeft(click.ClickException):
    """The reader of a pipe has closed it; nobody is told."""


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """Makes `ReaderLeft` of a broken pipe, before click ends the process in its own way."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderLeft("the reader left") from error


def report(error: BaseException, debug: bool) -> int:
    """Say what went wrong in one line; its exit code."""
    if isinstance(error, ReaderLeft | BrokenPipeError):
        silence()
        return BROKEN_PIPE
    if debug:
        traceback.print_exception(error)
    failure = Failure.of(error)
    with contextlib.suppress(OSError):  # nobody can be told
        click.echo(f"Error: {failure.message}", err=True)
    if isinstance(error, OSError) and error.errno in _MACHINE:
        silence()
    return failure.exit_code


def silence() -> None:
    """Let what is left for standard output go nowhere: it cannot be written, and Python would say so at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # there is no such file, as in a test
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]


def near(name: str, known: Iterable[str], before: str = "; did you mean ", after: str = "?") -> str:
    """A hint at the known name that is nearest to a wrong one, or nothing.

    >>> near("generat", ["generate", "extract"])
    "; did you mean 'generate'?"
    """
    found = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"{before}{found[0]!r}{after}" if found else ""
