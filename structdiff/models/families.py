"""The model families that can be loaded from a checkpoint, each with the class of networks that it fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from structdiff.core.errors import GenerationError
from structdiff.models.protocol import CausalModel, Denoiser


@dataclass(frozen=True)
class Loaded:
    """A checkpoint in memory: the model, its tokenizer, its end tokens, and what its files say of the policy."""

    model: Denoiser | CausalModel
    tokenizer: Any
    end_ids: tuple[int, ...]
    policy: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """``fits(config)`` tells from a transformers configuration; ``load(name, dtype, device)`` loads the checkpoint."""

    name: str
    fits: Callable[[Any], bool]
    load: Callable[[str, Any, str], Loaded]


def _diffusion_gemma(name: str, dtype: Any, device: str) -> Loaded:
    from transformers import AutoTokenizer, DiffusionGemmaForBlockDiffusion

    from structdiff.models.diffusion_gemma import DiffusionGemma

    tokenizer = AutoTokenizer.from_pretrained(name)
    network: Any = DiffusionGemmaForBlockDiffusion.from_pretrained(name, dtype=dtype)
    config = network.generation_config
    return Loaded(DiffusionGemma(network.to(device)), tokenizer, end_ids(config, tokenizer), policy_of(config))


def policy_of(generation_config: Any) -> dict[str, Any]:
    """What the generation configuration of a DiffusionGemma says of the options of `Policy`."""
    config, sampler = generation_config, getattr(generation_config, "sampler_config", None)
    said = {
        "max_steps": config.max_denoising_steps,
        "entropy_bound": sampler.entropy_bound if sampler else None,
        "t_min": config.t_min,
        "t_max": config.t_max,
        "stability": config.stability_threshold,
        "confidence": config.confidence_threshold,
    }
    return {option: value for option, value in said.items() if value is not None}


def _causal(name: str, dtype: Any, device: str) -> Loaded:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from structdiff.models.causal_lm import CausalLM
    from structdiff.models.llama import Llama, LlamaShape, weights_of

    tokenizer = AutoTokenizer.from_pretrained(name)
    network: Any = AutoModelForCausalLM.from_pretrained(name, dtype=dtype)
    network, ends = network.to(device), end_ids(network.generation_config, tokenizer)
    if shape := LlamaShape.of(network.config):
        network = Llama(shape, weights_of(network))
    return Loaded(CausalLM(network), tokenizer, ends)


def _is_causal(config: Any) -> bool:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    return type(config) in MODEL_FOR_CAUSAL_LM_MAPPING


FAMILIES = (
    Family("DiffusionGemma", lambda config: config.model_type == "diffusion_gemma", _diffusion_gemma),
    Family("causal language models of transformers, written from left to right", _is_causal, _causal),
)


def family_of(config: Any) -> Family:
    """The family of a checkpoint's configuration. Raises `GenerationError` that names what is supported."""
    for family in FAMILIES:
        if family.fits(config):
            return family
    known = "; ".join(family.name for family in FAMILIES)
    raise GenerationError(f"models of the type {config.model_type!r} are not supported; supported are: {known}")


def end_ids(generation_config: Any, tokenizer: Any) -> tuple[int, ...]:
    """The end tokens that a checkpoint names, else the tokenizer's. Raises `GenerationError` where there is none."""
    ends = generation_config.eos_token_id
    if ends is None:
        ends = tokenizer.eos_token_id
    if ends is None:
        raise GenerationError("neither the checkpoint nor its tokenizer names an end token")
    return tuple(ends) if isinstance(ends, list | tuple) else (ends,)
