"""What a row holds and under which names: the answer's columns, those of the input beside it, and the row's own."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

FAILED = ("error", "error_type", "raw")
"""The own columns of a row without a value: what went wrong, the class of the error, the output that was rejected."""


@dataclass(frozen=True)
class Columns:
    """The names of a row's columns.

    ``answer`` are the properties of the answer; where they are None the answer is one column ``value``. ``extra`` are
    the row's own columns of a value: confidence, spans, problems. ``keep`` are the input's columns to keep, None all.

    A property keeps its name always. A column of the row's own whose name a property has is called ``row_`` and its
    name; a column of the input whose name is taken, ``input_`` and its name.

    >>> columns = Columns(("id", "city"), (), None)
    >>> columns.own("id"), columns.own("error"), columns.kept({"city": "Bonn", "lang": "de"})
    ('row_id', 'error', {'input_city': 'Bonn', 'lang': 'de'})
    """

    answer: tuple[str, ...] | None
    extra: tuple[str, ...]
    keep: tuple[str, ...] | None

    @property
    def values(self) -> tuple[str, ...]:
        """The columns of the answer."""
        return ("value",) if self.answer is None else self.answer

    def own(self, name: str) -> str:
        """What a column of the row's own is called."""
        while name in self.values:
            name = f"row_{name}"
        return name

    @property
    def reserved(self) -> set[str]:
        """All names that a column of the input cannot have."""
        return {*self.values, *(self.own(name) for name in ("id", *self.extra, *FAILED))}

    def kept_name(self, name: str, others: Container[str] = ()) -> str:
        """What a column of the input is called, beside ``others`` of it."""
        found = name
        while found in self.reserved or (found != name and found in others):
            found = f"input_{found}"
        return found

    def kept(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """The input's columns that a row keeps, under their names in it."""
        return {
            self.kept_name(name, columns): value
            for name, value in columns.items()
            if self.keep is None or name in self.keep
        }

    def value_row(self, key: Any, columns: Mapping[str, Any], value: Any, extra: Mapping[str, Any]) -> dict[str, Any]:
        """The row of a value."""
        answer = {"value": value} if self.answer is None else value
        return {self.own("id"): key, **self.kept(columns), **answer, **{self.own(n): v for n, v in extra.items()}}

    def error_row(
        self, key: Any, columns: Mapping[str, Any], message: str, kind: str, raw: str | None
    ) -> dict[str, Any]:
        """The row of an error; ``raw`` is the output that was rejected, where there was one."""
        told = {self.own("error"): message, self.own("error_type"): kind}
        return {self.own("id"): key, **self.kept(columns), **told, **({} if raw is None else {self.own("raw"): raw})}

    def names(self, kept: Iterable[str]) -> list[str]:
        """All columns in their order; ``kept`` are those of the input, as they are called in rows."""
        own = [self.own(name) for name in (*self.extra, *FAILED)]
        return [self.own("id"), *kept, *self.values, *own]
