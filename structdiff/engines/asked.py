"""What a request to an engine asks for, as JSON that front end and workers both read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from structdiff.core.errors import InvalidSchema
from structdiff.frontends import front_ends, named
from structdiff.frontends.choice import Choice
from structdiff.frontends.pinned import Pinned
from structdiff.options import CompileOptions

KEY = "structdiff"
"""The name under which requests carry what OpenAI's fields cannot say, and workers what was admitted."""

OWN = ("strict", "canonical")
"""Options of `structdiff.compile` itself; the others go to the front end."""

_NOT_JSON = {"registry", "bounds", "limits"}
OPTIONS = tuple(sorted(set(CompileOptions.__annotations__) - _NOT_JSON))
"""The compile options that a request may set."""


@dataclass(frozen=True)
class Asked:
    """A constraint as a request names it: a front end, its source as JSON, options and pinned values; and how rows are
    drawn.

    ``source`` is a text as the front end's `from_text` reads it, a schema for "json" or a list for "choice". ``rows``
    answers are written; row ``i`` takes ``seed`` + i (None: the engine's name of the row). ``temperature`` scales the
    checkpoint's schedule.

    >>> asked = Asked("choice", ["yes", "no"], seed=7)
    >>> Asked.from_dict(asked.to_dict()) == asked, asked.compilable()[0].options
    (True, ('yes', 'no'))
    """

    kind: str
    source: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    pinned: Mapping[str, Any] | None = None
    seed: int | None = None
    temperature: float = 1.0
    rows: int = 1

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Asked:
        """What `to_dict` gave."""
        return cls(**data)

    def compilable(self) -> tuple[Any, dict[str, Any]]:
        """(source, options) for `Compiler.compile`. Raises `InvalidSchema` where the source cannot be read."""
        source = self._value()
        if self.pinned is None:
            return source, dict(self.options)
        own = {name: value for name, value in self.options.items() if name in OWN}
        return Pinned(source, self.pinned, {k: v for k, v in self.options.items() if k not in OWN}), own

    def _value(self) -> Any:
        if isinstance(self.source, str):
            return named(self.kind).from_text(self.source)
        if self.kind == "json" and isinstance(self.source, dict | bool):
            return self.source
        if self.kind == "choice" and isinstance(self.source, list | tuple):
            return Choice(self.source)
        raise InvalidSchema(f"the source of {self.kind!r} is {type(self.source).__name__}; give a text")


def extension(given: Any) -> tuple[tuple[str, Any] | None, Mapping[str, Any] | None, dict[str, Any]]:
    """((front end, source) or None, pinned values or None, compile options) of a request's own field ``structdiff``.

    ``given`` is a JSON object or its text: one name of a front end with a source, ``pinned``, and compile options.
    Raises `InvalidSchema` for anything else.

    >>> extension('{"pinned": {"name": "Ada"}, "whitespace": "compact"}')
    (None, {'name': 'Ada'}, {'whitespace': 'compact'})
    """
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InvalidSchema(f"{KEY} is not JSON: {error}") from None
    if not isinstance(given, Mapping):
        raise InvalidSchema(f"{KEY} is {type(given).__name__}; it must be a JSON object")
    sources: list[tuple[str, Any]] = []
    options: dict[str, Any] = {}
    for name, value in given.items():
        if name in front_ends():
            sources.append((name, value))
        elif name in OPTIONS:
            options[name] = value
        elif name != "pinned":
            known = ", ".join(["pinned", *sorted(front_ends()), *OPTIONS])
            raise InvalidSchema(f"{KEY} has no field {name!r}; known are {known}")
    if len(sources) > 1:
        raise InvalidSchema(f"{KEY} gives {sources[0][0]} and {sources[1][0]}; give one")
    pinned = given.get("pinned")
    if pinned is not None and not isinstance(pinned, Mapping):
        raise InvalidSchema(f"pinned is {type(pinned).__name__}; it must be a JSON object of values")
    return (sources[0] if sources else None), pinned, options
