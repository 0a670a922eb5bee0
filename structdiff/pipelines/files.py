"""A run over a file that can be killed at any moment and resumed to the same output."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import batched, islice
from pathlib import Path
from typing import Any

from structdiff.pipelines.records import InputError, Record

Work = Callable[[Sequence[Record]], list[dict[str, Any]]]


class Journal:
    """Finished rows beside the output, in ``OUT.partial``: a header of what the run is, then a line for each row.

    A chunk's lines are on disk before the next chunk starts. On opening, lines after the last whole chunk (torn by a
    kill) are cut off and done again, so that every text meets the same neighbours as in an undisturbed run.
    """

    def __init__(self, output: Path, header: dict[str, Any], chunk: int, resume: bool) -> None:
        self.output, self.path = output, output.with_name(output.name + ".partial")
        self.ids: list[Any] = []
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
            self._check(json.loads(lines[0]), header)
        else:
            lines = [json.dumps(header).encode()]
        done = (len(lines) - 1) // chunk * chunk
        kept = lines[: done + 1]
        self.ids = [json.loads(line)["id"] for line in kept[1:]]
        self.start = len(kept[0]) + 1
        self.file.seek(0)
        self.file.truncate(sum(len(line) + 1 for line in kept) if self.file.read(1) else 0)
        self.file.seek(0, os.SEEK_END)
        if not self.file.tell():
            self._write(kept)

    def _check(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        changed = [name for name in new if old.get(name) != json.loads(json.dumps(new[name]))]
        if changed:
            self.file.close()
            raise InputError(
                f"{self.path} was begun with another {', '.join(changed)}; resume with the same, or delete it to start over"
            )

    def _write(self, lines: list[bytes]) -> None:
        self.file.write(b"".join(line + b"\n" for line in lines))
        self.file.flush()
        os.fsync(self.file.fileno())

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Put a chunk's rows on disk."""
        self._write([json.dumps(row, ensure_ascii=False).encode() for row in rows])

    def finish(self) -> None:
        """Turn the journal into the output, in one atomic step."""
        made = self.output.with_name(self.output.name + ".made")
        with made.open("wb") as file:
            self.file.seek(self.start)
            while block := self.file.read(1 << 20):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, self.output)
        self.file.close()
        self.path.unlink()


def chosen(read: Callable[[], Iterator[Record]], limit: int | None, sample: int | None, seed: int) -> list[int]:
    """The places of the records to do: all, the first ``limit``, or ``sample`` of them drawn with a seed."""
    count = sum(1 for _ in read())
    places = range(count)
    if sample is not None and sample < count:
        return list(islice(sorted(random.Random(seed).sample(places, sample)), limit))
    return list(places[:limit])


def run(
    read: Callable[[], Iterator[Record]],
    places: Sequence[int],
    work: Work,
    journal: Journal,
    chunk: int,
    progress: Callable[[int, int], None] = lambda rows, errors: None,
) -> None:
    """Do the records at ``places`` in chunks, skipping those in the journal, then make the output.

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
    for some in batched(records, chunk):
        rows = work(some)
        journal.append(rows)
        done, errors = done + len(rows), errors + sum("error" in row and len(row) == 2 for row in rows)
        progress(done, errors)
    journal.finish()
