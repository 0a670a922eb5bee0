"""Which positions of a candidate a step keeps: rules as small objects, for `Policy.acceptance`.

Each keeps a subset of the candidate. The candidate being an output as a whole, whatever is kept of it stands in at
least one output of the constraint.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch


@dataclass(frozen=True, eq=False)
class Offer:
    """A step's candidate as a rule sees it, at L positions.

    ``entropy`` float[L] in nats; ``probability()`` float[L] of the candidate's tokens; ``open`` bool[L] where a
    position may be kept now (None: everywhere); ``held`` positions have been kept before; this is step ``step`` of
    ``steps``.
    """

    entropy: torch.Tensor
    probability: Callable[[], torch.Tensor]
    open: torch.Tensor | None
    held: int
    step: int
    steps: int


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
    """The positions whose token has at least this probability, and in any case the ``least`` surest."""

    probability: float = 0.9
    least: int = 1

    def select(self, offer: Offer) -> torch.Tensor:
        sure = offer.probability()
        out = _surest(sure, offer.open, self.least)
        return out | _open(sure >= self.probability, offer.open)


@dataclass(frozen=True)
class Count:
    """The surest positions, ``each_step`` more at every step; None: as many as spread the canvas evenly over the steps.

    ``by`` says what makes a position sure: the probability of its token, or the entropy of its distribution.
    """

    each_step: int | None = None
    by: Literal["probability", "entropy"] = "probability"

    def select(self, offer: Offer) -> torch.Tensor:
        sure = offer.probability() if self.by == "probability" else -offer.entropy
        every = offer.held + (len(sure) if offer.open is None else int(offer.open.sum()))
        each = every / offer.steps if self.each_step is None else self.each_step
        return _surest(sure, offer.open, math.ceil(each * offer.step - 1e-9) - offer.held)


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
