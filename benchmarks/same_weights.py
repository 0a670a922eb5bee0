"""One model, one prompt, one schema a text: structdiff beside the libraries that people use today, and no constraint.

    pip install llguidance xgrammar outlines-core
    python -m benchmarks.same_weights [FILE ...] [--model smollm2] [--limit N] [--generated N] [--max-tokens 640]
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import jsonschema
import numpy as np
import torch

import structdiff
from benchmarks.beside_others import outlines_vocabulary
from benchmarks.fields import INDEPENDENT
from benchmarks.left_to_right import EachToken
from structdiff.constraint.compile import Compiler
from structdiff.core.errors import StructdiffError
from structdiff.decode.left_to_right import LeftToRight
from structdiff.decode.policy import Policy
from structdiff.evaluation.run import Example, read_examples, score
from structdiff.evaluation.summary import Scored
from structdiff.models.causal_lm import CausalLM
from training.documents import make_document_example
from training.evaluate import closed

HANDWRITTEN = INDEPENDENT.with_name("handwritten.jsonl")


class Matcher(Protocol):
    """A grammar in one place of one output."""

    def mask(self, logits: np.ndarray) -> None:
        """Set the logits of what may not follow to minus infinity, in place."""

    def take(self, token: int) -> None:
        """The token was written."""


Start = Callable[[Any], Matcher]
"""A schema in, a matcher at its beginning out. Raises where the library refuses the schema."""


class Free:
    """No constraint."""

    def mask(self, logits: np.ndarray) -> None: ...

    def take(self, token: int) -> None: ...


def _bits(logits: np.ndarray, words: np.ndarray) -> None:
    allowed = np.unpackbits(words.view(np.uint8), bitorder="little")[: len(logits)].astype(bool)
    logits[: len(allowed)][~allowed] = -np.inf


def llguidance_engine(model: structdiff.Model) -> Start:
    import llguidance
    import llguidance.hf

    vocabulary = llguidance.hf.from_tokenizer(model.tokenizer, eos_token=model.vocabulary.end_ids[0])

    class Llguidance:
        def __init__(self, schema: Any) -> None:
            grammar = llguidance.LLMatcher.grammar_from_json_schema(schema)
            self.matcher = llguidance.LLMatcher(vocabulary, grammar, log_level=0)
            if self.matcher.is_error():
                raise ValueError(self.matcher.get_error())

        def mask(self, logits: np.ndarray) -> None:
            _bits(logits, np.frombuffer(self.matcher.compute_bitmask(), np.uint8))

        def take(self, token: int) -> None:
            self.matcher.consume_token(token)

    return Llguidance


def xgrammar_engine(model: structdiff.Model) -> Start:
    import xgrammar

    size = model.denoiser.spec.vocab_size
    ends = list(model.vocabulary.end_ids)
    info = xgrammar.TokenizerInfo.from_huggingface(model.tokenizer, vocab_size=size, stop_token_ids=ends)
    compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)

    class Xgrammar:
        def __init__(self, schema: Any) -> None:
            self.matcher = xgrammar.GrammarMatcher(compiler.compile_json_schema(json.dumps(schema)))
            self.bits = xgrammar.allocate_token_bitmask(1, size)

        def mask(self, logits: np.ndarray) -> None:
            self.matcher.fill_next_token_bitmask(self.bits)
            _bits(logits, self.bits.numpy()[0])

        def take(self, token: int) -> None:
            self.matcher.accept_token(token)

    return Xgrammar


def outlines_engine(model: structdiff.Model) -> Start:
    import outlines_core
    from outlines_core.json_schema import build_regex_from_schema

    vocabulary = outlines_vocabulary(model.vocabulary, model.vocabulary.end_ids[0])

    class Outlines:
        def __init__(self, schema: Any) -> None:
            self.index = outlines_core.Index(build_regex_from_schema(json.dumps(schema)), vocabulary)
            self.state = self.index.get_initial_state()

        def mask(self, logits: np.ndarray) -> None:
            allowed = np.zeros(len(logits), bool)
            allowed[self.index.get_allowed_tokens(self.state)] = True
            logits[~allowed] = -np.inf

        def take(self, token: int) -> None:
            self.state = self.index.get_next_state(self.state, token)

    return Outlines


LIBRARIES: dict[str, Callable[[structdiff.Model], Start]] = {
    "no constraint": lambda model: lambda schema: Free(),
    "outlines-core": outlines_engine,
    "xgrammar": xgrammar_engine,
    "llguidance": llguidance_engine,
}
OURS = {"structdiff, a pass a token": True, "structdiff": False}


@dataclass
class Written:
    """One output: its text, whether it ended within the budget, passes, and the engine's own CPU seconds."""

    text: str = ""
    ended: bool = False
    passes: int = 0
    compiling: float = 0.0
    masking: float = 0.0
    error: str = ""


