"""Constrained canvases: the exact posterior stands before acceptance.

Entropies of the posterior accept, the candidate is a joint draw, the joint maximum is committed, and what is fed back
to the model is the policy's choice (docs/algorithm.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from structdiff.core.errors import GenerationError
from structdiff.core.threads import row_pool
from structdiff.decode.acceptance import EntropyBound, Offer
from structdiff.decode.canvas import Canvas, Sampler, Step, Unchanged, finished_by
from structdiff.lattice.device import reduce_logits
from structdiff.lattice.device_classes import classes_on


@dataclass(frozen=True, eq=False)
class Considered:
    """What a constrained step makes of the logits: their reduction, the posterior, its maximum (tokens, the state
    behind them, log probability) and the candidate (tokens, the state behind them)."""

    reduction: Any
    posterior: Any
    maximum: tuple[np.ndarray, int, float]
    candidate: tuple[np.ndarray, int]


def stream_of(logits: torch.Tensor) -> AbstractContextManager[Any]:
    """Puts another thread's work behind what this thread has queued on the device, the logits among it.

    >>> with stream_of(torch.zeros(1)):
    ...     torch.ones(1).item()
    1.0
    """
    if logits.device.type != "cuda":
        return nullcontext()
    return torch.cuda.stream(torch.cuda.current_stream(logits.device))


class JointSampler(Sampler):
    """The joint posterior, for uniform noise: every position is decided anew at every step."""

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self.n = self.lattice.frame.length
        self.classes = classes_on(self.lattice.automaton, canvas.device)
        if canvas.rules is not None and not isinstance(canvas.acceptance, EntropyBound):
            raise GenerationError("rules beyond the grammar accept by entropy; leave Policy.acceptance at its default")
        self._ahead: Callable[[], Considered] | None = None
        self._stable = Unchanged(canvas.policy.stability)
        self._last: Any = None
        self._same = 0

    def consider_ahead(self, logits: torch.Tensor) -> None:
        """Begin on another thread what the next step will make of these logits; rules may not be shared by threads."""
        if self.canvas.rules is None and self._ahead is None:
            self._ahead = row_pool().submit(self._consider_on, stream_of(logits), logits, self.canvas.step + 1).result

    def _consider_on(self, stream: AbstractContextManager[Any], logits: torch.Tensor, step: int) -> Considered:
        with stream:
            return self.consider(logits, step)

    @torch.no_grad()
    def consider(self, logits: torch.Tensor, step: int, revealed: np.ndarray | None = None) -> Considered:
        """What step ``step`` makes of the logits: all that other rows and the canvas's noise have no part in."""
        canvas, policy = self.canvas, self.canvas.policy
        gamma = policy.gamma(step)
        if self.classes.device != logits.device:  # canvases may live on the host beside a device's logits
            self.classes = classes_on(self.lattice.automaton, logits.device)
        reduction = reduce_logits(logits, policy.temperature(step), self.classes)
        own = reduction.head(self.n) if self.n < canvas.length else reduction
        posterior: Any = self.lattice.posterior_of(own, gamma, ahead=True, revealed=revealed)
        if canvas.rules is not None:
            posterior = canvas.rules.refine(posterior, gamma, canvas.written)
        uniform = canvas.rng.random((canvas.length, 3))
        drawn = None if policy.candidate == "maximum" else posterior.draw(uniform[: self.n])
        maximum = posterior.maximum
        return Considered(reduction, posterior, maximum, maximum[:2] if drawn is None else drawn)

    def considered(self, logits: torch.Tensor) -> Considered:
        """The same for the current step, begun ahead or not."""
        ahead, self._ahead = self._ahead, None
        return self.consider(logits, self.canvas.step) if ahead is None else ahead()

    def observe(self, logits: torch.Tensor) -> Step:
        canvas, policy = self.canvas, self.canvas.policy
        found = self.considered(logits)
        reduction, (best, state, score) = found.reduction, found.maximum
        candidate, committed, entropy = self.whole(found)
        by = entropy if policy.accept_by == "posterior" else reduction.entropy
        accepted = canvas.acceptance.select(self.offer(found, by, None, 0)) | torch.from_numpy(canvas.anchors >= 0)
        following = canvas.keep(accepted, torch.from_numpy(candidate))
        live = self.live(committed, state)
        text = (*best[:live].tolist(), state)
        settled, stable = self._settled(text, reduction.argmax[:live].tolist()), self._stable(text)
        confidence = entropy if policy.stop_by == "posterior" else reduction.entropy
        done = settled or (stable and bool(confidence.mean() < policy.confidence))
        feedback = self.feedback(logits, found.posterior)
        return Step(following, feedback, done, candidate, committed, accepted.numpy(), entropy, live, state, score)

    def whole(self, found: Considered) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(candidate, committed, entropy) at all L positions: beyond the budget the model's own."""
        entropy = found.reduction.entropy.copy()
        candidate, committed = (found.reduction.argmax.astype(np.int64) for _ in range(2))
        entropy[: self.n], candidate[: self.n] = found.posterior.entropy, found.candidate[0]
        committed[: self.n] = found.maximum[0]
        return candidate, committed, entropy

    def offer(self, found: Considered, entropy: np.ndarray, open: torch.Tensor | None, held: int) -> Offer:
        """What the rule of acceptance is asked."""

        def probability() -> torch.Tensor:
            out = np.ones(self.canvas.length)
            out[: self.n] = found.posterior.probabilities(found.candidate[0])
            return torch.from_numpy(out)

        def margin() -> torch.Tensor:
            out = np.ones(self.canvas.length)
            out[: self.n] = found.posterior.margins()
            return torch.from_numpy(out)

        step, steps = self.canvas.step, self.canvas.policy.max_steps
        return Offer(torch.from_numpy(entropy), probability, open, held, step, steps, margin)

    def live(self, tokens: np.ndarray, state: int) -> int:
        """How many of the tokens are text."""
        if state != self.lattice.automaton.states:
            return self.n
        ends = np.flatnonzero(np.isin(tokens[: self.n], self.canvas.end_ids))
        return int(ends[0]) if len(ends) else self.n

    def _settled(self, text: tuple[int, ...], wished: list[int]) -> bool:
        """Have the text and the model's own best tokens of its positions not changed for long enough?"""
        self._same = self._same + 1 if (text, wished) == self._last else 0
        self._last = text, wished
        return 0 < self.canvas.policy.patience <= self._same

    def feedback(self, logits: torch.Tensor, posterior: Any) -> torch.Tensor | None:
        """The logits fed to self-conditioning: own, posterior or the mean of both distributions, finite everywhere."""
        if not self.canvas.self_conditioning:
            return None
        kind, own = self.canvas.policy.feedback, logits / self.canvas.temperature
        if kind == "own":
            return own

        def change(factor: np.ndarray) -> torch.Tensor:
            mean = kind == "mean"
            ratio = np.logaddexp(0.0, factor) - math.log(2.0) if mean else np.maximum(factor, -1e30)
            return torch.from_numpy(ratio.astype(np.float32)).to(own.device)

        out = own.clone()
        out[: self.n] += change(posterior.factor)[:, self.classes.of]
        if self.canvas.rules is not None:
            positions, tokens, factor = posterior.cells
            at = np.ix_(positions, tokens)
            out[at] = own[at] + change(factor)
        return out


