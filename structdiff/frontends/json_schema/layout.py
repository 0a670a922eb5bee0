"""Where whitespace may stand in the JSON that is written.

``compact`` writes none, ``pretty`` the layout of ``json.dumps(indent=...)``. ``json``, the default, leaves room for how
models write: after ``:`` nothing or a space; after ``{ [ ,`` and before ``} ]`` nothing, a space, or a line break
followed by up to `MAX_INDENT` spaces. Nowhere else, and nothing inside an empty object or array.

>>> Layout("pretty", 2).gap(1)
Literal(data=b'\\n  ')
"""

from __future__ import annotations

from dataclasses import dataclass

from structdiff.automata.tree import EMPTY, ByteSet, Node, Repeat, literal, optional, sequence, union

MAX_INDENT = 12
_LOOSE = union(EMPTY, literal(" "), sequence(literal("\n"), Repeat(ByteSet.of(b" "), 0, MAX_INDENT)))
_LOOSE_COLON = sequence(literal(":"), optional(literal(" ")))


@dataclass(frozen=True)
class Layout:
    """Whitespace between the tokens of JSON; ``level`` is how many brackets are open around the place."""

    name: str = "json"
    indent: int = 2

    def __post_init__(self) -> None:
        if self.name not in ("json", "compact", "pretty"):
            raise ValueError(f'whitespace is {self.name!r}; it must be "json", "compact" or "pretty"')

    @property
    def by_level(self) -> bool:
        """Does the layout depend on the level?"""
        return self.name == "pretty"

    def gap(self, level: int) -> Node:
        """Between a bracket or a comma and what follows it, or before a closing bracket."""
        if self.name == "json":
            return _LOOSE
        return EMPTY if self.name == "compact" else literal("\n" + " " * self.indent * level)

    @property
    def colon(self) -> Node:
        if self.name == "json":
            return _LOOSE_COLON
        return literal(":" if self.name == "compact" else ": ")
