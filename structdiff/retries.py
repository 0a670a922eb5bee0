"""Trying a row again whose output a validator of the class rejected: with another seed, the rest of it kept.

>>> failed = ValidationFailed('{"name": "Ann", "home": {"zip": "x", "city": "Ulm"}}', [("/home/zip", "no number")])
>>> what_was_right(failed)
{'/name': 'Ann', '/home/city': 'Ulm'}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import StructdiffError, ValidationFailed
from structdiff.core.json_spans import pointer_of
from structdiff.decode.engine import Outcome, Task
from structdiff.options import Settings
from structdiff.results.result import Failure, Result

SEED_STEP = 0x9E3779B1
"""The seeds of the attempts of a row are so far apart."""


@dataclass
class Row:
    """One text of a batch, or an image until it is opened: its constraint, for its pieces their own constraints,
    messages and outcomes, or what went wrong."""

    text: Any
    source: Any = None
    seed: int = 0
    images: tuple[Any, ...] = ()
    constraint: Constraint | None = None
    bound: list[Constraint | None] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    error: StructdiffError | None = None


def rejected(results: Sequence[Result[Any] | Failure]) -> list[int]:
    """The places of the rows that a validator rejected: those that another attempt may help."""
    return [
        place
        for place, result in enumerate(results)
        if isinstance(result, Failure) and isinstance(result.error, ValidationFailed)
    ]


def retry(row: Row, failure: Result[Any] | Failure, asked: Settings, prepare: Callable[[Row, Settings], None]) -> Row:
    """The row once more with another seed, prepared: with what was right pinned, where that compiles."""
    assert isinstance(failure, Failure) and isinstance(failure.error, ValidationFailed)
    seed = (row.seed + SEED_STEP) % (1 << 63)
    right = what_was_right(failure.error)
    if right and row.constraint is not None and row.constraint.source.traits.json and asked.long_text == "refuse":
        source = row.source.source if isinstance(row.source, Constraint) else row.source
        candidate = Row(row.text, source, seed, row.images)
        try:
            prepare(candidate, replace(asked, pinned={**(asked.pinned or {}), **right}))
            return replace(candidate, source=row.source)
        except StructdiffError:
            pass  # the values do not go together, or have no places of their own: everything is free again
    free = Row(row.text, row.source, seed, row.images)
    prepare(free, asked)
    return free


def what_was_right(failed: ValidationFailed) -> dict[str, Any]:
    """The values at which no validator pointed, by JSON Pointer; none where one pointed at the whole."""
    try:
        value = json.loads(failed.text)
    except ValueError:
        return {}
    pointers = [pointer for pointer, _ in failed.errors]
    return {} if "" in pointers or not pointers else dict(_right(value, "", pointers))


def _right(value: Any, at: str, wrong: list[str]) -> list[tuple[str, Any]]:
    if not any(pointer == at or pointer.startswith(f"{at}/") for pointer in wrong):
        return [(at, value)]
    if at in wrong or not isinstance(value, Mapping):
        return []
    return [pair for key, member in value.items() for pair in _right(member, pointer_of(at, key), wrong)]
