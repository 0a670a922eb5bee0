"""Compiling for requests: in processes that can be killed, in a bounded and fair order, each constraint once."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from structdiff.constraint.compile import Compiler
from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import CompileLimit
from structdiff.core.limits import Limits
from structdiff.server.fair import FairQueue
from structdiff.server.forge import Forge, release, shared_forge
from structdiff.server.metrics import Metrics
from structdiff.server.settings import Settings
from structdiff.server.worker import QueueFull
from structdiff.tokens.vocabulary import Vocabulary

GRACE = 2.0
"""Seconds that a job may take beyond its own limit, by which it ends itself, before it is killed."""


@dataclass(eq=False)
class _Flight:
    """A constraint that is compiled or waits to be; ``result`` is set by the first that ends it."""

    client: Hashable
    source: Any
    options: dict[str, Any]
    pickled: bytes
    name: str
    result: asyncio.Future[Any]
    waiters: int = 0
    since: float = field(default_factory=time.monotonic)
    number: int | None = None
    timer: asyncio.TimerHandle | None = None


class Compiling(Protocol):
    """What is asked of a model here."""

    @property
    def tokenizer(self) -> Any: ...

    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def compiler(self) -> Compiler: ...


class Compilers:
    """The constraints of a model, for the coroutines of one event loop.

    ``settings.compile_processes`` compile at a time and ``compile_queue`` more may wait, fairly by client; whoever asks
    for what is compiled already waits for the same. A client that hangs up takes its job along.
    """

    def __init__(self, model: Compiling, settings: Settings, metrics: Metrics) -> None:
        self.model, self.settings, self.metrics = model, settings, metrics
        self._forge: Forge | None = shared_forge(model.tokenizer, model.vocabulary)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="structdiff-compile")
        self._flights: dict[str, _Flight] = {}
        self._queue: FairQueue[_Flight] = FairQueue()
        self._running: set[_Flight] = set()
        self._mean = 0.5

    def start(self) -> None:
        """Load what compiling needs before the first request asks for it."""
        if self._forge is not None:
            self._forge.start()

    def stop(self) -> None:
        """End the processes."""
        forge, self._forge = self._forge, None
        if forge is not None:
            release(forge)
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def waiting(self) -> int:
        """Constraints that wait to be compiled."""
        return len(self._queue)

    @property
    def wait(self) -> float:
        """The seconds after which a constraint that would be queued now should be compiled."""
        return max(1.0, (len(self._queue) + 1) * self._mean / self.settings.compile_processes)

    async def compile(self, source: Any, client: Hashable, **options: Any) -> Constraint:
        """The constraint of a source; the options go to `Compiler.compile`. Raises what that does, and `QueueFull`."""
        loop, compiler = asyncio.get_running_loop(), self.model.compiler
        limits = Limits(seconds=self.settings.compile_seconds)
        remembered, name, pickled = await asyncio.to_thread(self._look_up, source, limits, options)
        self.metrics.compile_cache.labels("hit" if remembered else "miss").inc()
        if not remembered:
            plain = {key: value for key, value in options.items() if key != "strict"} | {"limits": limits}
            begun = time.perf_counter()
            try:
                if name is None or pickled is None:
                    return await loop.run_in_executor(
                        self._threads, lambda: compiler.compile(source, limits=limits, **options)
                    )
                found = await self._share(name, client, source, plain, pickled)
            finally:
                self.metrics.compile_seconds.observe(time.perf_counter() - begun)
            compiler.remember(found)
        return await asyncio.to_thread(compiler.compile, source, limits=limits, **options)

    def _look_up(self, source: Any, limits: Limits, options: dict[str, Any]) -> tuple[bool, str | None, bytes | None]:
        name = self.model.compiler.name_of(source, limits=limits, **options)
        if self.model.compiler.remembers(source, limits=limits, **options):
            return True, name, None
        plain = {key: value for key, value in options.items() if key != "strict"}
        return False, name, Forge.takes(source, plain | {"limits": limits})

    async def _share(self, name: str, client: Hashable, source: Any, options: dict[str, Any], pickled: bytes) -> Any:
        """Wait for the constraint called ``name``, compiled for whoever asked first."""
        flight = self._flights.get(name)
        if flight is None:
            self._make_room(client)
            result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            flight = _Flight(client, source, options, pickled, name, result)
            self._flights[name] = flight
            self._queue.put(client, flight)
            self._fill()
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.result)
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.result.done():
                self._drop(flight)

    def _make_room(self, client: Hashable) -> None:
        while len(self._queue) >= self.settings.compile_queue:
            longest = self._queue.longest()
            if longest == client or self._queue.count(longest) <= self._queue.count(client) + 1:
                raise QueueFull(self.wait)
            last = max((one.item for one in self._queue if one.client == longest), key=lambda one: one.since)
            self._end(last, None, QueueFull(self.wait))
            self._queue.remove(lambda one, last=last: one is last)  # type: ignore[misc]

    def _drop(self, flight: _Flight) -> None:
        """Nobody waits for it any more."""
        self._queue.remove(lambda one: one is flight)
        if flight.number is not None and self._forge is not None:
            self._forge.kill(flight.number)
        flight.result.cancel()
        self._forget(flight)

    def _fill(self) -> None:
        while len(self._running) < self.settings.compile_processes and self._forge is not None:
            taken = self._queue.take()
            if taken is None:
                return
            flight = taken.item
            self._running.add(flight)
            later = asyncio.get_running_loop().call_soon_threadsafe
            begun: Callable[[], object] = functools.partial(later, self._begun, flight)
            flight.number, future = self._forge.submit(
                flight.pickled, self.settings.compile_memory, self.settings.compile_seconds, begun
            )
            future.add_done_callback(functools.partial(_pass_on, later, self._done, flight))

    def _begun(self, flight: _Flight) -> None:
        flight.since = time.monotonic()
        if not flight.result.done():
            seconds = self.settings.compile_seconds + GRACE
            flight.timer = asyncio.get_running_loop().call_later(seconds, self._late, flight)

    def _done(self, flight: _Flight, done: Future[Any]) -> None:
        if flight in self._running and not done.cancelled():
            taken = time.monotonic() - flight.since
            self._mean += 0.2 * (taken - self._mean)
        error = None if done.cancelled() else done.exception()
        self._end(flight, None if done.cancelled() or error else done.result(), error)

    def _late(self, flight: _Flight) -> None:
        if flight.result.done() or flight.number is None or self._forge is None:
            return
        self._forge.kill(flight.number)
        self._end(flight, None, CompileLimit("", f"{self.settings.compile_seconds:g} seconds to compile"))

    def _end(self, flight: _Flight, result: Any, error: BaseException | None) -> None:
        if not flight.result.done():
            if error is not None:
                flight.result.set_exception(error)
            elif result is not None:
                flight.result.set_result(result)
        self._forget(flight)

    def _forget(self, flight: _Flight) -> None:
        if flight.timer is not None:
            flight.timer.cancel()  # it would keep the source until it goes off
        if self._flights.get(flight.name) is flight:
            del self._flights[flight.name]
        self._running.discard(flight)
        self._fill()


def _pass_on(later: Any, done: Callable[[_Flight, Future[Any]], None], flight: _Flight, future: Future[Any]) -> None:
    """Tell the event loop, from another thread, that a job has ended."""
    later(done, flight, future)
