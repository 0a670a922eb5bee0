"""A row of an engine's batch: the engine's denoising and committing steps, decided by one `CanvasSession`.

Engines commit whole canvases, stop at an end token and know nothing of a row's budget. A row therefore lays an end
token behind its text, and where a canvas had no room for one it asks for another canvas that holds end tokens alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch

from structdiff.core.errors import GenerationError
from structdiff.decode.session import CanvasSession

logger = logging.getLogger(__name__)


class EngineRow:
    """A session as an engine drives it: `observe` until `done`, then `committed`.

    ``shown`` int64[``length``] is what the model reads next: noise and guesses, or the committed tokens once the row is
    ``done``. ``end`` is an end token; ``marker`` is a token that is never text. A row that fails, in whatever way, says
    so in the log and writes the marker, so that no reader takes its text for an output; the rows beside it go on.
    ``written`` are the tokens of canvases that the engine had committed before (a row that was preempted).

    >>> from structdiff.models.protocol import DenoiserSpec
    >>> from structdiff.testing.tiny import tiny
    >>> spec = DenoiserSpec(4, vocab_size=4, context_length=99, self_conditioning=False)
    >>> row = EngineRow("r", lambda: CanvasSession(tiny("ab|b"), (3,), 2, spec), length=4, end=3, marker=4)
    >>> while not row.done:
    ...     row.observe(torch.eye(4)[[0, 1, 3, 3]] * 9)
    >>> row.shown.tolist()
    [0, 1, 3, 3]
    """

    def __init__(
        self,
        name: str,
        build: Callable[[], CanvasSession],
        *,
        length: int,
        end: int,
        marker: int,
        written: Sequence[int] = (),
    ) -> None:
        self.name, self.length, self.end, self.marker = name, length, end, marker
        self.session: CanvasSession | None = None
        self.error: Exception | None = None
        self.done = False
        self._before: list[int] = []
        self._text: list[int] = []
        self.shown = self._filled([], end)

        def begin() -> None:
            self.session = build()
            if written:
                self.session.resume(written)
            self._start()

        self._guarded(begin)

    def consider_ahead(self, logits: torch.Tensor) -> None:
        """Begin on another thread what `observe` will make of these logits."""
        session = self.session
        if session is not None and not session.finished and len(logits) == session.open.length:
            self._guarded(lambda: session.consider_ahead(logits))

    def observe(self, logits: torch.Tensor) -> None:
        """One denoising step, from float[n, V] logits of the first n positions of ``shown``."""
        self._guarded(lambda: self._observe(logits))

    def committed(self, count: int, length: int | None = None) -> None:
        """The engine has written the first ``count`` tokens of ``shown``: begin the next canvas.

        ``length``: its positions, where they differ from those of the canvas before.
        """
        self.done, self.length = False, length or self.length

        def proceed() -> None:
            if self.session is not None and count < len(self._text):
                self.session.resume([*self._before, *self._text[:count]])
            self._start()

        self._guarded(proceed)

    def _start(self) -> None:
        self.done, self._text = False, []
        if self.session is None or self.session.finished:
            self.shown = self._filled([] if self.error is None else [self.marker], self.end)
        else:
            self.shown = self._filled(self.session.start(self.length).tolist(), self.end)

    def _observe(self, logits: torch.Tensor) -> None:
        session = self.session
        if session is None or session.finished:
            self.done = True
            return
        if len(logits) != session.open.length:  # the engine had room for fewer positions, or has for more again
            session.start(len(logits))
        step = session.observe(logits)
        if not step.done:
            self.shown[: len(logits)] = step.canvas.cpu().numpy()
            return
        self._before = list(session.written)
        self._text = session.commit().text
        self.shown = self._filled(self._text, self.end if session.finished else self.marker)
        self.done = True

    def _filled(self, tokens: list[int], rest: int) -> np.ndarray:
        """int64[length]: the tokens, then ``rest``."""
        return np.array([*tokens, *[rest] * (self.length - len(tokens))], np.int64)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do a row's work; whatever it raises ends the row alone."""
        try:
            work()
        except Exception as error:
            logger.exception("structdiff: request %s has failed and ends: %s", self.name, error)
            self.session, self.error = None, error
            self.shown, self.done = self._filled([self.marker], self.end), True


def failed(name: str, reason: str, length: int) -> EngineRow:
    """A row that has failed before it began, in a process that knows no constraints.

    >>> failed("r", "off", 3).done
    True
    """

    def build() -> CanvasSession:
        raise GenerationError(reason)

    return EngineRow(name, build, length=length, end=0, marker=0)
