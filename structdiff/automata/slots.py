"""Automata with slots: places whose content is known only later, such as the spans of a text.

In the tree of a source a slot is one byte that no JSON text holds, alone between two quotes. `Template` is the compiled
automaton with these bytes in it, `Template.filled` the one in which contents stand in their places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from structdiff.automata.byte_automaton import NOTHING, ByteAutomaton, minimal
from structdiff.automata.compiling import compile_tree
from structdiff.automata.spans import Passage, Reading, span_automaton
from structdiff.automata.tree import ByteSet, Embedded, Network, Node, either, literal, sequence
from structdiff.core.errors import NothingToQuote, UnsupportedSchema
from structdiff.core.json_spans import scan
from structdiff.core.limits import Limits

MARKS = (0xC0, 0xC1, *range(0xF5, 0x100), *(byte for byte in range(0x20) if byte not in b"\t\n\r"))
"""Bytes that no JSON text in UTF-8 holds: the mark of each kind of slot."""
_QUOTE = 0x22


@dataclass(frozen=True, eq=False)
class Part:
    """Spans under a ``reading`` that ``content`` holds too, as the inside of a string (None: all of them).

    Spans of at most ``enough`` characters are all in ``content``.
    """

    reading: Reading
    content: ByteAutomaton | None = None
    enough: int = 0


@dataclass(frozen=True, eq=False)
class Slot:
    """A kind of slot: what each of its ``parts`` admits of a text, or what ``extra`` holds whatever the text is.

    ``pointer`` is its place in the schema; ``free`` is all that it holds under one text or another.
    """

    parts: tuple[Part, ...]
    free: Node = field(repr=False)
    extra: ByteAutomaton = NOTHING
    ascii_only: bool = False
    pointer: str = ""


@dataclass(frozen=True, eq=False)
class Place:
    """A slot in a template: the state before it, its kind, the states before and behind the closing quote."""

    before: int
    kind: int
    quote: int
    behind: int


class Template:
    """The automaton of a source with slots; kind k of them is the byte ``MARKS[k]``."""

    def __init__(self, marked: ByteAutomaton, slots: Sequence[Slot]) -> None:
        self.marked, self.slots = marked, tuple(slots)
        self._without: dict[frozenset[int], Template] = {}

    @cached_property
    def places(self) -> list[Place]:
        """Every slot. Raises `UnsupportedSchema` where a string may stand beside one."""
        table, found = self.marked.by_byte, []
        for kind, slot in enumerate(self.slots):
            for state in np.flatnonzero(table[:, MARKS[kind]] >= 0).tolist():
                if (table[state] >= 0).sum() > 1:
                    raise UnsupportedSchema(
                        slot.pointer,
                        "x-verbatim",
                        "other strings may stand at the same place (anyOf of objects that differ there)",
                    )
                quote = int(table[state, MARKS[kind]])
                found.append(Place(state, kind, quote, int(table[quote, _QUOTE])))
        return found

    @cached_property
    def bare(self) -> ByteAutomaton:
        """The automaton without the marks: what is never written across a slot. It is not minimal."""
        table, byte_class = self.marked.transitions.copy(), self.marked.byte_class
        for kind in range(len(self.slots)):
            table[:, byte_class[MARKS[kind]]] = -1
        return ByteAutomaton(table, byte_class, self.marked.accepting)

    def without(self, empty: frozenset[int]) -> Template:
        """The template in which nothing stands in slots of some kinds.

        Raises `NothingToQuote` where no output is left.
        """
        if not empty:
            return self
        known = self._without.get(empty)
        if known is None:
            gone = [place for place in self.places if place.kind in empty]
            left = self._cut(gone)
            if left.is_empty:
                alone = (place for place in gone if self._cut([place]).is_empty)
                raise NothingToQuote(self.pointer(next(alone, gone[0])))
            known = self._without[empty] = Template(left, self.slots)
        return known

    def _cut(self, places: Sequence[Place]) -> ByteAutomaton:
        table = self.marked.transitions.copy()
        table[[place.before for place in places]] = -1
        return minimal(table, self.marked.accepting, self.marked.byte_class.copy())

    def pointer(self, place: Place) -> str:
        """The JSON Pointer of a slot in the first output that has it."""
        goal = np.zeros(self.marked.states, bool)
        goal[place.before] = True
        way = minimal(self.marked.transitions.copy(), goal, self.marked.byte_class.copy()).shortest()
        leaves = scan(bytes(ord("x") if byte in MARKS[: len(self.slots)] else byte for byte in way) + b'"').leaves
        return leaves[-1].pointer

    def filled(self, contents: Sequence[ByteAutomaton | Node], limits: Limits | None = None) -> ByteAutomaton:
        """The minimal automaton with a content for each kind of slot."""
        marks = 0
        nodes = [Embedded(one) if isinstance(one, ByteAutomaton) else one for one in contents]
        for kind in range(len(self.slots)):
            marks |= 1 << MARKS[kind]
        moves = self.marked.moves
        edges: list[tuple[int, Node | None, int]] = []
        for source, mask, target in zip(moves.source.tolist(), moves.mask.tolist(), moves.target.tolist(), strict=True):
            plain = moves.masks[mask] & ~marks
            if plain:
                edges.append((source, ByteSet(plain), target))
            edges += [(source, node, target) for kind, node in enumerate(nodes) if moves.masks[mask] >> MARKS[kind] & 1]
        finals = tuple(np.flatnonzero(self.marked.accepting).tolist())
        return compile_tree(Network(self.marked.states, tuple(edges), 0, finals), limits)

    def free(self, limits: Limits | None = None) -> ByteAutomaton:
        """The outputs under any text."""
        _ = self.places
        return self.filled([slot.free for slot in self.slots], limits)

    def contents(self, text: str, limits: Limits | None = None) -> list[ByteAutomaton]:
        """What each kind of slot holds under a text."""
        spans: dict[tuple[Reading, bool], ByteAutomaton] = {}
        size = len(text)
        found = []
        for slot in self.slots:
            whole = slot.extra
            for part in slot.parts:
                key = part.reading, slot.ascii_only
                if key not in spans:
                    spans[key] = span_automaton(Passage(text, part.reading), slot.ascii_only, limits)
                here = spans[key]
                if part.content is not None and size > part.enough:
                    here = here & part.content
                whole = here if whole.is_empty else whole if here.is_empty else whole | here
            found.append(whole)
        return found

    def quoted(self, output: bytes) -> dict[str, Slot]:
        """The slots that an output fills, by the JSON Pointer of each; {} for what is no output."""
        by_state = {place.before: place for place in self.places}
        state, at, starts = 0, 0, {}
        while at < len(output):
            place = by_state.get(state)
            if place is not None:
                starts[at - 1] = self.slots[place.kind]
                while at < len(output) and output[at] != _QUOTE:
                    at += 1 + (output[at] == 0x5C)
                state = place.quote
            else:
                state = self.marked.walk(output[at : at + 1], state)
                at += 1
                if state < 0:
                    return {}
        return {leaf.pointer: starts[leaf.start] for leaf in scan(output).leaves if leaf.start in starts}


def inside(strings: ByteAutomaton) -> ByteAutomaton:
    """What stands between the quotes of JSON strings.

    >>> from structdiff.automata.byte_automaton import of_words
    >>> inside(of_words([b'"a"', rb'"\\""'])) == of_words([b"a", rb'\\"'])
    True
    """
    if strings.is_empty:
        return NOTHING
    column = int(strings.byte_class[_QUOTE])
    table = strings.transitions.copy()
    behind = table[:, column]
    ends = (behind >= 0) & strings.accepting[behind]
    first = int(behind[0])
    table[ends, column] = -1
    order = np.arange(strings.states)
    order[[0, first]] = first, 0  # the automaton begins behind the quote, and nothing leads back before it
    table = table[order]
    moved = np.append(order, -1).astype(np.int32)
    return minimal(np.ascontiguousarray(moved[table]), ends[order], strings.byte_class.copy())


def holds_marks(automaton: ByteAutomaton) -> bool:
    """Is there a slot in the automaton of a tree?"""
    return bool((automaton.by_byte[:, MARKS] >= 0).any())


def mark(kind: int) -> Node:
    """A slot in a tree, with its quotes."""
    return sequence(literal('"'), ByteSet.of(MARKS[kind : kind + 1]), literal('"'))


def any_of(nodes: Sequence[Node]) -> ByteAutomaton:
    """What stands between the quotes of strings given as trees."""
    return inside(compile_tree(either(*nodes)))
