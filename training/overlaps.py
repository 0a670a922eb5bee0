"""Which sequences of five words the texts that judge share with the texts that train.

    python -m training.overlaps [FILE ...] [--count 20000] [--seed 1] [--show 40]

FILE is JSONL with "text" in each line, by default tests/data/independent.jsonl and tests/data/handwritten.jsonl. The
training texts are the first ``count`` that a run with this seed reads, in its order. Prints the sequences, the most
frequent first, and how many texts hold one.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from structdiff.evaluation.overlaps import LENGTH, Overlap, overlaps
from training.mixture import make_training_example

DATA = Path(__file__).parents[1] / "tests" / "data"
FILES = (DATA / "independent.jsonl", DATA / "handwritten.jsonl")


def training_texts(count: int, seed: int = 1) -> Iterator[str]:
    """The texts of the first ``count`` examples of a run with this seed (see `training.stream.Stream`)."""
    return (make_training_example(random.Random(f"{seed} {number}"))["text"] for number in range(count))


def texts_of(path: Path) -> list[str]:
    """The texts of a file of examples."""
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def shared(texts: list[str], count: int, seed: int = 1, length: int = LENGTH) -> list[Overlap]:
    """Every sequence of ``length`` words that a text shares with a training text."""
    return overlaps(texts, training_texts(count, seed), length)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", default=FILES, metavar="FILE")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=40, help="so many sequences are printed")
    args = parser.parse_args(arguments)
    names, texts = [], []
    for path in args.files:
        found = texts_of(path)
        names += [f"{path.name}:{number}" for number in range(1, len(found) + 1)]
        texts += found
    found_shared = shared(texts, args.count, args.seed)
    holders: dict[str, set[str]] = {}
    for one in found_shared:
        holders.setdefault(one.words, set()).add(names[one.text])
    frequent = Counter(one.words for one in found_shared)
    for words, times in frequent.most_common(args.show):
        print(f"{times:6d} {words!r}: {', '.join(sorted(holders[words]))}")
    held = {name for some in holders.values() for name in some}
    print(
        f"{len(holders)} sequences of {LENGTH} words in {len(held)} of {len(texts)} texts; {args.count} training texts"
    )


if __name__ == "__main__":
    main()
