"""How likely the text of a canvas begins with given bytes: exact sums over every token string that spells them.

A text has many spellings: its bytes may be cut into tokens in several ways, and a token may reach beyond the bytes in
question. Both are summed. ``alpha[i, j]`` is the mass of the strings of i tokens that spell exactly the first j bytes,
and a string that begins with the bytes u is counted once, at its first token that reaches the end of u:

    P(begins with u) = 1 / Z * sum over i, j < |u|, tokens v that begin with u[j:] or are longer,
                                    of alpha[i, j] * w[i, v] * beta[i + 1, state behind v]
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from structdiff.lattice.kernels import LOG_UNIT
from structdiff.lattice.lattice import Posterior
from structdiff.lattice.reduction_kernels import FLOOR
from structdiff.tokens.automaton import TokenAutomaton
from structdiff.tokens.vocabulary import Vocabulary


class Prefixes:
    """Log probabilities of beginnings of a canvas's text, of a posterior with gamma 1.

    What texts share with ``base`` is computed once.

    >>> from structdiff.testing.tiny import tiny, tiny_vocabulary
    >>> from structdiff.lattice.lattice import Lattice
    >>> vocabulary = tiny_vocabulary("a b ab")
    >>> posterior = Lattice(tiny("ab|b"), length=3).posterior(np.zeros((3, 4), np.float32))
    >>> beginnings = Prefixes(posterior, vocabulary)  # a b end, ab end tail, b end tail: 1/64, 1/16, 1/16
    >>> round(float(np.exp(beginnings.log(b"a"))), 4), round(float(np.exp(beginnings.log_whole(b"b", 0))), 4)
    (0.5556, 0.4444)
    """

    def __init__(self, posterior: Posterior, vocabulary: Vocabulary, base: bytes = b"") -> None:
        if posterior.revealed is not None:
            raise ValueError("beginnings are weighed by the logits, which a revealed token replaces")
        frame, self.posterior, self.vocabulary = posterior.frame, posterior, vocabulary
        self.automaton: TokenAutomaton = frame.automaton
        self.n, self.start = frame.length, frame.start
        log_beta = np.log(posterior.mass[2]) + posterior.mass[3] * LOG_UNIT
        width = self.automaton.states + 1
        place = np.repeat(np.arange(self.n + 1), np.diff(frame.at))
        self.keys, self.log_beta = place * width + frame.state, log_beta
        self.state_of = np.full(self.automaton.bytes.states, -1, np.int64)
        self.state_of[self.automaton.byte_state] = np.arange(self.automaton.states)
        self.targets: dict[int, np.ndarray] = {}
        self.base = b""
        self.alpha = np.full((self.n + 1, 1), -np.inf)
        self.alpha[0, 0] = 0.0
        self.byte_states = [int(self.automaton.byte_state[self.start])]
        self.alpha, self.base = self._spell(base)[0], base
        self.byte_states = self._states(base, 0)

    def log(self, text: bytes) -> float:
        """The log probability that the canvas's text begins with ``text``, all in this canvas; at most 0."""
        if not text:
            return 0.0
        alpha, states = self._spell(text)
        if not states:
            return -np.inf
        terms = []
        for j in range(max(0, len(text) - self._longest), len(text)):
            state = states[j]
            if state < 0 or not np.isfinite(alpha[:, j]).any():
                continue
            tokens = self._beginning_with(text[j:])
            to = self._targets(state)[self.automaton.class_of[tokens]]
            tokens, to = tokens[to >= 0], to[to >= 0]
            if len(tokens):
                terms.append(np.logaddexp.reduce(self._through(alpha[:-1, j], tokens, to), axis=None))
        return float(min(np.logaddexp.reduce(terms) - self.posterior.log_z, 0.0)) if terms else -np.inf

    def log_cut(self, text: bytes, first: int) -> np.ndarray:
        """float64[len(text) - first]: for each length from ``first``, the log probability that the canvas is full when
        that much of ``text`` is written, and the output goes on in the next canvas."""
        alpha, states = self._spell(text)
        if not states:
            return np.full(len(text) - first, -np.inf)
        live = [state >= 0 and self._is_live(self.n, state) for state in states[first : len(text)]]
        return np.where(live, alpha[self.n, first : len(text)] - self.posterior.log_z, -np.inf)

    def _is_live(self, i: int, state: int) -> bool:
        """Is the state live at position i?"""
        key = i * (self.automaton.states + 1) + state
        at = int(np.searchsorted(self.keys, key))
        return at < len(self.keys) and bool(self.keys[at] == key)

    def log_whole(self, text: bytes, left: int) -> float:
        """The log probability that the text is ``text`` and has ended; ``left`` tokens of budget follow the canvas."""
        every, states = self._spell(text)
        state = states[-1] if states else -1
        alpha = every[:, -1]
        if state < 0 or not self.automaton.accepting[state]:
            return -np.inf
        log_end = self.posterior.reduction.mass[: self.n, self.automaton.classes - 1]
        terms = list(alpha[:-1] + log_end)
        if left == 0 or self.automaton.edge_at[state + 1] == self.automaton.edge_at[state]:
            terms.append(alpha[-1])
        return float(min(np.logaddexp.reduce(terms) - self.posterior.log_z, 0.0))

    @property
    def _longest(self) -> int:
        return self.vocabulary.ordered[2]

    def _spell(self, text: bytes) -> tuple[np.ndarray, list[int]]:
        """(log alpha float64[n + 1, len(text) + 1], the token state behind each beginning or -1 where none ends).

        No states: no output begins so. Only what follows the beginning shared with ``base`` is computed anew.
        """
        same = next((k for k, (a, b) in enumerate(zip(text, self.base, strict=False)) if a != b), None)
        same = min(len(text), len(self.base)) if same is None else same
        byte_states = self._states(text, same)
        if not byte_states:
            return self.alpha, []
        states = [int(self.state_of[state]) for state in byte_states]
        alpha = np.full((self.n + 1, len(text) + 1), -np.inf)
        alpha[:, : same + 1] = self.alpha[:, : same + 1]
        for j in range(same + 1, len(text) + 1):
            for k in range(max(0, j - self._longest), j):
                state = states[k]
                if state < 0 or not np.isfinite(alpha[:, k]).any():
                    continue
                tokens = self._exactly(text[k:j])
                tokens = tokens[self._targets(state)[self.automaton.class_of[tokens]] >= 0]
                for token in tokens:
                    alpha[1:, j] = np.logaddexp(alpha[1:, j], alpha[:-1, k] + self._log_weight(token[None])[:, 0])
        return alpha, states

    def _through(self, alpha: np.ndarray, tokens: np.ndarray, to: np.ndarray) -> np.ndarray:
        """float64[n, T]: the log mass through each token at each position."""
        wanted = (np.arange(1, self.n + 1) * (self.automaton.states + 1))[:, None] + to[None]
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        beta = np.where(self.keys[at] == wanted, self.log_beta[at], -np.inf)
        through: np.ndarray = alpha[:, None] + self._log_weight(tokens) + beta
        return through

    def _log_weight(self, tokens: np.ndarray) -> np.ndarray:
        p = self.posterior
        logits = np.maximum(p.logits[: self.n, tokens].astype(np.float64), FLOOR)
        weights: np.ndarray = logits / p.temperature - p.reduction.log_z[: self.n, None]
        return weights

    def _states(self, text: bytes, same: int) -> list[int]:
        table = self.automaton.bytes
        states = self.byte_states[: same + 1]
        for byte in text[same:]:
            state = int(table.transitions[states[-1], table.byte_class[byte]])
            if state < 0:
                return []
            states.append(state)
        return states

    def _targets(self, state: int) -> np.ndarray:
        """int32[C]: the state behind a token of each class, or -1."""
        if state not in self.targets:
            a = self.automaton
            out = np.full(a.classes, -1, np.int32)
            for k in range(a.edge_at[state], a.edge_at[state + 1]):
                label = a.edge_label[k]
                out[a.label_class[a.label_at[label] : a.label_at[label + 1]]] = a.edge_to[k]
            self.targets[state] = out
        return self.targets[state]

    def _beginning_with(self, text: bytes) -> np.ndarray:
        """int64[T]: the tokens whose bytes begin with ``text``."""
        spelled, ids, _ = self.vocabulary.ordered
        low = bisect_left(spelled, text)
        return ids[low : bisect_left(spelled, _behind(text), low)]

    def _exactly(self, text: bytes) -> np.ndarray:
        spelled, ids, _ = self.vocabulary.ordered
        low = bisect_left(spelled, text)
        return ids[low : bisect_left(spelled, text + b"\0", low)]


def _behind(text: bytes) -> bytes:
    """The least bytes greater than all that begin with ``text`` (bytes 255 at the end carry)."""
    cut = text.rstrip(b"\xff")
    return cut[:-1] + bytes([cut[-1] + 1]) if cut else b"\xff" * 64
