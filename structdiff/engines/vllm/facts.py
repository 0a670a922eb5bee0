"""What vLLM's configuration says of a model, for the front end and the worker alike."""

from __future__ import annotations

from typing import Any

from structdiff.decode.policy import Policy
from structdiff.engines.worker import vocabulary_of
from structdiff.tokens.vocabulary import Vocabulary

ARCHITECTURE = "DiffusionGemmaForBlockDiffusion"
"""The name of the one diffusion model that vLLM knows."""


def vocabulary_for(model_config: Any, tokenizer: Any) -> Vocabulary:
    """The vocabulary of vLLM's model: its outputs end at the tokens at which vLLM stops."""
    ends = model_config.try_get_generation_config().get("eos_token_id")
    listed = ends if isinstance(ends, list | tuple) else [ends]
    own = getattr(tokenizer, "eos_token_id", None)
    return vocabulary_of(tokenizer, [*listed, own], model_config.get_vocab_size())


def policy_of(generation: dict[str, Any], max_steps: int) -> Policy:
    """The checkpoint's own policy, from its generation config."""
    return Policy(
        max_steps=max_steps,
        entropy_bound=generation["sampler_config"]["entropy_bound"],
        t_min=generation["t_min"],
        t_max=generation["t_max"],
        stability=generation["stability_threshold"],
        confidence=generation["confidence_threshold"],
    )
