"""A causal language model, read from left to right behind a cached prefix, any rows in one pass.

A prefix keeps what the last `read` computed. Tokens that are committed or read again afterwards cost nothing, and a
prompt that begins like an earlier one (the same schema, another text) begins with a copy of its cache.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch

from structdiff.core.sequences import shared_start
from structdiff.models.fingerprint import fingerprint_of
from structdiff.models.protocol import DenoiserSpec

CHUNK = 64
"""Tokens of an output that count as one canvas: in events, and where fields are measured."""
SHARED_TOKENS = 4096
"""Tokens of prompts whose caches are kept for those that begin alike; the prompt used last is always kept."""
LEAST_SHARED = 16
"""Copying a cache is worth it from so many tokens on."""


class RowCache(Protocol):
    """The keys and values of one row."""

    def start(self, count: int) -> RowCache:
        """A cache of its own that begins with the first ``count`` tokens."""

    def crop(self, surplus: int) -> None:
        """Forget the last ``surplus`` tokens."""


class CausalNetwork(Protocol):
    """What `CausalLM` asks of a network: the types and sizes, and to encode rows of any lengths."""

    @property
    def device(self) -> torch.device: ...

    @property
    def vocab_size(self) -> int: ...

    @property
    def context(self) -> int: ...

    def begin(self) -> Any:
        """An empty `RowCache`."""

    def encode(self, rows: Sequence[tuple[Any, list[int]]]) -> list[torch.Tensor]:
        """The last hidden states [n, H] of each row's n tokens behind its cache, which takes them in."""

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """float32[n, V] of hidden states [n, H]."""


class Prefix:
    """One row: the tokens whose keys and values are in its cache, how many of them are committed, and the last hidden
    states [n + 1, H] of the last committed token and of the n tokens behind it that were read ahead."""

    def __init__(self, cache: RowCache, tokens: Sequence[int] = ()) -> None:
        self.cache, self.tokens = cache, list(tokens)
        self.committed = 0
        self.hidden: torch.Tensor | None = None

    def keep(self, count: int) -> None:
        """Forget all but the first ``count`` tokens read ahead."""
        surplus = len(self.tokens) - self.committed - count
        if surplus > 0:
            self.cache.crop(surplus)
            del self.tokens[self.committed + count :]
            assert self.hidden is not None
            self.hidden = self.hidden[: count + 1]


class CausalLM:
    """A causal language model as a `CausalModel` and a `CausalScorer`; its outputs are written from left to right.

    ``network`` is a `CausalNetwork`, or a causal language model of transformers.
    """

    def __init__(self, network: Any, chunk: int = CHUNK) -> None:
        self.network = network.eval()
        self.reader = _reader(network)
        self.spec = DenoiserSpec(chunk, self.reader.vocab_size, self.reader.context)
        self._opened: OrderedDict[int, Prefix] = OrderedDict()

    @property
    def device(self) -> torch.device:
        return self.reader.device

    @functools.cached_property
    def fingerprint(self) -> str:
        """Tells these weights from others; see `fingerprint_of`."""
        return fingerprint_of(self.network)

    @torch.no_grad()
    def open(self, prompt: list[int], ahead: Sequence[int] = ()) -> Prefix:
        """Encode a prompt, and read ahead of it in the same pass. Raises `ValueError` where it is empty: nothing would
        stand before the first token."""
        if not prompt:
            raise ValueError("the prompt has no token")
        prefix = self._begun(prompt)
        [hidden] = self._encode([(prefix, [*prompt[len(prefix.tokens) :], *ahead])])
        prefix.committed, prefix.hidden = len(prompt), hidden[-1 - len(ahead) :]
        self._remember(prefix)
        return prefix

    def _begun(self, prompt: list[int]) -> Prefix:
        """A prefix that holds as much of the prompt as an earlier one shares; its last token is always left to read."""
        shared, best = 0, None
        for prefix in self._opened.values():
            same = shared_start(prefix.tokens[: prefix.committed], prompt[:-1])
            if same > shared:
                shared, best = same, prefix
        if best is None or shared < LEAST_SHARED:
            return Prefix(self.reader.begin())
        self._opened.move_to_end(id(best))
        return Prefix(best.cache.start(shared), prompt[:shared])

    def _remember(self, prefix: Prefix) -> None:
        self._opened[id(prefix)] = prefix
        kept = sum(len(one.tokens) for one in self._opened.values())
        while kept > SHARED_TOKENS and len(self._opened) > 1:
            kept -= len(self._opened.popitem(last=False)[1].tokens)

    def extend(self, prefix: Prefix, tokens: list[int]) -> None:
        """Commit tokens behind a prefix; those that were read just now cost nothing."""
        self._read_ahead([(prefix, tokens)])
        prefix.committed += len(tokens)
        assert prefix.hidden is not None
        prefix.hidden = prefix.hidden[len(tokens) :]

    def read(self, prefix: Prefix, tokens: list[int], since: int = 0) -> torch.Tensor:
        """float32[n + 1 - since, V]: next-token logits behind the prefix and each of n tokens, from the one numbered
        ``since`` on."""
        return self.read_rows([(prefix, tokens, since)])[0]

    @torch.no_grad()
    def read_rows(self, rows: Sequence[tuple[Prefix, list[int], int]]) -> list[torch.Tensor]:
        """What `read` gives for each (prefix, tokens, since), all of them in one pass."""
        self._read_ahead([(prefix, tokens) for prefix, tokens, _ in rows])
        asked = [cast(torch.Tensor, prefix.hidden)[since : len(tokens) + 1] for prefix, tokens, since in rows]
        return list(torch.split(self.reader.logits(torch.cat(asked)), [len(one) for one in asked]))

    @torch.no_grad()
    def _read_ahead(self, rows: Sequence[tuple[Prefix, list[int]]]) -> None:
        """Read those tokens behind each prefix that were not read yet; its hidden states are known afterwards."""
        open_rows = []
        for prefix, tokens in rows:
            known = shared_start(prefix.tokens[prefix.committed :], tokens)
            if known < len(tokens):
                prefix.keep(known)
                open_rows.append((prefix, tokens[known:]))
        if open_rows:
            for (prefix, _), hidden in zip(open_rows, self._encode(open_rows), strict=True):
                assert prefix.hidden is not None
                prefix.hidden = torch.cat([prefix.hidden, hidden])

    def _encode(self, rows: Sequence[tuple[Prefix, list[int]]]) -> list[torch.Tensor]:
        """The last hidden states [n, H] of tokens behind each prefix, whose cache takes them in."""
        found = self.reader.encode([(prefix.cache, tokens) for prefix, tokens in rows])
        for prefix, tokens in rows:
            prefix.tokens.extend(tokens)
        return found


def _reader(network: Any) -> CausalNetwork:
    if hasattr(network, "begin"):
        return cast(CausalNetwork, network)
    from structdiff.models.transformers_lm import TransformersNetwork

    return TransformersNetwork(network)
