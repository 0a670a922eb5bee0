"""Compiling for the front end of an engine: in processes that can be killed, within the limits of the service."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

from structdiff.constraint.compile import Compiler
from structdiff.constraint.constraint import Constraint
from structdiff.server.compilers import Compilers
from structdiff.server.metrics import Metrics
from structdiff.server.settings import Settings
from structdiff.tokens.vocabulary import Vocabulary


@dataclass(frozen=True)
class Tools:
    """What `Compilers` asks of a model."""

    tokenizer: Any
    vocabulary: Vocabulary
    compiler: Compiler


def compilers(tools: Tools) -> Compilers:
    """What compiles for one engine, started."""
    made = Compilers(tools, Settings(), Metrics())
    made.start()
    return made


class ForThreads:
    """`Compilers` for engines whose threads wait: an event loop on a thread of its own.

    `compile` raises what `structdiff.compile` does, and `QueueFull` where too many constraints wait.
    """

    def __init__(self, tools: Tools) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="structdiff-compilers", daemon=True).start()
        self._compilers = compilers(tools)

    def compile(self, source: Any, **options: Any) -> Constraint:
        """The constraint of a source; waits for it."""
        work = self._compilers.compile(source, None, **options)
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stop(self) -> None:
        """End the processes and the thread."""
        self._compilers.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
