"""The model families that can be loaded from a checkpoint, each with the class of networks that it fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from structdiff.core.errors import GenerationError
from structdiff.models.protocol import CausalModel, Denoiser

if TYPE_CHECKING:
    from structdiff.models.pictures import Pictures


@dataclass(frozen=True)
class Checkpoint:
    """What is to be loaded: a folder or hub id, its configuration as it is written, and what the user asks of it.

    ``masked``: see `structdiff.models.masked_families.OPTIONS`; ``trust``: code that comes with it may run;
    ``adapter``: a LoRA adapter that PEFT wrote.
    """

    name: str
    config: Mapping[str, Any]
    dtype: Any
    device: str
    masked: Mapping[str, Any] = field(default_factory=dict)
    trust: bool = False
    adapter: str | Path | None = None

    @property
    def type(self) -> Any:
        """The ``model_type`` of the configuration."""
        return self.config.get("model_type")

    def adapted(self, network: Any) -> Any:
        """The network with the adapter that is asked for."""
        if self.adapter is None:
            return network
        from structdiff.models.adapter import with_adapter

        return with_adapter(network, self.adapter)


@dataclass(frozen=True)
class Loaded:
    """A checkpoint in memory: the model, its tokenizer, its end tokens, what its files say of the policy, the name of
    the sampler that its family publishes (`structdiff.decode.samplers`; empty: the policy's own), and what reads images
    for it (None: it reads none)."""

    model: Denoiser | CausalModel
    tokenizer: Any
    end_ids: tuple[int, ...]
    policy: Mapping[str, Any] = field(default_factory=dict)
    sampler: str = ""
    pictures: Pictures | None = None


@dataclass(frozen=True)
class Family:
    """``fits`` tells whether a checkpoint is of the family; ``load`` loads it."""

    name: str
    fits: Callable[[Checkpoint], bool]
    load: Callable[[Checkpoint], Loaded]


def _diffusion_gemma(asked: Checkpoint) -> Loaded:
    from transformers import AutoTokenizer, DiffusionGemmaForBlockDiffusion

    from structdiff.models.diffusion_gemma import DiffusionGemma
    from structdiff.models.pictures import Pictures

    tokenizer = AutoTokenizer.from_pretrained(asked.name)
    network: Any = DiffusionGemmaForBlockDiffusion.from_pretrained(asked.name, dtype=asked.dtype)
    config = network.generation_config
    return Loaded(
        DiffusionGemma(asked.adapted(network.to(asked.device))),
        tokenizer,
        end_ids(config, tokenizer),
        policy_of(config),
        pictures=Pictures.of(asked.name, network.config),
    )


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


def _causal(asked: Checkpoint) -> Loaded:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from structdiff.models.causal_lm import CausalLM
    from structdiff.models.llama import Llama, LlamaShape, weights_of

    tokenizer = AutoTokenizer.from_pretrained(asked.name, trust_remote_code=asked.trust)
    network: Any = AutoModelForCausalLM.from_pretrained(asked.name, dtype=asked.dtype, trust_remote_code=asked.trust)
    network, ends = asked.adapted(network.to(asked.device)), end_ids(network.generation_config, tokenizer)
    if asked.adapter is None and (shape := LlamaShape.of(network.config)):
        network = Llama(shape, weights_of(network))
    return Loaded(CausalLM(network), tokenizer, ends)


def _is_causal(asked: Checkpoint) -> bool:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return asked.type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or (asked.trust and _has_code(asked))


def _has_code(asked: Checkpoint) -> bool:
    """Does the checkpoint bring a causal language model as code of its own?"""
    return "AutoModelForCausalLM" in (asked.config.get("auto_map") or {})


def _masked(asked: Checkpoint) -> Loaded:
    from transformers import AutoTokenizer
    from transformers.utils import logging

    from structdiff.models.masked_families import build, ends_of, form_of

    form = form_of(asked.config, asked.masked)
    assert form is not None
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # else it warns of a model_type that it does not know
    try:
        tokenizer = AutoTokenizer.from_pretrained(asked.name, trust_remote_code=asked.trust)
    finally:
        logging.set_verbosity(before)
    model = build(asked.name, asked.config, form, asked.masked, tokenizer, asked.dtype, asked.device)
    asked.adapted(model.network)  # in place
    return Loaded(model, tokenizer, ends_of(asked.name, asked.config, tokenizer), sampler=form.sampler)


def _is_masked(asked: Checkpoint) -> bool:
    from structdiff.models.masked_families import FORMS, form_of

    if form_of(asked.config, asked.masked) is not None:
        return True
    if asked.masked:
        raise GenerationError(
            f"masked: models of the type {asked.type!r} cannot denoise masks; those of {', '.join(FORMS)} can"
        )
    return False


FAMILIES = (
    Family(
        "masked diffusion: LLaDA, LLaDA2-MoE, Dream, SDAR, Fast-dLLM v2, A2D, and with masked=... networks of Llama, "
        "Qwen2, Qwen3 and Gemma 3",
        _is_masked,
        _masked,
    ),
    Family("DiffusionGemma", lambda asked: asked.type == "diffusion_gemma", _diffusion_gemma),
    Family("causal language models of transformers, written from left to right", _is_causal, _causal),
)


def load_checkpoint(asked: Checkpoint) -> Loaded:
    """Load a checkpoint by the family that it fits. Raises `GenerationError` that names what is supported."""
    for family in FAMILIES:
        if family.fits(asked):
            return family.load(asked)
    known = "; ".join(family.name for family in FAMILIES)
    code = "; it brings code of its own, which trust_remote_code=True would run" if _has_code(asked) else ""
    raise GenerationError(f"models of the type {asked.type!r} are not supported; supported are: {known}{code}")


def end_ids(generation_config: Any, tokenizer: Any) -> tuple[int, ...]:
    """The end tokens that a checkpoint names, else the tokenizer's. Raises `GenerationError` where there is none."""
    ends = generation_config.eos_token_id
    if ends is None:
        ends = tokenizer.eos_token_id
    if ends is None:
        raise GenerationError("neither the checkpoint nor its tokenizer names an end token")
    return tuple(ends) if isinstance(ends, list | tuple) else (ends,)
