"""Minimisation of deterministic byte automata, in compiled kernels: trim, equivalent states, the quotient by them.

All tables are partial: a transition to -1 is dead. State 0 is the start state.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def trim(table, accepting):
    """Which states are reachable from state 0 and can reach acceptance; transitions elsewhere become -1 (in place)."""
    S, K = table.shape
    reach = np.zeros(S, np.bool_)
    queue = np.empty(S, np.int32)
    reach[0] = True
    queue[0] = 0
    head, tail = 0, 1
    indegree = np.zeros(S + 1, np.int64)
    while head < tail:
        s = queue[head]
        head += 1
        for k in range(K):
            t = table[s, k]
            if t >= 0:
                indegree[t + 1] += 1
                if not reach[t]:
                    reach[t] = True
                    queue[tail] = t
                    tail += 1
    at = np.cumsum(indegree)
    fill = at[:-1].copy()
    sources = np.empty(at[S], np.int32)
    for i in range(tail):
        s = queue[i]
        for k in range(K):
            t = table[s, k]
            if t >= 0:
                sources[fill[t]] = s
                fill[t] += 1
    alive = np.zeros(S, np.bool_)
    top = 0
    for s in range(S):
        if reach[s] and accepting[s]:
            alive[s] = True
            queue[top] = s
            top += 1
    while top:
        top -= 1
        t = queue[top]
        for e in range(at[t], at[t + 1]):
            s = sources[e]
            if not alive[s]:
                alive[s] = True
                queue[top] = s
                top += 1
    for s in range(S):
        for k in range(K):
            if table[s, k] >= 0 and not (alive[s] and alive[table[s, k]]):
                table[s, k] = -1
    return alive


@njit(cache=True, nogil=True)
def _factors(K, salt):
    """An odd factor for each byte class (splitmix64 of its number)."""
    out = np.empty(K, np.uint64)
    for k in range(K):
        x = np.uint64(salt * K + k + 1) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        out[k] = (x ^ x >> np.uint64(31)) | np.uint64(1)
    return out


@njit(cache=True, nogil=True)
def _incoming(table, states, number, factors, signature):
    """The transitions by their target: (into, source, class); adds the factors of each state's own to ``signature``."""
    n, K = states.shape[0], table.shape[1]
    into = np.zeros(n + 1, np.int64)
    for i in range(n):
        total = np.uint64(0)
        for k in range(K):
            t = table[states[i], k]
            if t >= 0:
                into[number[t] + 1] += 1
                total += factors[k]
        signature[i] += total
    into = np.cumsum(into)
    fill = into[:-1].copy()
    source = np.empty(into[n], np.uint32)
    klass = np.empty(into[n], np.uint8)
    for i in range(n):
        for k in range(K):
            t = table[states[i], k]
            if t >= 0:
                e = fill[number[t]]
                fill[number[t]] += 1
                source[e] = i
                klass[e] = k
    return into, source, klass


@njit(cache=True, nogil=True)
def _sort_by(items, key):
    """Sort ``items`` in place by ``key[item]``."""
    if items.shape[0] > 16:
        items[:] = items[np.argsort(key[items])]
        return
    for i in range(1, items.shape[0]):
        item, j = items[i], i
        while j and key[items[j - 1]] > key[item]:
            items[j] = items[j - 1]
            j -= 1
        items[j] = item


