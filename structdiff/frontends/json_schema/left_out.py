"""What is left out while a schema is written, by the places of the schema."""

from __future__ import annotations

from dataclasses import dataclass, field

from structdiff.core.restrictions import Restriction
from structdiff.frontends.json_schema.algebra import Algebra
from structdiff.frontends.json_schema.shapes import Demand

Note = tuple[str, str, str]
"""Where below a place, the keyword that allows more, and what is left out."""


@dataclass
class Place:
    """A schema that is being written: its pointer, and what of it is left out."""

    pointer: str
    notes: dict[Note, None] = field(default_factory=dict)

    def note(self, keyword: str, reason: str, below: str = "") -> None:
        """Remember that ``keyword`` allows more than is written."""
        self.notes[below, keyword, reason] = None


class LeftOut:
    """The places of one document by their demands; demands that hold the same values are written once for all."""

    def __init__(self, algebra: Algebra) -> None:
        self._algebra = algebra
        self._places: dict[Demand, Place] = {}
        self._same: dict[Demand, dict[Demand, None]] = {}

    def place(self, demand: Demand) -> Place:
        """Where ``demand`` comes from."""
        known = self._places.get(demand)
        if known is None:
            known = self._places[demand] = Place(self._algebra.pointer(demand))
        return known

    def same(self, written: Demand, other: Demand) -> None:
        """``other`` is written as ``written`` is."""
        if written != other:
            self._same.setdefault(written, {})[other] = None

    @property
    def restrictions(self) -> tuple[Restriction, ...]:
        """All that is left out, at every place that it is left out of, ordered by place."""
        found = {
            Restriction(at, keyword, reason)
            for demand, place in self._places.items()
            for below, keyword, reason in place.notes
            for one in (demand, *self._same.get(demand, ()))
            for at in self._algebra.everywhere(self._algebra.pointer(one) + below)
        }
        return tuple(sorted(found))