class MaskedJointSampler(JointSampler):
    """The joint posterior, for noise of masks: accepted tokens are certain in the lattice of the steps that follow.

    What is accepted is a part of a joint candidate that has all tokens accepted before, so that an output always has
    them all.
    """

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        if canvas.rules is not None:
            raise GenerationError("rules beyond the grammar need a model of uniform noise; this one's noise is a mask")
        self.revealed = np.full(self.n, -1, np.int64)
        if canvas.policy.anchored_start:
            self.revealed[:] = canvas.anchors[: self.n]
        self.log_revealed = np.zeros(self.n)

    def show(self, tokens: torch.Tensor) -> None:
        super().show(tokens)
        known = tokens[: self.n].cpu().numpy()
        self.revealed = np.where(known == self.canvas.noise.mask, -1, known)
        self.log_revealed = np.zeros(self.n)

    def consider(self, logits: torch.Tensor, step: int, revealed: np.ndarray | None = None) -> Considered:
        return super().consider(self.canvas.noise.hide(logits), step, self.revealed.copy())

    def observe(self, logits: torch.Tensor) -> Step:
        canvas, policy = self.canvas, self.canvas.policy
        found = self.considered(logits)
        candidate, committed, entropy = self.whole(found)
        held = self.revealed >= 0
        accepted = self.accepted(found, entropy, held)
        new = accepted[: self.n] & ~held
        state, score = found.maximum[1:]
        before = self.log_revealed
        done = finished_by(candidate[: self.n], accepted[: self.n], canvas.end_ids) >= 0
        if policy.keep_accepted:
            log = found.posterior.reduction.log_probabilities(candidate[: self.n])
            self.revealed = np.where(new, candidate[: self.n], self.revealed)
            self.log_revealed = np.where(new, log, before)
            if done:  # all text stands
                committed, state, score, before = candidate, found.candidate[1], 0.0, self.log_revealed
        live = self.live(committed, state)
        done = done and (policy.keep_accepted or self._stable((*committed[:live].tolist(), state)))
        score += float(before[: live + 1].sum())
        following = canvas.keep(torch.from_numpy(accepted), torch.from_numpy(candidate))
        feedback = self.feedback(logits, found.posterior)
        return Step(following, feedback, done, candidate, committed, accepted, entropy, live, state, score)

    def accepted(self, found: Considered, entropy: np.ndarray, held: np.ndarray) -> np.ndarray:
        """bool[L]: the positions that stand from now on, within the budget."""
        out = np.zeros(self.canvas.length, bool)
        out[: self.n] = held | (self.canvas.anchors[: self.n] >= 0)
        if not out[: self.n].all():
            by = entropy if self.canvas.policy.accept_by == "posterior" else found.reduction.entropy
            open = ~out
            open[self.n :] = False
            count = int(out.sum())
            out |= self.canvas.acceptance.select(self.offer(found, by, torch.from_numpy(open), count)).numpy()
        return out


def joint(canvas: Canvas) -> Sampler:
    """The sampler of a constrained canvas."""
    return JointSampler(canvas) if canvas.noise.mask is None else MaskedJointSampler(canvas)
