"""A run over a file that can be killed at any moment and resumed to the same output."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from structdiff.pipelines.records import InputError, Record

Work = Callable[[Iterator[list[Record]]], Iterable[list[dict[str, Any]]]]
"""Chunks of records in, the rows of each chunk out, in order."""


class Journal:
    """Finished rows beside the output, in ``OUT.partial``: a header of what the run is, then a line for each row.

    A chunk's lines are on disk before the next chunk starts. On opening, lines after the last whole chunk (torn by a
    kill) are cut off and done again, so that every text meets the same neighbours as in an undisturbed run.
    """

    def __init__(self, output: Path, header: dict[str, Any], chunk: int, resume: bool) -> None:
        self.output, self.path = output, output.with_name(output.name + ".partial")
        if self.path.exists() and not resume:
            raise InputError(f"{self.path} holds an unfinished run; continue it with --resume, or delete it")
        if output.exists() and not resume:
            raise InputError(f"{output} exists already; delete it or choose another name")
        try:
            self.file = self.path.open("r+b" if self.path.exists() else "w+b")
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {error.strerror}") from error
        lines = self.file.read().split(b"\n")[:-1]
        if lines:
            self._check(lines[0], header)
        rows = lines[1 : 1 + max(len(lines) - 1, 0) // chunk * chunk]
        self.ids = [json.loads(row)["id"] for row in rows]
        self.start = len(lines[0]) + 1 if lines else 0
        self.file.seek(self.start + sum(len(row) + 1 for row in rows))
        self.file.truncate()
        if not lines:
            self._write([json.dumps(header).encode()])
            self.start = self.file.tell()

    def _check(self, line: bytes, new: dict[str, Any]) -> None:
        old = json.loads(line)
        changed = [name for name in new if old.get(name) != json.loads(json.dumps(new[name]))]
        if changed:
            self.file.close()
            raise InputError(
                f"{self.path} was begun with another {', '.join(changed)}; resume with the same, or delete it"
            )

    def _write(self, lines: list[bytes]) -> None:
        try:
            self.file.write(b"".join(line + b"\n" for line in lines))
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {error.strerror}; go on with --resume") from error

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Put a chunk's rows on disk."""
        self._write([json.dumps(row, ensure_ascii=False).encode() for row in rows])

    def lines(self) -> Iterator[bytes]:
        """The rows as JSON lines, from the first."""
        self.file.seek(self.start)
        return iter(self.file.readline, b"")

    def finish(self, write: Callable[[Callable[[], Iterator[bytes]], Path], None] | None = None) -> None:
        """Turn the journal into the output in one atomic step; ``write`` puts its lines into a file."""
        made = self.output.with_name(self.output.name + ".made")
        (write or _write_lines)(self.lines, made)
        with made.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(made, self.output)
        self.file.close()
        self.path.unlink()


def _write_lines(lines: Callable[[], Iterator[bytes]], path: Path) -> None:
    with path.open("wb") as file:
        file.writelines(lines())


def chosen(
    read: Callable[[], Iterator[Record]], limit: int | None, sample: int | None, seed: int
) -> tuple[list[int], int]:
    """(the places of the records to do, how many there are): ``sample`` drawn with a seed, then the first ``limit``."""
    count = sum(1 for _ in read())
    places = list(range(count))
    if sample is not None and sample < count:
        places = sorted(random.Random(seed).sample(places, sample))
    return places[:limit], count


def run(
    read: Callable[[], Iterator[Record]],
    places: Sequence[int],
    work: Work,
    journal: Journal,
    chunk: int,
    progress: Callable[[int, int], None] = lambda rows, errors: None,
) -> int:
    """Do the records at ``places`` in chunks, skipping those in the journal; the number of rows in the journal.

    ``progress`` is told how many rows are done and how many of the new ones are errors. Raises `InputError` where the
    input's ids are not those that the journal holds.
    """
    wanted = set(places)
    records = (record for place, record in enumerate(read()) if place in wanted)
    before = list(islice(records, len(journal.ids)))
    if [record.id for record in before] != journal.ids:
        raise InputError(f"the input's ids differ from those in {journal.path}; resume with the same input")
    done, errors = len(before), 0
    progress(done, errors)
    for rows in work(iter(lambda: list(islice(records, chunk)), [])):
        journal.append(rows)
        done, errors = done + len(rows), errors + sum("error" in row and len(row) == 2 for row in rows)
        progress(done, errors)
    return done
