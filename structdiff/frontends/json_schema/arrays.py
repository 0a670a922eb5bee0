"""Array shapes as plans: positions, how many items hold a demand, items that must differ."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

from structdiff.automata.apart import DIGITS, MOST
from structdiff.core.errors import UnsupportedSchema
from structdiff.frontends.json_schema.algebra import Algebra
from structdiff.frontends.json_schema.bounds import Bounds, Counting
from structdiff.frontends.json_schema.leaves import FRACTION, NumberShape
from structdiff.frontends.json_schema.left_out import Place
from structdiff.frontends.json_schema.plans import Edge, Growing, Plan
from structdiff.frontends.json_schema.shapes import ANYTHING, NOTHING, ArrayShape, Demand, both
from structdiff.frontends.json_schema.weights import Weights

MAX_UNORDERED, MAX_FINITE = 8, 300
"""Distinct items out of so few values come in any order; out of more than the other number they differ by checksums."""
FINENESS = ((13, 3, 40_000), (11, 3, 40_000), (7, 3, 40_000), (5, 3, 60_000), (5, 2, 150_000), (3, 2, 200_000))
"""Moduli of checksums, how many items may come in any order under them, and how many states that may take, roughly."""


def plan_array(algebra: Algebra, counting: Counting, weights: Weights, shape: ArrayShape, place: Place) -> list[Plan]:
    """The arrays of a shape."""
    if shape.unique and (shape.high is None or shape.high > 1):
        return _distinct(algebra, counting, weights, shape, place)
    least = max(shape.low, len(shape.prefix), *(holds.start + holds.low for holds in shape.holds), 0)
    stated = shape.high
    high = None if stated is None else counting.items(stated, least, weights.item(shape))
    if stated is not None and high is not None and high < stated:
        place.note("maxItems", f"no more than {high} items are written")
    loop = max(shape.low, len(shape.prefix), 1, *(holds.start for holds in shape.holds)) if high is None else high
    plan = Growing((0, (0,) * len(shape.holds)), place.pointer)
    begun: set[int] = set()
    finals: list[int] = []
    for state in plan.walk():
        position, counts = state
        number = plan.number[state]
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
        for demand, after in _held(algebra, shape, position, counts):
            plan.edges.append(Edge(number, plan.state((following, after)), demand))
    return [plan.plan(begun, finals)]


def _held(
    algebra: Algebra, shape: ArrayShape, position: int, counts: tuple[int, ...]
) -> list[tuple[Demand, tuple[int, ...]]]:
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
                missed = ANYTHING if holds.demand == NOTHING else frozenset({-algebra.conjunction(holds.demand)})
                grown.append((both(demand, missed), (*after, count)))
        options = [option for option in grown if option[0] != NOTHING]
    return options


def _distinct(algebra: Algebra, counting: Counting, weights: Weights, shape: ArrayShape, place: Place) -> list[Plan]:
    """Arrays of distinct items: exactly for few values, in a fixed order for many, by checksums for any number."""
    pointer = place.pointer
    if shape.holds:
        raise UnsupportedSchema(pointer, "uniqueItems", "together with contains")
    values: dict[str, Any] = {}
    sets = []
    for demand in (*shape.prefix, shape.rest):
        finite = _finite(algebra, demand)
        if finite is None:
            return [_apart(algebra, counting, weights, shape, place)]
        values.update(finite)
        sets.append(set(finite))
    keys = list(values)
    ordered = len(keys) > MAX_UNORDERED
    if ordered:
        if shape.prefix:
            return [_apart(algebra, counting, weights, shape, place)]
        place.note("uniqueItems", "items are written in a fixed order, that of the enum or from low to high")
    plan = Growing((0, -1 if ordered else frozenset()), pointer)
    begun: set[int] = set()
    finals: list[int] = []
    for number, count, used in _open(plan, shape, begun, finals):
        for index, key in enumerate(keys):
            if key not in sets[min(count, len(shape.prefix))]:
                continue
            if index <= used if ordered else index in used:
                continue
            following = count + 1
            if ordered and shape.high is None:
                following = min(following, max(shape.low, 1))
            after = (following, index if ordered else used | {index})
            plan.edges.append(Edge(number, plan.state(after), algebra.constant(values[key])))
    return [plan.plan(begun, finals)]


def _open(plan: Growing, shape: ArrayShape, begun: set[int], finals: list[int]) -> Iterator[tuple[int, int, Any]]:
    """(number, items, what is known of them) of each state behind which an item may stand.

    Notes in ``begun`` the states with an item, in ``finals`` those where the array may end.
    """
    for state in plan.walk():
        (count, used), number = state, plan.number[state]
        if count:
            begun.add(number)
        if count >= shape.low:
            finals.append(number)
        if shape.high is None or count < shape.high:
            yield number, count, used


def _apart(algebra: Algebra, counting: Counting, weights: Weights, shape: ArrayShape, place: Place) -> Plan:
    """Arrays of items with different checksums: the first few in any order, those behind them in that of these.

    A state is (items as far as they matter, the residues so far or the largest of them).
    """
    demands = (*shape.prefix, shape.rest)
    sets = list(map(algebra.evaluate, demands))
    least = max(shape.low, 1)
    heavy = max(*map(weights.of, demands), 1)
    modulus, free = _fineness(heavy * math.isqrt(Bounds().alternatives // counting.bounds.alternatives), least)
    if modulus > MOST:
        raise UnsupportedSchema(place.pointer, "uniqueItems", f"more than {MOST} items that have to differ")
    place.note(
        "uniqueItems",
        f"items differ in their checksums modulo {modulus}; more than {free} stand in the order of these, and a number "
        f"among them has at most {DIGITS} digits",
    )
    top = max(least, len(shape.prefix), free) if shape.high is None else min(shape.high, modulus)
    plan = Growing((0, frozenset()), place.pointer)
    begun: set[int] = set()
    finals: list[int] = []
    for number, count, used in _open(plan, shape, begun, finals):
        for residue in range(modulus):
            if residue in used if isinstance(used, frozenset) else residue <= used:
                continue
            after: frozenset[int] | int = residue
            if isinstance(used, frozenset):
                grown = used | {residue}
                after = grown if len(grown) < free else max(grown)
            target = plan.state((min(count + 1, top), after))
            plan.edges.append(Edge(number, target, shape.demand_at(count), residue=residue))
    additive = any(shapes.arrays or shapes.objects for shapes in sets)
    return replace(plan.plan(begun, finals), modulus=modulus, additive=additive)


def _fineness(heavy: int, least: int) -> tuple[int, int]:
    """The modulus of checksums, and how many items may come in any order, for items of ``heavy`` states.

    >>> _fineness(22, 1), _fineness(700, 1), _fineness(22, 20)
    ((13, 3), (5, 2), (20, 2))
    """
    for modulus, free, room in FINENESS:
        states = sum(math.comb(modulus, count) for count in range(free)) + modulus
        if modulus >= least and states * modulus * heavy <= room:
            return modulus, free
    return max(least, 2), 2


def _finite(algebra: Algebra, demand: Demand) -> dict[str, Any] | None:
    """All values of a demand by their text, if they are few scalars."""
    shapes = algebra.evaluate(demand)
    if shapes.arrays or shapes.objects:
        return None
    if any(s.only is None for s in shapes.strings):
        return None
    values: list[Any] = [None] if shapes.null else []
    values += sorted(shapes.booleans)
    values += [text for shape in shapes.strings for text in sorted(shape.only or ())]
    for number in shapes.numbers:
        listed = number.only if number.only is not None else _integers(number)
        if listed is None:
            return None
        values += [int(v) if v == v.to_integral_value() else float(v) for v in sorted(listed)]
    return {json.dumps(value): value for value in values} if len(values) <= MAX_FINITE else None


def _integers(shape: NumberShape) -> list[Decimal] | None:
    """The integers between two ends, if there are few and nothing else is between them."""
    if shape.low is None or shape.high is None or FRACTION in shape.kinds or shape.high - shape.low > MAX_FINITE:
        return None
    first, last = math.ceil(shape.low), math.floor(shape.high)
    return [value for value in map(Decimal, range(first, last + 1)) if shape.allows(value)]
