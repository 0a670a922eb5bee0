"""Kinds of puzzles: how each becomes a `Grid`, and seeded instances with exactly one solution."""

from __future__ import annotations

import functools
import importlib.resources
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from structdiff.core.errors import InvalidSchema
from structdiff.frontends.grid.grid import Grid
from structdiff.frontends.grid.rules import (
    AllDifferent,
    Balanced,
    Cell,
    Differ,
    Less,
    Rule,
    Runs,
    Total,
    Words,
    boxes,
    lines,
    runs_of,
)
from structdiff.frontends.grid.solve import Rules


@dataclass(frozen=True)
class Puzzle:
    """One instance: ``kind``, the ``puzzle`` in lines with "." for empty cells, its ``solution``, and clues beside it.

    In texts (`structdiff.puzzles.texts`) holes are "?". ``clues`` is {"rows": [[...]], "cols": [[...]]} for nonograms,
    {"less": [[[y, x], [y, x]], ...]} for futoshiki, {"sums": [[total, [[y, x], ...]], ...]} for kakuro, {"words":
    [...]} for word squares and {"says": [[relation, one, other], ...]} for zebras.
    """

    kind: str
    puzzle: str
    solution: str
    clues: dict[str, Any] = field(default_factory=dict)

    @property
    def blanks(self) -> int:
        """How many cells are empty."""
        return self.puzzle.count(".") + self.puzzle.count("?")

    def grid(self) -> Grid:
        """The grid with all rules of the kind.

        >>> len(Puzzle("latin square", "1.\\n..", "12\\n21").grid().rules)
        4
        """
        kind = kind_of(self.kind)
        rows, cols = self.puzzle.count("\n") + 1, len(self.puzzle.split("\n")[0])
        return Grid.of(self.puzzle, kind.alphabet(rows, self.clues), kind.rules(rows, cols, self.clues), kind=self.kind)

    @property
    def text(self) -> str:
        """What the model is shown: the puzzle, and its clues below it."""
        said = []
        for side in ("rows", "cols"):
            if side in self.clues:
                said.append(f"{side}: " + "; ".join(" ".join(map(str, clue)) or "0" for clue in self.clues[side]))
        if "less" in self.clues:
            said.append("less: " + "; ".join(f"{a[0]},{a[1]} < {b[0]},{b[1]}" for a, b in self.clues["less"]))
        if "sums" in self.clues:
            said.append("sums: " + "; ".join(_sum_text(total, cells) for total, cells in self.clues["sums"]))
        if "words" in self.clues:
            said.append("words: " + ", ".join(self.clues["words"]))
        return "\n".join([self.puzzle, *said])


def _sum_text(total: int, cells: list[list[int]]) -> str:
    (y, x), (below, right) = cells[0], cells[-1]
    return f"{y},{x} to {below},{right} = {total}"


@dataclass(frozen=True)
class Kind:
    """A kind: its letters and rules by size and clues, the size its generator makes, the clues read off a solution,
    and how a solution is made where the rules alone do not say (default: the best grid under random scores)."""

    alphabet: Callable[[int, dict[str, Any]], str]
    rules: Callable[[int, int, dict[str, Any]], list[Rule]]
    size: int
    clues: Callable[[list[str], random.Random], dict[str, Any]] = lambda rows, r: {}
    starts_empty: bool = False
    fill: Callable[[int, random.Random], list[str]] | None = None


def _digits(size: int, clues: dict[str, Any]) -> str:
    return "123456789"[:size]


def _latin(rows: int, cols: int, clues: dict[str, Any]) -> list[Rule]:
    return [AllDifferent(line) for line in lines(rows, cols)]


def _sudoku(height: int, width: int) -> Callable[[int, int, dict[str, Any]], list[Rule]]:
    def rules(rows: int, cols: int, clues: dict[str, Any]) -> list[Rule]:
        if rows != height * width or cols != rows:
            raise InvalidSchema(f"this sudoku has {height * width} rows and columns, not {rows} x {cols}")
        return _latin(rows, cols, clues) + [AllDifferent(box) for box in boxes(rows, height, width)]

    return rules


def _binary(rows: int, cols: int, clues: dict[str, Any]) -> list[Rule]:
    every = lines(rows, cols)
    pairs = [(a, b) for part in (every[:rows], every[rows:]) for i, a in enumerate(part) for b in part[i + 1 :]]
    return [*(Balanced(line) for line in every), *(Differ(a, b) for a, b in pairs)]


