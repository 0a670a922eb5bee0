"""Object shapes as plans: named keys in their order or in any, then added keys, and how many members there are.

A plan is a subset of its shape: where an exact network would be too large (many members, many keys that have to
differ) a smaller one is taken and what is left out is noted, so that everything written is valid all the same.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import ByteSet, Network
from structdiff.core.errors import UnsupportedSchema
from structdiff.frontends.json_schema.algebra import Algebra
from structdiff.frontends.json_schema.bounds import Counting
from structdiff.frontends.json_schema.leaves import StringShape, complement_string, meet_strings
from structdiff.frontends.json_schema.left_out import Place
from structdiff.frontends.json_schema.plans import Edge, Growing, Plan
from structdiff.frontends.json_schema.shapes import (
    ANYTHING,
    NOTHING,
    Demand,
    ObjectShape,
    Selector,
    both,
    without_keys,
)
from structdiff.frontends.json_schema.texts import counted_text, differences
from structdiff.frontends.json_schema.weights import Weights

MAX_ANY_ORDER, WINDOW = 8, 5
"""Objects with more keys than the first have them in any order within a window of so many: the automaton remembers
which of them have been written."""
RESIDUES = (1, 1, 8, 5, 5)
"""Keys with different checksums differ; that is how a finite automaton tells a few of them apart."""
MAX_DISTINCT, SLACK = 12, 4
"""The most added keys that have to differ, and how many residues more there are than keys where these are many."""


Member = tuple[str, Demand, bool]
"""A named key, what is demanded of its value, and whether it is required."""
Region = tuple[ByteAutomaton, Demand]
"""Some of the keys that are not named, as automaton, and what is demanded of their values."""


@dataclass(frozen=True)
class _Telling:
    """How so many ``distinct`` added keys are told apart until there are ``low`` members: by their sums modulo
    ``residues``, where there are many of them in the order of these."""

    low: int
    distinct: int
    residues: int
    ordered: bool


class ObjectPlanner:
    """Plans object shapes of one document."""

    def __init__(self, algebra: Algebra, counting: Counting, weights: Weights, closed: bool, any_order: bool) -> None:
        self.algebra, self.counting, self.weights = algebra, counting, weights
        self.closed, self.any_order = closed, any_order
        self.excluded = False
        self._known_keys: dict[Selector, ByteAutomaton] = {}
        self._parts: dict[tuple[int, frozenset[int], int], tuple[ByteAutomaton, ByteAutomaton]] = {}

    def plan(self, shape: ObjectShape, place: Place) -> list[Plan]:
        """The objects of a shape."""
        return [plan for split in self._split(shape) for plan in self._plan(split, place)]

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

    def _plan(self, shape: ObjectShape, place: Place) -> list[Plan]:
        named = [(key, demand, need) for key, demand, need in shape.named if need or not self.algebra.is_empty(demand)]
        if any(need and self.algebra.is_empty(demand) for _, demand, need in named):
            return []
        needed = sum(need for _, _, need in named)
        if shape.high is not None and shape.high <= needed:
            named = [entry for entry in named if entry[2]]
        own = shape.listed
        listed = any(need or key in own for key, _, need in named)
        listed = listed or any(demand != NOTHING for _, demand in shape.rules)
        if self.closed and listed:  # what only a negated schema names is not listed here
            ruled = [selector for selector, _ in shape.rules]
            named = [
                (key, demand, need)
                for key, demand, need in named
                if need or key in own or any(part.contains(key) for selector in ruled for part in selector)
            ]
        named = self._without_excluded(named, own, place)
        room = shape.high is None or shape.high > needed
        regions: list[Region] = []
        last: list[Region] = []
        if room:
            keep_rest = not (self.closed and listed) or shape.low > len(named)
            parts = self._regions(shape, keep_rest)
            regions = [(self._keys(selector, place), demand) for selector, demand in parts]
            regions = [(content, demand) for content, demand in regions if not content.is_empty]
            if shape.exists:
                for selector, demand in parts:
                    for chosen, wanted in shape.exists:
                        selector, demand = _overlap(selector, chosen), both(demand, wanted)
                    if selector and not self.algebra.is_empty(demand):
                        last.append((self._keys(selector, place), demand))
                last = [(content, demand) for content, demand in last if not content.is_empty]
        if shape.exists:
            if not last:
                return []
            if len(shape.exists) > 1:
                place.note("additionalProperties", "one added key alone breaks all the rules that have to be broken")
        return [self._chain(shape, named, regions, last, place)]

    def _without_excluded(self, named: list[Member], own: frozenset[str], place: Place) -> list[Member]:
        """The named keys but those that only break what is negated, where bounds ask for fewer."""
        broken = [
            at
            for at, (key, demand, need) in enumerate(named)
            if not need and key not in own and any(number < 0 for number in demand)
        ]
        self.excluded |= bool(broken)
        if self.counting.bounds.excluded or not broken:
            return named
        place.note("alternatives", f"{len(broken)} keys that only excluded schemas name are left out")
        return [member for at, member in enumerate(named) if at not in broken]

    def _keys(self, selector: Selector, place: Place) -> ByteAutomaton:
        """The keys of a selector, one object for equal ones."""
        out: ByteAutomaton | None = None
        for shape in selector:
            part, high = counted_text(shape, self.counting)
            if high is not None and shape.high is not None and high < shape.high:
                place.note("propertyNames", f"no added key of more than {high} characters is written")
            for leaf, reason in differences(shape):
                place.note("patternProperties" if "/patternProperties/" in leaf.pointer else "propertyNames", reason)
            out = part if out is None else out | part
        assert out is not None
        return self._known_keys.setdefault(selector, out)

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
        named: list[Member],
        regions: list[Region],
        last: list[Region],
        place: Place,
    ) -> Plan:
        """Named keys in their order (or in any), any of them skipped unless required, then added keys.

        A state is (position, members written up to what matters, residues of added keys, done).
        """
        needed = sum(need for _, _, need in named)
        low = shape.low if shape.low > needed else 0  # otherwise the required keys are enough
        high = shape.high
        if high is not None and not regions and high >= len(named):
            high = None
        if high is not None:
            stated, high = high, self.counting.members(high, max(needed, low), self.weights.member(shape))
            if high is not None and high < stated:
                place.note("maxProperties", f"no more than {high} members are written")
        top = max(low, 1) if high is None else high
        telling = self._telling(low, low - needed if regions and low - needed >= 2 else 0, place)
        reach = len(named)
        if self.any_order and len(named) > MAX_ANY_ORDER:
            reach = WINDOW
            place.note("properties", f"a key comes before one listed ahead of it only up to {WINDOW - 1} places away")
        plan = Growing((frozenset() if self.any_order else 0, 0, frozenset(), False), place.pointer)
        begun, finals = set(), []
        for state in plan.walk():
            at, count, used, done = state
            number = plan.number[state]
            if count:
                begun.add(number)
            following = min(count + 1, top)
            room = high is None or count < high
            if isinstance(at, frozenset):  # in any order: which named keys have been written, or will not be
                first = next((i for i in range(len(named)) if i not in at), len(named))
                for i, (key, demand, _) in enumerate(named[: first + reach]):
                    if room and i not in at:
                        target = (at | {i}, following, used, done)
                        plan.edges.append(Edge(number, plan.state(target), demand, key))
                if reach < len(named) and first < len(named) and not named[first][2]:
                    plan.silent.append((number, plan.state((at | {first}, count, used, done))))
                if all(i in at for i, (_, _, need) in enumerate(named) if need):
                    plan.silent.append((number, plan.state((len(named), count, used, done))))
                continue
            if at < len(named):
                key, demand, need = named[at]
                if not need:
                    plan.silent.append((number, plan.state((at + 1, count, used, done))))
                if room:
                    plan.edges.append(Edge(number, plan.state((at + 1, following, used, done)), demand, key))
                continue
            if count >= low and (done or not shape.exists):
                finals.append(number)
            if not room or done:
                continue
            for content, demand in last:
                if count + (not telling.distinct) >= low:
                    target = (at, following, used, True)
                    plan.edges.append(Edge(number, plan.state(target), demand, content))
            for content, demand in regions:
                if not telling.distinct or count >= low:
                    plan.edges.append(Edge(number, plan.state((at, following, used, False)), demand, content))
                else:
                    self._differing(plan, state, following, (content, demand), telling, high is None)
        return plan.plan(begun, finals)

    def _telling(self, low: int, distinct: int, place: Place) -> _Telling:
        """How ``distinct`` added keys are told apart."""
        if distinct > MAX_DISTINCT:
            reason = f"more than {MAX_DISTINCT} added keys that have to differ"
            raise UnsupportedSchema(place.pointer, "minProperties", reason)
        if distinct:
            place.note("minProperties", "added keys that have to differ differ in the sum of their bytes")
        if distinct < len(RESIDUES):
            return _Telling(low, distinct, RESIDUES[distinct], False)
        place.note("minProperties", f"the first {distinct} added keys come in the order of these sums")
        return _Telling(low, distinct, distinct + SLACK, True)

    def _differing(
        self, plan: Growing, state: Any, following: int, region: Region, telling: _Telling, unbounded: bool
    ) -> None:
        """The edges with an added key that may have to differ from those before it."""
        at, _, used, _ = state
        number, (content, demand), modulus = plan.number[state], region, telling.residues
        # subtle: a repeated key does not count, so only a new residue does
        spent = frozenset(range(max(used, default=-1) + 1)) if telling.ordered else used
        fresh = [residue for residue in range(modulus) if residue not in spent]
        for residue in fresh:
            enough = following >= telling.low
            now = frozenset({residue}) if telling.ordered else used | {residue}
            target = (at, following, frozenset() if enough else now, False)
            part = self._part(content, frozenset(fresh if enough else [residue]), modulus)
            plan.edges.append(Edge(number, plan.state(target), demand, part))
            if enough:
                break
        if spent and unbounded:
            plan.edges.append(Edge(number, number, demand, self._part(content, spent, modulus)))


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
