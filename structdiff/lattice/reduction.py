"""The class reduction: the only part of a step that reads all V logits of a position.

Everything later works on C numbers a position. Sums are relative to the position's best logit; a class that lies so far
below it that its sum would underflow is summed again relative to its own best.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from structdiff.core.errors import GenerationError
from structdiff.core.threads import THREADS, kernel_pool
from structdiff.lattice.kernels import draw_tokens
from structdiff.lattice.reduction_kernels import CHUNK, FLOOR, reduce_rows

PARALLEL_FROM = 1 << 21
"""Rows are spread over threads from this many logits on."""


@dataclass(frozen=True, eq=False)
class Reduction:
    """Per position i and class c, probabilities being softmax(logits / temperature) over all V tokens:

    ``mass[i, c]`` log of the class's probability (-inf for an empty class); ``top[i, c]``, ``top_token[i, c]`` its
    best token's log probability and id; ``mean[i, c]`` the mean log probability of its tokens under the class's own
    distribution; ``log_z[i]`` so that log p(v) = logits[i, v] / temperature - log_z[i]; ``entropy[i]`` of the whole
    distribution, in nats; ``argmax[i]`` its best token; ``chunk_mass[i, j]`` the sum of p(v) / p(best token) over the
    tokens ``class_token[CHUNK * j : CHUNK * (j + 1)]``.
    """

    logits: np.ndarray
    temperature: float
    class_at: np.ndarray
    class_token: np.ndarray

    mass: np.ndarray
    top: np.ndarray
    top_token: np.ndarray
    mean: np.ndarray
    log_z: np.ndarray
    entropy: np.ndarray
    argmax: np.ndarray
    chunk_mass: np.ndarray

    def head(self, n: int) -> Reduction:
        """The first ``n`` positions."""
        whole = ("temperature", "class_at", "class_token")
        return Reduction(**{name: value if name in whole else value[:n] for name, value in vars(self).items()})

    def revealed(self, tokens: np.ndarray, classes: np.ndarray) -> Reduction:
        """The same with ``tokens[i]``, of class ``classes[i]``, certain at every position where it is not negative."""
        changes: dict[str, Any] = certain(self, tokens, classes)
        return replace(self, **changes)

    def log_probabilities(self, tokens: np.ndarray) -> np.ndarray:
        """float64[n]: log p of one token a position."""
        own = self.logits[np.arange(len(tokens)), tokens].astype(np.float64)
        logs: np.ndarray = np.maximum(own, FLOOR) / self.temperature - self.log_z[: len(tokens)]
        return logs

    def draw(self, classes: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """int64[n]: a token of each position's class (-1: of all), from the model's own distribution within it."""
        drawn: np.ndarray = draw_tokens(
            classes, self.logits, 1.0 / self.temperature, self.mass, self.top, self.top_token, self.argmax,
            self.chunk_mass, self.class_at, self.class_token, uniform,
        )  # fmt: skip
        return drawn


def certain(reduction: Any, tokens: np.ndarray, classes: np.ndarray) -> dict[str, Any]:
    """The arrays of a reduction on the host that change where ``tokens[i]`` of class ``classes[i]`` is certain.

    What reads the logits themselves stays: the caller puts the tokens over what is drawn there.
    """
    at = np.flatnonzero(tokens >= 0)
    names = ("mass", "top", "top_token", "mean", "entropy", "argmax")
    out = {name: getattr(reduction, name).copy() for name in names}
    for name in ("mass", "top"):
        out[name][at] = -np.inf
        out[name][at, classes[at]] = 0.0
    out["mean"][at], out["entropy"][at] = 0.0, 0.0
    out["top_token"][at] = tokens[at, None]
    out["argmax"][at] = tokens[at]
    return out


def reduce_classes(logits: np.ndarray, temperature: float, class_at: np.ndarray, class_token: np.ndarray) -> Reduction:
    """Reduce float32[n, V] logits to C classes (arrays: see `TokenAutomaton`); raises `GenerationError` on NaN or +inf.

    The logits are read once from memory; for the row's maximum and for everything else they come from the cache.

    >>> log = np.log(np.array([[.5, .25, .25]], np.float32))
    >>> at, token = np.array([0, 0, 1, 3]), np.array([0, 1, 2], np.int32)
    >>> r = reduce_classes(log, 1.0, at, token)
    >>> np.exp(r.mass).round(6).tolist(), r.argmax.tolist(), round(float(r.entropy[0]), 4)
    ([[0.0, 0.5, 0.5]], [0], 1.0397)
    """
    logits = np.ascontiguousarray(logits, np.float32)
    bits = logits.view(np.int32)
    n, classes = len(logits), len(class_at) - 1
    mass, top, mean = (np.empty((n, classes)) for _ in range(3))
    top_token = np.empty((n, classes), np.int32)
    log_z, entropy, argmax = np.empty(n), np.empty(n), np.empty(n, np.int32)
    chunk_mass = np.empty((n, -(-logits.shape[1] // CHUNK)))

    def part(first: int, last: int) -> int:
        bad: int = reduce_rows(
            logits, bits, 1.0 / temperature, class_at, class_token, np.array([first, last]), mass, top, top_token, mean,
            log_z, entropy, argmax, chunk_mass,
        )  # fmt: skip
        return bad

    if logits.size < PARALLEL_FROM or THREADS == 1:
        bad = part(0, n)
    else:
        cuts = np.linspace(0, n, THREADS + 1).astype(int)
        bad = max(kernel_pool().map(part, cuts[:-1], cuts[1:]))
    if bad >= 0:
        raise GenerationError(f"the model's logits at canvas position {bad} contain NaN or +inf; nothing can be drawn")
    arrays = (logits, temperature, class_at, class_token)
    return Reduction(*arrays, mass, top, top_token, mean, log_z, entropy, argmax, chunk_mass)
