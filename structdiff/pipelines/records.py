"""Texts to extract from: JSONL, CSV and folders of text files, read one record at a time."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from structdiff.core.errors import StructdiffError


class InputError(StructdiffError):
    """The input or output of a pipeline cannot be used at all: what is wrong, and where."""


@dataclass(frozen=True)
class Record:
    """One text with its id, or the reason why it could not be read (its id is None where that could not be read)."""

    id: str | int | None
    text: str = ""
    error: str | None = None


def read_records(path: Path, text_field: str = "text", id_field: str | None = None) -> Iterator[Record]:
    """The records of a ``.jsonl``, ``.csv`` or ``.parquet`` file, or of a folder's ``.txt`` files in order of name.

    The id is the value of ``id_field``, else the number of the line (JSONL) or row, else the file's name. A record
    that cannot be read has an ``error``; blank lines of JSONL hold no record. Raises `InputError` where no record can
    be read at all: another kind of file, no such column, nothing in it.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if path.is_dir():
        records = _folder(path)
    elif path.suffix == ".jsonl":
        records = _jsonl(path, text_field, id_field)
    elif path.suffix == ".csv":
        records = _csv(path, text_field, id_field)
    elif path.suffix == ".parquet":
        records = _parquet(path, text_field, id_field)
    else:
        raise InputError(f"{path} is not a .jsonl, .csv or .parquet file nor a folder of .txt files")
    empty = True
    for record in _unique(records):
        empty = False
        yield record
    if empty:
        raise InputError(f"{path} holds no texts")


def _unique(records: Iterable[Record]) -> Iterator[Record]:
    seen: set[str | int | None] = set()
    for number, record in enumerate(records, 1):
        if record.id is not None and record.id in seen:
            yield Record(
                record.id, error=f"record {number}: the id {record.id!r} was already used by an earlier record"
            )
        else:
            seen.add(record.id)
            yield record


def _folder(path: Path) -> Iterator[Record]:
    for file in sorted(path.glob("*.txt")):
        try:
            yield Record(file.name, file.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            yield Record(file.name, error=f"{file.name} is not UTF-8 text: {error.reason} at byte {error.start}")
        except OSError as error:
            yield Record(file.name, error=f"{file.name} cannot be read: {error.strerror}")


def _jsonl(path: Path, text_field: str, id_field: str | None) -> Iterator[Record]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _json_record(number, line, text_field, id_field)


def _json_record(number: int, line: bytes, text_field: str, id_field: str | None) -> Record:
    key = number if id_field is None else None
    try:
        value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        return Record(key, error=f"line {number} is not UTF-8 text: {error.reason} at byte {error.start}")
    except (ValueError, RecursionError) as error:
        return Record(key, error=f"line {number} is not JSON: {error}")
    if not isinstance(value, dict):
        return Record(key, error=f"line {number} is not a JSON object")
    return _fields(f"line {number}", number, value, text_field, id_field)


def _csv(path: Path, text_field: str, id_field: str | None) -> Iterator[Record]:
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.DictReader(file)
        try:
            header = rows.fieldnames or []
            for name in (text_field, *([id_field] if id_field else [])):
                if header and name not in header:
                    raise InputError(f"{path} has no column {name!r}; its columns are {', '.join(header)}")
            for number, row in enumerate(rows, 1):
                yield _fields(f"row {number}", number, row, text_field, id_field)
        except csv.Error as error:
            raise InputError(f"{path}, line {rows.line_num}: {error}") from error


def _parquet(path: Path, text_field: str, id_field: str | None) -> Iterator[Record]:
    from structdiff.pipelines.parquet import read_columns

    for number, row in enumerate(read_columns(path, text_field, id_field), 1):
        yield _fields(f"row {number}", number, row, text_field, id_field)


def _fields(where: str, number: int, row: dict[str, Any], text_field: str, id_field: str | None) -> Record:
    key, text = number if id_field is None else row.get(id_field), row.get(text_field)
    if isinstance(key, bool) or not isinstance(key, str | int):
        return Record(None, error=f"{where} has no text or integer in the field {id_field!r} for its id")
    if not isinstance(text, str):
        return Record(key, error=f"{where} has no text in the field {text_field!r}")
    for value in (key, text):
        try:
            str(value).encode()
        except UnicodeEncodeError as error:
            at = f"{where} is not UTF-8 text: character {error.start} of a field"
            return Record(None if value is key else key, error=at)
    return Record(key, text)
