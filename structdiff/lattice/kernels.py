"""Forward, backward, draw and maximum on the live edges of a frame.

Probabilities are pairs (m, k) that stand for m * 2^(256 k), with m in [2^-128, 2^128) and an integer k: no sum under-
or overflows, whatever the logits, and no edge costs an exponential. The sum over a state's edges is first taken in
plain doubles, relative to the largest mass at the next position, by a loop without branches; only where that is not
certain to hold every digit (`_sure`) it is taken again in pairs. That happens to states some 1e-450 below the likeliest
of their position.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from structdiff.lattice.reduction_kernels import CHUNK, FLOOR, exp_chunk, gather

LOG_UNIT = 256 * math.log(2.0)
BIG, SMALL, UNIT, INVERSE_UNIT = 2.0**128, 2.0**-128, 2.0**256, 2.0**-256
NEVER = -(1 << 40)
"""k of weights that are as good as zero: 256 positions of them still add up exactly."""
REACH = 3
"""Terms this many units apart and more do not touch each other's digits: each m of a product spans 2^-256 to 2^256."""
LIFT = 3
"""Plain doubles stand this many units above the largest k of their position, which leaves six units below it."""
NEGLIGIBLE = 1e-30
EXCLUDED = -(1 << 52)
"""k of labels that a certain token excludes: below any canvas whose tokens the model rules out, one and all."""
SCALE = 2.0 ** (-256.0 * np.arange(-3, 4))
"""SCALE[3 + d] = 2^(-256 d)."""


@njit(cache=True, nogil=True)
def _pair(log):
    """exp(log) as (m, k)."""
    k = np.floor(log / LOG_UNIT + 0.5)
    if k < NEVER:
        return 1.0, np.int64(NEVER)
    return np.exp(log - k * LOG_UNIT), np.int64(k)


@njit(cache=True, nogil=True)
def _add(m, k, x, kx):
    """The sum of two pairs whose m may span 2^-256 to 2^256."""
    if kx == k:
        return m + x, k
    d = k - kx
    if d > 0:
        return (m + x * SCALE[3 + d], k) if d < REACH else (m, k)
    return (m * SCALE[3 - d] + x, kx) if -d < REACH else (x, kx)


@njit(cache=True, nogil=True)
def _normal(m, k):
    """The same pair with m in [2^-128, 2^128)."""
    while m >= BIG:
        m *= INVERSE_UNIT
        k += 1
    while 0.0 < m < SMALL:
        m *= UNIT
        k -= 1
    return m, k


@njit(cache=True, nogil=True)
def label_weights(mass, top, block, labels_at, labels, label_at, label_class, gamma, end_class, L):
    """For live labels: plain[i, l] = log p(label), p(label)^gamma as a plain double (0 below 2^-896) and as a pair,
    best[i, l] = log p(its best token)."""
    n = block.shape[0]
    double = np.zeros((n, L + 2))
    m = np.zeros((n, L + 2))
    k_of = np.zeros((n, L + 2), np.int64)
    probability = np.empty(mass.shape[1])
    plain = np.full((n, L + 2), -np.inf)
    best = np.full((n, L + 2), -np.inf)
    for i in range(n):
        b = block[i]
        for c in range(mass.shape[1]):
            probability[c] = np.exp(mass[i, c])
        for k in range(labels_at[b], labels_at[b + 1]):
            l = labels[k]
            if l == L + 1:
                plain[i, l] = 0.0
                best[i, l] = 0.0
            elif l == L:
                plain[i, l] = mass[i, end_class]
                best[i, l] = top[i, end_class]
            else:
                high = -np.inf
                total = 0.0
                for j in range(label_at[l], label_at[l + 1]):
                    c = label_class[j]
                    high = max(high, top[i, c])
                    total += probability[c]
                best[i, l] = high
                if total > 1e-250:
                    plain[i, l] = np.log(total)
                    if gamma == 1.0:  # the weight is the sum itself: no exponential
                        m[i, l], k_of[i, l] = _normal(total, 0)
                        double[i, l] = total
                        continue
                else:
                    plain[i, l] = _log_sum(mass[i], label_class[label_at[l] : label_at[l + 1]])
            m[i, l], k_of[i, l] = _pair(gamma * plain[i, l])
            if k_of[i, l] >= -3:
                double[i, l] = m[i, l] * SCALE[3 - k_of[i, l]]
    return plain, double, m, k_of, best


