"""What the keywords need of the algebra that evaluates schemas."""

from __future__ import annotations

from typing import Any, Protocol

from structdiff.frontends.json_schema.document import Document
from structdiff.frontends.json_schema.shapes import ALL, Demand, Shapes, join


class Evaluating(Protocol):
    """Turns schemas into demands, and demands into the values that meet them (`Algebra`)."""

    @property
    def document(self) -> Document: ...

    @property
    def annotations(self) -> dict[tuple[str, str], str]: ...

    def demand(self, schema: Any) -> Demand: ...

    def either(self, demands: list[Demand]) -> Demand: ...

    def shapes(self, number: int) -> Shapes: ...

    def evaluate(self, demand: Demand) -> Shapes: ...

    def meet(self, a: Shapes, b: Shapes) -> Shapes: ...

    def complement(self, shapes: Shapes) -> Shapes: ...

    def constants(self, values: list[Any], pointer: str) -> Shapes: ...

    def contains(self, demand: Demand, value: Any) -> bool: ...


def outside(algebra: Evaluating, demand: Demand) -> Shapes:
    """The values that do not meet a demand."""
    return ALL if -1 in demand else join(algebra.shapes(-number) for number in sorted(demand))
