"""Forward, backward, draw and maximum on the live edges of a frame, in log space."""

from __future__ import annotations

import numpy as np
from numba import njit

from structdiff.lattice.reduction import CHUNK, FLOOR, exp_chunk

NEGLIGIBLE = -45.0


@njit(cache=True, nogil=True)
def label_weights(mass, top, block, labels_at, labels, label_at, label_class, gamma, end_class, L):
    """For live labels: weight[i, l] = gamma * log p(label) and best[i, l] = log p(its best token); tail: 0."""
    n = block.shape[0]
    plain = np.full((n, L + 2), -np.inf)
    best = np.full((n, L + 2), -np.inf)
    for i in range(n):
        b = block[i]
        for k in range(labels_at[b], labels_at[b + 1]):
            l = labels[k]
            if l == L + 1:
                plain[i, l] = 0.0
                best[i, l] = 0.0
            elif l == L:
                plain[i, l] = mass[i, end_class]
                best[i, l] = top[i, end_class]
            else:
                peak = -np.inf
                high = -np.inf
                for j in range(label_at[l], label_at[l + 1]):
                    c = label_class[j]
                    peak = max(peak, mass[i, c])
                    high = max(high, top[i, c])
                total = 0.0
                for j in range(label_at[l], label_at[l + 1]):
                    d = mass[i, label_class[j]] - peak
                    if d > -60.0:
                        total += np.exp(d)
                plain[i, l] = peak + np.log(total)
                best[i, l] = high
    return plain, gamma * plain, best


@njit(cache=True, nogil=True)
def _logaddexp(a, b):
    if a < b:
        a, b = b, a
    if b == -np.inf:
        return a
    return a + np.log1p(np.exp(b - a))


@njit(cache=True, nogil=True)
def forward_backward(at, block, edge_at, source, target, label, labels_at, labels, weight):
    """(log beta, posterior mass of each label [n, L + 2], log Z), in log space: nothing underflows.

    A sum of exponentials is taken relative to its largest term, found in a pass of its own; terms below e^-45 of it are
    beyond the accuracy of a double and cost no exponential.
    """
    n = block.shape[0]
    beta = np.full(at[n + 1], -np.inf)
    alpha = np.full(at[n + 1], -np.inf)
    marginal = np.zeros(weight.shape)
    widest = 0
    for i in range(n + 1):
        widest = max(widest, at[i + 1] - at[i])
    total = np.zeros(widest)
    for k in range(at[n], at[n + 1]):
        beta[k] = 0.0
    for i in range(n - 1, -1, -1):
        b = block[i]
        here, there = at[i], at[i + 1]
        for e in range(edge_at[b], edge_at[b + 1]):
            x = weight[i, label[e]] + beta[there + target[e]]
            if x > beta[here + source[e]]:
                beta[here + source[e]] = x
        total[: there - here] = 0.0
        for e in range(edge_at[b], edge_at[b + 1]):
            d = weight[i, label[e]] + beta[there + target[e]] - beta[here + source[e]]
            if d > NEGLIGIBLE:
                total[source[e]] += np.exp(d)
        for k in range(there - here):
            beta[here + k] += np.log(total[k])
    alpha[0] = 0.0
    for i in range(n):
        b = block[i]
        here, there, after = at[i], at[i + 1], at[i + 2]
        high = -np.inf
        for e in range(edge_at[b], edge_at[b + 1]):
            flow = alpha[here + source[e]] + weight[i, label[e]]
            k = there + target[e]
            if flow > alpha[k]:
                alpha[k] = flow
            if flow + beta[k] > high:
                high = flow + beta[k]
        total[: after - there] = 0.0
        mass = 0.0
        for e in range(edge_at[b], edge_at[b + 1]):
            flow = alpha[here + source[e]] + weight[i, label[e]]
            k = there + target[e]
            if flow - alpha[k] > NEGLIGIBLE:
                total[target[e]] += np.exp(flow - alpha[k])
            d = flow + beta[k] - high
            if d > NEGLIGIBLE:
                share = np.exp(d)
                marginal[i, label[e]] += share
                mass += share
        for k in range(after - there):
            alpha[there + k] += np.log(total[k])
        for k in range(labels_at[b], labels_at[b + 1]):
            marginal[i, labels[k]] /= mass
    return beta, marginal, beta[0]