@njit(cache=True, nogil=True)
def make_certain(klass, plain, double, m, k_of, best, block, labels_at, labels, label_at, label_class, end_class, L):
    """Overwrite what `label_weights` found at positions whose token is known, of class ``klass[i]`` (-1: not known).

    A label that holds the class weighs one, and so does the tail, which holds any token; the others are as good as
    zero, even beside labels that the model excludes.
    """
    for i in range(block.shape[0]):
        if klass[i] < 0:
            continue
        for at in range(labels_at[block[i]], labels_at[block[i] + 1]):
            l = labels[at]
            holds = l == L + 1 or (l == L and klass[i] == end_class)
            if l < L:
                for j in range(label_at[l], label_at[l + 1]):
                    holds |= label_class[j] == klass[i]
            plain[i, l] = 0.0 if holds else -np.inf
            best[i, l] = plain[i, l]
            double[i, l] = 1.0 if holds else 0.0
            m[i, l] = 1.0
            k_of[i, l] = 0 if holds else EXCLUDED


@njit(cache=True, nogil=True)
def _log_sum(values, members):
    """The log of the sum of exp(values[members]), relative to the largest."""
    peak = -np.inf
    for c in members:
        peak = max(peak, values[c])
    total = 0.0
    for c in members:
        total += np.exp(values[c] - peak)
    return peak + np.log(total)


@njit(cache=True, nogil=True)
def _logaddexp(a, b):
    if a < b:
        a, b = b, a
    if b == -np.inf:
        return a
    return a + np.log1p(np.exp(b - a))


@njit(cache=True, nogil=True)
def _sure(weight, weight_k, labels):
    """From which sum on plain doubles hold every digit at a position with these live labels.

    With 2^24 edges of a state, what is left out stays 2^-72 below the sum: masses seven units and more below the
    largest (2^-896 in plain doubles), and weights of k < -3 (2^-896, before masses of at most 2^896).
    """
    for l in labels:
        if weight_k[l] < -3:
            return 2.0**100
    return 2.0**-800


@njit(cache=True, nogil=True)
def _spread(states, beta, beta_k, double):
    """Lay the masses of live states out by state, as plain doubles; returns k of the doubles."""
    top = beta_k.max()
    for p in range(states.shape[0]):
        d = top - beta_k[p] - LIFT
        double[states[p]] = beta[p] * SCALE[3 + d] if d <= 3 else 0.0
    return top - LIFT


@njit(cache=True, nogil=True)
def _place(state, lo, hi, s):
    """Where ``s`` stands in the ascending state[lo:hi], or -1."""
    end = hi
    while lo < hi:
        middle = (lo + hi) >> 1
        if state[middle] < s:
            lo = middle + 1
        else:
            hi = middle
    return lo if lo < end and state[lo] == s else -1


