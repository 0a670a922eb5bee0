"""Which rows have the next pass: seconds are shared by client, and within a client by request."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from structdiff.decode.engine import Spent
from structdiff.server.shares import Shares

RIDE = 0.1
"""Rows of clients whose turn it is not may ride along while they make a pass longer by this part of it at most."""
QUANTUM = 0.05
"""The seconds that a round gives each client, at least."""
TOGETHER = 6
"""A round gives as many seconds as a pass of so many rows takes: with less, rows would run one by one, and a pass of
one row takes nearly as long as one of several."""
EDGE_SECONDS = 3e-8
"""What an edge at a position costs a pass, in seconds, until it is measured."""
MEASURABLE = 200_000
"""Edges times positions of a row from which its time says what they cost; below, other work counts for more."""
_LATEST = 0.05
"""The weight of the latest pass in running means."""


class Pace:
    """What passes take on this machine, by running means: a pass of the model has a part that does not depend on the
    rows that share it and one for each row; a row's own work grows with edges times positions.

    >>> pace = Pace()
    >>> for rows in [1, 4, 2, 8] * 50:
    ...     pace.passed(rows, 0.010 + 0.005 * rows)
    >>> round(pace.base, 3), round(pace.each, 3)
    (0.01, 0.005)
    """

    def __init__(self) -> None:
        self._edge = EDGE_SECONDS
        self._means: tuple[float, float, float, float] | None = None

    def passed(self, rows: int, seconds: float) -> None:
        """A pass of the model for so many rows took so long."""
        new = float(rows), seconds, float(rows * rows), rows * seconds
        old = self._means or new
        a, b, c, d = (one + _LATEST * (other - one) for one, other in zip(old, new, strict=True))
        self._means = a, b, c, d

    def worked(self, cost: int, seconds: float) -> None:
        """A row's own work at ``cost`` edges times positions took so long."""
        if cost >= MEASURABLE:
            self._edge += _LATEST * (seconds / cost - self._edge)

    def own(self, cost: int) -> float:
        """The seconds of a row's own work, before it has been measured."""
        return cost * self._edge

    @property
    def each(self) -> float:
        """The seconds that one row more adds to a pass of the model; 0 where passes of many rows have told nothing."""
        if self._means is None:
            return 0.0
        rows, seconds, squares, products = self._means
        variance = squares - rows * rows
        return max(0.0, (products - rows * seconds) / variance) if variance > 0.1 else 0.0

    @property
    def base(self) -> float:
        """The seconds of a pass of the model without those of its rows."""
        return 0.0 if self._means is None else max(0.0, self._means[1] - self.each * self._means[0])


@dataclass(eq=False)
class Request:
    """The rows of one request have had the model for so long."""

    client: Hashable
    spent: float = 0.0


@dataclass(eq=False)
class Ready:
    """A row that can have a pass: its number, its request, its cost in edges times positions, the seconds that its own
    part of a pass should take, and those that it has had."""

    number: int
    request: Request
    cost: int
    own: float
    spent: float = 0.0

    @property
    def client(self) -> Hashable:
        return self.request.client


class Schedule:
    """Chooses the rows of passes and learns from what they took.

    >>> schedule = Schedule(Shares(quantum=1.0))
    >>> rows = [Ready(i, Request("greedy" if i else "modest"), 0, 0.5) for i in range(6)]
    >>> for row in rows:
    ...     schedule.shares.enter(row.client)
    >>> [row.number for row in schedule.choose(rows)]      # two rows of the greedy client fit in a quantum
    [0, 1, 2]
    """

    def __init__(self, shares: Shares | None = None) -> None:
        self.shares, self.pace = shares or Shares(QUANTUM), Pace()

    def choose(self, rows: Sequence[Ready]) -> list[Ready]:
        """The rows that have the next pass; none where their clients must wait for others.

        A client that has seconds left has as many rows as should fit in a quantum, one at least; rows of others ride
        along where that hardly makes the pass longer. Whoever is alone has all its rows.
        """
        if rows and all(self.shares.alone(row.client) for row in rows):
            return list(rows)
        order = sorted(rows, key=lambda row: (row.request.spent, row.spent, row.number))
        room = {row.client: self.shares.quantum for row in rows if self.shares.left(row.client) > 0}
        chosen: list[Ready] = []
        riders: list[Ready] = []
        begun: set[Hashable] = set()
        length = self.pace.base
        for row in order:
            needs = self.pace.each + row.own
            if row.client in room and (row.client not in begun or needs <= room[row.client]):
                begun.add(row.client)
                room[row.client] -= needs
                chosen.append(row)
                length += needs
            else:
                riders.append(row)
        spare = RIDE * length if chosen else 0.0
        for row in riders:
            needs = self.pace.each + row.own
            if needs <= spare:
                spare -= needs
                chosen.append(row)
        return chosen

    def took(self, rows: Sequence[Ready], spent: Spent) -> None:
        """The rows had a pass, which took so long."""
        if spent.together:
            self.pace.passed(len(spent.together), spent.shared)
            self.shares.quantum = max(QUANTUM, self.pace.base + TOGETHER * self.pace.each)
        for row in rows:
            own = spent.own.get(row.number, 0.0)
            if row.number in spent.together:
                self.pace.worked(row.cost, own)
            row.own += 0.5 * (own - row.own)
            self.charge(row, spent.of(row.number))

    def charge(self, row: Ready, seconds: float) -> None:
        """A row has had the model for so long."""
        row.spent += seconds
        row.request.spent += seconds
        self.shares.charge(row.client, seconds)
