"""What a generation gives: the value, the text, what it cost, and where asked, how sure the model is of each field."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from structdiff.confidence.fields import Field
from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import GenerationError, StructdiffError
from structdiff.core.restrictions import Restriction
from structdiff.decode.engine import Outcome
from structdiff.results.evidence import chosen

T = TypeVar("T")


@dataclass(frozen=True)
class Usage:
    """What a generation cost, in tokens, denoising steps and canvases.

    ``steps`` and ``canvases`` include those of the thought; ``thought_tokens`` are no part of ``completion_tokens``.
    ``ended_arrays`` counts the arrays that ended because their next element would have equalled an earlier one (the
    option ``repeats`` of the policy).
    """

    prompt_tokens: int
    completion_tokens: int
    steps: int
    canvases: int
    thought_tokens: int = 0
    ended_arrays: int = 0


@dataclass(frozen=True)
class Result(Generic[T]):
    """A finished generation.

    ``value`` is the instance, the parsed JSON or the text; ``text`` is what the model wrote. ``problems`` are the
    fields below ``min_confidence`` that could not be left out. ``thought`` is what was written freely first.
    ``restrictions`` is what the source allows and the constraint never writes. ``schema`` is the JSON Schema of a
    source that has one. ``model`` is the name of the model that answered. ``spans`` are the places in the text of each
    value that was taken from it, by JSON Pointer: (start, end) in characters.
    """

    value: T
    text: str
    finish_reason: str
    usage: Usage
    prompt: str
    tokens: tuple[int, ...] = ()
    measured: Mapping[str, Field] | None = None
    problems: tuple[str, ...] = ()
    thought: str = ""
    restrictions: tuple[Restriction, ...] = ()
    is_json: bool = False
    schema: Any = field(default=None, repr=False, compare=False)
    model: str = field(default="", compare=False)
    spans: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        outcome: Outcome,
        constraint: Constraint | None,
        message: str,
        spell: Callable[[Sequence[int]], str],
        measured: Mapping[str, Field] | None,
    ) -> Result[Any]:
        """The result of a finished row. Raises `ValidationFailed` where a validator of the class rejects it."""
        text = spell(outcome.tokens)
        if constraint is not None:
            text = constraint.spelt(text)
        usage = Usage(
            len(outcome.task.prompt),
            len(outcome.tokens),
            outcome.steps,
            outcome.canvases,
            len(outcome.thought),
            outcome.ended_arrays,
        )
        return Result(
            text if constraint is None else constraint.value(text),
            text,
            outcome.reason,
            usage,
            message,
            tuple(outcome.tokens),
            measured,
            (),
            spell(outcome.thought),
            constraint.restrictions if constraint else (),
            constraint is not None and constraint.source.traits.json,
            constraint.source.schema if constraint else None,
        )

    def with_spans(self, spans: Mapping[str, Sequence[tuple[int, int]]]) -> Result[T]:
        """The same with the places in the text of values that were taken from it."""
        at = chosen(spans)
        measured = self.measured and {
            name: replace(one, span=at[name]) if name in at else one for name, one in self.measured.items()
        }
        return replace(self, spans=spans, measured=measured)

    @property
    def data(self) -> Any:
        """The answer as plain JSON data: what the text says where it is JSON, else the value.

        >>> Result(("B", "7"), "B-7", "stop", Usage(1, 1, 1, 1), "").data
        ['B', '7']
        """
        from pydantic_core import to_jsonable_python

        return json.loads(self.text) if self.is_json else to_jsonable_python(self.value)

    def save(self, path: str | Path) -> None:
        """Write the answer as JSON into a file, its text as the model wrote it."""
        text = self.text if self.is_json else json.dumps(self.data, ensure_ascii=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @property
    def fields(self) -> Mapping[str, Field]:
        """How sure the model is of each field, by JSON Pointer; measured where ``fields=True`` asked for it."""
        if self.measured is None:
            raise GenerationError("the fields were not measured; ask for them with fields=True")
        return self.measured


@dataclass(frozen=True)
class Failure:
    """A row of `Model.batch` that has no value: the error, and the input text it belongs to."""

    error: StructdiffError
    text: str
