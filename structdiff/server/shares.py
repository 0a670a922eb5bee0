"""Seconds of the model, shared among clients by deficit round-robin."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable


class Shares:
    """Clients that have something to do are given ``quantum`` seconds a round, and may go while some are left.

    What a pass takes is known only afterwards: a client that took more than it had goes without for so many rounds, and
    also if it was gone between. What a client does not use is not kept. Source: Shreedhar and Varghese, "Efficient Fair
    Queueing Using Deficit Round-Robin", 1995, with seconds in the place of bytes.

    >>> shares = Shares(quantum=1.0)
    >>> shares.enter("a"); shares.enter("b")
    >>> shares.charge("a", 2.5); shares.charge("b", 1.5)
    >>> shares.refill(["a", "b"]); shares.left("a"), shares.left("b")
    (-0.5, 0.5)
    """

    def __init__(self, quantum: float) -> None:
        self.quantum = quantum
        self._left: dict[Hashable, float] = {}
        self._rows: dict[Hashable, int] = {}

    def enter(self, client: Hashable) -> None:
        """A row of a client is there, waiting or running."""
        self._rows[client] = self._rows.get(client, 0) + 1
        self._left.setdefault(client, self.quantum)

    def leave(self, client: Hashable) -> None:
        """A row of a client is gone; a client without rows keeps what it owes."""
        self._rows[client] -= 1
        if not self._rows[client]:
            del self._rows[client]
            if self._left[client] >= 0:
                del self._left[client]

    def charge(self, client: Hashable, seconds: float) -> None:
        """A client has had the model for so long."""
        self._left[client] = self._left.get(client, self.quantum) - seconds

    def left(self, client: Hashable) -> float:
        """The seconds that a client has left in this round; it may go where they are more than 0."""
        return self._left.get(client, self.quantum)

    def alone(self, client: Hashable) -> bool:
        """Has nobody else something to do?"""
        return self._rows.keys() <= {client}

    def refill(self, ready: Collection[Hashable]) -> None:
        """As many rounds as it takes until one of the clients that are ready may go."""
        most = max(map(self.left, ready), default=self.quantum)
        if most > 0:
            return
        rounds = math.floor(-most / self.quantum) + 1
        for client in list(self._left):
            left = min(self._left[client] + rounds * self.quantum, self.quantum)
            if client in self._rows or left < 0:
                self._left[client] = left
            else:
                del self._left[client]