@njit(cache=True, nogil=True)
def sum_of_pairs(weight, weight_k, beta, beta_k, state, first, end, label, target, lo, hi):
    """The sum of weight x mass over the edges lo..hi in pairs, for any weights; the states behind them stand in
    state[first:end]. What `backward` finds in plain doubles must equal it where that is sure."""
    m, k = 0.0, np.int64(NEVER) * (1 << 20)
    for e in range(lo, hi):
        p, l = _place(state, first, end, target[e]), label[e]
        if p >= 0:
            m, k = _add(m, k, weight[l] * beta[p], weight_k[l] + beta_k[p])
    return m, k


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def backward(at, state, edge_at, target, label, block, labels_at, labels, double, weight, weight_k):
    """The mass behind every live state, as pairs (beta, beta_k).

    The loop over a state's edges stands here, two at a time: calls and rows of arrays cost more than a few edges do.
    """
    n = block.shape[0]
    beta = np.ones(at[n + 1])
    beta_k = np.zeros(at[n + 1], np.int64)
    mass = np.zeros(edge_at.shape[0] - 1)
    for i in range(n - 1, -1, -1):
        lo, hi = at[i + 1], at[i + 2]
        top = _spread(state[lo:hi], beta[lo:hi], beta_k[lo:hi], mass)
        sure = _sure(weight[i], weight_k[i], labels[labels_at[block[i]] : labels_at[block[i] + 1]])
        own, own_m, own_k = double[i], weight[i], weight_k[i]
        for q in range(at[i], lo):
            first, last = edge_at[state[q]], edge_at[state[q] + 1]
            m, other, e = 0.0, 0.0, first
            for _ in range((last - first) >> 1):
                m += own[label[e]] * mass[target[e]]
                other += own[label[e + 1]] * mass[target[e + 1]]
                e += 2
            if e < last:
                m += own[label[e]] * mass[target[e]]
            m, k = m + other, top
            if m < sure:
                m, k = sum_of_pairs(own_m, own_k, beta, beta_k, state, lo, hi, label, target, first, last)
            if m >= BIG or m < SMALL:
                m, k = _normal(m, k)
            beta[q] = m
            beta_k[q] = k
        for p in range(lo, hi):
            mass[state[p]] = 0.0
    return beta, beta_k


@njit(cache=True, nogil=True)
def forward(at, state, edge_at, target, label, block, labels_at, labels, double, weight, weight_k, beta, beta_k):
    """The posterior mass of each label, float64[n, L + 2].

    The mass of a state flows to its edges by weight x beta. States that less than ``NEGLIGIBLE`` of it passes through
    are left out: over a whole canvas that changes no probability by more than the states times the positions of it.
    """
    n = block.shape[0]
    marginal = np.zeros(weight.shape)
    mass = np.zeros(edge_at.shape[0] - 1)
    flow = np.zeros(edge_at.shape[0] - 1)
    after = np.zeros(edge_at.shape[0] - 1)
    flow[state[0]] = 1.0
    for i in range(n):
        lo, hi = at[i + 1], at[i + 2]
        top = _spread(state[lo:hi], beta[lo:hi], beta_k[lo:hi], mass)
        sure = _sure(weight[i], weight_k[i], labels[labels_at[block[i]] : labels_at[block[i] + 1]])
        for q in range(at[i], lo):
            s = state[q]
            here = flow[s]
            flow[s] = 0.0
            if here < NEGLIGIBLE:
                continue
            d = top - beta_k[q]
            own = beta[q] * SCALE[3 + d] if -3 <= d <= 3 else 0.0
            if own >= sure:
                share = here / own
                for e in range(edge_at[s], edge_at[s + 1]):
                    x = double[i, label[e]] * mass[target[e]] * share
                    marginal[i, label[e]] += x
                    after[target[e]] += x
                continue
            share = here / beta[q]
            for e in range(edge_at[s], edge_at[s + 1]):
                p, l = _place(state, lo, hi, target[e]), label[e]
                if p >= 0:
                    d = weight_k[i, l] + beta_k[p] - beta_k[q]
                    if -REACH <= d <= REACH:
                        x = weight[i, l] * beta[p] * SCALE[3 - d] * share
                        marginal[i, l] += x
                        after[target[e]] += x
        for p in range(lo, hi):
            mass[state[p]] = 0.0
        flow, after = after, flow
    return marginal


