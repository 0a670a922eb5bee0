"""Puzzles that are not grids of single letters: tables with totals, logic grids (zebra), countdown.

Their rules are the finite set of right answers, found by search; the arm with rules denoises over exactly that set.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from structdiff.core.errors import InvalidSchema, Unsatisfiable
from structdiff.frontends.grid.solve import search
from structdiff.frontends.prompt import build_grid_prompt, build_prompt, build_regex_prompt
from structdiff.frontends.regex.frontend import Regex
from structdiff.puzzles.kinds import Puzzle

MOST_ANSWERS = 1000


@dataclass(frozen=True)
class TextKind:
    """A kind: its generator, the source of its shape, all its right answers, and the prompt."""

    make: Callable[[random.Random], Puzzle]
    shape: Callable[[Puzzle], Any]
    search: Callable[[Puzzle], Iterator[str]]
    prompt: Callable[[Puzzle], str]

    def answers(self, puzzle: Puzzle) -> list[str]:
        """Every right answer. Raises `Unsatisfiable` where there is none, `InvalidSchema` where there are too many."""
        found = list(itertools.islice(dict.fromkeys(self.search(puzzle)), MOST_ANSWERS + 1))
        if not found:
            raise Unsatisfiable(f"no answer satisfies the rules of this {puzzle.kind}")
        if len(found) > MOST_ANSWERS:
            raise InvalidSchema(f"this {puzzle.kind} has more than {MOST_ANSWERS} answers; give more of it")
        return found


# --- a Markdown table whose rows and columns have totals; holes are "?" ---


def _fields(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.split("\n")]


def _totals(puzzle: Puzzle) -> Iterator[str]:
    """All fillings of the holes by whole numbers that fit their column: last row and column are the totals."""
    cp_model = search()
    cells = _fields(puzzle.puzzle)[2:]
    model = cp_model.CpModel()
    width = [len(part) - 2 for part in puzzle.puzzle.split("\n")[0].split("|")[1:-1]]
    numbers = []
    for row in cells:
        numbers.append([
            model.new_int_var(0, 10 ** width[x] - 1, "") if row[x] == "?" else int(row[x]) for x in range(1, len(row))
        ])  # fmt: skip
    for line in [*numbers, *map(list, zip(*numbers, strict=True))]:
        # A line without any hole is arithmetic already; a false one leaves no answer.
        if all(isinstance(n, int) for n in line):
            if sum(line[:-1]) != line[-1]:
                return
        else:
            model.add(sum(line[:-1]) == line[-1])
    holes = [n for line in numbers for n in line if not isinstance(n, int)]
    while True:
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        if solver.solve(model) == cp_model.INFEASIBLE:
            return
        values = [solver.value(hole) for hole in holes]
        parts = re.split(r"( *\?)", puzzle.puzzle)
        for number, value in enumerate(values):  # the holes are the parts with odd numbers
            parts[2 * number + 1] = str(value).rjust(len(parts[2 * number + 1]))
        yield "".join(parts)
        if not holes:
            return
        differs = []
        for hole, value in zip(holes, values, strict=True):
            other = model.new_bool_var("")
            model.add(hole != value).only_enforce_if(other)
            differs.append(other)
        model.add_bool_or(differs)


def _table_shape(puzzle: Puzzle) -> Regex:
    """The table with a right-aligned whole number in every hole."""
    out, parts = "", re.split(r"( +\?)", puzzle.puzzle)
    for part in parts:
        if not part.endswith("?"):
            out += re.escape(part)
            continue
        width = len(part) - 1
        sized = [" " * (width - k) + ("[0-9]" if k == 1 else f"[1-9][0-9]{{{k - 1}}}") for k in range(1, width + 1)]
        out += f" (?:{'|'.join(sized)})"
    return Regex(out)


def _table(r: random.Random) -> Puzzle:
    items = r.sample(["chair", "desk", "lamp", "phone", "shelf", "sofa", "stool", "table"], 2)
    rows = [[r.randint(1, 20) for _ in range(2)] for _ in items]
    rows = [[*row, sum(row)] for row in rows]
    rows.append([sum(column) for column in zip(*rows, strict=True)])
    names = [*items, "total"]

    def text(hidden: set[tuple[int, int]]) -> str:
        lines = [f"| {'item':<5} | mon | tue | total |", f"| {'-' * 5} | --: | --: | ----: |"]
        for y, (name, row) in enumerate(zip(names, rows, strict=True)):
            said = ["?" if (y, x) in hidden else str(n) for x, n in enumerate(row)]
            lines.append(f"| {name:<5} | {said[0]:>3} | {said[1]:>3} | {said[2]:>5} |")
        return "\n".join(lines)

    hidden: set[tuple[int, int]] = set()
    for place in r.sample([(y, x) for y in range(3) for x in range(3)], 9):
        more = Puzzle("table", text(hidden | {place}), "")
        if len(list(itertools.islice(_totals(more), 2))) == 1:
            hidden.add(place)
    return Puzzle("table", text(hidden), text(set()))


# --- zebra: who lives where with what, answered as a JSON table ---

ZEBRA = {"name": ("Ann", "Ben", "Eva"), "pet": ("cat", "dog", "fox"), "drink": ("milk", "tea", "water")}
_SAYS = {"same": "{} lives with {}", "not": "{} does not live with {}", "left": "{} lives directly left of {}"}


def _tables() -> Iterator[list[dict[str, Any]]]:
    for columns in itertools.product(*(itertools.permutations(values) for values in ZEBRA.values())):
        yield [
            {"house": i + 1} | {key: column[i] for key, column in zip(ZEBRA, columns, strict=True)} for i in range(3)
        ]


def _holds(clue: list[str], table: list[dict[str, Any]]) -> bool:
    relation, one, other = clue
    a, b = (next(row["house"] for row in table if value in row.values()) for value in (one, other))
    return bool({"same": a == b, "not": a != b, "left": a + 1 == b}[relation])


def _zebra_answers(puzzle: Puzzle) -> Iterator[str]:
    for table in _tables():
        if all(_holds(clue, table) for clue in puzzle.clues["says"]):
            yield json.dumps(table)


def _zebra(r: random.Random) -> Puzzle:
    table = r.choice(list(_tables()))
    values = [value for column in ZEBRA.values() for value in column]
    pairs = [[relation, *pair] for relation in _SAYS for pair in itertools.permutations(values, 2)]
    kept = [clue for clue in r.sample(pairs, len(pairs)) if _holds(clue, table)]
    for clue in list(kept):
        fewer = [other for other in kept if other is not clue]
        if sum(all(_holds(c, t) for c in fewer) for t in _tables()) == 1:
            kept = fewer
    said = "\n".join(_SAYS[c[0]].format(c[1], c[2]) for c in kept)
    return Puzzle("zebra", f"Houses 1, 2, 3 from left to right\n{said}", json.dumps(table), {"says": kept})


def _zebra_schema(puzzle: Puzzle) -> dict[str, Any]:
    columns: dict[str, Any] = {key: {"enum": list(values)} for key, values in ZEBRA.items()}
    rows = [
        {
            "type": "object",
            "properties": {"house": {"const": i + 1}, **columns},
            "required": ["house", *ZEBRA],
            "additionalProperties": False,
        }
        for i in range(3)
    ]
    return {"type": "array", "prefixItems": rows, "items": False, "minItems": 3}


# --- countdown: steps that use every number once and reach the target, which stands last ---


def _steps(numbers: tuple[int, ...], target: int) -> Iterator[str]:
    for i, j in itertools.permutations(range(len(numbers)), 2):
        a, b = numbers[i], numbers[j]
        rest = tuple(n for k, n in enumerate(numbers) if k not in (i, j))
        results = {"+": a + b, "-": a - b, "*": a * b}
        if b and a % b == 0:
            results["/"] = a // b
        for sign, value in results.items():
            if value < 0:
                continue
            if rest:
                yield from (f"{a}{sign}{b}={value},{more}" for more in _steps((*rest, value), target))
            elif value == target:
                yield f"{a}{sign}{b}={value}"


def _countdown_answers(puzzle: Puzzle) -> Iterator[str]:
    *numbers, target = (int(n) for n in puzzle.puzzle.split(","))
    return _steps(tuple(numbers), target)


def _countdown_shape(puzzle: Puzzle) -> Regex:
    step = r"[0-9]{1,4}[-+*/][0-9]{1,4}=[0-9]{1,4}"
    return Regex(",".join([step] * (puzzle.puzzle.count(",") - 1)))


def _countdown(r: random.Random) -> Puzzle:
    while True:
        numbers = [r.randint(1, 99) for _ in range(3)]
        target = r.randint(10, 99)
        answer = next(_steps(tuple(numbers), target), None)
        if answer is not None:
            return Puzzle("countdown", ",".join(map(str, [*numbers, target])), answer)


_COUNTDOWN = "Use every number once; the last number is the target."
TEXT_KINDS = {
    "table": TextKind(_table, _table_shape, _totals, lambda p: build_grid_prompt(p.text, p.kind)),
    "zebra": TextKind(_zebra, _zebra_schema, _zebra_answers, lambda p: build_prompt(p.text, _zebra_schema(p))),
    "countdown": TextKind(
        _countdown, _countdown_shape, _countdown_answers,
        lambda p: build_regex_prompt(p.text, _countdown_shape(p).pattern, instructions=_COUNTDOWN),
    ),
}  # fmt: skip
"""The kinds by name; "countdown" may have several right answers, the others have one."""
