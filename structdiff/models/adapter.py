"""LoRA adapters: those that ship with structdiff, added to their base weights, and those that PEFT wrote.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from structdiff.core.errors import GenerationError
from structdiff.models.base_weights import sha256_of

ADAPTER, CONTINUED, DENOISER = "adapter", "continued", "denoiser"
"""The names of the two files of a causal adapter, of one that was trained on top of it, and of a denoising one."""
WEIGHTS, SETTINGS = "adapter.safetensors", "adapter.json"
WORTH = ".worth"
"""Behind a matrix's name: what a byte of each of its rows or columns is worth (`packed`)."""


def files_of(name: str) -> tuple[str, str]:
    """The files of an adapter: its weights and its settings.

    >>> files_of("denoiser")
    ('denoiser.safetensors', 'denoiser.json')
    """
    return f"{name}.safetensors", f"{name}.json"


def packed(matrices: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Matrices in half the room of bfloat16: bytes, and for each row what one of them is worth; for each column where
    there are fewer of those.

    >>> row = torch.tensor([[0.5, -1.27, 0.0]])
    >>> packed({"a": row})["a"].tolist(), unpacked(packed({"a": row}))["a"].allclose(row)
    ([[50, -127, 0]], True)
    """
    found: dict[str, torch.Tensor] = {}
    for name, value in matrices.items():
        longer = -1 if value.shape[-1] >= value.shape[0] else 0
        worth = value.float().abs().amax(longer, keepdim=True).clamp_min(1e-30) / 127
        found |= {name: (value.float() / worth).round().to(torch.int8).contiguous(), name + WORTH: worth.contiguous()}
    return found


def unpacked(matrices: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What `packed` was given, to a 254th of a row's or column's largest number; unpacked matrices as they are."""
    found = {name: value for name, value in matrices.items() if not name.endswith(WORTH)}
    for name in found:
        if name + WORTH in matrices:
            found[name] = found[name].float() * matrices[name + WORTH]
    return found


def read_files(folder: Path, sha256: str, name: str = ADAPTER) -> tuple[dict[str, Any], dict[str, torch.Tensor], float]:
    """(settings, matrices by name, scale) of an adapter.

    ``NAME.json`` names its ``rank``, its ``alpha``, the ``base_sha256`` of the file it was trained on and, where it
    says so, the ``sha256`` of its own weights. Raises `GenerationError` where the files are damaged, or belong to other
    base weights than those with ``sha256``.
    """
    weights, said = files_of(name)
    try:
        settings = json.loads((folder / said).read_text(encoding="utf-8"))
        if settings.get("sha256", found := sha256_of(folder / weights)) != found:
            raise ValueError(f"{weights} has SHA-256 {found}, not {settings['sha256']}")
        matrices = unpacked(load_file(folder / weights))
        scale, base = settings["alpha"] / settings["rank"], settings["base_sha256"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SafetensorError) as error:
        raise GenerationError(f"the {name} in {folder} cannot be read: {error}".splitlines()[0]) from error
    if base != sha256:
        raise GenerationError(f"the {name} in {folder} belongs to base weights with SHA-256 {base}, not {sha256}")
    return settings, matrices, scale


def read_adapter(folder: Path, sha256: str) -> tuple[dict[str, torch.Tensor], float]:
    """(matrices by name, scale) of the causal adapter; see `read_files`."""
    return read_files(folder, sha256)[1:]


def has_adapter(folder: Path, name: str) -> bool:
    """Is there an adapter of this name (`CONTINUED`, `DENOISER`) beside the first one?"""
    return (folder / files_of(name)[1]).is_file()


def adapter_key(folder: Path) -> str:
    """A digest of the adapters' files; the same for the same ones. Raises `GenerationError` where one is missing."""
    digest = hashlib.sha256()
    try:
        for name in (ADAPTER, *(one for one in (CONTINUED, DENOISER) if has_adapter(folder, one))):
            for file in reversed(files_of(name)):
                digest.update(sha256_of(folder / file).encode())
    except OSError as error:
        raise GenerationError(f"the adapter in {folder} cannot be read: {error}") from error
    return digest.hexdigest()


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


def causal_digest(folder: Path) -> str:
    """The SHA-256 of the causal adapter's weights; where another continues it, a digest of both."""
    first = sha256_of(folder / WEIGHTS)
    if not has_adapter(folder, CONTINUED):
        return first
    return hashlib.sha256(f"{first} {sha256_of(folder / files_of(CONTINUED)[0])}".encode()).hexdigest()


def merge_causal(network: Any, folder: Path, sha256: str) -> None:
    """Add the causal adapter in ``folder`` to the weights of a network, and then the one that continues it.

    Raises `GenerationError` where one is damaged, or belongs to other weights.
    """
    merge_adapter(network, *read_adapter(folder, sha256))
    if has_adapter(folder, CONTINUED):
        settings, matrices, scale = read_files(folder, sha256, CONTINUED)
        if settings.get("on") != (found := sha256_of(folder / WEIGHTS)):
            raise GenerationError(
                f"the {CONTINUED} adapter in {folder} was trained on an adapter with SHA-256 {settings.get('on')}, "
                f"not {found}"
            )
        merge_adapter(network, matrices, scale)


def with_adapter(network: Any, folder: str | Path) -> Any:
    """The network with an adapter that PEFT wrote, a folder or hub id, beside its weights.

    It is not merged: the encoder and the decoder of a DiffusionGemma share their weights, and an adapter has matrices
    for each of them. Raises `GenerationError` where PEFT is missing, or the adapter is broken or of another network.
    """
    try:
        from peft import PeftModel
    except ImportError as error:
        raise GenerationError("an adapter needs peft; install it with: pip install 'structdiff[peft]'") from error
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Found missing adapter keys")
            return PeftModel.from_pretrained(network, str(folder)).get_base_model().eval()
    except (OSError, ValueError, RuntimeError, KeyError, UserWarning, SafetensorError) as error:
        shown = " ".join(str(error).split())[:300]
        raise GenerationError(f"the adapter {folder} cannot be put on the network: {shown}") from error
