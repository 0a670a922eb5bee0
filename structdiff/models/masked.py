"""Transformers networks that denoise masks, behind the protocol `Denoiser`: full attention within the canvas.

The families differ in what stands before the canvas. `FullAttention` reads prompt and canvas anew at every step, each
token all others (LLaDA, Dream). `BlockCausal` keeps the keys of blocks that are written, each of which sees itself and
the blocks before it (SDAR, LLaDA2, Fast-dLLM v2). `CausalPrefix` keeps the keys of the network as the causal
language model that it is as well, and can be read from left to right.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from structdiff.models.causal_lm import CausalLM, Prefix
from structdiff.models.fingerprint import fingerprint_of
from structdiff.models.protocol import DenoiserSpec, Noise
from structdiff.models.transformers_lm import TransformersNetwork

Layers = list[tuple[torch.Tensor, torch.Tensor]]


@dataclass(eq=False)
class Behind:
    """What a canvas follows: the keys and values [1, G, N, D] of ``cached`` tokens by layer, the tokens behind them
    that are read with the canvas, and the hidden state [H] of the last cached token where it is kept."""

    layers: Layers
    cached: int
    tokens: list[int]
    hidden: torch.Tensor | None = None


class _Read:
    """A cache that takes nothing in: keys and values [B, G, N, D] of what is before the tokens that are read."""

    is_compileable = False

    def __init__(self, layers: Layers) -> None:
        self.layers = layers

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *args: Any, **options: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        before = self.layers[layer]
        return torch.cat([before[0], keys], 2), torch.cat([before[1], values], 2)

    def get_seq_length(self, layer: int = 0) -> int:
        return self.layers[layer][0].shape[2]


class MaskedDenoiser(ABC):
    """A causal language model of transformers that reads masks.

    ``mask``: the mask token's id; ``shifted``: the output at a place predicts the token of the next one, as in the
    causal model that the network was made of; ``aligned``: see `DenoiserSpec`.
    """

    def __init__(
        self, network: Any, canvas_length: int, mask: int, *, shifted: bool = False, aligned: bool = False
    ) -> None:
        self.network, self.reader, self.shifted = network.eval(), TransformersNetwork(network), shifted
        config = network.config.get_text_config()
        size = network.get_output_embeddings().weight.shape[0]
        if not 0 <= mask < size:
            raise ValueError(f"the mask token {mask} is none of the network's {size} tokens")
        self.mask = mask
        self.spec = DenoiserSpec(
            canvas_length, size, config.max_position_embeddings, Noise(mask), self_conditioning=False, aligned=aligned
        )
        slides = "sliding_attention" in (getattr(config, "layer_types", None) or ())
        self._window: int | None = config.sliding_window if slides else None
        self._joined: tuple[Any, Any] = (None, None)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.network.device
        return device

    @functools.cached_property
    def fingerprint(self) -> str:
        """Tells these weights from others; see `fingerprint_of`."""
        return fingerprint_of(self.network)

    @abstractmethod
    def open(self, prompt: list[int]) -> Any:
        """Encode a prompt; returns the row's prefix."""

    @abstractmethod
    def extend(self, prefix: Any, tokens: list[int]) -> None:
        """Append token ids to a prefix."""

    @abstractmethod
    def behind(self, prefix: Any) -> Behind:
        """What the next canvas follows."""

    @torch.no_grad()
    def denoise(
        self, prefixes: list[Any], canvas: torch.Tensor, feedback: torch.Tensor | None, has_feedback: torch.Tensor
    ) -> torch.Tensor:
        """float32[B, L, V]: see `Denoiser.denoise`. Raises `ValueError` where predictions are shifted and nothing
        stands before the canvas."""
        rows = [self.behind(prefix) for prefix in prefixes]
        if self.shifted and any(not row.tokens and row.hidden is None for row in rows):
            raise ValueError("the prompt has no token; nothing would predict the first one")
        cache = self._cache(prefixes, rows)
        widest = max(len(row.tokens) for row in rows)
        before = torch.tensor([[self.mask] * (widest - len(row.tokens)) + row.tokens for row in rows])
        ids = torch.cat([before.to(self.device, torch.int64), canvas.to(self.device)], 1)
        cached = torch.tensor([row.cached for row in rows], device=self.device)[:, None]
        ends = cached + torch.tensor([len(row.tokens) for row in rows], device=self.device)[:, None] + canvas.shape[1]
        places = ends - torch.arange(ids.shape[1], 0, -1, device=self.device)
        keys, seen = places, places >= cached  # padding on the left stands where cached tokens do
        if cache is not None:
            at = cached - torch.arange(cache.get_seq_length(), 0, -1, device=self.device)
            keys, seen = torch.cat([at, keys], 1), torch.cat([at >= 0, seen], 1)
        visible = seen[:, None, :].expand(-1, ids.shape[1], -1)
        hidden = self._hidden(ids, places, keys, visible, cache)[:, -canvas.shape[1] - self.shifted :]
        if self.shifted:
            first = [row.hidden if not row.tokens else hidden[i, 0] for i, row in enumerate(rows)]
            hidden = torch.cat([torch.stack(first)[:, None], hidden[:, -canvas.shape[1] : -1]], 1)  # type: ignore[arg-type]
        return self.reader.logits(hidden)

    def _hidden(
        self, ids: torch.Tensor, places: torch.Tensor, keys: torch.Tensor, visible: torch.Tensor, cache: Any
    ) -> torch.Tensor:
        """The last hidden states [B, T, H] of int64[B, T] tokens at ``places`` int64[B, T] of their rows, which see
        the N keys at places ``keys`` int64[B, N] where ``visible`` bool[B, T, N] says so."""
        dtype = self.network.dtype
        mask: Any = _additive(visible, dtype)
        if self._window is not None:
            near = (places[:, :, None] - keys[:, None, :]).abs() < self._window
            mask = {"full_attention": mask, "sliding_attention": _additive(visible & near, dtype)}
        options = {self.reader.cache_name: cache, "use_cache": isinstance(cache, DynamicCache)}
        hidden: torch.Tensor = self.network.base_model(
            input_ids=ids, attention_mask=mask, position_ids=places.clamp_min(0), **options
        ).last_hidden_state
        return hidden

    def _cache(self, prefixes: list[Any], rows: list[Behind]) -> _Read | None:
        """The rows' keys and values as one, with padding on the left; remembered until one of them changes."""
        longest = max(rows, key=lambda row: row.cached)
        if longest.cached == 0:
            return None
        if len(rows) == 1:
            self._joined = (None, None)
            return _Read(longest.layers)
        key = [(id(prefix), row.cached) for prefix, row in zip(prefixes, rows, strict=True)]
        if self._joined[0] is None or self._joined[0][0] != key:
            layers = [
                (_side_by_side([row.layers[i][0] for row in rows if row.cached], rows, like[0]),
                 _side_by_side([row.layers[i][1] for row in rows if row.cached], rows, like[1]))
                for i, like in enumerate(longest.layers)
            ]  # fmt: skip
            self._joined = ((key, list(prefixes)), _Read(layers))  # the prefixes are held, so that their ids are theirs
        read: _Read = self._joined[1]
        return read


