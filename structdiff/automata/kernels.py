"""Compiled kernels on byte automata: determinisation, products, byte classes. Arrays in, arrays out; no objects.

All tables are partial: a transition to -1 is dead. State 0 is the start state.
"""

from __future__ import annotations

import numpy as np
from numba import njit

WORK = 1 << 22
"""Edges followed by one call of `determinise` (tens of milliseconds); between calls the caller checks its limits."""


@njit(cache=True, nogil=True)
def _hash(items, count):
    h = np.uint64(1469598103934665603)
    for i in range(count):
        h = (h ^ np.uint64(items[i] + 1)) * np.uint64(1099511628211)
        h ^= h >> np.uint64(29)
    return h


@njit(cache=True, nogil=True)
def grow(array, needed):
    if needed <= array.shape[0]:
        return array
    bigger = np.empty(max(needed, 2 * array.shape[0]), array.dtype)
    bigger[: array.shape[0]] = array
    return bigger


@njit(cache=True, nogil=True)
def rehashed(hashes, first, end, size):
    """``size`` slots, a power of two, with the numbers ``first`` to ``end - 1`` by their hashes and -1 elsewhere."""
    slots = np.full(size, -1, np.int32)
    mask = np.uint64(size - 1)
    for number in range(first, end):
        slot = hashes[number] & mask
        while slots[np.int64(slot)] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[np.int64(slot)] = number
    return slots


@njit(cache=True, nogil=True)
def _closure(seeds, count, eps_at, eps_to, useful, stamp, mark, stack, out):
    """The useful states reachable from ``seeds`` by empty edges, sorted, in ``out``; returns how many, and the work."""
    top, work = 0, count
    for i in range(count):
        if stamp[seeds[i]] != mark:
            stamp[seeds[i]] = mark
            stack[top] = seeds[i]
            top += 1
    found = 0
    while top:
        top -= 1
        state = stack[top]
        if useful[state]:
            out[found] = state
            found += 1
        work += 1 + eps_at[state + 1] - eps_at[state]
        for e in range(eps_at[state], eps_at[state + 1]):
            target = eps_to[e]
            if stamp[target] != mark:
                stamp[target] = mark
                stack[top] = target
                top += 1
    if found > 1:
        out[:found].sort()
    return found, work


@njit(cache=True, nogil=True)
def _numbered(out, found, final, count, pool, pool_at, table, slots, accepting):
    """The deterministic state for the set ``out[:found]``: ``count`` if it is new and added, -2 without room."""
    mask = np.uint64(slots.shape[0] - 1)
    slot = _hash(out, found) & mask
    while slots[np.int64(slot)] >= 0:
        other = slots[np.int64(slot)]
        base = pool_at[other]
        if pool_at[other + 1] - base == found:
            equal = True
            for i in range(found):
                if pool[base + i] != out[i]:
                    equal = False
                    break
            if equal:
                return np.int64(other)
        slot = (slot + np.uint64(1)) & mask
    base = pool_at[count]
    if base + found > pool.shape[0] or count == table.shape[0] or 2 * (count + 1) > slots.shape[0]:
        return np.int64(-2)
    slots[np.int64(slot)] = count
    accepting[count] = False
    for i in range(found):
        pool[base + i] = out[i]
        accepting[count] |= final[out[i]]
    pool_at[count + 1] = base + found
    return np.int64(count)


@njit(cache=True, nogil=True)
def _target(
    seeds, size, eps_at, eps_to, useful, stamp, mark, stack, out, final, count, pool, pool_at, table, slots, accepting
):
    """The deterministic state of the closure of ``seeds`` as `_numbered` says, -1 for the empty set; size, work."""
    found, work = _closure(seeds, size, eps_at, eps_to, useful, stamp, mark, stack, out)
    if not found:
        return np.int64(-1), found, work
    return _numbered(out, found, final, count, pool, pool_at, table, slots, accepting), found, work


