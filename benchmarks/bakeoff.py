"""Choices of the sampler, side by side on held-out examples: validity, field accuracy, exact objects, steps, seconds.

    python -m benchmarks.bakeoff [--model FOLDER] [--count 300] [--split values] [--kind object] [--arm NAME ...]
        [--json F] [--plot F]

Kinds are those of `training.evaluate`; a grid ("grid sudoku 4x4") has one field, the whole of it, and is valid if it
has the shape asked for and keeps its clues. Every arm sees the same examples and seeds, so that differences are paired:
the last columns give each arm's field accuracy minus that of the defaults, per example, with a 95 % interval.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import structdiff
from benchmarks.baselines import FrontierGreedy, IndependentMasks, LookaheadVerify, left_to_right
from structdiff.decode.canvas import SamplerType
from structdiff.decode.engine import Outcome, Task
from structdiff.decode.loop import Denoising, run
from structdiff.decode.policy import Policy
from training.data import SPLITS, Example
from training.evaluate import alphabet, closed, field_scores, held_out, parse, source

DEFAULTS = "defaults"
FREE = "unconstrained"
FRONTIER: dict[str, dict[str, Any]] = {
    "": {},
    ", at most 8 steps": {"max_steps": 8},
    ", at most 16 steps": {"max_steps": 16},
    ", entropy bound 0.3": {"entropy_bound": 0.3},
    ", entropy bound 1": {"entropy_bound": 1.0},
    ", confidence 0.05": {"confidence": 0.05},
}
"""Changes that trade accuracy for steps, with and without the constraint: the plot draws both frontiers."""
FAMILIES = {FREE: "tab:red", DEFAULTS: "tab:blue", "verified": "tab:green"}
"""Arms whose points are joined in the plot, and their colours."""
ARMS: dict[str, dict[str, Any]] = {
    "verified": {"verify": True},
    "not verified": {"verify": False},
    **{f"verified, drafts of {n} steps": {"verify": True, "draft_steps": n} for n in (1, 2, 4, 6, 8)},
    **{FREE + name: changes for name, changes in FRONTIER.items()},
    **{DEFAULTS + name: changes for name, changes in FRONTIER.items()},
    "joint maximum each step (DINGO)": {
        "candidate": "maximum", "accept_by": "own", "gamma_first": 1.0, "anchored_start": False, "patience": 0,
        "verify": False,
    },
    "gamma 1": {"gamma_first": 1.0},
    "gamma 0.3": {"gamma_last": 0.3},
    "gamma 0.15 to 1": {"gamma_first": 0.15},
    "gamma 0.6 to 1": {"gamma_first": 0.6},
    "mean fed back": {"feedback": "mean"},
    "posterior fed back": {"feedback": "posterior"},
    "accept by own entropy": {"accept_by": "own"},
    "stop by posterior": {"stop_by": "posterior"},
    "without patience": {"patience": 0},
    "patience 2": {"patience": 2},
    "patience 3": {"patience": 3},
    "patience 8": {"patience": 8},
    "start from noise": {"anchored_start": False},
    "candidate: joint maximum": {"candidate": "maximum"},
}  # fmt: skip
BASELINES: dict[str, SamplerType] = {
    "independent masks": IndependentMasks,
    "frontier-greedy (Dgrammar)": FrontierGreedy,
    "lookahead-then-verify (LAVE)": LookaheadVerify,
}
LEFT_TO_RIGHT = "left to right"
COMPILING: dict[str, dict[str, Any]] = {
    "no canonical skeleton": {"canonical": False},
    "compact layout": {"whitespace": "compact"},
    "pretty layout": {"whitespace": "pretty"},
}


def run_arm(model: structdiff.Model, examples: list[Example], arm: str, batch: int) -> dict[str, Any]:
    """Per-example scores of one arm."""
    changes, options = ARMS.get(arm, {}), COMPILING.get(arm, {})
    policy: Policy = replace(model.policy, **changes)
    right, fields, exact, valid, steps = [], [], [], [], []
    begun = time.perf_counter()
    for at in range(0, len(examples), batch):
        some = examples[at : at + batch]
        seeds = list(range(at, at + len(some)))
        if arm.startswith(FREE):
            results = free(model, some, seeds, policy)
        elif arm in BASELINES or arm == LEFT_TO_RIGHT:
            results = baseline(model, some, seeds, arm)
        else:
            sources = [source(one) for one in some]
            results = model.batch([one["text"] for one in some], sources, seed=seeds, policy=policy, **options)
        for one, result in zip(some, results, strict=True):
            got, good = judged(one, result.text)
            hit, number = field_scores(one["value"], got)
            right.append(hit)
            fields.append(number)
            exact.append(got == one["value"])
            valid.append(good)
            steps.append(result.usage.steps)
    return {
        "right": right, "fields": fields, "exact": exact, "valid": valid, "steps": steps,
        "seconds": time.perf_counter() - begun,
    }  # fmt: skip


def judged(example: Example, text: str) -> tuple[Any, bool]:
    """(the value of an answer or None, whether it has the form asked for).

    >>> judged({"kind": "grid", "text": "1.\\n.1", "schema": {"grid": "latin square"}}, "12\\n22")
    ('12\\n22', False)
    """
    if example["kind"] == "grid":
        digits = alphabet(example)
        cells = "".join(re.escape(cell) if cell in digits + "\n" else f"[{digits}]" for cell in example["text"])
        return text, re.fullmatch(cells, text) is not None
    try:
        got = parse(text, example)
    except ValueError:
        return None, False
    return got, jsonschema.Draft202012Validator(closed(example["schema"])).is_valid(got)


def free(model: structdiff.Model, examples: list[Example], seeds: list[int], policy: Policy) -> list[Any]:
    """The same prompts without a constraint, for as many canvases as the longest answer needs."""
    canvas = model.denoiser.spec.canvas_length
    tasks = []
    for one, seed in zip(examples, seeds, strict=True):
        longest = len(model.tokenizer(one["answer"])["input_ids"]) + 1
        budget = canvas * math.ceil(longest / canvas)
        prompt = model.encode_prompt(one["prompt"])
        tasks.append(Task(prompt, None, budget, seed, model.vocabulary.end_ids, model.spell))
    outcomes = run(model.denoiser, tasks, policy)
    return [model.result(outcome, None, "") for outcome in outcomes]


def baseline(model: structdiff.Model, examples: list[Example], seeds: list[int], arm: str) -> list[Any]:
    """Another decoder on the same prompts, constraints and budgets."""
    constraints = [model.compile(source(one)) for one in examples]
    messages = [model.prompt(one["text"], c) for one, c in zip(examples, constraints, strict=True)]
    tasks = [model.task(m, c, None, s) for m, c, s in zip(messages, constraints, seeds, strict=True)]
    tasks = [replace(task, on_commit=()) for task in tasks]  # outputs outside the language have no fields
    outcomes: list[Outcome]
    if arm == LEFT_TO_RIGHT:
        outcomes = []
        for task, constraint in zip(tasks, constraints, strict=True):
            tokens = left_to_right(model.denoiser, task.prompt, constraint.automaton, task.max_tokens, task.end_ids)
            outcomes.append(Outcome(task, tokens, "stop", len(tokens) + 1, 1))
    else:
        engine = Denoising(model.denoiser, replace(model.policy, verify=False), sampler=BASELINES[arm])
        for number, task in enumerate(tasks):
            task.number = number
            engine.add(task)
        outcomes = sorted(engine.run(), key=lambda outcome: outcome.task.number)
    return [model.result(outcome, None, "") for outcome in outcomes]


def accuracy(figures: dict[str, Any]) -> tuple[float, float]:
    """(field accuracy, half of its 95 % interval); examples, not fields, are independent."""
    right, fields = np.array(figures["right"], float), np.array(figures["fields"], float)
    share = right.sum() / fields.sum()
    spread = np.sqrt(((right - share * fields) ** 2).sum()) / fields.sum()
    return float(share), float(1.96 * spread)


def difference(figures: dict[str, Any], base: dict[str, Any]) -> tuple[float, float]:
    """(field accuracy minus the base's, half of the 95 % interval of the paired difference)."""
    fields = np.array(figures["fields"], float)
    gain = np.array(figures["right"], float) - np.array(base["right"], float)
    share = gain.sum() / fields.sum()
    return float(share), float(1.96 * np.sqrt(((gain - share * fields) ** 2).sum()) / fields.sum())


def plot(done: dict[str, Any], title: str, path: Path) -> None:
    """Field accuracy against denoising steps, one point with its interval an arm; lines join the frontiers.

    Other arms have numbers, and a key beside the plot; those far below all frontiers stand in the key alone.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), dpi=130)
    axes = figure.subplots()
    points = {arm: (float(np.mean(figures["steps"])), *accuracy(figures)) for arm, figures in done.items()}
    lowest = min(share - half for arm, (_, share, half) in points.items() if arm.startswith(tuple(FAMILIES))) - 0.05
    for family, colour in FAMILIES.items():
        line = sorted(point for arm, point in points.items() if arm.startswith(family))
        if line:
            axes.errorbar(*zip(*line, strict=True), fmt="o-", color=colour, capsize=2, label=family)
    alike: dict[tuple[int, int], list[int]] = {}
    others = sorted((arm for arm in points if not arm.startswith(tuple(FAMILIES))), key=lambda arm: -points[arm][1])
    key = []
    for number, arm in enumerate(others, 1):
        steps, share, half = points[arm]
        key.append(f"{number}  {arm}  {share:.3f}, {steps:.1f} steps")
        if share > lowest:
            axes.errorbar([steps], [share], [half], fmt="s", color="grey", capsize=2, markersize=4, zorder=0)
            alike.setdefault((round(steps), round(50 * share)), []).append(number)
    for numbers in alike.values():
        steps, share, _ = points[others[numbers[0] - 1]]
        text = ", ".join(map(str, numbers[:4])) + (" ..." if len(numbers) > 4 else "")
        axes.annotate(text, (steps, share), fontsize=7, xytext=(5, 3), textcoords="offset points")
    axes.text(1.02, 0.98, "\n".join(key), transform=axes.transAxes, fontsize=7, va="top")
    axes.set(xlabel="denoising steps a text", ylabel="field accuracy", title=title)
    axes.legend(loc="lower right")
    figure.savefig(path, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="as in structdiff.load")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--split", choices=SPLITS, default="values")
    every = [*ARMS, *BASELINES, LEFT_TO_RIGHT, *COMPILING]
    parser.add_argument("--kind", default="object", help="of example: object, invoice, 'grid sudoku 4x4', ...")
    parser.add_argument("--arm", action="append", choices=every, help="default: all")
    parser.add_argument(
        "--denoised", action="store_true", help="verify in the arms that say so alone: reading over hides the draft"
    )
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--json", type=Path, help="also write per-example scores here, after every arm")
    parser.add_argument("--plot", type=Path, help="also draw accuracy against steps as a PNG")
    args = parser.parse_args()
    console = Console(width=150)
    torch.manual_seed(0)
    model = structdiff.load(args.model, dtype="float32")
    if args.denoised:
        model.policy = replace(model.policy, verify=False, draft_steps=0)
    examples = held_out(args.split, args.count, args.kind)
    if examples[0]["kind"] == "grid":
        every = [arm for arm in every if not arm.endswith("layout")]
    title = f"{args.kind}, split {args.split}, n = {args.count}"
    arms = list(dict.fromkeys([DEFAULTS, *(args.arm or every)]))
    table = Table(title=title)
    for column in ("arm", "valid", "field accuracy", "exact", "steps", "s / text", "minus defaults"):
        table.add_column(column, justify="left" if column == "arm" else "right")
    done: dict[str, Any] = {}
    for arm in arms:
        console.print(f"{arm} ...", end=" ")
        done[arm] = figures = run_arm(model, examples, arm, args.batch)
        share, half = accuracy(figures)
        gain, gain_half = difference(figures, done[DEFAULTS])
        console.print(f"{share:.3f}")
        mean = {name: float(np.mean(figures[name])) for name in ("valid", "exact", "steps")}
        table.add_row(
            arm, f"{mean['valid']:.3f}", f"{share:.3f} ± {half:.3f}", f"{mean['exact']:.3f}", f"{mean['steps']:.1f}",
            f"{figures['seconds'] / args.count:.2f}", f"{gain:+.3f} ± {gain_half:.3f}",
        )  # fmt: skip
        if args.json:
            args.json.write_text(json.dumps(done))
    console.print(table)
    if args.plot:
        plot(done, title, args.plot)


if __name__ == "__main__":
    main()
