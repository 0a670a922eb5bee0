"""Plots of attempts: how well each arm does against the number of empty cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from structdiff.puzzles.arms import Attempt, wilson


def curves(attempts: Sequence[Attempt]) -> dict[str, list[tuple[int, int, float, float]]]:
    """For each arm: (empty cells, n, share solved, mean share of cells right), ascending.

    >>> one = Attempt("latin square", "free", 2, "12", True, True, 1.0, 3, 0.1, True)
    >>> curves([one])
    {'free': [(2, 1, 1.0, 1.0)]}
    """
    out = {}
    for arm in dict.fromkeys(a.arm for a in attempts):
        points = []
        for blanks in sorted({a.blanks for a in attempts if a.arm == arm}):
            own = [a for a in attempts if (a.arm, a.blanks) == (arm, blanks)]
            n = len(own)
            points.append((blanks, n, sum(a.solved for a in own) / n, sum(a.cells for a in own) / n))
        out[arm] = points
    return out


def draw(attempts: Sequence[Attempt], path: str | Path) -> None:
    """Write a PNG: solved (with 95 % intervals) and cells right against the number of empty cells, a line per arm."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for arm, points in curves(attempts).items():
        blanks, counts, solved, cells = (list(column) for column in zip(*points, strict=True))
        bounds = [wilson(share, n) for share, n in zip(solved, counts, strict=True)]
        below = [max(share - low, 0.0) for share, (low, _) in zip(solved, bounds, strict=True)]
        above = [max(high - share, 0.0) for share, (_, high) in zip(solved, bounds, strict=True)]
        left.errorbar(blanks, solved, yerr=[below, above], label=arm, marker="o", capsize=2)
        right.plot(blanks, cells, label=arm, marker="o")
    left.set(xlabel="empty cells", ylabel="share solved", ylim=(-0.05, 1.05))
    right.set(xlabel="empty cells", ylabel="share of empty cells right")
    right.legend()
    figure.savefig(path, dpi=120)
