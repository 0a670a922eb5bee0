"""Continuous batching: rows of different requests share the model's denoising steps, fairly by client.

A row joins before any pass while there is room, in the order of `FairQueue`, and leaves when it is finished, cancelled
or failed; the rows beside it do not notice (`structdiff.decode.loop`). The rows of each pass are chosen so that clients
have equal seconds of the model (`structdiff.server.schedule`). Rows of constraints whose passes are expensive run on a
lane of their own, so that the passes of the others take no longer because of them.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

from structdiff.decode.engine import Outcome, Spent, Task
from structdiff.decode.policy import Policy
from structdiff.decode.trace import Event
from structdiff.models.protocol import CausalModel, Denoiser
from structdiff.server.fair import FairQueue, Waiting
from structdiff.server.lane import Lane, Locked
from structdiff.server.schedule import Ready, Request, Schedule

Sink = Callable[["Event | Outcome | Exception"], None]
"""Takes what happens to a row; its `Outcome` or an exception comes last. Called on a lane's thread."""

HEAVY_STEP = 1_000_000
"""Edges times positions of a canvas from which a row runs on the lane of expensive ones."""
HEAVY_ROWS = 2
"""Rows on the lane of expensive ones."""
_FORGET = 0.2
"""The weight of the latest figure in the running mean of the seconds between two finished rows."""


class QueueFull(Exception):
    """No more rows may wait. ``wait`` is the number of seconds after which there should be room."""

    def __init__(self, wait: float = 1.0) -> None:
        super().__init__(f"the queue is full; there should be room in {wait:.0f} seconds")
        self.wait = wait


class Stopping(Exception):
    """The service takes no more work."""


@dataclass(frozen=True, eq=False)
class _Queued:
    """A row that waits: its task, what the schedule knows of it, its lane, and since when."""

    task: Task
    ready: Ready
    heavy: bool
    since: float

    @property
    def request(self) -> Request:
        return self.ready.request


def step_cost(task: Task, canvas: int) -> int:
    """What a step of a row costs beyond the model: edges of its automaton times positions of its canvas."""
    return 0 if task.automaton is None else task.automaton.edges * min(canvas, task.max_tokens)


