"""What the denoising loop needs of a model; a new model family implements `Denoiser` alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch


@dataclass(frozen=True)
class Noise:
    """What stands at a position that is not decided: a token drawn from all V ids, or the ``mask`` token.

    A model of uniform noise reads every token as a guess and may change each of them; one of masks reads what is not
    masked as settled.

    >>> Noise(mask=3).fresh(4, vocab_size=10, generator=torch.Generator()).tolist()
    [3, 3, 3, 3]
    """

    mask: int | None = None

    def fresh(self, length: int, vocab_size: int, generator: torch.Generator) -> torch.Tensor:
        """int64[length]: noise on the generator's device."""
        if self.mask is not None:
            return torch.full((length,), self.mask, device=generator.device)
        return torch.randint(0, vocab_size, (length,), generator=generator, device=generator.device)

    def hide(self, logits: torch.Tensor) -> torch.Tensor:
        """The same logits [..., V], but never the mask token: it is not text."""
        if self.mask is None:
            return logits
        logits = logits.clone()
        logits[..., self.mask] = max(-1e30, torch.finfo(logits.dtype).min)
        return logits


@dataclass(frozen=True)
class DenoiserSpec:
    """The facts of a model: canvas length L, vocabulary V, how many tokens its context holds, its noise, whether it
    takes the logits of the step before (``self_conditioning``), and whether its canvases are ``aligned``: they end at
    multiples of L counted from the first token of the prompt, so that a row's first one may be shorter.

    >>> spec = DenoiserSpec(canvas_length=32, vocab_size=9, context_length=999, aligned=True)
    >>> spec.length_behind(40), spec.length_behind(64)
    (24, 32)
    """

    canvas_length: int
    vocab_size: int
    context_length: int
    noise: Noise = Noise()
    self_conditioning: bool = True
    aligned: bool = False

    def length_behind(self, tokens: int) -> int:
        """How many positions the canvas behind so many tokens has."""
        return self.canvas_length - (tokens % self.canvas_length if self.aligned else 0)

    def reach(self, prompt: int, budget: int, think: int = 0) -> int:
        """How many tokens a prompt, ``think`` canvases of thought and the canvases of an output of ``budget`` tokens
        take at most."""
        length = self.canvas_length
        if self.aligned:
            prompt, budget = 0, prompt + budget
        return prompt + (think + -(-budget // length)) * length


@runtime_checkable
class Denoiser(Protocol):
    """A model that denoises canvases behind an encoded prefix.

    A *prefix* is whatever the model keeps of one row's prompt and committed canvases (a KV cache). Rows are
    independent: any set of prefixes, of any lengths, can be denoised together.
    """

    @property
    def spec(self) -> DenoiserSpec: ...

    @property
    def device(self) -> torch.device:
        """Where canvases and logits live."""

    @property
    def fingerprint(self) -> str:
        """Tells this model's weights from others; the same at every start."""

    def open(self, prompt: list[int]) -> Any:
        """Encode a prompt; returns the row's prefix."""

    def extend(self, prefix: Any, tokens: list[int]) -> None:
        """Append token ids to a prefix: a committed canvas, or fewer."""

    def denoise(
        self, prefixes: list[Any], canvas: torch.Tensor, feedback: torch.Tensor | None, has_feedback: torch.Tensor
    ) -> torch.Tensor:
        """float32[B, L, V] logits for int64[B, L] canvases, all of one length L (less than `DenoiserSpec.canvas_length`
        where the model's canvases are aligned).

        ``feedback`` float[B, L, V] are the self-conditioning logits; rows where ``has_feedback`` bool[B] is False have
        none. A model without self-conditioning is given none at all.
        """


@runtime_checkable
class CausalScorer(Protocol):
    """A model that can also read from left to right; rows that are verified ask for it (`Policy.verify`)."""

    def read(self, prefix: Any, tokens: list[int]) -> torch.Tensor:
        """float32[n + 1, V]: next-token logits behind a prefix and behind each of n further tokens, from left to right.

        The prefix stays as it is.
        """


class CausalModel(Protocol):
    """A model that writes from left to right and denoises nothing (`structdiff.decode.left_to_right`).

    Its spec's canvas length is how many tokens of an output count as one canvas in events and usage.
    """

    @property
    def spec(self) -> DenoiserSpec: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def fingerprint(self) -> str: ...

    def open(self, prompt: list[int], ahead: Sequence[int] = ()) -> Any:
        """Encode a prompt; returns the row's prefix. To read the tokens ``ahead`` behind it next should cost nothing:
        one pass reads both."""

    def extend(self, prefix: Any, tokens: list[int]) -> None:
        """Append decided tokens; those that were read just now should cost nothing."""

    def read(self, prefix: Any, tokens: list[int], since: int = 0) -> torch.Tensor:
        """float32[n + 1 - since, V]: next-token logits behind the prefix and behind each of n further tokens, from the
        one numbered ``since`` on. The prefix stays as it is."""

    def read_rows(self, rows: Sequence[tuple[Any, list[int], int]]) -> list[torch.Tensor]:
        """What `read` gives for each (prefix, tokens, since): one pass for rows of any lengths."""
