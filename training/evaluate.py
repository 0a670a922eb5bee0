"""Measure a checkpoint on held-out examples: transformers' own `generate()`, or structdiff's constrained generation.

    python -m training.evaluate FOLDER [--count 100] [--split values] [--constrained]

>>> field_scores({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}})
(1, 2)
"""

from __future__ import annotations

import argparse
import json
import math
import random
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, DiffusionGemmaForBlockDiffusion

from structdiff.frontends.prompt import build_prompt
from training.batches import encode_prompt
from training.data import SPLITS, Example, as_example, make_example, make_invoice
from training.network import END, EOS

SEED = 1_000_003
"""Far from every seed of training."""


@dataclass
class Score:
    """Counts over examples; a field is a leaf of the expected value, at its place."""

    count: int = 0
    valid: int = 0
    exact: int = 0
    fields: int = 0
    fields_right: int = 0
    steps: float = 0.0

    @property
    def accuracy(self) -> tuple[float, float]:
        """(share of the fields that are right, half of its 95 % interval)."""
        share = self.fields_right / max(1, self.fields)
        return share, 1.96 * math.sqrt(share * (1 - share) / max(1, self.fields))

    def __str__(self) -> str:
        share, half = self.accuracy
        return (f"n {self.count}  valid {self.valid / self.count:.3f}  field accuracy {share:.3f} +- {half:.3f}  "
                f"exact {self.exact / self.count:.3f}  steps {self.steps / self.count:.1f}")  # fmt: skip


def leaves(value: Any, path: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    """Every scalar of ``value`` by its path."""
    if isinstance(value, dict):
        return {p: v for key, member in value.items() for p, v in leaves(member, (*path, key)).items()}
    if isinstance(value, list):
        return {p: v for i, member in enumerate(value) for p, v in leaves(member, (*path, i)).items()}
    return {path: value}


def field_scores(expected: Any, got: Any) -> tuple[int, int]:
    """(leaves of ``expected`` that ``got`` has too, leaves of ``expected``)."""
    wanted, found = leaves(expected), leaves(got)
    right = sum(
        path in found and found[path] == value and isinstance(found[path], bool) == isinstance(value, bool)
        for path, value in wanted.items()
    )
    return right, len(wanted)


def parse(text: str, example: Example) -> Any:
    """The value of an unconstrained answer; raises `ValueError` when it is no JSON (of an object) or no such text."""
    if example["kind"] not in ("object", "document", "invoice"):
        return text
    return json.loads(text)


def tally(score: Score, example: Example, got: Any, valid: bool, steps: float) -> None:
    right, number = field_scores(example["value"], got)
    score.count += 1
    score.valid += valid
    score.exact += got == example["value"]
    score.fields += number
    score.fields_right += right
    score.steps += steps


def evaluate(folder: Path, examples: list[Example], batch: int = 20, seed: int = 0) -> Score:
    """Unconstrained: stock ``generate()``, with left-padded batches of similar length."""
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = DiffusionGemmaForBlockDiffusion.from_pretrained(folder, dtype=torch.float32).eval()
    prompts = sorted(((encode_prompt(tokenizer, e["prompt"]), e) for e in examples), key=lambda pair: len(pair[0]))
    score = Score()
    for at in range(0, len(prompts), batch):
        chosen = prompts[at : at + batch]
        width = max(len(ids) for ids, _ in chosen)
        padded = torch.tensor([[0] * (width - len(ids)) + ids for ids, _ in chosen])
        mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids, _ in chosen])
        canvases = 2 * network.config.canvas_length
        output = network.generate(padded, attention_mask=mask, max_new_tokens=canvases, return_dict_in_generate=True)
        answers = output.sequences[:, width:]
        tokens = (answers != 0).sum(1)
        steps = (tokens / output.tokens_per_forward).tolist()
        for (_, example), row, spent in zip(chosen, answers.tolist(), steps, strict=True):
            end = next((i for i, token in enumerate(row) if token in (EOS, END)), len(row))
            try:
                got, valid = parse(tokenizer.decode(row[:end]), example), True
            except ValueError:
                got, valid = None, False
            tally(score, example, got, valid, spent)
    return score


