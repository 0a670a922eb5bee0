"""The rows of one request while they run."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import replace
from typing import Any

from structdiff.confidence.likelihood import TokenMeter
from structdiff.core.errors import StructdiffError
from structdiff.decode.engine import Outcome, Task
from structdiff.decode.trace import CanvasCommitted, Event, StepDone
from structdiff.server import answers
from structdiff.server.errors import ApiError
from structdiff.server.worker import QueueFull, Stopping, Worker
from structdiff.tokens.vocabulary import Vocabulary


def full(error: QueueFull) -> ApiError:
    """The answer to a request for which there is no room, with the wait that was measured."""
    seconds = math.ceil(error.wait)
    return ApiError(429, f"the queue is full; come back in {seconds} seconds", retry_after=seconds)


class Run:
    """The rows of one request, from submission to the last outcome; `events` or `finish` consume it once.

    ``judge`` is shown the text of each choice at its end, and raises what is wrong with it.
    """

    def __init__(
        self,
        worker: Worker,
        vocabulary: Vocabulary,
        rows: list[Task],
        stops: list[str],
        client: Hashable,
        judge: Callable[[str], object] = lambda text: None,
    ) -> None:
        self.judge = judge
        self.worker, self.vocabulary, self.rows = worker, vocabulary, rows
        self.choices = [answers.Choice(stops) for _ in rows]
        self._written: list[list[int]] = [[] for _ in rows]
        self._thought: list[list[int]] = [[] for _ in rows]
        self._steps, self._told = [0] * len(rows), [0] * len(rows)
        self._queue: asyncio.Queue[tuple[int, Any]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        sinks = [self._sink(i) for i in range(len(rows))]
        try:
            self._numbers = worker.submit(rows, sinks, client)
        except QueueFull as error:
            raise full(error) from None
        except Stopping:
            raise ApiError(503, "the service is shutting down", retry_after=5) from None

    def _sink(self, index: int) -> Callable[[Event | Outcome | Exception], None]:
        def put(happened: Event | Outcome | Exception) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended; nobody reads any more
                self._loop.call_soon_threadsafe(self._queue.put_nowait, (index, happened))

        return put

    def logprobs(self, index: int, chat: bool) -> dict[str, Any] | None:
        """The log probabilities of a choice's tokens that are settled and were not asked for before; None for none."""
        meters = [meter for meter in self.rows[index].on_commit if isinstance(meter, TokenMeter)]
        begin, end = self._told[index], len(self._written[index])
        if not meters or begin == end:
            return None
        self._told[index] = end
        bytes_of = self.vocabulary.bytes_of
        new = meters[0].tokens[begin:end]
        if chat:
            return answers.chat_logprobs(new, lambda token: bytes_of([token]))
        before = bytes_of([one.token for one in meters[0].tokens[:begin]]).decode("utf-8", "replace")
        return answers.text_logprobs(new, lambda token: bytes_of([token]), len(before))

    def cancel(self) -> None:
        """Drop what still runs."""
        self.worker.cancel(self._numbers)

    async def events(self) -> AsyncIterator[tuple[int, str | Event | Outcome]]:
        """(choice, settled text or event or its outcome), until every choice is finished."""
        left = len(self.rows)
        while left:
            i, happened = await self._queue.get()
            choice = self.choices[i]
            if isinstance(happened, Exception):
                raise _told(happened)
            if choice.outcome is not None:
                continue
            if isinstance(happened, CanvasCommitted) and happened.thought:
                choice.thought += happened.text
                self._thought[i] += happened.tokens
                yield i, happened
            elif isinstance(happened, CanvasCommitted):
                tokens = self._within(i, happened.tokens)
                yield i, happened
                self._written[i] += tokens
                yield i, choice.extend(self.vocabulary.bytes_of(tokens))
                if choice.stopped or choice.cut:
                    self.worker.cancel([self._numbers[i]])
                    reason = "stop" if choice.stopped else "length"
                    cost = self._steps[i], happened.canvas + 1
                    happened = Outcome(self.rows[i], self._written[i], reason, *cost, thought=self._thought[i])
            elif not isinstance(happened, Outcome):
                self._steps[i] += isinstance(happened, StepDone)
                yield i, happened
                continue
            if isinstance(happened, Outcome):
                choice.outcome = replace(happened, tokens=self._written[i])
                left -= 1
                if not choice.stopped:
                    yield i, choice.extend(b"", last=True)
                try:
                    self.judge(choice.text)
                except StructdiffError as error:
                    raise ApiError.of(error) from None
                yield i, choice.outcome

    def _within(self, index: int, tokens: list[int]) -> list[int]:
        """The tokens of a canvas that the budget allows: free text is written in whole canvases."""
        row, choice = self.rows[index], self.choices[index]
        room = row.max_tokens - len(self._written[index])
        if row.automaton is not None or len(tokens) <= room:
            return tokens
        choice.cut = True
        return tokens[:room]

    async def finish(self) -> None:
        """Wait for every choice."""
        async for _ in self.events():
            pass


def _told(error: Exception) -> ApiError:
    if isinstance(error, QueueFull):
        return full(error)
    if isinstance(error, StructdiffError):
        return ApiError.of(error)
    return ApiError(500, "the generation failed by a defect of the service; its log says more")
