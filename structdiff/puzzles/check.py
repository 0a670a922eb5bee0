"""Is a filled grid right? Written from the rules of the puzzles as people state them; shares no code with the rules."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from typing import Any

from structdiff.puzzles.kinds import Puzzle

BOX = {"sudoku 4x4": (2, 2), "sudoku 6x6": (2, 3), "sudoku 9x9": (3, 3)}


def legal(puzzle: Puzzle, answer: str) -> bool:
    """Does ``answer`` keep the givens and obey every rule of the puzzle?

    >>> legal(Puzzle("latin square", "1.\\n..", "12\\n21"), "12\\n21")
    True
    """
    if puzzle.kind in _OTHERS:
        return _OTHERS[puzzle.kind](puzzle, answer)
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
    if puzzle.kind == "countdown":
        return float(legal(puzzle, answer))
    if puzzle.kind == "zebra":
        wanted = json.loads(puzzle.solution)
        got = _json_rows(answer)
        every = [(i, key) for i, row in enumerate(wanted) for key in row if key != "house"]
        return sum(bool(i < len(got) and got[i].get(key) == wanted[i][key]) for i, key in every) / len(every)
    if puzzle.kind == "table":
        rows, shown, right = (
            [line.split("|") for line in t.split("\n")] for t in (answer, puzzle.puzzle, puzzle.solution)
        )
        holes = [(y, x) for y, line in enumerate(shown) for x, cell in enumerate(line) if cell.strip() == "?"]
        said = {(y, x): cell for y, line in enumerate(rows) for x, cell in enumerate(line)}
        return sum(said.get(h, "").strip() == right[h[0]][h[1]].strip() for h in holes) / len(holes) if holes else 1.0
    padded = answer.ljust(len(puzzle.solution))
    empty = [i for i, c in enumerate(puzzle.puzzle) if c == "."]
    return sum(padded[i] == puzzle.solution[i] for i in empty) / len(empty) if empty else 1.0


def _kakuro(puzzle: Puzzle, answer: str) -> bool:
    """Givens and walls stay; the digits of every stretch between walls differ and add up to the stretch's clue."""
    shape = "".join("[1-9]" if c == "." else re.escape(c) for c in puzzle.puzzle)
    if not re.fullmatch(shape, answer):
        return False
    rows = answer.split("\n")
    columns = ["".join(column) for column in zip(*rows, strict=True)]
    totals = {tuple(map(tuple, cells)): total for total, cells in puzzle.clues["sums"]}
    for side, line_list in (("row", rows), ("column", columns)):
        for number, line in enumerate(line_list):
            for match in re.finditer("[1-9]{2,}", line):
                places = range(*match.span())
                cells = tuple((number, i) if side == "row" else (i, number) for i in places)
                digits = [int(c) for c in match.group()]
                if len(set(digits)) < len(digits) or totals.pop(cells, None) != sum(digits):
                    return False
    return not totals


def _word_square(puzzle: Puzzle, answer: str) -> bool:
    """Givens stay, every row is one of the words, and reading down gives the same words as reading across."""
    rows = answer.split("\n")
    if not re.fullmatch("".join("[a-z]" if c == "." else re.escape(c) for c in puzzle.puzzle), answer):
        return False
    return set(rows) <= set(puzzle.clues["words"]) and ["".join(c) for c in zip(*rows, strict=True)] == rows


def _countdown(puzzle: Puzzle, answer: str) -> bool:
    """Does every step hold, from numbers that are there once, and is the last one the target?"""
    *have, target = puzzle.puzzle.split(",")
    for step in answer.split(","):
        match = re.fullmatch(r"(\d+)([-+*/])(\d+)=(\d+)", step, re.ASCII)
        if not match:
            return False
        a, sign, b, value = match.groups()
        for number in (a, b):
            if number not in have:
                return False
            have.remove(number)
        if sign == "/" and int(b) == 0:
            return False
        x, y = Fraction(a), Fraction(b)
        if (x + y if sign == "+" else x - y if sign == "-" else x * y if sign == "*" else x / y) != int(value):
            return False
        have.append(value)
    return have == [target]


def _json_rows(answer: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(answer)
    except ValueError:
        return []
    return rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else []


def _zebra(puzzle: Puzzle, answer: str) -> bool:
    """Three houses in order, every value once in its column, and every sentence true."""
    rows = _json_rows(answer)
    wanted = json.loads(puzzle.solution)
    if [list(row) for row in rows] != [list(row) for row in wanted]:
        return False
    if [row["house"] for row in rows] != [1, 2, 3]:
        return False
    if any(sorted(map(str, (r[k] for r in rows))) != sorted(r[k] for r in wanted) for k in ("name", "pet", "drink")):
        return False
    home = {value: row["house"] for row in rows for value in row.values() if isinstance(value, str)}
    for relation, one, other in puzzle.clues["says"]:
        apart = home[other] - home[one]
        if (
            (relation == "same" and apart != 0)
            or (relation == "not" and apart == 0)
            or (relation == "left" and apart != 1)
        ):
            return False
    return True


def _table(puzzle: Puzzle, answer: str) -> bool:
    """The given text is unchanged, holes hold right-aligned whole numbers, and every total is the sum of its line."""
    shown, said = puzzle.puzzle.split("\n"), answer.split("\n")
    if [[len(cell) for cell in line.split("|")] for line in shown] != [
        [len(cell) for cell in line.split("|")] for line in said
    ]:
        return False
    for before, after in zip(shown, said, strict=True):
        for old, new in zip(before.split("|"), after.split("|"), strict=True):
            number = re.fullmatch(r" +(0|[1-9][0-9]*) ", new, re.ASCII)
            if not number if old.strip() == "?" else old != new:
                return False
    numbers = [[int(cell) for cell in line.split("|")[2:-1]] for line in said[2:]]
    across = all(sum(line) == 2 * line[-1] for line in numbers)
    return across and all(sum(column) == 2 * column[-1] for column in zip(*numbers, strict=True))


_OTHERS = {"kakuro": _kakuro, "word square": _word_square, "countdown": _countdown, "zebra": _zebra, "table": _table}