class Worker:
    """Runs tasks on a denoiser, in threads of its own.

    ``max_batch`` rows share a step, of which one client may hold three quarters and one request half; ``max_queue``
    more may wait. When the queue is full, the client of whom most rows wait loses its latest request to one of whom
    fewer wait.

    >>> from structdiff.testing.tiny import tiny
    >>> from structdiff.testing.scripted import Scripted
    >>> worker = Worker(Scripted.random(canvas_length=4, vocab_size=4), Policy(max_steps=3))
    >>> import queue; happened = queue.Queue()
    >>> number = worker.submit([Task([0], tiny("ab|b"), 2, end_ids=(3,))], [happened.put])
    >>> worker.stop(); [happened.get() for _ in range(happened.qsize())][-1].reason
    'stop'
    """

    def __init__(
        self,
        denoiser: Denoiser | CausalModel,
        policy: Policy,
        max_batch: int = 16,
        max_queue: int = 64,
        on_step: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self.max_batch, self.max_queue = max_batch, max_queue
        self.of_client = max_batch - max_batch // 4
        self.of_request = max(1, max_batch // 2)
        self._canvas = denoiser.spec.canvas_length
        self._changed = threading.Condition()
        self._waiting: FairQueue[_Queued] = FairQueue()
        self._sinks: dict[int, Sink] = {}
        self._running: dict[int, _Queued] = {}
        self._schedule = Schedule()
        self._on_step = on_step
        self._next = 0
        self._stopping = False
        self._interval = 0.0
        self._finished = time.monotonic()
        shared = Locked(denoiser)
        self._lanes = [Lane(shared, policy, self, heavy) for heavy in (False, True)]
        for lane in self._lanes:
            lane.start()

    # ------------------------------------------------------------------------------------------------ from outside

    def submit(self, tasks: list[Task], sinks: list[Sink], client: Hashable = None) -> list[int]:
        """Queue the rows of a request, all or none; returns their numbers. Raises `QueueFull` or `Stopping`.

        A row of another request that has to make room is told `QueueFull` by its sink.
        """
        with self._changed:
            if self._stopping:
                raise Stopping
            dropped = self._make_room(len(tasks), client)
            numbers, request = [], Request(client)
            for task, sink in zip(tasks, sinks, strict=True):
                cost = step_cost(task, self._canvas)
                ready = Ready(self._next, request, cost, self._schedule.pace.own(cost))
                queued = _Queued(replace(task, number=self._next), ready, cost >= HEAVY_STEP, time.monotonic())
                self._waiting.put(client, queued, math.ceil(task.max_tokens / self._canvas) + task.think)
                self._schedule.shares.enter(client)
                self._sinks[self._next] = sink
                numbers.append(self._next)
                self._next += 1
        self._wake()
        for sink in dropped:
            sink(QueueFull(self.wait))
        return numbers

    def expect(self, count: int, client: Hashable) -> None:
        """Raises `QueueFull` where so many rows of a client would find no room, before anything is done for them."""
        with self._changed:
            self._losers(count, client)

    def cancel(self, numbers: list[int]) -> None:
        """Drop rows, waiting or running; finished ones are left alone."""
        chosen = set(numbers)
        with self._changed:
            self._drop(chosen)
            for number in numbers:
                self._sinks.pop(number, None)
                if self._gone(number):
                    for lane in self._lanes:
                        lane.cancel(number)
        self._wake()

    def stop(self, drain: bool = True) -> None:
        """Take no more work; finish what is queued, or drop it, and end the threads."""
        with self._changed:
            self._stopping = True
            numbers = [] if drain else list(self._sinks)
        self.cancel(numbers)
        for lane in self._lanes:
            lane.stop()
        self._wake()
        for lane in self._lanes:
            lane.join()

    @property
    def alive(self) -> bool:
        return all(lane.alive for lane in self._lanes)

    @property
    def waiting(self) -> int:
        """Rows that have not begun."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Rows that have begun."""
        return len(self._running)

    @property
    def oldest(self) -> float:
        """For how many seconds the row has waited that has waited longest."""
        with self._changed:
            begun = min((one.item.since for one in self._waiting), default=None)
        return 0.0 if begun is None else time.monotonic() - begun

    @property
    def wait(self) -> float:
        """The seconds after which a row that would be queued now should begin, by the rate at which rows finish."""
        return min(max(1.0, (len(self._waiting) + 1) * self._interval), 600.0)

    # ------------------------------------------------------------------------------------------------------- inside

    def _make_room(self, count: int, client: Hashable) -> list[Sink]:
        """Let others lose requests until ``count`` rows fit; the sinks of their rows."""
        dropped = self._losers(count, client)
        self._drop(set(dropped))
        return [sink for number in dropped if (sink := self._sinks.pop(number, None)) is not None]

    def _losers(self, count: int, client: Hashable) -> list[int]:
        """The rows that would make room for ``count``: the latest requests of the client of whom most rows wait."""
        room = self.max_queue + max(self.max_batch - len(self._running), 0)
        dropped: list[int] = []
        while len(self._waiting) - len(dropped) + count > room:
            longest = self._waiting.longest()
            mine = self._waiting.count(client) + count
            left = [one for one in self._waiting if one.client == longest and one.item.task.number not in dropped]
            whole = [one for one in left if not self._begun(one.item.request)]
            if longest == client or not whole or len(left) <= mine:
                raise QueueFull(self.wait)
            last = whole[-1].item.request
            dropped += [one.item.task.number for one in left if one.item.request is last]
        return dropped

    def _begun(self, request: Request) -> bool:
        return any(one.request is request for one in self._running.values())

    def _drop(self, numbers: set[int]) -> None:
        """Take rows that wait out of the queue."""
        for one in self._waiting.remove(lambda one: one.task.number in numbers):
            self._schedule.shares.leave(one.request.client)

    def _gone(self, number: int) -> bool:
        """A row that ran has left; False where it had before."""
        one = self._running.pop(number, None)
        if one is not None:
            self._schedule.shares.leave(one.request.client)
        return one is not None

    def _wake(self) -> None:
        for lane in self._lanes:
            lane.wake()

    # ----------------------------------------------------------------------------------------------------- for lanes

    def admit(self, heavy: bool) -> tuple[Task, Ready] | None:
        """The next row that may begin on a lane: of a client that may go, within its part of the rows there are."""
        with self._changed:
            most = min(HEAVY_ROWS, self.max_batch) if heavy else self.max_batch
            here = [one for one in self._running.values() if one.heavy == heavy]
            if len(here) >= most:
                return None
            shares = self._schedule.shares
            clients, requests = Counter(one.request.client for one in here), Counter(one.request for one in here)
            of_client, of_request = min(self.of_client, most), min(self.of_request, most)

            def allowed(one: Waiting[_Queued]) -> bool:
                return (
                    one.item.heavy == heavy
                    and clients[one.client] < of_client
                    and requests[one.item.request] < of_request
                    and (not here or shares.left(one.client) > 0 or shares.alone(one.client))
                )

            taken = self._waiting.take(allowed)
            if taken is None:
                return None
            self._running[taken.item.task.number] = taken.item
            return taken.item.task, taken.item.ready

    def joined(self, row: Ready, seconds: float) -> None:
        """A row has begun: its prompt is read, which its client pays for."""
        with self._changed:
            self._schedule.charge(row, seconds)

    def choose(self, heavy: bool, rows: list[Ready]) -> list[Ready]:
        """The rows of a lane that have its next pass; where none of their clients may go, the next round begins.

        The lane of expensive rows waits for the rounds of the other one, while that has rows: its clients have as many
        seconds as the others, however long a pass of theirs takes.
        """
        with self._changed:
            if not heavy or all(one.heavy for one in self._running.values()):
                self._schedule.shares.refill({row.client for row in rows})
            chosen = self._schedule.choose(rows)
        if chosen:
            self._on_step(len(chosen))
        return chosen

    def took(self, rows: list[Ready], spent: Spent) -> None:
        """A pass of these rows took so long."""
        with self._changed:
            self._schedule.took(rows, spent)

    def happened(self, event: Event) -> None:
        """Tell the sink of a row."""
        sink = self._sinks.get(event.row)
        if sink is not None:
            sink(event)

    def ended(self, number: int, result: Outcome | Exception) -> None:
        """Tell the sink of a row that it is over."""
        with self._changed:
            sink = self._sinks.pop(number, None)
            now = time.monotonic()
            if self._gone(number):
                passed = min(now - self._finished, 60.0) if self._waiting else self._interval
                self._interval += _FORGET * (passed - self._interval)
                self._finished = now
        self._wake()
        if sink is not None:
            sink(result)
