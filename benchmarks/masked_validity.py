"""Constrained generations of the families of masked diffusion: is every output valid and complete within its budget?

    python -m benchmarks.masked_validity --count 2000 [--family LLaDA] [--canvas 24] [--seed 0]

Networks are tiny and have random weights, new ones for every 100 outputs, so that only the constraint can make an
output valid. Prompts are random tokens of 1 to 70; budgets are the least possible and up to 20 more. Half the rows use
the family's published sampler (greedy), half draw at temperature 0.8 with another rule of acceptance. `jsonschema` and
`re` are the judges.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer

import structdiff
from structdiff.constraint.constraint import Constraint
from structdiff.decode.acceptance import Acceptance, Blocks, Count, EntropyBound, Threshold
from structdiff.decode.engine import Outcome, Task
from structdiff.decode.loop import run
from structdiff.decode.policy import Policy
from structdiff.loading import EMBEDDED
from structdiff.testing.checkpoints import write_checkpoint

FAMILIES = {
    "causal networks": ("llama", "qwen2", "qwen3", "gemma3_text", "a2d-qwen3", "sdar", "Fast_dLLM_Qwen"),
    "LLaDA": ("llada",),
    "Dream": ("Dream",),
    "LLaDA2-MoE": ("llada2_moe",),
}
PER_CHECKPOINT, ROWS = 100, 25
SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "required": ["name", "n"], "additionalProperties": False, "properties": {
        "name": {"type": "string", "minLength": 30, "maxLength": 60},
        "n": {"type": "integer", "minimum": 10, "maximum": 4999}}},
    {"type": "array", "minItems": 4, "maxItems": 9, "items": {"enum": ["red", "green", "blue", None]}},
    {"type": "object", "required": ["id", "ok"], "properties": {
        "id": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3,5}$"}, "ok": {"type": "boolean"},
        "inner": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}}},
    {"anyOf": [{"type": "string", "format": "date"}, {"type": "integer", "multipleOf": 7}]},
]  # fmt: skip
PATTERN = r"(ab|[0-9]{2,4}-)*(x|yz){1,3}"
RULES: tuple[Acceptance, ...] = (
    EntropyBound(1.0), Threshold(0.3), Count(2, by="margin"), Count(schedule="floored", by="entropy"),
    Blocks(5, Count(schedule="rounded")), Count(3, by="place"),
)  # fmt: skip


@dataclass
class Tally:
    """What a family's outputs were."""

    outputs: int = 0
    valid: int = 0
    tokens: int = 0
    canvases: int = 0
    steps: int = 0
    checkpoints: int = 0
    seconds: float = 0.0


def is_valid(text: str, source: Any) -> bool:
    """By jsonschema or re."""
    if source is None:
        return re.fullmatch(PATTERN, text) is not None
    try:
        jsonschema.validate(json.loads(text), source)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


def model_of(kind: str, folder: Path, seed: int, canvas: int) -> structdiff.Model:
    """A tiny model with weights of this seed; canvases of ``canvas`` where the family leaves their length open."""
    write_checkpoint(kind, folder, AutoTokenizer.from_pretrained(EMBEDDED), seed)
    open_length = kind not in ("sdar", "Fast_dLLM_Qwen", "llada2_moe")
    return structdiff.load(folder, device="cpu", masked={"canvas_length": canvas} if open_length else None)


def outcomes_of(model: structdiff.Model, constraint: Constraint, r: random.Random, count: int) -> list[Outcome]:
    """``count`` rows together, each with its own prompt, budget, seed and policy."""
    tasks = []
    for number in range(count):
        prompt = [r.randrange(1000) for _ in range(r.randint(1, 70))]
        policy = model.policy if number % 2 else drawing(model.policy, r)
        budget = constraint.min_tokens + r.randint(0, 20)
        tasks.append(Task(prompt, constraint.automaton, budget, r.randrange(1 << 30), model.vocabulary.end_ids,
                          policy=policy))  # fmt: skip
    return run(model.denoiser, tasks, model.policy)


def drawing(policy: Policy, r: random.Random) -> Policy:
    """Joint draws, another rule, few steps or many, tokens that stay or not."""
    return replace(
        policy, candidate="draw", t_min=0.8, t_max=0.8, acceptance=r.choice(RULES), max_steps=r.choice([2, 6, 24]),
        keep_accepted=r.random() < 0.8,
    )  # fmt: skip


def measure(kinds: tuple[str, ...], count: int, seed: int, canvas: int, constraints: dict[int, Constraint]) -> Tally:
    """``count`` outputs of a family, checkpoint by checkpoint."""
    tally, r = Tally(), random.Random(seed)
    sources: list[Any] = [*SCHEMAS, None]
    start = time.perf_counter()
    while tally.outputs < count:
        kind = kinds[tally.checkpoints % len(kinds)]
        with tempfile.TemporaryDirectory() as folder:
            model = model_of(kind, Path(folder), seed + tally.checkpoints, canvas)
        tally.checkpoints += 1
        due = min(PER_CHECKPOINT, count - tally.outputs)
        for batch in range(0, due, ROWS):
            which = (tally.outputs // ROWS) % len(sources)
            source = structdiff.Regex(PATTERN) if sources[which] is None else sources[which]
            if which not in constraints:
                constraints[which] = model.compile(source)
            constraint = constraints[which]
            for outcome in outcomes_of(model, constraint, r, min(ROWS, due - batch)):
                text = model.vocabulary.bytes_of(outcome.tokens).decode()
                good = is_valid(text, sources[which]) and len(outcome.tokens) <= outcome.task.max_tokens
                if not good:
                    print(f"{kind} {outcome.task.seed}: {text!r}", file=sys.stderr)
                tally.valid += good
                tally.outputs += 1
                tally.tokens += len(outcome.tokens)
                tally.canvases += outcome.canvases
                tally.steps += outcome.steps
    tally.seconds = time.perf_counter() - start
    return tally


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--count", type=int, default=2000, help="outputs of each family")
    p.add_argument("--family", choices=FAMILIES, help="this one alone")
    p.add_argument("--canvas", type=int, default=24, help="positions of a canvas where the family leaves it open")
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    table = Table("family", "outputs", "valid", "checkpoints", "tokens", "canvases", "steps", "seconds")
    bad = 0
    constraints: dict[int, Constraint] = {}
    for family in [args.family] if args.family else FAMILIES:
        t = measure(FAMILIES[family], args.count, args.seed, args.canvas, constraints)
        bad += t.outputs - t.valid
        table.add_row(family, str(t.outputs), str(t.valid), str(t.checkpoints), f"{t.tokens / t.outputs:.1f}",
                      f"{t.canvases / t.outputs:.1f}", f"{t.steps / t.outputs:.1f}", f"{t.seconds:.0f}")  # fmt: skip
    Console().print(table)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
