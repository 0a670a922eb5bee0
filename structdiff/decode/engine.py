"""What every decoder shares: the task of a row, its outcome, and an engine whose rows join, advance and leave.

A decoder is a kind of row and one method that makes a pass: the denoising loop (`structdiff.decode.loop`) and writing
from left to right (`structdiff.decode.left_to_right`).
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch

from structdiff.core.errors import GenerationError, StructdiffError
from structdiff.decode.canvas import Rules
from structdiff.decode.policy import Policy
from structdiff.decode.trace import Event
from structdiff.lattice.lattice import Lattice
from structdiff.models.protocol import DenoiserSpec
from structdiff.tokens.automaton import TokenAutomaton
from structdiff.tokens.vocabulary import Vocabulary


class HasSpec(Protocol):
    """A model of which only the facts are asked."""

    @property
    def spec(self) -> DenoiserSpec: ...


class Commit:
    """A canvas at its commit: its lattice (None: no constraint), the logits that decided it, its text tokens, the
    budget behind it, and whether the text ends here.

    Good while a listener is told of it; logits of a device come to the host when they are asked for.
    """

    def __init__(
        self, lattice: Lattice | None, logits: np.ndarray | torch.Tensor, tokens: list[int], left: int, last: bool
    ) -> None:
        self.lattice, self.tokens, self.left, self.last = lattice, tokens, left, last
        self._logits = logits

    @cached_property
    def logits(self) -> np.ndarray:
        """float32[L, V], on the host."""
        found = self._logits
        return found if isinstance(found, np.ndarray) else found.float().cpu().numpy()


@dataclass
class Task:
    """One row to generate: prompt ids, a token automaton (None: no constraint), a budget of text tokens and a seed.

    ``spell`` turns token ids into text for the events; ``end_ids`` end an unconstrained row; ``policy`` replaces the
    policy of the rows around it; ``rules`` hold beyond the automaton; ``on_commit`` are told of each canvas of the
    output at its commit; ``think`` canvases are written freely first, without end tokens, beyond the budget. ``verify``
    is False where what stands to the right of a place decides it, so that reading from left to right would mislead.
    ``vocabulary`` says what tokens spell; rows written from left to right have better drafts with it. ``json``: the
    output is JSON text of that vocabulary.
    """

    prompt: list[int]
    automaton: TokenAutomaton | None
    max_tokens: int
    seed: int = 0
    end_ids: tuple[int, ...] = ()
    spell: Callable[[list[int]], str] = lambda ids: ""
    number: int = 0
    policy: Policy | None = None
    rules: Rules | None = None
    on_commit: tuple[Callable[[Commit], None], ...] = ()
    think: int = 0
    verify: bool = True
    vocabulary: Vocabulary | None = None
    json: bool = False


@dataclass
class Outcome:
    """A finished row: its text tokens (no end token), why it finished, what it cost, what it wrote freely first,
    whether its canvases were verified, and how many arrays ended where they would have repeated an element."""

    task: Task
    tokens: list[int]
    reason: str
    steps: int
    canvases: int
    log_probability: float = 0.0
    canvas_tokens: list[int] = field(default_factory=list)
    thought: list[int] = field(default_factory=list)
    verified: bool = False
    ended_arrays: int = 0


def check_fits(model: HasSpec, prompt: int, max_tokens: int, think: int = 0) -> None:
    """Raises `GenerationError` where a prompt, ``think`` canvases of thought and those of the output exceed the model's
    context."""
    spec = model.spec
    canvases = math.ceil(max_tokens / spec.canvas_length) + think
    if spec.reach(prompt, max_tokens, think) > spec.context_length:
        raise GenerationError(
            f"the prompt has {prompt} tokens and the output may take {canvases} canvases of {spec.canvas_length}, "
            f"but the model's context holds {spec.context_length}; shorten the text or lower max_tokens"
        )


@dataclass
class Spent:
    """The seconds of one pass: ``shared`` by the rows ``together``, and each row's ``own``, by the numbers of their
    tasks."""

    shared: float = 0.0
    together: frozenset[int] = frozenset()
    own: dict[int, float] = field(default_factory=dict)

    def of(self, number: int) -> float:
        """What a row took: its own seconds and its part of the shared ones.

        >>> spent = Spent(shared=3.0, together=frozenset({7, 8}), own={7: 0.5, 8: 0.0, 9: 0.25})
        >>> spent.of(7), spent.of(9)
        (2.0, 0.25)
        """
        return self.own.get(number, 0.0) + (self.shared / len(self.together) if number in self.together else 0.0)


class EngineRow(Protocol):
    """A row as an engine sees it."""

    @property
    def task(self) -> Task: ...

    @property
    def outcome(self) -> Outcome | None: ...


R = TypeVar("R", bound=EngineRow)


class RowEngine(ABC, Generic[R]):
    """Rows that advance together. They join at any step with `add`, and leave when they are finished.

    A row that fails (NaN logits, for example) raises, or leaves alone where ``on_error`` is given its task.
    """

    def __init__(
        self,
        policy: Policy | None,
        on_event: Callable[[Event], None] | None,
        on_error: Callable[[Task, StructdiffError], None] | None,
    ) -> None:
        self.policy, self.on_error = policy or Policy(), on_error
        self.emit = on_event or (lambda event: None)
        self.rows: list[R] = []
        self.finished: list[Outcome] = []
        self.spent = Spent()

    @abstractmethod
    def join(self, task: Task, policy: Policy) -> R:
        """The row of a task. Raises `BudgetTooSmall` or `GenerationError` where it cannot begin."""

    @abstractmethod
    def passes(self, rows: list[R]) -> Iterator[tuple[R, Callable[[], None]]]:
        """Each of the rows with what advances it by one pass."""

    def shares(self, row: R) -> bool:
        """Does the next pass of a row share the model with other rows?"""
        return True

    def add(self, task: Task) -> None:
        """Let a row join. Raises `BudgetTooSmall` or `GenerationError` before anything is written."""
        row = self.join(task, task.policy or self.policy)
        if row.outcome is not None:
            self.finished.append(row.outcome)
        else:
            self.rows.append(row)

    def cancel(self, number: int) -> None:
        """Drop the rows of task ``number``."""
        self.rows = [row for row in self.rows if row.task.number != number]

    @torch.no_grad()
    def step(self, numbers: Collection[int] | None = None) -> list[Outcome]:
        """One pass of the rows of these tasks (None: of all), whose seconds are ``spent``; returns the rows that
        finished since the last call."""
        rows = [row for row in self.rows if numbers is None or row.task.number in numbers]
        self.spent = spent = Spent(together=frozenset(row.task.number for row in rows if self.shares(row)))
        if rows:
            since = time.perf_counter()
            for row, advance in self.passes(rows):
                begun = time.perf_counter()
                spent.shared += begun - since
                try:
                    advance()
                except StructdiffError as error:
                    if self.on_error is None:
                        raise
                    self.cancel(row.task.number)
                    self.on_error(row.task, error)
                since = time.perf_counter()
                spent.own[row.task.number] = since - begun
            self.finished += [row.outcome for row in self.rows if row.outcome is not None]
            self.rows = [row for row in self.rows if row.outcome is None]
        done, self.finished = self.finished, []
        return done

    def run(self) -> list[Outcome]:
        """Step until every row is finished."""
        done = self.step()
        while self.rows or self.finished:
            done += self.step()
        return done
