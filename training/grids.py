"""Grid puzzles for training: sudoku 4x4 and 6x6 with one solution, latin squares and binary puzzles.

>>> kind, puzzle, solution = make_grid(random.Random(1))
>>> len(puzzle) == len(solution) and all(p in (".", s) for p, s in zip(puzzle, solution))
True
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator

Grid = list[list[str]]


def completions(grid: Grid, rows: int, columns: int, r: random.Random | None = None) -> Iterator[Grid]:
    """Every completion of a sudoku with boxes of ``rows`` by ``columns``, in random order with ``r``."""
    size = rows * columns
    best: tuple[list[str], int, int] | None = None
    for y in range(size):
        for x in range(size):
            if grid[y][x] == ".":
                top, left = y // rows * rows, x // columns * columns
                seen = {*grid[y], *(row[x] for row in grid)}
                seen.update(c for row in grid[top : top + rows] for c in row[left : left + columns])
                free = [digit for digit in "123456789"[:size] if digit not in seen]
                if best is None or len(free) < len(best[0]):
                    best = free, y, x
    if best is None:
        yield [list(row) for row in grid]
        return
    free, y, x = best
    for digit in r.sample(free, len(free)) if r else free:
        grid[y][x] = digit
        yield from completions(grid, rows, columns, r)
    grid[y][x] = "."


def sudoku(r: random.Random, rows: int, columns: int) -> Grid:
    """A random full sudoku with boxes of ``rows`` by ``columns``."""
    size = rows * columns
    return next(completions([["."] * size for _ in range(size)], rows, columns, r))


def dig(r: random.Random, grid: Grid, rows: int, columns: int, blanks: int) -> Grid:
    """The sudoku with up to ``blanks`` cells emptied while its solution stays the only one."""
    puzzle = [list(row) for row in grid]
    for place in r.sample(range(len(grid) ** 2), len(grid) ** 2):
        y, x = divmod(place, len(grid))
        puzzle[y][x] = "."
        found = completions([list(row) for row in puzzle], rows, columns)
        next(found)
        if next(found, None) is not None:
            puzzle[y][x] = grid[y][x]
        elif (blanks := blanks - 1) <= 0:
            break
    return puzzle


def latin(r: random.Random, size: int) -> Grid:
    """A latin square: the cyclic one with rows, columns and labels shuffled."""
    labels, order, across = (r.sample(range(size), size) for _ in range(3))
    return [["123456789"[labels[(y + x) % size]] for x in across] for y in order]


def binary(r: random.Random, size: int) -> Grid:
    """A full binary puzzle: as many 0 as 1 in every line, no three alike in a row."""

    def lines(width: int) -> list[str]:
        words = (format(i, f"0{width}b") for i in range(2**width))
        return [w for w in words if w.count("1") == width // 2 and "000" not in w and "111" not in w]

    def extend(grid: list[str]) -> Iterator[list[str]]:
        if len(grid) == size:
            yield grid
            return
        for line in r.sample(options, len(options)):
            rows = [*grid, line]
            columns = ["".join(column) for column in zip(*rows, strict=True)]
            if line not in grid and all(
                "000" not in c and "111" not in c and max(c.count("0"), c.count("1")) <= size // 2 for c in columns
            ):
                yield from extend(rows)

    options = lines(size)
    return [list(line) for line in next(extend([]))]


def make_grid(r: random.Random, held_out: bool = False) -> tuple[str, str, str]:
    """(kind, puzzle, solution), grids in lines with "." for blanks; a tenth of all grids is held out of training.

    The held-out tenth is told by a checksum of the puzzle relabelled in order of first appearance.
    """
    while True:
        kind = r.choice(["sudoku 4x4"] * 5 + ["sudoku 6x6"] * 3 + ["latin square", "binary puzzle"])
        if kind == "sudoku 4x4":
            grid = sudoku(r, 2, 2)
            puzzle = dig(r, grid, 2, 2, r.randint(3, 12))
        elif kind == "sudoku 6x6":
            grid = sudoku(r, 2, 3)
            puzzle = dig(r, grid, 2, 3, r.randint(4, 24))
        else:
            grid = latin(r, r.choice([3, 4, 5])) if kind == "latin square" else binary(r, 4)
            puzzle = [list(row) for row in grid]
            for place in r.sample(range(len(grid) ** 2), r.randint(2, len(grid) ** 2 // 2)):
                puzzle[place // len(grid)][place % len(grid)] = "."
        text, solution = ("\n".join("".join(row) for row in g) for g in (puzzle, grid))
        if (zlib.crc32(relabelled(text).encode()) % 10 == 0) == held_out:
            return kind, text, solution


def relabelled(text: str) -> str:
    """``text`` with its digits renamed in order of first appearance.

    >>> relabelled("3.\\n13")
    'a.\\nba'
    """
    names: dict[str, str] = {}
    return "".join(names.setdefault(c, chr(97 + len(names))) if c.isdigit() else c for c in text)
