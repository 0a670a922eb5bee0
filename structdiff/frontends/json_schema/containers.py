"""Array and object shapes as plans, and which of many alternatives are planned at all."""

from __future__ import annotations

from typing import TypeVar

from structdiff.frontends.json_schema.algebra import Algebra
from structdiff.frontends.json_schema.arrays import plan_array
from structdiff.frontends.json_schema.bounds import Counting
from structdiff.frontends.json_schema.left_out import Place
from structdiff.frontends.json_schema.objects import ObjectPlanner
from structdiff.frontends.json_schema.plans import Plan
from structdiff.frontends.json_schema.shapes import NOTHING, ArrayShape, ObjectShape
from structdiff.frontends.json_schema.weights import Weights

S = TypeVar("S", ArrayShape, ObjectShape)


class Planner:
    """Plans shapes of one document; ``crowded`` says whether alternatives were left out."""

    def __init__(self, algebra: Algebra, counting: Counting, closed: bool, any_order: bool) -> None:
        self.algebra, self.counting = algebra, counting
        self.crowded = False
        self._weights = Weights(algebra, counting)
        self._objects = ObjectPlanner(algebra, counting, self._weights, closed, any_order)

    @property
    def excluded(self) -> bool:
        """Were there keys that only an excluded alternative names?"""
        return self._objects.excluded

    def array(self, shape: ArrayShape, place: Place) -> list[Plan]:
        """The arrays of a shape."""
        plans = plan_array(self.algebra, self.counting, self._weights, shape, place)
        self.crowded |= any(plan.modulus for plan in plans)
        return plans

    def object(self, shape: ObjectShape, place: Place) -> list[Plan]:
        """The objects of a shape."""
        return self._objects.plan(shape, place)

    def simplest(self, shapes: tuple[S, ...], place: Place) -> list[S]:
        """Not more alternatives than the bounds allow; the first to go negate arrays or objects."""
        most = self.counting.bounds.alternatives
        if len(shapes) <= most:
            return list(shapes)
        costs = {shape: self._cost(shape) for shape in shapes}
        cheap = [shape for shape in shapes if not costs[shape]]
        dear = sorted((shape for shape in shapes if costs[shape]), key=costs.__getitem__)
        room = max(most - len(cheap), 0 if cheap else 1)
        if room < len(dear):
            self.crowded = True
            place.note("alternatives", f"{len(dear) - room} ways to break another schema are left out")
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
