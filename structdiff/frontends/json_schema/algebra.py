"""Schemas as sets of values: every schema has a number, a demand is a set of signed numbers, `Algebra` evaluates both.

>>> algebra = Algebra(Document({"type": ["string", "null"], "maxLength": 3}))
>>> root = algebra.demand(algebra.document.root)
>>> shapes = algebra.evaluate(root)
>>> shapes.null, shapes.strings[0].high, shapes.numbers
(True, 3, ())
>>> algebra.contains(root, "abcd"), algebra.contains(root, None)
(False, True)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from structdiff.core.errors import Unsatisfiable, UnsupportedSchema
from structdiff.frontends.json_schema.document import Document
from structdiff.frontends.json_schema.keywords import asserts_nothing, evaluate
from structdiff.frontends.json_schema.leaves import NumberShape, StringShape, decimal
from structdiff.frontends.json_schema.shapes import (
    ALL,
    ANYTHING,
    NONE,
    NOTHING,
    ArrayShape,
    Demand,
    ObjectShape,
    Selector,
    Shapes,
    complement,
    join,
    meet,
)

MAX_SHAPES = 3000
"""The most alternatives into which one schema may fall apart."""

Evaluator = Callable[[bool], Shapes]
_DEEPER = 0
"""Stands between the schemas being evaluated where evaluation went into a member or an item."""


class _Circular(Exception):
    """Whether a member is satisfiable depends on a schema that is still being evaluated."""


class Algebra:
    """Evaluates demands of one document; everything is memoised."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.annotations: dict[tuple[str, str], str] = {}
        self._evaluators: dict[int, Evaluator] = {}
        self._pointers: dict[int, str] = {1: ""}
        self._numbers: dict[Any, int] = {}
        self._kept: list[Any] = []
        self._known: dict[int, Demand] = {}
        self._copies: dict[str, list[str]] = {}
        self._shapes: dict[int, Shapes] = {1: ALL, -1: NONE}
        self._demands: dict[Demand, Shapes] = {ANYTHING: ALL, NOTHING: NONE}
        self._empty: dict[Demand, bool] = {ANYTHING: False, NOTHING: True}
        self._running: list[int] = []

    def demand(self, schema: Any) -> Demand:
        """The demand that a value satisfies ``schema``; a mere reference is what it refers to."""
        schema = self.document.follow(schema)
        if isinstance(schema, bool):
            return ANYTHING if schema else NOTHING
        known = self._known.get(id(schema))
        if known is None:
            known = self._known[id(schema)] = self._first_met(schema)
            self._kept.append(schema)
        return known

    def _first_met(self, schema: Mapping[str, Any]) -> Demand:
        """The demand of a schema that is asked for the first time: that of another one which says the same."""
        if asserts_nothing(self, schema):
            return ANYTHING
        pointer, meaning = self.document.pointer(schema), ("schema", self.document.meaning(schema))
        number = self._numbers.get(meaning)
        if number is None:
            number = self._register(meaning, pointer, lambda sign: evaluate(self, schema, sign))
        elif pointer != self._pointers[number]:
            self._copies.setdefault(self._pointers[number], []).append(pointer)
        return frozenset({number})

    def everywhere(self, pointer: str) -> list[str]:
        """A place of the schema, and all that say the same and were met.

        >>> n = {"type": "object", "properties": {"n": {"maxLength": 5}}}
        >>> algebra = Algebra(Document({"properties": {"a": n, "b": n}}))
        >>> _ = [algebra.evaluate(algebra.demand(part)) for part in algebra.document.schemas()]
        >>> algebra.everywhere("/properties/a/properties/n")
        ['/properties/a/properties/n', '/properties/b/properties/n']
        """
        found = {pointer: None}
        pending = [pointer] if self._copies else []
        while pending:
            at = pending.pop()
            steps = at.split("/")
            for i in range(len(steps), 0, -1):
                for copy in self._copies.get("/".join(steps[:i]), ()):
                    other = "/".join((copy, *steps[i:]))
                    if other not in found:
                        found[other] = None
                        pending.append(other)
        return list(found)

    def constant(self, value: Any, pointer: str = "") -> Demand:
        """The demand that a value equals a constant."""
        key = ("constant", json.dumps(value, sort_keys=False))
        number = self._numbers.get(key)
        if number is None:
            shapes = self.constants([value], pointer)
            number = self._register(key, pointer, lambda sign: shapes if sign else self.complement(shapes))
        return frozenset({number})

    def conjunction(self, demand: Demand) -> int:
        """One number for a whole demand."""
        if len(demand) == 1:
            return next(iter(demand))
        number = self._numbers.get(demand)
        if number is None:
            parts = sorted(demand)
            number = self._register(
                demand, self.pointer(demand),
                lambda sign: self.evaluate(demand) if sign else join(self.shapes(-part) for part in parts),
            )  # fmt: skip
        return number

    def either(self, demands: list[Demand]) -> Demand:
        """The demand that a value meets one of some demands."""
        if ANYTHING in demands:
            return ANYTHING
        wanted = [demand for demand in dict.fromkeys(demands) if demand != NOTHING]
        if len(wanted) < 2:
            return wanted[0] if wanted else NOTHING
        key = ("either", *wanted)
        number = self._numbers.get(key)
        if number is None:
            none = frozenset(-self.conjunction(demand) for demand in wanted)
            number = self._register(
                key, self.pointer(wanted[0]),
                lambda sign: join(map(self.evaluate, wanted)) if sign else self.evaluate(none),
            )  # fmt: skip
        return frozenset({number})

    def _register(self, key: Any, pointer: str, evaluator: Evaluator) -> int:
        number = len(self._evaluators) + 2
        self._numbers[key], self._evaluators[number], self._pointers[number] = number, evaluator, pointer
        return number

    def pointer(self, demand: Demand) -> str:
        """Where in the document a demand comes from."""
        return self._pointers.get(min((abs(number) for number in demand), default=1), "")

    def shapes(self, number: int) -> Shapes:
        """The values that satisfy schema ``number`` (``-number``: that do not)."""
        known = self._shapes.get(number)
        if known is None:
            if number in self._running:
                if _DEEPER in self._running[self._running.index(number) :]:
                    raise _Circular
                raise Unsatisfiable(
                    "the schema refers to itself without going one level deeper", self._pointers[abs(number)]
                )
            self._running.append(number)
            try:
                known = self._shapes[number] = self._evaluators[abs(number)](number > 0)
            finally:
                self._running.pop()
        return known

    def evaluate(self, demand: Demand) -> Shapes:
        """The values that satisfy all of a demand."""
        known = self._demands.get(demand)
        if known is None:
            known = ALL
            for number in sorted(demand, key=lambda n: (n < 0, abs(n))):
                known = self.meet(known, self.shapes(number))
            self._demands[demand] = known
        return known

    def is_empty(self, demand: Demand) -> bool:
        """True only if certainly nothing satisfies the demand; one that is being evaluated counts as satisfiable."""
        known = self._empty.get(demand)
        if known is None:
            if len(self._running) > 60:
                return False
            self._running.append(_DEEPER)
            try:
                known = self.evaluate(demand).is_empty()
            except _Circular:
                return False
            finally:
                self._running.pop()
            self._empty[demand] = known
        return known

    def meet(self, a: Shapes, b: Shapes) -> Shapes:
        out = meet(a, b, self.is_empty)
        if out.count > MAX_SHAPES:
            pointer = next((self._pointers[abs(n)] for n in reversed(self._running) if n != _DEEPER), "")
            raise UnsupportedSchema(pointer, "schema", f"it falls apart into more than {MAX_SHAPES} alternatives")
        return out

    def complement(self, shapes: Shapes) -> Shapes:
        for shape in shapes.arrays:
            if shape.unique:
                raise UnsupportedSchema(shape.unique, "uniqueItems", "it cannot be negated (not, oneOf, if)")
        return complement(shapes, self.is_empty, self.conjunction)

    def constants(self, values: list[Any], pointer: str) -> Shapes:
        """The set of exactly these JSON values."""
        strings, numbers, arrays, objects, booleans, null = [], [], [], [], [], False
        for value in values:
            if value is None:
                null = True
            elif isinstance(value, bool):
                booleans.append(value)
            elif isinstance(value, int | float):
                numbers.append(decimal(value))
            elif isinstance(value, str):
                strings.append(value)
            elif isinstance(value, Mapping):
                named = tuple((key, self.constant(member, pointer), True) for key, member in value.items())
                objects.append(ObjectShape(named, rules=(((StringShape(),), NOTHING),), high=len(named)))
            else:
                items = tuple(self.constant(item, pointer) for item in value)
                arrays.append(ArrayShape(items, NOTHING, len(items), len(items)))
        return Shapes(
            null,
            frozenset(booleans),
            (NumberShape(only=frozenset(numbers)),) if numbers else (),
            (StringShape(only=frozenset(strings)),) if strings else (),
            tuple(arrays),
            tuple(objects),
        )

    def keys(self, shapes: Shapes) -> Selector:
        """The object keys that a schema for names admits."""
        return shapes.strings

    def contains(self, demand: Demand, value: Any) -> bool:
        """Is the value in the set? (Key order does not matter here.)"""
        return self.arrange(demand, value) is not None

    def arrange(self, demand: Demand, value: Any) -> tuple[Any] | None:
        """``(value,)`` with the keys of its objects in the order in which they are written, or None if it is not in
        the set."""
        if demand == NOTHING:
            return None
        shapes = self.evaluate(demand)
        if value is None:
            return (value,) if shapes.null else None
        if isinstance(value, bool):
            return (value,) if value in shapes.booleans else None
        if isinstance(value, int | float):
            exact = decimal(value)
            return (value,) if any(shape.contains(exact) for shape in shapes.numbers) else None
        if isinstance(value, str):
            return (value,) if any(shape.contains(value) for shape in shapes.strings) else None
        if isinstance(value, Mapping):
            return next(filter(None, (self._arrange_object(shape, value) for shape in shapes.objects)), None)
        return next(filter(None, (self._arrange_array(shape, value) for shape in shapes.arrays)), None)

    def _arrange_array(self, shape: ArrayShape, value: list[Any]) -> tuple[Any] | None:
        if len(value) < shape.low or (shape.high is not None and len(value) > shape.high):
            return None
        items = []
        for position, item in enumerate(value):
            found = self.arrange(shape.demand_at(position), item)
            if found is None:
                return None
            items.append(found[0])
        for holds in shape.holds:
            count = sum(self.contains(holds.demand, item) for item in value[holds.start :])
            if count < holds.low or (holds.high is not None and count > holds.high):
                return None
        if shape.unique:
            texts = [json.dumps(_comparable(item), sort_keys=True) for item in value]
            if len(set(texts)) < len(texts):
                return None
        return (items,)

    def _arrange_object(self, shape: ObjectShape, value: Mapping[str, Any]) -> tuple[Any] | None:
        if len(value) < shape.low or (shape.high is not None and len(value) > shape.high):
            return None
        members: dict[str, Any] = {}
        for key, demand, need in shape.named:
            if key not in value:
                if need:
                    return None
                continue
            found = self.arrange(demand, value[key])
            if found is None:
                return None
            members[key] = found[0]
        for key, member in value.items():
            if key not in members:
                found = self.arrange(shape.demand_of(key), member)
                if found is None:
                    return None
                members[key] = found[0]
        for selector, demand in shape.exists:
            if not any(
                any(s.contains(key) for s in selector) and self.contains(demand, member)
                for key, member in value.items()
            ):
                return None
        return (members,)


def _comparable(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _comparable(member) for key, member in value.items()}
    return value
