"""The compiled loops of the class reduction."""

from __future__ import annotations

import numpy as np
from numba import njit

FLOOR = -1e30
"""Stands in for -inf: a token that the model excludes but the constraint may need."""

CHUNK = 256
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
def _exact_class(logits, i, scale, members):
    """(best logit, its token, sum of exp(d), sum of d exp(d)) of a class relative to its own best logit."""
    token = members[0]
    high = max(np.float64(logits[i, token]), FLOOR)
    for v in members:
        if logits[i, v] > high:
            high = np.float64(logits[i, v])
            token = v
    total = 0.0
    moment = 0.0
    for v in members:
        d = (max(np.float64(logits[i, v]), FLOOR) - high) * scale
        if d > -700.0:
            p = np.exp(d)
            total += p
            moment += p * d
    return high, token, total, moment


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz", "nnan"})
def _sums(d, e, lo, hi):
    """(sum of e, sum of e d, largest d) between two places: loops that compile to vector code."""
    total = 0.0
    moment = 0.0
    high = -1e308
    for j in range(lo, hi):
        total += e[j]
        moment += e[j] * d[j]
        high = max(high, d[j])
    return total, moment, high


@njit(cache=True, nogil=True)
def _extremes(bits):
    """(largest, smallest) of float32 values given as int32 bits, as integers in the same order: comparisons of integers
    compile to vector code. NaN lies above +inf or below -inf, by its sign."""
    high = np.int32(-(2**31))
    low = np.int32(2**31 - 1)
    for j in range(bits.shape[0]):
        key = bits[j] ^ ((bits[j] >> np.int32(31)) & np.int32(0x7FFFFFFF))
        high = key if key > high else high
        low = key if key < low else low
    return high, low


PLUS_INFINITY, MINUS_INFINITY = 0x7F800000, -0x7F800001
"""Their places in that order."""


@njit(cache=True, nogil=True)
def gather(logits, i, tokens, lo, count, high, scale, d):
    """d[j] = (logit of tokens[lo + j] - high) * scale, at least -700."""
    for j in range(count):
        d[j] = max((np.float64(logits[i, tokens[lo + j]]) - high) * scale, -700.0)


@njit(cache=True, nogil=True)
def reduce_rows(
    logits, bits, scale, class_at, class_token, rows, mass, top, top_token, mean, log_z, entropy, argmax, chunk_mass
):  # fmt: skip
    V = logits.shape[1]
    C = class_at.shape[0] - 1
    total = np.empty(C)
    moment = np.empty(C)
    d = np.empty(CHUNK)
    e = np.empty(CHUNK)
    exponent = np.empty(CHUNK, np.int64)
    key = np.empty(1, np.int32)
    for i in range(rows[0], rows[1]):
        key[0], low = _extremes(bits[i])
        if key[0] >= PLUS_INFINITY or low < MINUS_INFINITY:
            return i
        key[0] ^= (key[0] >> np.int32(31)) & np.int32(0x7FFFFFFF)
        peak = max(np.float64(key.view(np.float32)[0]), FLOOR)
        total[:] = 0.0
        moment[:] = 0.0
        top[i] = -np.inf
        top_token[i] = -1
        c = 0
        for lo in range(0, V, CHUNK):  # class by class: the tokens of a class stand together
            count = min(CHUNK, V - lo)
            gather(logits, i, class_token, lo, count, peak, scale, d)
            exp_chunk(d, e, exponent, count)
            whole = 0.0
            at = lo
            while at < lo + count:
                while class_at[c + 1] <= at:
                    c += 1
                end = min(class_at[c + 1], lo + count)
                t, m, high = _sums(d, e, at - lo, end - lo)
                whole += t
                total[c] += t
                moment[c] += m
                if high > top[i, c]:
                    top[i, c] = high
                    j = at - lo
                    while d[j] != high:
                        j += 1
                    top_token[i, c] = class_token[lo + j]
                at = end
            chunk_mass[i, lo // CHUNK] = whole
        z = 0.0
        where = -1
        for c in range(C):
            if class_at[c + 1] == class_at[c]:
                continue
            if top[i, c] > -600.0:
                z += total[c]
            else:
                members = class_token[class_at[c] : class_at[c + 1]]
                high, top_token[i, c], total[c], moment[c] = _exact_class(logits, i, scale, members)
                top[i, c] = (high - peak) * scale
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
                mass[i, c] = -np.inf
                mean[i, c] = 0.0
                continue
            offset = -log_sum if top[i, c] > -600.0 else top[i, c] - log_sum
            top[i, c] -= log_sum
            mass[i, c] = offset + np.log(total[c])
            mean[i, c] = offset + moment[c] / total[c]
            h -= np.exp(mass[i, c]) * mean[i, c]
        entropy[i] = max(h, 0.0)
    return -1
