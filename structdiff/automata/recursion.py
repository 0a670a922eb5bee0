"""Recursion written out: rules that refer to each other become one tree, as deep as is asked for.

A finite automaton has no stack. Rules that contain themselves are unrolled: loops of references may be closed
``rounds`` times on the way from the start, and of the references between rules that lead to a loop ``steps`` may nest,
where so many are given. Where a loop would go on the reference is `NEVER`, and that is told as a `Restriction`: what
is written is exactly what the rules derive without it.

>>> from structdiff.automata.compiling import compile_tree
>>> from structdiff.automata.tree import Reference, literal, sequence, union
>>> list_ = union(literal("()"), sequence(literal("("), Reference("list"), literal(")")))
>>> node, restrictions = unroll({"list": list_}, "list", rounds=2)
>>> [compile_tree(node).accepts(b"(" * n + b")" * n) for n in (1, 2, 3, 4)]
[True, True, True, False]
>>> print(restrictions[0])
at list: recursion: it ends after 2 rounds
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from structdiff.automata.size import size
from structdiff.automata.tree import (
    NEVER,
    Labelled,
    Network,
    Node,
    Reference,
    Repeat,
    Sequence,
    Union,
    either,
    sequence,
)
from structdiff.core.errors import CompileLimit, InvalidSchema
from structdiff.core.limits import Limits, active
from structdiff.core.restrictions import Restriction

UNCOUNTED = 1 << 30
Depth = tuple[int, int]
"""How often loops may still be closed, and how many more references may nest."""
Name = TypeVar("Name", bound=Hashable)


class Recursion(Generic[Name]):
    """Which references close loops, and how deep a reference may go.

    ``below`` tells the rules that a rule refers to. Only references between rules that lead to a loop count: what is
    not recursive is never cut, however deep.
    """

    def __init__(self, below: Callable[[Name], Iterable[Name]], rounds: int, steps: int) -> None:
        self._below, self.full = below, (rounds, steps)
        self._back: set[tuple[Name, Name]] = set()
        self._looping: set[Name] = set()
        self.cut: dict[Name, None] = {}

    def follow(self, start: Name) -> None:
        """Find the loops that can be reached from a rule: depth first, an edge to an open rule closes one."""
        is_open, closed = {start}, set()
        stack = [(start, iter(self._below(start)))]
        while stack:
            rule, below = stack[-1]
            inner = next(below, None)
            if inner is None:
                stack.pop()
                is_open.discard(rule)
                closed.add(rule)
                if rule in self._looping and stack:
                    self._looping.add(stack[-1][0])
            elif inner in is_open:
                self._back.add((rule, inner))
                self._looping.add(rule)
            elif inner not in closed:
                is_open.add(inner)
                stack.append((inner, iter(self._below(inner))))
            elif inner in self._looping:
                self._looping.add(rule)

    @property
    def loops(self) -> bool:
        """Has a loop been found?"""
        return bool(self._back)

    def felt(self, rule: Name, depth: Depth) -> Depth:
        """The depth as far as it matters to a rule: one that leads to no loop is the same at every depth."""
        return depth if rule in self._looping else self.full

    def inside(self, outer: Name, inner: Name, depth: Depth) -> Depth | None:
        """The depth left to ``inner`` where ``outer``, at ``depth``, refers to it; None: it ends there."""
        if inner not in self._looping or outer not in self._looping:
            return self.full
        rounds, steps = depth
        rounds -= (outer, inner) in self._back
        if rounds < 0 or steps <= 0:
            self.cut[inner] = None
            return None
        return rounds, steps if steps == UNCOUNTED else steps - 1


def unroll(
    rules: Mapping[str, Node],
    start: str,
    *,
    rounds: int = 3,
    steps: int | None = None,
    limits: Limits | None = None,
    settle: Callable[[Node], Node] | None = None,
) -> tuple[Node, tuple[Restriction, ...]]:
    """The tree of the rule ``start``, with the references of all ``rules`` written out, and what is left out.

    ``settle`` may put a smaller tree of the same language in the place of each tree that is written out. The pointer
    of a restriction is the name of the rule. Raises `InvalidSchema` for a reference to no rule, and
    `CompileLimit` with the name of a rule whose tree has more nondeterministic states than ``limits`` allow.
    """
    limits = limits or active()
    below = {name: tuple(dict.fromkeys(references(node))) for name, node in rules.items()}
    for name, inner in [(start, start), *((name, inner) for name, found in below.items() for inner in found)]:
        if inner not in rules:
            raise InvalidSchema(f"there is no rule {inner!r}", name)
    recursion = Recursion[str](below.__getitem__, rounds, UNCOUNTED if steps is None else steps)
    recursion.follow(start)
    known: dict[tuple[str, Depth], Node] = {}
    sizes: dict[int, tuple[int, Node]] = {}

    def written(name: str, depth: Depth) -> Node:
        key = name, recursion.felt(name, depth)
        if key not in known:
            limits.check_time(name)
            inner = {}
            for other in below[name]:
                left = recursion.inside(name, other, depth)
                inner[other] = NEVER if left is None else written(other, left)
            node = _replaced(rules[name], inner, {})
            if size(node, sizes) > limits.nodes:
                raise CompileLimit(name, f"{limits.nodes} grammar nodes")
            known[key] = node if settle is None else settle(node)
        return known[key]

    node = written(start, recursion.full)
    reason = f"it ends after {rounds} rounds" + ("" if steps is None else f" and {steps} nested references")
    return node, tuple(sorted(Restriction(name, "recursion", reason) for name in recursion.cut))


def references(root: Node) -> list[str]:
    """The names that a tree refers to, in its order."""
    found, pending = [], [root]
    while pending:
        node = pending.pop()
        if isinstance(node, Reference):
            found.append(node.name)
        elif isinstance(node, Labelled | Repeat):
            pending.append(node.item)
        elif isinstance(node, Sequence | Union):
            pending.extend(reversed(node.items))
        elif isinstance(node, Network):
            pending.extend(item for _, item, _ in reversed(node.edges) if item is not None)
    return found


def _replaced(node: Node, inner: Mapping[str, Node], known: dict[int, Node]) -> Node:
    """The tree with the rules in place of the references."""
    if id(node) not in known:
        known[id(node)] = _replace(node, inner, known)
    return known[id(node)]


def _replace(node: Node, inner: Mapping[str, Node], known: dict[int, Node]) -> Node:
    if isinstance(node, Reference):
        return inner[node.name]
    if isinstance(node, Labelled):
        item = _replaced(node.item, inner, known)
        return node if item is node.item else NEVER if item == NEVER else Labelled(item, node.pointer)
    if isinstance(node, Repeat):
        item = _replaced(node.item, inner, known)
        return node if item is node.item else Repeat(item, node.low, node.high)
    if isinstance(node, Sequence | Union):
        items = tuple(_replaced(item, inner, known) for item in node.items)
        if all(item is old for item, old in zip(items, node.items, strict=True)):
            return node
        return sequence(*items) if isinstance(node, Sequence) else either(*items)
    if isinstance(node, Network):
        edges = tuple(
            (source, item if item is None else _replaced(item, inner, known), target)
            for source, item, target in node.edges
        )
        return Network(node.size, edges, node.start, node.finals)
    return node
