"""Checkpoints of masked diffusion: which there are, how each reads a sequence, and where its mask token is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from structdiff.core.errors import GenerationError
from structdiff.models.mask_token import hide_mask
from structdiff.models.masked import BlockCausal, CausalPrefix, FullAttention, MaskedDenoiser
from structdiff.models.published import (
    Weights,
    llada2_config,
    llada2_weights,
    llada_config,
    llada_weights,
    read_weights,
)

PREFIXES: dict[str, type[MaskedDenoiser]] = {"full": FullAttention, "block": BlockCausal, "causal": CausalPrefix}
OPTIONS: dict[str, tuple[type, ...]] = {
    "mask_token": (str, int), "canvas_length": (int,), "prefix": (str,), "shifted": (bool,), "aligned": (bool,),
}  # fmt: skip
"""What may be said of a checkpoint in ``load(masked=...)``, or under ``masked`` in its folder's structdiff.json."""
CHAT_ENDS = ("<|eot_id|>", "<|im_end|>", "<|role_end|>", "<turn|>", "<end_of_turn>")
"""Special tokens that end a turn; some checkpoints do not name theirs as an end token."""


@dataclass(frozen=True)
class Form:
    """How a family's networks read a sequence: ``network`` is its class in transformers, ``prefix`` one of `PREFIXES`.

    ``length_key``: the configuration's name for the canvas length, which is else ``canvas_length``; ``mask``: the
    published id; ``sampler``: see `structdiff.decode.samplers`; ``configure`` and ``convert``: where configuration
    and weights have other names than the class's. ``by_choice``: read so only where the user says so.
    """

    network: str
    prefix: str
    canvas_length: int
    sampler: str
    length_key: str = "canvas_length"
    shifted: bool = False
    aligned: bool = False
    mask: int | None = None
    configure: Callable[[Mapping[str, Any]], Any] | None = None
    convert: Callable[[Weights, Any], Weights] | None = None
    by_choice: bool = False


FORMS = {
    "llama": Form("Llama", "causal", 32, "plain", by_choice=True),
    "qwen2": Form("Qwen2", "causal", 32, "plain", by_choice=True),
    "qwen3": Form("Qwen3", "causal", 32, "plain", by_choice=True),
    "gemma3_text": Form("Gemma3", "causal", 32, "plain", by_choice=True),
    "a2d-llama": Form("Llama", "full", 128, "a2d"),
    "a2d-qwen2": Form("Qwen2", "full", 128, "a2d"),
    "a2d-qwen3": Form("Qwen3", "full", 128, "a2d"),
    "sdar": Form("Qwen3", "block", 4, "sdar", "block_size", aligned=True, mask=151669),
    "fast_dllm_qwen": Form("Qwen2", "block", 32, "fast-dllm", "bd_size", shifted=True, aligned=True, mask=151665),
    "llada": Form("Llama", "full", 128, "llada", mask=126336, configure=llada_config, convert=llada_weights),
    "dream": Form("Qwen2", "full", 128, "dream", shifted=True, mask=151666),
    "llada2_moe": Form(
        "Glm4Moe", "block", 32, "llada2", aligned=True, mask=156895, configure=llada2_config, convert=llada2_weights
    ),
}
"""By the ``model_type`` of a configuration, in small letters."""


def form_of(config: Mapping[str, Any], asked: Mapping[str, Any]) -> Form | None:
    """The form of a configuration with what the user says of it; None where it denoises no masks.

    Raises `GenerationError` for an option that there is not, or that cannot be.

    >>> form_of({"model_type": "sdar", "block_size": 8}, {}).canvas_length
    8
    """
    for name, value in asked.items():
        if name not in OPTIONS:
            raise GenerationError(f"masked: there is no option {name!r}; there are {', '.join(OPTIONS)}")
        if not isinstance(value, OPTIONS[name]) or (isinstance(value, bool) and bool not in OPTIONS[name]):
            wanted = " or ".join(kind.__name__ for kind in OPTIONS[name])
            raise GenerationError(f"masked: {name} is {value!r}; it must be of type {wanted}")
    form = FORMS.get(str(config.get("model_type")).lower())
    if form is None or (form.by_choice and not asked):
        return None
    length = asked.get("canvas_length", config.get(form.length_key) or form.canvas_length)
    prefix = asked.get("prefix", form.prefix)
    if prefix not in PREFIXES:
        raise GenerationError(f"masked: prefix is {prefix!r}; it must be one of {', '.join(PREFIXES)}")
    if length < 1:
        raise GenerationError(f"masked: canvas_length is {length}; it must be at least 1")
    aligned = asked.get("aligned", form.aligned and prefix == "block")
    if aligned and prefix != "block":
        raise GenerationError(f"masked: canvases are aligned where prefix is 'block'; it is {prefix!r}")
    return replace(
        form, canvas_length=length, prefix=prefix, shifted=asked.get("shifted", form.shifted), aligned=aligned
    )


