"""How likely each token is at its position: what OpenAI's interface calls log probabilities, for a canvas.

A canvas is not written from left to right, so that a token's probability is not conditioned on the tokens before it: it
is the posterior marginal at the commit, the probability that this token stands at this position in an output of the
constraint, whatever stands around it (docs/algorithm.md, gamma 1). Without a constraint it is the model's own softmax.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from structdiff.decode.engine import Commit


@dataclass(frozen=True)
class Likelihood:
    """A written token, its log probability at its position (nats), and the likeliest tokens there with theirs."""

    token: int
    log: float
    top: tuple[tuple[int, float], ...] = ()


class TokenMeter:
    """Listens to the commits of one row; `tokens` has one `Likelihood` per token of the text.

    >>> from structdiff.testing.tiny import tiny
    >>> from structdiff.lattice.lattice import Lattice
    >>> meter = TokenMeter(top=2)
    >>> meter(Commit(Lattice(tiny("ab|b"), 2), np.zeros((2, 4), np.float32), [0, 1], 0, True))
    >>> [(one.token, round(float(np.exp(one.log)), 3)) for one in meter.tokens], len(meter.tokens[0].top)
    ([(0, 0.333), (1, 0.333)], 2)
    """

    def __init__(self, top: int = 0) -> None:
        self.top = top
        self.tokens: list[Likelihood] = []

    def __call__(self, commit: Commit) -> None:
        """Measure the tokens of a canvas."""
        factor = class_of = None
        if commit.lattice is not None:
            n = commit.lattice.frame.length
            factor = commit.lattice.posterior(commit.logits[:n], 1.0, 1.0).factor
            class_of = commit.lattice.automaton.class_of
        for i, token in enumerate(commit.tokens):  # a position at a time: [V] at once, not [L, V]
            log = commit.logits[i].astype(np.float64)
            log -= log.max()
            log -= np.log(np.exp(log).sum())
            if factor is not None:
                log += factor[i][class_of]
            likeliest = np.argpartition(log, -self.top)[-self.top :] if self.top else np.empty(0, np.int64)
            ordered = likeliest[np.argsort(-log[likeliest], kind="stable")]
            top = tuple((int(one), float(log[one])) for one in ordered if log[one] > -np.inf)
            self.tokens.append(Likelihood(int(token), min(float(log[token]), 0.0), top))
