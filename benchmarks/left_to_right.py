"""What each part of writing from left to right saves, in one run: calls and seconds a text, and whether the text is
the same.

    python -m benchmarks.left_to_right [FILE] [--model NAME] [--every 12] [--threads T] [--together 8]

Every row is the same greedy decoding under the same constraint: one pass for each token; the tokens that the constraint
forces read in one pass with the next; drafts on top (the text up to the next choice, and what is looked up in the
prompt); and rows read together. Seconds contain the encoding of the prompt; each row begins with no prompt kept. FILE
is as in `benchmarks.fields`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

import structdiff
from benchmarks.fields import INDEPENDENT
from structdiff.decode.engine import Outcome, Task
from structdiff.decode.left_to_right import LeftToRight, Row
from structdiff.decode.policy import Policy
from structdiff.evaluation.run import read_examples
from structdiff.models.causal_lm import CausalLM
from structdiff.place import DEFAULT


class EachToken(LeftToRight):
    """Asks the model for every token, forced or not."""

    def join(self, task: Task, policy: Policy) -> Row:
        class Asking(Row):
            def _take_forced(self) -> None:
                """Nothing is taken unasked."""

        return Asking(task, self.model, policy, self.emit)


def decoded(engine: LeftToRight, tasks: list[Task]) -> list[Outcome]:
    for task in tasks:
        engine.add(task)
    return sorted(engine.run(), key=lambda one: one.task.number)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=INDEPENDENT, metavar="FILE")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--dtype")
    parser.add_argument("--every", type=int, default=12, metavar="K")
    parser.add_argument("--max-tokens", type=int, default=640)
    parser.add_argument("--together", type=int, default=8, metavar="N", help="rows of the last line")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    model = structdiff.load(args.model, dtype=args.dtype)
    tasks = []
    for number, one in enumerate(read_examples(args.file)[:: args.every]):
        constraint = model.compile(one.schema)
        budget = max(args.max_tokens, constraint.min_tokens)
        prompt = model.prompt(one.text, constraint)
        tasks.append(replace(model.task(prompt, constraint, budget, 0), number=number))
    size = args.together
    kinds: dict[str, tuple[Callable[[CausalLM], LeftToRight], int]] = {
        "a pass a token": (lambda network: EachToken(network, Policy(lookup=0)), 1),
        "+ forced tokens": (lambda network: LeftToRight(network, Policy(lookup=0)), 1),
        "+ drafts": (LeftToRight, 1),
        f"+ {size} rows together": (LeftToRight, size),
    }
    print(f"{model.name}, {model.info()['dtype']}, {torch.get_num_threads()} threads, {len(tasks)} texts", flush=True)
    print("| | calls a text | seconds a text | CPU seconds a text | same text |\n|---|---:|---:|---:|---:|", flush=True)
    wanted: list[list[int]] = []
    for name, (engine, rows) in kinds.items():
        network, done, passes = CausalLM(model.denoiser.network), [], 0
        begun, spent = time.perf_counter(), time.process_time()
        for first in range(0, len(tasks), rows):
            found = decoded(engine(network), tasks[first : first + rows])
            passes += sum(one.steps for one in found) if rows == 1 else max(one.steps for one in found)
            done += [one.tokens for one in found]
        seconds, cpu = time.perf_counter() - begun, time.process_time() - spent
        wanted = wanted or done
        same, count = sum(a == b for a, b in zip(done, wanted, strict=True)), len(tasks)
        told = f"{passes / count:.1f} | {seconds / count:.2f} | {cpu / count:.2f} | {same} of {count}"
        print(f"| {name} | {told} |", flush=True)


if __name__ == "__main__":
    main()
