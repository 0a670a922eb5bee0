"""The results of a batch as a table: Arrow, pandas or polars, every column of the type of its property."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from structdiff.core.errors import ValidationFailed
from structdiff.results.arrow_types import JSON, MissingLibrary, arrow_field, arrow_library, typed_schema
from structdiff.results.arrow_values import cell
from structdiff.results.columns import answer_columns
from structdiff.results.result import Failure, Result

R = TypeVar("R", bound=Result[Any] | Failure)


class Results(list[R]):
    """What `Model.batch` gives: a list, one `Result` or `Failure` for each text, that also knows how to be a table.

    A table has a column for each property where all texts have one source of an object's listed properties, else a
    column ``value``; with ``fields=True`` a column ``confidence`` by JSON Pointer; with ``errors="return"`` the columns
    ``error``, ``error_type`` and ``raw``. ``index`` is that of a pandas Series of texts.
    """

    source: Any = None
    index: Any = None
    with_errors: bool = False

    def of(self, texts: Any, source: Any, with_errors: bool) -> Results[R]:
        """These results, knowing what they were made from."""
        index = getattr(texts, "index", None)
        self.index, self.with_errors = None if callable(index) else index, with_errors
        self.source = None if isinstance(source, list) else source
        return self

    def to_arrow(self) -> Any:
        """A pyarrow Table. Raises `MissingLibrary`, and `Misfit` where a value has no exact place in its column."""
        arrow = arrow_library()
        first = next((one for one in self if isinstance(one, Result)), None)
        schema = typed_schema(self.source, first.schema if first is not None and self.source is not None else None)
        listed = answer_columns(schema)
        fields = (
            [arrow_field(name, part, schema) for name, part in listed.items()] if listed else [_value(schema, self)]
        )
        columns = {field.name: [_cell(one, field, bool(listed)) for one in self] for field in fields}
        if first is not None and first.measured is not None:
            fields.append(arrow.field("confidence", arrow.map_(arrow.string(), arrow.float64())))
            columns["confidence"] = [_confidence(one) for one in self]
        if self.with_errors:
            for name, values in _errors(self).items():
                fields.append(arrow.field(name if name not in columns else f"row_{name}", arrow.string()))
                columns[fields[-1].name] = values
        return arrow.table(
            [arrow.array(columns[field.name], field.type) for field in fields], schema=arrow.schema(fields)
        )

    def to_pandas(self) -> Any:
        """A pandas DataFrame, with the index of the Series of texts where there was one."""
        try:
            import pandas  # noqa: F401 - pyarrow needs it
        except ImportError:
            raise MissingLibrary("to_pandas needs pandas: pip install pandas") from None
        frame = self.to_arrow().to_pandas()
        if self.index is not None:
            frame.index = self.index
        return frame

    def to_polars(self) -> Any:
        """A polars DataFrame."""
        try:
            import polars
        except ImportError:
            raise MissingLibrary("to_polars needs polars: pip install polars") from None
        return polars.from_arrow(self.to_arrow())


def _value(schema: Any, results: Results[Any]) -> Any:
    """The field of the one column ``value``: JSON text where the sources differ."""
    arrow = arrow_library()
    plain = all(not one.is_json for one in results if isinstance(one, Result))
    if plain:
        return arrow.field("value", arrow.string())
    return (
        arrow.field("value", arrow.string(), metadata=JSON) if schema is None else arrow_field("value", schema, schema)
    )


def _cell(one: Result[Any] | Failure, field: Any, listed: bool) -> Any:
    if isinstance(one, Failure):
        return None
    data: Any = json.loads(one.text) if one.is_json else one.text
    return cell(data.get(field.name) if listed else data, field)


def _confidence(one: Result[Any] | Failure) -> Any:
    if isinstance(one, Failure) or one.measured is None:
        return None
    return [(name, field.confidence) for name, field in one.measured.items()]


def _errors(results: Results[Any]) -> dict[str, list[str | None]]:
    failed = [one.error if isinstance(one, Failure) else None for one in results]
    return {
        "error": [None if error is None else str(error) for error in failed],
        "error_type": [None if error is None else type(error).__name__ for error in failed],
        "raw": [error.text if isinstance(error, ValidationFailed) else None for error in failed],
    }
