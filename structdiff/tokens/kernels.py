"""Compiled kernels that build the token automaton out of token classes. Arrays in, arrays out; no objects."""

from __future__ import annotations

import numpy as np
from numba import njit

from structdiff.automata.kernels import grow, rehashed


@njit(cache=True, nogil=True)
def by_source(at, source, target, like, S):
    """Transpose classes -> sources into sources -> (class, target); class c has the pairs of class ``like[c]``."""
    out_at = np.zeros(S + 1, np.int64)
    for c in like:
        for p in range(at[c], at[c + 1]):
            out_at[source[p] + 1] += 1
    out_at = np.cumsum(out_at)
    fill = out_at[:-1].copy()
    klass = np.empty(out_at[S], np.int32)
    to = np.empty(out_at[S], np.int32)
    for c in range(like.shape[0]):
        for p in range(at[like[c]], at[like[c] + 1]):
            slot = fill[source[p]]
            fill[source[p]] += 1
            klass[slot] = c
            to[slot] = target[p]
    return out_at, klass, to


@njit(cache=True, nogil=True)
def numbered(values, number):
    """``number[values]``: for int32 places NumPy takes three times as long."""
    out = np.empty(values.shape[0], np.int32)
    for i in range(values.shape[0]):
        out[i] = number[values[i]]
    return out


@njit(cache=True, nogil=True)
def forced_runs(table, accepting, bytes_in_class, byte_of_class):
    """For each byte state (the state after its forced byte, that byte); -1 where it accepts or has a choice."""
    S, K = table.shape
    after = np.full(S, -1, np.int32)
    forced = np.full(S, -1, np.int32)
    for s in range(S):
        if accepting[s]:
            continue
        count = 0
        for k in range(K):
            if table[s, k] >= 0:
                count += bytes_in_class[k]
                after[s] = table[s, k]
                forced[s] = byte_of_class[k]
        if count != 1:
            after[s] = -1
            forced[s] = -1
    return after, forced


@njit(cache=True, nogil=True)
def runs_from(states, after, forced, longest):
    """The forced bytes from each of ``states``, at most ``longest``: (uint8[n, longest] with zeros behind, lengths)."""
    runs = np.zeros((states.shape[0], longest), np.uint8)
    lengths = np.zeros(states.shape[0], np.int64)
    for i in range(states.shape[0]):
        at = states[i]
        while after[at] >= 0 and lengths[i] < longest:
            runs[i, lengths[i]] = forced[at]
            lengths[i] += 1
            at = after[at]
    return runs, lengths


@njit(cache=True, nogil=True)
def reach(at, klass, to, allowed_class, inside_end, after, accepting):
    """Token-boundary states from state 0, in breadth-first order, and which (state, class) pairs are kept.

    In a forced state only ``allowed_class`` may end strictly inside the forced run.
    """
    S = accepting.shape[0]
    order = np.full(S, -1, np.int32)
    queue = np.empty(S, np.int32)
    keep = np.zeros(klass.shape[0], np.bool_)
    order[0] = 0
    queue[0] = 0
    head, count = 0, 1
    inside = np.full(S, -1, np.int32)
    while head < count:
        s = queue[head]
        head += 1
        if allowed_class[s] >= 0:
            t = after[s]
            while t >= 0 and after[t] >= 0:  # states strictly inside the run that starts at s
                inside[t] = s
                t = after[t]
        for p in range(at[s], at[s + 1]):
            t = to[p]
            if allowed_class[s] >= 0 and inside[t] == s and klass[p] != allowed_class[s]:
                continue
            keep[p] = True
            if order[t] < 0:
                order[t] = count
                queue[count] = t
                count += 1
    return queue[:count], order, keep


@njit(cache=True, nogil=True)
def distances(edge_at, edge_to, accepting):
    S = accepting.shape[0]
    E = edge_to.shape[0]
    into = np.zeros(S + 1, np.int64)
    for e in range(E):
        into[edge_to[e] + 1] += 1
    into = np.cumsum(into)
    fill = into[:-1].copy()
    source = np.empty(E, np.int32)
    for s in range(S):
        for e in range(edge_at[s], edge_at[s + 1]):
            source[fill[edge_to[e]]] = s
            fill[edge_to[e]] += 1
    distance = np.full(S, -1, np.int32)
    queue = np.empty(S, np.int32)
    count = 0
    for s in range(S):
        if accepting[s]:
            distance[s] = 0
            queue[count] = s
            count += 1
    head = 0
    while head < count:
        t = queue[head]
        head += 1
        for e in range(into[t], into[t + 1]):
            if distance[source[e]] < 0:
                distance[source[e]] = distance[t] + 1
                queue[count] = source[e]
                count += 1
    return distance


