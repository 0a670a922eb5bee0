"""Sets of JSON values as unions of shapes, one JSON type each, with exact intersection and complement.

Inside arrays and objects a value is described by a *demand*: a frozenset of signed schema numbers, all of which the
value must satisfy (``-7``: it must not satisfy schema 7). ``frozenset()`` demands nothing; `NOTHING` cannot be met.
Demands are evaluated by `structdiff.frontends.json_schema.algebra` only when needed, so recursive schemas are finite.

>>> a = ObjectShape(named=(("kind", frozenset({3}), True),))
>>> b = ObjectShape(named=(("kind", frozenset({4}), False), ("n", frozenset({5}), False)))
>>> meet_objects(a, b).named
(('kind', frozenset({3, 4}), True), ('n', frozenset({5}), False))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from structdiff.core.limits import active
from structdiff.frontends.json_schema.leaves import (
    NumberShape,
    StringShape,
    complement_number,
    complement_string,
    meet_numbers,
    meet_strings,
)

T = TypeVar("T")
Demand = frozenset[int]
ANYTHING: Demand = frozenset()
NOTHING: Demand = frozenset({-1})
Selector = tuple[StringShape, ...]
"""A set of object keys: a union of string shapes."""


def both(a: Demand, b: Demand) -> Demand:
    if -1 in a or -1 in b:
        return NOTHING
    joined = (a | b) - {1}
    return NOTHING if any(-number in joined for number in joined) else joined


def negate(demand: Demand) -> list[Demand]:
    """The complement as a union of demands.

    >>> negate(frozenset({4})), negate(frozenset()), negate(NOTHING)
    ([frozenset({-4})], [], [frozenset()])
    """
    if -1 in demand:
        return [ANYTHING]
    return [frozenset({-number}) for number in sorted(demand)]


@dataclass(frozen=True)
class Holds:
    """Between ``low`` and ``high`` of the items from position ``start`` on satisfy ``demand``."""

    demand: Demand
    start: int = 0
    low: int = 1
    high: int | None = None


@dataclass(frozen=True)
class ArrayShape:
    """Arrays whose first items satisfy ``prefix``, the others ``rest``, with ``low..high`` items."""

    prefix: tuple[Demand, ...] = ()
    rest: Demand = ANYTHING
    low: int = 0
    high: int | None = None
    holds: tuple[Holds, ...] = ()
    unique: str = ""  # the pointer of the schema that asks for unique items

    def demand_at(self, position: int) -> Demand:
        return self.prefix[position] if position < len(self.prefix) else self.rest


@dataclass(frozen=True)
class ObjectShape:
    """Objects: ``named`` keys with their demand and whether they are required, ``rules`` (demands on the values of all
    other keys in a selector), ``exists`` (some key in the selector has such a value), ``low..high`` members. Those
    named keys that stand only in what is negated are ``foreign``: the schema does not list them for these objects."""

    named: tuple[tuple[str, Demand, bool], ...] = ()
    rules: tuple[tuple[Selector, Demand], ...] = ()
    exists: tuple[tuple[Selector, Demand], ...] = ()
    low: int = 0
    high: int | None = None
    foreign: frozenset[str] = frozenset()

    @property
    def listed(self) -> frozenset[str]:
        """The named keys that the schema lists."""
        return frozenset(key for key, _, _ in self.named) - self.foreign

    def demand_of(self, key: str) -> Demand:
        """What the rules demand of the value of a key that is not named."""
        demand = ANYTHING
        for selector, wanted in self.rules:
            if not wanted <= demand and any(shape.contains(key) for shape in selector):
                demand = both(demand, wanted)
        return demand


@dataclass(frozen=True)
class Shapes:
    """A set of JSON values: a union of shapes. Shapes may overlap."""

    null: bool = False
    booleans: frozenset[bool] = frozenset()
    numbers: tuple[NumberShape, ...] = ()
    strings: tuple[StringShape, ...] = ()
    arrays: tuple[ArrayShape, ...] = ()
    objects: tuple[ObjectShape, ...] = ()

    def is_empty(self) -> bool:
        return self == NONE

    @property
    def count(self) -> int:
        return len(self.numbers) + len(self.strings) + len(self.arrays) + len(self.objects)


NONE = Shapes()
ALL = Shapes(True, frozenset({True, False}), (NumberShape(),), (StringShape(),), (ArrayShape(),), (ObjectShape(),))


def join(sets: Iterable[Shapes]) -> Shapes:
    """The union."""
    out = NONE
    for other in sets:
        if out == NONE:
            out = other
        elif other != NONE:
            out = Shapes(
                out.null or other.null,
                out.booleans | other.booleans,
                _distinct(NumberShape(), out.numbers, other.numbers),
                _distinct(StringShape(), out.strings, other.strings),
                _distinct(ArrayShape(), out.arrays, other.arrays),
                _distinct(ObjectShape(), out.objects, other.objects),
            )
    return out


def _distinct(everything: T, a: tuple[T, ...], b: tuple[T, ...]) -> tuple[T, ...]:
    if everything in a or everything in b:
        return (everything,)
    return tuple(dict.fromkeys((*a, *b)))


def meet(a: Shapes, b: Shapes, is_empty: Callable[[Demand], bool]) -> Shapes:
    """The intersection; shapes that are certainly empty are left out."""
    if a == ALL or b == NONE:
        return b
    if b == ALL or a == NONE:
        return a
    numbers = (meet_numbers(x, y) for x, y in _pairs(a.numbers, b.numbers))
    strings = (meet_strings(x, y) for x, y in _pairs(a.strings, b.strings))
    arrays = (meet_arrays(x, y) for x, y in _pairs(a.arrays, b.arrays))
    objects = (meet_objects(x, y) for x, y in _pairs(a.objects, b.objects))
    return Shapes(
        a.null and b.null,
        a.booleans & b.booleans,
        tuple(dict.fromkeys(s for s in numbers if not s.is_empty())),
        tuple(dict.fromkeys(s for s in strings if not s.is_empty())),
        tuple(dict.fromkeys(s for s in arrays if not array_is_empty(s, is_empty))),
        tuple(dict.fromkeys(s for s in objects if not object_is_empty(s, is_empty))),
    )


def _pairs(a: tuple[T, ...], b: tuple[T, ...]) -> Iterator[tuple[T, T]]:
    limits = active()
    for x in a:
        limits.check_time()
        for y in b:
            yield x, y


def array_is_empty(shape: ArrayShape, is_empty: Callable[[Demand], bool]) -> bool:
    if shape.high is not None and shape.low > shape.high:
        return True
    if any(holds.high is not None and holds.low > holds.high for holds in shape.holds):
        return True
    return any(is_empty(shape.demand_at(i)) for i in range(min(shape.low, len(shape.prefix) + 1)))


def object_is_empty(shape: ObjectShape, is_empty: Callable[[Demand], bool]) -> bool:
    if shape.high is not None and (shape.low > shape.high or sum(need for _, _, need in shape.named) > shape.high):
        return True
    return any(need and is_empty(demand) for _, demand, need in shape.named)


def meet_arrays(a: ArrayShape, b: ArrayShape) -> ArrayShape:
    length = max(len(a.prefix), len(b.prefix))
    prefix = tuple(both(a.demand_at(i), b.demand_at(i)) for i in range(length))
    highs = [high for high in (a.high, b.high) if high is not None]
    holds = tuple(dict.fromkeys((*a.holds, *b.holds)))
    return array(
        ArrayShape(
            prefix, both(a.rest, b.rest), max(a.low, b.low), min(highs, default=None), holds, a.unique or b.unique
        )
    )


def array(shape: ArrayShape) -> ArrayShape:
    """The same shape with a maximum that says where the first impossible item is."""
    for position, demand in enumerate((*shape.prefix, shape.rest)):
        if demand == NOTHING:
            high = position if shape.high is None else min(shape.high, position)
            return replace(shape, prefix=shape.prefix[:position], rest=NOTHING, high=high)
    return shape


def meet_objects(a: ObjectShape, b: ObjectShape) -> ObjectShape:
    """Keys keep the order of ``a``, then the new keys of ``b`` in theirs."""
    theirs = {key: (demand, need) for key, demand, need in b.named}
    ours = {key for key, _, _ in a.named}
    named = []
    for key, demand, need in a.named:
        other, also = theirs[key] if key in theirs else (b.demand_of(key), False)
        named.append((key, both(demand, other), need or also))
    for key, demand, need in b.named:
        if key not in ours:
            named.append((key, both(a.demand_of(key), demand), need))
    highs = [high for high in (a.high, b.high) if high is not None]
    return ObjectShape(
        tuple(named),
        tuple(dict.fromkeys((*a.rules, *b.rules))),
        tuple(dict.fromkeys((*a.exists, *b.exists))),
        max(a.low, b.low),
        min(highs, default=None),
        (a.foreign | b.foreign) - a.listed - b.listed if a.foreign or b.foreign else frozenset(),
    )


def in_order(shape: ObjectShape, rank: Mapping[str, int]) -> ObjectShape:
    """The named keys by their rank, if those that the schema lists are so already; foreign ones have no order.

    >>> shape = ObjectShape((("b", ANYTHING, True), ("a", NOTHING, False)), foreign=frozenset({"a"}))
    >>> in_order(shape, {"a": 0, "b": 1}).named
    (('a', frozenset({-1}), False), ('b', frozenset(), True))
    """
    if not shape.foreign or any(key not in rank for key, _, _ in shape.named):
        return shape
    own = [rank[key] for key, _, _ in shape.named if key not in shape.foreign]
    return replace(shape, named=tuple(sorted(shape.named, key=lambda at: rank[at[0]]))) if own == sorted(own) else shape


def complement_array(shape: ArrayShape) -> list[ArrayShape]:
    """Arrays (only arrays) outside the shape, as *disjoint* shapes where items are concerned."""
    out = []
    if shape.low > 0:
        out.append(ArrayShape(high=shape.low - 1))
    if shape.high is not None:
        out.append(ArrayShape(low=shape.high + 1))
    for position, demand in enumerate(shape.prefix):
        for other in negate(demand):
            out.append(ArrayShape((*shape.prefix[:position], other), low=position + 1))
    for other in negate(shape.rest):
        out.append(ArrayShape(shape.prefix, holds=(Holds(other, len(shape.prefix)),)))
    for holds in shape.holds:
        if holds.low > 0:
            out.append(ArrayShape(holds=(replace(holds, low=0, high=holds.low - 1),)))
        if holds.high is not None:
            out.append(ArrayShape(holds=(replace(holds, low=holds.high + 1, high=None),)))
    return out


def without_keys(selector: Selector, keys: Iterable[str]) -> Selector:
    """The keys of the selector except some.

    >>> without_keys((StringShape(low=1),), ["a"])[0].without
    frozenset({'a'})
    """
    excluded = StringShape(without=frozenset(keys))
    shapes = (meet_strings(shape, excluded) for shape in selector)
    return tuple(shape for shape in shapes if shape.only is None or shape.only)


def complement_object(shape: ObjectShape, conjunction: Callable[[Demand], int]) -> list[ObjectShape]:
    """Objects (only objects) outside the shape; ``conjunction`` numbers a demand as one schema.

    The shape for the i-th key lets all keys before it satisfy their demands, so that the shapes are disjoint and
    their union stays small once it is deterministic. A required key is broken by its absence and by another value: that
    is one shape.
    """
    out: list[ObjectShape] = []
    before: list[tuple[str, Demand, bool]] = []
    for key, demand, need in shape.named:
        other = NOTHING if demand == ANYTHING else ANYTHING if -1 in demand else frozenset({-conjunction(demand)})
        if need or other != NOTHING:
            out.append(ObjectShape((*before, (key, other, not need))))
            before.append((key, demand, need))
    keys = [key for key, _, _ in shape.named]
    for selector, demand in shape.rules:
        for other in negate(demand):
            rest = without_keys(selector, keys)
            if rest:
                out.append(ObjectShape(tuple(before), exists=((rest, other),)))
    for selector, demand in shape.exists:
        other = NOTHING if demand == ANYTHING else frozenset({-conjunction(demand)})
        out.append(forbid(selector, other))
    if shape.low > 0:
        out.append(ObjectShape(high=shape.low - 1))
    if shape.high is not None:
        out.append(ObjectShape(low=shape.high + 1))
    return [replace(one, foreign=frozenset(key for key, _, _ in one.named)) for one in out]


def forbid(selector: Selector, demand: Demand) -> ObjectShape:
    """Objects whose keys in ``selector`` all satisfy ``demand``; finite selectors become named keys."""
    named = {key: demand for shape in selector if shape.only is not None for key in sorted(shape.only)}
    rest = tuple(shape for shape in selector if shape.only is None)
    return ObjectShape(tuple((k, d, False) for k, d in named.items()), ((rest, demand),) if rest else ())


def complement(shapes: Shapes, is_empty: Callable[[Demand], bool], conjunction: Callable[[Demand], int]) -> Shapes:
    """All JSON values outside ``shapes``."""
    out = replace(ALL, null=not shapes.null, booleans=frozenset({True, False}) - shapes.booleans)
    for number in shapes.numbers:
        out = meet(out, replace(ALL, numbers=tuple(complement_number(number))), is_empty)
    for string in shapes.strings:
        out = meet(out, replace(ALL, strings=tuple(complement_string(string))), is_empty)
    for shape in shapes.arrays:
        out = meet(out, replace(ALL, arrays=tuple(complement_array(shape))), is_empty)
    for thing in shapes.objects:
        out = meet(out, replace(ALL, objects=tuple(complement_object(thing, conjunction))), is_empty)
    return out
