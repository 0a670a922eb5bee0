"""The class reduction: the only part of a step that reads all V logits of a position.

Everything later works on C numbers a position. Sums are relative to the position's best logit; a class that lies so far
below it that its sum would underflow is summed again relative to its own best.
"""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit

from structdiff.errors import GenerationError

THREADS = min(os.cpu_count() or 1, 8)
PARALLEL_FROM = 1 << 21
"""Rows are spread over threads from this many logits on."""

FLOOR = -1e30
"""Stands in for -inf: a token that the model excludes but the constraint may need."""


@dataclass(frozen=True, eq=False)
class Reduction:
    """Per position i and class c, probabilities being softmax(logits / temperature) over all V tokens:

    ``mass[i, c]`` log of the class's probability (-inf for an empty class); ``top[i, c]``, ``top_token[i, c]`` its
    best token's log probability and id; ``mean[i, c]`` the mean log probability of its tokens under the class's own
    distribution; ``log_z[i]`` so that log p(v) = logits[i, v] / temperature - log_z[i]; ``entropy[i]`` of the whole
    distribution, in nats; ``argmax[i]`` its best token.
    """

    mass: np.ndarray
    top: np.ndarray
    top_token: np.ndarray
    mean: np.ndarray
    log_z: np.ndarray
    entropy: np.ndarray
    argmax: np.ndarray


CHUNK = 2048
LOG2E, LN2_HIGH, LN2_LOW = 1.4426950408889634, 6.93147180369123816490e-01, 1.90821492927058770002e-10


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def exp_chunk(x, out, bits, count):
    """out = exp(x) for -700 <= x <= 0, to 2 units in the last place: a loop that compiles to vector code.

    Cody and Waite's reduction by multiples of log 2, then the Taylor polynomial of degree 13 on [-0.35, 0.35].
    """
    for j in range(count):
        k = np.floor(x[j] * LOG2E + 0.5)
        r = (x[j] - k * LN2_HIGH) - k * LN2_LOW
        p = 1.0 / 6227020800.0
        p = p * r + 1.0 / 479001600.0
        p = p * r + 1.0 / 39916800.0
        p = p * r + 1.0 / 3628800.0
        p = p * r + 1.0 / 362880.0
        p = p * r + 1.0 / 40320.0
        p = p * r + 1.0 / 5040.0
        p = p * r + 1.0 / 720.0
        p = p * r + 1.0 / 120.0
        p = p * r + 1.0 / 24.0
        p = p * r + 1.0 / 6.0
        p = p * r + 0.5
        p = p * r + 1.0
        out[j] = p * r + 1.0
        bits[j] = (np.int64(k) + 1023) << 52
    power = bits.view(np.float64)
    for j in range(count):
        out[j] *= power[j]


@njit(cache=True, nogil=True)
def _exact_class(logits, i, scale, members, high):
    """(sum of exp(d), sum of d exp(d)) of a class relative to its own best logit, where it is far below the row's."""
    total = 0.0
    moment = 0.0
    for k in range(members.shape[0]):
        d = (max(np.float64(logits[i, members[k]]), FLOOR) - high) * scale
        if d > -700.0:
            p = np.exp(d)
            total += p
            moment += p * d
    return total, moment


