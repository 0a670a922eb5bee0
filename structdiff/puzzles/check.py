"""Is a filled grid right? Written from the rules of the puzzles as people state them; shares no code with the rules."""

from __future__ import annotations

import re

from structdiff.puzzles.kinds import Puzzle

BOX = {"sudoku 4x4": (2, 2), "sudoku 6x6": (2, 3), "sudoku 9x9": (3, 3)}


def legal(puzzle: Puzzle, answer: str) -> bool:
    """Does ``answer`` keep the givens and obey every rule of the puzzle?

    >>> legal(Puzzle("latin square", "1.\\n..", "12\\n21"), "12\\n21")
    True
    """
    shape = re.escape(puzzle.puzzle).replace(r"\.", r"[0-9]").replace("\\\n", "\n")
    if not re.fullmatch(shape, answer):
        return False
    rows = answer.splitlines()
    columns = ["".join(column) for column in zip(*rows, strict=True)]
    if puzzle.kind == "binary puzzle":
        balanced = all(line.count("0") == line.count("1") == len(line) / 2 for line in rows + columns)
        calm = not any("000" in line or "111" in line for line in rows + columns)
        return balanced and calm and len(set(rows)) == len(rows) and len(set(columns)) == len(columns)
    if puzzle.kind == "nonogram":
        blocks = [[[len(b) for b in re.findall("1+", line)] for line in side] for side in (rows, columns)]
        return set(answer) <= set("01\n") and blocks == [puzzle.clues["rows"], puzzle.clues["cols"]]
    groups = rows + columns
    if puzzle.kind in BOX:
        height, width = BOX[puzzle.kind]
        for top in range(0, len(rows), height):
            band = rows[top : top + height]
            groups += ["".join(row[x : x + width] for row in band) for x in range(0, len(rows), width)]
    digits = [str(i) for i in range(1, len(rows) + 1)]
    ordered = all(rows[a][b] < rows[c][d] for (a, b), (c, d) in puzzle.clues.get("less", []))
    return ordered and all(sorted(group) == digits for group in groups)


def cells_right(puzzle: Puzzle, answer: str) -> float:
    """The share of the empty cells that hold the solution's letter; a cell that is missing counts as wrong."""
    padded = answer.ljust(len(puzzle.solution))
    empty = [i for i, c in enumerate(puzzle.puzzle) if c == "."]
    return sum(padded[i] == puzzle.solution[i] for i in empty) / len(empty) if empty else 1.0
