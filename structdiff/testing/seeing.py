"""A tiny DiffusionGemma that reads images: random weights in the files that its publisher writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from structdiff.place import EMBEDDED

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|turn>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|image|>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<turn|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|turn>model\n{% endif %}"
)
PATCH, POOL = 4, 3
"""Pixels of a patch's side, and patches of a soft token's side."""


def write_seeing(folder: Path, seed: int = 0) -> None:
    """Write a checkpoint of DiffusionGemma with its image processor; the positions of an image see each other."""
    from transformers import (
        AutoTokenizer,
        DiffusionGemmaConfig,
        DiffusionGemmaForBlockDiffusion,
        DiffusionGemmaTextConfig,
    )
    from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

    tokenizer: Any = AutoTokenizer.from_pretrained(str(EMBEDDED))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|image>", "<|image|>", "<image|>"]})
    tokenizer.chat_template = TEMPLATE
    begin, position, end = tokenizer.convert_tokens_to_ids(["<|image>", "<|image|>", "<image|>"])
    torch.manual_seed(seed)
    shape: Any = DiffusionGemmaTextConfig
    text = shape(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, global_head_dim=16, num_experts=2, top_k_experts=1,
        moe_intermediate_size=16, sliding_window=512, max_position_embeddings=2048,
        layer_types=["sliding_attention", "full_attention", "full_attention"],
        use_bidirectional_attention="vision",
    )  # fmt: skip
    vision = {
        "model_type": "gemma4_vision", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 16, "patch_size": PATCH,
        "pooling_kernel_size": POOL, "position_embedding_size": 256,
    }  # fmt: skip
    config = DiffusionGemmaConfig(
        text_config=text.to_dict(), vision_config=vision, canvas_length=16,
        boi_token_id=begin, image_token_id=position, eoi_token_id=end,
    )  # fmt: skip
    network: Any = DiffusionGemmaForBlockDiffusion(config)
    network.eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.3)
    network.generation_config.eos_token_id = tokenizer.eos_token_id
    network.generation_config.max_denoising_steps = 6
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Gemma4ImageProcessorPil(patch_size=PATCH, pooling_kernel_size=POOL, max_soft_tokens=70).save_pretrained(folder)
