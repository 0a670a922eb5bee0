"""Parquet in and out: texts from two columns, and rows with the columns of a schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from structdiff.pipelines.records import InputError

ROWS = 4096
"""Rows held in memory at a time."""
INT64 = range(-(2**63), 2**63)


def _library() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InputError("Parquet needs pyarrow: pip install 'structdiff[parquet]'") from error
    return pyarrow


def read_columns(path: Path, text_field: str, id_field: str | None) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file as dicts of the two columns. Raises `InputError` where there is no such column."""
    arrow = _library()
    wanted = [text_field] if id_field is None else [id_field, text_field]
    try:
        with arrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            for name in wanted:
                if name not in names:
                    raise InputError(f"{path} has no column {name!r}; its columns are {', '.join(names)}")
            for batch in file.iter_batches(ROWS, columns=wanted):
                yield from batch.to_pylist()
    except arrow.ArrowInvalid as error:
        raise InputError(f"{path} is not a Parquet file: {error}") from error


def column_types(schema: Any, columns: bool, problems: bool = False) -> dict[str, str]:
    """The Parquet type of each column of a schema, or of the one column ``value``; "json" is JSON written as text.

    A schema of None stands for plain text.

    >>> column_types({"type": "object", "properties": {
    ...     "name": {"type": ["string", "null"]}, "n": {"type": "integer"}, "tags": {"type": "array"}}}, True)
    {'name': 'string', 'n': 'int64', 'tags': 'json'}
    """
    more = {"problems": "json"} if problems else {}
    if columns:
        return {name: _type(part) for name, part in schema["properties"].items()} | more
    return {"value": "string" if schema is None else _type(schema)} | more


def _type(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "json"
    kinds = schema.get("type")
    found = set(kinds if isinstance(kinds, list) else [kinds]) - {"null"}
    if "enum" in schema and all(isinstance(value, str) for value in schema["enum"]):
        return "string"
    names = {"string": "string", "integer": "int64", "number": "float64", "boolean": "bool"}
    return names.get(found.pop(), "json") if len(found) == 1 else "json"


def fit(row: dict[str, Any], types: dict[str, str]) -> dict[str, Any]:
    """The row, or an error in its place where an integer has no room in its column.

    >>> fit({"id": 1, "n": 2**70}, {"n": "int64"})["error"]
    'the integer in n does not fit the 64 bits of a Parquet column; write .jsonl instead'
    """
    for name, kind in types.items():
        if kind == "int64" and row.get(name) is not None and int(row[name]) not in INT64:
            reason = f"the integer in {name} does not fit the 64 bits of a Parquet column; write .jsonl instead"
            return {"id": row["id"], "error": reason}
    return row


def write_rows(lines: Callable[[], Iterator[bytes]], path: Path, types: dict[str, str]) -> None:
    """Write rows, given as JSON lines, with the columns id, those of ``types``, and error; an absent value is null.

    The ids are integers where all are, else text.
    """
    arrow = _library()
    whole = all(
        row["id"] is None or (isinstance(row["id"], int) and row["id"] in INT64) for row in map(json.loads, lines())
    )
    kinds = {"id": "int64" if whole else "string", **types, "error": "string"}
    form = arrow.schema(
        [(name, arrow.type_for_alias("string" if kind == "json" else kind)) for name, kind in kinds.items()]
    )
    rows = map(json.loads, lines())
    with arrow.parquet.ParquetWriter(path, form) as writer:
        while some := list(islice(rows, ROWS)):
            columns = [
                arrow.array([_cell(row, name, kind) for row in some], form.field(name).type)
                for name, kind in kinds.items()
            ]
            writer.write_table(arrow.table(columns, schema=form))


def _cell(row: dict[str, Any], name: str, kind: str) -> Any:
    value = row.get(name)
    if name not in row or (value is None and kind != "json"):
        return None
    if kind == "json":
        return json.dumps(value, ensure_ascii=False)
    return {"string": str, "int64": int, "float64": float, "bool": bool}[kind](value)
