"""Several plans as one: what is left to write behind different beginnings is planned once where it is the same.

The plans of the alternatives of `anyOf` and `oneOf` name the same keys again and again. One deterministic network over
keys and demands remembers no more than what still matters: of fourteen keys of which one is required, whether one has
been written.

>>> from structdiff.frontends.json_schema.plans import Edge, Plan
>>> ANY = frozenset()
>>> a = Plan(3, (Edge(0, 1, ANY, "a"), Edge(1, 2, ANY, "c")), (), frozenset({1, 2}), (2,))
>>> b = Plan(3, (Edge(0, 1, ANY, "b"), Edge(1, 2, ANY, "c")), (), frozenset({1, 2}), (2,))
>>> [plan] = compact([a, b])
>>> plan.size, [(edge.source, edge.key, edge.target) for edge in plan.edges]
(3, [(0, 'a', 1), (0, 'b', 1), (1, 'c', 2)])
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from structdiff.core.limits import active
from structdiff.frontends.json_schema.plans import Edge, Key, Plan
from structdiff.frontends.json_schema.shapes import Demand

Symbol = tuple[Any, Demand]
"""A key, an automaton of keys by its identity, or None; and the demand on the value."""
State = tuple[bool, bool, dict[Symbol, frozenset[Hashable]], frozenset[Hashable]]
"""Is it final, has it begun, where do symbols lead, where does nothing lead."""
_ITSELF = -1
"""Stands for the state itself among its targets."""


class _Cyclic(Exception):
    """States lead back to each other, not only to themselves."""


def compact(plans: list[Plan]) -> list[Plan]:
    """One plan of the same values for several, or the same plans where that would be larger."""
    if len(plans) < 2 or any(plan.modulus for plan in plans):
        return plans
    try:
        return [_compacted(plans)]
    except _Cyclic:
        return plans


def _compacted(plans: list[Plan]) -> Plan:
    keys: dict[Any, Key | None] = {}
    states: dict[Hashable, State] = {}
    for which, plan in enumerate(plans):
        finals = set(plan.finals)
        for number in range(plan.size):
            states[which, number] = (number in finals, number in plan.begun, {}, frozenset())
        onward: dict[int, set[Hashable]] = {}
        for source, target in plan.silent:
            onward.setdefault(source, set()).add((which, target))
        for source, targets in onward.items():
            states[which, source] = (*states[which, source][:3], frozenset(targets))
        for edge in plan.edges:
            key = edge.key if edge.key is None or isinstance(edge.key, str) else id(edge.key)
            keys[key] = edge.key
            moves = states[which, edge.source][2]
            moves[key, edge.demand] = moves.get((key, edge.demand), frozenset()) | {(which, edge.target)}
    starts: list[Hashable] = [(which, 0) for which in range(len(plans))]
    classes, kinds = _merged(states, starts)
    begin = frozenset(classes[start] for start in starts)
    known = _deterministic(kinds, begin, most=len(states) + 1)
    if known is None:  # what is written says too little about what is left: alternatives stay side by side
        kinds[-2] = (False, False, {}, begin)
        return _plan(kinds, -2, keys)
    merged, kinds = _merged(known, [0])
    return _plan(kinds, merged[0], keys)


def _merged(states: dict[Hashable, State], starts: Iterable[Hashable]) -> tuple[dict[Hashable, int], dict[int, State]]:
    """The class of each state that can be reached, and the classes; those of one class write the same."""
    classes: dict[Hashable, int] = {}
    numbers: dict[Any, int] = {}
    kinds: dict[int, State] = {}
    for state in _targets_first(states, starts):
        final, begun, moves, silent = states[state]

        def place(target: Hashable, state: Hashable = state) -> Hashable:
            return _ITSELF if target == state else classes[target]

        onward = {symbol: frozenset(map(place, targets)) for symbol, targets in moves.items()}
        still = frozenset(place(target) for target in silent if target != state)
        number = numbers.setdefault((final, begun, frozenset(onward.items()), still), len(numbers))
        classes[state] = number
        if number not in kinds:
            own = {
                symbol: frozenset(number if target == _ITSELF else target for target in targets)
                for symbol, targets in onward.items()
            }
            kinds[number] = (final, begun, own, still)
    return classes, kinds


def _targets_first(states: dict[Hashable, State], starts: Iterable[Hashable]) -> list[Hashable]:
    """All states that can be reached, each behind those it leads to; a state may lead to itself."""

    def below(state: Hashable) -> Iterable[Hashable]:
        _, _, moves, silent = states[state]
        return dict.fromkeys((*(target for targets in moves.values() for target in targets), *silent))

    done: dict[Hashable, None] = {}
    is_open: set[Hashable] = set()
    for start in starts:
        stack = [(start, iter(below(start)))] if start not in done else []
        is_open.update((start,) if stack else ())
        while stack:
            state, targets = stack[-1]
            target = next(targets, None)
            if target is None:
                stack.pop()
                is_open.discard(state)
                done[state] = None
            elif target not in done and target != state:
                if target in is_open:
                    raise _Cyclic
                is_open.add(target)
                stack.append((target, iter(below(target))))
    return list(done)


def _deterministic(kinds: dict[int, State], begin: frozenset[Hashable], most: int) -> dict[Hashable, State] | None:
    """The subset construction over symbols, from state 0; None if it has more than ``most`` states."""

    def closed(seeds: Iterable[Hashable]) -> frozenset[Any]:
        found, pending = set(seeds), list(seeds)
        while pending:
            for target in kinds[pending.pop()][3]:  # type: ignore[index]
                if target not in found:
                    found.add(target)
                    pending.append(target)
        return frozenset(one for one in found if kinds[one][0] or kinds[one][2])  # type: ignore[index]

    first = closed(begin)
    number = {first: 0}
    pending = [first]
    out: dict[Hashable, State] = {}
    limits = active()
    while pending:
        limits.check_time()
        subset = pending.pop()
        moves: dict[Symbol, set[Hashable]] = {}
        for one in sorted(subset):
            for symbol, targets in kinds[one][2].items():
                moves.setdefault(symbol, set()).update(targets)
        onward: dict[Symbol, frozenset[Hashable]] = {}
        for symbol, reached in moves.items():
            after = closed(reached)
            if after not in number:
                if len(number) >= most:
                    return None
                number[after] = len(number)
                pending.append(after)
            onward[symbol] = frozenset({number[after]})
        begun = any(kinds[one][1] for one in subset)
        out[number[subset]] = (any(kinds[one][0] for one in subset), begun, onward, frozenset())
    return out


def _plan(kinds: dict[int, State], start: int, keys: dict[Any, Key | None]) -> Plan:
    """The plan of some states, numbered from ``start`` in the order in which they are met."""
    number = {start: 0}
    order = [start]
    edges: list[Edge] = []
    silent: list[tuple[int, int]] = []

    def met(target: Any) -> int:
        if target not in number:
            number[target] = len(number)
            order.append(target)
        return number[target]

    for state in order:
        _, _, moves, still = kinds[state]
        silent += [(number[state], met(target)) for target in sorted(still)]  # type: ignore[type-var]
        for (key, demand), targets in moves.items():
            edges += [
                Edge(number[state], met(target), demand, keys[key])
                for target in sorted(targets)  # type: ignore[type-var]
            ]
    begun = frozenset(number[state] for state in order if kinds[state][1])
    return Plan(len(order), tuple(edges), tuple(silent), begun, tuple(number[s] for s in order if kinds[s][0]))
