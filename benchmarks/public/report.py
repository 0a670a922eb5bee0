"""Counts of a run: validity, what is right with its interval, the paired difference to one decoder, and the cost."""

from __future__ import annotations

from typing import Any

import numpy as np

from structdiff.evaluation.summary import bootstrap, wilson

DRAWS = 2000


def paired(rows: list[dict[str, Any]], base: list[dict[str, Any]]) -> tuple[float, float, float]:
    """(difference of the mean share right an item, lower, upper) between two decoders on the same items."""
    theirs = {row["id"]: row["right"] / row["of"] for row in base}
    gains = np.array([row["right"] / row["of"] - theirs[row["id"]] for row in rows])
    picks = np.random.default_rng(0).integers(0, len(gains), (DRAWS, len(gains)))
    low, high = np.quantile(gains[picks].mean(1), (0.025, 0.975))
    return float(gains.mean()), float(low), float(high)


def line(name: str, rows: list[dict[str, Any]], base: list[dict[str, Any]]) -> str:
    """One decoder's row of the table."""
    n, valid = len(rows), sum(row["valid"] for row in rows)
    low, high = wilson(valid, n)
    parts = [(row["right"], row["of"]) for row in rows]
    share = sum(right for right, _ in parts) / sum(of for _, of in parts)
    bottom, top = bootstrap(parts)
    against = "" if rows is base else "{:+.3f} ({:+.3f} to {:+.3f})".format(*paired(rows, base))
    return (
        f"| {name} | {n} | {sum(bool(row['error']) for row in rows)} | {sum(row['cut off'] for row in rows)} | "
        f"{valid / n:.3f} ({low:.3f} to {high:.3f}) | {share:.3f} ({bottom:.3f} to {top:.3f}) | "
        f"{against} | {sum(row['passes'] for row in rows) / n:.1f} | {sum(row['seconds'] for row in rows) / n:.2f} |"
    )


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table for each set; differences are to the decoder that comes first."""
    lines: list[str] = []
    for name in dict.fromkeys(row["set"] for row in rows):
        own = [row for row in rows if row["set"] == name]
        decoders = list(dict.fromkeys(row["decoder"] for row in own))
        base = [row for row in own if row["decoder"] == decoders[0]]
        lines += [
            f"### {name}", "",
            f"| decoder | items | refused | cut off | valid | right | against {decoders[0]} | passes | seconds |",
            "|---|" + "---:|" * 8,
        ]  # fmt: skip
        for decoder in decoders:
            some = base if decoder == decoders[0] else [row for row in own if row["decoder"] == decoder]
            lines.append(line(decoder, some, base))
        lines.append("")
    return "\n".join(lines).rstrip()
