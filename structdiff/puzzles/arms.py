"""The arms, side by side: free, shape, rules, shuffled (rules with the model's scores shuffled), and a plain solver."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from structdiff.core.errors import GenerationError, InvalidSchema
from structdiff.decode.engine import Task
from structdiff.decode.loop import run
from structdiff.decode.policy import Policy
from structdiff.decode.trace import Event
from structdiff.frontends.choice import Choice
from structdiff.frontends.grid.refine import GridRules
from structdiff.frontends.grid.solve import Rules
from structdiff.frontends.prompt import build_grid_prompt
from structdiff.model import Model
from structdiff.models.protocol import Denoiser
from structdiff.puzzles.check import cells_right, legal
from structdiff.puzzles.kinds import Puzzle
from structdiff.puzzles.texts import TEXT_KINDS

ARMS = ("free", "shape", "rules", "shuffled", "solver")


@dataclass(frozen=True)
class Attempt:
    """One answer: what it says, whether it is legal and solved, what it cost.

    ``determined``: does arc consistency on the rules fill the grid without any model? ``entropy_bound`` and
    ``max_steps`` are those of the policy.
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
    entropy_bound: float = Policy.entropy_bound
    max_steps: int = Policy.max_steps


class Shuffled(GridRules):
    """Rules whose scores are the model's own, shuffled between a cell's letters: what do rules alone decide?"""

    def scores(self, logits: np.ndarray, temperature: float) -> np.ndarray:
        return np.random.default_rng(0).permuted(super().scores(logits, temperature), axis=1)


