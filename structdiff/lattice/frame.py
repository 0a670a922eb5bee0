"""The frame of a canvas: which states and labels are live at each position, before any logits are seen.

A state is live at position i when some token string of i tokens leads to it and acceptance is within the tokens that
are left. Beside the states 0..S-1 there is END = S: an end token has been written and the rest is tail. Two labels
join the L labels of the automaton: ``L`` is the end token (an accepting state to END), ``L + 1`` the tail (END to END).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from structdiff.automata.kernels import grow
from structdiff.core.errors import BudgetTooSmall
from structdiff.tokens.automaton import TokenAutomaton


@dataclass(frozen=True, eq=False)
class Frame:
    """Live states ``state[at[i]:at[i + 1]]``, ascending, for i in 0..n, and the edges among all S + 1 states.

    The edges of state s are ``edge_at[s]:edge_at[s + 1]``; the same for all positions: one is live at position i when
    its source is live there and its ``target`` at i + 1. ``label`` is its label. Position i has the live labels
    ``labels[labels_at[b]:labels_at[b + 1]]`` of its block b = ``block[i]``, ascending; positions with equal ones share
    a block.
    """

    automaton: TokenAutomaton
    start: int
    length: int
    at: np.ndarray
    state: np.ndarray
    edge_at: np.ndarray
    target: np.ndarray
    label: np.ndarray
    block: np.ndarray
    labels_at: np.ndarray
    labels: np.ndarray

    def live_labels(self, position: int) -> np.ndarray:
        """int32[k]: the labels that can occur at a position, ascending; the end token and the tail among them."""
        block = self.block[position]
        return self.labels[self.labels_at[block] : self.labels_at[block + 1]]

    def alike(self, position: int, other: int) -> bool:
        """Can the same labels occur at both positions?"""
        return bool(self.block[position] == self.block[other])

    def may_have_ended(self, position: int) -> bool:
        """Can the text have ended before a position, so that anything may stand there?"""
        return self.automaton.labels + 1 in self.live_labels(position)

    def allowed_tokens(self, position: int) -> np.ndarray:
        """int32[k]: the token ids that text can have at a position, end tokens included, ascending.

        >>> from structdiff.testing.tiny import tiny
        >>> frame = build_frame(tiny("ab|b"), start=0, length=3, left=0)     # vocabulary: a, b, ab, end
        >>> [frame.allowed_tokens(i).tolist() for i in range(3)], frame.may_have_ended(2)
        ([[0, 1, 2], [1, 3], [3]], True)
        """
        a = self.automaton
        live = self.live_labels(position)
        parts = [a.tokens_of_label(label) for label in live if label < a.labels]
        if a.labels in live:
            parts.append(a.class_token[a.class_at[a.classes - 1] :])
        found: np.ndarray = np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int32)
        return found

    @cached_property
    def anchors(self) -> np.ndarray:
        """int64[n]: the token of each position where text has only one, -1 elsewhere.

        >>> from structdiff.testing.tiny import tiny
        >>> build_frame(tiny("bab|bb"), start=0, length=2, left=0).anchors.tolist()
        [1, -1]
        """
        a = self.automaton
        width = np.diff(a.label_at)
        single = (width == 1) & (np.diff(a.class_at)[a.label_class[a.label_at[:-1]]] == 1)
        of_block = np.full(len(self.labels_at) - 1, -1, np.int64)
        for block in np.flatnonzero(np.diff(self.labels_at) == 1):
            label = self.labels[self.labels_at[block]]
            if label < a.labels and single[label]:
                of_block[block] = a.tokens_of_label(label)[0]
        found: np.ndarray = of_block[self.block]
        return found


@njit(cache=True, nogil=True)
def _with_end(edge_at, edge_to, edge_label, accepting, L):
    """The edges of the automaton with those to END among them."""
    S = accepting.shape[0]
    size = edge_to.shape[0] + accepting.sum() + 1
    out_at = np.zeros(S + 2, np.int64)
    target = np.empty(size, np.uint32)  # unsigned: an index needs no check for a sign
    label = np.empty(size, np.uint32)
    count = 0
    for s in range(S):
        lo, hi = edge_at[s], edge_at[s + 1]
        target[count : count + hi - lo] = edge_to[lo:hi]
        label[count : count + hi - lo] = edge_label[lo:hi]
        count += hi - lo
        if accepting[s]:
            target[count] = S
            label[count] = L
            count += 1
        out_at[s + 1] = count
    target[count] = S
    label[count] = L + 1
    out_at[S + 1] = count + 1
    return out_at, target, label


@njit(cache=True, nogil=True)
def _same(values, lo, middle, hi):
    """Is values[lo:middle] equal to values[middle:hi]?"""
    return middle - lo == hi - middle and np.array_equal(values[lo:middle], values[middle:hi])


@njit(cache=True, nogil=True)
def _live(edge_at, target, label, distance, start, n, left, L):
    """The live states of every position and the live labels of every block."""
    S = distance.shape[0]
    farthest = distance.max() if S else 0
    at = np.zeros(n + 2, np.int64)
    state = np.empty(1024, np.uint32)
    stamp = np.full(S + 1, -1, np.int64)
    state[0] = start
    at[1] = 1
    block = np.zeros(n, np.int32)
    labels_at = np.zeros(n + 1, np.int64)
    labels = np.empty(L + 2, np.int32)
    seen = np.full(L + 2, -1, np.int64)
    blocks = 0
    settled = False
    for i in range(n):
        room = n - i - 1 + left
        count = at[i + 1]
        if settled and room >= farthest:  # the same states as a position before, and no distance rules any out
            width = at[i + 1] - at[i]
            state = grow(state, count + width)
            state[count : count + width] = state[at[i] : at[i + 1]]
            at[i + 2] = count + width
            block[i] = block[i - 1]
            continue
        for k in range(at[i], at[i + 1]):
            s = state[k]
            for e in range(edge_at[s], edge_at[s + 1]):
                t = target[e]
                if stamp[t] != i:
                    if t < S and distance[t] > room:
                        continue
                    stamp[t] = i
                    state = grow(state, count + 1)
                    state[count] = t
                    count += 1
                seen[label[e]] = i
        state[at[i + 1] : count].sort()
        at[i + 2] = count
        names = labels_at[blocks]
        labels = grow(labels, names + L + 2)
        for l in range(L + 2):
            if seen[l] == i:
                labels[names] = l
                names += 1
        if blocks and _same(labels, labels_at[blocks - 1], labels_at[blocks], names):
            block[i] = blocks - 1
        else:
            block[i] = blocks
            blocks += 1
            labels_at[blocks] = names
        settled = room >= farthest and _same(state, at[i], at[i + 1], at[i + 2])
    return at, state[: at[n + 1]], block, labels_at[: blocks + 1], labels[: labels_at[blocks]]


def build_frame(automaton: TokenAutomaton, start: int, length: int, left: int) -> Frame:
    """The frame of ``length`` positions from state ``start`` with ``left`` tokens of budget after them.

    Raises `BudgetTooSmall` when acceptance is further than ``length + left`` tokens away.
    """
    a = automaton
    if a.distance[start] > length + left:
        raise BudgetTooSmall(int(a.distance[start]), length + left)
    edge_at, target, label = _with_end(a.edge_at, a.edge_to, a.edge_label, a.accepting, a.labels)
    at, state, block, labels_at, labels = _live(edge_at, target, label, a.distance, start, length, left, a.labels)
    return Frame(automaton, start, length, at, state, edge_at, target, label, block, labels_at, labels)
