"""A denoising adapter beside a causal one: one network drafts canvases, the other reads prompts and verifies.

Both have the same base weights. The causal adapter's network encodes prompts and committed canvases; the denoising
adapter is a second LoRA on it, and its network reads canvases of masks with full attention over the other's keys and
values. Its predictions are shifted by one, and the mask token has an embedding of its own.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from structdiff.core.errors import GenerationError
from structdiff.models.adapter import ADAPTER, merge_adapter, read_files, weights_file
from structdiff.models.base_weights import sha256_of
from structdiff.models.causal_lm import CausalLM
from structdiff.models.masked import CausalPrefix

DENOISER = "denoiser"
"""The name of the denoising adapter's two files."""
EMBEDDING = "mask_embedding"


def has_denoiser(folder: Path) -> bool:
    """Is there a denoising adapter in the folder?"""
    return (folder / f"{DENOISER}.json").is_file()


def denoising_pair(network: Any, folder: Path, sha256: str, dtype: torch.dtype, device: str) -> CausalPrefix:
    """The denoiser and scorer of ``network``, which has the causal adapter of ``folder`` in its weights.

    ``denoiser.json`` names, beside what every adapter's file does, the canvas length ``canvas``, the id ``mask_token``
    and the SHA-256 of the causal adapter that it was trained on. The networks share their embeddings. Raises
    `GenerationError` where the files are damaged or belong to other weights.
    """
    settings, matrices, scale = read_files(folder, sha256, DENOISER)
    try:
        length, mask, trained_on = settings["canvas"], settings["mask_token"], settings["causal_sha256"]
        embedding = matrices.pop(EMBEDDING)
    except KeyError as error:
        raise GenerationError(f"the denoising adapter in {folder} has no {error.args[0]}") from error
    if (found := sha256_of(folder / weights_file(ADAPTER))) != trained_on:
        raise GenerationError(
            f"the denoising adapter in {folder} was trained on a causal adapter with SHA-256 {trained_on}, not {found}"
        )
    if tuple(embedding.shape) != (network.config.hidden_size,):
        raise GenerationError(
            f"the denoising adapter in {folder} has a mask embedding of shape {list(embedding.shape)}; "
            f"the network's are {network.config.hidden_size} wide"
        )
    shared = [network.get_input_embeddings(), network.get_output_embeddings()]
    twin = copy.deepcopy(network, {id(module): module for module in shared})
    merge_adapter(twin, matrices, scale)
    twin.register_parameter(EMBEDDING, torch.nn.Parameter(embedding.float(), requires_grad=False))
    twin.to(device, dtype)
    encoder = CausalLM(network.to(device, dtype))
    return CausalPrefix(twin, length, mask, encoder, shifted=True, mask_embedding=twin.mask_embedding)
