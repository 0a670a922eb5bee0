"""Are field probabilities true? Held-out texts, each field's probability against whether it is right.

    python -m benchmarks.calibration [--model FOLDER] [--count 300] [--split values] [--plot PNG]
    python -m benchmarks.calibration --fit FOLDER    writes the folder's calibration.json, from other texts

Expected calibration error: fields in ten bins of equal width, the bins' distances between mean probability and share
right, weighted by their sizes. A field is a leaf of the output or an optional field that it leaves out; it is right
where the expected value says the same at that place.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import structdiff
from structdiff.confidence.calibration import Calibration
from structdiff.confidence.fields import Field, value_at
from training.data import SPLITS
from training.evaluate import SEED, Example, generate, held_out

BINS = 10
MISSING = object()
FIT_SEED = SEED + 1
"""The texts that a calibration is fitted on, and never judged by."""


def is_right(pointer: str, field: Field, expected: Any) -> bool:
    """Does the expected value say the same at the pointer?

    >>> is_right("/a", Field(1, 0.9), {"a": 1}), is_right("/b", Field(None, 0.9, 0.1, present=False), {"a": 1})
    (True, True)
    """
    try:
        wanted = value_at(expected, pointer)
    except (KeyError, IndexError, TypeError, ValueError):
        wanted = MISSING
    if not field.present:
        return wanted is MISSING
    return wanted == field.value and isinstance(wanted, bool) == isinstance(field.value, bool)


def calibration_error(probability: np.ndarray, right: np.ndarray) -> float:
    """The expected calibration error of float64[n] probabilities against bool[n].

    >>> calibration_error(np.array([0.95, 0.95, 0.05, 0.05]), np.array([True, True, True, False]))
    0.25
    """
    at = np.minimum((probability * BINS).astype(int), BINS - 1)
    gaps = [abs(probability[at == b].mean() - right[at == b].mean()) * (at == b).sum() for b in range(BINS) if b in at]
    return round(float(sum(gaps) / len(probability)), 4)


def fit(probability: np.ndarray, right: np.ndarray, size: int = 50) -> Calibration:
    """The calibration of measured fields: bins of ``size`` fields, made monotone, with one point for every run of bins
    that came out alike, so that a field of higher probability has a higher confidence within the points.

    Source: A. Oron and N. Flournoy, "Centered Isotonic Regression", arXiv 1701.05964.
    """
    from scipy.optimize import isotonic_regression

    order = np.argsort(probability, kind="stable")
    bins = np.array_split(order, max(1, len(order) // size))
    found = isotonic_regression([right[b].mean() for b in bins], weights=[len(b) for b in bins])
    runs = [np.concatenate(bins[lo:hi]) for lo, hi in pairwise(found.blocks)]
    points = {0.0: 0.0} | {float(probability[run].mean()): float(right[run].mean()) for run in runs}
    points[1.0] = max(points.values())
    return Calibration(tuple(round(x, 6) for x in points), tuple(round(y, 4) for y in points.values()))


def measure(model: structdiff.Model, examples: list[Example], batch: int) -> tuple[np.ndarray, np.ndarray]:
    """(the confidence of every field, whether it is right)."""
    probability, right = [], []
    for one, result in zip(examples, generate(model, examples, batch, fields=True), strict=True):
        for pointer, field in result.fields.items():
            if not isinstance(field.value, dict | list) or not field.value:
                probability.append(field.confidence)
                right.append(is_right(pointer, field, one["value"]))
    return np.array(probability), np.array(right)


def accuracy_after_dropping(probability: np.ndarray, right: np.ndarray, share: float) -> tuple[float, float]:
    """(accuracy of all fields, accuracy without the ``share`` of them that are least sure)."""
    kept = np.argsort(probability, kind="stable")[int(share * len(right)) :]
    return float(right.mean()), float(right[kept].mean())


def plot(probability: np.ndarray, right: np.ndarray, path: Path, title: str) -> None:
    """The reliability plot: share right against mean probability per bin, with 95 % intervals."""
    from matplotlib import pyplot

    at = np.minimum((probability * BINS).astype(int), BINS - 1)
    rows = []
    for b in sorted(set(at.tolist())):
        inside, n = right[at == b], int((at == b).sum())
        rows.append((probability[at == b].mean(), inside.mean(), 1.96 * np.sqrt(inside.var() / n), n))
    x, y, half, n = (np.array(column) for column in zip(*rows, strict=True))
    figure, (top, below) = pyplot.subplots(2, 1, figsize=(4.5, 5.5), sharex=True, height_ratios=(3, 1))
    top.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    top.errorbar(x, y, yerr=half, fmt="o-", color="#1f6f8b", capsize=2)
    top.set(ylabel="share right", title=title, xlim=(0, 1), ylim=(0, 1.02))
    below.bar(x, n, width=0.06, color="#1f6f8b")
    below.set(xlabel="field confidence", ylabel="fields", yscale="log")
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="as in structdiff.load")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--split", choices=SPLITS, action="append", help="default: values")
    parser.add_argument("--kind", default="object")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--plot", type=Path, help="the reliability plot of all splits together")
    parser.add_argument("--json", type=Path, help="also write every field's probability and whether it is right")
    parser.add_argument("--fit", type=Path, metavar="FOLDER", help="measure this checkpoint's calibration and keep it")
    args = parser.parse_args()
    model = structdiff.load(args.fit or args.model, dtype="float32")
    if args.fit:
        model.calibration = None
        fitted = fit(*measure(model, held_out("values", args.count, args.kind, FIT_SEED), args.batch))
        replace(fitted, verified=model.policy.verify).write(args.fit)
        return
    table = Table(title=f"{args.count} texts per split")
    for column in (
        "split",
        "fields",
        "right",
        "mean confidence",
        "calibration error",
        "right without least sure 20 %",
    ):
        table.add_column(column, justify="left" if column == "split" else "right")
    done: dict[str, Any] = {}
    for split in args.split or ["values"]:
        done[split] = measure(model, held_out(split, args.count, args.kind), args.batch)
    if len(done) > 1:
        done["all"] = tuple(np.concatenate(parts) for parts in zip(*done.values(), strict=True))
    for split, (probability, right) in done.items():
        every, kept = accuracy_after_dropping(probability, right, 0.2)
        table.add_row(
            split, str(len(right)), f"{every:.3f}", f"{probability.mean():.3f}",
            f"{calibration_error(probability, right):.3f}", f"{kept:.3f}",
        )  # fmt: skip
    Console(width=120).print(table)
    probability, right = list(done.values())[-1]
    if args.plot:
        error = calibration_error(probability, right)
        plot(probability, right, args.plot, f"{len(right)} fields, expected calibration error {error:.3f}")
    if args.json:
        args.json.write_text(json.dumps({name: [p.tolist(), r.tolist()] for name, (p, r) in done.items()}))


if __name__ == "__main__":
    main()