@njit(cache=True, nogil=True)
def draw(at, state, edge_at, target, label, weight, weight_k, beta, beta_k, uniform):
    """A joint draw of the label of every position, from the start by weight x beta; also the state behind them."""
    n = uniform.shape[0]
    out = np.empty(n, np.int32)
    q = np.int64(0)
    for i in range(n):
        s = state[q]
        goal = uniform[i] * beta[q]
        running = 0.0
        chosen = np.int64(-1)
        for e in range(edge_at[s], edge_at[s + 1]):
            p = _place(state, at[i + 1], at[i + 2], target[e])
            if p < 0:
                continue
            d = weight_k[i, label[e]] + beta_k[p] - beta_k[q]
            share = weight[i, label[e]] * beta[p] * SCALE[3 - d] if -REACH <= d <= REACH else 0.0
            if share > 0.0 or chosen < 0:
                out[i] = label[e]
                chosen = p
            running += share
            if running > goal:
                break
        q = chosen
    return out, state[q]


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def maximum(at, state, edge_at, target, label, best):
    """The labels of a joint maximum (Viterbi), the state behind them and its log score.

    Values are found for all states from the end; the edges that attain them only along the path, the first of equals.
    """
    n = best.shape[0]
    value = np.zeros(at[n + 1])
    there = np.full(edge_at.shape[0] - 1, -np.inf)
    for i in range(n - 1, -1, -1):
        for p in range(at[i + 1], at[i + 2]):
            there[state[p]] = value[p]
        own = best[i]
        for q in range(at[i], at[i + 1]):
            last = edge_at[state[q] + 1]
            high, other, e = -np.inf, -np.inf, edge_at[state[q]]
            for _ in range((last - e) >> 1):
                high = max(high, own[label[e]] + there[target[e]])
                other = max(other, own[label[e + 1]] + there[target[e + 1]])
                e += 2
            if e < last:
                high = max(high, own[label[e]] + there[target[e]])
            value[q] = max(high, other)
        for p in range(at[i + 1], at[i + 2]):
            there[state[p]] = -np.inf
    out = np.empty(n, np.int32)
    at_place = np.int64(0)
    for i in range(n):
        s = state[at_place]
        goal = value[at_place]
        for e in range(edge_at[s], edge_at[s + 1]):
            p = _place(state, at[i + 1], at[i + 2], target[e])
            if p >= 0:
                at_place = p
                out[i] = label[e]
                if best[i, label[e]] + value[p] >= goal:
                    break
    return out, state[at_place], value[0]


@njit(cache=True, nogil=True)
def top_tokens(labels, top, top_token, argmax, label_at, label_class, end_class, L):
    """The best token of each position's label; the model's own best token in the tail."""
    n = labels.shape[0]
    out = np.empty(n, np.int64)
    for i in range(n):
        l = labels[i]
        if l == L + 1:
            out[i] = argmax[i]
        elif l == L:
            out[i] = top_token[i, end_class]
        else:
            high = -np.inf
            out[i] = -1
            for j in range(label_at[l], label_at[l + 1]):
                c = label_class[j]
                if top[i, c] > high or (top[i, c] == high and top_token[i, c] < out[i]) or out[i] < 0:
                    high = top[i, c]
                    out[i] = top_token[i, c]
    return out


@njit(cache=True, nogil=True)
def _draw_between(logits, i, scale, argmax, class_token, chunk_mass, lo, hi, without, goal, d, e, bits):
    """The token of ``class_token[lo:hi]`` where the running sum of p(v) / p(best token) passes ``goal``.

    The token at place ``without`` does not count (-1: all do). Chunks inside are passed by their mass; only those that
    are cut, or hold that place or the goal, are summed anew.
    """
    high = max(np.float64(logits[i, argmax]), FLOOR)
    token = class_token[lo]
    while lo < hi:
        chunk = lo // CHUNK
        end = min((chunk + 1) * CHUNK, hi)
        if end - lo == CHUNK and goal >= chunk_mass[chunk] and not lo <= without < end:
            goal -= chunk_mass[chunk]
            lo = end
            continue
        gather(logits, i, class_token, lo, end - lo, high, scale, d)
        exp_chunk(d, e, bits, end - lo)
        for j in range(end - lo):
            if d[j] > -700.0 and lo + j != without:
                token = class_token[lo + j]
                goal -= e[j]
                if goal < 0.0:
                    return token
        lo = end
    return token


