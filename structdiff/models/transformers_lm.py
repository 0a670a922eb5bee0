"""Any causal language model of transformers as a `CausalNetwork`: one pass a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from structdiff.models.keywords import cache_keyword


class TransformersCache:
    """One row's `DynamicCache`, of which ``length`` tokens are there."""

    def __init__(self) -> None:
        self.kept = DynamicCache()
        self.length = 0

    def start(self, count: int) -> TransformersCache:
        """A cache of its own that begins with the first ``count`` tokens."""
        copied = TransformersCache()
        layers: list[Any] = self.kept.layers
        for index, layer in enumerate(layers):
            copied.kept.update(layer.keys[..., :count, :].clone(), layer.values[..., :count, :].clone(), index)
        copied.length = count
        return copied

    def crop(self, surplus: int) -> None:
        """Forget the last ``surplus`` tokens."""
        self.kept.crop(-surplus)
        self.length -= surplus


class TransformersNetwork:
    """The ``base_model`` of a causal language model and the head over it."""

    def __init__(self, network: Any) -> None:
        self.network = network
        config = network.config.get_text_config()
        self.vocab_size: int = config.vocab_size
        self.context: int = config.max_position_embeddings
        self.cap = getattr(config, "final_logit_softcapping", None)
        self.cache_name = cache_keyword(network.base_model.forward)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.network.device
        return device

    def begin(self) -> TransformersCache:
        """An empty cache."""
        return TransformersCache()

    def encode(self, rows: Sequence[tuple[TransformersCache, list[int]]]) -> list[torch.Tensor]:
        """The last hidden states [n, H] of each row's n tokens behind its cache, which takes them in."""
        return [self._encode(cache, tokens) for cache, tokens in rows]

    def _encode(self, cache: TransformersCache, tokens: list[int]) -> torch.Tensor:
        ids = torch.tensor([tokens], device=self.device)
        at = torch.arange(cache.length, cache.length + len(tokens), device=self.device)[None]
        out = self.network.base_model(input_ids=ids, position_ids=at, use_cache=True, **{self.cache_name: cache.kept})
        cache.length += len(tokens)
        hidden: torch.Tensor = out.last_hidden_state[0]
        return hidden

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """float32[n, V] of hidden states [n, H]."""
        found: torch.Tensor = self.network.get_output_embeddings()(hidden).float()
        return torch.tanh(found / self.cap) * self.cap if self.cap else found
