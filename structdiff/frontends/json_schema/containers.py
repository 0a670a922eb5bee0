"""Array and object shapes as small networks whose edges carry demands: what is left is to write the values.

A plan is a subset of its shape: where an exact network would be too large (very long arrays, many keys that have to
differ) a smaller one is taken and the restriction is noted, so that everything written is valid all the same.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

from structdiff.automata.byte_automaton import ByteAutomaton, compile_tree
from structdiff.automata.tree import ByteSet, Network
from structdiff.core.errors import CompileLimit, UnsupportedSchema
from structdiff.core.limits import active
from structdiff.frontends.json_schema.algebra import Algebra
from structdiff.frontends.json_schema.leaves import StringShape, complement_string, meet_strings, valid_text
from structdiff.frontends.json_schema.shapes import (
    ANYTHING,
    NOTHING,
    ArrayShape,
    Demand,
    ObjectShape,
    Selector,
    both,
    without_keys,
)

Key = str | ByteAutomaton
S = TypeVar("S", ArrayShape, ObjectShape)


@dataclass(frozen=True)
class Bounds:
    """Where unbounded things end: free JSON and recursion by nesting, long strings and arrays by length.

    Free JSON nests ``free_depth`` deep, and ``root_depth`` levels of the whole text where the root value or a member of
    it is free; ``loose`` levels of it have the whitespace of the layout, the others stand on one line. Strings with a
    maximum and no other condition hold ``string`` characters of any kind, and up to ``ascii`` where the rest is ASCII.
    """

    recursion: int = 3
    free_depth: int = 3
    string: int = 512
    items: int = 64
    members: int = 64
    alternatives: int = 200
    steps: int = 16
    root_depth: int = 6
    loose: int = 2
    ascii: int = 512

    def within(self, other: Bounds) -> Bounds:
        """The tighter of both, bound by bound."""
        return Bounds(*map(min, vars(self).values(), vars(other).values()))


@dataclass(frozen=True)
class Edge:
    """From one state of a plan to another with a member or an item; ``key`` is None for an item."""

    source: int
    target: int
    demand: Demand
    key: Key | None = None


@dataclass(frozen=True)
class Plan:
    """A network: ``silent`` edges write nothing; states in ``begun`` have written a member or an item already."""

    size: int
    edges: tuple[Edge, ...]
    silent: tuple[tuple[int, int], ...]
    begun: frozenset[int]
    finals: tuple[int, ...]


class _Network:
    """Numbers states as they are met and walks them once each."""

    def __init__(self, start: Any, pointer: str) -> None:
        self.pointer = pointer
        self.number: dict[Any, int] = {start: 0}
        self.pending = [start]
        self.edges: list[Edge] = []
        self.silent: list[tuple[int, int]] = []

    def state(self, state: Any) -> int:
        if state not in self.number:
            self.number[state] = len(self.number)
            self.pending.append(state)
        return self.number[state]

    def walk(self) -> Iterator[Any]:
        limits = active()
        while self.pending:
            limits.check_time(self.pointer)
            if len(self.edges) > limits.nodes:
                raise CompileLimit(self.pointer, f"{limits.nodes} grammar nodes")
            yield self.pending.pop()

    def plan(self, begun: set[int], finals: list[int]) -> Plan:
        return Plan(len(self.number), tuple(self.edges), tuple(self.silent), frozenset(begun), tuple(finals))


class Planner:
    """Plans shapes of one document."""

    def __init__(self, algebra: Algebra, bounds: Bounds, closed: bool, any_order: bool) -> None:
        self.algebra, self.bounds, self.closed, self.any_order = algebra, bounds, closed, any_order
        self.restrictions: dict[tuple[str, str], str] = {}
        self._parts: dict[tuple[int, frozenset[int], int], tuple[ByteAutomaton, ByteAutomaton]] = {}

    def simplest(self, shapes: tuple[S, ...], pointer: str) -> list[S]:
        """Not more alternatives than the bounds allow; the first to go negate arrays or objects."""
        if len(shapes) <= self.bounds.alternatives:
            return list(shapes)
        costs = {shape: self._cost(shape) for shape in shapes}
        cheap = [shape for shape in shapes if not costs[shape]]
        dear = sorted((shape for shape in shapes if costs[shape]), key=costs.__getitem__)
        room = max(self.bounds.alternatives - len(cheap), 0 if cheap else 1)
        if room < len(dear):
            self.restrictions[pointer, "alternatives"] = f"{len(dear) - room} ways to break another schema are left out"
        return cheap + dear[:room]

    def _cost(self, shape: ArrayShape | ObjectShape) -> int:
        if isinstance(shape, ArrayShape):
            demands = [*shape.prefix, shape.rest, *(holds.demand for holds in shape.holds)]
            cost = 0
        else:
            demands = [demand for _, demand, _ in shape.named] + [demand for _, demand in shape.rules]
            cost = len(shape.exists)
        for demand in demands:
            if demand != NOTHING and any(number < 0 for number in demand):
                shapes = self.algebra.evaluate(demand)
                cost += len(shapes.arrays) + len(shapes.objects)
        return cost

    # ------------------------------------------------------------------------------------------------------- arrays

    def array(self, shape: ArrayShape, pointer: str) -> list[Plan]:
        if shape.unique and (shape.high is None or shape.high > 1):
            return self._unique(shape, pointer)
        cap = max(shape.low, len(shape.prefix), self.bounds.items, *(h.start + h.low for h in shape.holds), 0)
        high = shape.high
        if high is not None and high > cap:
            self.restrictions[pointer, "maxItems"] = f"no more than {cap} items are written"
            high = cap
        loop = max(shape.low, len(shape.prefix), 1, *(holds.start for holds in shape.holds)) if high is None else high
        network = _Network((0, (0,) * len(shape.holds)), pointer)
        begun, finals = set(), []
        for state in network.walk():
            position, counts = state
            number = network.number[state]
            if position:
                begun.add(number)
            if position >= shape.low and all(
                holds.low <= count <= (count if holds.high is None else holds.high)
                for holds, count in zip(shape.holds, counts, strict=True)
            ):
                finals.append(number)
            if high is not None and position >= high:
                continue
            following = min(position + 1, loop)
            for demand, after in self._held(shape, position, counts):
                network.edges.append(Edge(number, network.state((following, after)), demand))
        return [network.plan(begun, finals)]

    def _held(self, shape: ArrayShape, position: int, counts: tuple[int, ...]) -> list[tuple[Demand, tuple[int, ...]]]:
        """What the item at a position may be, with the counts of `Holds` after it."""
        options: list[tuple[Demand, tuple[int, ...]]] = [(shape.demand_at(position), ())]
        for holds, count in zip(shape.holds, counts, strict=True):
            grown = []
            for demand, after in options:
                full = count + 1 if holds.high is not None else min(count + 1, holds.low)
                if position < holds.start or full == count:
                    grown.append((demand, (*after, count)))
                    continue
                if holds.high is None or count < holds.high:
                    grown.append((both(demand, holds.demand), (*after, full)))
                if holds.demand != ANYTHING:
                    missed = (
                        ANYTHING if holds.demand == NOTHING else frozenset({-self.algebra.conjunction(holds.demand)})
                    )
                    grown.append((both(demand, missed), (*after, count)))
            options = [option for option in grown if option[0] != NOTHING]
        return options

    def _unique(self, shape: ArrayShape, pointer: str) -> list[Plan]:
        """Arrays of distinct items out of finite sets: exactly for few values, in a fixed order for many."""
        if shape.holds:
            raise UnsupportedSchema(pointer, "uniqueItems", "together with contains")
        values: dict[str, Any] = {}
        sets = []
        for demand in (*shape.prefix, shape.rest):
            finite = self.finite(demand)
            if finite is None:
                raise UnsupportedSchema(
                    pointer,
                    "uniqueItems",
                    "the items range over an infinite set; list them in an enum or drop it",
                )
            values.update(finite)
            sets.append(set(finite))
        keys = list(values)
        ordered = len(keys) > 8
        if ordered:
            self.restrictions[pointer, "uniqueItems"] = "items are written in the order of the enum"
            if shape.prefix:
                raise UnsupportedSchema(pointer, "uniqueItems", f"together with prefixItems over {len(keys)} values")
        network = _Network((0, -1 if ordered else frozenset()), pointer)
        begun, finals = set(), []
        for state in network.walk():
            count, used = state
            number = network.number[state]
            if count:
                begun.add(number)
            if count >= shape.low:
                finals.append(number)
            if shape.high is not None and count >= shape.high:
                continue
            for index, key in enumerate(keys):
                if key not in sets[min(count, len(shape.prefix))]:
                    continue
                if index <= used if ordered else index in used:
                    continue
                following = count + 1
                if ordered and shape.high is None:
                    following = min(following, max(shape.low, 1))
                after = (following, index if ordered else used | {index})
                demand = self.algebra.constant(values[key])
                network.edges.append(Edge(number, network.state(after), demand))
        return [network.plan(begun, finals)]

    def finite(self, demand: Demand, limit: int = 300) -> dict[str, Any] | None:
        """All values of a demand by their text, if they are few scalars."""
        shapes = self.algebra.evaluate(demand)
        if shapes.arrays or shapes.objects:
            return None
        if any(s.only is None for s in shapes.strings) or any(n.only is None for n in shapes.numbers):
            return None
        values: list[Any] = [None] if shapes.null else []
        values += sorted(shapes.booleans)
        values += [text for shape in shapes.strings for text in sorted(shape.only or ())]
        for number in shapes.numbers:
            values += [int(v) if v == v.to_integral_value() else float(v) for v in sorted(number.only or ())]
        return {json.dumps(value): value for value in values} if len(values) <= limit else None

    # ------------------------------------------------------------------------------------------------------ objects

    def object(self, shape: ObjectShape, pointer: str) -> list[Plan]:
        return [plan for split in self._split(shape) for plan in self._plan_object(split, pointer)]

    def _split(self, shape: ObjectShape) -> list[ObjectShape]:
        """The shape as a union in which `exists` speaks about keys that are not named."""
        done = [replace(shape, exists=())]
        for selector, demand in shape.exists:
            grown = []
            for part in done:
                for i, (key, wanted, _) in enumerate(part.named):
                    joint = both(wanted, demand)
                    if joint != NOTHING and any(s.contains(key) for s in selector):
                        named = (*part.named[:i], (key, joint, True), *part.named[i + 1 :])
                        grown.append(replace(part, named=named))
                rest = without_keys(selector, [key for key, _, _ in part.named])
                if rest:
                    grown.append(replace(part, exists=(*part.exists, (rest, demand))))
            done = list(dict.fromkeys(grown))
        return done

    def _plan_object(self, shape: ObjectShape, pointer: str) -> list[Plan]:
        named = [(key, demand, need) for key, demand, need in shape.named if need or not self.algebra.is_empty(demand)]
        if any(need and self.algebra.is_empty(demand) for _, demand, need in named):
            return []
        needed = sum(need for _, _, need in named)
        if shape.high is not None and shape.high <= needed:
            named = [entry for entry in named if entry[2]]
        listed = bool(named) or any(demand != NOTHING for _, demand in shape.rules)
        room = shape.high is None or shape.high > needed
        regions: list[tuple[ByteAutomaton, Demand]] = []
        last: list[tuple[ByteAutomaton, Demand]] = []
        if room:
            keep_rest = not (self.closed and listed) or shape.low > len(named)
            parts = self._regions(shape, keep_rest)
            regions = [(_content(selector), demand) for selector, demand in parts]
            regions = [(content, demand) for content, demand in regions if not content.is_empty]
            if shape.exists:
                for selector, demand in parts:
                    for chosen, wanted in shape.exists:
                        selector, demand = _overlap(selector, chosen), both(demand, wanted)
                    if selector and not self.algebra.is_empty(demand):
                        last.append((_content(selector), demand))
                last = [(content, demand) for content, demand in last if not content.is_empty]
        if shape.exists:
            if not last:
                return []
            self.restrictions[pointer, "additionalProperties"] = "the added key that is required is written last"
        return [self._chain(shape, named, regions, last, pointer)]

    def _part(self, content: ByteAutomaton, members: frozenset[int], modulus: int) -> ByteAutomaton:
        """The keys of a region with one of some checksums; one object per part, so that equal edges are seen."""
        key = (id(content), members, modulus)
        if key not in self._parts:
            self._parts[key] = (content & _checksum(members, modulus), content)
        return self._parts[key][0]

    def _regions(self, shape: ObjectShape, keep_rest: bool) -> list[tuple[Selector, Demand]]:
        """The keys that are not named, split into sets on whose values the same is demanded."""
        unnamed = StringShape(without=frozenset(key for key, _, _ in shape.named))
        parts: list[tuple[Selector, Demand, bool]] = [((unnamed,), ANYTHING, False)]
        for selector, demand in shape.rules:
            split = []
            for keys, wanted, ruled in parts:
                inside = _overlap(keys, selector)
                if inside and both(wanted, demand) != NOTHING:
                    split.append((inside, both(wanted, demand), True))
                outside = _minus(keys, selector)
                if outside:
                    split.append((outside, wanted, ruled))
            parts = split
            if len(parts) > 64:
                raise UnsupportedSchema("", "patternProperties", "more than 64 overlapping sets of keys")
        return [
            (keys, demand)
            for keys, demand, ruled in parts
            if (ruled or keep_rest) and not self.algebra.is_empty(demand)
        ]

    def _chain(
        self,
        shape: ObjectShape,
        named: list[tuple[str, Demand, bool]],
        regions: list[tuple[ByteAutomaton, Demand]],
        last: list[tuple[ByteAutomaton, Demand]],
        pointer: str,
    ) -> Plan:
        """Named keys in their order (or in any), any of them skipped unless required, then added keys.

        A state is (position, members written up to what matters, residues of added keys, done).
        """
        needed = sum(need for _, _, need in named)
        low = shape.low if shape.low > needed else 0  # otherwise the required keys are enough
        high = shape.high
        if high is not None and not regions and high >= len(named):
            high = None
        cap = max(needed, low, self.bounds.members)
        if high is not None and high > cap:
            self.restrictions[pointer, "maxProperties"] = f"no more than {cap} members are written"
            high = cap
        top = max(low, 1) if high is None else high
        distinct = low - needed if regions and low - needed >= 2 else 0
        if distinct:
            self.restrictions[pointer, "minProperties"] = "added keys are told apart by a checksum"
            if distinct > 4:
                raise UnsupportedSchema(pointer, "minProperties", "more than 4 added keys that have to differ")
        residues = RESIDUES[distinct]
        if self.any_order and len(named) > MAX_ANY_ORDER:
            raise UnsupportedSchema(
                pointer, "properties", f'key_order="any" is possible for up to {MAX_ANY_ORDER} keys, not {len(named)}'
            )
        network = _Network((frozenset() if self.any_order else 0, 0, frozenset(), False), pointer)
        begun, finals = set(), []
        for state in network.walk():
            at, count, used, done = state
            number = network.number[state]
            if count:
                begun.add(number)
            following = min(count + 1, top)
            room = high is None or count < high
            if isinstance(at, frozenset):  # in any order: which named keys have been written
                for i, (key, demand, _) in enumerate(named):
                    if room and i not in at:
                        target = (at | {i}, following, used, done)
                        network.edges.append(Edge(number, network.state(target), demand, key))
                if all(i in at for i, (_, _, need) in enumerate(named) if need):
                    network.silent.append((number, network.state((len(named), count, used, done))))
                continue
            if at < len(named):
                key, demand, need = named[at]
                if not need:
                    network.silent.append((number, network.state((at + 1, count, used, done))))
                if room:
                    network.edges.append(Edge(number, network.state((at + 1, following, used, done)), demand, key))
                continue
            if count >= low and (done or not shape.exists):
                finals.append(number)
            if not room or done:
                continue
            for content, demand in last:
                if count + (not distinct) >= low:
                    target = (at, following, used, True)
                    network.edges.append(Edge(number, network.state(target), demand, content))
            for content, demand in regions:
                if not distinct or count >= low:
                    network.edges.append(Edge(number, network.state((at, following, used, False)), demand, content))
                    continue
                # subtle: a repeated key does not count, so only a new residue does
                fresh = [residue for residue in range(residues) if residue not in used]
                for residue in fresh:
                    enough = following >= low
                    target = (at, following, frozenset() if enough else used | {residue}, False)
                    part = self._part(content, frozenset(fresh if enough else [residue]), residues)
                    network.edges.append(Edge(number, network.state(target), demand, part))
                    if enough:
                        break
                if used and high is None:
                    part = self._part(content, used, residues)
                    network.edges.append(Edge(number, number, demand, part))
        return network.plan(begun, finals)


MAX_ANY_ORDER = 8
"""Objects with more keys than this have a fixed order: the automaton remembers every set of keys written so far."""
RESIDUES = (1, 1, 8, 5, 5)
"""Keys with different checksums differ; that is how a finite automaton tells a few of them apart."""


@lru_cache(maxsize=256)
def _checksum(members: frozenset[int], modulus: int) -> ByteAutomaton:
    """Texts whose bytes add up to one of ``members``."""
    edges = [
        (state, _bytes_with(step, modulus), (state + step) % modulus)
        for state in range(modulus)
        for step in range(modulus)
    ]
    return compile_tree(Network(modulus, tuple(edges), 0, tuple(sorted(members))))


def _bytes_with(step: int, modulus: int) -> ByteSet:
    return ByteSet.of(range(step, 256, modulus))


def _overlap(a: Selector, b: Selector) -> Selector:
    shapes = (meet_strings(x, y) for x, y in itertools.product(a, b))
    return tuple(dict.fromkeys(shape for shape in shapes if not shape.is_empty()))


def _minus(a: Selector, b: Selector) -> Selector:
    for shape in b:
        a = _overlap(a, tuple(complement_string(shape)))
    return a


def _content(selector: Selector) -> ByteAutomaton:
    out: ByteAutomaton | None = None
    for shape in selector:
        part = valid_text() if shape == StringShape() else shape.content(cap=64)
        out = part if out is None else out | part
    assert out is not None
    return out
