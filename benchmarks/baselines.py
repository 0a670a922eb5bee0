"""Other people's decoders on the same model, grammar and number of model calls, written from their papers.

Each is a `Sampler`; the loop, the budget and the canvases are structdiff's own.

- `IndependentMasks`: every position masked on its own to the tokens that some output has there (per-position masks, no
  coupling), then DiffusionGemma's sampler as it is. What it writes need not be valid.
- `FrontierGreedy`: a validated prefix grows from the left, in the manner of Dgrammar: as far as the model's accepted
  tokens are legal it takes them; at the first that is not, it masks the illegal tokens of that position and takes the
  best legal one. Here "legal" already means "can be finished within the budget", which is more than the original knows.
- `LookaheadVerify`: lookahead-then-verify (LAVE; Zhang et al., arXiv 2602.00612): accepted tokens are tried in order of
  confidence, and one is kept only if some of a few fillings of the gaps before it, drawn from the step's distributions,
  make a legal prefix; kept tokens stay. Where nothing can be kept, the first open position gets its best legal token.
- `left_to_right`: greedy decoding with the same weights, the encoder in its causal mode and the tied head, one call a
  token.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from structdiff.core.errors import GenerationError
from structdiff.decode.acceptance import accept
from structdiff.decode.canvas import Canvas, Sampler, Step, Unchanged
from structdiff.decode.cursor import Cursor
from structdiff.models.protocol import CausalScorer, Denoiser
from structdiff.tokens.automaton import TokenAutomaton

LOOKAHEADS = 10
"""Fillings a candidate is tried with; the paper's N."""


class Baseline(Sampler):
    """DiffusionGemma's own draw and acceptance, which the decoders share, and how they answer."""

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self.automaton = self.lattice.automaton
        self.n = self.lattice.frame.length
        self.cursor = Cursor(self.automaton, canvas.end_ids)

    def stock(self, logits: torch.Tensor) -> None:
        """Finds ``tempered`` logits [L, V] and, at L positions, what is ``drawn``, its ``entropy`` and what is
        ``accepted``."""
        self.tempered = logits / self.canvas.temperature
        distribution: Any = torch.distributions.Categorical(logits=self.tempered)
        self.drawn = torch.multinomial(distribution.probs, 1, generator=self.canvas.generator)[:, 0]
        self.entropy = distribution.entropy()
        self.accepted = accept(self.entropy[None], self.canvas.policy.entropy_bound)[0]

    def answer(self, following: torch.Tensor, feedback: torch.Tensor, done: bool, tokens: np.ndarray) -> Step:
        """The step that commits ``tokens``; an illegal canvas ends the text where it stands."""
        live, state = self.n, self.canvas.state
        for i in range(self.n):
            state = self.cursor.step(state, int(tokens[i]), self.canvas.left - i)
            if state == self.automaton.states:
                live = i
                break
            if state < 0:
                state = self.automaton.states
                break
        return Step(
            following, feedback, done, self.drawn.numpy(), tokens[: self.n], self.accepted.numpy(),
            self.entropy.numpy(), live, state,
        )  # fmt: skip


class IndependentMasks(Baseline):
    """Per-position masks."""

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self.unchanged = Unchanged(canvas.policy.stability)
        self.forbidden = torch.zeros((canvas.length, canvas.vocab_size), dtype=torch.bool)
        frame = self.lattice.frame
        for i in range(self.n):
            self.forbidden[i] = True
            self.forbidden[i, torch.from_numpy(frame.allowed_tokens(i)).long()] = False
            if frame.may_have_ended(i):
                self.forbidden[i, list(canvas.end_ids)] = False

    def observe(self, logits: torch.Tensor) -> Step:
        canvas = self.canvas
        self.stock(logits.masked_fill(self.forbidden, -torch.inf))
        best = self.tempered.argmax(-1)
        following = canvas.keep(self.accepted, self.drawn)
        done = self.unchanged(best.tolist()) and bool(self.entropy.mean() < canvas.policy.confidence)
        return self.answer(following, logits / canvas.temperature, done, best.numpy())


