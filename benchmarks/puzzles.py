"""Every arm on every kind of puzzle: structdiff puzzle bench for all, as one report.

python -m benchmarks.puzzles --n 100 --published ../shared/data/puzzles --out build/puzzles

Attempts are appended to OUT/attempts.jsonl as they are made, batch by batch through all kinds, so that a run that is
stopped is a smaller run; the report is made from what the file holds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from structdiff import load
from structdiff.puzzles.arms import ARMS, Attempt, attempts, report
from structdiff.puzzles.instances import NAMES, make
from structdiff.puzzles.kinds import Puzzle


def puzzles(kinds: list[str], published: Path | None, number: int) -> Iterator[tuple[str, Puzzle]]:
    """The puzzle of every kind with this number, with the name of its set."""
    for kind in kinds:
        yield kind, make(kind, number)
        if kind == "sudoku 4x4" and published:
            for givens in (4, 6, 8, 10, 12):
                data = json.loads((published / f"sudoku_4x4_{givens}.jsonl").read_text().splitlines()[number])
                name = f"sudoku 4x4, published, {givens} givens"
                yield name, Puzzle(kind, data["input"].replace("0", "."), data["output"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--kinds", default=",".join(k for k in NAMES if k != "sudoku 9x9"))
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--published", type=Path)
    parser.add_argument("--max-steps", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after the batch that passes this time")
    parser.add_argument("--batch", type=int, default=10, help="puzzles denoised together")
    parser.add_argument("--out", type=Path, default=Path("build/puzzles"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path, begin = options.out / "attempts.jsonl", time.monotonic()
    model = load("tiny")
    policy = replace(model.policy, max_steps=options.max_steps)
    with path.open("w", encoding="utf-8") as file:
        for first in range(0, options.n, options.batch):
            if time.monotonic() - begin > 60 * options.minutes:
                break
            sets: dict[str, list[Puzzle]] = {}
            for number in range(first, min(first + options.batch, options.n)):
                for name, puzzle in puzzles(options.kinds.split(","), options.published, number):
                    sets.setdefault(name, []).append(puzzle)
            for name, own in sets.items():
                for arm in options.arms.split(","):
                    seeds = range(first, first + len(own))
                    for one in attempts(model, own, arm, seeds=seeds, policy=policy):
                        file.write(json.dumps(asdict(replace(one, kind=name)), ensure_ascii=False) + "\n")
                file.flush()
    done = [Attempt(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    (options.out / "report.md").write_text(report(done) + "\n", encoding="utf-8")
    print(report(done))


if __name__ == "__main__":
    main()
