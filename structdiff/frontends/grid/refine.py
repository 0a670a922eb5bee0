"""The rules inside the denoising loop: a posterior whose maximum, draws and beliefs obey them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from structdiff.core.errors import GenerationError
from structdiff.frontends.grid.grid import Grid
from structdiff.frontends.grid.solve import Rules
from structdiff.lattice.lattice import Posterior
from structdiff.tokens.vocabulary import Vocabulary


class GridRules:
    """The rules of a grid over a vocabulary; `Task.rules` of the rows that must obey them.

    A grid may take several canvases. What earlier canvases wrote is given; cells of later ones have no scores yet, but
    the rules hold for them too, so that every canvas that is committed leaves a grid that can be completed.
    """

    def __init__(self, grid: Grid, vocabulary: Vocabulary) -> None:
        self.grid = grid
        self.places = np.array([i for i, p in enumerate(grid.pieces) if not isinstance(p, str)])
        self.cells = [p for p in grid.pieces if not isinstance(p, str)]
        self.tokens = np.array([grid.token(vocabulary, letter) for letter in grid.alphabet])
        self.after = functools.lru_cache(maxsize=4)(self._after)
        self.after(())  # rules that no grid satisfies are refused before anything is generated

    def _after(self, written: tuple[int, ...]) -> Rules:
        """The rules when these tokens are committed: one token is one piece of the grid."""
        letter = dict(zip(self.tokens.tolist(), self.grid.alphabet, strict=True))
        known = {c: letter[written[i]] for c, i in zip(self.cells, self.places, strict=True) if i < len(written)}
        givens = dict(self.grid.givens) | known
        return Rules(replace(self.grid, givens=tuple(sorted(givens.items()))))

    def scores(self, logits: np.ndarray, temperature: float) -> np.ndarray:
        """float64[M, A]: the log probability of each letter, among the letters, from float32[M, V] logits of cells."""
        scores = logits[:, self.tokens].astype(np.float64) / temperature
        top = scores.max(1, keepdims=True)
        logs: np.ndarray = scores - top - np.log(np.exp(scores - top).sum(1, keepdims=True))
        return logs

    def refine(self, posterior: Posterior, gamma: float, written: Sequence[int] = ()) -> Refined:
        """``posterior``, of the canvas that follows the tokens ``written``, with the rules added."""
        n = posterior.frame.length
        seen = np.flatnonzero((self.places >= len(written)) & (self.places < len(written) + n))
        positions = self.places[seen] - len(written)
        rules = self.after(tuple(written))
        scores = np.zeros((rules.N, rules.A))
        scores[seen] = self.scores(posterior.logits[positions], posterior.temperature)
        return Refined(posterior, rules, self.tokens, seen, positions, scores, rules.beliefs(gamma * scores)[seen])


@dataclass(frozen=True, eq=False)
class Refined:
    """A posterior under rules: the interface of `Posterior` as the loop uses it.

    The canvas shows the M cells ``seen`` of N, at ``positions``; ``scores`` is float64[N, A] (0 for the others) and
    ``belief`` float64[M, A]. ``maximum`` is the exact best grid; `draw` perturbs the scores with Gumbel noise and takes
    the exact best grid of those (a legal grid always, an approximate joint draw).
    """

    posterior: Posterior
    rules: Rules
    tokens: np.ndarray
    seen: np.ndarray
    positions: np.ndarray
    scores: np.ndarray
    belief: np.ndarray

    @property
    def factor(self) -> np.ndarray:
        return self.posterior.factor

    @property
    def entropy(self) -> np.ndarray:
        """float64[n]: as in `Posterior`, of the beliefs where there is a cell."""
        out = self.posterior.entropy.copy()
        out[self.positions] = -(self.belief * np.log(np.maximum(self.belief, 1e-300))).sum(1)
        return out

    @property
    def cells(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(positions int64[M], tokens int64[A], log of the ratio of the belief to the model's own probability)."""
        own = self.posterior.logits[self.positions].astype(np.float64) / self.posterior.temperature
        top = own.max(1, keepdims=True)
        own = own - top - np.log(np.exp(own - top).sum(1, keepdims=True))
        return self.positions, self.tokens, np.log(np.maximum(self.belief, 1e-30)) - own[:, self.tokens]

    def _grid(self, scores: np.ndarray) -> np.ndarray:
        best = self.rules.best(scores)
        if best is None:
            raise GenerationError("no grid satisfies all the rules")
        seen: np.ndarray = best[self.seen]
        return seen

    @property
    def maximum(self) -> tuple[np.ndarray, int, float]:
        tokens, state, score = self.posterior.maximum
        letters = self._grid(self.scores)
        own = np.argmax(tokens[self.positions][:, None] == self.tokens, axis=1)
        change = float((self.scores[self.seen, letters] - self.scores[self.seen, own]).sum())
        return self._placed(tokens, letters), state, score + change

    def draw(self, uniform: np.ndarray) -> tuple[np.ndarray, int]:
        tokens, state = self.posterior.draw(uniform)
        noise = np.random.default_rng(int(uniform[0, 0] * 2**53)).gumbel(size=self.scores.shape)
        return self._placed(tokens, self._grid(self.scores + noise)), state

    def _placed(self, tokens: np.ndarray, letters: np.ndarray) -> np.ndarray:
        out = tokens.copy()
        out[self.positions] = self.tokens[letters]
        return out
