"""The frame of a canvas: which states and edges are live at each position, before any logits are seen.

A state is live at position i when some token string of i tokens leads to it and acceptance is within the tokens that
are left. Beside the states 0..S-1 there is END = S: an end token has been written and the rest is tail. Two labels
join the L labels of the automaton: ``L`` is the end token (an accepting state to END), ``L + 1`` the tail (END to END).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from structdiff.automaton import TokenAutomaton
from structdiff.errors import BudgetTooSmall
from structdiff.grammar.kernels import grow


@dataclass(frozen=True, eq=False)
class Frame:
    """Live states ``state[at[i]:at[i + 1]]`` for i in 0..n, and blocks of live edges, shared by equal positions.

    Position i uses block b = ``block[i]``, edges ``edge_at[b]:edge_at[b + 1]`` sorted by source; ``source``, ``target``
    are places in the live states of i and i + 1, ``label`` is the label. ``first[b]`` is where the block's per-source
    index begins in ``by_source`` (one entry per live state plus one); ``labels_at``/``labels`` list the labels of a
    block.
    """

    automaton: TokenAutomaton
    start: int
    length: int
    at: np.ndarray
    state: np.ndarray
    block: np.ndarray
    edge_at: np.ndarray
    source: np.ndarray
    target: np.ndarray
    label: np.ndarray
    first: np.ndarray
    by_source: np.ndarray
    labels_at: np.ndarray
    labels: np.ndarray


@njit(cache=True, nogil=True)
def _live(edge_at, edge_to, accepting, distance, start, n, left):
    S = accepting.shape[0]
    at = np.zeros(n + 2, np.int64)
    state = np.empty(1024, np.int32)
    stamp = np.full(S + 1, -1, np.int64)
    state[0] = start
    at[1] = 1
    for i in range(n):
        room = n - i - 1 + left
        count = at[i + 1]
        for k in range(at[i], at[i + 1]):
            s = state[k]
            if s == S or accepting[s]:
                if stamp[S] != i:
                    stamp[S] = i
                    state = grow(state, count + 1)
                    state[count] = S
                    count += 1
            if s == S:
                continue
            for e in range(edge_at[s], edge_at[s + 1]):
                t = edge_to[e]
                if stamp[t] != i and distance[t] <= room:
                    stamp[t] = i
                    state = grow(state, count + 1)
                    state[count] = t
                    count += 1
        state[at[i + 1] : count].sort()
        at[i + 2] = count
    return at, state[: at[n + 1]]


@njit(cache=True, nogil=True)
def _blocks(edge_at, edge_to, edge_label, accepting, at, state, n, L):
    S = accepting.shape[0]
    block = np.zeros(n, np.int32)
    out_at = np.zeros(n + 1, np.int64)
    source = np.empty(1024, np.int32)
    target = np.empty(1024, np.int32)
    label = np.empty(1024, np.int32)
    first = np.zeros(n + 1, np.int64)
    by_source = np.empty(1024, np.int64)
    labels_at = np.zeros(n + 1, np.int64)
    labels = np.empty(256, np.int32)
    place = np.full(S + 1, -1, np.int32)
    seen = np.full(L + 2, -1, np.int32)
    blocks = 0
    for i in range(n):
        if i > 0 and at[i + 1] - at[i] == at[i] - at[i - 1] and at[i + 2] - at[i + 1] == at[i + 1] - at[i]:
            same = True
            for k in range(at[i + 1] - at[i]):
                if state[at[i] + k] != state[at[i - 1] + k] or state[at[i + 1] + k] != state[at[i] + k]:
                    same = False
                    break
            if same:
                block[i] = block[i - 1]
                continue
        for k in range(at[i + 1], at[i + 2]):
            place[state[k]] = k - at[i + 1]
        count = out_at[blocks]
        width = at[i + 1] - at[i]
        by_source = grow(by_source, first[blocks] + width + 1)
        names = labels_at[blocks]
        labels = grow(labels, names + L + 2)
        for k in range(at[i], at[i + 1]):
            by_source[first[blocks] + k - at[i]] = count
            s = state[k]
            degree = 1 if s == S else edge_at[s + 1] - edge_at[s] + 1
            source = grow(source, count + degree)
            target = grow(target, count + degree)
            label = grow(label, count + degree)
            if s < S:
                for e in range(edge_at[s], edge_at[s + 1]):
                    if place[edge_to[e]] >= 0:
                        source[count] = k - at[i]
                        target[count] = place[edge_to[e]]
                        label[count] = edge_label[e]
                        count += 1
            if s == S or accepting[s]:
                source[count] = k - at[i]
                target[count] = place[S]
                label[count] = L + 1 if s == S else L
                count += 1
        by_source[first[blocks] + width] = count
        for e in range(out_at[blocks], count):
            if seen[label[e]] != blocks:
                seen[label[e]] = blocks
                labels[names] = label[e]
                names += 1
        for k in range(at[i + 1], at[i + 2]):
            place[state[k]] = -1
        block[i] = blocks
        out_at[blocks + 1] = count
        first[blocks + 1] = first[blocks] + width + 1
        labels_at[blocks + 1] = names
        blocks += 1
    return (
        block, out_at[: blocks + 1], source[: out_at[blocks]], target[: out_at[blocks]], label[: out_at[blocks]],
        first[: blocks + 1], by_source[: first[blocks]], labels_at[: blocks + 1], labels[: labels_at[blocks]],
    )  # fmt: skip


def build_frame(automaton: TokenAutomaton, start: int, length: int, left: int) -> Frame:
    """The frame of ``length`` positions from state ``start`` with ``left`` tokens of budget after them.

    Raises `BudgetTooSmall` when acceptance is further than ``length + left`` tokens away.
    """
    if automaton.distance[start] > length + left:
        raise BudgetTooSmall(int(automaton.distance[start]), length + left)
    at, state = _live(
        automaton.edge_at, automaton.edge_to, automaton.accepting, automaton.distance, start, length, left
    )
    blocks = _blocks(
        automaton.edge_at, automaton.edge_to, automaton.edge_label, automaton.accepting, at, state, length,
        automaton.labels,
    )  # fmt: skip
    return Frame(automaton, start, length, at, state, *blocks)
