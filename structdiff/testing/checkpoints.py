"""Tiny checkpoints of the families of masked diffusion: random weights in the files that their publishers write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

MASK_TOKEN = "<|mask|>"
HIDDEN, INNER, LAYERS, HEADS, WIDTH, CONTEXT = 32, 48, 2, 2, 16, 512
SPREAD, SPREAD_OUT = 0.3, 0.8
"""Standard deviation of weights, and of those that make the logits: some positions are sure and others are not."""
LIKE_LLAMA = {
    "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
    "num_key_value_heads": 1, "head_dim": WIDTH, "max_position_embeddings": CONTEXT,
}  # fmt: skip
LLADA: dict[str, Any] = {
    "model_type": "llada", "d_model": HIDDEN, "n_heads": HEADS, "n_kv_heads": HEADS, "n_layers": LAYERS,
    "mlp_hidden_size": INNER, "rope_theta": 500000.0, "rms_norm_eps": 1e-5, "max_sequence_length": CONTEXT,
    "block_type": "llama", "layer_norm_type": "rms", "activation_type": "silu", "rope": True, "alibi": False,
    "include_bias": False, "include_qkv_bias": False, "weight_tying": False, "block_group_size": 1,
}  # fmt: skip
LLADA2: dict[str, Any] = {
    "model_type": "llada2_moe", "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS + 1,
    "num_attention_heads": HEADS, "num_key_value_heads": 1, "head_dim": WIDTH, "hidden_act": "silu",
    "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-6, "rope_theta": 600000.0, "partial_rotary_factor": 0.5,
    "moe_intermediate_size": 12, "num_experts": 8, "num_shared_experts": 1, "num_experts_per_tok": 3, "n_group": 4,
    "topk_group": 2, "routed_scaling_factor": 2.5, "first_k_dense_replace": 1, "use_bias": False,
    "use_qkv_bias": False, "use_qk_norm": True, "tie_word_embeddings": False,
}  # fmt: skip
NETWORKS = {
    "a2d-llama": "Llama", "a2d-qwen2": "Qwen2", "a2d-qwen3": "Qwen3", "sdar": "Qwen3", "Fast_dLLM_Qwen": "Qwen2",
    "Dream": "Qwen2", "llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3", "gemma3_text": "Gemma3",
}  # fmt: skip
KINDS = (*NETWORKS, "llada", "llada2_moe")
"""The ``model_type`` of every checkpoint that `write_checkpoint` writes."""


def write_checkpoint(kind: str, folder: Path, tokenizer: Any, seed: int = 0) -> dict[str, Any]:
    """Write a checkpoint of ``model_type`` ``kind`` with a tokenizer, which gets a mask token; returns its
    configuration. LLaDA2's weights come in two files."""
    tokenizer.add_special_tokens({"mask_token": MASK_TOKEN})
    tokenizer.save_pretrained(folder)
    size = len(tokenizer) + 3  # as published: more rows than tokens
    generator = torch.Generator().manual_seed(seed)
    common = {"vocab_size": size, "eos_token_id": tokenizer.eos_token_id}
    if kind in NETWORKS:
        config, shapes = _of_transformers(NETWORKS[kind], common)
        config["model_type"] = kind
    elif kind == "llada":
        config = {**LLADA, **common, "embedding_size": size, "mask_token_id": tokenizer.mask_token_id}
        shapes = dict(_llada_shapes(size))
    else:
        config = {**LLADA2, **common}
        shapes = dict(_llada2_shapes(size))
    weights = {}
    for name, shape in shapes.items():
        spread = SPREAD_OUT if shape[0] == size else SPREAD
        weights[name] = torch.randn(shape, generator=generator) * spread + (len(shape) == 1)  # norms scale by about 1
    names = sorted(weights)
    parts = [names[::2], names[1::2]] if kind == "llada2_moe" else [names]
    for number, part in enumerate(parts, 1):
        file = "model.safetensors" if len(parts) == 1 else f"model-{number:05}-of-{len(parts):05}.safetensors"
        save_file({name: weights[name] for name in part}, folder / file, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return config


def _of_transformers(network: str, common: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    import transformers

    kind = getattr(transformers, f"{network}ForCausalLM")
    window = {"sliding_window": 9} if network == "Gemma3" else {}
    config = kind.config_class(**LIKE_LLAMA, **common, **window, tie_word_embeddings=False)
    with torch.device("meta"):
        state = kind(config).state_dict()
    return config.to_dict(), {name: value.shape for name, value in state.items()}


def _llada_shapes(size: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.transformer.wte.weight", (size, HIDDEN)
    yield "model.transformer.ln_f.weight", (HIDDEN,)
    yield "model.transformer.ff_out.weight", (size, HIDDEN)
    for layer in range(LAYERS):
        at = f"model.transformer.blocks.{layer}."
        for name in ("q_proj", "k_proj", "v_proj", "attn_out"):
            yield f"{at}{name}.weight", (HIDDEN, HIDDEN)
        for name in ("ff_proj", "up_proj"):
            yield f"{at}{name}.weight", (INNER, HIDDEN)
        yield f"{at}ff_out.weight", (HIDDEN, INNER)
        for name in ("attn_norm", "ff_norm"):
            yield f"{at}{name}.weight", (HIDDEN,)


def _llada2_shapes(size: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.word_embeddings.weight", (size, HIDDEN)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (size, HIDDEN)
    for layer in range(LAYERS + 1):
        at = f"model.layers.{layer}."
        yield f"{at}attention.query_key_value.weight", ((HEADS + 2) * WIDTH, HIDDEN)
        yield f"{at}attention.dense.weight", (HIDDEN, HEADS * WIDTH)
        for name, width in (("attention.query_layernorm", WIDTH), ("attention.key_layernorm", WIDTH),
                            ("input_layernorm", HIDDEN), ("post_attention_layernorm", HIDDEN)):  # fmt: skip
            yield f"{at}{name}.weight", (width,)
        inner = {f"{at}mlp.": INNER}
        if layer:
            yield f"{at}mlp.gate.weight", (LLADA2["num_experts"], HIDDEN)
            yield f"{at}mlp.gate.expert_bias", (LLADA2["num_experts"],)
            parts = [f"experts.{number}" for number in range(LLADA2["num_experts"])] + ["shared_experts"]
            inner = {f"{at}mlp.{part}.": LLADA2["moe_intermediate_size"] for part in parts}
        for part, width in inner.items():
            yield f"{part}gate_proj.weight", (width, HIDDEN)
            yield f"{part}up_proj.weight", (width, HIDDEN)
            yield f"{part}down_proj.weight", (HIDDEN, width)
