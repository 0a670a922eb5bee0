"""The byte trie of a vocabulary, in preorder: built once per tokenizer and cached on disk.

A node is one byte string that begins some token. ``skip[n]`` is the first node behind the subtree of ``n``, so that a
walk leaves a subtree by one assignment. Node 0 is the root (the empty string).
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numba import njit
from platformdirs import user_cache_path

FORMAT = 3
"""Changes when the arrays change meaning: older cache files are then ignored."""


@dataclass(frozen=True, eq=False)
class Trie:
    """Arrays over N nodes: ``byte`` uint8[N], ``depth`` int32[N], ``skip`` int32[N]; the token ids that end at node n
    are ``tokens[token_at[n]:token_at[n + 1]]``."""

    byte: np.ndarray
    depth: np.ndarray
    skip: np.ndarray
    token_at: np.ndarray
    tokens: np.ndarray

    @property
    def nodes(self) -> int:
        return len(self.byte)

    @cached_property
    def longest(self) -> int:
        """The length of the longest token."""
        return int(self.depth.max())

    @cached_property
    def children(self) -> tuple[np.ndarray, np.ndarray]:
        """The children of each node, ascending: those of node n are ``child[at[n]:at[n + 1]]``, for (at, child).

        >>> at, child = build_trie([b"a", b"ab", b"c"]).children
        >>> at.tolist(), child.tolist()
        ([0, 2, 3, 3, 3], [1, 3, 2])
        """
        found: tuple[np.ndarray, np.ndarray] = _children(self.depth, self.skip)
        return found

    @property
    def text(self) -> tuple[np.ndarray, np.ndarray]:
        """What lies below each node: (uint64[N, 2] the set of its ASCII bytes, uint8[N] a kind).

        Kind 0: some token below ends within a character, or the node itself does; 1: whole ASCII characters alone; 2:
        whole characters, some of several bytes. A walk may take a subtree of whole characters in one stride.

        >>> build_trie([b"a", b"ab", "é".encode(), "é".encode()[:1]]).text[1].tolist()
        [0, 1, 1, 0, 1]
        """
        found: tuple[np.ndarray, np.ndarray] = _text_below(self.byte, self.depth, self.skip, self.token_at)
        return found

    @cached_property
    def packed(self) -> np.ndarray:
        """int32[N + 1, 8]: all that a walk asks of a node in half a cache line; most of a walk is waiting for memory.

        The columns: ``byte``, kind and ``depth`` (8, 8 and 16 bits), ``skip``, ``token_at``, four with the ASCII bytes
        below; the last row only ends the tokens.
        """
        ascii_bytes, kind = self.text
        out = np.zeros((self.nodes + 1, 8), np.int32)
        out[:-1, 0] = self.byte | kind.astype(np.int32) << 8 | self.depth << 16
        out[:-1, 1] = self.skip
        out[:, 2] = self.token_at
        out[:-1, 3:7] = ascii_bytes.view(np.int32)
        return out


@njit(cache=True)
def _next_phase(phase, byte):
    """UTF-8 byte by byte: 0 between characters, 1 to 3 bytes to come, 4 to 7 after E0, ED, F0, F4; 8 invalid."""
    if phase == 0:
        if byte < 0x80:
            return 0
        if 0xC2 <= byte <= 0xDF:
            return 1
        if byte == 0xE0:
            return 4
        if byte == 0xED:
            return 5
        if 0xE1 <= byte <= 0xEF:
            return 2
        if byte == 0xF0:
            return 6
        if byte == 0xF4:
            return 7
        return 3 if 0xF1 <= byte <= 0xF3 else 8
    low, high = 0x80, 0xBF
    if phase == 4:
        low = 0xA0
    elif phase == 5:
        high = 0x9F
    elif phase == 6:
        low = 0x90
    elif phase == 7:
        high = 0x8F
    if not low <= byte <= high or phase == 8:
        return 8
    return phase - 1 if phase <= 3 else 1 if phase <= 5 else 2


@njit(cache=True)
def _text_below(byte, depth, skip, token_at):
    N = byte.shape[0]
    phase = np.zeros(N, np.int8)
    stack = np.zeros(depth.max() + 2, np.int64)
    for n in range(1, N):
        phase[n] = _next_phase(phase[stack[depth[n] - 1]], byte[n])
        stack[depth[n]] = n
    ascii_bytes = np.zeros((N, 2), np.uint64)
    kind = np.ones(N, np.uint8)
    for n in range(N - 1, -1, -1):  # a node's children come after it
        child = n + 1
        while child < skip[n]:
            ends_inside = phase[child] != 0 and token_at[child + 1] > token_at[child]
            if phase[child] == 8 or ends_inside or kind[child] == 0:
                kind[n] = 0
            elif kind[n] and (kind[child] == 2 or byte[child] >= 0x80):
                kind[n] = 2
            ascii_bytes[n, 0] |= ascii_bytes[child, 0]
            ascii_bytes[n, 1] |= ascii_bytes[child, 1]
            if byte[child] < 0x80:
                ascii_bytes[n, byte[child] >> 6] |= np.uint64(1) << np.uint64(byte[child] & 63)
            child = skip[child]
    for n in range(N):
        if phase[n] != 0:
            kind[n] = 0
    return ascii_bytes, kind


@njit(cache=True)
def _children(depth, skip):
    """The children of each trie node, ascending: node n has ``child[at[n]:at[n + 1]]``."""
    N = skip.shape[0]
    parent = np.zeros(N, np.int32)
    stack = np.zeros(depth.max() + 2, np.int32)
    at = np.zeros(N + 1, np.int32)
    for n in range(1, N):
        parent[n] = stack[depth[n] - 1]
        at[parent[n] + 1] += 1
        stack[depth[n]] = n
    for n in range(N):
        at[n + 1] += at[n]
    fill = at[:-1].copy()
    child = np.empty(N - 1, np.int32)
    for n in range(1, N):
        child[fill[parent[n]]] = n
        fill[parent[n]] += 1
    return at, child


@njit(cache=True)
def _build(data, at, order):
    """Nodes of the sorted byte strings ``data[at[k]:at[k+1]]``, k in ``order``; returns arrays in preorder."""
    count = order.shape[0]
    total = 1
    for i in range(count):
        total += at[order[i] + 1] - at[order[i]]
    byte = np.zeros(total, np.uint8)
    depth = np.zeros(total, np.int32)
    node_of = np.zeros(count, np.int32)
    longest = 0
    for i in range(count):
        longest = max(longest, at[order[i] + 1] - at[order[i]])
    n = 1
    previous_lo, previous_hi = 0, 0
    for i in range(count):
        lo, hi = at[order[i]], at[order[i] + 1]
        shared = 0
        while (
            lo + shared < hi and previous_lo + shared < previous_hi and data[lo + shared] == data[previous_lo + shared]
        ):
            shared += 1
        for d in range(shared, hi - lo):
            byte[n] = data[lo + d]
            depth[n] = d + 1
            n += 1
        node_of[i] = n - 1 if shared < hi - lo else node_of[i - 1]
        previous_lo, previous_hi = lo, hi
    skip = np.full(n, n, np.int32)
    last = np.full(longest + 2, -1, np.int32)
    for node in range(n):
        for d in range(depth[node], longest + 1):
            if last[d] < 0:
                break
            skip[last[d]] = node
            last[d] = -1
        last[depth[node]] = node
    return byte[:n], depth[:n], skip, node_of


def build_trie(token_bytes: list[bytes | None]) -> Trie:
    """The trie of all tokens that are text (an empty byte string is never a token).

    >>> trie = build_trie([b"a", None, b"ab", b"b", b"ab"])
    >>> trie.nodes, trie.skip.tolist(), trie.tokens[trie.token_at[2]:trie.token_at[3]].tolist()
    (4, [4, 3, 3, 4], [2, 4])
    """
    ids = [i for i, text in enumerate(token_bytes) if text]
    ids.sort(key=lambda i: (token_bytes[i], i))
    texts = [token_bytes[i] for i in ids]
    data = np.frombuffer(b"".join(texts), np.uint8) if texts else np.zeros(0, np.uint8)  # type: ignore[arg-type]
    at = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)  # type: ignore[arg-type]
    byte, depth, skip, node_of = _build(data, at, np.arange(len(ids)))
    token_at = np.concatenate([[0], np.cumsum(np.bincount(node_of, minlength=len(byte)))]).astype(np.int64)
    order = np.argsort(node_of, kind="stable")
    return Trie(byte, depth, skip, token_at, np.array(ids, np.int32)[order])


def cache_folder() -> Path:
    """Where structdiff keeps derived data: ``$STRUCTDIFF_CACHE``, else the system's folder for caches."""
    own = os.environ.get("STRUCTDIFF_CACHE")
    return Path(own) if own else user_cache_path("structdiff", appauthor=False)


def cached_trie(token_bytes: list[bytes | None], fingerprint: str) -> Trie:
    """`build_trie`, read from the disk cache when this vocabulary was seen before.

    Writers replace the file atomically, so that processes may race; an unreadable cache only costs time.
    """
    path = cache_folder() / f"trie-{FORMAT}-{fingerprint}.npz"
    try:
        with np.load(path) as arrays:
            return Trie(*(arrays[name] for name in ("byte", "depth", "skip", "token_at", "tokens")))
    except (OSError, ValueError, KeyError, EOFError):
        pass
    trie = build_trie(token_bytes)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            np.savez(file, byte=trie.byte, depth=trie.depth, skip=trie.skip, token_at=trie.token_at, tokens=trie.tokens)
        os.replace(name, path)
    except OSError:
        pass  # a read-only cache folder is no reason to fail
    return trie
