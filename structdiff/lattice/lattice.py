"""The lattice: exact posterior, joint draw and joint maximum of one canvas under a token automaton and a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from structdiff.core.errors import GenerationError
from structdiff.core.threads import THREADS, kernel_pool
from structdiff.lattice import kernels
from structdiff.lattice.frame import Frame, build_frame
from structdiff.lattice.reduction import Reduction, reduce_classes
from structdiff.lattice.reduction_kernels import FLOOR
from structdiff.tokens.automaton import TokenAutomaton

if TYPE_CHECKING:
    from structdiff.lattice.device import DeviceReduction

AHEAD_FROM = 20_000
"""From so many live states on a maximum that is wanted in any case is found beside the posterior, on another thread."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """What one step knows of one canvas: P(tokens | the whole output is in the language), the lattice tempered by
    gamma.

    ``marginal[i, l]`` is the posterior probability of label l at position i (label L: the end token, L + 1: tail);
    ``factor[i, c]`` the log ratio of the posterior to the model's own probability of every token of class c, so that
    log q(v) = log p(v) + factor[i, class_of[v]]; ``entropy[i]`` the posterior entropy in nats; ``log_z`` the log
    probability (tempered) that independent draws form an output of the language; ``mass`` the weights of labels and
    what lies behind states, as pairs (`kernels`); ``viterbi()`` the labels of the maximum; ``revealed`` int64[n] the
    tokens that were known (-1: open), or None. There ``reduction`` says that the token is certain.
    """

    frame: Frame
    reduction: Reduction | DeviceReduction
    marginal: np.ndarray
    factor: np.ndarray
    entropy: np.ndarray
    log_z: float
    viterbi: Callable[[], Any]
    mass: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    revealed: np.ndarray | None = None

    def draw(self, uniform: np.ndarray) -> tuple[np.ndarray, int]:
        """A joint draw from ``uniform`` float64[n, 3] in [0, 1): (int64[n] token ids, the state behind them, S for
        END).

        Labels are drawn from the start by weight x beta (backward filter, forward sample); a label's token follows the
        model's own distribution within it.
        """
        f, a = self.frame, self.frame.automaton
        labels, state = kernels.draw(
            f.at, f.state, f.edge_at, f.target, f.label, *self.mass, np.ascontiguousarray(uniform[:, 0])
        )
        r = self.reduction
        classes = kernels.draw_classes(
            labels, r.mass, a.label_at, a.label_class, a.classes - 1, a.labels, np.ascontiguousarray(uniform[:, 1])
        )
        tokens = r.draw(classes, np.ascontiguousarray(uniform[:, 2]))
        return self._with_revealed(tokens), int(state)

    @cached_property
    def maximum(self) -> tuple[np.ndarray, int, float]:
        """The joint maximum: (int64[n] token ids, the state behind them, its log probability with an unscored tail)."""
        a, r = self.frame.automaton, self.reduction
        labels, state, score = self.viterbi()
        tokens = kernels.top_tokens(
            labels, r.top, r.top_token, r.argmax, a.label_at, a.label_class, a.classes - 1, a.labels
        )
        return self._with_revealed(tokens), int(state), float(score)

    def _with_revealed(self, tokens: np.ndarray) -> np.ndarray:
        return tokens if self.revealed is None else np.where(self.revealed < 0, tokens, self.revealed)

    def probabilities(self, tokens: np.ndarray) -> np.ndarray:
        """float64[n]: the posterior probability of one token a position; 1 where it was revealed."""
        classes = self.frame.automaton.class_of[tokens]
        log = self.reduction.log_probabilities(tokens) + self.factor[np.arange(len(tokens)), classes]
        out: np.ndarray = np.minimum(np.exp(log), 1.0)
        return out if self.revealed is None else np.where(self.revealed < 0, out, tokens == self.revealed)

    def margins(self) -> np.ndarray:
        """float64[n]: the posterior probability of the likeliest token less that of the next; reads all V of them."""
        classes = self.frame.automaton.class_of
        own = np.maximum(self.logits[: len(self.factor)].astype(np.float64), FLOOR) / self.temperature
        log = own - self.reduction.log_z[: len(own), None] + self.factor[:, classes]
        second, first = np.exp(np.minimum(np.partition(log, -2, axis=1)[:, -2:], 0.0)).T
        out: np.ndarray = first - second
        return out

    @property
    def logits(self) -> np.ndarray:
        """float32[n, V]: the model's own, on the host."""
        return self.reduction.logits

    @property
    def temperature(self) -> float:
        return self.reduction.temperature

    @property
    def tail(self) -> np.ndarray:
        """float64[n]: the posterior probability that the text has ended before position i."""
        return self.marginal[:, self.frame.automaton.labels + 1]


