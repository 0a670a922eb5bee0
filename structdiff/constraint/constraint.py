"""A constraint: the language of a source over a vocabulary."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from structdiff.constraint.laying import Laying
from structdiff.constraint.plan import Plan
from structdiff.core.errors import BudgetTooSmall, GenerationError, VocabularyMismatch
from structdiff.core.json_values import json_value
from structdiff.core.restrictions import Restriction
from structdiff.frontends.protocol import Source
from structdiff.lattice.frame import build_frame
from structdiff.tokens.automaton import TokenAutomaton
from structdiff.tokens.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Constraint:
    """The language of a source over a vocabulary; made by `compile`.

    ``restrictions`` is what the source allows and the constraint never writes; empty means that all of it can be
    written, budget permitting. ``most_tokens``: it serves outputs of so many tokens and no longer ones (None: of any
    length). ``key`` is equal for equal constraints (None: that cannot be told).

    Where strings are taken from the text (`needs_text`), this is what could be written of any text. `for_text` gives
    the constraint of one ``text``.
    """

    source: Source
    vocabulary: Vocabulary
    automaton: TokenAutomaton = field(repr=False)
    rules: Any = field(default=None, repr=False)
    restrictions: tuple[Restriction, ...] = ()
    key: str | None = field(default=None, repr=False)
    most_tokens: int | None = None
    laying: Laying | None = field(default=None, repr=False)
    text: str | None = field(default=None, repr=False)

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
        self.require_budget(max_tokens)
        return Plan(build_frame(self.automaton, 0, max_tokens, 0), self.vocabulary, repr(self))

    @property
    def needs_text(self) -> bool:
        """Are strings taken from a text that is not given yet?"""
        return self.laying is not None and self.text is None

    def require_text(self) -> None:
        """Raises `GenerationError` where strings are taken from a text that is not given yet."""
        if self.needs_text:
            raise GenerationError("the constraint takes values from a text; give it one with constraint.for_text")

    def for_text(self, text: str) -> Constraint:
        """The constraint of the outputs whose verbatim strings are spans of ``text``; itself where there are none.

        >>> import structdiff
        >>> from structdiff.testing.tiny import tiny_vocabulary
        >>> letters = tiny_vocabulary([bytes([b]) for b in range(32, 127)])
        >>> constraint = structdiff.compile({"type": "string", "x-verbatim": True}, letters)
        >>> bound = constraint.for_text("Ann lives in Ulm.")
        >>> bound.matches('"in Ulm"'), bound.matches('"Bonn"'), constraint.matches('"Bonn"')
        (True, False, True)

        Raises `NothingToQuote` where a string is required and no span can be it.
        """
        if self.laying is None:
            return self
        return replace(self, automaton=self.laying.lay(text), text=text, key=None)

    def spans(self, output: str, text: str) -> dict[str, list[tuple[int, int]]]:
        """Where in ``text`` the verbatim strings of an output stand, by JSON Pointer: (start, end) in characters, every
        place in order. Strings that the text does not hold (constants beside ``x-verbatim``) are left out."""
        return {} if self.laying is None else self.laying.spans(output, text)

    def spelt(self, output: str) -> str:
        """An output with its verbatim strings spelt as in the text, where they may be spelt otherwise."""
        return output if self.laying is None or self.text is None else self.laying.spelt(output, self.text)

    def value(self, text: str) -> Any:
        """The Python value of an output text: parsed JSON, an instance of the source's class, or the text itself.

        Raises `ValidationFailed` where a validator of the class rejects the text, and `RepeatedKey` where an object of
        JSON has a key twice.
        """
        if self.source.traits.json:
            json_value(text)
        return self.source.parse(text)

    def require_budget(self, max_tokens: int) -> None:
        """Raises `BudgetTooSmall` below `min_tokens`, `GenerationError` where longer outputs were not compiled for."""
        if max_tokens < self.min_tokens:
            raise BudgetTooSmall(self.min_tokens, max_tokens)
        if self.most_tokens is not None and max_tokens > self.most_tokens:
            raise GenerationError(
                f"the constraint of {self.source.name} was compiled for outputs of at most {self.most_tokens} tokens, "
                f"not {max_tokens}; compile the source again"
            )

    def require(self, vocabulary: Vocabulary) -> None:
        """Raises `VocabularyMismatch` where ``vocabulary`` is not the one that the constraint was compiled for."""
        if vocabulary.fingerprint != self.vocabulary.fingerprint:
            raise VocabularyMismatch(
                f"the constraint of {self.source.name} was compiled for another tokenizer "
                f"({self.vocabulary.size} token ids, end {list(self.vocabulary.end_ids)}; this one has "
                f"{vocabulary.size}, end {list(vocabulary.end_ids)}); compile it with this model's own"
            )

    def __repr__(self) -> str:
        restricted = f", {len(self.restrictions)} restrictions" if self.restrictions else ""
        return (
            f"Constraint({self.source.name}: {self.states} states, {self.edges} edges, {self.classes} classes, "
            f"at least {self.min_tokens} tokens{restricted})"
        )
