"""Which positions of a candidate a step keeps: rules as small objects, for `Policy.acceptance`.

Each keeps a subset of the candidate. The candidate being an output as a whole, whatever is kept of it stands in at
least one output of the constraint.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class Offer:
    """A step's candidate as a rule sees it, at L positions.

    ``entropy`` float[L] in nats; ``probability()`` float[L] of the candidate's tokens; ``open`` bool[L] where a
    position may be kept now (None: everywhere); ``held`` positions have been kept before; this is step ``step`` of
    ``steps``; ``margin()`` float[L] is the probability of the likeliest token less that of the next one.
    """

    entropy: torch.Tensor
    probability: Callable[[], torch.Tensor]
    open: torch.Tensor | None
    held: int
    step: int
    steps: int
    margin: Callable[[], torch.Tensor] | None = None

    @property
    def positions(self) -> int:
        """How many positions were kept before or may be kept now."""
        return self.held + (len(self.entropy) if self.open is None else int(self.open.sum()))


class Acceptance(Protocol):
    """A rule; it keeps at least one open position."""

    def select(self, offer: Offer) -> torch.Tensor:
        """bool[L]: what of the candidate is kept."""


@dataclass(frozen=True)
class EntropyBound:
    """The positions of lowest entropy, while the others kept sum up to at most ``bound`` nats (see `accept`)."""

    bound: float = 0.1

    def select(self, offer: Offer) -> torch.Tensor:
        if offer.open is None:
            return accept(offer.entropy[None], self.bound)[0]
        out = torch.zeros_like(offer.open)
        out[offer.open] = accept(offer.entropy[offer.open][None], self.bound)[0]
        return out


@dataclass(frozen=True)
class Threshold:
    """The positions whose token has at least this probability, and in any case the ``least`` surest; None: as many as
    `Count` keeps at this step."""

    probability: float = 0.9
    least: int | None = 1

    def select(self, offer: Offer) -> torch.Tensor:
        sure = offer.probability()
        least = self.least
        if least is None:
            due = shares(offer.positions, offer.steps)
            least = due[min(offer.step, len(due)) - 1]
        return _surest(sure, offer.open, least) | _open(sure >= self.probability, offer.open)


By = Literal["probability", "entropy", "margin", "place"]
Schedule = Literal["even", "rounded", "floored"]


@dataclass(frozen=True)
class Count:
    """The surest positions, ``each_step`` more at every step; None: as many as spread the canvas over the steps.

    ``by`` says what makes a position sure: the probability of its token, the entropy of its distribution, the margin
    between its two likeliest tokens, or its place, from left to right. ``schedule`` says how the canvas is spread (see
    `shares`).
    """

    each_step: int | None = None
    by: By = "probability"
    schedule: Schedule = "even"

    def select(self, offer: Offer) -> torch.Tensor:
        if self.each_step is not None:
            due = self.each_step * offer.step
        else:
            due = sum(shares(offer.positions, offer.steps, self.schedule)[: offer.step])
        return _surest(self._sure(offer), offer.open, due - offer.held)

    def _sure(self, offer: Offer) -> torch.Tensor:
        if self.by == "probability":
            return offer.probability()
        if self.by == "margin":
            assert offer.margin is not None
            return offer.margin()
        return -torch.arange(len(offer.entropy)).to(offer.entropy) if self.by == "place" else -offer.entropy


@dataclass(frozen=True)
class Blocks:
    """Another rule within one block of the canvas at a time, from left to right: the first that has open positions.

    Blocks have ``length`` positions; the rule sees the steps of its block alone. ``whole`` is the length of a whole
    canvas where some are shorter: these are the end of one. ``alone``: the first position of a whole canvas is a block
    of its own.
    """

    length: int
    rule: Acceptance
    whole: int = 0
    alone: bool = False

    def select(self, offer: Offer) -> torch.Tensor:
        size = len(offer.entropy)
        open = torch.ones(size, dtype=torch.bool, device=offer.entropy.device) if offer.open is None else offer.open
        missing = max(0, self.whole - size)
        starts = [0, *(at - missing for at in range(self.length, size + missing, self.length) if at > missing)]
        if self.alone and not missing and self.length > 1 < size:
            starts.insert(1, 1)
        number = int(np.searchsorted(starts, int(open.int().argmax()), side="right")) - 1
        first, last = starts[number], [*starts, size][number + 1]
        inside = torch.zeros_like(open)
        inside[first:last] = open[first:last]
        steps = max(1, offer.steps // len(starts))
        held = int((~open[first:last]).sum())
        within = replace(offer, open=inside, held=held, step=max(1, offer.step - number * steps), steps=steps)
        return self.rule.select(within)


@functools.cache
def shares(count: int, steps: int, schedule: Schedule = "even") -> tuple[int, ...]:
    """How many of ``count`` positions the steps keep, one after the other; steps that would keep none are left out.

    ``even``: equal shares, the remainder one by one to the first steps. ``rounded``: at each step the open positions
    over the steps that are left, rounded. ``floored``: at each step the share by which a time that falls evenly from 1
    to 0.001 falls, rounded down; the rest at the last step.

    >>> shares(10, 4), shares(10, 4, "rounded"), shares(10, 4, "floored")
    ((3, 3, 2, 2), (2, 3, 2, 3), (2, 2, 2, 4))
    """
    times = torch.linspace(1, 1e-3, steps + 1)
    out, open = [], count
    for step in range(steps):
        if schedule == "even":
            due = count // steps + (step < count % steps)
        elif schedule == "rounded":
            due = round(open * (1 - (steps - step - 1) / (steps - step)))
        else:
            due = int(open * (1 - times[step + 1] / times[step])) if step < steps - 1 else open
        out.append(min(due, open))
        open -= out[-1]
    return tuple(due for due in out if due) or (0,)


def _open(chosen: torch.Tensor, open: torch.Tensor | None) -> torch.Tensor:
    return chosen if open is None else chosen & open


def _surest(sure: torch.Tensor, open: torch.Tensor | None, count: int) -> torch.Tensor:
    """bool[L]: the ``count`` open positions of largest ``sure``, at least one; the first of equals."""
    ranked = sure if open is None else sure.masked_fill(~open, -torch.inf)
    order = torch.argsort(ranked, descending=True, stable=True)
    out = torch.zeros(len(sure), dtype=torch.bool, device=sure.device)
    out[order[: max(1, count)]] = True
    return _open(out, open)


def accept(entropy: torch.Tensor, bound: float) -> torch.Tensor:
    """bool[B, L]: the positions of lowest entropy such that the sum of all but the largest stays within ``bound`` nats.

    Source: Ben-Hamu et al., "Accelerated Sampling from Masked Diffusion Models via Entropy Bounded Unmasking",
    arXiv 2505.24857.

    >>> accept(torch.tensor([[0.0, 2.0, 0.05, 0.3]]), 0.1).tolist()
    [[True, False, True, True]]
    """
    ordered, index = torch.sort(entropy, dim=-1)
    within = torch.cumsum(ordered, dim=-1) - ordered <= bound
    return torch.zeros_like(within).scatter(-1, index, within)