class Lattice:
    """One canvas: ``length`` positions from state ``start`` of a token automaton, ``left`` tokens of budget after it.

    >>> import numpy as np
    >>> from structdiff.testing.tiny import tiny
    >>> lattice = Lattice(tiny("ab|b"), length=3)           # vocabulary: a, b, ab, end
    >>> posterior = lattice.posterior(np.zeros((3, 4), np.float32))
    >>> posterior.maximum[0].tolist()                      # "b", the end, then tail
    [1, 3, 0]
    """

    def __init__(self, automaton: TokenAutomaton, length: int, left: int = 0, start: int = 0) -> None:
        self.automaton = automaton
        self.frame = build_frame(automaton, start, length, left)

    @property
    def anchors(self) -> np.ndarray:
        """bool[n]: positions where only one token is possible."""
        return self.frame.anchors >= 0

    def reduce(self, logits: np.ndarray, temperature: float) -> Reduction:
        a = self.automaton
        return reduce_classes(logits, temperature, a.class_at, a.class_token)

    def posterior(
        self, logits: np.ndarray, temperature: float = 1.0, gamma: float = 1.0, revealed: np.ndarray | None = None
    ) -> Posterior:
        """The posterior of float32[n, V] logits; ``gamma`` tempers the label weights in forward and backward.

        ``revealed`` int64[n] are tokens that stand already (-1: open): the posterior is that of the outputs which have
        them. Raises `GenerationError` where no output does.

        >>> from structdiff.testing.tiny import tiny
        >>> lattice = Lattice(tiny("ab|b"), length=2)
        >>> known = lattice.posterior(np.zeros((2, 4), np.float32), revealed=np.array([-1, 1]))
        >>> known.maximum[0].tolist()                          # "a" and "b"; "b" may not stand behind "ab" or "b"
        [0, 1]
        """
        return self.posterior_of(self.reduce(logits, temperature), gamma, revealed=revealed)

    def posterior_of(
        self,
        r: Reduction | DeviceReduction,
        gamma: float = 1.0,
        ahead: bool = False,
        revealed: np.ndarray | None = None,
    ) -> Posterior:
        """The posterior from the class reduction of n positions' logits; ``ahead``: `Posterior.maximum` will be asked
        for."""
        f, a = self.frame, self.automaton
        plain, double, weight, weight_k, best = kernels.label_weights(
            r.mass, r.top, f.block, f.labels_at, f.labels, a.label_at, a.label_class, gamma, a.classes - 1, a.labels
        )
        if revealed is not None:
            known = np.where(revealed < 0, -1, a.class_of[revealed])
            r = r.revealed(revealed, known)
            kernels.make_certain(
                known, plain, double, weight, weight_k, best, f.block, f.labels_at, f.labels, a.label_at,
                a.label_class, a.classes - 1, a.labels,
            )  # fmt: skip
        viterbi: Callable[[], Any] = partial(kernels.maximum, f.at, f.state, f.edge_at, f.target, f.label, best)
        if ahead and len(f.state) >= AHEAD_FROM and THREADS > 1:
            viterbi = kernel_pool().submit(viterbi).result
        edges = (f.at, f.state, f.edge_at, f.target, f.label, f.block, f.labels_at, f.labels)
        beta, beta_k = kernels.backward(*edges, double, weight, weight_k)
        if revealed is not None and beta_k[0] <= kernels.EXCLUDED >> 1:
            raise GenerationError(f"no output has the revealed tokens {revealed[revealed >= 0].tolist()}")
        mass = (weight, weight_k, beta, beta_k)
        marginal = kernels.forward(*edges, double, *mass)
        log_z = float(np.log(beta[0]) + beta_k[0] * kernels.LOG_UNIT)
        factor, entropy = kernels.token_factors(
            r.mass, r.mean, plain, marginal, f.block, f.labels_at, f.labels, a.label_at, a.label_class,
            a.classes - 1, a.labels,
        )  # fmt: skip
        return Posterior(f, r, marginal, factor, entropy, log_z, viterbi, mass, revealed)
