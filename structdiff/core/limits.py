"""How large and how slow a constraint may become while it is compiled, and the limits that hold at the moment.

>>> with enforced(Limits(states=10)):
...     active().states
10
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from structdiff.core.errors import CompileLimit


@dataclass(frozen=True)
class Limits:
    """How large and how slow a constraint may become while it is compiled.

    ``states`` bounds the states of every automaton on the way, ``edges`` the edges of the token automaton, ``seconds``
    the wall-clock time, ``nodes`` the size of the nondeterministic automaton before determinisation.
    """

    states: int = 500_000
    edges: int = 10_000_000
    seconds: float = 30.0
    nodes: int = 4_000_000
    started: float = field(default_factory=lambda: time.monotonic(), compare=False, repr=False)

    def restarted(self) -> Limits:
        """The same limits with the clock started now."""
        return Limits(self.states, self.edges, self.seconds, self.nodes)

    @property
    def elapsed(self) -> float:
        """Seconds since the clock was started."""
        return time.monotonic() - self.started

    def check_time(self, pointer: str = "") -> None:
        if self.elapsed > self.seconds:
            raise CompileLimit(pointer, f"{self.seconds:g} seconds to compile")


_active: ContextVar[Limits | None] = ContextVar("limits", default=None)


def active() -> Limits:
    """The limits of the innermost `enforced` around the call, or fresh ones."""
    return _active.get() or Limits()


@contextmanager
def enforced(limits: Limits) -> Iterator[None]:
    """Everything compiled inside keeps ``limits``; nesting too deep for the interpreter is a `CompileLimit`."""
    token = _active.set(limits)
    try:
        yield
    except RecursionError:
        raise CompileLimit("", "the levels of nesting that can be followed") from None
    finally:
        _active.reset(token)
