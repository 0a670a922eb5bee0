"""Strings that are taken from the text: the slots of a tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from structdiff.automata.byte_automaton import NOTHING
from structdiff.automata.slots import MARKS, Part, Slot, any_of, mark
from structdiff.automata.spans import Reading
from structdiff.automata.tree import NEVER, Embedded, Node, either
from structdiff.core.errors import UnsupportedSchema
from structdiff.frontends.json_schema.leaves import StringShape
from structdiff.frontends.verbatim import KEYWORD, reading_of

Notes = tuple[tuple[str, str], ...]
"""What is left out of strings: keywords and reasons."""


class Quoted:
    """The slots of one tree; equal ones are one kind. ``write`` writes strings that are not taken from the text."""

    def __init__(self, write: Callable[[StringShape], tuple[Node, Notes]], ascii_only: bool) -> None:
        self._write, self._ascii_only = write, ascii_only
        self.slots: list[Slot] = []
        self._known: dict[tuple[frozenset[StringShape], frozenset[StringShape]], tuple[Node, Notes]] = {}

    def slot(self, taken: Sequence[StringShape], beside: Sequence[StringShape], pointer: str) -> tuple[Node, Notes]:
        """A slot for strings of some shapes taken from the text, or of constants ``beside`` them.

        Raises `UnsupportedSchema` where other strings than constants stand beside them, and for too many kinds.
        """
        key = frozenset(taken), frozenset(beside)
        if key in self._known:
            return self._known[key]
        if any(shape.only is None for shape in beside):
            raise UnsupportedSchema(pointer, KEYWORD, "beside it only constants may stand, and no other strings")
        if len(self.slots) == len(MARKS):
            raise UnsupportedSchema(pointer, KEYWORD, f"with other conditions on more than {len(MARKS)} strings")
        parts: list[Part] = []
        nodes: list[Node] = []
        notes: list[tuple[str, str]] = []
        for shape in taken:
            part, node, left_out = self._part(shape, pointer)
            parts.append(part)
            nodes.append(node)
            notes += left_out
        others = [node for node in (self._write(shape)[0] for shape in beside) if node != NEVER]
        extra = any_of(others) if others else NOTHING
        free = either(*nodes, *([Embedded(extra)] if others else []))
        self.slots.append(Slot(tuple(parts), free, extra, self._ascii_only, pointer))
        self._known[key] = mark(len(self.slots) - 1), tuple(dict.fromkeys(notes))
        return self._known[key]

    def _part(self, shape: StringShape, pointer: str) -> tuple[Part, Node, Notes]:
        readings = {leaf.text for leaf in shape.having if leaf.keyword == KEYWORD}
        if len(readings) > 1:
            raise UnsupportedSchema(pointer, KEYWORD, "two schemas for one string read the text in different ways")
        reading = reading_of(readings.pop()) if readings else Reading()
        rest = replace(shape, having=frozenset(leaf for leaf in shape.having if leaf.keyword != KEYWORD))
        node, notes = self._write(replace(rest, low=max(rest.low, 1)))
        content = any_of([node])
        free = Embedded(content)
        if rest.is_plain and rest.low <= 1:
            high = rest.high
            return Part(reading, None if high is None else content, high or 0), free, notes
        return Part(reading, content), free, notes
