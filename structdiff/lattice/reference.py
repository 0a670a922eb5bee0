"""The lattice from its definition, in plain loops: what the kernels must agree with.

Forward and backward over *tokens*, not classes, in log space; tempering applies to a label's whole probability, as in
the fast path. Slow on purpose; used by tests only.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from structdiff.tokens.automaton import TokenAutomaton


def log_softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    x = np.maximum(logits.astype(np.float64), -1e30) / temperature
    x = x - x.max(axis=1, keepdims=True)
    logs: np.ndarray = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    return logs


def outputs(
    automaton: TokenAutomaton, end_ids: Sequence[int], n: int, left: int, start: int = 0
) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """Every token string of n positions that can still be completed: (tokens, how many of them are text and end token,
    the state behind them, -2 where an end token stands)."""
    for tokens in itertools.product(range(len(automaton.class_of)), repeat=n):
        state, length = start, n
        for i, token in enumerate(tokens):
            if token in end_ids:
                state, length = (-2 if automaton.accepting[state] else -1), i + 1
                break
            state = automaton.step(state, token)
            if state < 0:
                break
        if state == -2 or (state >= 0 and automaton.distance[state] <= left):
            yield tokens, length, state


def _moves(automaton: TokenAutomaton, end_ids: list[int]) -> dict[int, list[tuple[int, list[int]]]]:
    """state -> [(target, token ids)]; END is S and loops on None (the tail)."""
    S = automaton.states
    moves: dict[int, list[tuple[int, list[int]]]] = {S: []}
    for s in range(S):
        moves[s] = [
            (int(automaton.edge_to[k]), automaton.tokens_of_label(automaton.edge_label[k]).tolist())
            for k in range(automaton.edge_at[s], automaton.edge_at[s + 1])
        ]
        if automaton.accepting[s]:
            moves[s].append((S, end_ids))
    return moves


def posterior(
    automaton: TokenAutomaton, end_ids: list[int], logits: np.ndarray, *, start: int = 0, left: int = 0,
    temperature: float = 1.0, gamma: float = 1.0,
) -> tuple[np.ndarray, float]:  # fmt: skip
    """(posterior probability of every token at every position [n, V], log Z)."""
    n, V = logits.shape
    S = automaton.states
    own = log_softmax(logits, temperature)
    moves = _moves(automaton, end_ids)

    def weight(i: int, tokens: list[int]) -> float:
        return gamma * float(np.logaddexp.reduce(own[i, tokens]))

    beta: list[dict[int, float]] = [defaultdict(lambda: -math.inf) for _ in range(n + 1)]
    for s in range(S):
        if automaton.distance[s] <= left:
            beta[n][s] = 0.0
    beta[n][S] = 0.0
    for i in reversed(range(n)):
        beta[i][S] = 0.0
        for s in range(S):
            for target, tokens in moves[s]:
                if beta[i + 1][target] > -math.inf:
                    beta[i][s] = np.logaddexp(beta[i][s], weight(i, tokens) + beta[i + 1][target])
    log_z = beta[0][start]
    alpha: dict[int, float] = {start: 0.0}
    out = np.zeros((n, V))
    for i in range(n):
        following: dict[int, float] = defaultdict(lambda: -math.inf)
        for s, a in alpha.items():
            if s == S:
                out[i] += np.exp(a + beta[i][S] - log_z) * np.exp(own[i])
                following[S] = np.logaddexp(following[S], a)
            for target, tokens in moves[s]:
                if beta[i + 1][target] > -math.inf:
                    flow = a + weight(i, tokens)
                    share = np.exp(own[i, tokens] - np.logaddexp.reduce(own[i, tokens]))
                    out[i, tokens] += np.exp(flow + beta[i + 1][target] - log_z) * share
                    following[target] = np.logaddexp(following[target], flow)
        alpha = dict(following)
    return out, log_z