@njit(cache=True, nogil=True)
def _label_of(classes, low, high, label_at, label_class, labels, hashes, slots):
    """The number of the list ``classes[low:high]``, hash-consed: ``labels`` if it is new (then it is added)."""
    mask = np.uint64(slots.shape[0] - 1)
    h = np.uint64(1469598103934665603)
    for k in range(low, high):
        h = (h ^ np.uint64(classes[k])) * np.uint64(1099511628211)
        h ^= h >> np.uint64(31)
    slot = h & mask
    while slots[np.int64(slot)] >= 0:
        other = slots[np.int64(slot)]
        first = label_at[other]
        if hashes[other] == h and label_at[other + 1] - first == high - low:
            equal = True
            for k in range(high - low):
                if label_class[first + k] != classes[low + k]:
                    equal = False
                    break
            if equal:
                return np.int64(other)
        slot = (slot + np.uint64(1)) & mask
    slots[np.int64(slot)] = labels
    hashes[labels] = h
    first = label_at[labels]
    for k in range(high - low):
        label_class[first + k] = classes[low + k]
    label_at[labels + 1] = first + high - low
    return np.int64(labels)


@njit(cache=True, nogil=True)
def _edges_from(
    i, edges, labels, queue, order, keep, at, klass, to, edge_at, edge_to, edge_label, label_at, label_class, hashes,
    slots, count, fill, targets, classes,
):  # fmt: skip
    """The edges of reached states from ``i`` on while there is room: (i, edges, labels)."""
    while i < queue.shape[0]:
        lo, hi = at[queue[i]], at[queue[i] + 1]
        most = min(hi - lo, queue.shape[0])
        if (
            edges + most > edge_to.shape[0]
            or labels + most > hashes.shape[0]
            or 2 * (labels + most) > slots.shape[0]
            or label_at[labels] + hi - lo > label_class.shape[0]
            or hi - lo > classes.shape[0]
        ):
            break
        found = 0
        for p in range(lo, hi):
            if keep[p]:
                t = order[to[p]]
                if count[t] == 0:
                    targets[found] = t
                    found += 1
                count[t] += 1
        if found > 8:
            targets[:found].sort()
        else:
            for j in range(1, found):
                t, place = targets[j], j
                while place and targets[place - 1] > t:
                    targets[place] = targets[place - 1]
                    place -= 1
                targets[place] = t
        size = 0
        for j in range(found):
            fill[targets[j]] = size
            size += count[targets[j]]
        for p in range(lo, hi):
            if keep[p]:
                t = order[to[p]]
                classes[fill[t]] = klass[p]
                fill[t] += 1
        for j in range(found):
            t = targets[j]
            label = _label_of(classes, fill[t] - count[t], fill[t], label_at, label_class, labels, hashes, slots)
            labels += label == labels
            edge_to[edges] = t
            edge_label[edges] = label
            edges += 1
            count[t] = 0
        i += 1
        edge_at[i] = edges
    return i, edges, labels


@njit(cache=True, nogil=True)
def edges(queue, order, keep, at, klass, to):
    """The kept (state, class, target) triples of the reached states as edges between their new numbers.

    Edges are ordered by source and target; their class lists, ascending, are hash-consed as labels. Returns edge_at,
    edge_to, edge_label, label_at, label_class.
    """
    R = queue.shape[0]
    edge_at = np.zeros(R + 1, np.int64)
    edge_to = np.empty(1024, np.int32)
    edge_label = np.empty(1024, np.int32)
    label_at = np.zeros(257, np.int64)
    label_class = np.empty(1024, np.int32)
    hashes = np.zeros(256, np.uint64)
    slots = np.full(1024, -1, np.int32)
    count = np.zeros(R, np.int64)
    fill = np.zeros(R, np.int64)
    targets = np.empty(R, np.int32)
    classes = np.empty(1024, np.int32)
    i, edges, labels = 0, 0, 0
    while True:
        i, edges, labels = _edges_from(
            i, edges, labels, queue, order, keep, at, klass, to, edge_at, edge_to, edge_label, label_at, label_class,
            hashes, slots, count, fill, targets, classes,
        )  # fmt: skip
        if i == R:
            break
        pairs = at[queue[i] + 1] - at[queue[i]]
        most = min(pairs, R)
        edge_to = grow(edge_to, edges + most)
        edge_label = grow(edge_label, edges + most)
        hashes = grow(hashes, labels + most)
        label_at = grow(label_at, hashes.shape[0] + 1)
        label_class = grow(label_class, label_at[labels] + pairs)
        classes = grow(classes, pairs)
        if 2 * (labels + most) > slots.shape[0]:
            size = slots.shape[0]
            while size < 2 * (labels + most):
                size *= 2
            slots = rehashed(hashes, 0, labels, size)
    return edge_at, edge_to[:edges], edge_label[:edges], label_at[: labels + 1], label_class[: label_at[labels]]


@njit(cache=True, nogil=True)
def class_sizes(class_of, n):
    """Tokens of each class."""
    counts = np.zeros(n, np.int64)
    for c in class_of:
        counts[c] += 1
    return counts


@njit(cache=True, nogil=True)
def forced_reachable(target, after):
    """Forced byte states that some token ends on (or the start): the only ones whose own first token matters."""
    hit = np.zeros(after.shape[0], np.bool_)
    hit[0] = True
    for t in target:
        hit[t] = True
    return np.flatnonzero(hit & (after >= 0))
