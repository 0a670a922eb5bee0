"""The choices of the sampler: schedule, acceptance, what self-conditioning is fed, when to stop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from structdiff.decode.acceptance import Acceptance

COLDEST = 0.01
"""Stands in for temperature 0, by which logits cannot be divided."""


@dataclass(frozen=True)
class Policy:
    """How a canvas is denoised.

    The first six are DiffusionGemma's own (temperature falls linearly from ``t_max`` to ``t_min`` over ``max_steps``;
    positions are accepted by ascending entropy while the entropy of the others accepted stays within ``entropy_bound``
    nats; a canvas stops when it was ``stability`` steps unchanged and its mean entropy is below ``confidence`` nats).
    The rest concerns constrained rows: whether the candidate of a step is a joint draw or the joint maximum, whose
    entropies accept and stop, what is fed back to self-conditioning, after how many steps in which neither the text nor
    the model's own best tokens of its positions changed a canvas is committed however unsure (``patience``; 0: never),
    the lattice temperature, which goes from ``gamma_first`` to ``gamma_last`` over the steps, and whether a denoised
    canvas is verified from left to right by the model's own encoder before it is committed, after at most
    ``draft_steps`` steps (0: as many as any other canvas; docs/algorithm.md). ``acceptance`` is another rule of
    acceptance than ``entropy_bound`` (`structdiff.decode.acceptance`). Models whose noise is a mask: what is accepted
    stays, unless ``keep_accepted`` is False; then every step decides the whole canvas anew. ``lookup`` bounds the
    tokens of a draft where text is written from left to right (0: none is tried). There too, ``repeats`` says whether
    an array may repeat an element; else it ends where it would (`structdiff.decode.repeats`).

    >>> Policy(max_steps=4).temperature(1), Policy(max_steps=4).temperature(4)
    (0.8, 0.5)
    """

    max_steps: int = 48
    entropy_bound: float = 0.1
    t_min: float = 0.4
    t_max: float = 0.8
    stability: int = 1
    confidence: float = 0.005
    candidate: Literal["draw", "maximum"] = "draw"
    accept_by: Literal["posterior", "own"] = "posterior"
    stop_by: Literal["posterior", "own"] = "own"
    feedback: Literal["mean", "own", "posterior"] = "own"
    patience: int = 5
    gamma_first: float = 0.3
    gamma_last: float = 1.0
    anchored_start: bool = True
    verify: bool = False
    draft_steps: int = 0
    acceptance: Acceptance | None = None
    keep_accepted: bool = True
    lookup: int = 16
    repeats: bool = True

    def __post_init__(self) -> None:
        if self.acceptance is not None and not hasattr(self.acceptance, "select"):
            raise ValueError(
                f"acceptance is {self.acceptance!r}; it must be a rule such as EntropyBound(0.1), Threshold(0.9) or "
                "Count() of structdiff.decode.acceptance"
            )

    def temperature(self, step: int) -> float:
        """The temperature of step 1..max_steps."""
        left = self.max_steps - step + 1
        return self.t_min + (self.t_max - self.t_min) * (left / self.max_steps)

    def scaled(self, temperature: float) -> Policy:
        """The same policy with its schedule scaled by a request's ``temperature``; 0 takes the joint maximum at every
        step.

        >>> Policy(t_max=0.8).scaled(0.5).t_max, Policy().scaled(0).candidate
        (0.4, 'maximum')
        """
        scale = max(temperature, COLDEST)
        colder = replace(self, t_min=self.t_min * scale, t_max=self.t_max * scale)
        return replace(colder, candidate="maximum") if temperature == 0 else colder

    def gamma(self, step: int) -> float:
        """The lattice temperature of step 1..max_steps."""
        share = (step - 1) / max(self.max_steps - 1, 1)
        return self.gamma_first + (self.gamma_last - self.gamma_first) * share
