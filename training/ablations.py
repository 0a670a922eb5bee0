"""Ablations of the recipe: arms of one change each, trained from scratch for the same CPU time and measured.

    python -m training.ablations [--results docs/measurements/ablations] [--minutes 15] [--arm NAME ...] [--table]

Arms are trained one after another on one core and go on where they stopped; several of these processes share the arms
by `--arm`. A finished arm has RESULTS/NAME.json, with its learning curve; `--table` prints what is there as Markdown
and draws the curves to RESULTS/ablations.png.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import torch

from training.evaluate import Score, evaluate, evaluate_constrained, held_out, read_examples
from training.tokenizer import train_tokenizer
from training.train import parser as train_parser
from training.train import train

BASE = "--hidden 128 --layers 4 --encoder-phase 0.25 --first-phase 0.5 --compile --cpu --threads 1 --save-every 60"
SEEN = "tokenizer that has seen the held-out names"
ARMS = {
    "base": "",
    "base, second seed": "--seed 1000000",
    "no encoder loss": "--encoder-phase 0 --encoder-every 0",
    "encoder loss in the first phase alone": "--encoder-every 1000000",
    "all positions count alike": "--weights even",
    "positions count by the inverse of the noise": "--weights inverse",
    "one canvas a prompt": "--canvases 1",
    "eight canvases a prompt": "--canvases 8",
    "hidden 96": "--hidden 96",
    "hidden 160, six layers": "--hidden 160 --layers 6",
    SEEN: "",
}
"""Changes to `BASE` by the name of the arm."""
HANDWRITTEN = Path("tests/data/handwritten.jsonl")
COLUMNS = ("values", "wordings", "schemas", "handwritten")


def file_name(arm: str) -> str:
    """The name of an arm's files.

    >>> file_name("base, second seed")
    'base-second-seed'
    """
    return arm.replace(" ", "-").replace(",", "")


def run(name: str, out: Path, results: Path, minutes: float, count: int) -> None:
    """Train one arm, or go on with it, and measure it."""
    folder, path = out / file_name(name), results / f"{file_name(name)}.json"
    if path.is_file():
        return
    tokenizer = out / ("tokenizer-seen" if name == SEEN else "tokenizer")
    if not (tokenizer / "tokenizer_config.json").is_file():
        train_tokenizer(tokenizer, split="values" if name == SEEN else "train")
    given = ["--out", str(folder), "--tokenizer", str(tokenizer), "--minutes", str(minutes)]
    train(train_parser().parse_args([*BASE.split(), *ARMS[name].split(), *given]))
    result: dict[str, Any] = {"arm": name, "minutes": minutes}
    rows = torch.load(folder / "checkpoint.pt", weights_only=False)["curve"]
    result["curve"] = [[round(row[0], 2), round(row[1], 4)] for row in rows if row[1] == row[1]]
    for column in COLUMNS:
        examples = read_examples(HANDWRITTEN) if column == "handwritten" else held_out(column, count)
        for how, measure in (("constrained", evaluate_constrained), ("unconstrained", evaluate)):
            result[f"{column} {how}"] = dataclasses.asdict(measure(folder / "model", examples))
    results.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result) + "\n", encoding="utf-8")


def finished(results: Path) -> list[dict[str, Any]]:
    """The results there are, in the order of `ARMS`."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in results.glob("*.json")]
    return sorted(found, key=lambda result: list(ARMS).index(result["arm"]))


def table(results: list[dict[str, Any]]) -> str:
    """The finished arms as a Markdown table: constrained and, in brackets, unconstrained field accuracy."""
    lines = [f"| arm | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for result in results:
        cells = []
        for column in COLUMNS:
            (share, half), (free, _) = (
                Score(**result[f"{column} {how}"]).accuracy for how in ("constrained", "unconstrained")
            )
            cells.append(f"{share:.3f} ± {half:.3f} ({free:.3f})")
        lines.append(f"| {result['arm']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """The denoising loss of every arm over CPU minutes."""
    from matplotlib.figure import Figure

    axes = (figure := Figure(figsize=(8, 5), dpi=120, layout="constrained")).subplots()
    for number, result in enumerate(results):
        style = ("-", "--")[number // 10]  # ten colours
        axes.plot([row[0] for row in result["curve"]], [row[1] for row in result["curve"]], style, label=result["arm"])
    axes.set(xlabel="CPU minutes", ylabel="denoising cross-entropy", title="not comparable where weights differ")
    axes.legend(fontsize=7)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/ablations"))
    parser.add_argument("--results", type=Path, default=Path("docs/measurements/ablations"))
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--arm", choices=list(ARMS), action="append", help="default: all")
    parser.add_argument("--table", action="store_true", help="train nothing: show what is finished")
    args = parser.parse_args()
    if not args.table:
        for name in args.arm or ARMS:
            run(name, args.out, args.results, args.minutes, args.count)
    results = finished(args.results)
    print(table(results))
    plot(results, args.results / "ablations.png")


if __name__ == "__main__":
    main()
