"""Reading a draft from left to right: a canvas that was denoised is verified by the model's own causal encoder.

The encoder of DiffusionGemma is a causal language model whose weights the decoder shares. One pass over a draft tells
what it would have written at each place behind the draft's beginning: as far as the two agree under the grammar the
draft stands, at the first difference the encoder's token takes its place, the rest of the draft is laid behind it and
read again. The text that comes out is the one that greedy left-to-right decoding under the grammar writes, in one pass
for each difference instead of one for each token. Source of the scheme: Leviathan et al., "Fast Inference from
Transformers via Speculative Decoding", arXiv 2211.17192, with the denoiser as the drafter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from structdiff.tokens.automaton import TokenAutomaton


class Cursor:
    """Walks tokens through an automaton within a budget; state S (``automaton.states``) is the end.

    >>> from structdiff.testing.tiny import tiny
    >>> cursor = Cursor(tiny("ab|b"), end_ids=(3,))
    >>> cursor.step(0, token=1, left=2) >= 0, cursor.step(0, token=0, left=1)
    (True, -1)
    """

    def __init__(self, automaton: TokenAutomaton, end_ids: tuple[int, ...]) -> None:
        self.automaton, self.end_ids = automaton, end_ids
        self._legal: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def legal(self, state: int, left: int) -> tuple[np.ndarray, np.ndarray]:
        """(token ids, states behind them) that leave ``left`` - 1 tokens enough to finish."""
        a = self.automaton
        if state == a.states:
            return np.array(self.end_ids), np.full(len(self.end_ids), a.states)
        if state not in self._legal:
            edges = range(a.edge_at[state], a.edge_at[state + 1])
            tokens = [a.tokens_of_label(a.edge_label[k]) for k in edges]
            behind = [np.full(len(t), a.edge_to[k]) for k, t in zip(edges, tokens, strict=True)]
            if a.accepting[state]:
                tokens.append(np.array(self.end_ids))
                behind.append(np.full(len(self.end_ids), a.states))
            self._legal[state] = np.concatenate(tokens), np.concatenate(behind)
        tokens_at, behind_at = self._legal[state]
        need = np.append(a.distance, 0)[behind_at]
        keep = need <= left - 1
        return tokens_at[keep], behind_at[keep]

    def step(self, state: int, token: int, left: int) -> int:
        """The state after ``token``, or -1."""
        a = self.automaton
        if state == a.states:
            return state  # tail
        if token in self.end_ids:
            return a.states if a.accepting[state] else -1
        after = a.step(state, token)
        return after if after >= 0 and a.distance[after] <= left - 1 else -1

    def best(self, logits: np.ndarray, state: int, left: int) -> tuple[int, int]:
        """(the best legal token, the state after it)."""
        tokens, behind = self.legal(state, left)
        k = int(logits[tokens].argmax())
        return int(tokens[k]), int(behind[k])

    def walk(self, state: int, tokens: Sequence[int], left: int) -> int:
        """How many of ``tokens`` can be taken one after the other."""
        for count, token in enumerate(tokens):
            state = self.step(state, token, left - count)
            if state < 0:
                return count
        return len(tokens)


@dataclass(frozen=True)
class Verified:
    """A verified canvas: its text tokens, the state behind them, the log probability of text and end token from left to
    right, the next-token logits [n, V] at each of its places, and how many passes it took."""

    tokens: list[int]
    state: int
    log_probability: float
    logits: np.ndarray
    passes: int


def verify(
    read: Callable[[list[int]], np.ndarray],
    cursor: Cursor,
    state: int,
    draft: Sequence[int],
    length: int,
    left: int,
    report: Callable[[list[int], int], None] = lambda tokens, verified: None,
) -> Verified:
    """The greedy left-to-right text of at most ``length`` tokens from ``state`` within a budget of ``left``.

    ``read(tokens)`` gives float[n + 1, V], the next-token logits behind the canvas's beginning and behind each of the n
    tokens. ``draft`` ends with an end token where its text ends. ``report(draft, verified)`` is told of every pass.
    """
    out: list[int] = []
    tail, score, passes = list(draft[:length]), 0.0, 0
    while True:
        fed = out + tail
        logits, passes = read(fed[:-1] if tail else fed), passes + 1
        while len(out) < len(logits):
            i = len(out)
            token, state = cursor.best(logits[i], state, left - i)
            score += float(logits[i][token] - _log_sum(logits[i]))
            if state == cursor.automaton.states:  # an end token
                report(out, i)
                return Verified(out, state, score, logits, passes)
            out.append(token)
            if len(out) == length or cursor.automaton.final(state):
                report(out, len(out))
                return Verified(out, state, score, logits, passes)
            if i >= len(fed) or token != fed[i]:
                tail = _relaid(cursor, state, fed[i:], token, left - i - 1)[: length - len(out)]
                break
        else:
            tail = []
        report(out + tail, len(out))


def _relaid(cursor: Cursor, state: int, tail: list[int], token: int, left: int) -> list[int]:
    """What of a draft's ``tail`` is tried behind ``token``, which took the place of its first token.

    The draft may have had tokens too many (``token`` comes a little later in it), a wrong one, or one too few; the
    first of these that is legal to its end is taken, else the one that is legal for longest.
    """
    laid = [tail[j + 1 :] for j in range(1, min(5, len(tail))) if tail[j] == token] + [tail[1:], tail]
    reach = [cursor.walk(state, one, left) for one in laid]
    whole = [one for one, count in zip(laid, reach, strict=True) if one and count == len(one)]
    return whole[0] if whole else max(zip(reach, laid, strict=True), key=lambda pair: pair[0])[1]


def _log_sum(row: np.ndarray) -> float:
    high = float(row.max())
    return high + float(np.log(np.exp(row - high, dtype=np.float64).sum()))
