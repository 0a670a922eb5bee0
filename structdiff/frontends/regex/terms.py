"""What a regular expression means, without its syntax: the terms that both dialects are read into.

>>> Choice((Chars(((97, 97),)), Loop(ANYTHING, 2, None)))
Choice(items=(Chars(ranges=((97, 97),)), Loop(item=Chars(ranges=((0, 1114111),)), low=2, high=None)))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from structdiff.automata.unicode import EVERYTHING, Ranges


class Term:
    """Base class of regular expression terms."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Chars(Term):
    """One character out of a set of code points."""

    ranges: Ranges


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
    """``item`` repeated ``low`` to ``high`` times (``None``: without bound); greedy or lazy is the same language."""

    item: Term
    low: int
    high: int | None


Kind = Literal[
    "start", "end", "end_or_newline", "line_start", "line_end",
    "boundary", "not_boundary", "not_boundary_not_empty", "ahead", "behind",
]  # fmt: skip


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
