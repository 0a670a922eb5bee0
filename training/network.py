"""The network that is trained, its optimisers, and the checkpoint as users load it."""

from __future__ import annotations

import copy
import json
import math
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import DiffusionGemmaConfig, DiffusionGemmaForBlockDiffusion, DiffusionGemmaTextConfig

from structdiff.loading import SETTINGS

HEAD_DIM = 32
PAD, EOS, BOS, END = 0, 1, 2, 4
VISION = {
    "model_type": "gemma4_vision", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 8, "patch_size": 4, "position_embedding_size": 64,
}  # fmt: skip
"""A stand-in of a few thousand parameters for the vision tower, which the class cannot do without."""


def build_network(vocab: int, hidden: int, layers: int, canvas: int) -> DiffusionGemmaForBlockDiffusion:
    """A randomly initialised network of the released class, with a stand-in vision tower of a few thousand parameters.

    The class needs experts; one small expert keeps them cheap. Its last layer must attend fully (keys are values
    there); the others are "sliding" with a window longer than any prompt, which gives them values of their own.
    """
    text = DiffusionGemmaTextConfig(
        vocab_size=vocab, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, head_dim=HEAD_DIM, global_head_dim=HEAD_DIM, num_experts=1,
        top_k_experts=1, moe_intermediate_size=32, max_position_embeddings=2048, sliding_window=2048,
        layer_types=["sliding_attention"] * (layers - 1) + ["full_attention"],
        rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
            "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.5, "rope_theta": 10_000.0},
        },
        eos_token_id=EOS, bos_token_id=BOS, pad_token_id=PAD,
    )  # fmt: skip
    config = DiffusionGemmaConfig(text_config=text.to_dict(), vision_config=VISION, canvas_length=canvas)
    network = DiffusionGemmaForBlockDiffusion(config)
    for name, parameter in network.named_parameters():
        if name.endswith("q_norm.weight"):  # the attention scale of the class is 1
            parameter.data.fill_(1.5 / math.sqrt(HEAD_DIM))
    return network


def load_grown(network: Any, old: Any) -> None:
    """Give ``network`` the parameters of ``old``, a network of the same width and no more layers.

    The added layers stand before the last one, spread evenly: copies of the layer before them whose output counts
    nothing at first (the norms behind attention and feed-forward are zero), so that the function is that of ``old``.
    """
    have, want = old.config.text_config.num_hidden_layers, network.config.text_config.num_hidden_layers
    new = {round((i + 1) * (want - 1) / (want - have + 1)) for i in range(want - have)}
    source, at = {}, -1
    for layer in range(want):
        at += layer not in new
        source[layer] = at
    given, state = old.state_dict(), network.state_dict()
    for name in state:
        if (found := re.search(r"\.layers\.(\d+)\.", name)) and "vision" not in name:
            layer = int(found[1])
            state[name] = given[name.replace(found[0], f".layers.{source[layer]}.")].clone()
            if layer in new and name.endswith(("post_attention_layernorm.weight", "post_feedforward_layernorm.weight")):
                state[name].zero_()
        else:
            state[name] = given[name]
    network.load_state_dict(state)


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalised by Newton-Schulz steps, for matrices and stacks of matrices.

    `torch.optim.Muon` takes no stacks, such as the experts are, and one matrix at a time; on matrices it agrees.
    Source: K. Jordan et al., Muon, 2024.
    """

    def __init__(self, params: Iterable[torch.nn.Parameter], lr: float = 0.02, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[torch.nn.Parameter]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    alike.setdefault(tuple(p.shape[-2:]), []).append(p)
            for shape, params in alike.items():  # matrices of one shape are one stack
                moved = []
                for p in params:
                    buffer = self.state[p].setdefault("buffer", torch.zeros_like(p.grad))
                    buffer.lerp_(p.grad, 1 - group["momentum"])
                    moved.append(p.grad.lerp(buffer, group["momentum"]).reshape(-1, *shape))
                updates = orthogonal(torch.cat(moved)).split([len(part) for part in moved])
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
                for p, update in zip(params, updates, strict=True):
                    p.add_(update.view_as(p), alpha=-group["lr"] * scale)


def orthogonal(matrix: torch.Tensor, iterations: int = 5) -> torch.Tensor:
    """``matrix`` (or each of a stack) with its singular values brought near 1, by Newton-Schulz in bf16."""
    x = matrix / (matrix.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    x = (x.mT if tall else x).bfloat16()
    for _ in range(iterations):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.mT if tall else x).to(matrix.dtype)


def make_optimisers(
    network: torch.nn.Module, matrices_lr: float = 0.015, others_lr: float = 3e-3
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, AdamW for embeddings, norms and router; the vision stand-in stays as it is."""
    matrices, others = [], []
    for name, p in network.named_parameters():
        if "vision" in name:
            p.requires_grad_(False)
        elif p.ndim >= 2 and not any(part in name for part in ("embed", "lm_head", "router")):
            matrices.append(p)
        else:
            others.append(p)
    return [
        Muon(matrices, lr=matrices_lr),
        torch.optim.AdamW(others, lr=others_lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def save_pretrained(network: Any, tokenizer_folder: Path, out: Path, steps: int) -> None:
    """The checkpoint as users load it: bf16 safetensors, configuration, generation configuration, tokenizer."""
    copy.deepcopy(network).to(torch.bfloat16).save_pretrained(out)
    generation = {
        "max_denoising_steps": steps,
        "sampler_config": {"_cls_name": "EntropyBoundSamplerConfig", "entropy_bound": 0.1},
        "t_min": 0.4, "t_max": 0.8, "stability_threshold": 1, "confidence_threshold": 0.005,
        "eos_token_id": [EOS, END], "pad_token_id": PAD, "bos_token_id": BOS, "max_new_tokens": 256,
    }  # fmt: skip
    (out / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    settings = {"verify": True, "draft_steps": 4}  # the encoder's own loss makes it a language model worth asking
    (out / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer_folder / name, out / name)
