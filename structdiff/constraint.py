"""A constraint: a compiled source (schema, class, regex, choices) bound to a vocabulary."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from structdiff import cache
from structdiff.automaton import TokenAutomaton, build_token_automaton
from structdiff.errors import BudgetTooSmall
from structdiff.grammar.automaton import compile_tree
from structdiff.grammar.limits import Limits, enforced
from structdiff.grammar.tree import ByteSet, Repeat, literal
from structdiff.lattice.frame import Frame, build_frame
from structdiff.source import Source, read_source
from structdiff.vocabulary.vocabulary import Vocabulary


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
        return Plan(self, build_frame(self.automaton, 0, max_tokens, 0))

    def value(self, text: str) -> Any:
        """The Python value of an output text: parsed JSON, an instance of the source's class, or the text itself."""
        return self.source.parse(text)

    def __repr__(self) -> str:
        return (
            f"Constraint({self.source.name}: {self.states} states, {self.edges} edges, {self.classes} classes, "
            f"at least {self.min_tokens} tokens)"
        )


@dataclass(frozen=True, eq=False)
class Plan:
    """What is known of the output before any denoising: per position, which tokens can still occur.

    ``anchors`` maps each position with exactly one possible token to that token.
    """

    constraint: Constraint
    frame: Frame

    @property
    def length(self) -> int:
        return self.frame.length

    def _labels(self, position: int) -> np.ndarray:
        block = self.frame.block[position]
        return self.frame.labels[self.frame.labels_at[block] : self.frame.labels_at[block + 1]]

    def allowed(self, position: int) -> np.ndarray:
        """int32[n]: the token ids that can occur at ``position``, end tokens included, ascending."""
        if not 0 <= position < self.length:
            raise IndexError(f"position {position} is outside the plan of {self.length} positions")
        automaton = self.constraint.automaton
        parts = [automaton.tokens_of_label(label) for label in self._labels(position) if label < automaton.labels]
        if automaton.labels in self._labels(position):
            parts.append(np.array(self.constraint.vocabulary.end_ids, np.int32))
        return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int32)

    def may_be_tail(self, position: int) -> bool:
        """Can the text have ended before ``position``?"""
        return self.constraint.automaton.labels + 1 in self._labels(position)

    @cached_property
    def anchors(self) -> dict[int, int]:
        found = {}
        for position in range(self.length):
            if not self.may_be_tail(position) and len(allowed := self.allowed(position)) == 1:
                found[position] = int(allowed[0])
        return found

    def render(self, piece: Callable[[int], str] | None = None) -> str:
        """The plan as text: anchors spelled out, runs of free positions with how many tokens each allows."""
        piece = piece or self.constraint.vocabulary.piece
        lines = [f"{self.constraint!r}", f"{len(self.anchors)} of {self.length} positions are anchors"]
        position = 0
        while position < self.length:
            end = position + 1  # positions that share a block of live edges have the same mask
            while end < self.length and self.frame.block[end] == self.frame.block[position]:
                end += 1
            where = f"{position:>5}" if end == position + 1 else f"{position}-{end - 1}".rjust(5)
            if position in self.anchors:
                lines.append(f"{where}  anchor  {piece(self.anchors[position])!r}")
            else:
                allowed = self.allowed(position)
                shown = " ".join(repr(piece(int(token))) for token in allowed[:6])
                more = f" and {len(allowed) - 6} more" if len(allowed) > 6 else ""
                tail = ", or tail" if self.may_be_tail(position) else ""
                lines.append(f"{where}  mask    {len(allowed)} tokens{tail}: {shown}{more}")
            position = end
        return "\n".join(lines)


def compile(
    source: Any,
    tokenizer: Any,
    *,
    limits: Limits | None = None,
    canonical: bool = True,
    end_ids: tuple[int, ...] | None = None,
    vocab_size: int | None = None,
    **options: Any,
) -> Constraint:
    """Compile a source for a tokenizer.

    ``source``: a JSON Schema (dict, bool, JSON text or path), a Pydantic class or any type Pydantic understands,
    `Regex`, `Choice`, `Grid` or `Table`. ``tokenizer``: a `Vocabulary`, a folder with tokenizer.json, or a fast
    tokenizer. ``options`` are those of `json_schema_tree` (whitespace, extra_properties, key_order, max_depth).
    Needs no torch.

    What took long to compile is kept on disk (`structdiff.cache`), so that the next process only loads it. Raises
    `InvalidSchema`, `UnsupportedSchema`, `Unsatisfiable`, `CompileLimit`, `UnsupportedTokenizer`.
    """
    vocabulary = Vocabulary.of(tokenizer, end_ids, vocab_size)
    _ = vocabulary.trie
    _load_kernels()
    limits = (limits or Limits()).restarted()  # the clock measures the constraint, not what is loaded once
    read = read_source(source, **options)
    if read.restrict is not None:
        vocabulary = read.restrict(vocabulary)
    rules = read.rules(vocabulary) if read.rules is not None else None
    name = cache.name_of(read.key, vocabulary, canonical, limits)
    automaton = cache.load(name) if name else None
    if automaton is None:
        with enforced(limits):
            compiled = compile_tree(read.build(limits), limits)
            automaton = build_token_automaton(compiled, vocabulary, canonical=canonical, limits=limits)
        if name and limits.elapsed > cache.WORTH_KEEPING:
            cache.store(name, automaton)
    return Constraint(read, vocabulary, automaton, rules)


@functools.cache
def _load_kernels() -> None:
    """Load the compiled kernels (on the very first use of an installation, compile them)."""
    from structdiff.lattice.examples import tiny

    tree = Repeat(ByteSet.of(b"ab"), 0, 2)
    _ = compile_tree(tree) - compile_tree(literal("a"))
    tiny(tree, canonical=True)
