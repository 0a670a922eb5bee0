"""A chunk of records through a model: one row out for each record, an error where it has no value."""

from __future__ import annotations

import json
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Literal

from structdiff.constraint.constraint import Constraint
from structdiff.model import Model
from structdiff.options import RowOptions
from structdiff.pipelines.records import Record
from structdiff.results.result import Failure, Result

_PLAIN = {"$schema", "$id", "$defs", "title", "description", "type", "properties", "required", "additionalProperties"}


class Extractor:
    """Calls a model on chunks of records; ``max_tokens`` and ``seed`` are those of `Model.batch`, for every text.

    A row is ``{"id", ...columns}`` where the schema is an object of listed properties (none called id or error), else
    ``{"id", "value"}``; a record that fails gives ``{"id", "error"}`` and stops no other. With ``min_confidence`` (see
    `Model.batch`) rows have a list of ``problems`` too. ``long_text`` is that of `Model.generate`.
    """

    def __init__(
        self,
        model: Model,
        source: Any,
        *,
        max_tokens: int | None = None,
        seed: int = 0,
        min_confidence: float | None = None,
        long_text: Literal["refuse", "split"] = "refuse",
        **options: Any,
    ) -> None:
        self.model, self.seed, self.min_confidence = model, seed, min_confidence
        self.asked: RowOptions = {
            "max_tokens": max_tokens, "min_confidence": min_confidence, "long_text": long_text
        }  # fmt: skip
        self.constraint: Constraint = model.compile(source, **options)
        self.schema = self.constraint.source.schema
        self.columns = has_columns(
            self.schema, {"id", "error"} | ({"problems"} if min_confidence is not None else set())
        )

    def __call__(self, records: Sequence[Record]) -> list[dict[str, Any]]:
        """The rows of a chunk, in its order; the texts are denoised together."""
        readable = [record for record in records if record.error is None]
        texts = [record.text for record in readable]
        results = iter(self.model.batch(texts, self.constraint, seed=self.seed, errors="return", **self.asked))
        return [
            {"id": record.id, "error": record.error} if record.error is not None else self._row(record, next(results))
            for record in records
        ]

    def _row(self, record: Record, result: Result[Any] | Failure) -> dict[str, Any]:
        if isinstance(result, Failure):
            return {"id": record.id, "error": str(result.error)}
        value: Any = json.loads(result.text) if self.constraint.source.traits.json else result.text
        row = {"id": record.id, **value} if self.columns else {"id": record.id, "value": value}
        return row if self.min_confidence is None else {**row, "problems": list(result.problems)}


@dataclass(frozen=True)
class Factory:
    """Makes an `Extractor`, model included, wherever it is called: the picklable unit for clusters.

    ``threads`` is how many threads torch may use there; the same number everywhere gives the same rows everywhere.
    """

    source: Any
    model: str | None = None
    device: str | None = None
    dtype: str | None = None
    threads: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __call__(self) -> Extractor:
        import torch

        from structdiff.loading import load

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return Extractor(load(self.model, device=self.device, dtype=self.dtype), self.source, **self.options)


def has_columns(schema: Any, reserved: Set[str] = frozenset({"id", "error"})) -> bool:
    """Whether the values of a schema are objects of listed properties, none called like the ``reserved`` columns.

    >>> has_columns({"type": "object", "properties": {"name": {}}})
    True
    >>> has_columns({"type": "object", "properties": {"id": {}}}), has_columns({"type": "string"})
    (False, False)
    """
    if not isinstance(schema, dict) or schema.get("type") != "object" or not schema.keys() <= _PLAIN:
        return False
    listed = schema.get("properties") or {}
    return bool(listed) and schema.get("additionalProperties") in (None, False) and not reserved & set(listed)
