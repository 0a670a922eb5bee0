"""How many states the values of a demand take, roughly: what a maximum may be is measured by it.

>>> from structdiff.frontends.json_schema.bounds import Bounds
>>> from structdiff.frontends.json_schema.document import Document
>>> algebra = Algebra(Document({"properties": {"a": {"maxLength": 10, "type": "string"}}, "type": "object"}))
>>> Weights(algebra, Counting(Bounds(), room=1_000)).of(algebra.demand(algebra.document.root))
169
"""

from __future__ import annotations

from structdiff.frontends.json_schema.algebra import Algebra
from structdiff.frontends.json_schema.bounds import CHARACTER_STATES, Counting
from structdiff.frontends.json_schema.leaves import StringShape
from structdiff.frontends.json_schema.shapes import ANYTHING, NOTHING, ArrayShape, Demand, ObjectShape

FREE, SCALAR, MEMBER = 500, 20, 6
"""States of a value without a schema, of a number or an uncounted string, and of what stands around a member's key."""
WHOLE = 10**9
"""No weight is larger."""


class Weights:
    """Weighs the demands of one document, each once; a schema inside itself weighs nothing."""

    def __init__(self, algebra: Algebra, counting: Counting) -> None:
        self._algebra, self._counting = algebra, counting
        self._known: dict[Demand, int] = {ANYTHING: FREE, NOTHING: 0}

    def of(self, demand: Demand) -> int:
        """The weight of the values that meet ``demand``."""
        known = self._known.get(demand)
        if known is None:
            self._known[demand] = 0
            shapes = self._algebra.evaluate(demand)
            known = sum(SCALAR if shape.only is None else len(shape.only) for shape in shapes.numbers)
            known += sum(map(self._string, shapes.strings))
            known += sum(map(self._array, shapes.arrays)) + sum(map(self.member, shapes.objects))
            known = self._known[demand] = min(known + 1, WHOLE)
        return known

    def _string(self, shape: StringShape) -> int:
        if shape.only is not None:
            return sum(len(text.encode()) for text in shape.only)
        return SCALAR + CHARACTER_STATES * (self._counting.characters(shape.high, shape.low) or shape.low)

    def _array(self, shape: ArrayShape) -> int:
        item = self.item(shape)
        count = self._counting.items(shape.high, shape.low, item) or max(shape.low, 1)
        return sum(map(self.of, shape.prefix)) + max(count - len(shape.prefix), 0) * item

    def item(self, shape: ArrayShape) -> int:
        """The weight of one more item of an array."""
        return self.of(shape.rest) + 2

    def member(self, shape: ObjectShape) -> int:
        """The weight of one more member of an object, which may be any of its members."""
        named = sum(len(key.encode()) + MEMBER + self.of(demand) for key, demand, _ in shape.named)
        return named + sum(SCALAR + MEMBER + self.of(demand) for _, demand in shape.rules if demand != NOTHING)