@njit(cache=True, nogil=True)
def _roomier(count, found, pool, pool_at, table, slots, accepting):
    """The arrays of `determinise` with room for a state of ``found`` more."""
    pool = grow(pool, pool_at[count] + found)
    if count == table.shape[0]:
        bigger = np.empty((2 * count, table.shape[1]), np.int32)
        bigger[:count] = table
        table = bigger
        pool_at = grow(pool_at, 2 * count + 1)
        accepting = grow(accepting, 2 * count)
    if 2 * (count + 1) > slots.shape[0]:
        slots = np.full(2 * slots.shape[0], -1, np.int32)
        mask = np.uint64(slots.shape[0] - 1)
        for s in range(count):
            slot = _hash(pool[pool_at[s] : pool_at[s + 1]], pool_at[s + 1] - pool_at[s]) & mask
            while slots[np.int64(slot)] >= 0:
                slot = (slot + np.uint64(1)) & mask
            slots[np.int64(slot)] = s
    return pool, pool_at, table, slots, accepting


@njit(cache=True, nogil=True)
def _subsets(
    head, count, mark, left, eps_at, eps_to, edge_at, edge_set, edge_to, set_at, set_class, useful, final, K,
    pool, pool_at, table, slots, accepting, stamp, single, bucket, stack, out, seeds, size, bucket_at,
):  # fmt: skip
    """Rows of the table from ``head`` on, until ``left`` is used up, all is done, or there is no room.

    Returns head, count, mark, left, and how much room is missing in ``pool`` and in ``bucket`` (0: none). A row that
    lacks room is begun again. No array is replaced in here: where one may be, every turn of a loop counts references.
    """
    while head < count and left >= 0:
        lo, hi = pool_at[head], pool_at[head + 1]
        if hi - lo == 1:  # most sets are one state, most of those deterministic: each edge is followed once
            table[head] = -1
            disjoint = True
            for e in range(edge_at[pool[lo]], edge_at[pool[lo] + 1]):
                target = np.int64(single[edge_to[e]])
                if target == -2:
                    seeds[0] = edge_to[e]
                    mark += 1
                    target, found, work_done = _target(
                        seeds, 1, eps_at, eps_to, useful, stamp, mark, stack, out,
                        final, count, pool, pool_at, table, slots, accepting,
                    )  # fmt: skip
                    left -= work_done
                    if target == -2:
                        return head, count, mark, left, found, 0
                    count += target == count
                    single[edge_to[e]] = target
                if target >= 0:
                    left -= set_at[edge_set[e] + 1] - set_at[edge_set[e]]
                    for k in range(set_at[edge_set[e]], set_at[edge_set[e] + 1]):
                        disjoint &= table[head, set_class[k]] == -1 or table[head, set_class[k]] == target
                        table[head, set_class[k]] = target
            left -= K
            if disjoint:
                head += 1
                continue
        size[:] = 0
        for p in range(lo, hi):
            state = pool[p]
            for e in range(edge_at[state], edge_at[state + 1]):
                for k in range(set_at[edge_set[e]], set_at[edge_set[e] + 1]):
                    size[set_class[k]] += 1
        bucket_at[0] = 0
        for k in range(K):
            bucket_at[k + 1] = bucket_at[k] + size[k]
        if bucket_at[K] > bucket.shape[0]:
            return head, count, mark, left, 0, bucket_at[K]
        left -= K + 2 * bucket_at[K]
        size[:] = 0
        for p in range(lo, hi):
            state = pool[p]
            for e in range(edge_at[state], edge_at[state + 1]):
                for k in range(set_at[edge_set[e]], set_at[edge_set[e] + 1]):
                    c = set_class[k]
                    bucket[bucket_at[c] + size[c]] = edge_to[e]
                    size[c] += 1
        for k in range(K):
            if size[k] == 0:
                table[head, k] = -1
                continue
            alone = bucket[bucket_at[k]] if size[k] == 1 else -1
            if alone >= 0 and single[alone] != -2:
                table[head, k] = single[alone]
                continue
            same = -1  # classes that lead to the same targets share one closure
            for j in range(max(0, k - 3), k):
                if size[j] == size[k]:
                    equal = True
                    for i in range(size[k]):
                        if bucket[bucket_at[j] + i] != bucket[bucket_at[k] + i]:
                            equal = False
                            break
                    if equal:
                        same = j
            if same >= 0:
                table[head, k] = table[head, same]
                continue
            mark += 1
            target, found, work_done = _target(
                bucket[bucket_at[k] : bucket_at[k + 1]], size[k], eps_at, eps_to, useful, stamp, mark, stack, out,
                final, count, pool, pool_at, table, slots, accepting,
            )  # fmt: skip
            left -= work_done
            if target == -2:
                return head, count, mark, left, found, 0
            count += target == count
            table[head, k] = target
            if alone >= 0:
                single[alone] = target
        head += 1
    return head, count, mark, left, 0, 0