@njit(cache=True, nogil=True)
def _reduce(logits, scale, class_of, class_at, class_token, rows, mass, top, top_token, mean, log_z, entropy, argmax):
    V = logits.shape[1]
    C = class_at.shape[0] - 1
    total = np.empty((4, C))
    moment = np.empty((4, C))
    best = np.empty(C, np.float32)
    d = np.empty(CHUNK)
    e = np.empty(CHUNK)
    bits = np.empty(CHUNK, np.int64)
    for i in range(rows[0], rows[1]):
        high = np.float32(-np.inf)
        finite = True
        for v in range(V):
            x = logits[i, v]
            finite &= x < np.inf  # false for NaN and +inf
            high = max(high, x)
        if not finite:
            return i
        peak = max(np.float64(high), FLOOR)
        best[:] = -np.inf
        total[:] = 0.0
        moment[:] = 0.0
        for lo in range(0, V, CHUNK):
            count = min(CHUNK, V - lo)
            for j in range(count):
                d[j] = max((np.float64(logits[i, lo + j]) - peak) * scale, -700.0)
            exp_chunk(d, e, bits, count)
            for j in range(count):
                c = class_of[lo + j]
                bank = j & 3  # four sums a class: an addition does not wait for the one before
                total[bank, c] += e[j]
                moment[bank, c] += e[j] * d[j]
                if logits[i, lo + j] > best[c]:
                    best[c] = logits[i, lo + j]
                    top_token[i, c] = lo + j
        z = 0.0
        where = -1
        for c in range(C):
            if class_at[c + 1] == class_at[c]:
                continue
            if best[c] == -np.inf:
                top_token[i, c] = class_token[class_at[c]]
            for bank in range(1, 4):
                total[0, c] += total[bank, c]
                moment[0, c] += moment[bank, c]
            top[i, c] = (max(np.float64(best[c]), FLOOR) - peak) * scale
            if top[i, c] > -600.0:
                z += total[0, c]
            if (
                where < 0
                or top[i, c] > top[i, where]
                or (top[i, c] == top[i, where] and top_token[i, c] < top_token[i, where])
            ):
                where = c
        log_sum = np.log(z)
        log_z[i] = peak * scale + log_sum
        argmax[i] = top_token[i, where]
        h = 0.0
        for c in range(C):
            if class_at[c + 1] == class_at[c]:
                top_token[i, c] = -1
                mass[i, c] = -np.inf
                top[i, c] = -np.inf
                mean[i, c] = 0.0
                continue
            if top[i, c] > -600.0:
                t, m, offset = total[0, c], moment[0, c], -log_sum
            else:
                members = class_token[class_at[c] : class_at[c + 1]]
                t, m = _exact_class(logits, i, scale, members, max(np.float64(best[c]), FLOOR))
                offset = top[i, c] - log_sum
            top[i, c] -= log_sum
            mass[i, c] = offset + np.log(t)
            mean[i, c] = offset + m / t
            h -= np.exp(mass[i, c]) * mean[i, c]
        entropy[i] = max(h, 0.0)
    return -1


def reduce_classes(
    logits: np.ndarray, temperature: float, class_of: np.ndarray, class_at: np.ndarray, class_token: np.ndarray
) -> Reduction:
    """Reduce float32[n, V] logits to C classes (arrays: see `TokenAutomaton`); raises `GenerationError` on NaN or +inf.

    The logits are read twice: once for the row's maximum, once for everything else, while the row is in the cache.

    >>> log = np.log(np.array([[.5, .25, .25]], np.float32))
    >>> of, at, token = np.array([1, 2, 2], np.int32), np.array([0, 0, 1, 3]), np.array([0, 1, 2], np.int32)
    >>> r = reduce_classes(log, 1.0, of, at, token)
    >>> np.exp(r.mass).round(6).tolist(), r.argmax.tolist(), round(float(r.entropy[0]), 4)
    ([[0.0, 0.5, 0.5]], [0], 1.0397)
    """
    n, classes = len(logits), len(class_at) - 1
    mass, top, mean = (np.empty((n, classes)) for _ in range(3))
    top_token = np.empty((n, classes), np.int32)
    log_z, entropy, argmax = np.empty(n), np.empty(n), np.empty(n, np.int32)

    def part(first: int, last: int) -> int:
        return _reduce(
            logits, 1.0 / temperature, class_of, class_at, class_token, np.array([first, last]), mass, top, top_token,
            mean, log_z, entropy, argmax,
        )  # fmt: skip

    if logits.size < PARALLEL_FROM or THREADS == 1:
        bad = part(0, n)
    else:
        cuts = np.linspace(0, n, THREADS + 1).astype(int)
        bad = max(_pool().map(part, cuts[:-1], cuts[1:]))
    if bad >= 0:
        raise GenerationError(f"the model's logits at canvas position {bad} contain NaN or +inf; nothing can be drawn")
    return Reduction(mass, top, top_token, mean, log_z, entropy, argmax)


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="structdiff-reduce")