def _side_by_side(tensors: list[torch.Tensor], rows: list[Behind], like: torch.Tensor) -> torch.Tensor:
    """[B, G, N, D]: the rows' tensors [1, G, n, D] behind padding; a row that has none is padding alone."""
    out = like.new_zeros(len(rows), *like.shape[1:])
    for row, own in zip([i for i, row in enumerate(rows) if row.cached], tensors, strict=True):
        out[row, :, like.shape[2] - own.shape[2] :] = own[0]
    return out


def _additive(visible: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[B, 1, T, N]: zero where it is visible, else the least number."""
    return torch.zeros_like(visible, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)[:, None]


class FullAttention(MaskedDenoiser):
    """No cache: prompt, committed canvases and the open one are read anew at every step, each token all others. A
    prefix is the list of its tokens."""

    def open(self, prompt: list[int]) -> list[int]:
        return list(prompt)

    def extend(self, prefix: list[int], tokens: list[int]) -> None:
        prefix.extend(tokens)

    def behind(self, prefix: list[int]) -> Behind:
        return Behind([], 0, prefix)


@dataclass(eq=False)
class BlockPrefix:
    """A row's tokens, the cache of the ``stored`` ones in whole blocks, where the first block ends (less than a block
    is what stands before the first whole one), and the last hidden state."""

    first: int
    tokens: list[int] = field(default_factory=list)
    cache: DynamicCache = field(default_factory=DynamicCache)
    stored: int = 0
    hidden: torch.Tensor | None = None


class BlockCausal(MaskedDenoiser):
    """Blocks of the canvas length; a token sees its own block and those before it, and a written block's keys are kept.

    Aligned: blocks are counted from the first token of the prompt, whose last tokens share a block with the first
    canvas. Otherwise they are counted from the end of the prompt, in both directions.
    """

    def open(self, prompt: list[int]) -> BlockPrefix:
        prefix = BlockPrefix(0 if self.spec.aligned else len(prompt) % self.spec.canvas_length)
        self.extend(prefix, prompt)
        return prefix

    @torch.no_grad()
    def extend(self, prefix: BlockPrefix, tokens: list[int]) -> None:
        prefix.tokens += tokens
        whole = len(prefix.tokens) - (len(prefix.tokens) - prefix.first) % self.spec.canvas_length
        if whole <= prefix.stored:
            return
        ids = torch.tensor([prefix.tokens[prefix.stored : whole]], device=self.device)
        keys = torch.arange(whole, device=self.device)[None]
        places = keys[:, prefix.stored :]
        block = (keys - prefix.first) // self.spec.canvas_length
        visible = block[:, None, :] <= block[:, prefix.stored :, None]
        hidden = self._hidden(ids, places, keys, visible, prefix.cache)
        prefix.stored, prefix.hidden = whole, hidden[0, -1]

    def behind(self, prefix: BlockPrefix) -> Behind:
        layers: list[Any] = prefix.cache.layers
        kept = [(layer.keys, layer.values) for layer in layers]
        return Behind(kept, prefix.stored, prefix.tokens[prefix.stored :], prefix.hidden)


class CausalPrefix(MaskedDenoiser):
    """Prompt and committed canvases are read from left to right, and the canvas sees their keys. Where predictions are
    shifted, the last token before the canvas is read with it.

    It is a `CausalScorer` too.
    """

    def __init__(self, network: Any, canvas_length: int, mask: int, *, shifted: bool = False) -> None:
        super().__init__(network, canvas_length, mask, shifted=shifted)
        self.encoder = CausalLM(network)

    def open(self, prompt: list[int]) -> Prefix:
        return self.encoder.open(prompt)

    def extend(self, prefix: Prefix, tokens: list[int]) -> None:
        self.encoder.extend(prefix, tokens)

    def read(self, prefix: Prefix, tokens: list[int]) -> torch.Tensor:
        """float32[n + 1, V]: see `CausalScorer.read`."""
        return self.encoder.read(prefix, tokens)

    def behind(self, prefix: Prefix) -> Behind:
        cached = prefix.committed - self.shifted
        cache: Any = prefix.cache
        kept = [(layer.keys[:, :, :cached], layer.values[:, :, :cached]) for layer in cache.kept.layers]
        return Behind(kept, cached, prefix.tokens[cached : prefix.committed])
