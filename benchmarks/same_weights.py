"""One model, one prompt, one schema a text: structdiff beside the libraries that people use today, and no constraint.

    pip install llguidance xgrammar outlines-core
    python -m benchmarks.same_weights [FILE ...] [--model NAME] [--limit N] [--generated N] [--max-tokens 640]
        [--together 8] [--engines structdiff llguidance ...] [--rows OUT.jsonl] [--plot OUT.png]

Greedy, from left to right, the libraries one pass a token, as their logits processors are used; objects are closed for
all of them. structdiff is there twice: one pass a token too, and as the product decodes (forced tokens, drafts, arrays
that end). Rows are read together. Judged by `json`, jsonschema and the gold values: is the output cut off, is it valid,
how many leaves are right. An output that is cut off or not valid has no leaf right. Reported beside: the engine's own
CPU time for a schema and for a token.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import torch

import structdiff
from benchmarks.fields import INDEPENDENT
from benchmarks.kept import keep, kept_rows
from benchmarks.libraries import LIBRARIES, OURS, Written, ours, write
from structdiff.evaluation.run import Example, read_examples, score
from structdiff.evaluation.summary import Scored, bootstrap
from structdiff.place import DEFAULT
from training.documents import make_document_example
from training.evaluate import closed

HANDWRITTEN = INDEPENDENT.with_name("handwritten.jsonl")


def judge(example: Example, written: Written) -> tuple[Scored, bool]:
    """(the leaves, is the output complete and valid?)."""

    def answer(text: str, schema: Any) -> tuple[Any, int, float]:
        if written.error:
            raise structdiff.GenerationError(written.error)
        try:
            value = json.loads(written.text)
            jsonschema.validate(value, schema)
        except (ValueError, jsonschema.ValidationError) as error:
            raise structdiff.GenerationError(str(error).splitlines()[0]) from error
        return value, written.passes, 0.0

    scored = score(answer, example)
    return scored, not scored.error


def measured(
    name: str, model: structdiff.Model, texts: list[Example], budget: int, together: int
) -> list[dict[str, Any]]:
    """A row for each text under one engine, told on standard error as it is known."""
    prompts = []
    for one in texts:
        constraint = structdiff.compile(one.schema, model.vocabulary)
        prompts.append(model.encode_prompt(model.prompt(one.text, constraint)))
    begun, rows = time.perf_counter(), []
    if name in OURS:
        outputs = ours(model, OURS[name], [one.schema for one in texts], prompts, budget, together)
    else:
        sources = [closed(one.schema) for one in texts]
        outputs = write(model, LIBRARIES[name](model), sources, prompts, budget, together)
    for number, written in outputs:
        scored, valid = judge(texts[number], written)
        rows.append({
            "engine": name, "id": texts[number].id, "valid": valid, "refused": bool(written.error),
            "cut off": not written.ended and not written.error, "right": scored.right if valid else 0,
            "leaves": len(scored.leaves), "passes": written.passes, "compiling": written.compiling,
            "masking": written.masking, "text": written.text, "error": written.error,
        })  # fmt: skip
        print(f"{name}: {len(rows)}/{len(texts)} {rows[-1]['id']}", file=sys.stderr, flush=True)
    seconds = (time.perf_counter() - begun) / max(1, len(texts))
    return [row | {"seconds": seconds} for row in rows]


def interval(rows: list[dict[str, Any]]) -> tuple[float, float, float]:
    """(share of right leaves, lower, upper): 95 % by drawing texts anew."""
    parts = [(row["right"], row["leaves"]) for row in rows]
    return sum(right for right, _ in parts) / sum(leaves for _, leaves in parts), *bootstrap(parts)


def table(rows: list[dict[str, Any]]) -> str:
    """The figures of each engine as a Markdown table."""
    lines = [
        "| | texts | refused | cut off | complete and valid | leaves right | passes a text | seconds a text | "
        "schema, CPU ms | token, CPU ms |", "|---|" + "---:|" * 9,
    ]  # fmt: skip
    for name in dict.fromkeys(row["engine"] for row in rows):
        own = [row for row in rows if row["engine"] == name]
        share, low, high = interval(own)
        written = [row for row in own if not row["refused"]]
        passes = sum(row["passes"] for row in written)
        mask = "" if name in OURS else f"{1000 * sum(row['masking'] for row in written) / max(1, passes):.2f}"
        lines.append(
            f"| {name} | {len(own)} | {sum(row['refused'] for row in own)} | {sum(row['cut off'] for row in own)} | "
            f"{sum(row['valid'] for row in own)} | {share:.3f} ({low:.3f} to {high:.3f}) | {passes / len(own):.1f} | "
            f"{sum(row['seconds'] for row in own) / len(own):.2f} | "
            f"{1000 * float(np.median([row['compiling'] for row in own])):.1f} | {mask} |"
        )
    return "\n".join(lines)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Complete and valid outputs and right leaves, by engine."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(row["engine"] for row in rows))
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 0.45 * len(names) + 1.2), sharey=True)
    for at, name in enumerate(names):
        own = [row for row in rows if row["engine"] == name]
        share, low, high = interval(own)
        colour = "#2a6f97" if name in OURS else "#a9a9a9"
        axes[0].barh(at, sum(row["valid"] for row in own) / len(own), color=colour)
        axes[1].barh(at, share, color=colour, xerr=[[share - low], [high - share]], capsize=3)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    axes[0].set_title("complete and valid", fontsize=10)
    axes[1].set_title("leaves right", fontsize=10)
    for one in axes:
        one.set_xlim(0, 1)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=[INDEPENDENT, HANDWRITTEN], metavar="FILE")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--limit", type=int, help="the first N texts of each file")
    parser.add_argument("--generated", type=int, default=0, help="so many documents of the project's generator too")
    parser.add_argument("--max-tokens", type=int, default=640)
    parser.add_argument("--together", type=int, default=8)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--engines", nargs="*", choices=[*LIBRARIES, *OURS], default=[*LIBRARIES, *OURS])
    parser.add_argument("--rows", type=Path, metavar="OUT", help="keep the rows, and run no engine again")
    parser.add_argument("--plot", type=Path, metavar="OUT")
    args = parser.parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    os.environ["STRUCTDIFF_CACHE_MB"] = "0"
    texts = [one for path in args.files for one in read_examples(path)[: args.limit]]
    for number in range(args.generated):
        made = make_document_example(random.Random(f"evaluate {number}"))
        texts.append(Example(f"generated-{number}", made["text"], made["schema"], made["value"]))
    model = structdiff.load(args.model)
    said = {"model": model.name, "weights": model.denoiser.fingerprint, "max_tokens": args.max_tokens}
    try:
        rows = kept_rows(args.rows, said | {"texts": len(texts)})
    except ValueError as error:
        parser.error(str(error))
    for name in args.engines:
        if any(row["engine"] == name for row in rows):
            continue
        fresh = measured(name, model, texts, args.max_tokens, args.together)
        rows += fresh
        keep(args.rows, fresh)
    print(f"{model.name}, {len(texts)} texts, {torch.get_num_threads()} threads, at most {args.max_tokens} tokens\n")
    print(table(rows))
    if args.plot:
        plot(rows, args.plot)


if __name__ == "__main__":
    main()