@njit(cache=True, nogil=True)
def _refined(table, accepting, states, number, salt):
    """The coarsest partition whose blocks have one signature each: (block of each of ``states``, number of blocks).

    The signature of a state is the sum over its transitions of the class's factor times the target's block plus one:
    where a block is renamed it changes by a difference, and no row is read again.
    """
    n = states.shape[0]
    factors = _factors(table.shape[1], salt)
    signature = np.zeros(n, np.uint64)
    for i in range(n):
        signature[i] = accepting[states[i]]
    into, source, klass = _incoming(table, states, number, factors, signature)
    block = np.zeros(n, np.int32)
    element = np.arange(n).astype(np.int32)  # blocks are ranges of it, their touched members in front
    place = np.arange(n).astype(np.int32)
    first, end, touched = np.zeros(n, np.int32), np.zeros(n, np.int32), np.zeros(n, np.int32)
    end[0] = touched[0] = n
    pending = np.zeros(n + 1, np.int32)  # a ring of the blocks with touched members
    head, waiting, blocks = 0, 1, 1
    cut = np.empty(n + 1, np.int32)
    while waiting:
        b = pending[head]
        head = head + 1 if head < n else 0
        waiting -= 1
        low, high = first[b], end[b]
        middle = low + touched[b]
        touched[b] = 0
        if middle < high:  # the untouched share a signature; who has it too stays with them
            usual = signature[element[high - 1]]
            i = low
            while i < middle:
                s = element[i]
                if signature[s] == usual:
                    middle -= 1
                    other = element[middle]
                    element[i], place[other] = other, i
                    element[middle], place[s] = s, middle
                else:
                    i += 1
            if middle == low:
                continue
        _sort_by(element[low:middle], signature)
        groups, largest = 0, 0
        for i in range(low, middle):
            place[element[i]] = i
            if i == low or signature[element[i]] != signature[element[i - 1]]:
                cut[groups] = i
                groups += 1
        if middle < high:
            cut[groups] = middle
            groups += 1
        cut[groups] = high
        if groups == 1:
            continue
        for g in range(1, groups):
            if cut[g + 1] - cut[g] > cut[largest + 1] - cut[largest]:
                largest = g
        fresh = blocks
        for g in range(groups):  # the largest group keeps the name
            if g == largest:
                first[b], end[b] = cut[g], cut[g + 1]
            else:
                first[blocks], end[blocks] = cut[g], cut[g + 1]
                for i in range(cut[g], cut[g + 1]):
                    block[element[i]] = blocks
                blocks += 1
        for c in range(fresh, blocks):
            change = np.uint64(c - b)
            for i in range(first[c], end[c]):
                cut[i - first[c]] = element[i]  # the marks below move the members of c
            for i in range(end[c] - first[c]):
                t = cut[i]
                for e in range(into[t], into[t + 1]):
                    s = source[e]
                    signature[s] += factors[klass[e]] * change
                    d = block[s]
                    front, at = first[d] + touched[d], place[s]
                    if at >= front and end[d] - first[d] > 1:
                        if touched[d] == 0:
                            slot = head + waiting
                            pending[slot if slot <= n else slot - n - 1] = d
                            waiting += 1
                        other = element[front]
                        element[at], place[other] = other, at
                        element[front], place[s] = s, front
                        touched[d] += 1
    return block, blocks


@njit(cache=True, nogil=True)
def _stable(table, states, number, block, blocks):
    """Do all members of each block agree, class by class, on the block they lead to?"""
    representative = np.full(blocks, -1, np.int32)
    for i in range(states.shape[0]):
        if representative[block[i]] < 0:
            representative[block[i]] = states[i]
            continue
        other = representative[block[i]]
        for k in range(table.shape[1]):
            t, u = table[states[i], k], table[other, k]
            if t != u and (t < 0 or u < 0 or block[number[t]] != block[number[u]]):
                return False
    return True


@njit(cache=True, nogil=True)
def minimise(table, accepting, alive):
    """Blocks of equivalent states among ``alive`` ones: (block of each state, number of blocks); -1 for the others.

    Partition refinement by signatures: T. Wißmann and J. Jacobs, "Fast Coalgebraic Bisimilarity Minimization",
    POPL 2023, here with signatures that are kept up to date by sums. Equal states have equal signatures; that unequal
    ones have unequal signatures is made sure of at the end.
    """
    S = table.shape[0]
    number = np.full(S, -1, np.int32)
    states = np.flatnonzero(alive)
    for i in range(states.shape[0]):
        number[states[i]] = i
    salt = 0
    block, blocks = _refined(table, accepting, states, number, salt)
    while not _stable(table, states, number, block, blocks):
        salt += 1
        block, blocks = _refined(table, accepting, states, number, salt)
    out = np.full(S, -1, np.int32)
    for i in range(states.shape[0]):
        out[states[i]] = block[i]
    return out, blocks


@njit(cache=True, nogil=True)
def quotient(table, accepting, block, blocks):
    """The minimal automaton, states renumbered in breadth-first order from the start (so equal languages are equal)."""
    K = table.shape[1]
    representative = np.full(blocks, -1, np.int32)
    for s in range(table.shape[0]):
        if block[s] >= 0 and representative[block[s]] < 0:
            representative[block[s]] = s
    order = np.full(blocks, -1, np.int32)
    queue = np.empty(blocks, np.int32)
    queue[0] = block[0]
    order[block[0]] = 0
    count, head = 1, 0
    out = np.full((blocks, K), -1, np.int32)
    final = np.zeros(blocks, np.bool_)
    while head < count:
        b = queue[head]
        s = representative[b]
        final[head] = accepting[s]
        for k in range(K):
            t = table[s, k]
            if t >= 0:
                if order[block[t]] < 0:
                    order[block[t]] = count
                    queue[count] = block[t]
                    count += 1
                out[head, k] = order[block[t]]
        head += 1
    return out[:count], final[:count]