@njit(cache=True, nogil=True)
def determinise(eps_at, eps_to, edge_at, edge_set, edge_to, set_at, set_class, useful, final, K, work):
    """Run the subset construction for about WORK more edges.

    ``work`` is the tuple of growing arrays made by `new_work`; a new one is returned, with ``head == count`` when the
    construction is complete. Source: Rabin and Scott, 1959.
    """
    head, count, pool, pool_at, table, slots, accepting, mark, stamp, single = work
    n = useful.shape[0]
    stack = np.empty(n + 1, np.int32)
    out = np.empty(n + 1, np.int32)
    size = np.zeros(K, np.int64)
    bucket_at = np.zeros(K + 1, np.int64)
    bucket = np.empty(64, np.int32)
    left = np.int64(WORK)
    seeds = np.zeros(1, np.int32)
    while count == 0:  # the start state: closure of NFA state 0
        mark += 1
        found, _ = _closure(seeds, 1, eps_at, eps_to, useful, stamp, mark, stack, out)
        if _numbered(out, found, final, count, pool, pool_at, table, slots, accepting) == 0:
            count = 1
        else:
            pool, pool_at, table, slots, accepting = _roomier(count, found, pool, pool_at, table, slots, accepting)
    while True:
        head, count, mark, left, lacking, wanted = _subsets(
            head, count, mark, left, eps_at, eps_to, edge_at, edge_set, edge_to, set_at, set_class, useful, final, K,
            pool, pool_at, table, slots, accepting, stamp, single, bucket, stack, out, seeds, size, bucket_at,
        )  # fmt: skip
        bucket = grow(bucket, wanted)
        if lacking:
            pool, pool_at, table, slots, accepting = _roomier(count, lacking, pool, pool_at, table, slots, accepting)
        elif not wanted:
            break
    return head, count, pool, pool_at, table, slots, accepting, mark, stamp, single


def new_work(n: int, K: int):
    """Fresh working arrays of `determinise` for an automaton of ``n`` states and ``K`` byte classes.

    The last remembers where a step to one state alone leads: most steps are of that kind. -2: not met yet.
    """
    return (
        0, 0, np.empty(1024, np.int32), np.zeros(129, np.int64), np.empty((128, K), np.int32),
        np.full(512, -1, np.int32), np.zeros(128, np.bool_), 0, np.zeros(n + 1, np.int64), np.full(n, -2, np.int32),
    )  # fmt: skip


@njit(cache=True, nogil=True)
def class_order(byte_class):
    """The byte classes by their first byte: (that order, the rank of each byte's class in it)."""
    rank = np.full(256, -1, np.int64)
    order = np.empty(256, np.int64)
    ranked = np.empty(256, np.int64)
    count = 0
    for byte in range(256):
        k = byte_class[byte]
        if rank[k] < 0:
            rank[k] = count
            order[count] = k
            count += 1
        ranked[byte] = rank[k]
    return order[:count], ranked


