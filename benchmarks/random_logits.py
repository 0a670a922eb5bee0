"""Generations from random logits: is every output valid by `jsonschema` and complete within its budget?

    python -m benchmarks.random_logits --count 10000 --bench FOLDER [--schemas 200]

The model is an adversary that answers every step with fresh random logits, so only the constraint can make an output
valid. Canvases are short, so that outputs span several; budgets start at the least possible. Schemas: all of
``schemas/`` and a seeded sample of JSONSchemaBench files (``*.jsonl.gz`` with a ``schema`` per line).
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import torch
from rich.console import Console
from rich.progress import track

import structdiff
from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import StructdiffError
from structdiff.decode.engine import Task
from structdiff.decode.loop import run
from structdiff.decode.policy import Policy
from structdiff.testing.scripted import Scripted
from structdiff.tokens.vocabulary import Vocabulary

ERRORS = Console(stderr=True)
ROOT = Path(__file__).resolve().parent.parent


def published_schemas(folder: Path, seed: int) -> Iterator[tuple[str, Any]]:
    """(id, schema) of every line of every file, shuffled."""
    rows = []
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows += [(row["id"], row["schema"]) for row in map(json.loads, file)]
    random.Random(seed).shuffle(rows)
    return iter(rows)


def own_schemas() -> list[tuple[str, Any]]:
    paths = [p for p in sorted((ROOT / "schemas").glob("*.json")) if not p.name.endswith(".expected.json")]
    return [(path.stem, json.loads(path.read_text())) for path in paths]


def adversary(canvas: int, vocabulary: Vocabulary, seed: int) -> Scripted:
    """Random logits of every kind: flat, peaked, huge, one-hot on one token everywhere."""
    generator = torch.Generator().manual_seed(seed)
    spread = [0.0, 1.0, 6.0, 1e4][seed % 4]

    def script(prefix: list[int], noisy: torch.Tensor) -> torch.Tensor:
        logits = torch.randn(canvas, vocabulary.size, generator=generator) * spread
        if seed % 5 == 0:
            logits[:, seed % vocabulary.size] += 1e3
        return logits

    return Scripted(canvas, vocabulary.size, script)


def validator(schema: Any) -> Any:
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    return kind(schema, format_checker=kind.FORMAT_CHECKER)


def problem(text: str, budget: int, used: int, judge: Any) -> str:
    """What is wrong with an output; empty when it is valid and within its budget."""
    if used > budget:
        return f"{used} tokens with a budget of {budget}"
    try:
        value = json.loads(text)
    except ValueError as error:
        return f"not JSON ({error})"
    error = jsonschema.exceptions.best_match(judge.iter_errors(value))
    return f"invalid: {error.message[:200]} at {error.json_path}" if error else ""


def attack(constraint: Constraint, schema: Any, rounds: int, seed: int) -> Iterator[tuple[str, str]]:
    """(output, problem) of ``rounds`` generations with budgets from the least possible upward."""
    judge, least = validator(schema), constraint.min_tokens
    r = random.Random(seed)
    for k in range(rounds):
        budget = max(1, least + [0, 1, r.randint(0, 10), r.randint(0, 60)][k % 4])
        canvas = r.choice([8, 16, 32])
        task = Task([0], constraint.automaton, budget, seed + k, constraint.vocabulary.end_ids)
        outcome = run(adversary(canvas, constraint.vocabulary, seed + k), [task], Policy(max_steps=r.choice([1, 2])))[0]
        text = constraint.vocabulary.bytes_of(outcome.tokens).decode("utf-8", "surrogateescape")
        yield text, problem(text, budget, len(outcome.tokens), judge)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--bench", type=Path, help="a folder with JSONSchemaBench files")
    parser.add_argument("--schemas", type=int, default=200)
    parser.add_argument("--tokenizer", default=str(ROOT / "structdiff" / "models" / "embedded"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    vocabulary = Vocabulary.of(args.tokenizer)
    compiled: list[tuple[str, Any, Constraint]] = []
    refused = 0
    limits = structdiff.Limits(states=20_000, seconds=5)
    candidates = own_schemas()
    wanted = len(candidates) + (args.schemas if args.bench else 0)
    published = published_schemas(args.bench, args.seed) if args.bench else ()
    for name, schema in [*candidates, *published]:
        if len(compiled) == wanted:
            break
        ERRORS.print(f"compiling {len(compiled) + 1} of {wanted}", end="\r")
        try:
            constraint = structdiff.compile(schema, vocabulary, limits=limits)
        except StructdiffError as error:
            refused += 1
            if name in dict(candidates):
                print(f"{name}: {error}")
                return 1
            continue
        if constraint.min_tokens <= 600:
            compiled.append((name, schema, constraint))
    begun, done, bad, longest = time.monotonic(), 0, [], 0
    rounds = -(-args.count // len(compiled))
    numbered = track(list(enumerate(compiled)), "attacking", console=ERRORS)
    for number, (name, schema, constraint) in numbered:
        for text, wrong in attack(constraint, schema, rounds, args.seed + 1000 * number):
            done += 1
            longest = max(longest, len(text))
            if wrong:
                bad.append(name)
                print(f"{name}: {wrong}\n    {text[:300]}")
    print(
        f"{done} generations over {len(compiled)} schemas ({refused} refused while sampling) in "
        f"{time.monotonic() - begun:.0f} s; longest output {longest} characters; invalid or cut off: {len(bad)}"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
