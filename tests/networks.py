"""Random-weight networks of the real class, for tests."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    DiffusionGemmaConfig,
    DiffusionGemmaForBlockDiffusion,
    DiffusionGemmaTextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)


def random_network(
    vocab: int = 97, canvas: int = 16, seed: int = 0, window: int = 512, hidden: int = 32, context: int = 4096
) -> DiffusionGemmaForBlockDiffusion:
    """A DiffusionGemmaForBlockDiffusion of a few thousand parameters (and a stand-in vision tower)."""
    torch.manual_seed(seed)
    text = DiffusionGemmaTextConfig(
        vocab_size=vocab, hidden_size=hidden, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, global_head_dim=16, num_experts=2, top_k_experts=1,
        moe_intermediate_size=16, sliding_window=window, max_position_embeddings=context,
        layer_types=["sliding_attention", "full_attention", "full_attention"],
    )  # fmt: skip
    vision = {
        "model_type": "gemma4_vision", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 8, "patch_size": 4,
    }  # fmt: skip
    config = DiffusionGemmaConfig(text_config=text.to_dict(), vision_config=vision, canvas_length=canvas)
    return DiffusionGemmaForBlockDiffusion(config).eval()


def random_llama(vocab: int = 97, seed: int = 0, tied: bool = True, **shape: int) -> LlamaForCausalLM:
    """A LlamaForCausalLM of a few thousand parameters whose logits are far apart."""
    return _random(LlamaForCausalLM, LlamaConfig, vocab, seed, tied, shape)


def random_qwen2(vocab: int = 97, seed: int = 0, tied: bool = True, **shape: int) -> Qwen2ForCausalLM:
    """The same of Qwen2's class, whose queries, keys and values have a bias."""
    return _random(Qwen2ForCausalLM, Qwen2Config, vocab, seed, tied, shape)


def _random(network_class: Any, config_class: Any, vocab: int, seed: int, tied: bool, shape: dict[str, int]) -> Any:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "max_position_embeddings": 512} | shape  # fmt: skip
    network = network_class(config_class(vocab_size=vocab, tie_word_embeddings=tied, **sizes))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.3)
    return network.eval()