def attempt(
    model: Model,
    puzzle: Puzzle,
    arm: str,
    *,
    seed: int = 0,
    policy: Policy | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Attempt:
    """Let one arm answer one puzzle. Raises what `compile` and the loop raise: nothing falls back to another arm."""
    return attempts(model, [puzzle], arm, seeds=[seed], policy=policy, on_event=on_event)[0]


def attempts(
    model: Model,
    puzzles: Sequence[Puzzle],
    arm: str,
    *,
    seeds: Sequence[int],
    policy: Policy | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> list[Attempt]:
    """Let one arm answer puzzles, denoised together; ``seconds`` is then each puzzle's share of the time."""
    if arm not in ARMS:
        raise InvalidSchema(f"there is no arm {arm!r}; the arms are {', '.join(ARMS)}")
    policy = policy or model.policy
    determined = [_determined(puzzle) for puzzle in puzzles]
    begin = time.perf_counter()
    if arm == "solver":
        answers, steps = [_solved(puzzle) for puzzle in puzzles], [0] * len(puzzles)
    else:
        tasks = [_task(model, puzzle, arm, seed) for puzzle, seed in zip(puzzles, seeds, strict=True)]
        if not isinstance(model.denoiser, Denoiser):
            raise GenerationError(f"{model.name} denoises nothing; puzzles are solved by a model that does")
        outcomes = run(model.denoiser, tasks, policy, on_event=on_event)
        answers, steps = [model.spell(one.tokens) for one in outcomes], [one.steps for one in outcomes]
    seconds = (time.perf_counter() - begin) / len(puzzles)
    return [
        Attempt(
            p.kind, arm, p.blanks, answer, legal(p, answer), _same(p, answer), cells_right(p, answer), count, seconds,
            alone, policy.entropy_bound, policy.max_steps,
        )
        for p, answer, count, alone in zip(puzzles, answers, steps, determined, strict=True)
    ]  # fmt: skip


def _same(puzzle: Puzzle, answer: str) -> bool:
    """Is it the solution? Where several are right, or layout is free, being legal decides (one solution: the same)."""
    return legal(puzzle, answer) if puzzle.kind in ("countdown", "zebra") else answer == puzzle.solution


def _determined(puzzle: Puzzle) -> bool:
    """Do the rules alone leave one answer: by arc consistency on a grid, by search elsewhere?"""
    if puzzle.kind in TEXT_KINDS:
        return len(TEXT_KINDS[puzzle.kind].answers(puzzle)) == 1
    return bool((Rules(puzzle.grid()).domains.sum(1) == 1).all())


def _solved(puzzle: Puzzle) -> str:
    if puzzle.kind in TEXT_KINDS:
        return TEXT_KINDS[puzzle.kind].answers(puzzle)[0]
    grid = puzzle.grid()
    rules = Rules(grid)
    best = rules.best(np.zeros((rules.N, rules.A)))
    assert best is not None  # Rules refuses a grid without any solution
    return grid.text({(k // grid.cols, k % grid.cols): grid.alphabet[a] for k, a in enumerate(best)})


def _task(model: Model, puzzle: Puzzle, arm: str, seed: int) -> Task:
    if puzzle.kind in TEXT_KINDS:
        return _text_task(model, puzzle, arm, seed)
    grid = puzzle.grid()
    prompt = model.encode_prompt(build_grid_prompt(puzzle.text, puzzle.kind))
    constraint = None if arm == "free" else model.compile(grid if arm != "shape" else grid.shape())
    task = model.row(prompt, constraint, _budget(model, len(grid.pieces)), seed)
    return replace(task, rules=Shuffled(grid, model.vocabulary)) if arm == "shuffled" else task


def _text_task(model: Model, puzzle: Puzzle, arm: str, seed: int) -> Task:
    """The rules are the set of right answers; with shuffled scores any of them is as good as another."""
    kind = TEXT_KINDS[puzzle.kind]
    source = None
    if arm == "shape":
        source = kind.shape(puzzle)
    elif arm != "free":
        right = kind.answers(puzzle)
        source = Choice(right if arm == "rules" else [random.Random(seed).choice(right)])
    length = 2 * len(model.encode_prompt(puzzle.solution))
    constraint = None if source is None else model.compile(source)
    return model.row(model.encode_prompt(kind.prompt(puzzle)), constraint, _budget(model, length), seed)


def _budget(model: Model, length: int) -> int:
    """Whole canvases that hold ``length`` tokens and the end."""
    return math.ceil((length + 1) / model.denoiser.spec.canvas_length) * model.denoiser.spec.canvas_length


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share (Wilson 1927).

    >>> [round(bound, 3) for bound in wilson(0.5, 10)]
    [0.237, 0.763]
    """
    z = 1.96
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def summary(done: Sequence[Attempt]) -> list[dict[str, Any]]:
    """One row per kind, arm and settings: shares with 95 % intervals, mean steps and seconds, puzzles that rules alone
    fill. ``settings`` names the policy where there is more than one."""
    rows = []
    every = dict.fromkeys((a.entropy_bound, a.max_steps) for a in done)
    for kind, arm, *policy in dict.fromkeys((a.kind, a.arm, a.entropy_bound, a.max_steps) for a in done):
        own = [asdict(a) for a in done if [a.kind, a.arm, a.entropy_bound, a.max_steps] == [kind, arm, *policy]]
        n = len(own)
        settings = "" if len(every) == 1 or arm == "solver" else f"bound {policy[0]:g}, {policy[1]} steps"
        row: dict[str, Any] = {"kind": kind, "arm": arm, "settings": settings, "n": n}
        for name in ("solved", "legal", "cells", "steps", "seconds", "determined"):
            row[name] = sum(one[name] for one in own) / n
        row["solved_interval"] = wilson(row["solved"], n)
        spread = math.sqrt(sum((one["cells"] - row["cells"]) ** 2 for one in own) / max(n - 1, 1))
        row["cells_interval"] = (row["cells"] - 1.96 * spread / n**0.5, row["cells"] + 1.96 * spread / n**0.5)
        rows.append(row)
    return rows


def report(done: Sequence[Attempt]) -> str:
    """The summary as a Markdown table."""
    lines = [
        "| kind | arm | n | solved (95 %) | legal | cells right (95 %) | steps | seconds | rules alone |",
        "|---" * 9 + "|",
    ]
    for r in summary(done):
        low, high = r["solved_interval"]
        below, above = r["cells_interval"]
        arm = f"{r['arm']}, {r['settings']}" if r["settings"] else r["arm"]
        cells = [
            r["kind"], arm, str(r["n"]), f"{r['solved']:.2f} ({low:.2f} to {high:.2f})", f"{r['legal']:.2f}",
            f"{r['cells']:.2f} ({below:.2f} to {above:.2f})", f"{r['steps']:.1f}", f"{r['seconds']:.2f}",
            f"{r['determined']:.2f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
