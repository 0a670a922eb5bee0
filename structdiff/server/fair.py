"""A queue that several clients share by deficit round-robin, so that nobody waits longer because another asks more."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Waiting(Generic[T]):
    """An item, whose it is, and what it costs."""

    client: Hashable
    item: T
    cost: float


class FairQueue(Generic[T]):
    """Items in the order of deficit round-robin (Shreedhar and Varghese, 1995): at each turn a client may take items up
    to ``quantum`` of cost more than what it has left.

    >>> queue = FairQueue[str]()
    >>> for client, item in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1")]:
    ...     queue.put(client, item)
    >>> [queue.take().item for _ in range(4)]
    ['a1', 'b1', 'a2', 'a3']
    """

    def __init__(self, quantum: float = 1.0) -> None:
        self.quantum = quantum
        self._of: dict[Hashable, deque[Waiting[T]]] = {}
        self._turns: deque[Hashable] = deque()
        self._deficit: dict[Hashable, float] = {}
        self._granted = False

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def __iter__(self) -> Iterator[Waiting[T]]:
        """What waits, client by client."""
        return (one for queue in self._of.values() for one in queue)

    def put(self, client: Hashable, item: T, cost: float = 1.0) -> None:
        """Add an item behind the other ones of its client."""
        if client not in self._of:
            self._of[client] = deque()
            self._deficit[client] = 0.0
            self._turns.append(client)
        self._of[client].append(Waiting(client, item, cost))

    def take(self, allowed: Callable[[Waiting[T]], bool] = lambda one: True) -> Waiting[T] | None:
        """The next item among those ``allowed``; None where there is none."""
        blocked = 0
        while blocked < len(self._turns):
            client = self._turns[0]
            one = next((one for one in self._of[client] if allowed(one)), None)
            if one is None:
                blocked += 1
                self._next_turn()
                continue
            if not self._granted:
                self._granted = True
                self._deficit[client] += self.quantum
            if self._deficit[client] >= one.cost:
                self._deficit[client] -= one.cost
                self._drop(one)
                return one
            blocked = 0
            self._next_turn()
        return None

    def remove(self, chosen: Callable[[T], bool]) -> list[T]:
        """Take the chosen items out, whatever their turn."""
        found = [one for one in self if chosen(one.item)]
        for one in found:
            self._drop(one)
        return [one.item for one in found]

    def count(self, client: Hashable) -> int:
        """How many items of a client wait."""
        return len(self._of.get(client, ()))

    def longest(self) -> Hashable | None:
        """The client of whom most items wait."""
        return max(self._of, key=lambda client: len(self._of[client]), default=None)

    def _next_turn(self) -> None:
        self._turns.rotate(-1)
        self._granted = False

    def _drop(self, one: Waiting[T]) -> None:
        queue = self._of[one.client]
        queue.remove(one)
        if not queue:
            if self._turns[0] == one.client:
                self._granted = False
            del self._of[one.client], self._deficit[one.client]
            self._turns.remove(one.client)


class FairGate:
    """Lets ``places`` coroutines of one event loop do something at a time, fairly by client.

    >>> async def turns():
    ...     gate, order = FairGate(1), []
    ...     async def work(client):
    ...         async with gate.place(client):
    ...             await asyncio.sleep(0)
    ...             order.append(client)
    ...     await asyncio.gather(*map(work, "aaab"))
    ...     return order
    >>> asyncio.run(turns())
    ['a', 'a', 'b', 'a']
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

    @contextlib.asynccontextmanager
    async def place(self, client: Hashable) -> AsyncIterator[None]:
        """A place for the time of the context."""
        if self._free:
            self._free -= 1
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.put(client, turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._leave()
                else:
                    self._waiting.remove(lambda one: one is turn)
                raise
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        taken = self._waiting.take()
        if taken is None:
            self._free += 1
        else:
            taken.item.set_result(None)
