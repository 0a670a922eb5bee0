"""Which number type a model is fastest in on this CPU, and whether it writes the same.

    python -m benchmarks.precision [--model NAME] [--threads 1] [--texts 12]

float32, bfloat16, and weights of 8 bits with inputs quantised row by row (torch's dynamic quantisation), one after the
other: CPU seconds of a pass over n tokens behind 400 others, and of a prompt of 400; then over some of the independent
texts the share of those written as in float32, and CPU seconds each. The least of several passes counts.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch

import structdiff
from benchmarks.fields import INDEPENDENT
from structdiff.evaluation.run import read_examples
from structdiff.models.causal_lm import CausalLM
from structdiff.models.llama import PRODUCTS, Llama
from structdiff.place import DEFAULT

COUNTS = (1, 4, 8, 17)


def quantise(network: Llama) -> None:
    """Let the layers' products run in 8 bits."""
    for layer in network.layers:
        packed = {}
        for name in PRODUCTS:
            weight = getattr(layer, name).detach().float()
            scale = (weight.abs().amax(1) / 127).double()
            kept = torch.quantize_per_channel(
                weight, scale, torch.zeros(len(weight), dtype=torch.int64), 0, torch.qint8
            )
            packed[name] = torch.ops.quantized.linear_prepack(kept, None)

        def times(name: str, x: torch.Tensor, packed: dict[str, Any] = packed) -> torch.Tensor:
            found: torch.Tensor = torch.ops.quantized.linear_dynamic(x.float(), packed[name], True)
            return found.to(x.dtype)

        layer.times = times


def least(work: Callable[[], object], rounds: int) -> float:
    """The fewest CPU milliseconds of some rounds."""
    found = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return 1000 * min(found)


def passes(network: Llama) -> list[float]:
    """CPU milliseconds of a prompt of 400 tokens, then of passes over `COUNTS` tokens behind it."""
    ids = torch.randint(0, network.vocab_size, (400,), generator=torch.Generator().manual_seed(0)).tolist()
    cache = network.begin()
    network.encode([(cache, ids)])

    def further(count: int) -> None:
        [hidden] = network.encode([(cache, ids[:count])])
        network.logits(hidden)
        cache.crop(count)

    prompt = least(lambda: network.encode([(network.begin(), ids)]), 5)
    return [prompt, *(least(lambda n=n: further(n), 12) for n in COUNTS)]  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--threads", type=int, default=1, help="CPU seconds are those of all threads together")
    parser.add_argument("--texts", type=int, default=12)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore", message=".*quantize_per_channel|.*quantize_per_tensor")
    examples = read_examples(INDEPENDENT)
    examples = examples[:: len(examples) // args.texts][: args.texts]
    heads = " | ".join(["prompt of 400", *(f"{n} tokens" for n in COUNTS)])
    print(f"| CPU ms, {args.threads} thread | {heads} | CPU s a text | written as in float32 |", flush=True)
    print("|---|" + "---:|" * (len(COUNTS) + 3), flush=True)
    wanted: list[tuple[int, ...]] = []
    for kind, dtype in {"float32": "float32", "bfloat16": "bfloat16", "8 bits": "float32"}.items():
        model = structdiff.load(args.model, dtype=dtype)
        if kind == "8 bits":
            quantise(model.denoiser.network)
        milliseconds = passes(model.denoiser.network)
        model.denoiser = CausalLM(model.denoiser.network)
        for one in examples:
            model.compile(one.schema)
        begun = time.process_time()
        found = [model.generate(one.text, one.schema, max_tokens=640).tokens for one in examples]
        each = (time.process_time() - begun) / len(examples)
        wanted = wanted or found
        same = sum(a == b for a, b in zip(found, wanted, strict=True))
        cells = " | ".join(f"{one:.0f}" for one in milliseconds)
        print(f"| {kind} | {cells} | {each:.2f} | {same} of {len(found)} |", flush=True)


if __name__ == "__main__":
    main()
