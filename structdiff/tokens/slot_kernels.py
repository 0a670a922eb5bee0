"""Compiled kernels that lay contents into the slots of a template, token by token. Arrays in, arrays out; no objects.

States: those of the template, then for every slot those of its content but the first, which is the template's state
before the slot. ``base[p] + f`` is state f >= 1 of the content of slot p. A content is a table of rows: from state f,
byte ``byte[e]`` leads to ``to[e]`` for e in ``at[f]:at[f + 1]``. The contents of all kinds lie in one table, that of
slot p from row ``first[p]`` on, and ``to`` counts from there.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from structdiff.automata.kernels import grow

QUOTE = 0x22


@njit(cache=True, nogil=True)
def _child(node, wanted, child_at, child, node_byte):
    """The child of a node under a byte, or -1."""
    lo, hi = child_at[node], child_at[node + 1]
    while lo < hi:
        middle = (lo + hi) // 2
        if node_byte[child[middle]] < wanted:
            lo = middle + 1
        else:
            hi = middle
    if lo < child_at[node + 1] and node_byte[child[lo]] == wanted:
        return child[lo]
    return -1


@njit(cache=True, nogil=True)
def rows(table, byte_class):
    """A table of byte classes as rows of bytes: at, byte, to."""
    S, K = table.shape
    size = np.zeros(K + 1, np.int64)
    for b in range(256):
        size[byte_class[b] + 1] += 1
    size = np.cumsum(size)
    member = np.empty(256, np.uint8)
    fill = size[:-1].copy()
    for b in range(256):
        member[fill[byte_class[b]]] = b
        fill[byte_class[b]] += 1
    at = np.zeros(S + 1, np.int64)
    for s in range(S):
        for k in range(K):
            if table[s, k] >= 0:
                at[s + 1] += size[k + 1] - size[k]
    at = np.cumsum(at)
    byte = np.empty(at[S], np.uint8)
    to = np.empty(at[S], np.int32)
    p = 0
    for s in range(S):
        for k in range(K):
            if table[s, k] >= 0:
                for i in range(size[k], size[k + 1]):
                    byte[p] = member[i]
                    to[p] = table[s, k]
                    p += 1
    return at, byte, to


@njit(cache=True, nogil=True)
def near(table, goal):
    """The fewest bytes from each state of a template to one of ``goal``, or a large number."""
    S, K = table.shape
    far = 1 << 30
    distance = np.full(S, far, np.int64)
    for s in range(S):
        if goal[s]:
            distance[s] = 0
    changed = True
    while changed:
        changed = False
        for s in range(S):
            for k in range(K):
                t = table[s, k]
                if t >= 0 and distance[t] + 1 < distance[s]:
                    distance[s] = distance[t] + 1
                    changed = True
    return distance


@njit(cache=True, nogil=True)
def entries(table, byte_class, slot_of, distance, longest, node_byte, depth, skip):
    """Where a token may run into a slot: (source, node, slot) for every state of the template and every trie node
    whose bytes lead from there to the state before a slot."""
    N = skip.shape[0]
    source = np.empty(256, np.int32)
    node = np.empty(256, np.int32)
    slot = np.empty(256, np.int32)
    count = 0
    stack = np.zeros(longest + 2, np.int32)
    for s in range(table.shape[0]):
        if slot_of[s] >= 0 or distance[s] >= longest:
            continue
        stack[0] = s
        n = 1
        while n < N:
            t = table[stack[depth[n] - 1], byte_class[node_byte[n]]]
            if t < 0 or depth[n] + distance[t] >= longest:
                n = skip[n]
                continue
            if slot_of[t] >= 0:
                if skip[n] > n + 1:
                    source = grow(source, count + 1)
                    node = grow(node, count + 1)
                    slot = grow(slot, count + 1)
                    source[count], node[count], slot[count] = s, n, slot_of[t]
                    count += 1
                n = skip[n]
                continue
            stack[depth[n]] = t
            n += 1
    return source[:count], node[:count], slot[:count]


@njit(cache=True, nogil=True)
def inside_tokens(at, byte, to, accepting, child_at, child, node_byte, token_at, skip):
    """The tokens within one content, and where tokens go on behind its end.

    (source, node, target) of every trie node with tokens; (state, node) of every node whose last byte is the closing
    quote, with something of the content before it.
    """
    F = accepting.shape[0]
    source = np.empty(4 * F + 64, np.int32)
    node = np.empty(4 * F + 64, np.int32)
    target = np.empty(4 * F + 64, np.int32)
    out_state = np.empty(256, np.int32)
    out_node = np.empty(256, np.int32)
    count, outs = 0, 0
    stack = np.empty((1024, 2), np.int32)
    for f in range(F):
        stack[0, 0], stack[0, 1] = 0, f
        top = 1
        while top:
            top -= 1
            n, g = stack[top, 0], stack[top, 1]
            if n and accepting[g]:
                quote = _child(n, QUOTE, child_at, child, node_byte)
                if quote >= 0:
                    out_state = grow(out_state, outs + 1)
                    out_node = grow(out_node, outs + 1)
                    out_state[outs], out_node[outs] = f, quote
                    outs += 1
            if skip[n] == n + 1:
                continue
            for e in range(at[g], at[g + 1]):
                m = _child(n, byte[e], child_at, child, node_byte)
                if m < 0:
                    continue
                if token_at[m + 1] > token_at[m]:
                    if count == source.shape[0]:
                        source = grow(source, count + 1)
                        node = grow(node, count + 1)
                        target = grow(target, count + 1)
                    source[count], node[count], target[count] = f, m, to[e]
                    count += 1
                if top == stack.shape[0]:
                    bigger = np.empty((2 * top, 2), np.int32)
                    bigger[:top] = stack
                    stack = bigger
                stack[top, 0], stack[top, 1] = m, to[e]
                top += 1
    return source[:count], node[:count], target[:count], out_state[:outs], out_node[:outs]


@njit(cache=True, nogil=True)
def crossing_tokens(begins, template, places, contents, trie):
    """The tokens that go across the border of a slot: (source, node, target).

    ``begins`` are (source, node, state, counts): walk number i stands at trie node ``node[i]`` in ``state[i]``, its
    token having begun in ``source[i]``; the node itself is a token of the result where ``counts[i]``. ``template`` is
    (table, byte_class, slot_of), ``places`` are (base, behind, the slot of each state of a content, first),
    ``contents`` (at, byte, to, accepting), ``trie`` (at and child of `Trie.children`, byte, token_at, skip).
    """
    begin_source, begin_node, begin_state, begin_counts = begins
    table, byte_class, slot_of = template
    base, behind, place_of, first = places
    at, byte, to, accepting = contents
    child_at, child, node_byte, token_at, skip = trie
    T = table.shape[0]
    source = np.empty(256, np.int32)
    node = np.empty(256, np.int32)
    target = np.empty(256, np.int32)
    count = 0
    stack = np.empty((1024, 2), np.int32)
    reached = np.empty((512, 2), np.int32)
    for i in range(begin_source.shape[0]):
        stack[0, 0], stack[0, 1] = begin_node[i], begin_state[i]
        top = 1
        counts = begin_counts[i]
        while top:
            top -= 1
            n, c = stack[top, 0], stack[top, 1]
            if counts and token_at[n + 1] > token_at[n]:
                source = grow(source, count + 1)
                node = grow(node, count + 1)
                target = grow(target, count + 1)
                source[count], node[count], target[count] = begin_source[i], n, c
                count += 1
            counts = True
            if skip[n] == n + 1:
                continue
            found = 0
            p = slot_of[c] if c < T else place_of[c - T]
            if p < 0:
                for j in range(child_at[n], child_at[n + 1]):
                    t = table[c, byte_class[node_byte[child[j]]]]
                    if t >= 0:
                        reached[found, 0], reached[found, 1] = child[j], t
                        found += 1
            else:
                g = first[p] + (0 if c < T else c - base[p])
                for e in range(at[g], at[g + 1]):
                    m = _child(n, byte[e], child_at, child, node_byte)
                    if m >= 0:
                        reached[found, 0], reached[found, 1] = m, base[p] + to[e]
                        found += 1
                if accepting[g]:
                    m = _child(n, QUOTE, child_at, child, node_byte)
                    if m >= 0:
                        reached[found, 0], reached[found, 1] = m, behind[p]
                        found += 1
            if top + found > stack.shape[0]:
                bigger = np.empty((2 * stack.shape[0], 2), np.int32)
                bigger[:top] = stack[:top]
                stack = bigger
            for j in range(found):
                stack[top, 0], stack[top, 1] = reached[j, 0], reached[j, 1]
                top += 1
    return source[:count], node[:count], target[:count]


@njit(cache=True, nogil=True)
def forced_inside(at, byte, to, accepting):
    """(the state after the forced byte, that byte, is the end of the content forced) of each state; -1 for a choice.

    The state behind the closing quote is not known here: where only the quote may follow, the state is -2.
    """
    F = accepting.shape[0]
    after = np.full(F, -1, np.int32)
    forced = np.full(F, -1, np.int32)
    ends = np.zeros(F, np.bool_)
    for f in range(F):
        if at[f + 1] - at[f] == 1 and not accepting[f]:
            after[f] = to[at[f]]
            forced[f] = byte[at[f]]
        elif accepting[f] and at[f + 1] == at[f]:
            after[f] = -2
            forced[f] = QUOTE
    for f in range(F):
        g = f
        while after[g] >= 0 and not ends[g]:
            g = after[g]
        if ends[g] or after[g] == -2:
            g = f
            while g >= 0 and not ends[g]:
                ends[g] = True
                g = after[g]
    return after, forced, ends
