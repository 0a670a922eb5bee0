"""The samplers that families of masked diffusion publish, as options of `Policy`."""

from __future__ import annotations

from typing import Any

from structdiff.decode.acceptance import Acceptance, Blocks, Count, Threshold

SUB_BLOCK = 8
"""Fast-dLLM v2 fills its blocks in parts of so many places."""
BLOCK = 32
"""LLaDA and A2D fill a canvas in blocks of so many places."""


def published(sampler: str, length: int) -> dict[str, Any]:
    """The options of a family's published sampler for canvases of ``length`` positions: greedy, one step a position.

    >>> published("sdar", 4)["acceptance"]
    Threshold(probability=0.85, least=1)
    """
    rules: dict[str, Acceptance] = {
        "a2d": Blocks(BLOCK, Count(schedule="rounded")),
        "dream": Count(by="entropy", schedule="floored"),
        "fast-dllm": Blocks(SUB_BLOCK, Threshold(0.9), length, alone=True),
        "llada": Blocks(BLOCK, Count()),
        "llada2": Threshold(0.95),
        "sdar": Threshold(0.85),
        "plain": Threshold(0.9),
    }
    return {"max_steps": length, "candidate": "maximum", "t_min": 1.0, "t_max": 1.0, "acceptance": rules[sampler]}
