"""A lane: one thread that takes denoising steps of its own rows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from structdiff.core.errors import StructdiffError
from structdiff.decode.choose import Decoder, decoder_of
from structdiff.decode.engine import Outcome, Task
from structdiff.decode.policy import Policy
from structdiff.decode.trace import Event
from structdiff.models.protocol import CausalModel, Denoiser

log = logging.getLogger("structdiff.server")


class Locked:
    """A denoiser that several threads may use: one calls the model at a time."""

    def __init__(self, denoiser: Denoiser | CausalModel) -> None:
        self._denoiser, self._lock = denoiser, threading.RLock()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._denoiser, name)
        if not callable(found):
            return found

        def call(*args: Any, **options: Any) -> Any:
            with self._lock:
                return found(*args, **options)

        return call


class Lane:
    """Takes steps of the rows that ``admit`` gives it; ``end`` is told the outcome of each, or why it has none."""

    def __init__(
        self,
        denoiser: Any,
        policy: Policy,
        admit: Callable[[], Task | None],
        event: Callable[[Event], None],
        end: Callable[[int, Outcome | Exception], None],
        on_step: Callable[[int], None],
        name: str,
    ) -> None:
        self._denoiser, self._policy, self._admit, self._event = denoiser, policy, admit, event
        self._end, self._on_step = end, on_step
        self._changed = threading.Condition()
        self._cancelled: set[int] = set()
        self._stopping = self._woken = False
        self._engine = self._fresh()
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
        return decoder_of(self._denoiser, self._policy, self._event, lambda task, e: self._end(task.number, e))

    def _work(self) -> None:
        while True:
            with self._changed:
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
                if self._engine.rows:
                    self._on_step(len(self._engine.rows))
                for outcome in self._engine.step():
                    self._end(outcome.task.number, outcome)
            except Exception as error:  # a defect: the rows of this step are lost, the service is not
                log.exception("a denoising step failed")
                rows, self._engine = self._engine.rows, self._fresh()
                for row in rows:
                    self._end(row.task.number, error)

    def _fill(self) -> None:
        while (task := self._admit()) is not None:
            try:
                self._engine.add(task)
            except StructdiffError as error:
                self._end(task.number, error)