@dataclass
class _Row:
    number: int
    written: Written
    matcher: Matcher
    prefix: Any
    tokens: list[int] = field(default_factory=list)


def write(
    model: structdiff.Model, start: Start, texts: list[Example], prompts: list[list[int]], budget: int, together: int
) -> Iterator[tuple[int, Written]]:
    """The output of each text under a library, as it is finished: ``together`` rows at a time, one pass a token."""
    network, rows, waiting = CausalLM(model.denoiser.network), [], iter(range(len(texts)))  # type: ignore[attr-defined]
    while True:
        for number in waiting if len(rows) < together else ():
            one, begun = Written(), time.process_time()
            try:
                matcher = start(closed(texts[number].schema))
            except Exception as error:  # whatever a library raises is its refusal
                one.error = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
                yield number, one
                continue
            one.compiling = time.process_time() - begun
            rows.append(_Row(number, one, matcher, network.open(prompts[number])))
            if len(rows) == together:
                break
        if not rows:
            return
        asked = [(row.prefix, row.tokens[-1:], len(row.tokens[-1:])) for row in rows]
        for row, logits in zip(list(rows), network.read_rows(asked), strict=True):
            network.extend(row.prefix, row.tokens[-1:])
            begun, values = time.process_time(), logits[0].numpy().copy()
            row.matcher.mask(values)
            token = int(values.argmax())
            row.written.passes += 1
            if token in model.vocabulary.end_ids:
                row.written.ended = True
            else:
                row.matcher.take(token)
                row.tokens.append(token)
            row.written.masking += time.process_time() - begun
            if row.written.ended or len(row.tokens) >= budget:
                row.written.text = model.spell(row.tokens)
                rows.remove(row)
                yield row.number, row.written


def ours(
    model: structdiff.Model, each: bool, texts: list[Example], prompts: list[list[int]], budget: int, together: int
) -> Iterator[tuple[int, Written]]:
    """The output of each text under structdiff, as the product decodes or (``each``) one pass a token with no rule."""
    network, known = CausalLM(model.denoiser.network), [Written() for _ in texts]  # type: ignore[attr-defined]
    engine = (EachToken if each else LeftToRight)(network, Policy(lookup=0) if each else model.policy)
    waiting = iter(range(len(texts)))
    while True:
        for number in waiting if len(engine.rows) < together else ():
            begun = time.process_time()
            try:
                constraint = Compiler(model.vocabulary).compile(texts[number].schema)
                task = model.row(prompts[number], constraint, max(budget, constraint.min_tokens), 0)
            except StructdiffError as error:
                known[number].error = str(error)
                yield number, known[number]
                continue
            known[number].compiling = time.process_time() - begun
            task.number = number
            engine.add(task)
            if len(engine.rows) == together:
                break
        done = engine.step()
        for outcome in done:
            one = known[outcome.task.number]
            one.text, one.ended, one.passes = model.spell(outcome.tokens), outcome.reason == "stop", outcome.steps
            yield outcome.task.number, one
        if not done and not engine.rows:
            return


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
        outputs = ours(model, OURS[name], texts, prompts, budget, together)
    else:
        outputs = write(model, LIBRARIES[name](model), texts, prompts, budget, together)
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


def interval(rows: list[dict[str, Any]], draws: int = 2000) -> tuple[float, float, float]:
    """(share of right leaves, lower, upper): 95 % by drawing texts anew."""
    right, leaves = (np.array([row[name] for row in rows], float) for name in ("right", "leaves"))
    picks = np.random.default_rng(0).integers(0, len(rows), (draws, len(rows)))
    shares = right[picks].sum(1) / leaves[picks].sum(1)
    return float(right.sum() / leaves.sum()), *map(float, np.quantile(shares, (0.025, 0.975)))


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
    parser.add_argument("--model", default="smollm2")
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
    kept = args.rows.read_text(encoding="utf-8").splitlines() if args.rows and args.rows.is_file() else []
    rows: list[dict[str, Any]] = [json.loads(line) for line in kept]
    model = structdiff.load(args.model)
    for name in args.engines:
        if any(row["engine"] == name for row in rows):
            continue
        fresh = measured(name, model, texts, args.max_tokens, args.together)
        rows += fresh
        if args.rows:
            with args.rows.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in fresh)
    print(f"{model.name}, {len(texts)} texts, {torch.get_num_threads()} threads, at most {args.max_tokens} tokens\n")
    print(table(rows))
    if args.plot:
        plot(rows, args.plot)


if __name__ == "__main__":
    main()
