"""Array shapes as plans: positions, how many items hold a demand, items that must differ."""

from __future__ import annotations

import json
from typing import Any

from structdiff.core.errors import UnsupportedSchema
from structdiff.frontends.json_schema.algebra import Algebra
from structdiff.frontends.json_schema.bounds import Counting
from structdiff.frontends.json_schema.left_out import Place
from structdiff.frontends.json_schema.plans import Edge, Growing, Plan
from structdiff.frontends.json_schema.shapes import ANYTHING, NOTHING, ArrayShape, Demand, both
from structdiff.frontends.json_schema.weights import Weights

MAX_UNORDERED, MAX_FINITE = 8, 300
"""Distinct items out of so few values come in any order; out of more than the other number they are refused."""


def plan_array(algebra: Algebra, counting: Counting, weights: Weights, shape: ArrayShape, place: Place) -> list[Plan]:
    """The arrays of a shape."""
    if shape.unique and (shape.high is None or shape.high > 1):
        return _distinct(algebra, shape, place)
    least = max(shape.low, len(shape.prefix), *(holds.start + holds.low for holds in shape.holds), 0)
    stated = shape.high
    high = None if stated is None else counting.items(stated, least, weights.item(shape))
    if stated is not None and high is not None and high < stated:
        place.note("maxItems", f"no more than {high} items are written")
    loop = max(shape.low, len(shape.prefix), 1, *(holds.start for holds in shape.holds)) if high is None else high
    plan = Growing((0, (0,) * len(shape.holds)), place.pointer)
    begun, finals = set(), []
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


def _distinct(algebra: Algebra, shape: ArrayShape, place: Place) -> list[Plan]:
    """Arrays of distinct items out of finite sets: exactly for few values, in a fixed order for many."""
    pointer = place.pointer
    if shape.holds:
        raise UnsupportedSchema(pointer, "uniqueItems", "together with contains")
    values: dict[str, Any] = {}
    sets = []
    for demand in (*shape.prefix, shape.rest):
        finite = _finite(algebra, demand)
        if finite is None:
            reason = "the items range over an infinite set; list them in an enum or drop it"
            raise UnsupportedSchema(pointer, "uniqueItems", reason)
        values.update(finite)
        sets.append(set(finite))
    keys = list(values)
    ordered = len(keys) > MAX_UNORDERED
    if ordered:
        place.note("uniqueItems", "items are written in the order of the enum")
        if shape.prefix:
            raise UnsupportedSchema(pointer, "uniqueItems", f"together with prefixItems over {len(keys)} values")
    plan = Growing((0, -1 if ordered else frozenset()), pointer)
    begun, finals = set(), []
    for state in plan.walk():
        count, used = state
        number = plan.number[state]
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
            plan.edges.append(Edge(number, plan.state(after), algebra.constant(values[key])))
    return [plan.plan(begun, finals)]


def _finite(algebra: Algebra, demand: Demand) -> dict[str, Any] | None:
    """All values of a demand by their text, if they are few scalars."""
    shapes = algebra.evaluate(demand)
    if shapes.arrays or shapes.objects:
        return None
    if any(s.only is None for s in shapes.strings) or any(n.only is None for n in shapes.numbers):
        return None
    values: list[Any] = [None] if shapes.null else []
    values += sorted(shapes.booleans)
    values += [text for shape in shapes.strings for text in sorted(shape.only or ())]
    for number in shapes.numbers:
        values += [int(v) if v == v.to_integral_value() else float(v) for v in sorted(number.only or ())]
    return {json.dumps(value): value for value in values} if len(values) <= MAX_FINITE else None
