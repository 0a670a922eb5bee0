"""Writing from left to right under a constraint: the decoder of models that denoise nothing.

Exact within the budget: every token is the model's best among those from which the output can still be completed.
Tokens that the constraint forces are not asked for. The text up to the next choice, and what followed the last
characters in the prompt, are tried as a draft, and one pass tells how far the model agrees; the text is the same as
without drafts, in fewer passes. Source: Leviathan et al., "Fast Inference from Transformers via Speculative Decoding",
arXiv 2211.17192.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from structdiff.core.errors import BudgetTooSmall, GenerationError, StructdiffError
from structdiff.core.sequences import shared_start
from structdiff.decode.cursor import Cursor
from structdiff.decode.engine import Commit, Outcome, RowEngine, Task, check_fits
from structdiff.decode.lookup import PromptLookup, by_number
from structdiff.decode.policy import Policy
from structdiff.decode.repeats import Repeats
from structdiff.decode.session import check_vocabulary
from structdiff.decode.skeleton import Skeleton
from structdiff.decode.trace import CanvasCommitted, CanvasStarted, Event, Finished, StepDone
from structdiff.decode.verify import log_sum
from structdiff.lattice.lattice import Lattice
from structdiff.models.protocol import CausalModel

SEEN = 64
"""The last tokens of the output in which a row looks for the model's blanks before each draft."""


