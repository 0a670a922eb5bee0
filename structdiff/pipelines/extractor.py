"""A chunk of records through a model: one row out for each record, an error where it has no value."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import ValidationFailed
from structdiff.model import Model
from structdiff.options import RowOptions
from structdiff.pipelines.answers import Answer
from structdiff.pipelines.columns import Columns
from structdiff.pipelines.records import Record
from structdiff.results.columns import answer_columns
from structdiff.results.evidence import find_spans
from structdiff.results.result import Failure, Result


class Extractor:
    """Calls a model on chunks of records.

    A row is ``{"id", ...}`` with the input's columns (``keep`` names those to keep, None all), then the answer's:
    the properties where the schema is an object of listed ones, else ``value`` (`structdiff.pipelines.columns` says
    what becomes of names that meet). With ``confidence`` and ``spans`` a row has these by JSON Pointer, with
    ``min_confidence`` a list of ``problems``. A record that fails gives ``{"id", ..., "error", "error_type"}``, with
    the output in ``raw`` where a validator rejected one, and stops no other. Other options are those of
    `Model.batch`; the seed is every text's.
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
        instructions: str = "",
        examples: Sequence[tuple[str, Any]] = (),
        retries: int = 0,
        confidence: bool = False,
        spans: bool = False,
        keep: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        self.model, self.seed, self.min_confidence = model, seed, min_confidence
        self.confidence, self.spans = confidence, spans
        self.asked: RowOptions = {
            "max_tokens": max_tokens, "min_confidence": min_confidence, "long_text": long_text,
            "instructions": instructions, "examples": examples, "retries": retries, "fields": confidence,
        }  # fmt: skip
        self.constraint: Constraint = model.compile(source, **options)
        self.schema = self.constraint.source.schema
        answer = answer_columns(self.schema)
        extra = {"confidence": confidence, "spans": spans, "problems": min_confidence is not None}
        self.columns = Columns(
            None if answer is None else tuple(answer),
            tuple(name for name, asked in extra.items() if asked),
            None if keep is None else tuple(keep),
        )

    def __call__(self, records: Sequence[Record]) -> list[Answer]:
        """The rows of a chunk, in its order; the texts are denoised together."""
        readable = [record for record in records if record.error is None]
        texts = [record.text for record in readable]
        results = iter(self.model.batch(texts, self.constraint, seed=self.seed, errors="return", **self.asked))
        return [
            self._answer(record, next(results))
            if record.error is None
            else self._failed(record, record.error, "InputError", None)
            for record in records
        ]

    def _answer(self, record: Record, result: Result[Any] | Failure) -> Answer:
        if isinstance(result, Failure):
            raw = result.error.text if isinstance(result.error, ValidationFailed) else None
            return self._failed(record, str(result.error), type(result.error).__name__, raw)
        try:
            value = json.loads(result.text, parse_float=_finite) if self.constraint.source.traits.json else result.text
        except OverflowError as error:
            return self._failed(record, str(error), "GenerationError", result.text)
        row = self.columns.value_row(record.id, record.columns, value, self._extra(record, value, result))
        return Answer(row, None, result.usage.completion_tokens, result.usage.steps)

    def _failed(self, record: Record, message: str, kind: str, raw: str | None) -> Answer:
        return Answer(self.columns.error_row(record.id, record.columns, message, kind, raw), kind)

    def _extra(self, record: Record, value: Any, result: Result[Any]) -> dict[str, Any]:
        extra: dict[str, Any] = {}
        if self.confidence:
            extra["confidence"] = {name: round(one.confidence, 4) for name, one in result.fields.items()}
        if self.spans:
            extra["spans"] = {name: list(span) for name, span in find_spans(value, record.text, result.spans).items()}
        if self.min_confidence is not None:
            extra["problems"] = list(result.problems)
        return extra


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise OverflowError(f"the number {text[:40]} is beyond what a file of JSON can hold")
    return number


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
