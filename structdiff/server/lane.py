"""A lane: one thread that makes passes of its own rows."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Any, Protocol

from structdiff.core.errors import StructdiffError
from structdiff.decode.choose import Decoder, decoder_of
from structdiff.decode.engine import Outcome, Spent, Task
from structdiff.decode.policy import Policy
from structdiff.decode.trace import Event
from structdiff.models.protocol import CausalModel, Denoiser
from structdiff.server.schedule import Ready

log = logging.getLogger("structdiff.server")
HELD = 0.02
"""Seconds after which a lane whose clients must wait for others asks again."""


class InTurn:
    """A lock that is given in the order in which it was asked for: `threading.Lock` may go to the same thread again and
    again while another waits.

    >>> lock = InTurn()
    >>> with lock:
    ...     pass
    """

    def __init__(self) -> None:
        self._guard, self._held = threading.Lock(), False
        self._waiting: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()

    def __exit__(self, *_: Any) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._held = False


class Locked:
    """A denoiser that several threads may use: one calls the model at a time, in turn."""

    def __init__(self, denoiser: Denoiser | CausalModel) -> None:
        self._denoiser, self._lock = denoiser, InTurn()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._denoiser, name)
        if not callable(found):
            return found

        def call(*args: Any, **options: Any) -> Any:
            with self._lock:
                return found(*args, **options)

        return call


class Desk(Protocol):
    """What a lane asks of the one that knows all rows. ``heavy`` says which lane asks."""

    def admit(self, heavy: bool) -> tuple[Task, Ready] | None:
        """The next row that may begin."""

    def joined(self, row: Ready, seconds: float) -> None:
        """A row has begun, or failed to; it took so long."""

    def choose(self, heavy: bool, rows: list[Ready]) -> list[Ready]:
        """The rows that have the next pass; none where their clients must wait for others."""

    def took(self, rows: list[Ready], spent: Spent) -> None:
        """The pass of these rows took so long."""

    def happened(self, event: Event) -> None:
        """Something happened to a row."""

    def ended(self, number: int, result: Outcome | Exception) -> None:
        """A row has its outcome, or the reason why it has none."""


class Lane:
    """Makes passes of the rows that the desk gives it."""

    def __init__(self, denoiser: Any, policy: Policy, desk: Desk, heavy: bool) -> None:
        self._denoiser, self._policy, self._desk, self._heavy = denoiser, policy, desk, heavy
        self._changed = threading.Condition()
        self._cancelled: set[int] = set()
        self._stopping = self._woken = self._held = False
        self._engine = self._fresh()
        self._ready: dict[int, Ready] = {}
        name = "structdiff-heavy" if heavy else "structdiff-model"
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There may be something to do."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def cancel(self, number: int) -> None:
        """Drop a row before the next step."""
        with self._changed:
            self._cancelled.add(number)

    def stop(self) -> None:
        """End when no row is left."""
        with self._changed:
            self._stopping = True

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _fresh(self) -> Decoder:
        desk = self._desk
        return decoder_of(
            self._denoiser, self._policy, desk.happened, lambda task, error: desk.ended(task.number, error),
            piecewise=True,
        )  # fmt: skip

    def _work(self) -> None:
        while True:
            with self._changed:
                if self._held and not self._woken and not self._cancelled:
                    self._changed.wait(HELD)
                while not (self._woken or self._cancelled or self._engine.rows):
                    self._changed.wait()
                self._woken = False
                cancelled, self._cancelled = self._cancelled, set()
                stopping = self._stopping
            try:
                for number in cancelled:
                    self._engine.cancel(number)
                self._fill()
                if stopping and not self._engine.rows and not self._engine.finished:
                    return
                self._pass()
            except Exception as error:  # a defect: the rows of this step are lost, the service is not
                log.exception("a denoising step failed")
                rows, self._engine = self._engine.rows, self._fresh()
                for row in rows:
                    self._desk.ended(row.task.number, error)

    def _pass(self) -> None:
        numbers = {row.task.number for row in self._engine.rows}
        self._ready = {number: row for number, row in self._ready.items() if number in numbers}
        chosen = self._desk.choose(self._heavy, list(self._ready.values())) if numbers else []
        self._held = bool(numbers) and not chosen
        done = self._engine.step([row.number for row in chosen])
        if chosen:
            self._desk.took(chosen, self._engine.spent)
        for outcome in done:
            self._desk.ended(outcome.task.number, outcome)

    def _fill(self) -> None:
        while (admitted := self._desk.admit(self._heavy)) is not None:
            task, row = admitted
            begun = time.perf_counter()
            try:
                self._engine.add(task)
                self._ready[task.number] = row
            except StructdiffError as error:
                self._desk.ended(task.number, error)
            except Exception as error:  # a defect: this row is lost, and its place is free again
                log.exception("a row could not begin")
                self._desk.ended(task.number, error)
            finally:
                self._desk.joined(row, time.perf_counter() - begun)