@njit(cache=True, nogil=True)
def by_row(key, n):
    """Where the rows with each key from 0 to ``n`` begin, and the rows in the order of their keys (stable).

    Where one key stands in many rows each count waits for the one before it: two halves are counted side by side.
    """
    half = (key.shape[0] + 1) // 2
    first, second = key[:half], key[half:]
    fill_first, fill_second = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for i in range(second.shape[0]):
        fill_first[first[i]] += 1
        fill_second[second[i]] += 1
    odd = second.shape[0] < half
    if odd:
        fill_first[first[half - 1]] += 1
    at = np.zeros(n + 1, np.int64)
    filled = 0
    for k in range(n):
        filled, fill_first[k] = filled + fill_first[k], filled
        filled, fill_second[k] = filled + fill_second[k], filled
        at[k + 1] = filled
    order = np.empty(key.shape[0], np.int32)
    for i in range(second.shape[0]):
        k = first[i]
        order[fill_first[k]] = i
        fill_first[k] += 1
        k = second[i]
        order[fill_second[k]] = half + i
        fill_second[k] += 1
    if odd:
        order[fill_first[first[half - 1]]] = half - 1
    return at, order


@njit(cache=True, nogil=True)
def merge_columns(table):
    """Equal columns of a two-dimensional array share a number: (number of each column, first column of each number).

    Numbers follow the first appearance.
    """
    S, K = table.shape
    hashes = np.full(K, np.uint64(1469598103934665603))
    for s in range(S):
        for k in range(K):
            hashes[k] = (hashes[k] ^ np.uint64(table[s, k] + 1)) * np.uint64(1099511628211)
            hashes[k] ^= hashes[k] >> np.uint64(29)
    number = np.empty(K, np.int64)
    first = np.empty(K, np.int64)
    count = 0
    for k in range(K):
        number[k] = count
        for j in range(count):
            if hashes[first[j]] == hashes[k]:
                same = True
                for s in range(S):
                    if table[s, first[j]] != table[s, k]:
                        same = False
                        break
                if same:
                    number[k] = j
                    break
        if number[k] == count:
            first[count] = k
            count += 1
    return number, first[:count]


@njit(cache=True, nogil=True)
def joined(table):
    """Pairs of states with some transition, by source and target, and by which classes: (source, target, set, sets).

    ``sets`` is uint64[n, 4], one bit a class, in the order of their first pair; ``set`` numbers its rows.
    """
    S, K = table.shape
    source, target, number = np.empty(1024, np.int32), np.empty(1024, np.int32), np.empty(1024, np.int64)
    sets = np.empty((64, 4), np.uint64)
    slots = np.full(256, -1, np.int32)
    here, members = np.empty(K, np.int32), np.zeros((K, 4), np.uint64)
    pairs, count = 0, 0
    for s in range(S):
        found = 0
        for k in range(K):
            t = table[s, k]
            if t < 0:
                continue
            j = found  # targets so far, ascending; most classes go where the class before went
            while j and here[j - 1] > t:
                j -= 1
            if j == 0 or here[j - 1] != t:
                for i in range(found, j, -1):
                    here[i] = here[i - 1]
                    members[i] = members[i - 1]
                here[j] = t
                members[j] = 0
                found += 1
                j += 1
            members[j - 1, k >> 6] |= np.uint64(1) << np.uint64(k & 63)
        source, target, number = grow(source, pairs + found), grow(target, pairs + found), grow(number, pairs + found)
        for j in range(found):
            slot = _set_slot(members[j], sets, slots)
            which = slots[slot]
            if which < 0:
                which = slots[slot] = count
                if count == sets.shape[0]:
                    bigger = np.empty((2 * count, 4), np.uint64)
                    bigger[:count] = sets
                    sets = bigger
                sets[count] = members[j]
                count += 1
                if 2 * count > slots.shape[0]:
                    slots = np.full(2 * slots.shape[0], -1, np.int32)
                    for i in range(count):
                        slots[_set_slot(sets[i], sets, slots)] = i
            source[pairs], target[pairs], number[pairs] = s, here[j], which
            pairs += 1
    return source[:pairs], target[:pairs], number[:pairs], sets[:count]


