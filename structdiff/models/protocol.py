"""The Denoiser protocol: what the denoising loop needs of a model; a new model family implements this alone."""

from __future__ import annotations

from typing import Any, Protocol

import torch


class Denoiser(Protocol):
    """A model that denoises canvases behind an encoded prefix.

    A *prefix* is whatever the model keeps of one row's prompt and committed canvases (a KV cache). Rows are
    independent: any set of prefixes, of any lengths, can be denoised together.
    """

    canvas_length: int
    vocab_size: int
    context_length: int

    @property
    def device(self) -> torch.device:
        """Where canvases and logits live."""

    @property
    def fingerprint(self) -> str:
        """Tells this model's weights from others; the same at every start."""

    def open(self, prompt: list[int]) -> Any:
        """Encode a prompt; returns the row's prefix."""

    def extend(self, prefix: Any, tokens: list[int]) -> None:
        """Append a committed canvas of L token ids to a prefix."""

    def read(self, prefix: Any, tokens: list[int]) -> torch.Tensor:
        """float32[n + 1, V]: next-token logits behind a prefix and behind each of n further tokens, from left to right.

        The prefix stays as it is. Only rows that are verified ask for this (`Policy.verify`).
        """

    def denoise(
        self, prefixes: list[Any], canvas: torch.Tensor, feedback: torch.Tensor | None, has_feedback: torch.Tensor
    ) -> torch.Tensor:
        """float32[B, L, V] logits for int64[B, L] canvases.

        ``feedback`` float[B, L, V] are the self-conditioning logits; rows where ``has_feedback`` bool[B] is False have
        none.
        """
