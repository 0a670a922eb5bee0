"""The rules inside the denoising loop: a posterior whose maximum, draws and beliefs obey them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from structdiff.errors import GenerationError, StructdiffError
from structdiff.grids.grid import Grid
from structdiff.grids.solve import Rules
from structdiff.lattice.lattice import Posterior
from structdiff.vocabulary.vocabulary import Vocabulary


class GridTooLarge(StructdiffError):
    """A grid with rules does not fit into one canvas.

    >>> str(GridTooLarge(89, 48))
    'the grid takes 89 tokens and its rules need it in one canvas, but a canvas has 48; use a smaller grid or no rules'
    """

    def __init__(self, needed: int, canvas: int) -> None:
        self.needed, self.canvas = needed, canvas
        super().__init__(
            f"the grid takes {needed} tokens and its rules need it in one canvas, but a canvas has {canvas}; "
            "use a smaller grid or no rules"
        )


class GridRules:
    """The rules of a grid over a vocabulary; `Task.rules` of the rows that must obey them."""

    def __init__(self, grid: Grid, vocabulary: Vocabulary) -> None:
        self.grid, self.rules = grid, Rules(grid)
        self.positions = np.array([i for i, p in enumerate(grid.pieces) if not isinstance(p, str)])
        self.tokens = np.array([grid.token(vocabulary, letter) for letter in grid.alphabet])

    def check(self, canvas_length: int) -> None:
        """Raises `GridTooLarge` where the grid needs more than one canvas."""
        needed = len(self.grid.pieces)
        if needed > canvas_length:
            raise GridTooLarge(needed, canvas_length)

    def scores(self, logits: np.ndarray, temperature: float) -> np.ndarray:
        """float64[N, A]: the log probability of each letter in each cell, among the letters."""
        scores = logits[self.positions][:, self.tokens].astype(np.float64) / temperature
        top = scores.max(1, keepdims=True)
        return scores - top - np.log(np.exp(scores - top).sum(1, keepdims=True))

    def refine(self, posterior: Posterior, gamma: float) -> Refined:
        """``posterior`` with the rules added."""
        scores = self.scores(posterior.logits, posterior.temperature)
        return Refined(posterior, self, scores, self.rules.beliefs(gamma * scores))


@dataclass(frozen=True, eq=False)
class Refined:
    """A posterior under rules: the interface of `Posterior` as the loop uses it.

    ``scores`` and ``belief`` are float64[N, A]. ``maximum`` is the exact best grid; `draw` perturbs the scores with
    Gumbel noise and takes the exact best grid of those (a legal grid always, an approximate joint draw).
    """

    posterior: Posterior
    bound: GridRules
    scores: np.ndarray
    belief: np.ndarray

    @property
    def factor(self) -> np.ndarray:
        return self.posterior.factor

    @property
    def entropy(self) -> np.ndarray:
        """float64[n]: as in `Posterior`, of the beliefs where there is a cell."""
        out = self.posterior.entropy.copy()
        out[self.bound.positions] = -(self.belief * np.log(np.maximum(self.belief, 1e-300))).sum(1)
        return out

    @property
    def cells(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(positions int64[N], tokens int64[A], log of the ratio of the belief to the model's own probability)."""
        own = self.posterior.logits[self.bound.positions].astype(np.float64) / self.posterior.temperature
        top = own.max(1, keepdims=True)
        own = own - top - np.log(np.exp(own - top).sum(1, keepdims=True))
        ratio = np.log(np.maximum(self.belief, 1e-30)) - own[:, self.bound.tokens]
        return self.bound.positions, self.bound.tokens, ratio

    def _grid(self, scores: np.ndarray) -> np.ndarray:
        best = self.bound.rules.best(scores)
        if best is None:
            raise GenerationError("no grid satisfies all the rules")
        return best

    @property
    def maximum(self) -> tuple[np.ndarray, int, float]:
        tokens, state, score = self.posterior.maximum
        letters = self._grid(self.scores)
        own = np.argmax(tokens[self.bound.positions][:, None] == self.bound.tokens, axis=1)
        rows = np.arange(len(letters))
        change = float((self.scores[rows, letters] - self.scores[rows, own]).sum())
        return self._placed(tokens, letters), state, score + change

    def draw(self, uniform: np.ndarray) -> tuple[np.ndarray, int]:
        tokens, state = self.posterior.draw(uniform)
        noise = np.random.default_rng(int(uniform[0, 0] * 2**53)).gumbel(size=self.scores.shape)
        return self._placed(tokens, self._grid(self.scores + noise)), state

    def _placed(self, tokens: np.ndarray, letters: np.ndarray) -> np.ndarray:
        out = tokens.copy()
        out[self.bound.positions] = self.bound.tokens[letters]
        return out