class Row:
    """A row. ``unread`` are decided tokens that the model's prefix does not hold yet: it has not read them,
    or they may yet be taken back (`structdiff.decode.repeats`)."""

    def __init__(self, task: Task, model: CausalModel, policy: Policy, emit: Callable[[Event], None]) -> None:
        self.task, self.model, self.policy, self.emit = task, model, policy, emit
        _check(task, model)
        self.cursor = None if task.automaton is None else Cursor(task.automaton, task.end_ids)
        self.skeleton = None
        if self.cursor is not None and task.vocabulary is not None:
            self.skeleton = Skeleton(self.cursor, task.vocabulary)
        self.lookup = PromptLookup(task.prompt, self._spell)
        self.thinking = task.think * model.spec.canvas_length
        self.state, self.left, self.reason = 0, task.max_tokens, ""
        self.tokens: list[int] = []
        self.thought: list[int] = []
        self.unread: list[int] = []
        self.listeners = _Listeners(task, model.spec.canvas_length) if task.on_commit and task.automaton else None
        self.repeats = Repeats(self._spell) if task.json and not policy.repeats else None
        self.states, self.logs = [0], [0.0]  # behind each token: the state, and the log probability so far
        self.told = self.steps = 0
        self.outcome: Outcome | None = None
        if self.cursor is not None and self.cursor.automaton.final(0):
            self.reason = "stop"
        self._take_forced()
        self.draft = self._draft()
        self.prefix = model.open(task.prompt, [] if self.reason else [*self.unread, *self.draft])
        emit(CanvasStarted(task.number, 0, 0, model.spec.canvas_length))
        self._close([], [])

    def ask(self) -> tuple[Any, list[int], int]:
        """What the next pass reads: what is decided, and a draft behind it whose logits are wanted."""
        return self.prefix, [*self.unread, *self.draft], len(self.unread)

    def advance(self, found: torch.Tensor) -> None:
        """Take the draft of `ask` as far as the model agrees, by its logits there."""
        self.steps += 1
        draft, logits = self.draft, self._checked(found)
        read, self.unread = self.unread, []
        first, thinking = len(self.thought), bool(self.thinking)
        for i, row in enumerate(logits):
            token = self._think(row) if thinking else self._choose(row)
            ended = self.reason or self.repeated or thinking != bool(self.thinking)
            if i == len(draft) or token != draft[i] or ended:
                break
        known = len(read) + shared_start(self.unread, draft)
        self.unread = [*read, *self.unread]
        self._take_forced()
        if self.repeated:
            self._take_back()
        settled = min(known, len(self.unread) - self.held)
        self.model.extend(self.prefix, self.unread[:settled])
        self.unread = self.unread[settled:]
        self._close(draft, self.thought[first:])
        self.draft = self._draft()

    @property
    def repeated(self) -> bool:
        """Does an array repeat an element in what was written?"""
        return self.repeats is not None and self.repeats.found is not None

    @property
    def closing(self) -> bool:
        """Is the end of such an array awaited?"""
        return self.repeats is not None and self.repeats.closing is not None

    @property
    def held(self) -> int:
        """How many of the last tokens may yet be taken back."""
        return 0 if self.repeats is None or self.reason else self.repeats.held()

    def _take_back(self) -> None:
        """Forget the repeated element: what was decided, chosen and counted since the end of the one before it."""
        assert self.repeats is not None
        dropped = self.repeats.take_back()
        kept = len(self.tokens) - dropped
        del self.tokens[kept:], self.unread[len(self.unread) - dropped :]
        del self.states[kept + 1 :], self.logs[kept + 1 :]
        self.state, self.left, self.reason = self.states[-1], self.left + dropped, ""
        self.lookup = PromptLookup(self.task.prompt, self._spell)
        self.lookup.extend([*self.thought, *self.tokens])
        if self.listeners is not None:
            self.listeners.forget(dropped)

    def _checked(self, logits: torch.Tensor) -> np.ndarray:
        found: np.ndarray = logits.cpu().numpy()
        if not (bad := (found < np.inf).all(1)).all():  # nor NaN
            raise GenerationError(
                f"the model's logits behind {len(self.tokens) + int(bad.argmin())} tokens contain NaN or +inf; "
                "nothing can be read from them"
            )
        return found

    def _spell(self, token: int) -> bytes:
        vocabulary = self.task.vocabulary
        return by_number(token) if vocabulary is None else vocabulary.bytes_of([token])

    def _draft(self) -> list[int]:
        """What is tried: tokens that the constraint forces, the text up to the next choice, and what followed the last
        characters before; as far as it is legal."""
        draft: list[int] = []
        if self.closing or self.reason:
            return draft
        if self.skeleton is not None:
            self.skeleton.see(b"".join(map(self._spell, self.tokens[-SEEN:])))
        state = self.state
        room = min(self.policy.lookup, self.thinking - 1 if self.thinking else self.left - 1)
        while len(draft) < room:
            if self.cursor is None or self.thinking:
                tokens = [token for token in self.lookup.following(draft) if token not in self.task.end_ids][:1]
            else:
                tokens, state = self._tried(self.cursor, state, draft)
            if not tokens:
                break
            draft += tokens
        return draft[:room]

    def _tried(self, cursor: Cursor, state: int, draft: list[int]) -> tuple[list[int], int]:
        """(the tokens that are tried behind a draft that leads to ``state``, the state behind them)."""
        left = self.left - len(draft)
        forced = cursor.forced(state, left)
        if forced is not None and forced not in self.task.end_ids:
            return [forced], cursor.step(state, forced, left)
        last = b"".join(map(self._spell, (draft or self.tokens)[-1:]))
        text = [] if self.skeleton is None else self.skeleton.behind(state, last)
        if count := cursor.walk(state, text, left):
            return text[:count], cursor.after(state, text[:count], left)[1]
        found = self.lookup.following(draft)
        if found and self.skeleton is not None:
            found = [*self.skeleton.closers(last, found[0]), *found]
        for token in found:
            if token not in self.task.end_ids and (behind := cursor.step(state, token, left)) >= 0:
                return [token], behind
        return [], state

    def _think(self, row: np.ndarray) -> int:
        """The next token of the thought: any but an end."""
        allowed = row.copy()
        allowed[list(self.task.end_ids)] = -np.inf
        token = int(allowed.argmax())
        self.thought.append(token)
        self._wrote(token)
        self.thinking -= 1
        return token

    def _choose(self, row: np.ndarray) -> int:
        """The next token of the output: the best from which it can still be completed."""
        if self.cursor is None:
            token, state = int(row.argmax()), -1
        else:
            token, state = self._best(self.cursor, row)
        self._take(token, state, float(row[token]) - log_sum(row))
        if self.listeners is not None:
            self.listeners.take(token, row, self.state, bool(self.reason))
        return token

    def _best(self, cursor: Cursor, row: np.ndarray) -> tuple[int, int]:
        """(the best legal token, the state behind it); while an array's end is awaited, one that leads to it."""
        if self.closing:
            assert self.repeats is not None
            token, state = cursor.best(row, self.state, self.left, self.repeats.allows)
            if state >= 0:
                return token, state
            self.repeats.give_up()
        return cursor.best(row, self.state, self.left)

    def _take(self, token: int, state: int, log: float = 0.0) -> None:
        """Write a token of the output; an end token ends it."""
        if token in self.task.end_ids and (self.cursor is None or state == self.cursor.automaton.states):
            self.reason = "stop"
            self.logs[-1] += log
            return
        self.tokens.append(token)
        self._wrote(token)
        self.state, self.left = state, self.left - 1
        self.states.append(state)
        self.logs.append(self.logs[-1] + log)
        if self.repeats is not None:
            self.repeats.write(token)
        if self.cursor is not None and (self.left <= 0 or self.cursor.automaton.final(state)):
            self.reason = "stop"
        elif self.left <= 0:
            self.reason = "length"

    def _wrote(self, token: int) -> None:
        self.lookup.extend([token])
        self.unread.append(token)

    def _take_forced(self) -> None:
        """Take the tokens that the constraint forces without asking the model; listeners want logits for each."""
        while self.cursor is not None and not self.thinking and not self.reason and self.listeners is None:
            forced = None if self.repeated else self.cursor.forced(self.state, self.left)
            if forced is None:
                return
            if self.repeats is not None and not self.repeats.allows(forced):
                self.repeats.give_up()
            self._take(forced, self.cursor.step(self.state, forced, self.left))

    def _close(self, draft: list[int], thought: list[int]) -> None:
        """Tell of a pass: its thought, the tokens that stay from now on, and what of its draft is still open."""
        number, spell, held = self.task.number, self.task.spell, self.held
        settled = len(self.tokens) - held
        fresh, self.told = self.tokens[self.told : settled], settled
        if self.listeners is not None:
            self.listeners.tell(held)
        if self.steps:
            decided = [*thought, *fresh]
            shown = [*decided, *draft[len(decided) :]]
            sure, size = [i < len(decided) for i in range(len(shown))], len(shown)
            self.emit(StepDone(number, 0, self.steps, 0, shown, shown, sure, [False] * size, [0.0] * size, size))
        for tokens, free in ((thought, True), (fresh, False)):
            if tokens:
                self.emit(CanvasCommitted(number, 0, tokens, spell(tokens), free))
        if self.reason:
            canvases = max(1, math.ceil((len(self.tokens) + len(self.thought)) / self.model.spec.canvas_length))
            self.outcome = Outcome(
                self.task, self.tokens, self.reason, self.steps, canvases, self.logs[-1], list(self.tokens),
                self.thought, True, self.repeats.closed if self.repeats is not None else 0,
            )  # fmt: skip
            self.emit(Finished(number, spell(self.tokens), self.reason))


