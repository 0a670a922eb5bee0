"""Token classes: tokens that act alike on every state of a byte automaton are one class.

One walk over the vocabulary's byte trie carries, for each node, the partial map ``state -> state`` that its byte string
induces. Maps are hash-consed: a node's map is its parent's map followed by one column of the automaton, remembered per
(parent map, byte class). A node whose map is empty cuts its subtree, and a subtree of whole characters that the map's
targets all loop on (the inside of strings: most of a vocabulary) has one map throughout and is taken in one stride. The
cost does not grow with states x vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.kernels import grow, rehashed
from structdiff.core.errors import CompileLimit
from structdiff.core.limits import Limits
from structdiff.tokens.trie import Trie

STRIDE = 1
"""Subtrees of more nodes than this are worth the question whether they can be taken in one stride."""


@dataclass(frozen=True, eq=False)
class TokenClasses:
    """``class_of`` int32[V]: the class of each token id, 0 for tokens that fit nowhere; class c >= 1 leads from byte
    state ``source[k]`` to ``target[k]`` for k in ``at[c]:at[c + 1]``, sources ascending."""

    class_of: np.ndarray
    at: np.ndarray
    source: np.ndarray
    target: np.ndarray

    @property
    def count(self) -> int:
        return len(self.at) - 1


@njit(cache=True, nogil=True)
def _all_lead(table, byte_class, s, low, high, wanted):
    """Does every byte of ``low..high`` lead from ``s`` to ``wanted``?"""
    same = True
    for byte in range(low, high + 1):
        same &= table[s, byte_class[byte]] == wanted
    return same


@njit(cache=True, nogil=True)
def _loops(table, byte_class, s, ascii_bytes):
    """Fill the set of ASCII bytes that lead from ``s`` to itself; does every character of several bytes as well?

    States inside a character from where all its continuations lead back are one state, the automaton being minimal:
    ``one`` is the state one byte before ``s``, ``two`` the state two bytes before.
    """
    ascii_bytes[:] = 0
    for b in range(0x80):
        if table[s, byte_class[b]] == s:
            ascii_bytes[b >> 5] |= np.int32(1) << np.int32(b & 31)
    one = table[s, byte_class[0xC2]]
    if one < 0 or not _all_lead(table, byte_class, one, 0x80, 0xBF, s):
        return False
    two = table[s, byte_class[0xE1]]
    if two < 0 or not _all_lead(table, byte_class, two, 0x80, 0xBF, one):
        return False
    for b in range(0xC2, 0xF5):
        t = table[s, byte_class[b]]
        if t < 0:
            return False
        low = 0xA0 if b == 0xE0 else 0x90 if b == 0xF0 else 0x80
        high = 0x9F if b == 0xED else 0x8F if b == 0xF4 else 0xBF
        if b < 0xE0:
            if t != one:
                return False
        elif not _all_lead(table, byte_class, t, low, high, one if b < 0xF0 else two):
            return False
    return True


@njit(cache=True, nogil=True)
def _common_loops(table, byte_class, targets, known, state_bytes, out):
    """Intersect `_loops` over ``targets``; ``known`` remembers 1 (without) or 2 (with longer characters) per state."""
    out[:] = -1
    longer = True
    for t in targets:
        if known[t] == 0:
            known[t] = 2 if _loops(table, byte_class, t, state_bytes[t]) else 1
        longer &= known[t] == 2
        some = longer
        for i in range(4):
            out[i] &= state_bytes[t, i]
            some |= out[i] != 0
        if not some:
            break
    return longer


@njit(cache=True, nogil=True)
def _visit(node, nodes, byte_class, follow, loop_kind, loops, stack, map_of):
    """Go on from ``node`` while the maps are known; returns the node whose map, or its loops, must be found first.

    Arrays that grow are not grown here: to count references to them took longer than the visit of a node.
    """
    N = nodes.shape[0] - 1
    while node < N:
        kind, depth, skip = (nodes[node, 0] >> 8) & 255, nodes[node, 0] >> 16, nodes[node, 1]
        child = follow[stack[depth - 1], byte_class[nodes[node, 0] & 255]]
        if child == -1:
            node = skip
            continue
        asks = kind and skip - node > STRIDE
        if child == -2 or (asks and loop_kind[child] == 0):
            break
        stack[depth] = child
        map_of[nodes[node, 2] : nodes[node + 1, 2]] = child
        if asks:
            inside = kind <= loop_kind[child]
            for i in range(4):
                inside &= nodes[node, 3 + i] & ~loops[child, i] == 0
            if inside:
                map_of[nodes[node + 1, 2] : nodes[skip, 2]] = child
                node = skip
                continue
        node += 1
    return node


@njit(cache=True, nogil=True)
def _walk(nodes, longest, table, byte_class, pair_limit):
    """(the map of each token in the order of the trie or -1, the maps' pairs: at, source, target, within the limit)."""
    S, K = table.shape
    columns = np.empty((K, S), np.int32)
    for first in range(0, S, 16):  # a cache line at a time
        for k in range(K):
            for s in range(first, min(first + 16, S)):
                columns[k, s] = table[s, k]
    known = np.zeros(S, np.uint8)
    state_bytes = np.zeros((S, 4), np.int32)
    loops = np.zeros((256, 4), np.int32)
    loop_kind = np.zeros(256, np.uint8)  # of a map: 0 not looked at, 1 loops on ASCII alone, 2 on longer characters too
    N = nodes.shape[0] - 1
    at = np.zeros(256, np.int64)
    source = np.empty(max(1024, 2 * S), np.uint32)  # unsigned: an index needs no check for a sign
    target = np.empty(max(1024, 2 * S), np.uint32)
    for s in range(S):
        source[s] = s
        target[s] = s
    at[1] = S
    maps = 1
    follow = np.full((256, K), -2, np.int32)
    slots = np.full(1024, -1, np.int32)
    hashes = np.zeros(256, np.uint64)
    stack = np.zeros(longest + 2, np.int32)
    map_of = np.full(nodes[N, 2], -1, np.int32)
    node = 1
    while True:
        node = _visit(node, nodes, byte_class, follow, loop_kind, loops, stack, map_of)
        if node == N:
            break
        parent = stack[(nodes[node, 0] >> 16) - 1]
        k = byte_class[nodes[node, 0] & 255]
        child = follow[parent, k]
        if child == -2:
            lo, hi = at[parent], at[parent + 1]
            base = at[maps]
            source = grow(source, base + hi - lo)
            target = grow(target, base + hi - lo)
            place = np.uint64(base)
            column = columns[k]
            for p in range(lo, hi):  # no branch: which states have the byte cannot be foretold
                t = column[target[p]]
                source[place] = source[p]
                target[place] = t
                place += np.uint64(t >= 0)
            count = np.int64(place) - base
            h = np.uint64(0)
            for p in range(base, base + count):
                pair = (np.uint64(source[p]) << np.uint64(32) | np.uint64(target[p])) * np.uint64(0x9E3779B97F4A7C15)
                h += pair ^ pair >> np.uint64(29)
            if count == 0:
                child = -1
            else:
                mask = np.uint64(slots.shape[0] - 1)
                slot = h & mask
                child = -2
                while slots[np.int64(slot)] >= 0:
                    other = slots[np.int64(slot)]
                    if hashes[other] == h and at[other + 1] - at[other] == count:
                        equal = True
                        for i in range(count):
                            if source[at[other] + i] != source[base + i] or target[at[other] + i] != target[base + i]:
                                equal = False
                                break
                        if equal:
                            child = other
                            break
                    slot = (slot + np.uint64(1)) & mask
                if child == -2:
                    child = maps
                    slots[np.int64(slot)] = child
                    if maps + 2 >= at.shape[0]:
                        at = grow(at, 2 * at.shape[0])
                        hashes = grow(hashes, 2 * hashes.shape[0])
                        bigger_follow = np.full((2 * follow.shape[0], K), -2, np.int32)
                        bigger_follow[: follow.shape[0]] = follow
                        follow = bigger_follow
                        bigger_loops = np.zeros((2 * loops.shape[0], 4), np.int32)
                        bigger_loops[: loops.shape[0]] = loops
                        loops = bigger_loops
                        bigger_kind = np.zeros(2 * loop_kind.shape[0], np.uint8)
                        bigger_kind[: loop_kind.shape[0]] = loop_kind
                        loop_kind = bigger_kind
                    hashes[child] = h
                    at[maps + 1] = base + count
                    maps += 1
                    if at[maps] > pair_limit:
                        return map_of, at[: maps + 1], source, target, False
                    if 2 * maps > slots.shape[0]:
                        slots = rehashed(hashes, 1, maps, 2 * slots.shape[0])
            follow[parent, k] = child
        else:
            targets = target[at[child] : at[child + 1]]
            loop_kind[child] = 1 + _common_loops(table, byte_class, targets, known, state_bytes, loops[child])
    return map_of, at[: maps + 1], source[: at[maps]], target[: at[maps]], True


@njit(cache=True, nogil=True)
def _used(map_of, at, source, target, tokens, V):
    """The maps that some token has, as classes: the fields of `TokenClasses`."""
    maps = at.shape[0] - 1
    class_of_map = np.zeros(maps + 1, np.int32)  # place -1, the last, stands for tokens that fit nowhere
    for m in map_of:
        class_of_map[m] = 1
    class_of_map[maps] = 0
    count, pairs = 0, 0
    for m in range(maps):
        if class_of_map[m]:
            count += 1
            class_of_map[m] = count
            pairs += at[m + 1] - at[m]
    out_at = np.zeros(count + 2, np.int64)
    out_source = np.empty(pairs, np.int32)
    out_target = np.empty(pairs, np.int32)
    filled = 0
    for m in range(maps):
        if class_of_map[m]:
            size = at[m + 1] - at[m]
            out_source[filled : filled + size] = source[at[m] : at[m + 1]]
            out_target[filled : filled + size] = target[at[m] : at[m + 1]]
            filled += size
            out_at[class_of_map[m] + 1] = filled
    class_of = np.zeros(V, np.int32)
    for i in range(map_of.shape[0]):
        class_of[tokens[i]] = class_of_map[map_of[i]]
    return class_of, out_at, out_source, out_target


def token_classes(trie: Trie, automaton: ByteAutomaton, size: int, limits: Limits | None = None) -> TokenClasses:
    """The classes of a vocabulary of ``size`` ids under a byte automaton; raises `CompileLimit`.

    `reference_classes` in the tests computes the same from the definition.
    """
    limits = limits or Limits()
    map_of, at, source, target, done = _walk(
        trie.packed, trie.longest, automaton.transitions, automaton.byte_class, 8 * limits.edges
    )
    if not done:
        raise CompileLimit("", f"{limits.edges} edges")
    return TokenClasses(*_used(map_of, at, source, target, trie.tokens, size))
