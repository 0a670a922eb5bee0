"""Measure a causal adapter: greedy left to right under structdiff's grammar, forced tokens in one pass with the next.

    python -m training.evaluate_causal ADAPTER tests/data/handwritten.jsonl [--generated 40] [--show]

ADAPTER is a folder of a finished adapter or a `state.pt` of a run; "none" measures the base weights.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import torch

import structdiff
from structdiff.decode.engine import Task
from structdiff.decode.left_to_right import LeftToRight
from structdiff.decode.policy import Policy
from structdiff.models.adapter import merge_adapter, merge_causal
from structdiff.models.base_weights import BASE, load_base
from structdiff.models.causal_lm import CausalLM
from training.batches import encode_prompt
from training.data import Example
from training.documents import make_document_example
from training.evaluate import Score, closed, leaves, read_examples, tally
from training.lora import read_adapter

MAX_TOKENS = 1024


def load(adapter: str) -> tuple[Any, Any]:
    """(network, tokenizer) with the adapter of a finished run or of a run's state added to the weights."""
    network, tokenizer = load_base()
    if Path(adapter).is_dir():
        merge_causal(network, Path(adapter), BASE.sha256)
    elif adapter != "none":
        merge_adapter(network, *read_adapter(Path(adapter), BASE.sha256))
    return network, tokenizer


def extract(model: CausalLM, tokenizer: Any, constraint: Any, prompt: str) -> tuple[str, int]:
    """(the answer's text, calls of the network)."""
    budget, ends = max(MAX_TOKENS, constraint.min_tokens), constraint.vocabulary.end_ids
    engine = LeftToRight(model, Policy(lookup=0))
    engine.add(Task(encode_prompt(tokenizer, prompt), constraint.automaton, budget, end_ids=ends))
    [outcome] = engine.run()
    return constraint.vocabulary.bytes_of(outcome.tokens).decode("utf-8", "replace"), outcome.steps


def measure(network: Any, tokenizer: Any, examples: list[Example], show: bool = False) -> tuple[Score, float]:
    """(scores with calls as steps, seconds a text)."""
    model, score, begun = CausalLM(network), Score(), time.monotonic()
    for one in examples:
        constraint = structdiff.compile(closed(one["schema"]), tokenizer=tokenizer)
        text, calls = extract(model, tokenizer, constraint, one["prompt"])
        value = json.loads(text)
        tally(score, one, value, True, calls)
        if show:
            wanted, found = leaves(one["value"]), leaves(value)
            wrong = {"/".join(map(str, p)): (v, found.get(p, "-")) for p, v in wanted.items() if found.get(p, "-") != v}
            for path, (gold, got) in wrong.items():
                print(f"  {path}: {gold!r} -> {got!r}", flush=True)
    return score, (time.monotonic() - begun) / max(1, len(examples))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapter")
    parser.add_argument("files", nargs="*", type=Path, help="JSONL with text, schema and value a line")
    parser.add_argument("--generated", type=int, default=0, help="measure on so many held-out generated documents too")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="print what is wrong")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    network, tokenizer = load(args.adapter)
    for path in args.files:
        score, seconds = measure(network, tokenizer, read_examples(path), args.show)
        print(f"{path.name}: {score}  right {score.fields_right} of {score.fields}  {seconds:.2f} s", flush=True)
    if args.generated:
        examples = [make_document_example(random.Random(f"evaluate {i}")) for i in range(args.generated)]
        score, seconds = measure(network, tokenizer, examples, args.show)
        print(f"generated: {score}  right {score.fields_right} of {score.fields}  {seconds:.2f} s", flush=True)


if __name__ == "__main__":
    main()
