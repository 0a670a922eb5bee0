"""Any causal language model of transformers as a `CausalNetwork`.

Of the classes in `TOGETHER` all rows are read in one pass: their tokens stand one behind the other as one sequence, and
an attention function of ours goes row by row over each row's own cache. Of others each row takes a pass.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface, DynamicCache

TOGETHER = ("llama", "qwen2", "qwen3", "gemma3_text")
"""Model types whose attention hands on what the cache returns, and no more than a window beside it."""
NAME = "structdiff_rows"


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


class _Rows:
    """The caches of rows behind the interface of one; `update` gives the keys and the values of each row."""

    def __init__(self, caches: Sequence[DynamicCache], counts: list[int]) -> None:
        self.caches, self.counts = caches, counts

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any, **__: Any) -> tuple[Any, Any]:
        parts = zip(self.caches, torch.split(keys, self.counts, 2), torch.split(values, self.counts, 2), strict=True)
        both = [cache.update(k, v, layer) for cache, k, v in parts]
        return [k for k, _ in both], [v for _, v in both]


def _attend(
    module: Any, query: torch.Tensor, key: list[torch.Tensor], value: list[torch.Tensor], attention_mask: None,
    scaling: float | None = None, sliding_window: int | None = None, counts: Sequence[int] = (), **_: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """Causal attention of rows [1, heads, T, D], whose tokens stand one behind the other, over their own caches."""
    mixed = []
    for q, k, v in zip(torch.split(query, list(counts), 2), key, value, strict=True):
        asked, known = q.shape[2], k.shape[2]
        seen = torch.ones(asked, known, dtype=torch.bool, device=q.device).tril(known - asked)
        if sliding_window:
            seen &= seen.new_ones(seen.shape).triu(known - asked - sliding_window + 1)
        mixed.append(F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scaling, enable_gqa=True))
    return torch.cat(mixed, 2).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, _attend)


class TransformersNetwork:
    """The ``base_model`` of a causal language model and the head over it."""

    def __init__(self, network: Any) -> None:
        self.network = network
        config = network.config.get_text_config()
        self.vocab_size: int = config.vocab_size
        self.context: int = config.max_position_embeddings
        self.cap = getattr(config, "final_logit_softcapping", None)
        self.together = network.config.model_type in TOGETHER and not getattr(config, "attn_logit_softcapping", None)
        self.cache_name = cache_argument(network)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.network.device
        return device

    def begin(self) -> TransformersCache:
        """An empty cache."""
        return TransformersCache()

    def encode(self, rows: Sequence[tuple[TransformersCache, list[int]]]) -> list[torch.Tensor]:
        """The last hidden states [n, H] of each row's n tokens behind its cache, which takes them in."""
        counts = [len(tokens) for _, tokens in rows]
        if len(rows) == 1:
            return [self._pass(rows, rows[0][0].kept)]
        if not self.together:
            return [self._pass([row], row[0].kept) for row in rows]
        with self._by_rows():
            cache = _Rows([cache.kept for cache, _ in rows], counts)
            return list(torch.split(self._pass(rows, cache, counts=counts), counts))

    def _pass(self, rows: Sequence[tuple[TransformersCache, list[int]]], cache: Any, **more: Any) -> torch.Tensor:
        ids = torch.tensor([[token for _, tokens in rows for token in tokens]], device=self.device)
        at = torch.cat([torch.arange(cache.length, cache.length + len(tokens)) for cache, tokens in rows])[None]
        out = self.network.base_model(
            input_ids=ids, position_ids=at.to(self.device), use_cache=True, **{self.cache_name: cache}, **more
        )
        for row, tokens in rows:
            row.length += len(tokens)
        hidden: torch.Tensor = out.last_hidden_state[0]
        return hidden

    @contextmanager
    def _by_rows(self) -> Iterator[None]:
        """Our attention function, for as long as the context lasts; the mask that goes with others is not made."""
        config = self.network.config
        before = config._attn_implementation
        config._attn_implementation = NAME
        try:
            yield
        finally:
            config._attn_implementation = before

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """float32[n, V] of hidden states [n, H]."""
        found: torch.Tensor = self.network.get_output_embeddings()(hidden).float()
        return torch.tanh(found / self.cap) * self.cap if self.cap else found


def cache_argument(network: Any) -> str:
    """The name by which a network takes its cache; it depends on the version of transformers."""
    named = inspect.signature(network.base_model.forward).parameters
    return "cache" if "cache" in named else "past_key_values"
