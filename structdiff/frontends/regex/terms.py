"""What a regular expression means, without its syntax: the terms that both dialects are read into.

>>> Choice((Chars(((97, 97),)), Loop(ANYTHING, 2, None)))
Choice(items=(Chars(((97, 97),)), Loop(item=Chars(((0, 1114111),)), low=2, high=None)))
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from structdiff.automata.unicode import EVERYTHING, Ranges
from structdiff.frontends.regex.charsets import CharSet


class Term:
    """Base class of regular expression terms."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, repr=False)
class Chars(Term):
    """One character out of a set of code points; ``doubtful`` ones are members in some readings only."""

    ranges: Ranges
    doubtful: CharSet | None = None

    @classmethod
    def of(cls, chars: CharSet) -> Chars:
        return cls(chars.sure, None if chars.sure == chars.perhaps else chars)

    def __repr__(self) -> str:
        return f"Chars({self.ranges})"

    @property
    def chars(self) -> CharSet:
        """The set with its doubt."""
        return self.doubtful or CharSet.of(self.ranges)


@dataclass(frozen=True, slots=True)
class Concat(Term):
    """The items one after the other."""

    items: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Choice(Term):
    """Any one of the items."""

    items: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Loop(Term):
    """``item`` repeated ``low`` to ``high`` times (``None``: without bound).

    ``lazy``, as few times as can be, is the same language; only `taken` asks for it.
    """

    item: Term
    low: int
    high: int | None
    lazy: bool = field(default=False, compare=False, repr=False)


Kind = Literal[
    "start", "end", "end_or_newline", "end_perhaps_newline", "line_start", "line_end",
    "boundary", "not_boundary", "not_boundary_not_empty", "not_boundary_perhaps_empty", "ahead", "behind",
]  # fmt: skip
"""``end_perhaps_newline``: the end of the text, in some readings also before a last line feed.
``not_boundary_perhaps_empty``: in some readings an empty text has no such place."""


@dataclass(frozen=True, slots=True)
class Assertion(Term):
    """A condition on the text before and after a place, which itself matches nothing.

    ``item`` is the term to look for (``ahead``, ``behind``) or the characters that make a word (``boundary``).
    """

    kind: Kind
    item: Term | None = None
    negative: bool = False


ANYTHING = Chars(EVERYTHING)


def concat(items: list[Term]) -> Term:
    """The items in order, nested concatenations flattened."""
    flat: list[Term] = []
    for item in items:
        flat.extend(item.items if isinstance(item, Concat) else (item,))
    return flat[0] if len(flat) == 1 else Concat(tuple(flat))


def count_assertions(term: Term, weight: int = 1) -> dict[Assertion, int]:
    """How often each assertion can be passed on one way through ``term`` (2 stands for more than once)."""
    if isinstance(term, Assertion):
        return {term: weight}
    if isinstance(term, Loop):
        return count_assertions(term.item, weight if term.high == 1 else 2)
    counts: dict[Assertion, int] = {}
    for item in term.items if isinstance(term, Concat | Choice) else ():
        for assertion, count in count_assertions(item, weight).items():
            counts[assertion] = counts.get(assertion, 0) + count
    return counts
