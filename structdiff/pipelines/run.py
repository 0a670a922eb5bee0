"""A run over a file: which rows are missing, their answers in chunks, and the output in one step at the end."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from structdiff.core.errors import StructdiffError
from structdiff.pipelines.answers import Answer
from structdiff.pipelines.journal import Journal, check_same
from structdiff.pipelines.places import (
    STANDARD,
    InputError,
    OutputError,
    deliver,
    exists,
    is_remote,
    local_beside,
    open_read,
)
from structdiff.pipelines.records import Record
from structdiff.pipelines.targets import Target

Work = Callable[[Iterator[list[Record]]], Iterable[list[Answer]]]
"""Chunks of records in, the rows of each chunk out, in order."""
MANIFEST = ".run.json"
"""Beside the output: what it was made from, which `--resume` compares."""


class TooManyErrors(StructdiffError):
    """A run had more errors than it was allowed."""


class Rows(Protocol):
    """Where the rows of a run go: a `Journal`, or `Printed`."""

    failed: dict[int, str]
    tokens: int
    steps: int

    def has(self, place: int) -> bool:
        """Is there a row of the record at a place?"""

    def append(self, places: Sequence[int], digests: Sequence[bytes], answers: Sequence[Answer]) -> None:
        """Keep a chunk's rows."""

    def errors(self) -> Counter[str]:
        """How many rows are errors, by the class of the error."""


