"""The arms, side by side: free, shape, rules, shuffled (rules with the model's scores shuffled), and a plain solver."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from structdiff.denoise.loop import run
from structdiff.denoise.policy import Policy
from structdiff.errors import InvalidSchema
from structdiff.extract import Model
from structdiff.grids.refine import GridRules
from structdiff.grids.solve import Rules
from structdiff.prompt import build_grid_prompt
from structdiff.puzzles.check import cells_right, legal
from structdiff.puzzles.kinds import Puzzle

ARMS = ("free", "shape", "rules", "shuffled", "solver")


@dataclass(frozen=True)
class Attempt:
    """One answer: what it says, whether it is legal and solved, what it cost.

    ``determined``: does arc consistency on the rules fill the grid without any model?
    """

    kind: str
    arm: str
    blanks: int
    answer: str
    legal: bool
    solved: bool
    cells: float
    steps: int
    seconds: float
    determined: bool


class Shuffled(GridRules):
    """Rules whose scores are the model's own, shuffled between a cell's letters: what do rules alone decide?"""

    def scores(self, logits: np.ndarray, temperature: float) -> np.ndarray:
        return np.random.default_rng(0).permuted(super().scores(logits, temperature), axis=1)


def attempt(model: Model, puzzle: Puzzle, arm: str, *, seed: int = 0, policy: Policy | None = None) -> Attempt:
    """Let one arm answer one puzzle. Raises what `compile` and the loop raise: nothing falls back to another arm."""
    if arm not in ARMS:
        raise InvalidSchema(f"there is no arm {arm!r}; the arms are {', '.join(ARMS)}")
    grid = puzzle.grid()
    determined = bool((Rules(grid).domains.sum(1) == 1).all())
    begin, steps = time.perf_counter(), 0
    if arm == "solver":
        rules = Rules(grid)
        best = rules.best(np.zeros((rules.N, rules.A)))
        assert best is not None  # Rules refuses a grid without any solution
        cells = {(k // grid.cols, k % grid.cols): grid.alphabet[a] for k, a in enumerate(best)}
        answer = grid.text(cells)
    else:
        prompt = model.encode_prompt(build_grid_prompt(puzzle.text, puzzle.kind))
        constraint = None if arm == "free" else model.compile(grid if arm != "shape" else grid.shape())
        length = len(grid.pieces)
        budget = math.ceil((length + 1) / model.denoiser.canvas_length) * model.denoiser.canvas_length
        task = model.row(prompt, constraint, budget, seed)
        if arm == "shuffled":
            task = replace(task, rules=Shuffled(grid, model.vocabulary))
        (outcome,) = run(model.denoiser, [task], policy or model.policy)
        answer, steps = model.spell(outcome.tokens), outcome.steps
    seconds = time.perf_counter() - begin
    return Attempt(
        puzzle.kind, arm, puzzle.blanks, answer, legal(puzzle, answer), answer == puzzle.solution,
        cells_right(puzzle, answer), steps, seconds, determined,
    )  # fmt: skip


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share (Wilson 1927).

    >>> [round(bound, 3) for bound in wilson(0.5, 10)]
    [0.237, 0.763]
    """
    z = 1.96
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def summary(attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    """One row per kind and arm: shares with 95 % intervals, mean steps and seconds, puzzles that rules alone fill."""
    rows = []
    for kind, arm in dict.fromkeys((a.kind, a.arm) for a in attempts):
        own = [asdict(a) for a in attempts if (a.kind, a.arm) == (kind, arm)]
        n = len(own)
        row: dict[str, Any] = {"kind": kind, "arm": arm, "n": n}
        for name in ("solved", "legal", "cells", "steps", "seconds", "determined"):
            row[name] = sum(one[name] for one in own) / n
        row["solved_interval"] = wilson(row["solved"], n)
        spread = math.sqrt(sum((one["cells"] - row["cells"]) ** 2 for one in own) / max(n - 1, 1))
        row["cells_interval"] = (row["cells"] - 1.96 * spread / n**0.5, row["cells"] + 1.96 * spread / n**0.5)
        rows.append(row)
    return rows


def report(attempts: Sequence[Attempt]) -> str:
    """The summary as a Markdown table."""
    lines = [
        "| kind | arm | n | solved (95 %) | legal | cells right (95 %) | steps | seconds | rules alone |",
        "|---" * 9 + "|",
    ]
    for r in summary(attempts):
        low, high = r["solved_interval"]
        below, above = r["cells_interval"]
        lines.append(
            f"| {r['kind']} | {r['arm']} | {r['n']} | {r['solved']:.2f} ({low:.2f} to {high:.2f}) | {r['legal']:.2f} "
            f"| {r['cells']:.2f} ({below:.2f} to {above:.2f}) | {r['steps']:.1f} | {r['seconds']:.2f} "
            f"| {r['determined']:.2f} |"
        )
    return "\n".join(lines)
