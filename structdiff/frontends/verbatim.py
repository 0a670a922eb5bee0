"""Verbatim: how a schema or a class says that a string is taken from the text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from structdiff.automata.spans import Reading
from structdiff.core.errors import InvalidSchema

KEYWORD = "x-verbatim"


@dataclass(frozen=True)
class Verbatim:
    """A string that is a span of the input text: ``Annotated[str, Verbatim()]``, or ``"x-verbatim": true`` in a schema.

    words: it begins and ends between words; else between any two characters.
    case: ``"ignore"`` lets the model spell it in upper or lower case, and the value is spelt as in the text.
    blanks: a run of blanks and line breaks is written as ``"one"`` blank, or ``"exact"`` as it stands in the text.
    max_words: the most words between blanks. The default is no maximum: to count takes more states than not to.

    >>> Verbatim(case="ignore").as_schema()
    {'case': 'ignore'}
    """

    words: bool = True
    case: Literal["exact", "ignore"] = "exact"
    blanks: Literal["one", "exact"] = "one"
    max_words: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.words, bool):
            raise ValueError(f"words is {self.words!r}; it must be true or false")
        if self.case not in ("exact", "ignore"):
            raise ValueError(f"case is {self.case!r}; it must be 'exact' or 'ignore'")
        if self.blanks not in ("one", "exact"):
            raise ValueError(f"blanks is {self.blanks!r}; it must be 'one' or 'exact'")
        most = self.max_words
        if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
            raise ValueError(f"max_words is {most!r}; it must be a whole number from 1 on")

    def as_schema(self) -> bool | dict[str, Any]:
        """What stands under ``x-verbatim``: the options that are not the default, or true."""
        default = asdict(Verbatim())
        return {name: value for name, value in asdict(self).items() if value != default[name]} or True

    def reading(self) -> Reading:
        """The same for `structdiff.automata.spans`."""
        return Reading(self.words, self.case == "ignore", self.blanks == "exact", self.max_words)

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> Any:
        return {**handler(core_schema), KEYWORD: self.as_schema()}


def asked_reading(asked: Any, pointer: str) -> str:
    """The options under ``x-verbatim`` as JSON with sorted keys. Raises `InvalidSchema` for others than there are.

    >>> asked_reading(True, ""), asked_reading({"case": "ignore"}, "")
    ('{}', '{"case": "ignore"}')
    """
    if asked is not True and not isinstance(asked, Mapping):
        raise InvalidSchema(f"{KEYWORD} is {asked!r}; it must be true, false or an object of options", pointer)
    try:
        found = Verbatim(**({} if asked is True else dict(asked))).as_schema()
    except (TypeError, ValueError) as error:
        known = ", ".join(asdict(Verbatim()))
        raise InvalidSchema(f"{KEYWORD}: {error}; its options are {known}", pointer) from None
    return json.dumps({} if found is True else found, sort_keys=True)


def reading_of(said: str) -> Reading:
    """The reading of options that `asked_reading` gave."""
    return Verbatim(**json.loads(said)).reading()
