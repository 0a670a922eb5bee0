"""The report of a bench as Markdown and as one HTML page: the table of arms, and plots of what decides the outcome."""

from __future__ import annotations

import base64
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from structdiff.puzzles.arms import Attempt, report, summary, wilson
from structdiff.puzzles.plot import draw

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
td, th {{ border-bottom: 1px solid #8884; padding: .3rem .7rem; text-align: right }}
td:nth-child(-n+2), th:nth-child(-n+2) {{ text-align: left }}
img {{ max-width: 100%; background: white }}
</style></head><body>{body}</body></html>
"""


def write(done: Sequence[Attempt], folder: Path, title: str, settling: Sequence[tuple[int, int]] = ()) -> list[Path]:
    """Write report.md, report.html (plots inside) and the plots; returns the paths.

    ``settling`` are (letters no single rule excludes, step from which the cell stayed), as `structdiff.puzzles.film`
    measures them on the arm without rules: what is left to the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw(done, folder / "difficulty.png")
    parts = [f"# {title}", report(done), *_sentences(done), "## Against difficulty", "![](difficulty.png)"]
    if len({(a.entropy_bound, a.max_steps) for a in done}) > 1:
        budget(done, folder / "budget.png")
        parts += ["## Steps and acceptance bound against accuracy", "![](budget.png)"]
    if settling:
        order(settling, folder / "settling.png")
        parts += ["## When cells settle, by how constrained they are", "![](settling.png)"]
    markdown = folder / "report.md"
    markdown.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    page = folder / "report.html"
    page.write_text(html("\n\n".join(parts), folder, title), encoding="utf-8")
    return [markdown, page, *sorted(folder.glob("*.png"))]


def _sentences(done: Sequence[Attempt]) -> list[str]:
    out = []
    for kind in dict.fromkeys(a.kind for a in done):
        once = [a for a in done if a.kind == kind and a.arm == done[0].arm and a.entropy_bound == done[0].entropy_bound]
        alone = sum(a.determined for a in once)
        out.append(f"{kind}: the rules alone determine {alone} of {len(once)} puzzles before any denoising step.")
        floor = [a.seconds for a in done if (a.kind, a.arm) == (kind, "solver")]
        if floor:
            out.append(f"{kind}: a plain solver takes {sum(floor) / len(floor):.3f} s a puzzle, the floor of the arms.")
    return out


def html(markdown: str, folder: Path, title: str) -> str:
    """The Markdown as one page, its pictures inside."""
    from markdown_it import MarkdownIt

    def inside(match: re.Match[str]) -> str:
        data = base64.b64encode((folder / match.group(1)).read_bytes()).decode()
        return f'src="data:image/png;base64,{data}"'

    body = MarkdownIt("commonmark").enable("table").render(markdown)
    return PAGE.format(title=title, body=re.sub(r'src="([\w-]+\.png)"', inside, body))


def budget(done: Sequence[Attempt], path: Path) -> None:
    """Share solved against mean denoising steps, a line per arm and a point per acceptance bound or step limit."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    lines = defaultdict(list)
    for row in summary(done):
        if row["arm"] != "solver":
            lines[row["arm"]].append((row["steps"], row["solved"], *wilson(row["solved"], row["n"]), row["settings"]))
    for arm, points in lines.items():
        steps, solved, low, high, names = zip(*sorted(points), strict=True)
        below = [max(0.0, a - b) for a, b in zip(solved, low, strict=True)]
        above = [max(0.0, b - a) for a, b in zip(solved, high, strict=True)]
        axes.errorbar(steps, solved, yerr=[below, above], marker="o", capsize=2, label=arm)
        for x, y, name in zip(steps, solved, names, strict=True):
            axes.annotate(name, (x, y), fontsize=7, xytext=(3, 4), textcoords="offset points")
    axes.set(xlabel="denoising steps a puzzle", ylabel="share solved", ylim=(-0.05, 1.05))
    axes.legend()
    figure.savefig(path, dpi=120)


def order(settling: Sequence[tuple[int, int]], path: Path) -> None:
    """Mean step from which a cell stays, with its quartiles, by how many letters no single rule excludes there."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for count in sorted({letters for letters, _ in settling}):
        steps = np.array([step for letters, step in settling if letters == count])
        low, high = np.quantile(steps, [0.25, 0.75])
        mean = steps.mean()
        axes.errorbar(
            [count], [mean], yerr=[[max(0, mean - low)], [max(0, high - mean)]], fmt="o", color="tab:blue", capsize=3
        )
        axes.annotate(f"n = {len(steps)}", (count, mean), fontsize=7, xytext=(5, 4), textcoords="offset points")
    axes.set(xlabel="letters that no single rule excludes in the cell", ylabel="step from which the letter stays")
    figure.savefig(path, dpi=120)