class _Listeners:
    """Gives the listeners of a task what they get of a canvas, for each run of L tokens of the output."""

    def __init__(self, task: Task, length: int) -> None:
        self.task, self.length = task, length
        self.tokens: list[int] = []
        self.rows: list[np.ndarray] = []
        self.waiting: list[tuple[int, np.ndarray, int, bool]] = []
        self.state, self.left = 0, task.max_tokens

    def take(self, token: int, row: np.ndarray, state: int, last: bool) -> None:
        """A token was decided by its logits ``row``; ``state`` is behind it, and ``last`` ends the output."""
        self.waiting.append((token, row, state, last))

    def forget(self, count: int) -> None:
        """The last ``count`` tokens were taken back."""
        del self.waiting[len(self.waiting) - count :]

    def tell(self, held: int) -> None:
        """All tokens but the last ``held`` stay."""
        for one in self.waiting[: len(self.waiting) - held]:
            self._settle(*one)
        del self.waiting[: len(self.waiting) - held]

    def _settle(self, token: int, row: np.ndarray, state: int, last: bool) -> None:
        assert self.task.automaton is not None
        length = min(self.length, self.left)
        if token not in self.task.end_ids:
            self.tokens.append(token)
        self.rows.append(row)
        if len(self.rows) < length and not last:
            return
        lattice = Lattice(self.task.automaton, length, self.left - length, self.state)
        logits = np.stack([*self.rows, *[self.rows[-1]] * (length - len(self.rows))])
        self.left -= length
        for listen in self.task.on_commit:
            listen(Commit(lattice, logits, self.tokens, self.left, last))
        self.tokens, self.rows, self.state = [], [], state


class LeftToRight(RowEngine[Row]):
    """Rows that are written from left to right; the interface of `structdiff.decode.loop.Denoising`.

    ``Policy.lookup`` bounds the tokens of a draft (0: none is tried). A row's output does not depend on the rows beside
    it, nor on a seed: it is the greedy one.
    """

    def __init__(
        self,
        model: CausalModel,
        policy: Policy | None = None,
        on_event: Callable[[Event], None] | None = None,
        on_error: Callable[[Task, StructdiffError], None] | None = None,
    ) -> None:
        super().__init__(policy, on_event, on_error)
        self.model = model

    def join(self, task: Task, policy: Policy) -> Row:
        return Row(task, self.model, policy, self.emit)

    def passes(self, rows: list[Row]) -> Iterator[tuple[Row, Callable[[], None]]]:
        """One pass of the model for the rows together."""
        for row, found in zip(rows, self.model.read_rows([row.ask() for row in rows]), strict=True):
            yield row, functools.partial(row.advance, found)


def _check(task: Task, model: CausalModel) -> None:
    """Raises `BudgetTooSmall` or `GenerationError` where a row cannot be written."""
    automaton = task.automaton
    least = 1 if automaton is None else max(1, int(automaton.distance[0]))
    if least > task.max_tokens:
        raise BudgetTooSmall(least, task.max_tokens)
    if automaton is not None:
        check_vocabulary(automaton, model.spec)
    if task.rules is not None:
        raise GenerationError(
            "rules hold between any two cells of a grid, and this model writes from left to right; the model tiny "
            "fills cells in any order"
        )
    check_fits(model, len(task.prompt), task.max_tokens, task.think)
