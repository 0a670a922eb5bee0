"""A vocabulary: the token table of a tokenizer and its byte trie."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from structdiff.tokens.table import TokenTable, read_tokenizer
from structdiff.tokens.trie import Trie, cached_trie


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Token ids, their bytes and their trie.

    >>> from tokenizers import Tokenizer, models, decoders
    >>> tiny = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2, "</s>": 3}, [("a", "b")]))
    >>> tiny.decoder = decoders.ByteLevel()
    >>> vocabulary = Vocabulary.of(tiny, end_ids=(3,))
    >>> vocabulary.size, vocabulary.bytes_of([2, 0, 3]), vocabulary.encode(b"aab")
    (4, b'aba', [0, 2])
    """

    table: TokenTable

    @classmethod
    def of(cls, tokenizer: Any, end_ids: tuple[int, ...] | None = None, size: int | None = None) -> Vocabulary:
        """The vocabulary of a tokenizer (see `read_tokenizer`); the same object for the same tokenizer object.

        ``size`` is the V of the model where it differs: ids beyond it do not exist, missing ones are never text.
        """
        if isinstance(tokenizer, Vocabulary):
            return tokenizer
        try:
            known = _known.setdefault(tokenizer, {})
        except TypeError:  # paths and other values without weak references
            known = {}
        key = (end_ids, size)
        if key not in known:
            known[key] = cls(read_tokenizer(tokenizer, end_ids, size))
        return known[key]

    @property
    def size(self) -> int:
        """V: one more than the largest token id."""
        return len(self.table.token_bytes)

    @property
    def end_ids(self) -> tuple[int, ...]:
        return self.table.end_ids

    @cached_property
    def fingerprint(self) -> str:
        """Equal for equal token tables, V and end tokens, in every process."""
        said = repr((self.table.fingerprint, self.size, self.end_ids))
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def trie(self) -> Trie:
        return cached_trie(self.table.token_bytes, self.table.fingerprint)

    @cached_property
    def ordered(self) -> tuple[list[bytes], np.ndarray, int]:
        """(the bytes of every token that is text, ascending; int64[T], their ids; the length of the longest)."""
        pairs = sorted((data, i) for i, data in enumerate(self.table.token_bytes) if data)
        longest = max((len(data) for data, _ in pairs), default=0)
        return [data for data, _ in pairs], np.array([i for _, i in pairs], np.int64), longest

    @cached_property
    def first_bytes(self) -> np.ndarray:
        """int16[V]: the first byte of every token, -1 of those that are never text."""
        return np.array([data[0] if data else -1 for data in self.table.token_bytes], np.int16)

    @cached_property
    def byte_ids(self) -> dict[int, int]:
        """The tokens of one byte, by the byte."""
        return {data[0]: i for i, data in enumerate(self.table.token_bytes) if data and len(data) == 1}

    def bytes_of(self, ids: Any) -> bytes:
        """The bytes that ``ids`` spell; ids that are never text spell nothing."""
        table = self.table.token_bytes
        return b"".join(table[i] or b"" for i in ids)

    def piece(self, token: int) -> str:
        """A token as a person may read it."""
        data = self.table.token_bytes[token] if token < self.size else None
        return f"<{token}>" if data is None else data.decode("utf-8", "backslashreplace")

    def encode(self, data: bytes) -> list[int] | None:
        """The tokenizer's own ids for ``data``, or None where they do not spell exactly these bytes."""
        try:
            ids = self.table.encode(data.decode("utf-8"))
        except UnicodeDecodeError:
            return None
        return ids if self.bytes_of(ids) == data else None

    @cached_property
    def first_token(self) -> Callable[[bytes], int | None]:
        """The first of the tokenizer's own ids for some bytes, remembered: schemas share most of their forced bytes."""

        @functools.lru_cache(maxsize=1 << 16)
        def first(data: bytes) -> int | None:
            ids = self.encode(data)
            return ids[0] if ids else None

        return first


_known: WeakKeyDictionary[Any, dict[Any, Vocabulary]] = WeakKeyDictionary()
