"""A grid while it is denoised: what stands in its cells after every step, and how sure the model is of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from structdiff.decode.trace import CanvasCommitted, Event, StepDone
from structdiff.frontends.grid.grid import Grid
from structdiff.frontends.grid.rules import Cell
from structdiff.frontends.grid.solve import Rules, marginals


@dataclass(frozen=True)
class Moment:
    """The cells after a step: their texts ("" where nothing was written yet), and exp(-entropy) of each (1: sure)."""

    step: int
    letters: dict[Cell, str]
    sure: dict[Cell, float]

    def text(self, grid: Grid) -> str:
        """The grid as text, blanks where no letter of its alphabet stands."""
        return grid.text({cell: letter for cell, letter in self.letters.items() if letter in grid.alphabet and letter})


class Film:
    """Collects the `Moment` of every step of one row; pass it as ``on_event``. Every piece of the grid is one token,
    whose text ``piece`` gives.

    >>> film = Film(Grid(1, 2, "12"), lambda token: "12"[token], canvas_length=4)
    >>> film(StepDone(0, 0, 1, 1, [0, 1, 0, 0], [0, 1, 0, 0], [True] * 4, [False] * 4, [0.0, 0.7, 0.0, 0.0], 2))
    >>> film.moments[0].letters, round(film.moments[0].sure[0, 1], 2)
    ({(0, 0): '1', (0, 1): '2'}, 0.5)
    """

    def __init__(self, grid: Grid, piece: Callable[[int], str], canvas_length: int) -> None:
        self.grid, self.piece, self.canvas_length = grid, piece, canvas_length
        self.moments: list[Moment] = []
        self._steps = 0
        self._letters: dict[Cell, str] = dict.fromkeys((p for p in grid.pieces if not isinstance(p, str)), "")
        self._sure: dict[Cell, float] = dict.fromkeys(self._letters, 0.0)

    def __call__(self, event: Event) -> None:
        if isinstance(event, CanvasCommitted):
            self._write(event.canvas, event.tokens, [0.0] * len(event.tokens))
            if self.moments:
                self.moments[-1] = Moment(self._steps, dict(self._letters), dict(self._sure))
        if isinstance(event, StepDone):
            self._write(event.canvas, event.committed, event.entropy)
            self._steps += 1
            self.moments.append(Moment(self._steps, dict(self._letters), dict(self._sure)))

    def _write(self, canvas: int, tokens: Sequence[int], entropy: Sequence[float]) -> None:
        first = canvas * self.canvas_length
        for piece, token, doubt in zip(self.grid.pieces[first:], tokens, entropy, strict=False):
            if not isinstance(piece, str):
                self._letters[piece] = self.piece(token)
                self._sure[piece] = math.exp(-doubt)


def candidates(grid: Grid) -> dict[Cell, int]:
    """For every empty cell, how many letters no single rule excludes, given the givens alone.

    >>> from structdiff.frontends.grid.rules import AllDifferent, lines
    >>> candidates(Grid.of("1..\\n...\\n...", "123", [AllDifferent(line) for line in lines(3, 3)]))[0, 1]
    2
    """
    rules = Rules(grid)
    known = {y * grid.cols + x: letter for (y, x), letter in grid.givens}
    given = np.ones((rules.N, rules.A), bool)
    for place, letter in known.items():
        given[place] = [letter == other for other in grid.alphabet]
    left = given.copy()
    for places, machine in rules.machines:
        left[places] &= marginals(machine, given[places].astype(float)) > 0
    return {divmod(k, grid.cols): int(left[k].sum()) for k in range(rules.N) if k not in known}


def settled(moments: Sequence[Moment], cells: Sequence[Cell]) -> dict[Cell, int]:
    """For each cell the step from which on its letter stays.

    >>> settled([Moment(1, {(0, 0): "2"}, {}), Moment(2, {(0, 0): "1"}, {}), Moment(3, {(0, 0): "1"}, {})], [(0, 0)])
    {(0, 0): 2}
    """
    out = {}
    for cell in cells:
        step = moments[-1].step
        for moment in reversed(moments):
            if moment.letters[cell] != moments[-1].letters[cell]:
                break
            step = moment.step
        out[cell] = step
    return out
