"""A constraint: the language of a source over a vocabulary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from structdiff.constraint.plan import Plan
from structdiff.core.errors import BudgetTooSmall
from structdiff.frontends.source import Source
from structdiff.lattice.frame import build_frame
from structdiff.tokens.automaton import TokenAutomaton
from structdiff.tokens.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Constraint:
    """The language of a source over a vocabulary; made by `compile`."""

    source: Source
    vocabulary: Vocabulary
    automaton: TokenAutomaton = field(repr=False)
    rules: Any = field(default=None, repr=False)

    @property
    def states(self) -> int:
        return self.automaton.states

    @property
    def edges(self) -> int:
        return self.automaton.edges

    @property
    def classes(self) -> int:
        return self.automaton.classes

    @property
    def min_tokens(self) -> int:
        """The fewest tokens of any output, the end token not counted."""
        return int(self.automaton.distance[0])

    def matches(self, text: str) -> bool:
        """Does ``text`` belong to the language?"""
        return self.automaton.bytes.accepts(text.encode("utf-8", "surrogatepass"))

    def plan(self, max_tokens: int) -> Plan:
        """Anchors and masks for a budget of ``max_tokens``; raises `BudgetTooSmall`."""
        if self.min_tokens > max_tokens:
            raise BudgetTooSmall(self.min_tokens, max_tokens)
        return Plan(build_frame(self.automaton, 0, max_tokens, 0), self.vocabulary, repr(self))

    def value(self, text: str) -> Any:
        """The Python value of an output text: parsed JSON, an instance of the source's class, or the text itself."""
        return self.source.parse(text)

    def __repr__(self) -> str:
        return (
            f"Constraint({self.source.name}: {self.states} states, {self.edges} edges, {self.classes} classes, "
            f"at least {self.min_tokens} tokens)"
        )
