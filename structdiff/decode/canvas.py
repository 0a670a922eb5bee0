"""One canvas while it is denoised: what a sampler has to go by, what it answers, and the class of all samplers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from structdiff.decode.acceptance import Acceptance, EntropyBound
from structdiff.decode.policy import Policy
from structdiff.lattice.lattice import Lattice, Posterior
from structdiff.models.protocol import Noise


class Rules(Protocol):
    """What an output must obey beyond its grammar: `refine` gives a posterior that does, of the canvas that follows the
    tokens ``written`` so far (structdiff.frontends.grid.refine)."""

    def refine(self, posterior: Posterior, gamma: float, written: Sequence[int]) -> Any: ...


@dataclass(eq=False)
class Canvas:
    """A canvas of ``length`` positions and all that a sampler may use beside the logits.

    ``lattice`` is None where there is no constraint; else its ``frame.length`` positions are those within the budget,
    it begins in ``state`` with ``left`` tokens of budget, behind the tokens ``written``. A ``thinking`` canvas is
    written freely, without end tokens. ``tokens`` int64[L] is what the model is shown next, on ``generator``'s device;
    ``anchors`` int64[L] the only token of a position, -1 elsewhere; ``step`` the number of the current step, from 1.
    Random numbers come from ``generator`` and ``rng``, which belong to the row.
    """

    length: int
    vocab_size: int
    noise: Noise
    self_conditioning: bool
    policy: Policy
    generator: torch.Generator
    rng: np.random.Generator
    end_ids: tuple[int, ...]
    lattice: Lattice | None
    state: int
    left: int
    written: Sequence[int]
    rules: Rules | None
    thinking: bool
    step: int = 0

    def __post_init__(self) -> None:
        self.anchors = np.full(self.length, -1, np.int64)
        self.tokens = self.fresh()
        if self.lattice is not None:
            self.anchors[: self.lattice.frame.length] = self.lattice.frame.anchors
            if self.policy.anchored_start:
                laid = torch.from_numpy(self.anchors).to(self.device)
                self.tokens = torch.where(laid < 0, self.tokens, laid)

    @property
    def device(self) -> torch.device:
        return self.generator.device

    @property
    def temperature(self) -> float:
        """The temperature of the current step."""
        return self.policy.temperature(self.step)

    @property
    def acceptance(self) -> Acceptance:
        """The policy's rule; DiffusionGemma's own where it names none."""
        return self.policy.acceptance or EntropyBound(self.policy.entropy_bound)

    def fresh(self) -> torch.Tensor:
        """int64[L]: noise; a uniform one takes random numbers of the row."""
        return self.noise.fresh(self.length, self.vocab_size, self.generator)

    def keep(self, accepted: torch.Tensor, candidate: torch.Tensor) -> torch.Tensor:
        """int64[L]: the candidate where it is accepted, noise elsewhere."""
        return torch.where(accepted.to(self.device), candidate.to(self.device), self.fresh())


@dataclass(frozen=True, eq=False)
class Step:
    """What a sampler made of one step's logits, at L positions.

    ``canvas`` int64[L] is what the model is to denoise next, ``feedback`` float[L, V] the self-conditioning logits that
    go with it (None: none). ``done``: the canvas is finished. ``candidate`` int64[L] are the step's tokens,
    ``accepted`` bool[L] those that the next canvas keeps, ``entropy`` float[L] in nats. ``committed`` int64[L] is what
    a commit writes now; ``live`` of it are text, which lead to ``state`` and have that ``log_probability``.
    """

    canvas: torch.Tensor
    feedback: torch.Tensor | None
    done: bool
    candidate: np.ndarray
    committed: np.ndarray
    accepted: np.ndarray
    entropy: np.ndarray
    live: int
    state: int = 0
    log_probability: float = 0.0


class Sampler(ABC):
    """Decides the steps of one canvas. Another decoder is another subclass (benchmarks/baselines.py)."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas

    @property
    def lattice(self) -> Lattice:
        """The canvas's lattice; for samplers of constrained canvases."""
        assert self.canvas.lattice is not None
        return self.canvas.lattice

    def show(self, tokens: torch.Tensor) -> None:
        """The model was shown these tokens, int64[L]."""
        self.canvas.tokens = tokens

    def consider_ahead(self, logits: torch.Tensor) -> None:
        """Begin on another thread what `observe` will make of these logits; most samplers have nothing to begin."""
        return

    @abstractmethod
    def observe(self, logits: torch.Tensor) -> Step:
        """Take one step from float[L, V] logits."""


SamplerType = Callable[[Canvas], Sampler]


class Unchanged:
    """Tells whether a value has been the same for a number of steps before this one.

    >>> unchanged = Unchanged(2)
    >>> [unchanged(value) for value in "abbbb"]
    [False, False, False, True, True]
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.seen: list[Any] = []

    def __call__(self, value: Any) -> bool:
        same = len(self.seen) >= self.steps and all(old == value for old in self.seen)
        self.seen = [*self.seen, value][-self.steps :] if self.steps else []
        return same


def finished_by(tokens: np.ndarray, accepted: np.ndarray, end_ids: Sequence[int]) -> int:
    """How many positions from the first on are accepted up to an end token, that one included, or to the end of the
    canvas; -1 where a position before that is open.

    >>> finished_by(np.array([5, 9, 7]), np.array([True, True, False]), [9])
    2
    """
    run = len(accepted) if accepted.all() else int(accepted.argmin())
    ends = np.flatnonzero(np.isin(tokens[:run], end_ids))
    if len(ends):
        return int(ends[0]) + 1
    return run if run == len(accepted) else -1