def evaluate_constrained(folder: Path, examples: list[Example], batch: int = 16, **policy: Any) -> Score:
    """structdiff with its default policy but for ``policy``; every output is valid and complete, so ``valid`` is 1."""
    import structdiff

    model = structdiff.load(folder, dtype="float32", **policy)
    score = Score()
    for one, result in zip(examples, generate(model, examples, batch), strict=True):
        got = result.text if one["kind"] == "grid" else result.value
        tally(score, one, got, True, result.usage.steps)
    return score


def generate(model: Any, examples: list[Example], batch: int = 16, **options: Any) -> list[Any]:
    """The results of structdiff for ``examples``, seeds 0, 1, ...; a few rows share the steps."""
    results: list[Any] = []
    for at in range(0, len(examples), batch):
        some = examples[at : at + batch]
        texts, sources = [one["text"] for one in some], [source(one) for one in some]
        results += model.batch(texts, sources, seed=list(range(at, at + len(some))), **options)
    return results


def source(example: Example) -> Any:
    """What a user of structdiff would pass for this example: labels, a pattern or a closed schema.

    A grid is constrained in its shape alone: its clues, and a digit of the right size in every empty cell.
    """
    import structdiff

    schema = example["schema"]
    if example["kind"] == "grid":
        return structdiff.Grid.of(example["text"], alphabet(example), kind=schema["grid"])
    if "enum" in schema:
        return structdiff.Choice(schema["enum"])
    if "pattern" in schema:
        return structdiff.Regex(schema["pattern"])
    return closed(schema)


def alphabet(example: Example) -> str:
    """What a cell of a grid may hold."""
    size = len(example["text"].split("\n")[0])
    return "01" if example["schema"]["grid"] == "binary puzzle" else "123456789"[:size]


def closed(schema: Any) -> Any:
    """The schema with ``additionalProperties: false`` in every object."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: closed(part) for key, part in schema.items()}
    return {**parts, "additionalProperties": False} if schema.get("type") == "object" else parts


def held_out(split: str, count: int, kind: str = "object", seed: int = SEED) -> list[Example]:
    """The first ``count`` examples of a kind in a split's evaluation stream; "grid sudoku 4x4" is a kind of grid,
    "invoice" one of objects (`make_invoice`)."""
    r = random.Random(f"{seed} {split}")
    wanted, _, grid = kind.partition(" ")
    examples: list[Example] = []
    while len(examples) < count:
        one = make_invoice(r, split) if wanted == "invoice" else make_example(r, split)
        if one["kind"] == wanted and grid in (one["schema"].get("grid"), ""):
            examples.append(one)
    return examples


def read_examples(path: Path) -> list[Example]:
    """Examples of a JSONL file with ``text``, ``schema`` and ``value`` a line."""
    examples = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        prompt = build_prompt(row["text"], row["schema"])
        examples.append(
            as_example("object", prompt, row["schema"], row["text"], row["value"], json.dumps(row["value"]))
        )
    return examples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--split", choices=SPLITS, action="append", help="default: all")
    parser.add_argument(
        "--kind", default="object", help="object, invoice, document, label, code, table, grid or e.g. 'grid sudoku 4x4'"
    )
    parser.add_argument("--file", type=Path, help="measure these examples instead: JSONL with text, schema and value")
    parser.add_argument("--constrained", action="store_true")
    parser.add_argument(
        "--unverified", action="store_true", help="with --constrained: the encoder does not read drafts"
    )
    args = parser.parse_args()
    policy = {"verify": False} if args.unverified else {}
    run = partial(evaluate_constrained, **policy) if args.constrained else evaluate
    if args.file:
        print(f"{args.file.name} {run(args.folder, read_examples(args.file))}")
        return
    for split in args.split or SPLITS:
        print(f"{split:9} {run(args.folder, held_out(split, args.count, args.kind))}", flush=True)


if __name__ == "__main__":
    main()
