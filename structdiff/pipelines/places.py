"""Where a pipeline reads and writes: local files, gzip, standard input and output, and remote paths through fsspec."""

from __future__ import annotations

import atexit
import gzip
import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from structdiff.core.errors import StructdiffError

STANDARD = "-"
"""Standard input as a source, standard output as a target."""


class InputError(StructdiffError):
    """The input or output of a pipeline cannot be used at all: what is wrong, and where."""


class OutputError(StructdiffError):
    """The machine does not take what is written: a full disk, a folder without permission."""


def is_remote(name: str) -> bool:
    """Is this a path with a protocol, such as ``s3://bucket/texts.jsonl``?

    >>> is_remote("s3://bucket/a.jsonl"), is_remote("a.jsonl"), is_remote("C:/a.jsonl")
    (True, False, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name) is not None


def ending(name: str) -> tuple[str, bool]:
    """(the ending in lower case, is it packed with gzip?); standard input and output are JSON lines.

    >>> ending("Mails.JSONL.gz"), ending("table.TSV"), ending("-")
    (('.jsonl', True), ('.tsv', False), ('.jsonl', False))
    """
    if name == STANDARD:
        return ".jsonl", False
    path = PurePosixPath(name.replace("\\", "/").lower())
    packed = path.suffix == ".gz"
    suffix = path.with_suffix("").suffix if packed else path.suffix
    return (".jsonl" if suffix == ".ndjson" else suffix), packed


def file_system(name: str) -> tuple[Any, str]:
    """(the fsspec file system, the path in it) of a remote path. Raises `InputError` where a library is missing."""
    try:
        import fsspec
    except ImportError:
        raise InputError(f"{name} is a remote path, which needs fsspec: pip install 'structdiff[remote]'") from None
    try:
        return cast("tuple[Any, str]", fsspec.core.url_to_fs(name))
    except ImportError as error:
        raise InputError(f"{name}: {error}") from None
    except ValueError as error:
        raise InputError(f"{name} cannot be reached: {error}") from None


def exists(name: str) -> bool:
    """Is there a file or a folder of this name?"""
    if is_remote(name):
        system, path = file_system(name)
        return bool(system.exists(path))
    return Path(name).exists()


def open_read(name: str) -> IO[bytes]:
    """A file as bytes, unpacked where it is packed. Raises `InputError` where it cannot be read."""
    try:
        if is_remote(name):
            system, path = file_system(name)
            file: Any = system.open(path, "rb")
        else:
            file = open(name, "rb")  # noqa: SIM115 - whoever reads it closes it
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or error}") from None
    return cast("IO[bytes]", gzip.open(file)) if ending(name)[1] else cast("IO[bytes]", file)


def open_write(path: Path, packed: bool) -> IO[bytes]:
    """A local file to be written, packed with gzip if wanted; equal contents give equal bytes."""
    if not packed:
        return path.open("wb")
    return cast("IO[bytes]", _Packed(path))


class _Packed(io.BufferedWriter):
    """A gzip file without a name or a time in it, which closes the file below it too."""

    def __init__(self, path: Path) -> None:
        self.below = path.open("wb")
        super().__init__(cast(Any, gzip.GzipFile("", "wb", fileobj=self.below, mtime=0)))

    def close(self) -> None:
        super().close()
        self.below.close()


def deliver(made: Path, name: str) -> None:
    """Put a finished local file where it belongs, in one step. Raises `OutputError` where that fails."""
    try:
        if is_remote(name):
            system, path = file_system(name)
            system.put_file(str(made), path)
            made.unlink()
            return
        with made.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(made, name)
    except OSError as error:
        raise OutputError(f"{name} cannot be written: {error.strerror or error}") from error


def local_beside(name: str, suffix: str) -> Path:
    """The local path of a file that belongs to an output: beside it, or in the current folder for a remote output.

    >>> str(local_beside("out/a.jsonl", ".partial")), str(local_beside("s3://bucket/x/a.jsonl", ".partial"))
    ('out/a.jsonl.partial', 'a.jsonl.partial')
    """
    return Path((name.rpartition("/")[2] if is_remote(name) else name) + suffix)


def spooled() -> str:
    """A temporary file with all of standard input in it; it goes when the process ends."""
    if sys.stdin is None:
        raise InputError("standard input is closed; name a file")
    handle, name = tempfile.mkstemp(suffix=".jsonl")
    atexit.register(lambda: Path(name).unlink(missing_ok=True))
    with os.fdopen(handle, "wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return name


def check_columns(name: str, header: list[str], wanted: Iterable[str]) -> None:
    """Raises `InputError` for the first of ``wanted`` that is not in a table's header."""
    for one in wanted:
        if one not in header:
            raise InputError(f"{name} has no column {one!r}; its columns are {', '.join(header)}")