def build(
    name: str, config: Mapping[str, Any], form: Form, asked: Mapping[str, Any], tokenizer: Any, dtype: Any, device: str
) -> MaskedDenoiser:
    """The denoiser of a checkpoint. Raises `GenerationError` where its weights or its mask token are missing."""
    network = _network(name, config, form, dtype)
    rows = network.get_output_embeddings().weight.shape[0]
    mask = mask_id(name, config, form, asked, tokenizer, rows)
    options: dict[str, Any] = {"shifted": form.shifted}
    if form.prefix == "block":
        options["aligned"] = form.aligned
    return PREFIXES[form.prefix](network.to(device), form.canvas_length, mask, **options)


def _network(name: str, config: Mapping[str, Any], form: Form, dtype: Any) -> Any:
    import transformers

    kind = getattr(transformers, f"{form.network}ForCausalLM")
    if form.configure is None:
        kept = {key: value for key, value in config.items() if key not in ("model_type", "auto_map", "architectures")}
        settings = kind.config_class(**kept)
        network, found = kind.from_pretrained(name, config=settings, dtype=dtype, output_loading_info=True)
    else:
        assert form.convert is not None
        settings = form.configure(config)
        weights = form.convert(read_weights(name), settings)
        dtype = config.get("dtype", config.get("torch_dtype", "float32")) if dtype == "auto" else dtype
        network, found = kind.from_pretrained(
            None, config=settings, state_dict=weights, dtype=dtype, output_loading_info=True
        )
    for trouble in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if names := sorted(map(str, found[trouble])):
            raise GenerationError(
                f"the weights in {name} are not those of {form.network} ({config.get('model_type')}): "
                f"{len(names)} {trouble.replace('_', ' ')}, such as {names[0]}"
            )
    return network


def mask_id(
    name: str, config: Mapping[str, Any], form: Form, asked: Mapping[str, Any], tokenizer: Any, rows: int
) -> int:
    """The id of the mask token: what the user says, the configuration, the tokenizer, or the family's own id.

    The tokenizer takes it for a special token from then on: it is no text. Raises `GenerationError` where there is
    none.
    """
    said = asked.get("mask_token")
    known = tokenizer.get_vocab()
    if isinstance(said, str):
        if said not in known:
            raise GenerationError(f"the tokenizer of {name} has no token {said!r}, which is to be its mask")
        said = known[said]
    places = [said, config.get("mask_token_id"), tokenizer.mask_token_id]
    found = next((one for one in [*places, form.mask] if one is not None), None)
    if found is None or (found == form.mask and found not in places and found not in known.values()):
        raise GenerationError(
            f"{name} names no mask token, neither in config.json nor in its tokenizer; name it: "
            "masked={'mask_token': ...}, or the same under \"masked\" in its structdiff.json"
        )
    if not 0 <= found < rows:
        raise GenerationError(f"the mask token of {name} is {found}, but the network has {rows} tokens")
    hide_mask(tokenizer, found)
    return int(found)


def ends_of(name: str, config: Mapping[str, Any], tokenizer: Any) -> tuple[int, ...]:
    """The end tokens that a checkpoint's files name, and its tokenizer's tokens that end a turn.

    Raises `GenerationError` where there are none.
    """
    from transformers import GenerationConfig

    try:
        generation: Any = GenerationConfig.from_pretrained(name)
        said = generation.eos_token_id
    except OSError:  # there is no such file
        said = None
    found: set[int] = set()
    for one in (said, config.get("eos_token_id"), tokenizer.eos_token_id):
        found |= set(one) if isinstance(one, list | tuple) else set() if one is None else {one}
    known = tokenizer.get_vocab()
    found |= {known[token] for token in CHAT_ENDS if token in known}
    if not found:
        raise GenerationError(f"neither the checkpoint {name} nor its tokenizer names an end token")
    return tuple(sorted(found))
