"""The lattice's passes on a GPU beside those of the host: what they should cost, whether they agree, what they take.

    python -m benchmarks.gpu_passes [--device cuda] [--edges 1000 10000 30000] [--layers 64 256] [--rows 1 8]

On a CUDA device it prints median milliseconds of one call for all rows, the host's for the same rows one after another,
and whether both agree to 1e-9; it exits with 1 where they do not. With ``--device cpu`` and TRITON_INTERPRET=1 it
compares without timing; take a tiny size. ``--predict`` prints the predicted costs and runs nothing.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.steps import of_size, seconds
from structdiff.lattice import kernels
from structdiff.lattice.device_frames import place_frames
from structdiff.lattice.lattice import Lattice
from structdiff.tokens.vocabulary import Vocabulary

EMBEDDED = Path(__file__).parents[1] / "structdiff" / "models" / "embedded"
CLOCK = 1.755e9
"""Cycles a second of an H100; this and the next two: table 3 of doi.org/10.1016/j.ultsonch.2023.106546."""
L2_BYTES = 8986e9 / 144
"""Bytes a second that one multiprocessor gets of the second-level cache, where all of them read."""
L1_BYTES = 32348e9 / 144
"""Bytes a second from a multiprocessor's own memory, where the words lie side by side; an assumption for its cache."""
LAYER = 1e-6
"""Seconds of a layer without edges: a barrier and four loads that wait for each other. An assumption."""
STREAMED, GATHERED = 8, 32
"""Bytes of an edge: two indices that are read in order; two masses and two exponents that are looked up."""
INSTRUCTIONS, LANES = 66, 128
"""Instructions of an edge in what the compiler makes for compute capability 9.0, and lanes that start one per cycle."""
LINE = 128
"""Bytes the cache moves for one looked-up word where no two of them lie side by side."""


@dataclass(frozen=True)
class Cost:
    """The predicted cost of a row: bytes read per layer by one pass, its barriers, and seconds at best and at worst."""

    bytes: int
    barriers: int
    best: float
    worst: float


def predicted(edges: int, layers: int) -> Cost:
    """The cost of backward, forward and maximum, which run beside each other, if every edge is live in every layer.

    It is a count, not a measurement: these passes have never run on a GPU. The marginals follow at once for all layers
    and are left out.

    >>> cost = predicted(30_000, 256)
    >>> cost.bytes, cost.barriers, round(1e3 * cost.best, 1), round(1e3 * cost.worst, 1)
    (1200000, 256, 2.5, 17.8)
    """
    streamed = edges * STREAMED / L2_BYTES
    near, far = edges * GATHERED / L1_BYTES, edges * GATHERED / 8 * LINE / L1_BYTES
    started = edges * INSTRUCTIONS / LANES / CLOCK
    best, worst = (layers * (LAYER + max(streamed, gathered, started)) for gathered in (near, far))
    return Cost(edges * (STREAMED + GATHERED), layers, best, worst)


def print_predicted(edges: list[int], layers: list[int]) -> None:
    print("| E | L | bytes per layer and pass | barriers | predicted ms of a row |\n|---|---|---|---|---|")
    for E in edges:
        for L in layers:
            cost = predicted(E, L)
            print(
                f"| {E:,} | {L} | {cost.bytes:,} | {cost.barriers} | {1e3 * cost.best:.2f} to {1e3 * cost.worst:.1f} |"
            )


class Passes:
    """Rows of one automaton with random logits, on the host and on a device."""

    def __init__(self, vocabulary: Vocabulary, edges: int, layers: int, rows: int, device: str) -> None:
        from structdiff.lattice import triton_passes

        self.run_passes = triton_passes.run_passes
        automaton = of_size(edges, vocabulary).automaton
        self.edges = automaton.edges
        self.lattice = Lattice(automaton, layers, left=4096)
        self.weights = [self._weights(seed, vocabulary.size) for seed in range(rows)]
        self.placed = place_frames([self.lattice.frame] * rows, device)
        self.given = [[torch.from_numpy(row[which]).to(device) for row in self.weights] for which in (2, 3, 4)]

    def _weights(self, seed: int, V: int) -> tuple[np.ndarray, ...]:
        f, a = self.lattice.frame, self.lattice.automaton
        logits = np.random.default_rng(seed).normal(size=(f.length, V)).astype(np.float32) * 4
        r = self.lattice.reduce(logits, 0.8)
        found: tuple[np.ndarray, ...] = kernels.label_weights(
            r.mass, r.top, f.block, f.labels_at, f.labels, a.label_at, a.label_class, 1.0, a.classes - 1, a.labels
        )
        return found

    def on_device(self) -> Any:
        """The passes of all rows, and on CUDA their end."""
        weight, weight_k, best = self.given
        found = self.run_passes(self.placed, weight, weight_k, best)
        if self.placed.row.is_cuda:
            torch.cuda.synchronize()
        return found

    def on_host(self) -> list[Any]:
        """(log Z, marginals, labels of the maximum) of each row."""
        f, out = self.lattice.frame, []
        for _, double, weight, weight_k, best in self.weights:
            edges = (f.at, f.state, f.edge_at, f.target, f.label, f.block, f.labels_at, f.labels, double)
            beta, beta_k = kernels.backward(*edges, weight, weight_k)
            marginal = kernels.forward(*edges, weight, weight_k, beta, beta_k)
            labels, _, _ = kernels.maximum(f.at, f.state, f.edge_at, f.target, f.label, best)
            out.append((np.log(beta[0]) + beta_k[0] * kernels.LOG_UNIT, marginal, labels))
        return out

    def agree(self) -> bool:
        pairs = zip(self.on_device(), self.on_host(), strict=True)
        return all(
            abs(float(mine.log_z) - log_z) <= 1e-9 * max(1.0, abs(log_z))
            and np.abs(mine.marginal.cpu().numpy() - marginal).max() <= 1e-9
            and mine.labels.tolist() == labels.tolist()
            for mine, (log_z, marginal, labels) in pairs
        )


def measure(vocabulary: Vocabulary, device: str, edges: list[int], layers: list[int], rows: list[int]) -> bool:
    """Print the table; do all rows agree with the host?"""
    timed, good = torch.device(device).type == "cuda", True
    print("| E | L | rows | GPU | host | equal to 1e-9 |\n|---|---|---|---|---|---|")
    for E in edges:
        for L in layers:
            for B in rows:
                passes = Passes(vocabulary, E, L, B, device)
                equal = passes.agree()
                good &= equal
                mine = host = "not timed"
                if timed:
                    mine = f"{1e3 * seconds(passes.on_device, 10):.2f} ms"
                    host = f"{1e3 * seconds(passes.on_host, 10):.2f} ms"
                print(f"| {passes.edges:,} | {L} | {B} | {mine} | {host} | {'yes' if equal else 'NO'} |", flush=True)
    return good


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--vocabulary", type=Path, default=EMBEDDED)
    parser.add_argument("--edges", type=int, nargs="+", default=[1000, 10_000, 30_000])
    parser.add_argument("--layers", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--predict", action="store_true")
    o = parser.parse_args(arguments)
    if o.predict:
        print_predicted(o.edges, o.layers)
        return
    sys.exit(0 if measure(Vocabulary.of(o.vocabulary), o.device, o.edges, o.layers, o.rows) else 1)


if __name__ == "__main__":
    main()