class FrontierGreedy(Baseline):
    """A validated prefix that grows from the left (Dgrammar's manner)."""

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self.kept: list[int] = []
        self.at = canvas.state

    def observe(self, logits: torch.Tensor) -> Step:
        left = self.canvas.left
        self.stock(logits)
        plain = self.tempered.numpy()
        moved = False
        while len(self.kept) < self.n and self.at != self.automaton.states:
            i = len(self.kept)
            token = int(self.drawn[i])
            after = self.cursor.step(self.at, token, left - i) if self.accepted[i] else -1
            if after < 0:
                if moved:
                    break
                token, after = self.cursor.best(plain[i], self.at, left - i)
            moved = True
            self.kept.append(token)
            self.at = after
        following = self.canvas.keep(self.accepted, self.drawn)
        following[: len(self.kept)] = torch.tensor(self.kept)
        done = len(self.kept) == self.n or self.at == self.automaton.states
        return self.answer(following, self.tempered, done, self._finished(plain))

    def _finished(self, logits: np.ndarray) -> np.ndarray:
        tokens, state = list(self.kept), self.at
        while len(tokens) < self.n and state != self.automaton.states:
            token, state = self.cursor.best(logits[len(tokens)], state, self.canvas.left - len(tokens))
            tokens.append(token)
        return np.array(tokens + [self.canvas.end_ids[0]] * (self.n - len(tokens)))


class LookaheadVerify(Baseline):
    """Lookahead, then verify."""

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self.fixed = np.full(self.n, -1)

    def observe(self, logits: torch.Tensor) -> Step:
        canvas, n = self.canvas, self.n
        self.stock(logits)
        probabilities = torch.softmax(self.tempered[:n], -1)
        fillings = torch.multinomial(probabilities, LOOKAHEADS, replacement=True, generator=canvas.generator).numpy().T
        candidates = self.drawn[:n].numpy()
        kept = 0
        for i in np.argsort(self.entropy[:n].numpy(), kind="stable"):
            if self.fixed[i] < 0 and self.accepted[i] and self._verified(i, int(candidates[i]), fillings):
                self.fixed[i] = candidates[i]
                kept += 1
        plain = self.tempered.numpy()
        if not kept:
            self._repair(plain, fillings)
        following = canvas.fresh()
        held = self.fixed >= 0
        following[:n][torch.from_numpy(held)] = torch.from_numpy(self.fixed[held])
        prefix, state = self._prefix()
        done = prefix == n or state == self.automaton.states
        return self.answer(following, self.tempered, done, self._finished(plain))

    def _verified(self, i: int, token: int, fillings: np.ndarray) -> bool:
        trial = self.fixed.copy()
        trial[i] = token
        last = int(np.flatnonzero(trial >= 0)[-1])
        for filling in fillings:
            state = self.canvas.state
            for j in range(last + 1):
                state = self.cursor.step(state, int(trial[j] if trial[j] >= 0 else filling[j]), self.canvas.left - j)
                if state < 0:
                    break
            if state >= 0:
                return True
        return False

    def _prefix(self) -> tuple[int, int]:
        """(length of the fixed and legal prefix, the state behind it)."""
        state = self.canvas.state
        for j, token in enumerate(self.fixed):
            after = self.cursor.step(state, int(token), self.canvas.left - j) if token >= 0 else -1
            if after < 0 or state == self.automaton.states:
                return j, state
            state = after
        return len(self.fixed), state

    def _repair(self, logits: np.ndarray, fillings: np.ndarray) -> None:
        """The first open position gets its best legal token; what stands behind it and no longer fits is dropped."""
        at, state = self._prefix()
        if at == len(self.fixed) or state == self.automaton.states:
            return
        self.fixed[at], _ = self.cursor.best(logits[at], state, self.canvas.left - at)
        held = np.flatnonzero(self.fixed >= 0)
        while len(held) > at + 1 and not self._verified(at, int(self.fixed[at]), fillings):
            self.fixed[held[-1]] = -1
            held = held[:-1]

    def _finished(self, logits: np.ndarray) -> np.ndarray:
        tokens, state = [], self.canvas.state
        for j in range(self.n):
            token = int(self.fixed[j])
            after = self.cursor.step(state, token, self.canvas.left - j) if token >= 0 else -1
            if after < 0:
                token, after = self.cursor.best(logits[j], state, self.canvas.left - j)
            tokens.append(token)
            state = after
            if state == self.automaton.states:
                break
        return np.array(tokens + [self.canvas.end_ids[0]] * (self.n - len(tokens)))


def left_to_right(
    model: Denoiser, prompt: list[int], automaton: TokenAutomaton, max_tokens: int, end_ids: tuple[int, ...]
) -> list[int]:
    """Greedy text tokens under the grammar, one model call each. Raises `GenerationError` for a model that does not
    read from left to right."""
    if not isinstance(model, CausalScorer):
        raise GenerationError(f"{type(model).__name__} does not read from left to right")
    cursor, state, out = Cursor(automaton, end_ids), 0, list[int]()
    prefix = model.open(prompt)
    while len(out) < max_tokens:
        logits = model.read(prefix, [])[-1].cpu().numpy()
        token, state = cursor.best(logits, state, max_tokens - len(out))
        if state == automaton.states:
            break
        out.append(token)
        model.extend(prefix, [token])
    return out
