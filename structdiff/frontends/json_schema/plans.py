"""Plans: arrays and objects as networks whose edges carry demands. What is left is to write the values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.core.errors import CompileLimit
from structdiff.core.limits import active
from structdiff.frontends.json_schema.shapes import Demand

Key = str | ByteAutomaton


@dataclass(frozen=True)
class Edge:
    """From one state of a plan to another with a member or an item; ``key`` is None for an item.

    An item with a ``residue`` is one whose checksum leaves it (`structdiff.automata.apart`).
    """

    source: int
    target: int
    demand: Demand
    key: Key | None = None
    residue: int | None = None


@dataclass(frozen=True)
class Plan:
    """A network: ``silent`` edges write nothing; states in ``begun`` have written a member or an item already.

    With a ``modulus`` its edges are items with residues, all of one state with the same demand.
    """

    size: int
    edges: tuple[Edge, ...]
    silent: tuple[tuple[int, int], ...]
    begun: frozenset[int]
    finals: tuple[int, ...]
    modulus: int = 0
    additive: bool = False


class Growing:
    """A plan that grows from its start: numbers states as they are met and walks them once each."""

    def __init__(self, start: Any, pointer: str) -> None:
        self.pointer = pointer
        self.number: dict[Any, int] = {start: 0}
        self.pending = [start]
        self.edges: list[Edge] = []
        self.silent: list[tuple[int, int]] = []

    def state(self, state: Any) -> int:
        """The number of a state, which will be walked if it is new."""
        if state not in self.number:
            self.number[state] = len(self.number)
            self.pending.append(state)
        return self.number[state]

    def walk(self) -> Iterator[Any]:
        """Every state once."""
        limits = active()
        while self.pending:
            limits.check_time(self.pointer)
            if len(self.edges) > limits.nodes:
                raise CompileLimit(self.pointer, f"{limits.nodes} grammar nodes")
            yield self.pending.pop()

    def plan(self, begun: set[int], finals: list[int]) -> Plan:
        """The finished plan."""
        return Plan(len(self.number), tuple(self.edges), tuple(self.silent), frozenset(begun), tuple(finals))
