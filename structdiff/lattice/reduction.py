"""The class reduction: the only part of a step that reads all V logits of a position.

Two passes over a position's logits: the largest logit of each class, then the sums relative to it. Everything later
works on C numbers a position. Sums are relative to their own class maximum, so that no class underflows however small
its share of the probability is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from structdiff.errors import GenerationError

FLOOR = -1e30
"""Stands in for -inf: a token that the model excludes but the constraint may need."""


@dataclass(frozen=True, eq=False)
class Reduction:
    """Per position i and class c, probabilities being softmax(logits / temperature) over all V tokens:

    ``mass[i, c]`` log of the class's probability (-inf for an empty class); ``top[i, c]``, ``top_token[i, c]`` its best token's log
    probability and id; ``mean[i, c]`` the mean log probability of its tokens under the class's own distribution;
    ``log_z[i]`` so that log p(v) = logits[i, v] / temperature - log_z[i]; ``entropy[i]`` of the whole distribution, in nats;
    ``argmax[i]`` its best token.
    """

    mass: np.ndarray
    top: np.ndarray
    top_token: np.ndarray
    mean: np.ndarray
    log_z: np.ndarray
    entropy: np.ndarray
    argmax: np.ndarray


@njit(cache=True, nogil=True)
def _reduce(logits, scale, class_of, C, mass, top, top_token, mean, log_z, entropy, argmax):
    n, V = logits.shape
    total = np.empty(C)
    moment = np.empty(C)
    best = np.empty(C)
    for i in range(n):
        best[:] = -np.inf
        top_token[i, :] = -1
        for v in range(V):
            x = np.float64(logits[i, v])
            if not x < np.inf:
                return i
            c = class_of[v]
            if x > best[c] or top_token[i, c] < 0:
                best[c] = x
                top_token[i, c] = v
        total[:] = 0.0
        moment[:] = 0.0
        for c in range(C):
            best[c] = max(best[c], FLOOR)
        for v in range(V):
            c = class_of[v]
            d = (max(np.float64(logits[i, v]), FLOOR) - best[c]) * scale
            if d > -700.0:
                p = np.exp(d)
                total[c] += p
                moment[c] += p * d
        peak = -np.inf
        where = 0
        for c in range(C):
            if top_token[i, c] >= 0:
                value = best[c] * scale
                if value > peak or (value == peak and top_token[i, c] < top_token[i, where]):
                    peak = value
                    where = c
        z = 0.0
        for c in range(C):
            if top_token[i, c] >= 0:
                z += total[c] * np.exp(best[c] * scale - peak)
        log_z[i] = peak + np.log(z)
        argmax[i] = top_token[i, where]
        h = 0.0
        for c in range(C):
            if top_token[i, c] < 0:
                mass[i, c] = -np.inf
                top[i, c] = -np.inf
                mean[i, c] = 0.0
                continue
            offset = best[c] * scale - log_z[i]
            mass[i, c] = offset + np.log(total[c])
            top[i, c] = offset
            mean[i, c] = offset + moment[c] / total[c]
            h -= np.exp(mass[i, c]) * mean[i, c]
        entropy[i] = max(h, 0.0)
    return -1


def reduce_classes(logits: np.ndarray, temperature: float, class_of: np.ndarray, classes: int) -> Reduction:
    """Reduce float32[n, V] logits to C classes; raises `GenerationError` on NaN or +inf.

    >>> r = reduce_classes(np.log(np.array([[.5, .25, .25]], np.float32)), 1.0, np.array([1, 2, 2], np.int32), 3)
    >>> np.exp(r.mass).round(6).tolist(), r.argmax.tolist(), round(float(r.entropy[0]), 4)
    ([[0.0, 0.5, 0.5]], [0], 1.0397)
    """
    n = len(logits)
    out = [np.empty((n, classes)) for _ in range(3)]
    top_token = np.empty((n, classes), np.int32)
    log_z, entropy, argmax = np.empty(n), np.empty(n), np.empty(n, np.int32)
    mass, top, mean = out
    bad = _reduce(logits, 1.0 / temperature, class_of, classes, mass, top, top_token, mean, log_z, entropy, argmax)
    if bad >= 0:
        raise GenerationError(f"the model's logits at canvas position {bad} contain NaN or +inf; nothing can be drawn")
    return Reduction(mass, top, top_token, mean, log_z, entropy, argmax)
