"""Any causal language model of transformers, read from left to right behind a cached prefix.

A prefix keeps what the last `read` computed. Tokens that are committed or read again afterwards cost nothing, and a
prompt that begins like an earlier one (the same schema, another text) begins with a copy of its cache.
"""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from typing import Any

import torch
from transformers import DynamicCache

from structdiff.core.sequences import shared_start
from structdiff.models.fingerprint import fingerprint_of
from structdiff.models.protocol import DenoiserSpec

CHUNK = 64
"""Tokens of an output that count as one canvas: in events, and where fields are measured."""
SHARED_PROMPTS = 4
"""Prompts whose caches are kept for those that begin alike."""
LEAST_SHARED = 16
"""Copying a cache is worth it from so many tokens on."""


class Prefix:
    """One row: the tokens whose keys and values are in its cache, how many of them are committed, and the last hidden
    states [n + 1, H] of the last committed token and of the n tokens behind it that were read ahead."""

    def __init__(self) -> None:
        self.cache = DynamicCache()
        self.tokens: list[int] = []
        self.committed = 0
        self.hidden: torch.Tensor | None = None

    def keep(self, count: int) -> None:
        """Forget all but the first ``count`` tokens read ahead."""
        surplus = len(self.tokens) - self.committed - count
        if surplus > 0:
            self.cache.crop(-surplus)
            del self.tokens[self.committed + count :]
            assert self.hidden is not None
            self.hidden = self.hidden[: count + 1]


class CausalLM:
    """A causal language model as a `CausalScorer`. It denoises nothing: its outputs are written from left to right."""

    def __init__(self, network: Any, chunk: int = CHUNK) -> None:
        self.network = network.eval()
        config = network.config.get_text_config()
        self.spec = DenoiserSpec(chunk, config.vocab_size, config.max_position_embeddings)
        self._cache_name = cache_argument(network)
        self._opened: OrderedDict[int, Prefix] = OrderedDict()

    @property
    def device(self) -> torch.device:
        device: torch.device = self.network.device
        return device

    @functools.cached_property
    def fingerprint(self) -> str:
        """Tells these weights from others; see `fingerprint_of`."""
        return fingerprint_of(self.network)

    @torch.no_grad()
    def open(self, prompt: list[int]) -> Prefix:
        """Encode a prompt. Raises `ValueError` where it is empty: nothing would stand before the first token."""
        if not prompt:
            raise ValueError("the prompt has no token")
        prefix = self._begun(prompt)
        hidden = self._encode(prefix, prompt[len(prefix.tokens) :])
        prefix.committed, prefix.hidden = len(prefix.tokens), hidden[-1:]
        self._remember(prefix)
        return prefix

    def _begun(self, prompt: list[int]) -> Prefix:
        """A prefix that holds as much of the prompt as an earlier one shares; its last token is always left to read."""
        shared, best = 0, None
        for prefix in self._opened.values():
            same = shared_start(prefix.tokens[: prefix.committed], prompt[:-1])
            if same > shared:
                shared, best = same, prefix
        copied = Prefix()
        if best is None or shared < LEAST_SHARED:
            return copied
        layers: list[Any] = best.cache.layers
        for index, layer in enumerate(layers):
            copied.cache.update(layer.keys[..., :shared, :].clone(), layer.values[..., :shared, :].clone(), index)
        copied.tokens = prompt[:shared]
        return copied

    def _remember(self, prefix: Prefix) -> None:
        self._opened[id(prefix)] = prefix
        while len(self._opened) > SHARED_PROMPTS:
            self._opened.popitem(last=False)

    def extend(self, prefix: Prefix, tokens: list[int]) -> None:
        """Commit tokens behind a prefix; those that were read just now cost nothing."""
        ahead = self._ahead(prefix, tokens)
        prefix.committed += len(tokens)
        prefix.hidden = ahead[len(tokens) :]

    def read(self, prefix: Prefix, tokens: list[int], since: int = 0) -> torch.Tensor:
        """float32[n + 1 - since, V]: next-token logits behind the prefix and each of n tokens, from the one numbered
        ``since`` on."""
        hidden = self._ahead(prefix, tokens)[since : len(tokens) + 1]
        logits: torch.Tensor = self.network.get_output_embeddings()(hidden).float()
        cap = getattr(self.network.config.get_text_config(), "final_logit_softcapping", None)
        return torch.tanh(logits / cap) * cap if cap else logits

    @torch.no_grad()
    def _ahead(self, prefix: Prefix, tokens: list[int]) -> torch.Tensor:
        """[n + 1, H]: the hidden states of the last committed token and of n tokens behind it, read where they are not
        known yet."""
        known = shared_start(prefix.tokens[prefix.committed :], tokens)
        assert prefix.hidden is not None
        if known < len(tokens):
            prefix.keep(known)
            prefix.hidden = torch.cat([prefix.hidden, self._encode(prefix, tokens[known:])])
        return prefix.hidden

    def _encode(self, prefix: Prefix, tokens: list[int]) -> torch.Tensor:
        """The last hidden states [n, H] of tokens behind a prefix, whose cache takes them in."""
        ids = torch.tensor([tokens], device=self.device)
        at = torch.arange(len(prefix.tokens), len(prefix.tokens) + len(tokens), device=self.device)[None]
        out = self.network.base_model(
            input_ids=ids, position_ids=at, use_cache=True, **{self._cache_name: prefix.cache}
        )
        prefix.tokens.extend(tokens)
        hidden: torch.Tensor = out.last_hidden_state[0]
        return hidden


def cache_argument(network: Any) -> str:
    """The name by which a network takes its cache; it depends on the version of transformers."""
    named = inspect.signature(network.base_model.forward).parameters
    return "cache" if "cache" in named else "past_key_values"
