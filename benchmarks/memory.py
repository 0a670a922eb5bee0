"""What a process that serves many different schemas keeps in memory.

    python -m benchmarks.memory --tokenizer FOLDER --bench FOLDER [--count 1000]

Published schemas are compiled one after another by one model, as its service does. Printed every hundred: resident
memory, and how much of it is compiled constraints, which a model bounds (`structdiff.constraint.compile.MEMORY_BYTES`).
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from rich.console import Console
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

import structdiff
from benchmarks.random_logits import published_schemas
from structdiff.constraint.compile import MEMORY_BYTES
from structdiff.core.errors import StructdiffError
from structdiff.decode.policy import Policy
from structdiff.model import Model
from structdiff.testing.scripted import Scripted


def resident() -> int:
    """Bytes of this process in memory (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--bench", type=Path, required=True, help="folder with *.jsonl.gz, a schema per line")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    console = Console(width=120)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(str(args.tokenizer / "tokenizer.json")), eos_token="<eos>"
    )
    denoiser = Scripted.random(canvas_length=256, vocab_size=len(tokenizer))
    model = Model(denoiser, tokenizer, Policy(), (1, 106), "scripted")
    limits = structdiff.Limits(seconds=2)
    begun, done, sizes, refused = resident(), 0, [], 0
    console.print(f"before: {begun / 2**20:.0f} MB resident")
    for _, schema in published_schemas(args.bench, args.seed):
        try:
            constraint = model.compile(schema, limits=limits)
        except StructdiffError:
            refused += 1
            continue
        sizes.append(constraint.automaton.nbytes)
        done += 1
        if done % 100 == 0:
            console.print(
                f"{done:5} compiled, {refused} refused: {resident() / 2**20:.0f} MB resident, "
                f"{model.compiler.nbytes / 2**20:.0f} of at most {MEMORY_BYTES / 2**20:.0f} MB of constraints"
            )
        if done == args.count:
            break
    over = sum(size > 5 * 2**20 for size in sizes)
    console.print(f"a constraint: median {statistics.median(sizes) / 2**20:.2f} MB, {over} of {done} above 5 MB")


if __name__ == "__main__":
    main()
