"""Rows per second of `structdiff extract`'s extractor for several batch sizes, and that the rows are the same.

python -m benchmarks.throughput [--model FOLDER] [--count 64] [--batch 1 --batch 16] [--threads N]
"""

from __future__ import annotations

import argparse
import random
import time

import torch

import structdiff
from structdiff.pipelines.extractor import Extractor
from structdiff.pipelines.records import Record
from training.data import make_example

SCHEMA = {
    "type": "object",
    "properties": {
        "color": {"enum": ["red", "blue", "green", "black", "white"]},
        "state": {"enum": ["open", "closed"]},
    },
    "required": ["color", "state"],
}


def texts(count: int, seed: int = 5) -> list[Record]:
    """Texts of the training's made-up kind, with a colour and a state put in."""
    r = random.Random(seed)
    records = []
    for number in range(count):
        color, state = r.choice(SCHEMA["properties"]["color"]["enum"]), r.choice(["open", "closed"])  # type: ignore[index]
        body = make_example(r)["text"][:160]
        records.append(Record(number, f"{body} It comes in {color}. The ticket is {state}."))
    return records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="as in structdiff.load")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--batch", type=int, action="append", help="default: 1 and 16")
    parser.add_argument("--threads", type=int, help="threads of torch")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    extract = Extractor(structdiff.load(args.model, dtype="float32"), SCHEMA)
    records = texts(args.count)
    extract(records[:2])
    first = None
    for batch in args.batch or [1, 16]:
        began, cpu = time.perf_counter(), time.process_time()
        rows = [row for at in range(0, len(records), batch) for row in extract(records[at : at + batch])]
        wall, used = time.perf_counter() - began, time.process_time() - cpu
        first = first or rows
        same = sum(a == b for a, b in zip(rows, first, strict=True))
        print(
            f"batch {batch:3}: {len(rows) / wall:6.2f} rows/s, {len(rows) / used:6.2f} rows per CPU second, "
            f"{same} of {len(rows)} rows as with batch {(args.batch or [1])[0]}",
            flush=True,
        )


if __name__ == "__main__":
    main()
