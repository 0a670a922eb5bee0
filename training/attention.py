"""Causal attention for training on CPUs: plain matrix products, which bfloat16 units run faster than the fused kernel.

The network must be a transformers one whose sequences are padded on the right, so that a causal mask is enough.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface

NAME = "structdiff_causal"


def causal_attention(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **options: Any
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface for [B, H, N, D] queries over [B, G, N, D] keys; every mask but causal is
    refused."""
    if attention_mask is not None or query.shape[2] != key.shape[2]:
        raise ValueError("this attention is causal over whole sequences; it takes no mask and no cache")
    rows, heads, length, width = query.shape
    groups = key.shape[1]
    shape = (rows * groups, heads // groups * length, width)
    scaled = (query * options["scaling"]).reshape(shape)
    keys, values = key.reshape(-1, length, width), value.reshape(-1, length, width)
    later = torch.full((length, length), float("-inf"), dtype=query.dtype, device=query.device).triu(1)
    scores = torch.baddbmm(later.repeat(heads // groups, 1)[None], scaled, keys.transpose(1, 2))
    mixed = torch.softmax(scores, -1) @ values
    return mixed.view(rows, heads, length, width).transpose(1, 2), None


def use_fast_attention(network: Any) -> None:
    """Let ``network`` attend with `causal_attention`."""
    AttentionInterface.register(NAME, causal_attention)
    network.set_attn_implementation(NAME)