@njit(cache=True, nogil=True)
def _set_slot(members, sets, slots):
    """Where a set of classes stands in ``slots``, or the free place for it."""
    h = np.uint64(1469598103934665603)
    for i in range(4):
        h = (h ^ members[i]) * np.uint64(1099511628211)
        h ^= h >> np.uint64(29)
    mask = np.uint64(slots.shape[0] - 1)
    slot = h & mask
    while slots[np.int64(slot)] >= 0:
        other, same = slots[np.int64(slot)], True
        for i in range(4):
            same &= sets[other, i] == members[i]
        if same:
            break
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)


@njit(cache=True, nogil=True)
def product(table_a, final_a, class_a, table_b, final_b, class_b, K, truth, limit):
    """Pairs of states of two automata (dead = -1 counts as a state), accepting by ``truth[2 * in_a + in_b]``.

    ``class_a[k]`` and ``class_b[k]`` are each automaton's own byte class for joint class ``k``. Returns the table, the
    accepting flags and whether ``limit`` states sufficed.
    """
    A, B = table_a.shape[0], table_b.shape[0]
    width = np.int64(B + 1)
    capacity = 256
    slots = np.full(2 * capacity, -1, np.int32)
    pairs = np.empty(capacity, np.int64)
    table = np.empty((capacity, K), np.int32)
    pairs[0] = 0 * width + 0 if A and B else (np.int64(A) if not A else 0) * width
    count, head = 1, 0
    mask = np.uint64(slots.shape[0] - 1)
    slots[np.int64((np.uint64(pairs[0]) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(20)) & mask)] = 0
    keep_a, keep_b = truth[2], truth[1]  # without the other side: can acceptance still follow?
    while head < count:
        a = pairs[head] // width
        b = pairs[head] % width
        for k in range(K):
            ta = np.int64(table_a[a, class_a[k]]) if a < A else np.int64(-1)
            tb = np.int64(table_b[b, class_b[k]]) if b < B else np.int64(-1)
            if ta < 0:
                ta = np.int64(A)
            if tb < 0:
                tb = np.int64(B)
            if not truth[0]:
                if (ta == A and tb == B) or (ta == A and not keep_b) or (tb == B and not keep_a):
                    table[head, k] = -1
                    continue
            key = ta * width + tb
            slot = (np.uint64(key) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(20)) & mask
            while slots[np.int64(slot)] >= 0 and pairs[slots[np.int64(slot)]] != key:
                slot = (slot + np.uint64(1)) & mask
            target = slots[np.int64(slot)]
            if target < 0:
                if count >= limit:
                    return table, np.zeros(0, np.bool_), False
                target = count
                slots[np.int64(slot)] = target
                if count + 1 > pairs.shape[0]:
                    pairs = grow(pairs, 2 * pairs.shape[0])
                    bigger = np.empty((2 * table.shape[0], K), np.int32)
                    bigger[: table.shape[0]] = table
                    table = bigger
                pairs[count] = key
                count += 1
                if 2 * count > slots.shape[0]:
                    slots = np.full(2 * slots.shape[0], -1, np.int32)
                    mask = np.uint64(slots.shape[0] - 1)
                    for s in range(count):
                        slot = (np.uint64(pairs[s]) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(20)) & mask
                        while slots[np.int64(slot)] >= 0:
                            slot = (slot + np.uint64(1)) & mask
                        slots[np.int64(slot)] = s
            table[head, k] = target
        head += 1
    final = np.zeros(count, np.bool_)
    for s in range(count):
        a = pairs[s] // width
        b = pairs[s] % width
        index = 2 * np.int64(a < A and final_a[a]) + np.int64(b < B and final_b[b])
        final[s] = truth[index]
    return table[:count], final, True
