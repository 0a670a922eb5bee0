"""Continuous batching: one thread drives the model; rows of different requests share its denoising steps.

A row joins before any step while there is room, first come first served, and leaves when it is finished, cancelled or
failed; the rows beside it do not notice (`structdiff.decode.loop`).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from structdiff.core.errors import StructdiffError
from structdiff.decode.choose import Decoder, decoder_of
from structdiff.decode.engine import Outcome, Task
from structdiff.decode.policy import Policy
from structdiff.decode.trace import Event
from structdiff.models.protocol import CausalModel, Denoiser

log = logging.getLogger("structdiff.server")

Sink = Callable[["Event | Outcome | Exception"], None]
"""Takes what happens to a row; its `Outcome` or an exception comes last. Called on the model's thread."""


class QueueFull(Exception):
    """No more rows may wait."""


class Stopping(Exception):
    """The service takes no more work."""


class Worker:
    """Runs tasks on a denoiser in a thread of its own.

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
        self.max_batch, self.max_queue, self.on_step = max_batch, max_queue, on_step
        self._denoiser, self._policy = denoiser, policy
        self._changed = threading.Condition()
        self._waiting: deque[Task] = deque()
        self._cancelled: set[int] = set()
        self._sinks: dict[int, Sink] = {}
        self._next = 0
        self._stopping = False
        self._engine = self._fresh()
        self._thread = threading.Thread(target=self._work, name="structdiff-model", daemon=True)
        self._thread.start()

    def submit(self, tasks: list[Task], sinks: list[Sink]) -> list[int]:
        """Queue rows, all or none; returns their numbers. Raises `QueueFull` or `Stopping`."""
        with self._changed:
            if self._stopping:
                raise Stopping
            idle = self.max_batch - len(self._sinks) + len(self._waiting)
            if len(self._waiting) + len(tasks) > self.max_queue + max(idle, 0):
                raise QueueFull
            numbers = []
            for task, sink in zip(tasks, sinks, strict=True):
                self._waiting.append(replace(task, number=self._next))
                self._sinks[self._next] = sink
                numbers.append(self._next)
                self._next += 1
            self._changed.notify()
        return numbers

    def cancel(self, numbers: list[int]) -> None:
        """Drop rows, waiting or running; finished ones are left alone."""
        with self._changed:
            for number in numbers:
                if self._sinks.pop(number, None) is not None:
                    self._cancelled.add(number)
            self._waiting = deque(task for task in self._waiting if task.number not in self._cancelled)
            self._changed.notify()

    def stop(self, drain: bool = True) -> None:
        """Take no more work; finish what is queued, or drop it, and end the thread."""
        with self._changed:
            self._stopping = True
            numbers = [] if drain else list(self._sinks)
            self._changed.notify()
        self.cancel(numbers)
        self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Rows that have not begun."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Rows in the current step."""
        return len(self._engine.rows)

    def _fresh(self) -> Decoder:
        return decoder_of(self._denoiser, self._policy, self._event, lambda task, e: self._end(task.number, e))

    def _event(self, event: Event) -> None:
        sink = self._sinks.get(event.row)
        if sink is not None:
            sink(event)

    def _end(self, number: int, result: Outcome | Exception) -> None:
        with self._changed:
            sink = self._sinks.pop(number, None)
        if sink is not None:
            sink(result)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._cancelled or self._engine.rows or self._stopping):
                    self._changed.wait()
                if self._stopping and not self._waiting and not self._engine.rows:
                    return
                cancelled, self._cancelled = self._cancelled, set()
            try:
                for number in cancelled:
                    self._engine.cancel(number)
                self._admit()
                if self._engine.rows:
                    self.on_step(len(self._engine.rows))
                for outcome in self._engine.step():
                    self._end(outcome.task.number, outcome)
            except Exception as error:  # a defect: the rows of this step are lost, the service is not
                log.exception("a denoising step failed")
                rows, self._engine = self._engine.rows, self._fresh()
                for row in rows:
                    self._end(row.task.number, error)

    def _admit(self) -> None:
        while len(self._engine.rows) < self.max_batch:
            with self._changed:
                if not self._waiting:
                    return
                task = self._waiting.popleft()
            try:
                self._engine.add(task)
            except StructdiffError as error:
                self._end(task.number, error)
