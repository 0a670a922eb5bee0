"""A denoising adapter beside a causal one: one network drafts canvases, the other reads prompts and verifies.

Both have the same base weights. The causal adapter's network encodes prompts and committed canvases; the denoising
adapter is a second LoRA on it, and its network reads canvases of masks with full attention over the other's keys and
values. Its predictions are shifted by one, and the mask token has an embedding of its own.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from structdiff.core.errors import GenerationError
from structdiff.models.adapter import DENOISER, causal_digest, merge_adapter, read_files
from structdiff.models.causal_lm import CausalLM, Prefix
from structdiff.models.fingerprint import fingerprint_of
from structdiff.models.llama import Llama, weights_of
from structdiff.models.protocol import Noise

EMBEDDING = "mask_embedding"


@dataclass(frozen=True)
class Drafter:
    """A denoising adapter's facts: the canvas length and the id of the mask token."""

    canvas_length: int
    mask: int


class AdaptedDenoiser:
    """A `Denoiser` and `CausalScorer` of two networks: ``encoder`` reads what is written, ``drafter`` the canvases."""

    def __init__(self, encoder: CausalLM, drafter: Llama, facts: Drafter) -> None:
        self.encoder, self.drafter, self.mask = encoder, drafter, facts.mask
        self.spec = replace(
            encoder.spec, canvas_length=facts.canvas_length, noise=Noise(facts.mask), self_conditioning=False
        )

    @property
    def device(self) -> torch.device:
        return self.encoder.device

    @functools.cached_property
    def fingerprint(self) -> str:
        """Tells the weights of both networks from others."""
        return hashlib.sha256((self.encoder.fingerprint + fingerprint_of(self.drafter)).encode()).hexdigest()

    @property
    def network(self) -> Any:
        """The network that reads what is written."""
        return self.encoder.network

    def open(self, prompt: list[int]) -> Prefix:
        return self.encoder.open(prompt)

    def extend(self, prefix: Prefix, tokens: list[int]) -> None:
        self.encoder.extend(prefix, tokens)

    def read(self, prefix: Prefix, tokens: list[int]) -> torch.Tensor:
        """float32[n + 1, V]: see `CausalScorer.read`."""
        return self.encoder.read(prefix, tokens)

    def denoise(
        self, prefixes: list[Prefix], canvas: torch.Tensor, feedback: torch.Tensor | None, has_feedback: torch.Tensor
    ) -> torch.Tensor:
        """float32[B, L, V]: see `Denoiser.denoise`. The last token before a canvas is read with it."""
        rows = []
        for prefix, tokens in zip(prefixes, canvas.tolist(), strict=True):
            before: Any = prefix.cache.start(prefix.committed - 1)
            rows.append((before, [prefix.tokens[prefix.committed - 1], *tokens]))
        hidden = torch.cat([found[:-1] for found in self.drafter.encode(rows, causal=False)])
        return self.drafter.logits(hidden).view(*canvas.shape, -1)


def drafter_weights(
    network: Any, folder: Path, sha256: str, dtype: torch.dtype
) -> tuple[dict[str, torch.Tensor], Drafter]:
    """(weights for `Llama`, facts) of the denoising adapter in ``folder``.

    ``network``: a LlamaForCausalLM with the causal adapter in its weights; it becomes the drafter's. Its output
    embeddings are not among the weights: they are the causal network's. ``denoiser.json`` names, beside what every
    adapter's file does, the canvas length ``canvas``, the id ``mask_token`` and the SHA-256 of the causal adapter that
    it was trained on. Raises `GenerationError` where the files are damaged or belong to other weights.
    """
    settings, matrices, scale = read_files(folder, sha256, DENOISER)
    try:
        facts, trained_on = Drafter(settings["canvas"], settings["mask_token"]), settings["causal_sha256"]
        embedding = matrices.pop(EMBEDDING)
    except KeyError as error:
        raise GenerationError(f"the denoising adapter in {folder} has no {error.args[0]}") from error
    if (found := causal_digest(folder)) != trained_on:
        raise GenerationError(
            f"the denoising adapter in {folder} was trained on a causal adapter with SHA-256 {trained_on}, not {found}"
        )
    width = network.config.hidden_size
    if tuple(embedding.shape) != (width,):
        raise GenerationError(
            f"the denoising adapter in {folder} has a mask embedding of shape {list(embedding.shape)}, not [{width}]"
        )
    merge_adapter(network, matrices, scale)
    weights = weights_of(network, dtype)
    weights.pop("head", None)
    weights["embed"] = weights["embed"].clone()
    weights["embed"][facts.mask] = embedding.to(dtype)
    return weights, facts