@njit(cache=True, nogil=True)
def draw_classes(labels, mass, label_at, label_class, end_class, L, uniform):
    """int32[n]: a class of each position's label, by the model's own mass; -1 in the tail (all tokens)."""
    n = labels.shape[0]
    out = np.full(n, -1, np.int32)
    for i in range(n):
        l = labels[i]
        if l == L:
            out[i] = end_class
        if l >= L:
            continue
        lo, hi = label_at[l], label_at[l + 1]
        peak = -np.inf
        for j in range(lo, hi):
            peak = max(peak, mass[i, label_class[j]])
        total = 0.0
        for j in range(lo, hi):
            total += np.exp(mass[i, label_class[j]] - peak)
        goal = uniform[i] * total
        running = 0.0
        for j in range(lo, hi):
            share = np.exp(mass[i, label_class[j]] - peak)
            if share > 0.0:
                out[i] = label_class[j]
            running += share
            if running > goal:
                break
    return out


@njit(cache=True, nogil=True)
def draw_tokens(classes, logits, scale, mass, top, top_token, argmax, chunk_mass, class_at, class_token, uniform):
    """A token of each position's class (-1: of all) from the model's own distribution; ``uniform`` is float64[n]."""
    n = classes.shape[0]
    out = np.empty(n, np.int64)
    d = np.empty(CHUNK)
    e = np.empty(CHUNK)
    bits = np.empty(CHUNK, np.int64)
    for i in range(n):
        c = classes[i]
        if c < 0:
            goal = uniform[i] * chunk_mass[i].sum()
            out[i] = _draw_between(
                logits, i, scale, argmax[i], class_token, chunk_mass[i], 0, logits.shape[1], -1, goal, d, e, bits
            )
            continue
        lo, hi = class_at[c], class_at[c + 1]
        if hi - lo == 1:
            out[i] = class_token[lo]
            continue
        # Inverse transform with the best token first: where the model is sure, one comparison decides.
        token = top_token[i, c]
        goal = uniform[i] * np.exp(mass[i, c] - top[i, c])
        running = 1.0
        if goal >= running:
            high = max(np.float64(logits[i, token]), FLOOR)
            best = top[i].max()
            if hi - lo > CHUNK and top[i, c] - best > -600.0:
                first_place = lo + np.searchsorted(class_token[lo:hi], token)
                goal = (goal - running) * np.exp(top[i, c] - best)
                out[i] = _draw_between(
                    logits, i, scale, argmax[i], class_token, chunk_mass[i], lo, hi, first_place, goal, d, e, bits
                )
                continue
            first = token
            k = lo
            while k < hi and running <= goal:
                count = min(CHUNK, hi - k)
                gather(logits, i, class_token, k, count, high, scale, d)
                exp_chunk(d, e, bits, count)
                for j in range(count):
                    if class_token[k + j] != first and d[j] > -700.0:
                        token = class_token[k + j]
                        running += e[j]
                        if running > goal:
                            break
                k += count
        out[i] = token
    return out


@njit(cache=True, nogil=True)
def token_factors(mass, mean, plain, marginal, block, labels_at, labels, label_at, label_class, end_class, L):
    """(log ratio posterior / own of the tokens of each class [n, C], posterior entropy [n], live text mass [n]).

    A label's posterior mass is shared among its tokens as the model shares it: q(v) = p(v) * sum over labels holding v
    of marginal / p(label); in the tail q(v) = p(v). Labels below 1e-30 are far under the accuracy of a double.
    """
    n, C = mass.shape
    factor = np.full((n, C), -np.inf)
    entropy = np.zeros(n)
    for i in range(n):
        b = block[i]
        for k in range(labels_at[b], labels_at[b + 1]):
            l = labels[k]
            m = marginal[i, l]
            if m < 1e-30:
                continue
            ratio = np.log(m) - plain[i, l]
            if l == L + 1:
                for c in range(C):
                    factor[i, c] = _logaddexp(factor[i, c], np.log(m))
            elif l == L:
                factor[i, end_class] = _logaddexp(factor[i, end_class], ratio)
            else:
                for j in range(label_at[l], label_at[l + 1]):
                    c = label_class[j]
                    factor[i, c] = _logaddexp(factor[i, c], ratio)
        h = 0.0
        for c in range(C):
            if factor[i, c] > -np.inf and mass[i, c] > -np.inf:
                h -= np.exp(factor[i, c] + mass[i, c]) * (factor[i, c] + mean[i, c])
        entropy[i] = max(h, 0.0)
    return factor, entropy