class Printed:
    """Rows on standard output, as JSON lines, as soon as they are there."""

    def __init__(self) -> None:
        self.failed: dict[int, str] = {}
        self.tokens = self.steps = 0

    def has(self, place: int) -> bool:
        return False

    def append(self, places: Sequence[int], digests: Sequence[bytes], answers: Sequence[Answer]) -> None:
        for place, answer in zip(places, answers, strict=True):
            self.tokens, self.steps = self.tokens + answer.tokens, self.steps + answer.steps
            if answer.error is not None:
                self.failed[place] = answer.error
            sys.stdout.write(json.dumps(answer.row, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def errors(self) -> Counter[str]:
        return Counter(self.failed.values())


@dataclass(frozen=True)
class Chosen:
    """The records of an input that a run does, by their positions in it; a record's place is its number among them."""

    records: Iterable[Record]
    positions: Sequence[int]
    columns: tuple[str, ...] = ()
    """The names of the input's columns, in the order in which they come up."""

    @classmethod
    def of(cls, records: Iterable[Record], limit: int | None, sample: int | None, seed: int) -> Chosen:
        """``sample`` records drawn with a seed, then the first ``limit``.

        Raises `InputError` where every single record lacks its text.
        """
        count, errors, names = 0, Counter[str](), dict[str, None]()
        for record in records:
            count += 1
            names |= dict.fromkeys(record.columns)
            if record.error is not None and record.columns and "has no text in the field" in record.error:
                errors[record.error.partition(" in the field ")[2]] += 1
        if count and errors.total() == count:
            field = next(iter(errors))
            raise InputError(f"no record has a text in the field {field}; their fields are {', '.join(names)}")
        positions: Sequence[int] = range(count)
        if sample is not None and sample < count:
            positions = sorted(random.Random(seed).sample(positions, sample))
        return cls(records, positions[:limit], tuple(names))

    def __len__(self) -> int:
        return len(self.positions)

    def at(self, places: Iterable[int]) -> Iterator[Record]:
        """The records at places in ascending order."""
        left = iter(places)
        wanted = next(left, None)
        for position, record in enumerate(self.records):
            if wanted is None:
                return
            if position == self.positions[wanted]:
                yield record
                wanted = next(left, None)

    def digests(self, places: Iterable[int]) -> Iterator[bytes]:
        """The digests of the records at places in ascending order."""
        return (record.digest() for record in self.at(places))


def check_output(name: str, resume: bool) -> None:
    """Raises `InputError` or `OutputError` where a run cannot write there, before any time is spent."""
    if name == STANDARD:
        if resume:
            raise InputError("--resume needs an output file; standard output holds nothing to go on with")
        return
    partial = local_beside(name, ".partial")
    if partial.exists() and not resume:
        raise InputError(f"{partial} holds an unfinished run; continue it with --resume, or delete it")
    if not resume and exists(name):
        raise InputError(f"{name} exists already; go on with --resume, delete it or choose another name")
    if not is_remote(name) and Path(name).is_dir():
        raise InputError(f"{name} is a folder; name a file in it")
    try:
        new = not partial.exists()
        partial.open("ab").close()
        if new:
            partial.unlink()
    except OSError as error:
        raise OutputError(f"{name} cannot be written: {error.strerror}") from error


def open_rows(target: Target, chosen: Chosen, header: Mapping[str, Any]) -> Journal:
    """The journal of a run: a new one, that of a killed run, or the rows of a finished output.

    Raises `InputError` where these belong to another run or to other records.
    """
    partial = local_beside(target.name, ".partial")
    reopened = not partial.exists() and exists(target.name)
    if reopened:
        _reopen(target, chosen, header, partial)
    journal = Journal(partial, header)
    journal.reopened = reopened
    if len(journal.offsets) > len(chosen):
        raise InputError(
            f"{partial} holds {len(journal.offsets)} rows, but these options choose {len(chosen)} texts of the input; "
            "resume with the same input and limit, or delete it"
        )
    there = [place for place in range(len(journal.offsets)) if journal.has(place)]
    for place, digest in zip(there, chosen.digests(there), strict=True):
        if digest != journal.digest(place):
            journal.close()
            raise InputError(
                f"text {place + 1} of the input is not the one that {partial} holds a row of; "
                "resume with the same input, or delete it"
            )
    return journal


def _reopen(target: Target, chosen: Chosen, header: Mapping[str, Any], partial: Path) -> None:
    """Make the journal of a finished output again from what it holds."""
    manifest = read_manifest(target.name)
    check_same(target.name, manifest, header)
    count = manifest["rows"]
    if count > len(chosen):
        raise InputError(
            f"{target.name} has {count} rows, but these options choose {len(chosen)} texts of the input; "
            "choose as many, or another name"
        )
    digests = list(chosen.digests(range(count)))
    if _digest(b"".join(digests)) != manifest["digest"]:
        raise InputError(
            f"the first {count} texts of the input are not those that {target.name} was made from; "
            "resume with the same input, or choose another name"
        )
    made = partial.with_name(f"{partial.name}.made")
    made.unlink(missing_ok=True)
    journal = Journal(made, {**header, "tokens": manifest["tokens"], "steps": manifest["steps"]})
    left, done = target.read(), 0
    while some := [Answer(row, target.error_of(row)) for row in islice(left, 4096)]:
        if done + len(some) > count:
            break
        places = range(done, done + len(some))
        journal.append(places, digests[done : done + len(some)], some)
        done += len(some)
    journal.close()
    if some or done != count:
        made.unlink()
        raise InputError(f"{target.name} no longer has the {count} rows that it was written with; choose another name")
    made.replace(partial)


def read_manifest(name: str) -> dict[str, Any]:
    """What a finished output was made from. Raises `InputError` where that is not known."""
    path = name + MANIFEST
    if not exists(path):
        raise InputError(f"{name} is there, but not {path}, which says what it was made from; choose another name")
    with open_read(path) as file:
        found: dict[str, Any] = json.load(file)
    return found


def _digest(digests: bytes) -> str:
    return hashlib.sha256(digests).hexdigest()


def missing(rows: Rows, count: int, chunk: int, retry: bool) -> tuple[list[list[int]], list[list[int]]]:
    """(chunks of rows that are errors and done again, chunks of which a row is missing), each a list of places.

    The latter are whole chunks, so that every text meets the same neighbours as in an undisturbed run.
    """
    chunks = [list(range(first, min(first + chunk, count))) for first in range(0, count, chunk)]
    new = [places for places in chunks if not all(rows.has(place) for place in places)]
    anew = {place for places in new for place in places}
    again = sorted(place for place in rows.failed if place not in anew) if retry else []
    return [again[first : first + chunk] for first in range(0, len(again), chunk)], new


def run(
    chosen: Chosen,
    rows: Rows,
    work: Work,
    chunk: int,
    *,
    retry: bool = False,
    max_errors: int | None = None,
    progress: Callable[[int, int, int], None] = lambda done, total, errors: None,
) -> None:
    """Do the records whose rows are missing, and with ``retry`` those whose rows are errors.

    ``progress`` is told how many rows of this run are done, of how many, and how many of them are errors. Raises
    `TooManyErrors` where these are more than ``max_errors``.
    """
    groups = missing(rows, len(chosen), chunk, retry)
    pending: deque[tuple[list[int], list[bytes]]] = deque()

    def feed() -> Iterator[list[Record]]:
        for group in groups:
            records = chosen.at(place for places in group for place in places)
            for places in group:
                some = [next(records) for _ in places]
                pending.append((places, [record.digest() for record in some]))
                yield some

    total = sum(len(places) for group in groups for places in group)
    done = errors = 0
    progress(0, total, 0)
    for answers in work(feed()):
        rows.append(*pending.popleft(), answers)
        done, errors = done + len(answers), errors + sum(answer.error is not None for answer in answers)
        progress(done, total, errors)
        if max_errors is not None and errors > max_errors:
            raise TooManyErrors(f"{errors} of {done} rows are errors, more than the {max_errors} allowed")


def finish(journal: Journal, target: Target, header: Mapping[str, Any], inputs: Iterable[str] = ()) -> None:
    """Turn the journal into the output in one atomic step, and say beside it what it was made from.

    ``inputs`` are the columns of the input, as they are called in the rows.
    """
    made = local_beside(target.name, ".made")
    try:
        target.write(journal.rows, made)
        deliver(made, target.name)
        said = {**header, "rows": len(journal.offsets), "digest": _digest(bytes(journal.digests))}
        said |= {"tokens": journal.tokens, "steps": journal.steps, "errors": dict(journal.errors())}
        said["columns of the input"] = list(inputs)
        made.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        deliver(made, target.name + MANIFEST)
    except OSError as error:
        raise OutputError(f"{target.name} cannot be written: {error.strerror}; go on with --resume") from error
    journal.remove()
