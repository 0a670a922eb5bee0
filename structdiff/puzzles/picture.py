"""Pictures of a grid before, during and after: for a terminal and as a PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.columns import Columns
from rich.panel import Panel
from rich.text import Text

from structdiff.frontends.grid.grid import Grid
from structdiff.frontends.grid.rules import Cell
from structdiff.puzzles.film import Moment
from structdiff.puzzles.kinds import WALL

STYLES = {"given": "bold", "right": "green", "wrong": "red", "draft": "yellow", "empty": "dim"}
COLOURS = {"given": "black", "right": "#1a7f37", "wrong": "#cf222e", "draft": "#9a6700", "empty": "#8c959f"}


@dataclass(frozen=True)
class Picture:
    """One of the three grids: its title, and for every cell (letter, state, how sure in 0..1)."""

    title: str
    cells: dict[Cell, tuple[str, str, float]]


def panels(grid: Grid, moments: Sequence[Moment], answer: str, solution: str) -> list[Picture]:
    """The givens, the draft after half of the steps, and the answer with each cell right or wrong.

    >>> draft = Moment(1, {(0, 0): "1", (0, 1): "1"}, {(0, 1): 0.5})
    >>> before, during, after = panels(Grid.of("1.", "12"), [draft], "11", "12")
    >>> during.cells[0, 1], after.cells[0, 1]
    (('1', 'draft', 0.5), ('1', 'wrong', 1.0))
    """
    given = dict(grid.givens)
    places = [piece for piece in grid.pieces if not isinstance(piece, str)]

    def panel(title: str, letters: dict[Cell, str], sure: dict[Cell, float], right: dict[Cell, str]) -> Picture:
        cells = {}
        for cell in places:
            letter = letters.get(cell) or grid.blank
            state = "right" if letter == right.get(cell) else "wrong" if right else "draft"
            state = "given" if cell in given else "empty" if letter == grid.blank else state
            cells[cell] = given.get(cell, letter), state, 1.0 if cell in given else sure.get(cell, 1.0)
        return Picture(title, cells)

    half = moments[len(moments) // 2]
    return [
        panel("before", {}, {}, {}),
        panel(f"step {half.step} of {moments[-1].step}", half.letters, half.sure, {}),
        panel("after", _letters(grid, answer), {}, _letters(grid, solution)),
    ]


def _letters(grid: Grid, text: str) -> dict[Cell, str]:
    rows = grid.parse(text)
    return {(y, x): letter for y, row in enumerate(rows[: grid.rows]) for x, letter in enumerate(row[: grid.cols])}


def show(three: Sequence[Picture]) -> Columns:
    """The grids side by side for a Rich console; colours and, for cells the model doubts, dim letters."""
    shown = []
    for one in three:
        text, last = Text(), 0
        for (y, x), (letter, state, sure) in one.cells.items():
            text.append("\n" if y > last else " " if x else "")
            text.append(letter, STYLES[state] + (" dim" if state == "draft" and sure < 0.5 else ""))
            last = y
        shown.append(Panel.fit(text, title=one.title))
    return Columns(shown)


def draw(three: Sequence[Picture], path: str | Path) -> None:
    """Write the grids side by side as a PNG; the darker a cell of the draft, the less sure the model is of it."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    rows, cols = (max(cell[i] for cell in three[0].cells) + 1 for i in (0, 1))
    figure = Figure(figsize=(3 * 0.45 * cols + 1.5, 0.45 * rows + 0.8), layout="constrained")
    for axes, one in zip(figure.subplots(1, 3), three, strict=True):
        for (y, x), (letter, state, sure) in one.cells.items():
            shade = str(1 - 0.4 * (1 - sure)) if state == "draft" else "white"
            axes.add_patch(Rectangle((x, y), 1, 1, facecolor="0.25" if letter == WALL else shade, edgecolor="0.6"))
            weight = "bold" if state == "given" else "normal"
            if letter == WALL:
                continue
            axes.text(x + 0.5, y + 0.5, letter, ha="center", va="center", color=COLOURS[state], weight=weight)
        axes.set(xlim=(0, cols), ylim=(rows, 0), aspect="equal", title=one.title)
        axes.axis("off")
    figure.savefig(path, dpi=120)
