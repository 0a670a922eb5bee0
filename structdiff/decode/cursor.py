"""A token automaton walked one token at a time, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from structdiff.core.errors import GenerationError
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

    def forced(self, state: int, left: int) -> int | None:
        """The only legal token, or None where there are several."""
        tokens, _ = self.legal(state, left)
        return int(tokens[0]) if len(tokens) == 1 else None

    def best(
        self, logits: np.ndarray, state: int, left: int, allows: Callable[[int], bool] | None = None
    ) -> tuple[int, int]:
        """(the best legal token, the state after it); (-1, -1) where ``allows`` holds for none of them."""
        tokens, behind = self.legal(state, left)
        if allows is None:
            k = int(logits[tokens].argmax())
            return int(tokens[k]), int(behind[k])
        order = np.argsort(-logits[tokens], kind="stable")
        return next(((int(tokens[k]), int(behind[k])) for k in order if allows(int(tokens[k]))), (-1, -1))

    def walk(self, state: int, tokens: Sequence[int], left: int) -> int:
        """How many of ``tokens`` can be taken one after the other."""
        for count, token in enumerate(tokens):
            state = self.step(state, token, left - count)
            if state < 0:
                return count
        return len(tokens)

    def after(self, state: int, tokens: Sequence[int], left: int) -> tuple[int, int]:
        """(how many of ``tokens`` are text, the state behind them); the text ends at the first end token.

        Raises `GenerationError` at a token that no output has there.
        """
        for count, token in enumerate(tokens):
            following = self.step(state, token, left - count)
            if following < 0:
                raise GenerationError(f"token {token} cannot be number {count} of what follows in this constraint")
            if following == self.automaton.states:
                return count, following
            state = following
        return len(tokens), state
