"""Published weights of LLaDA and LLaDA2, brought to networks of transformers that compute the same.

LLaDA's network is Llama's with every token seen by all others. LLaDA2's is that of GLM-4-MoE: normalised queries and
keys, of whose dimensions a part is turned, and sigmoid-gated experts that are chosen within groups. Only names and
shapes differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from structdiff.core.errors import GenerationError

Weights = dict[str, torch.Tensor]

LLADA_NAMES = (
    (r"^model\.transformer\.wte\.", "model.embed_tokens."),
    (r"^model\.transformer\.ln_f\.", "model.norm."),
    (r"^model\.transformer\.ff_out\.", "lm_head."),
    (r"^model\.transformer\.blocks\.(\d+)\.", r"model.layers.\1."),
    (r"\.attn_norm\.", ".input_layernorm."),
    (r"\.ff_norm\.", ".post_attention_layernorm."),
    (r"\.([qkv])_proj\.", r".self_attn.\1_proj."),
    (r"\.attn_out\.", ".self_attn.o_proj."),
    (r"\.ff_proj\.", ".mlp.gate_proj."),
    (r"\.up_proj\.", ".mlp.up_proj."),
    (r"(layers\.\d+)\.ff_out\.", r"\1.mlp.down_proj."),
)
LLADA_IS = {
    "block_type": "llama", "layer_norm_type": "rms", "activation_type": "silu", "rope": True, "alibi": False,
    "include_bias": False, "include_qkv_bias": False, "attention_layer_norm": False, "input_emb_norm": False,
    "scale_logits": False, "block_group_size": 1,
}  # fmt: skip
"""The form of LLaDA that was published; another one is refused rather than read wrongly."""
LLADA2_NAMES = (
    (r"^model\.word_embeddings\.", "model.embed_tokens."),
    (r"\.attention\.dense\.", ".self_attn.o_proj."),
    (r"\.attention\.query_layernorm\.", ".self_attn.q_norm."),
    (r"\.attention\.key_layernorm\.", ".self_attn.k_norm."),
    (r"\.gate\.expert_bias$", ".gate.e_score_correction_bias"),
)
LLADA2_IS = {"use_bias": False, "use_qkv_bias": False, "use_qk_norm": True, "norm_head": False, "rope_scaling": None}


def llada_config(config: Mapping[str, Any]) -> Any:
    """The Llama configuration of a LLaDA one. Raises `GenerationError` for a form that was never published."""
    from transformers import LlamaConfig

    _check(config, LLADA_IS)
    return LlamaConfig(
        vocab_size=config.get("embedding_size") or config["vocab_size"], hidden_size=config["d_model"],
        intermediate_size=config.get("mlp_hidden_size") or config["d_model"] * config["mlp_ratio"],
        num_hidden_layers=config["n_layers"], num_attention_heads=config["n_heads"],
        num_key_value_heads=config.get("n_kv_heads") or config["n_heads"], rms_norm_eps=config["rms_norm_eps"],
        max_position_embeddings=config["max_sequence_length"], tie_word_embeddings=bool(config.get("weight_tying")),
        rope_parameters={"rope_type": "default", "rope_theta": float(config["rope_theta"])},
        bos_token_id=None, eos_token_id=config.get("eos_token_id"), pad_token_id=config.get("pad_token_id"),
    )  # fmt: skip


def llada2_config(config: Mapping[str, Any]) -> Any:
    """The GLM-4-MoE configuration of a LLaDA2 one. Raises `GenerationError` for a form that was never published."""
    from transformers import Glm4MoeConfig

    _check(config, LLADA2_IS)
    if not config.get("num_shared_experts"):
        raise GenerationError("the checkpoint's num_shared_experts is not supported: at least 1 is")
    same = (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "head_dim", "hidden_act", "max_position_embeddings", "rms_norm_eps",
        "moe_intermediate_size", "num_experts_per_tok", "n_group", "topk_group", "routed_scaling_factor",
        "first_k_dense_replace", "eos_token_id", "pad_token_id",
    )  # fmt: skip
    return Glm4MoeConfig(
        **{name: config[name] for name in same if config.get(name) is not None},
        n_routed_experts=config["num_experts"], n_shared_experts=config["num_shared_experts"], use_qk_norm=True,
        norm_topk_prob=True, attention_bias=False, tie_word_embeddings=bool(config.get("tie_word_embeddings")),
        rope_parameters={
            "rope_type": "default", "rope_theta": float(config["rope_theta"]),
            "partial_rotary_factor": config["partial_rotary_factor"],
        },
    )  # fmt: skip


def _check(config: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        found = config.get(name, value)
        if (found or None) != (value or None):
            raise GenerationError(f"the checkpoint's {name} is {found!r}; supported is {value!r}")


def llada_weights(weights: Weights, config: Any) -> Weights:
    """LLaDA's weights by the names of Llama's."""
    return {_renamed(name, LLADA_NAMES): value for name, value in weights.items()}


def llada2_weights(weights: Weights, config: Any) -> Weights:
    """LLaDA2's weights by the names of GLM-4-MoE's: queries, keys and values apart, the experts of a layer together."""
    out: Weights = {}
    experts: dict[str, dict[int, dict[str, torch.Tensor]]] = {}
    width = config.head_dim
    sizes = [config.num_attention_heads * width, *[config.num_key_value_heads * width] * 2]
    for name, value in weights.items():
        if found := re.fullmatch(r"(.*\.mlp\.experts)\.(\d+)\.(\w+)_proj\.weight", name):
            experts.setdefault(found[1], {}).setdefault(int(found[2]), {})[found[3]] = value
        elif name.endswith(".attention.query_key_value.weight"):
            layer = name.removesuffix("attention.query_key_value.weight")
            for part, rows in zip("qkv", torch.split(value, sizes), strict=True):
                out[f"{layer}self_attn.{part}_proj.weight"] = rows.clone()
        else:
            out[_renamed(name, LLADA2_NAMES)] = value
    for name, parts in experts.items():
        ordered = [parts[number] for number in sorted(parts)]
        out[f"{name}.gate_up_proj"] = torch.stack([torch.cat([one["gate"], one["up"]]) for one in ordered])
        out[f"{name}.down_proj"] = torch.stack([one["down"] for one in ordered])
    return out


def _renamed(name: str, names: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in names:
        name = re.sub(pattern, replacement, name)
    return name


def read_weights(name: str) -> Weights:
    """All tensors of a folder's or a hub id's safetensors files. Raises `GenerationError` where there are none."""
    folder = Path(name)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(name, allow_patterns=["*.safetensors"]))
    try:
        found = dict(_tensors(folder))
    except (OSError, SafetensorError) as error:
        raise GenerationError(f"the weights in {folder} cannot be read: {error}") from error
    if not found:
        raise GenerationError(f"{folder} holds no weights: no file in it ends in .safetensors")
    return found


def _tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                yield name, file.get_tensor(name)
