"""Recursion that is a loop, written as one: rules that refer to themselves at their beginning or end alone.

``sum: product | sum "+" product`` is a list of products, and no depth needs to bound it. What is left as a
`Reference` afterwards stands inside other text, as in ``"(" sum ")"``, and needs a stack.

>>> from structdiff.automata.compiling import compile_tree
>>> from structdiff.automata.tree import Reference, literal, sequence, union
>>> rules = {"sum": union(literal("1"), sequence(Reference("sum"), literal("+"), literal("1")))}
>>> compile_tree(looped(rules)["sum"]).accepts(b"1+1+1+1+1")
True
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from structdiff.automata.recursion import references
from structdiff.automata.tree import EMPTY, NEVER, Labelled, Network, Node, Reference, Sequence, Union

Parts = tuple[Node, ...]
"""An alternative of a rule: what stands one after the other."""
MOST_ALTERNATIVES = 400
"""So many alternatives a rule may get by writing out others in it; beyond that its recursion is unrolled."""


def looped(rules: Mapping[str, Node]) -> dict[str, Node]:
    """The same rules, each deriving the same language, with loops for recursion at the ends of alternatives."""
    found = {name: _alternatives(node, frozenset(rules)) for name, node in rules.items()}
    out = dict(rules)
    for group in _groups(found):
        if len(group) > 1 and _one_sided(found, group):
            out |= {name: _linear(name, found, group) for name in group}
            continue
        for name in group:
            alternatives = found[name] if len(group) == 1 else _alone(name, found, group)
            if any(name in _ends(parts) for parts in alternatives):
                out[name] = _single(name, alternatives)
    return out


def _alternatives(node: Node, names: frozenset[str]) -> list[Parts]:
    """The alternatives at the top of a rule; those at the ends of an alternative are written out if they refer."""
    pending: list[Parts] = [(item,) for item in (reversed(node.items) if isinstance(node, Union) else (node,))]
    done: list[Parts] = []
    while pending:
        parts = pending.pop()
        at = next((at for at in (0, -1) if parts and _opens(parts[at], names)), None)
        if at is None or len(done) + len(pending) > MOST_ALTERNATIVES:
            done.append(tuple(part for part in parts if part != EMPTY))
            continue
        inner = parts[at]
        head, tail = (parts[:at], ()) if at else ((), parts[1:])
        if isinstance(inner, Labelled):
            options: Iterable[Parts] = [(inner.item,)]
        elif isinstance(inner, Sequence):
            options = [inner.items]
        else:
            assert isinstance(inner, Union)
            options = [() if item == EMPTY else (item,) for item in reversed(inner.items)]
        pending += [(*head, *option, *tail) for option in options]
    return done


def _opens(node: Node, names: frozenset[str]) -> bool:
    return (
        isinstance(node, Labelled | Sequence | Union) and node != NEVER and bool(names.intersection(references(node)))
    )


def _ends(parts: Parts) -> set[str]:
    """The rules that an alternative refers to at its beginning or its end."""
    return {part.name for part in (*parts[:1], *parts[-1:]) if isinstance(part, Reference)}


def _groups(found: Mapping[str, list[Parts]]) -> list[list[str]]:
    """The rules that refer to each other at the ends of alternatives, in groups."""
    below = {name: {end for parts in found[name] for end in _ends(parts) if end in found} for name in found}
    order: list[str] = []
    seen: set[str] = set()
    for root in found:
        stack = [(root, iter(sorted(below[root])))] if root not in seen else []
        seen.add(root)
        while stack:
            name, inner = stack[-1]
            following = next((one for one in inner if one not in seen), None)
            if following is None:
                order.append(stack.pop()[0])
            else:
                seen.add(following)
                stack.append((following, iter(sorted(below[following]))))
    above: dict[str, list[str]] = {name: [] for name in found}
    for name, inner_names in below.items():
        for inner_name in inner_names:
            above[inner_name].append(name)
    groups, placed = [], set()
    for root in reversed(order):
        if root not in placed:
            group, pending = [], [root]
            placed.add(root)
            while pending:
                name = pending.pop()
                group.append(name)
                new = [one for one in above[name] if one not in placed]
                placed.update(new)
                pending += new
            groups.append(sorted(group))
    return groups


def _one_sided(found: Mapping[str, list[Parts]], group: list[str]) -> bool:
    """Do the rules of a group refer to each other at the beginnings alone, or at the ends alone?"""
    return not _sided(found, group, 0) or not _sided(found, group, -1)


def _sided(found: Mapping[str, list[Parts]], group: list[str], at: int) -> bool:
    return any(len(parts) > 1 and _is(parts[at], group) for name in group for parts in found[name])


def _is(part: Node, group: Iterable[str]) -> bool:
    return isinstance(part, Reference) and part.name in group


def _alone(target: str, found: Mapping[str, list[Parts]], group: list[str]) -> list[Parts]:
    """The alternatives of a rule of a mixed group with the others written out in them; none where that cannot be."""
    local = {name: found[name] for name in group}
    while len(local) > 1:
        free = [name for name in local if name != target and not any(name in _ends(parts) for parts in local[name])]
        if not free:
            return []
        gone = min(free, key=lambda name: len(local[name]))
        options = local.pop(gone)
        for name, alternatives in local.items():
            local[name] = list(dict.fromkeys(one for parts in alternatives for one in _without(parts, gone, options)))
            if len(local[name]) > MOST_ALTERNATIVES:
                return []
    return local[target]


def _without(parts: Parts, gone: str, options: list[Parts]) -> list[Parts]:
    """An alternative with a rule at its ends written out."""
    if not parts:
        return [parts]
    first = options if _is(parts[0], (gone,)) else [parts[:1]]
    if len(parts) == 1:
        return first
    last = options if _is(parts[-1], (gone,)) else [parts[-1:]]
    return [(*a, *parts[1:-1], *b) for a in first for b in last]


class _Wires:
    """A network that grows: alternatives that end alike share the states of their ends."""

    def __init__(self, states: int) -> None:
        self.size = states
        self.edges: dict[tuple[int, Node | None, int], None] = {}
        self._known: dict[tuple[Parts, int], int] = {}

    def add(self, source: int, parts: Parts, target: int) -> None:
        """From ``source`` by way of ``parts`` to ``target``."""
        at = self._state(parts, target)
        if at != source or parts:
            self.edges[source, None, at] = None

    def _state(self, parts: Parts, target: int) -> int:
        if not parts:
            return target
        if (parts, target) not in self._known:
            self._known[parts, target] = at = self.size
            self.size += 1
            self.edges[at, parts[0], self._state(parts[1:], target)] = None
        return self._known[parts, target]

    def network(self, start: int, final: int) -> Network:
        return Network(self.size, tuple(self.edges), start, (final,))


def _single(name: str, alternatives: list[Parts]) -> Network:
    """A rule that refers to itself at its ends: units with what joins two of them in between."""
    wires, start, final = _Wires(2), 0, 1
    for parts in alternatives:
        first, last = _is(parts[0], (name,)) if parts else False, _is(parts[-1], (name,)) if parts else False
        if first and last:
            if len(parts) > 1:
                wires.add(final, parts[1:-1], start)
        elif first:
            wires.add(final, parts[1:], final)
        elif last:
            wires.add(start, parts[:-1], start)
        else:
            wires.add(start, parts, final)
    return wires.network(start, final)


def _linear(name: str, found: Mapping[str, list[Parts]], group: list[str]) -> Network:
    """The network of one rule of a group that is linear on one side."""
    at = {one: number for number, one in enumerate(group)}
    wires, end = _Wires(len(group) + 1), len(group)
    on_left = _sided(found, group, 0)
    for rule in group:
        for parts in found[rule]:
            if on_left:  # states say what has been read; ``end`` is where a text begins
                if parts and _is(parts[0], group):
                    wires.add(at[parts[0].name], parts[1:], at[rule])  # type: ignore[attr-defined]
                else:
                    wires.add(end, parts, at[rule])
            elif parts and _is(parts[-1], group):
                wires.add(at[rule], parts[:-1], at[parts[-1].name])  # type: ignore[attr-defined]
            else:
                wires.add(at[rule], parts, end)
    return wires.network(end, at[name]) if on_left else wires.network(at[name], end)
