"""What the engine costs: compiling a schema, and one step's lattice work beside a softmax over the same logits.

    python -m benchmarks.engine --tokenizer FOLDER [--schema schemas/invoice.json] [--repeat 5]

All figures come from one run on one machine; compare the ratios, not the seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import structdiff
from structdiff.lattice.lattice import Lattice
from structdiff.tokens.vocabulary import Vocabulary


def seconds(work: Callable[[], object], repeat: int) -> float:
    """Median wall-clock seconds of ``work``."""
    times = []
    for _ in range(repeat):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def measure(tokenizer: str, schema: Path, repeat: int, length: int = 256) -> dict[str, float]:
    begun = time.perf_counter()
    vocabulary = Vocabulary.of(tokenizer)
    _ = vocabulary.trie
    opened = time.perf_counter() - begun
    source = json.loads(schema.read_text())
    structdiff.compile({"type": "boolean"}, vocabulary)  # loads the compiled kernels
    begun = time.perf_counter()
    constraint = structdiff.compile(source, vocabulary)
    compiled = time.perf_counter() - begun
    rng = np.random.default_rng(0)
    logits = (rng.normal(size=(length, vocabulary.size)) * 3).astype(np.float32)
    tensor = torch.from_numpy(logits)
    lattice = Lattice(constraint.automaton, length, left=512)
    reduction = lattice.reduce(logits, 0.8)
    posterior = lattice.posterior_of(reduction)
    uniform = rng.random((length, 3))

    def step() -> None:
        p = lattice.posterior_of(reduction)
        p.draw(uniform)
        _ = p.maximum

    def fresh_maximum() -> None:
        posterior.__dict__.pop("maximum", None)
        _ = posterior.maximum

    fresh_maximum()
    step()
    return {
        "open the vocabulary (trie cached)": opened,
        "compile": compiled,
        "states": constraint.states,
        "edges": constraint.edges,
        "classes": constraint.classes,
        "frame of a canvas": seconds(lambda: Lattice(constraint.automaton, length, left=512), repeat),
        "class reduction": seconds(lambda: lattice.reduce(logits, 0.8), repeat),
        "posterior": seconds(lambda: lattice.posterior_of(reduction), repeat),
        "joint draw": seconds(lambda: posterior.draw(uniform), repeat),
        "joint maximum": seconds(fresh_maximum, repeat),
        "lattice work of a step": seconds(step, repeat),
        "torch.softmax": seconds(lambda: torch.softmax(tensor, dim=-1), repeat),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="a folder with tokenizer.json")
    parser.add_argument("--schema", type=Path, default=Path("schemas/invoice.json"))
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    figures = measure(args.tokenizer, args.schema, args.repeat)
    for name, value in figures.items():
        print(f"{name:36s} {value * 1000:10.1f} ms" if isinstance(value, float) else f"{name:36s} {value:10d}")
    ratio = figures["lattice work of a step"] / figures["torch.softmax"]
    print(f"{'lattice work / softmax':36s} {ratio:10.3f}")


if __name__ == "__main__":
    main()