@njit(cache=True, nogil=True)
def draw(at, block, target, label, first, by_source, weight, beta, uniform):
    """A joint draw of the label of every position, from the start by weight x beta; also the places of the states."""
    n = block.shape[0]
    out = np.empty(n, np.int32)
    place = 0
    for i in range(n):
        b = block[i]
        there = at[i + 1]
        lo, hi = by_source[first[b] + place], by_source[first[b] + place + 1]
        peak = -np.inf
        for e in range(lo, hi):
            peak = max(peak, weight[i, label[e]] + beta[there + target[e]])
        total = 0.0
        for e in range(lo, hi):
            total += np.exp(weight[i, label[e]] + beta[there + target[e]] - peak)
        goal = uniform[i] * total
        chosen = lo
        running = 0.0
        for e in range(lo, hi):
            share = np.exp(weight[i, label[e]] + beta[there + target[e]] - peak)
            if share > 0.0:
                chosen = e
            running += share
            if running > goal:
                break
        out[i] = label[chosen]
        place = target[chosen]
    return out, place


@njit(cache=True, nogil=True)
def maximum(at, block, target, label, first, by_source, best):
    """The labels of a joint maximum (Viterbi), the last state's place and its log score."""
    n = block.shape[0]
    value = np.zeros(at[n + 1])
    choice = np.zeros(at[n + 1], np.int64)
    for i in range(n - 1, -1, -1):
        b = block[i]
        here, there = at[i], at[i + 1]
        for k in range(there - here):
            lo, hi = by_source[first[b] + k], by_source[first[b] + k + 1]
            high = -np.inf
            arg = lo
            for e in range(lo, hi):
                x = best[i, label[e]] + value[there + target[e]]
                if x > high:
                    high = x
                    arg = e
            value[here + k] = high
            choice[here + k] = arg
    out = np.empty(n, np.int32)
    place = 0
    for i in range(n):
        e = choice[at[i] + place]
        out[i] = label[e]
        place = target[e]
    return out, place, value[0]


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
def draw_tokens(
    labels, logits, scale, mass, top, top_token, label_at, label_class, class_at, class_token, end_class, L, uniform
):
    """A token of each position's label from the model's own distribution within it (of all tokens, in the tail).

    ``uniform`` is float64[n, 2]: one number picks the class, one the token.
    """
    n = labels.shape[0]
    C = class_at.shape[0] - 1
    out = np.empty(n, np.int64)
    members = np.empty(C, np.int32)
    d = np.empty(CHUNK)
    e = np.empty(CHUNK)
    bits = np.empty(CHUNK, np.int64)
    for i in range(n):
        l = labels[i]
        if l == L + 1:
            count = C
            for c in range(C):
                members[c] = c
        elif l == L:
            count = 1
            members[0] = end_class
        else:
            count = label_at[l + 1] - label_at[l]
            for j in range(count):
                members[j] = label_class[label_at[l] + j]
        peak = -np.inf
        for j in range(count):
            peak = max(peak, mass[i, members[j]])
        total = 0.0
        for j in range(count):
            total += np.exp(mass[i, members[j]] - peak)
        goal = uniform[i, 0] * total
        running = 0.0
        c = -1
        for j in range(count):
            share = np.exp(mass[i, members[j]] - peak)
            if share > 0.0:
                c = members[j]
            running += share
            if running > goal:
                break
        lo, hi = class_at[c], class_at[c + 1]
        if hi - lo == 1:
            out[i] = class_token[lo]
            continue
        # Inverse transform with the best token first: where the model is sure, one comparison decides.
        token = top_token[i, c]
        goal = uniform[i, 1] * np.exp(mass[i, c] - top[i, c])
        running = 1.0
        if goal >= running:
            high = max(np.float64(logits[i, token]), FLOOR)
            first = token
            k = lo
            while k < hi and running <= goal:
                count = min(CHUNK, hi - k)
                for j in range(count):
                    d[j] = max((np.float64(logits[i, class_token[k + j]]) - high) * scale, -700.0)
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
