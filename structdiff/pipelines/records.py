"""Texts to extract from: JSONL, CSV, TSV, Parquet and folders of text files, read one record at a time."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from structdiff.pipelines.places import InputError, check_columns, ending, exists, is_remote, open_read

__all__ = ["InputError", "Record", "Table", "read_records"]
KNOWN = (".jsonl", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class Record:
    """One text with its id, or the reason why it could not be read (its id is None where that could not be read).

    ``columns`` is all that the input says beside the id, as JSON data.
    """

    id: str | int | None
    text: str = ""
    error: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)

    def digest(self) -> bytes:
        """8 bytes that are the same for equal records, in every process."""
        told = json.dumps([self.id, self.text, self.error, self.columns], ensure_ascii=True, sort_keys=True)
        return hashlib.sha256(told.encode()).digest()[:8]


@dataclass(frozen=True)
class Table:
    """What is read, and how: a file or folder, the fields of text and id, and the encoding of its characters."""

    name: str
    text_field: str = "text"
    id_field: str | None = None
    encoding: str = "utf-8"

    def __iter__(self) -> Iterator[Record]:
        return read_records(self.name, self.text_field, self.id_field, self.encoding)


def read_records(
    path: Path | str, text_field: str = "text", id_field: str | None = None, encoding: str = "utf-8"
) -> Iterator[Record]:
    """The records of a ``.jsonl``, ``.csv``, ``.tsv`` or ``.parquet`` file, or of a folder's ``.txt`` files by name.

    Endings may be in upper case and, Parquet aside, be followed by ``.gz``; a path such as ``s3://...`` is read
    through fsspec. The id is the value of ``id_field``, else the number of the line (JSONL) or row, else the file's
    name. A record that cannot be read has an ``error``; blank lines of JSONL hold no record. Raises `InputError` where
    no record can be read at all: another kind of file, no such column, nothing in it.
    """
    name = str(path)
    _check(name, encoding)
    if not is_remote(name) and Path(name).is_dir():
        records = _folder(Path(name), encoding)
    elif ending(name)[0] == ".jsonl":
        records = _jsonl(name, text_field, id_field, encoding)
    elif ending(name)[0] == ".parquet":
        records = _parquet(name, text_field, id_field)
    else:
        records = _csv(name, text_field, id_field, encoding)
    empty = True
    for record in _unique(records):
        empty = False
        yield record
    if empty:
        raise InputError(f"{name} holds no texts")


def _check(name: str, encoding: str) -> None:
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise InputError(f"there is no encoding {encoding!r}; try utf-8, utf-16, cp1252 or latin-1") from None
    if not exists(name):
        raise InputError(f"{name} does not exist")
    if not is_remote(name) and Path(name).is_dir():
        return
    suffix, packed = ending(name)
    if suffix not in KNOWN or (suffix == ".parquet" and packed):
        raise InputError(f"{name} is not a .jsonl, .csv, .tsv or .parquet file nor a folder of .txt files")


def _unique(records: Iterable[Record]) -> Iterator[Record]:
    seen: set[str | int | None] = set()
    for number, record in enumerate(records, 1):
        if record.id is not None and record.id in seen:
            reason = f"record {number}: the id {record.id!r} was already used by an earlier record"
            yield Record(record.id, error=reason, columns=record.columns)
        else:
            seen.add(record.id)
            yield record


def _folder(path: Path, encoding: str) -> Iterator[Record]:
    for file in sorted(one for one in path.iterdir() if one.suffix.lower() == ".txt"):
        try:
            text = file.read_text(encoding=encoding)
            yield Record(file.name, text, columns={"text": text})
        except UnicodeError as error:
            yield Record(file.name, error=f"{file.name} is not {encoding.upper()} text: {_place(error)}")
        except OSError as error:
            yield Record(file.name, error=f"{file.name} cannot be read: {error.strerror}")


def _place(error: UnicodeError) -> str:
    return f"{error.reason} at byte {error.start}" if isinstance(error, UnicodeDecodeError) else str(error)


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def _jsonl(name: str, text_field: str, id_field: str | None, encoding: str) -> Iterator[Record]:
    with open_read(name) as file:
        lines: Iterable[bytes] = file if _is_utf8(encoding) else _encoded(file, name, encoding)
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _json_record(number, line, text_field, id_field)


def _encoded(file: Any, name: str, encoding: str) -> Iterator[bytes]:
    """The lines of a file in another encoding, as UTF-8."""
    try:
        for line in io.TextIOWrapper(file, encoding=encoding, newline="\n"):
            yield line.encode()
    except UnicodeError as error:
        raise InputError(f"{name} is not {encoding.upper()} text: {_place(error)}") from None


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
    return _record(f"line {number}", number, value, text_field, id_field)


def _csv(name: str, text_field: str, id_field: str | None, encoding: str) -> Iterator[Record]:
    csv.field_size_limit(sys.maxsize)
    utf8 = _is_utf8(encoding)
    with open_read(name) as file:
        characters = io.TextIOWrapper(
            file, encoding="utf-8-sig" if utf8 else encoding, errors="surrogateescape" if utf8 else "strict", newline=""
        )
        rows = csv.DictReader(characters, dialect="excel-tab" if ending(name)[0] == ".tsv" else "excel")
        try:
            header = list(rows.fieldnames or [])
            if header:
                check_columns(name, header, [text_field, *([id_field] if id_field else [])])
            for number, row in enumerate(rows, 1):
                surplus = cast("dict[str | None, Any]", row).pop(None, None)
                if surplus is not None:
                    key = row.get(id_field) if id_field else number
                    yield Record(key, error=f"row {number} has {len(surplus)} cells more than the header")
                    continue
                yield _record(f"row {number}", number, row, text_field, id_field)
        except csv.Error as error:
            raise InputError(f"{name}, line {rows.line_num}: {error}") from error
        except UnicodeError as error:
            raise InputError(f"{name} is not {encoding.upper()} text: {_place(error)}") from None


def _parquet(name: str, text_field: str, id_field: str | None) -> Iterator[Record]:
    from structdiff.pipelines.parquet import read_rows

    wanted = [text_field] if id_field is None else [id_field, text_field]
    for number, row in enumerate(read_rows(name, wanted), 1):
        yield _record(f"row {number}", number, row, text_field, id_field)


def _record(where: str, number: int, row: dict[str, Any], text_field: str, id_field: str | None) -> Record:
    key, text = number if id_field is None else row.get(id_field), row.get(text_field)
    columns = {name: value for name, value in row.items() if name != id_field}
    if isinstance(key, bool) or not isinstance(key, str | int):
        return Record(None, error=f"{where} has no text or integer in the field {id_field!r} for its id")
    try:
        json.dumps([key, columns], ensure_ascii=False).encode()
    except UnicodeEncodeError:
        clean = key if str(key).isascii() else None
        return Record(clean, error=f"{where} is not UTF-8 text")
    if not isinstance(text, str):
        return Record(key, error=f"{where} has no text in the field {text_field!r}", columns=columns)
    return Record(key, text, columns=columns)
