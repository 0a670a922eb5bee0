"""What rows are written to: JSON lines, CSV, TSV or Parquet, on disk or elsewhere; and read back to go on with."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from structdiff.pipelines.answers import Answer
from structdiff.pipelines.columns import Columns
from structdiff.pipelines.parquet import Rows, id_field, inferred, read_rows, write_rows
from structdiff.pipelines.places import STANDARD, InputError, ending, open_read, open_write
from structdiff.results.arrow_types import arrow_field, arrow_library
from structdiff.results.arrow_values import Misfit, cell
from structdiff.results.columns import answer_columns

KNOWN = (".jsonl", ".csv", ".tsv", ".parquet")


def check_target(name: str) -> None:
    """Raises `InputError` or `MissingLibrary` where no rows can be written under this name."""
    suffix, packed = ending(name)
    if suffix not in KNOWN or (suffix == ".parquet" and packed):
        raise InputError(f"{name} has to end in .jsonl, .csv, .tsv or .parquet, or be - for standard output")
    if suffix == ".parquet":
        arrow_library()


@dataclass
class Target:
    """A file of rows with these columns. ``schema`` is that of the answer, its decimals marked; ``inputs`` are the
    Arrow fields of the input's columns where the input has such, by their name there."""

    name: str
    columns: Columns
    schema: Any = None
    inputs: dict[str, Any] | None = None
    _fields: dict[str, Any] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        check_target(self.name)
        self.kind, self.packed = ending(self.name)
        if self.kind == ".parquet":
            self._fields = self._typed()

    def _typed(self) -> dict[str, Any]:
        """The fields of the answer and of the row's own columns."""
        arrow = arrow_library()
        number, text = arrow.float64(), arrow.string()
        own = {
            "confidence": arrow.map_(text, number),
            "spans": arrow.map_(text, arrow.list_(arrow.int64())),
            "problems": arrow.list_(text),
        }
        if self.columns.answer is None:
            schema = {"type": "string"} if self.schema is None else self.schema
            answer = {"value": arrow_field("value", schema, self.schema)}
        else:  # a property of which the typed schema does not know is JSON text
            listed = answer_columns(self.schema) or {}
            answer = {name: arrow_field(name, listed.get(name, {}), self.schema) for name in self.columns.answer}
        extra = {self.columns.own(name): own[name] for name in self.columns.extra}
        failed = {self.columns.own(name): text for name in ("error", "error_type", "raw")}
        return answer | {name: arrow.field(name, kind) for name, kind in (extra | failed).items()}

    def fit(self, answer: Answer) -> Answer:
        """The answer, or an error in its place where a value has no exact place in its column."""
        if self._fields is None or answer.error is not None:
            return answer
        row = answer.row
        try:
            for name, typed in self._fields.items():
                if row.get(name) is not None:
                    cell(row[name], typed)
        except Misfit as error:
            value = {name: row[name] for name in self.columns.values if name in row}
            kept = {name: part for name, part in row.items() if name not in self._fields}
            told = {"error": f"{error}; write .jsonl instead", "error_type": "Misfit", "raw": json.dumps(value)}
            return replace(
                answer, row=kept | {self.columns.own(name): text for name, text in told.items()}, error="Misfit"
            )
        return answer

    def _kept(self, rows: Rows) -> list[str]:
        """The names of the input's columns in rows, in the order in which they come up."""
        fixed = set(self.columns.names(()))
        return list(dict.fromkeys(name for row in rows() for name in row if name not in fixed))

    def write(self, rows: Rows, path: Path) -> None:
        """Write rows into a local file."""
        if self.kind == ".jsonl":
            with open_write(path, self.packed) as file:
                file.writelines(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows())
        elif self.kind == ".parquet":
            write_rows(rows, path, self._all_fields(rows))
        else:
            self._write_table(rows, path)

    def _all_fields(self, rows: Rows) -> list[Any]:
        assert self._fields is not None
        arrow, kept, known = arrow_library(), self._kept(rows), {}
        for name, typed in (self.inputs or {}).items():
            renamed = self.columns.kept_name(name, self.inputs or {})
            known[renamed] = arrow.field(renamed, typed.type, metadata=typed.metadata)
        found = inferred(rows, [name for name in kept if name not in known]) | known
        fields = {name: found[name] for name in kept} | self._fields
        own = self.columns.own("id")
        fields[own] = id_field(rows, own)
        return [fields[name] for name in self.columns.names(kept)]

    def _write_table(self, rows: Rows, path: Path) -> None:
        names = self.columns.names(self._kept(rows))
        with open_write(path, self.packed) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
            delimiter = "\t" if self.kind == ".tsv" else ","
            writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
            writer.writerow(names)
            writer.writerows([_cell(row.get(name)) for name in names] for row in rows())

    def read(self) -> Iterator[dict[str, Any]]:
        """The rows of the file as they can be written again; those without a value have an error."""
        if self.kind == ".jsonl":
            with open_read(self.name) as file:
                yield from map(json.loads, file)
        elif self.kind == ".parquet":
            for row in read_rows(self.name):
                yield {name: value for name, value in row.items() if value is not None}
        else:
            csv.field_size_limit(sys.maxsize)
            with open_read(self.name) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
                for row in csv.DictReader(text, delimiter="\t" if self.kind == ".tsv" else ","):
                    yield {name: value for name, value in row.items() if value != ""}

    def error_of(self, row: dict[str, Any]) -> str | None:
        """The class of the error of a row without a value."""
        return row.get(self.columns.own("error_type"))

    @property
    def is_standard(self) -> bool:
        """Do the rows go to standard output?"""
        return self.name == STANDARD


def _cell(value: Any) -> Any:
    """A JSON value as a cell of CSV: text as it is, nothing for null, else JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)
