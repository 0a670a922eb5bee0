"""The options of compiling and generating, by name and type, so that a type checker and a person see a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import InvalidSchema
from structdiff.core.images import Text, is_image
from structdiff.frontends.prompt import with_examples
from structdiff.results.long_text import json_texts

if TYPE_CHECKING:
    from referencing import Registry

    from structdiff.core.limits import Limits
    from structdiff.decode.policy import Policy
    from structdiff.decode.trace import Event
    from structdiff.frontends.json_schema import Bounds


DEFAULT_MAX_TOKENS = 256
"""The budget of an output where none is given and the constraint does not need more."""


def reach(max_tokens: int | None) -> int:
    """The longest outputs that a constraint is compiled for: small budgets share the automaton of the default one.

    >>> reach(None), reach(20), reach(1000)
    (256, 256, 1000)
    """
    return max(DEFAULT_MAX_TOKENS, max_tokens or 0)


class CompileOptions(TypedDict, total=False):
    """How a source is compiled; see `structdiff.compile` and `json_schema_tree`."""

    whitespace: Literal["json", "compact", "pretty"]
    indent: int
    extra_properties: Literal["forbid", "schema"]
    key_order: Literal["schema", "any"]
    max_depth: int | None
    ascii_only: bool
    verbatim: bool
    draft: str
    registry: Registry[Any] | Mapping[str, Any] | None
    bounds: Bounds | None
    limits: Limits | None
    canonical: bool
    strict: bool


class RowOptions(CompileOptions, total=False):
    """How one text is answered; see `Model.batch`."""

    max_tokens: int | None
    instructions: str
    examples: Sequence[tuple[str, Any]]
    think: int
    pinned: Mapping[str, Any] | None
    fields: bool
    min_confidence: float | None
    policy: Policy | None
    long_text: Literal["refuse", "split"]
    overlap: int
    retries: int


class GenerateOptions(RowOptions, total=False):
    """The options of `Model.generate`."""

    seed: int
    on_event: Callable[[Event], None] | None


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(options of generating, options of compiling). Raises `TypeError` that names an unknown one and the nearest.

    >>> split_options({"max_tokens": 5, "whitespace": "compact"})
    ({'max_tokens': 5}, {'whitespace': 'compact'})
    >>> split_options({"max_token": 5})
    Traceback (most recent call last):
    TypeError: there is no option 'max_token'; did you mean 'max_tokens'?
    """
    compiling = set(CompileOptions.__annotations__)
    generating = set(GenerateOptions.__annotations__) - compiling
    for name in options:
        if name not in compiling | generating:
            near = difflib.get_close_matches(name, sorted(compiling | generating), 1)
            hint = f"did you mean {near[0]!r}?" if near else f"options: {', '.join(sorted(compiling | generating))}"
            raise TypeError(f"there is no option {name!r}; {hint}")
    row = {name: value for name, value in options.items() if name in generating}
    return row, {name: value for name, value in options.items() if name in compiling}


@dataclass(frozen=True)
class Settings:
    """The options of generating, with their defaults; ``compiling`` are those of `structdiff.compile`."""

    max_tokens: int | None = None
    instructions: str = ""
    examples: Sequence[tuple[str, Any]] = ()
    think: int = 0
    pinned: Mapping[str, Any] | None = None
    fields: bool = False
    min_confidence: float | None = None
    policy: Policy | None = None
    long_text: Literal["refuse", "split"] = "refuse"
    overlap: int = 64
    retries: int = 0
    compiling: Mapping[str, Any] = field(default_factory=dict)
    _told: dict[int, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.long_text not in ("refuse", "split"):
            raise ValueError(f"long_text is {self.long_text!r}; it must be 'refuse' or 'split'")
        if self.retries < 0:
            raise ValueError(f"retries is {self.retries}; it must be 0 or more")
        if self.min_confidence is not None and not 0 <= self.min_confidence <= 1:
            raise ValueError(f"min_confidence is a number from 0 to 1, not {self.min_confidence}")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings:
        row, compiling = split_options(options)
        return cls(compiling=compiling, **row)

    def told(self, constraint: Constraint | None) -> str:
        """What the model is told beside the source: the instructions and the examples.

        Raises `InvalidSchema` for an example whose value the constraint does not allow.
        """
        if not self.examples:
            return self.instructions
        key = id(constraint)
        if key not in self._told:
            pairs = [
                (text, example_answer(value, constraint, number))
                for number, (text, value) in enumerate(self.examples, 1)
            ]
            self._told[key] = with_examples(self.instructions, pairs)
        return self._told[key]

    def measures(self, pieces: int) -> bool:
        """Must fields be measured? They are asked for, decide what is left out, or decide between pieces."""
        return self.fields or self.min_confidence is not None or pieces > 1


def example_answer(value: Any, constraint: Constraint | None, number: int) -> str:
    """The output text of a worked example. Raises `InvalidSchema` where the constraint would not write it."""
    from pydantic_core import to_jsonable_python

    data = to_jsonable_python(value)
    as_json = constraint is not None and constraint.source.traits.json
    texts = list(json_texts(data)) if as_json or not isinstance(data, str) else [data]
    for text in texts:
        if constraint is None or constraint.matches(text):
            return text
    raise InvalidSchema(
        f"the value of example {number}, {texts[0][:100]}, is not what the source allows (keys in the schema's order)"
    )


def texts_of(texts: Any) -> list[Text]:
    """The texts of a batch as a list: from a sequence, or a Series of pandas or polars. Images may be among them.

    >>> texts_of(("a", "b"))
    ['a', 'b']
    >>> texts_of("a")
    Traceback (most recent call last):
    TypeError: a batch takes a list of texts, not a str; one text goes to model(...) or model.generate(...)
    """
    if texts is None or isinstance(texts, str | bytes | bytearray | Mapping):
        hint = "one text goes to model(...) or model.generate(...)"
        raise TypeError(f"a batch takes a list of texts, not {_kind(texts)}; {hint}")
    try:
        found = list(texts)
    except TypeError:
        raise TypeError(f"a batch takes a list of texts, not {_kind(texts)}") from None
    for number, text in enumerate(found, 1):
        if not (isinstance(text, str) or is_image(text)):
            other = "" if not isinstance(text, Path) else " nor the path of an image; read its text"
            hint = other or "; leave such rows out or fill them first"
            raise TypeError(f"text {number} is {_kind(text)}, not a str{hint}")
    return found


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
