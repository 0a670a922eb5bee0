"""What a constrained step costs beside a softmax, and how the cost grows with edges, canvas, rows and memory.

    python -m benchmarks.steps --tokenizer FOLDER [--edges 1000 10000 30000 100000] [--schemas FILE ...]
        [--json OUT]

Automata of a wanted size are strings with a maximum length: their edges grow in proportion. JSON Schemas of FILE stand
beside them: their states have few edges each. All figures come from one
run on one machine; compare the ratios. "lattice" is forward, backward, draw and maximum together, CPU time of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import structdiff
from structdiff.constraint.constraint import Constraint
from structdiff.lattice.lattice import Lattice
from structdiff.tokens.vocabulary import Vocabulary

WIDE = structdiff.Limits(states=1_000_000, edges=20_000_000, seconds=120)


def seconds(work: Callable[[], object], repeat: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Median seconds of ``work`` by ``clock``, after one run that is not counted."""
    work()
    times = []
    for _ in range(repeat):
        begun = clock()
        work()
        times.append(clock() - begun)
    return statistics.median(times)


def of_size(edges: int, vocabulary: Vocabulary) -> Constraint:
    """A constraint of about ``edges`` edges: at most n letters and digits, n found by a few trials."""

    def compiled(n: int) -> Constraint:
        return structdiff.compile(structdiff.Regex(rf'"[A-Za-z0-9 ]{{0,{n}}}"'), vocabulary, limits=WIDE)

    n = 20
    for _ in range(4):
        constraint = compiled(n)
        n = max(2, round(n * edges / constraint.edges))
    return compiled(n)


def step_figures(constraint: Constraint, length: int, repeat: int) -> dict[str, float]:
    """Seconds of the parts of one step over float32[length, V] random logits."""
    rng = np.random.default_rng(0)
    logits = (rng.normal(size=(length, constraint.vocabulary.size)) * 3).astype(np.float32)
    tensor = torch.from_numpy(logits)
    lattice = Lattice(constraint.automaton, length, left=4096)
    reduction = lattice.reduce(logits, 0.8)
    uniform = rng.random((length, 3))

    def inner() -> None:
        posterior = lattice.posterior_of(reduction)
        posterior.draw(uniform)
        _ = posterior.maximum

    def whole() -> None:
        posterior = lattice.posterior(logits, 0.8)
        posterior.draw(uniform)
        _ = posterior.maximum

    return {
        "lattice": seconds(inner, 3 * repeat, time.thread_time),
        "reduction": seconds(lambda: lattice.reduce(logits, 0.8), repeat),
        "step": seconds(whole, repeat),
        "softmax": seconds(lambda: torch.softmax(tensor, -1), repeat),
    }


def held_memory(vocabulary: Vocabulary, schema: Any) -> int:
    """Bytes that a compiled schema keeps beyond the shared vocabulary."""
    tracemalloc.start()
    constraint = structdiff.compile(schema, vocabulary)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return max(held, constraint.automaton.nbytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--edges", type=int, nargs="+", default=[1_000, 10_000, 30_000, 100_000])
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--schemas", type=Path, nargs="+", default=[])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    console = Console()
    vocabulary = Vocabulary.of(args.tokenizer)
    cores = os.cpu_count()
    console.print(f"V = {vocabulary.size}, {platform.machine()}, {cores} cores, torch {torch.__version__}")
    table = Table(title="One step, milliseconds")
    for column in ("edges", "L", "lattice", "class reduction", "whole step", "softmax", "step / softmax"):
        table.add_column(column, justify="right")
    rows = []
    sources = [of_size(edges, vocabulary) for edges in args.edges]
    sources += [structdiff.compile(json.loads(path.read_text()), vocabulary) for path in args.schemas]
    for constraint in sources:
        for length in args.lengths:
            figures = step_figures(constraint, length, args.repeat)
            rows.append({"edges": constraint.edges, "length": length, **figures})
            ms = [f"{figures[name] * 1000:.1f}" for name in ("lattice", "reduction", "step", "softmax")]
            table.add_row(f"{constraint.edges:,}", str(length), *ms, f"{figures['step'] / figures['softmax']:.2f}")
    console.print(table)
    curve = Table(title="Strings of a maximum length: compilation")
    for column in ("maxLength", "states", "edges", "milliseconds"):
        curve.add_column(column, justify="right")
    lengths = []
    for maximum in (16, 64, 255, 1000, 4000):
        schema = {"type": "string", "maxLength": maximum}
        os.environ["STRUCTDIFF_CACHE_MB"] = "0"
        begun = time.perf_counter()
        constraint = structdiff.compile(schema, vocabulary, limits=WIDE)
        spent = time.perf_counter() - begun
        lengths.append({"maxLength": maximum, "seconds": spent, "states": constraint.states})
        curve.add_row(str(maximum), f"{constraint.states:,}", f"{constraint.edges:,}", f"{spent * 1000:.0f}")
    console.print(curve)
    invoice = json.loads((Path(__file__).parent.parent / "schemas" / "invoice.json").read_text())
    held = held_memory(vocabulary, invoice)
    console.print(f"schemas/invoice.json, compiled, keeps {held / 2**20:.2f} MB")
    if args.json:
        args.json.write_text(json.dumps({"steps": rows, "maxLength": lengths, "invoice_bytes": held}, indent=1))


if __name__ == "__main__":
    main()
