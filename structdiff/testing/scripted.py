"""A model with known logits, so that the loop can be tested in milliseconds."""

from __future__ import annotations

from collections.abc import Callable

import torch

from structdiff.models.protocol import DenoiserSpec, Noise

UNIFORM = Noise()


class Scripted:
    """A Denoiser whose logits come from ``script(row prefix, canvas) -> float32[L, V]``.

    The prefix is the list of all token ids so far (prompt and committed canvases). ``noise`` and ``self_conditioning``
    say what kind of model it passes for.

    >>> model = Scripted(canvas_length=4, vocab_size=3, script=lambda prefix, canvas: torch.zeros(4, 3))
    >>> prefix = model.open([1, 2]); model.extend(prefix, [0, 0, 0, 0]); prefix
    [1, 2, 0, 0, 0, 0]
    """

    context_length = 1 << 20
    fingerprint = "scripted"

    def __init__(
        self,
        canvas_length: int,
        vocab_size: int,
        script: Callable[[list[int], torch.Tensor], torch.Tensor],
        noise: Noise = UNIFORM,
        self_conditioning: bool = True,
    ) -> None:
        self.canvas_length, self.vocab_size, self.script = canvas_length, vocab_size, script
        self.noise, self.self_conditioning = noise, self_conditioning
        self.device = torch.device("cpu")
        self.calls = 0

    @property
    def spec(self) -> DenoiserSpec:
        sizes = (self.canvas_length, self.vocab_size, self.context_length)
        return DenoiserSpec(*sizes, self.noise, self.self_conditioning)

    @classmethod
    def random(
        cls, canvas_length: int, vocab_size: int, seed: int = 0, spread: float = 4.0, noise: Noise = UNIFORM
    ) -> Scripted:
        """Fresh random logits at every call: an adversary that never agrees with itself."""
        generator = torch.Generator().manual_seed(seed)
        return cls(
            canvas_length, vocab_size,
            lambda prefix, canvas: torch.randn(canvas_length, vocab_size, generator=generator) * spread, noise,
        )  # fmt: skip

    def open(self, prompt: list[int]) -> list[int]:
        return list(prompt)

    def extend(self, prefix: list[int], tokens: list[int]) -> None:
        prefix.extend(tokens)

    def read(self, prefix: list[int], tokens: list[int]) -> torch.Tensor:
        self.calls += 1
        empty = torch.zeros(self.canvas_length, dtype=torch.int64)
        rows = [self.script([*prefix, *tokens[:i]], empty)[0] for i in range(len(tokens) + 1)]
        return torch.stack(rows).float()

    def denoise(
        self, prefixes: list[list[int]], canvas: torch.Tensor, feedback: torch.Tensor | None, has_feedback: torch.Tensor
    ) -> torch.Tensor:
        self.calls += 1
        return torch.stack([self.script(prefix, row) for prefix, row in zip(prefixes, canvas, strict=True)]).float()
