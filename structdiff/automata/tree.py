"""The grammar tree: an immutable description of a language over *bytes*.

Every front end (JSON Schema, regex, choices, tables, grids) produces a tree.
`structdiff.automata.byte_automaton` turns a tree into a minimal byte automaton.
Trees are plain frozen values that can be shared freely between parents.

>>> digits = Repeat(ByteSet.of(b"0123456789"), 1, 3)
>>> union(literal("yes"), sequence(literal("no"), digits))
Union(items=(Literal(data=b'yes'), Sequence(items=(Literal(data=b'no'), Repeat(item=ByteSet(48-57), low=1, high=3)))))
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from structdiff.automata.byte_automaton import ByteAutomaton


class Node:
    """Base class of grammar nodes."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """Exactly these bytes. ``Literal(b"")`` is the empty string."""

    data: bytes


@dataclass(frozen=True, slots=True, repr=False)
class ByteSet(Node):
    """One byte out of a set; ``mask`` has bit ``b`` set when byte ``b`` is a member. An empty set matches nothing."""

    mask: int

    @classmethod
    def of(cls, members: Iterable[int]) -> ByteSet:
        mask = 0
        for byte in members:
            mask |= 1 << byte
        return cls(mask)

    def __repr__(self) -> str:
        members, parts, i = [b for b in range(256) if self.mask >> b & 1], [], 0
        while i < len(members):
            j = i
            while j + 1 < len(members) and members[j + 1] == members[j] + 1:
                j += 1
            parts.append(f"{members[i]}" if i == j else f"{members[i]}-{members[j]}")
            i = j + 1
        return f"ByteSet({','.join(parts)})"


@dataclass(frozen=True, slots=True)
class Sequence(Node):
    """The items one after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Union(Node):
    """Any one of the items; they may overlap. ``Union(())`` matches nothing."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat(Node):
    """``item`` repeated ``low`` to ``high`` times (``high=None``: without bound)."""

    item: Node
    low: int = 0
    high: int | None = None


@dataclass(frozen=True, slots=True)
class Network(Node):
    """A finite automaton whose edges carry grammar nodes (``None``: nothing): what a tree alone cannot share.

    ``size`` states are numbered from 0; state ``start`` begins, any state in ``finals`` ends. An object with
    optional properties is a chain of states with skip edges: its size stays linear in the number of properties.

    >>> comma_list = Network(2, ((0, literal("a"), 1), (1, literal(","), 0)), 0, (1,))   # a | a,a | a,a,a ...
    """

    size: int
    edges: tuple[tuple[int, Node | None, int], ...]
    start: int
    finals: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Embedded(Node):
    """A finished byte automaton as a leaf: the result of an intersection, a complement, a difference."""

    automaton: ByteAutomaton


@dataclass(frozen=True, slots=True)
class Labelled(Node):
    """``item``, remembered as the part of the source at JSON Pointer ``pointer`` (for messages about size)."""

    item: Node
    pointer: str


@dataclass(frozen=True, slots=True)
class Reference(Node):
    """What the rule ``name`` derives; `structdiff.automata.recursion.unroll` writes it out."""

    name: str


EMPTY = Literal(b"")
NEVER = Union(())
ANY_BYTE = ByteSet((1 << 256) - 1)


def literal(text: str | bytes) -> Literal:
    """The node for exactly ``text`` (UTF-8)."""
    return Literal(text.encode() if isinstance(text, str) else text)


def sequence(*items: Node) -> Node:
    """The items in order; flattens nested sequences, joins literals, and is NEVER if any item is NEVER."""
    flat: list[Node] = []
    for item in items:
        for part in item.items if isinstance(item, Sequence) else (item,):
            if part == NEVER:
                return NEVER
            if isinstance(part, Literal):
                if not part.data:
                    continue
                if flat and isinstance(flat[-1], Literal):
                    flat[-1] = Literal(flat[-1].data + part.data)
                    continue
            flat.append(part)
    if not flat:
        return EMPTY
    return flat[0] if len(flat) == 1 else Sequence(tuple(flat))


def union(*items: Node) -> Node:
    """Any one of the items; flattens nested unions and drops duplicates and NEVER."""
    flat: dict[Node, None] = {}
    for item in items:
        for part in item.items if isinstance(item, Union) else (item,):
            flat[part] = None
    flat.pop(NEVER, None)
    parts = tuple(flat)
    return parts[0] if len(parts) == 1 else Union(parts)


def either(*nodes: Node) -> Node:
    """`union` that compares nodes by identity: for large trees whose equal parts are one object already."""
    parts = tuple({id(node): node for node in nodes if node != NEVER}.values())
    return parts[0] if len(parts) == 1 else Union(parts)


def optional(item: Node) -> Node:
    """``item`` or nothing."""
    return union(item, EMPTY)