def _nonogram(rows: int, cols: int, clues: dict[str, Any]) -> list[Rule]:
    every = [*clues.get("rows", []), *clues.get("cols", [])]
    if not every:
        return []
    if len(every) != rows + cols:
        raise InvalidSchema(f"a nonogram of {rows} x {cols} needs {rows + cols} clues, not {len(every)}")
    return [Runs(line, tuple(clue), "1") for line, clue in zip(lines(rows, cols), every, strict=True)]


def _nonogram_clues(rows: list[str], r: random.Random) -> dict[str, Any]:
    columns = ["".join(column) for column in zip(*rows, strict=True)]
    return {"rows": [list(runs_of(x, "1")) for x in rows], "cols": [list(runs_of(x, "1")) for x in columns]}


def _futoshiki(rows: int, cols: int, clues: dict[str, Any]) -> list[Rule]:
    less = [Less((a[0], a[1]), (b[0], b[1])) for a, b in clues.get("less", [])]
    return [*_latin(rows, cols, clues), *less]


def _futoshiki_clues(rows: list[str], r: random.Random) -> dict[str, Any]:
    cells = [(y, x) for y in range(len(rows)) for x in range(len(rows))]
    pairs = [(a, (a[0] + dy, a[1] + dx)) for a in cells for dy, dx in ((0, 1), (1, 0))]
    inside = [(a, b) for a, b in pairs if max(b) < len(rows)]
    chosen = r.sample(inside, len(inside) // 2)
    return {"less": [[list(c) for c in sorted(p, key=lambda c: rows[c[0]][c[1]])] for p in chosen]}


WALL = "#"
LARGEST_KAKURO = 7


def _runs_between_walls(rows: list[str]) -> list[tuple[Cell, ...]]:
    """The cells of every stretch of at least two cells, across and down, that no wall interrupts."""
    found = []
    for line in lines(len(rows), len(rows[0])):
        run: list[Cell] = []
        for cell in (*line, None):
            if cell is not None and rows[cell[0]][cell[1]] != WALL:
                run.append(cell)
                continue
            found += [tuple(run)] if len(run) > 1 else []
            run = []
    return found


def _kakuro_fill(n: int, r: random.Random) -> list[str]:
    """Walls with a run of at least two cells both ways through every other cell, and digits that differ in each run."""
    if n > LARGEST_KAKURO:
        raise InvalidSchema(f"kakuros are made with 2 to {LARGEST_KAKURO} rows, not with {n}: larger ones take minutes")
    while True:
        rows = ["".join(WALL if r.random() < 0.2 else "." for _ in range(n)) for _ in range(n)]
        runs = _runs_between_walls(rows)
        white = [(y, x) for y in range(n) for x in range(n) if rows[y][x] != WALL]
        through = {cell: [run for run in runs if cell in run] for cell in white}
        if (
            len(white) < n * n // 2
            or (n > 2 and len(white) == n * n)
            or any(len(both) < 2 for both in through.values())
        ):
            continue
        digits: dict[Cell, str] = {}
        for cell in white:
            taken = {digits[other] for run in through[cell] for other in run if other in digits}
            free = [digit for digit in "123456789" if digit not in taken]
            if not free:
                break
            digits[cell] = r.choice(free)
        else:
            return ["".join(digits.get((y, x), WALL) for x in range(n)) for y in range(n)]


def _kakuro_clues(rows: list[str], r: random.Random) -> dict[str, Any]:
    runs = _runs_between_walls(rows)
    return {"sums": [[sum(int(rows[y][x]) for y, x in run), [list(cell) for cell in run]] for run in runs]}


def _kakuro(rows: int, cols: int, clues: dict[str, Any]) -> list[Rule]:
    return [Total(tuple((y, x) for y, x in cells), total, distinct=True) for total, cells in clues.get("sums", [])]


DECOYS = 8
"""So many words beside those of the square are shown."""


def _word_square_fill(n: int, r: random.Random) -> list[str]:
    words = [word for word in word_list() if len(word) == n]
    if not words:
        raise InvalidSchema(f"there are word squares of 3 and 4 letters, not of {n}")
    starts: dict[str, list[str]] = {}
    for word in words:
        for i in range(n):
            starts.setdefault(word[:i], []).append(word)

    def grow(square: list[str]) -> list[str] | None:
        if len(square) == n:
            return square if len(set(square)) == n else None
        fitting = starts.get("".join(word[len(square)] for word in square), [])
        for word in r.sample(fitting, len(fitting)):
            if full := grow([*square, word]):
                return full
        return None

    full = grow([])
    assert full is not None  # the list holds squares of both sizes: tested
    return full


def _word_square_clues(rows: list[str], r: random.Random) -> dict[str, Any]:
    others = [word for word in word_list() if len(word) == len(rows) and word not in rows]
    return {"words": sorted([*rows, *r.sample(others, DECOYS)])}


def _letters(size: int, clues: dict[str, Any]) -> str:
    return "".join(sorted(set("".join(clues.get("words", word_list())))))


def _word_square(rows: int, cols: int, clues: dict[str, Any]) -> list[Rule]:
    """Every row is a listed word, and every column is the row of the same number."""
    words = tuple(clues.get("words", word_list()))
    twice = tuple(2 * letter for letter in _letters(rows, clues))
    across = [tuple((y, x) for x in range(cols)) for y in range(rows)]
    pairs = [((y, x), (x, y)) for y in range(rows) for x in range(y)]
    return [*(Words(line, words) for line in across), *(Words(pair, twice) for pair in pairs)]


@functools.cache
def word_list() -> list[str]:
    """Common English words of three and four letters."""
    return (importlib.resources.files("structdiff.puzzles") / "words.txt").read_text(encoding="utf-8").split()


KINDS = {
    "sudoku 4x4": Kind(_digits, _sudoku(2, 2), 4),
    "sudoku 6x6": Kind(_digits, _sudoku(2, 3), 6),
    "sudoku 9x9": Kind(_digits, _sudoku(3, 3), 9),
    "latin square": Kind(_digits, _latin, 4),
    "futoshiki": Kind(_digits, _futoshiki, 4, _futoshiki_clues),
    "binary puzzle": Kind(lambda size, clues: "01", _binary, 4),
    "nonogram": Kind(lambda size, clues: "01", _nonogram, 5, _nonogram_clues, starts_empty=True),
    "kakuro": Kind(lambda size, clues: "123456789" + WALL, _kakuro, 5, _kakuro_clues, fill=_kakuro_fill),
    "word square": Kind(_letters, _word_square, 4, _word_square_clues, fill=_word_square_fill),
}
"""The kinds by the name the prompt uses."""


def kind_of(name: str) -> Kind:
    """The kind called ``name``. Raises `InvalidSchema` listing the kinds there are."""
    if name not in KINDS:
        raise InvalidSchema(f"there is no puzzle kind {name!r}; the kinds are {', '.join(KINDS)}")
    return KINDS[name]


def make(name: str, seed: int, size: int | None = None, blanks: int | None = None) -> Puzzle:
    """A puzzle with exactly one solution; the same seed gives the same puzzle.

    ``blanks`` bounds how many cells are emptied (default: as many as uniqueness allows).

    >>> made = make("latin square", seed=1)
    >>> made == make("latin square", seed=1), made.blanks > 0
    (True, True)
    """
    kind, r = kind_of(name), random.Random(f"{name} {seed} {size}")
    n = size or kind.size
    cells = [(y, x) for y in range(n) for x in range(n)]
    while True:
        rows = (kind.fill or functools.partial(_filled, kind))(n, r)
        clues = kind.clues(rows, r)
        walls = {(y, x): WALL for y, x in cells if rows[y][x] == WALL}
        rules = Rules(Grid(n, n, kind.alphabet(n, clues), walls, kind.rules(n, n, clues)))
        shown = {} if kind.starts_empty else {(y, x): rows[y][x] for y, x in cells}
        if rules.solutions(givens=shown) != 1:
            continue
        left = n * n if blanks is None else blanks
        for cell in r.sample([cell for cell in shown if cell not in walls], len(shown) - len(walls)):
            if left == 0:
                break
            fewer = {other: letter for other, letter in shown.items() if other != cell}
            if rules.solutions(givens=fewer) == 1:
                shown, left = fewer, left - 1
        puzzle = ["".join(shown.get((y, x), ".") for x in range(n)) for y in range(n)]
        return Puzzle(name, "\n".join(puzzle), "\n".join(rows), clues)


def _filled(kind: Kind, n: int, r: random.Random) -> list[str]:
    """A full grid: random letters where there are no rules yet, else the best under random scores of some cells.

    Scores for all cells would make the search prove an optimum, which takes minutes on an empty 9 x 9 grid.
    """
    letters = kind.alphabet(n, {})
    if kind.starts_empty:
        return ["".join(r.choice(letters) for _ in range(n)) for _ in range(n)]
    full = Rules(Grid(n, n, letters, rules=kind.rules(n, n, {})))
    scores = np.zeros((n * n, len(letters)))
    some = r.sample(range(n * n), n + n // 2)
    scores[some] = np.random.default_rng(r.getrandbits(32)).gumbel(size=(len(some), len(letters)))
    best = full.best(scores)
    assert best is not None  # Rules would have refused a grid without any solution
    return ["".join(letters[a] for a in best[y * n : y * n + n]) for y in range(n)]
