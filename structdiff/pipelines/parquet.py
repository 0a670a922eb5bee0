"""Parquet in and out: rows of typed columns as JSON data, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from structdiff.pipelines.places import InputError, check_columns, file_system, is_remote
from structdiff.results.arrow_types import JSON, arrow_library
from structdiff.results.arrow_values import INT64, cell, value_of

ROWS = 4096
"""Rows held in memory at a time."""
Rows = Callable[[], Iterator[dict[str, Any]]]
"""Gives the rows from the first, each time it is called."""


def _open(name: str) -> Any:
    arrow = arrow_library()
    import pyarrow.parquet

    try:
        if is_remote(name):
            system, path = file_system(name)
            return pyarrow.parquet.ParquetFile(system.open(path, "rb"))
        return pyarrow.parquet.ParquetFile(name)
    except arrow.ArrowInvalid as error:
        raise InputError(f"{name} is not a Parquet file: {error}") from error
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or error}") from error


def fields_of(name: str) -> dict[str, Any]:
    """The Arrow fields of a Parquet file by column, as `write_rows` writes them again."""
    with _open(name) as file:
        return {field.name: _plain(field) for field in file.schema_arrow}


def _plain(field: Any) -> Any:
    """A field without nanoseconds, which no Python time holds, and with JSON text marked as it is."""
    arrow = arrow_library()
    kind = field.type
    if arrow.types.is_timestamp(kind) and kind.unit == "ns":
        kind = arrow.timestamp("us", tz=kind.tz)
    return arrow.field(field.name, kind, metadata=JSON if field.metadata == JSON else None)


def read_rows(name: str, wanted: Iterable[str] = ()) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file as JSON data: dates and times as ISO text, decimals as text.

    Raises `InputError` where a column of ``wanted`` is not there, or one holds what JSON has no place for.
    """
    arrow = arrow_library()
    with _open(name) as file:
        fields = [_plain(field) for field in file.schema_arrow]
        check_columns(name, [field.name for field in fields], wanted)
        for field in fields:
            if _is_bytes(field.type):
                raise InputError(f"{name}: the column {field.name!r} holds bytes, which JSON has no place for; drop it")
        for batch in file.iter_batches(ROWS):
            try:
                columns = [
                    [value_of(one, field) for one in column.cast(field.type).to_pylist()]
                    for column, field in zip(batch.columns, fields, strict=True)
                ]
            except arrow.ArrowInvalid as error:
                raise InputError(f"{name}: {error}") from error
            for values in zip(*columns, strict=True):
                yield {field.name: value for field, value in zip(fields, values, strict=True)}


def _is_bytes(kind: Any) -> bool:
    types = arrow_library().types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def inferred(rows: Rows, names: Iterable[str]) -> dict[str, Any]:
    """An Arrow field for each column whose values are known only by looking: JSON text where they are of many types."""
    arrow = arrow_library()
    found: dict[str, Any] = dict.fromkeys(names)
    left = rows()
    while some := list(islice(left, ROWS)):
        for name, before in found.items():
            values = [row.get(name) for row in some]
            try:
                here = arrow.schema([(name, arrow.array(values).type)])
                merged = [here] if before is None else [arrow.schema([before]), here]
                found[name] = arrow.unify_schemas(merged, promote_options="permissive").field(0)
            except (arrow.ArrowInvalid, arrow.ArrowTypeError, OverflowError):
                found[name] = arrow.field(name, arrow.string(), metadata=JSON)
    return {name: _filled(name, field) for name, field in found.items()}


def _filled(name: str, field: Any) -> Any:
    """Text for a column without a value, JSON text for objects without members, which Parquet has no place for."""
    arrow = arrow_library()
    if field is None or arrow.types.is_null(field.type):
        return arrow.field(name, arrow.string())
    empty = arrow.types.is_struct(field.type) and field.type.num_fields == 0
    return arrow.field(name, arrow.string(), metadata=JSON) if empty else field


def id_field(rows: Rows, name: str) -> Any:
    """The field of the ids: integers where all are, else text."""
    arrow = arrow_library()
    ids = (row.get(name) for row in rows())
    whole = all(one is None or (isinstance(one, int) and one in INT64) for one in ids)
    return arrow.field(name, arrow.int64() if whole else arrow.string())


def write_rows(rows: Rows, path: Path, fields: list[Any]) -> None:
    """Write rows of JSON data with these fields; an absent value is null. Raises `Misfit` for one without a place."""
    arrow = arrow_library()
    import pyarrow.parquet

    form, left = arrow.schema(fields), rows()
    with pyarrow.parquet.ParquetWriter(path, form) as writer:
        while some := list(islice(left, ROWS)):
            columns = [arrow.array([_cell(row, field) for row in some], field.type) for field in fields]
            writer.write_table(arrow.table(columns, schema=form))


def _cell(row: dict[str, Any], field: Any) -> Any:
    value = row.get(field.name)
    if value is not None and field.metadata != JSON and arrow_library().types.is_string(field.type):
        return str(value)
    return cell(value, field)
