"""How many fields of a file of texts a model fills right, with intervals.

    python -m benchmarks.fields [FILE] [--model tiny] [--limit N] [--every K] [--max-tokens 640]
        [--threads T] [--json OUT]

FILE is JSONL with "text", "schema" and "value" in each line, tests/data/independent.jsonl by default. ``tiny`` is the
model in the package; other names are folders or hub ids. Texts that do not fit the context are split (see
`structdiff.long_text`). One text at a time, one seed; calls are denoising steps.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import structdiff
from structdiff.evaluation.run import Answer, evaluate, read_examples
from structdiff.evaluation.summary import Scored

INDEPENDENT = Path(__file__).parents[1] / "tests" / "data" / "independent.jsonl"


def answer_of(model: structdiff.Model, max_tokens: int) -> Answer:
    """A model as `evaluate` asks it."""

    def answer(text: str, schema: Any) -> tuple[Any, int, float]:
        begun = time.perf_counter()
        result = model.generate(text, schema, max_tokens=max_tokens, long_text="split")
        return result.value, result.usage.steps, time.perf_counter() - begun

    return answer


def show(scored: Scored) -> None:
    """One line on standard error per text, so that a long run can be followed."""
    print(f"{scored.id} {scored.right}/{len(scored.leaves)} {scored.seconds:.2f} s {scored.error}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=INDEPENDENT, metavar="FILE")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--limit", type=int, help="the first N texts alone")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="each K-th text alone, from the first")
    parser.add_argument("--max-tokens", type=int, default=640)
    parser.add_argument("--threads", type=int, help="threads of torch")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write everything, each leaf that is not right too")
    args = parser.parse_args(arguments)
    if args.every < 1:
        parser.error(f"--every is {args.every}; it must be 1 or more")
    try:
        examples = read_examples(args.file)[: args.limit : args.every]
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    model = structdiff.load(None if args.model == "tiny" else args.model)
    report = evaluate(answer_of(model, args.max_tokens), examples, show)
    if args.json:
        args.json.write_text(json.dumps(report.as_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(report.table())


if __name__ == "__main__":
    main()
