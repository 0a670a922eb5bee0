"""Pinned fields: with half the members of each object given, are the others read better?

    python -m benchmarks.pinned [--model FOLDER] [--count 150] [--split values]

The same texts and seeds with and without; the difference is paired per text, with a 95 % interval. Also checks that
every pinned value came out as it was given.
"""

from __future__ import annotations

import argparse
import random
from typing import Any

import structdiff
from benchmarks.bakeoff import accuracy, difference
from training.data import SPLITS
from training.evaluate import closed, field_scores, held_out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="as in structdiff.load")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--split", choices=SPLITS, default="values")
    parser.add_argument("--batch", type=int, default=16)
    args = parser.parse_args()
    model = structdiff.load(args.model, dtype="float32")
    examples = [one for one in held_out(args.split, 2 * args.count) if len(one["value"]) > 1][: args.count]
    r = random.Random(1)
    given = [dict(r.sample(sorted(one["value"].items()), len(one["value"]) // 2)) for one in examples]
    arms: dict[str, dict[str, Any]] = {}
    for arm in ("without", "with"):
        right, fields, kept = [], [], 0
        for at in range(0, len(examples), args.batch):
            some, pins = examples[at : at + args.batch], given[at : at + args.batch]
            sources: list[Any] = [closed(one["schema"]) for one in some]
            if arm == "with":
                sources = [structdiff.Pinned(s, pin) for s, pin in zip(sources, pins, strict=True)]
            seeds = list(range(at, at + len(some)))
            for one, pin, result in zip(
                some, pins, model.batch([one["text"] for one in some], sources, seed=seeds), strict=True
            ):
                asked = {name: value for name, value in one["value"].items() if name not in pin}
                hit, number = field_scores(asked, {k: v for k, v in result.value.items() if k not in pin})
                right.append(hit)
                fields.append(number)
                kept += all(result.value.get(name) == value for name, value in pin.items())
        arms[arm] = {"right": right, "fields": fields}
        share, half = accuracy(arms[arm])
        print(f"{arm:8} accuracy on the others {share:.3f} +- {half:.3f} of {sum(fields)} fields; pins kept {kept}")
    gain, half = difference(arms["with"], arms["without"])
    print(f"gain {gain:+.3f} +- {half:.3f} (paired, {len(examples)} texts)")


if __name__ == "__main__":
    main()
