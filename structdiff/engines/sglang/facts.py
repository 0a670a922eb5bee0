"""What SGLang's configuration says of a diffusion model, for the grammar backend and the algorithms alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from structdiff.decode.acceptance import Threshold
from structdiff.decode.policy import Policy
from structdiff.decode.samplers import published
from structdiff.models.protocol import Noise


def noise_of(algorithm: Any) -> Noise:
    """The noise that an algorithm's model denoises; SGLang gives models of uniform noise a negative mask."""
    return Noise() if algorithm.mask_id < 0 else Noise(algorithm.mask_id)


def policy_of(algorithm: Any) -> Policy:
    """The algorithm's own schedule: steps, temperatures and what it accepts.

    Algorithms of masks are greedy and take a token from their ``threshold`` of probability on, one at least.
    """
    if algorithm.mask_id >= 0:
        return replace(Policy(**published("llada2", algorithm.block_size)), acceptance=Threshold(algorithm.threshold))
    return Policy(
        max_steps=algorithm.max_denoising_steps,
        entropy_bound=algorithm.entropy_bound,
        t_min=algorithm.t_min,
        t_max=algorithm.t_max,
        stability=algorithm.stability_threshold,
        confidence=algorithm.confidence_threshold,
    )


def capacity(context: int, block: int, prompt: int, aligned: bool) -> int:
    """How many tokens an output may have before SGLang ends it for want of context; it writes whole blocks.

    ``aligned``: blocks end at multiples of their length, counted from the first token of the prompt.

    >>> capacity(100, 32, 40, aligned=True), capacity(100, 32, 40, aligned=False)
    (56, 32)
    """
    return context // block * block - prompt if aligned else (context - prompt) // block * block
