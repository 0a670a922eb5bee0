"""LoRA adapters on a frozen network: two small matrices beside every linear layer, in few lines and few passes over
memory.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685.

>>> layer = LoraLinear(torch.nn.Linear(6, 4, bias=False), rank=2, alpha=4)
>>> layer(torch.ones(3, 6)).shape, layer.scale
(torch.Size([3, 4]), 2.0)
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from structdiff.core.errors import GenerationError
from structdiff.models import adapter
from structdiff.models.base_weights import sha256_of

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class _Apply(torch.autograd.Function):
    """x W' + (x A') B' for a frozen W; every product is added in place."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        low = flat @ a.T
        out = (flat @ weight.T).addmm_(low, b.T)
        ctx.save_for_backward(flat, low, weight, a, b)
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        flat, low, weight, a, b = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1])
        inner = grad @ b
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = (grad @ weight).addmm_(inner, a).view(*grads[0].shape[:-1], -1)
        return to_x, None, inner.T @ flat, grad.T @ low


class LoraLinear(nn.Module):
    """A frozen linear layer, and beside it float32 matrices ``a`` [rank, in] and ``b`` [out, rank].

    ``active``: whether the matrices take part.
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base, self.scale, self.active = base, alpha / rank, True
        self.a = nn.Parameter(torch.empty(rank, base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.active:
            plain: torch.Tensor = self.base(x)
            return plain
        kind = self.base.weight.dtype
        out: torch.Tensor = _Apply.apply(x, self.base.weight, self.a.to(kind), (self.b * self.scale).to(kind))
        return out if self.base.bias is None else out + self.base.bias


@contextmanager
def without_lora(network: nn.Module) -> Iterator[None]:
    """The network as it is without its adapter, for as long as the context lasts."""
    layers = [module for module in network.modules() if isinstance(module, LoraLinear)]
    for layer in layers:
        layer.active = False
    try:
        yield
    finally:
        for layer in layers:
            layer.active = True


def add_lora(network: nn.Module, rank: int, alpha: float) -> list[nn.Parameter]:
    """Freeze ``network`` and put a `LoraLinear` in place of each of its `TARGETS`; returns what is trained."""
    network.requires_grad_(False)
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Linear) and name.rsplit(".", 1)[-1] in TARGETS:
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, LoraLinear(module, rank, alpha))
    return [p for p in network.parameters() if p.requires_grad]


def lora_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """The adapter's matrices by name: ``model.layers.0.self_attn.q_proj.a`` and so on."""
    return {
        f"{name}.{part}": getattr(module, part).detach()
        for name, module in network.named_modules()
        if isinstance(module, LoraLinear)
        for part in ("a", "b")
    }


def set_lora_state(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Copy the matrices of `lora_state` into ``network``; raises `ValueError` where names differ."""
    own = lora_state(network)
    if own.keys() != state.keys():
        raise ValueError(f"the adapter belongs to another network: {sorted(own.keys() ^ state.keys())[0]}")
    for name, value in own.items():
        value.copy_(state[name])


def save_adapter(
    matrices: dict[str, torch.Tensor],
    folder: Path,
    settings: dict[str, Any],
    dtype: torch.dtype = torch.int8,
    name: str = adapter.ADAPTER,
) -> None:
    """Write the adapter, and what it is beside it: ``settings`` name its base, rank and alpha."""
    folder.mkdir(parents=True, exist_ok=True)
    weights_file, settings_file = adapter.files_of(name)
    plain = {name: value.detach().cpu() for name, value in matrices.items()}
    if dtype == torch.int8:
        weights = adapter.packed(plain)
    else:
        weights = {name: value.to(dtype).contiguous() for name, value in plain.items()}
    save_file(weights, folder / weights_file)
    told = settings | {"sha256": sha256_of(folder / weights_file)}
    (folder / settings_file).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def read_adapter(
    path: Path, sha256: str, rank: int = 32, alpha: float = 64, name: str = adapter.ADAPTER
) -> tuple[dict[str, torch.Tensor], float]:
    """(matrices, scale) of a finished adapter's folder, or of a run's state, whose ``rank`` and ``alpha`` are given.

    ``name`` is what a finished one is called in its folder. Raises `GenerationError` where a file is damaged, or a
    finished adapter's base is not the file with this ``sha256``.
    """
    if not path.is_file():
        return adapter.read_files(path, sha256, name)[1:]
    try:
        return torch.load(path)["adapter"], alpha / rank
    except (EOFError, LookupError, RuntimeError, TypeError, pickle.UnpicklingError) as error:
        raise GenerationError(f"the state {path} cannot be read: {error}".splitlines()[0]) from error
