"""LoRA adapters that ship with structdiff: read, checked against their base weights, and added to them.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from structdiff.core.errors import GenerationError

ADAPTER = "adapter"
"""The name of the causal adapter's two files."""
WEIGHTS, SETTINGS = "adapter.safetensors", "adapter.json"


def weights_file(name: str) -> str:
    """The file of an adapter's matrices.

    >>> weights_file("denoiser")
    'denoiser.safetensors'
    """
    return f"{name}.safetensors"


def read_files(folder: Path, sha256: str, name: str = ADAPTER) -> tuple[dict[str, Any], dict[str, torch.Tensor], float]:
    """(settings, matrices by name, scale) of an adapter.

    ``NAME.json`` names its ``rank``, its ``alpha`` and the ``base_sha256`` of the file it was trained on. Raises
    `GenerationError` where the files are damaged, or belong to other base weights than those with ``sha256``.
    """
    try:
        settings = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        matrices = load_file(folder / weights_file(name))
        scale, base = settings["alpha"] / settings["rank"], settings["base_sha256"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise GenerationError(f"the {name} in {folder} cannot be read: {error}".splitlines()[0]) from error
    if base != sha256:
        raise GenerationError(f"the {name} in {folder} belongs to base weights with SHA-256 {base}, not {sha256}")
    return settings, matrices, scale


def read_adapter(folder: Path, sha256: str) -> tuple[dict[str, torch.Tensor], float]:
    """(matrices by name, scale) of the causal adapter; see `read_files`."""
    return read_files(folder, sha256)[1:]


@torch.no_grad()
def merge_adapter(network: Any, matrices: dict[str, torch.Tensor], scale: float) -> None:
    """Add an adapter to the weights of a network. Raises `GenerationError` where it belongs to another network."""
    try:
        for name in sorted({name.rpartition(".")[0] for name in matrices}):
            layer = network.get_submodule(name)
            delta = scale * matrices[f"{name}.b"].float() @ matrices[f"{name}.a"].float()
            layer.weight.add_(delta.to(layer.weight.dtype))
    except (AttributeError, KeyError, RuntimeError) as error:
        raise GenerationError(f"the adapter does not fit the network: {error}".splitlines()[0]) from error
