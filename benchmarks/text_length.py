"""How long a text may be until a model reads it worse: worked records amid sentences that say nothing of them.

    python -m benchmarks.text_length --model tiny --lengths 64,128,256,512,1024

Every length has the same records, at places spread evenly over the text. The measured range is the longest text up to
which the share of fields that are right has not fallen below that of the shortest by more than its standard error.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from pathlib import Path

import structdiff

ROOT = Path(__file__).parents[1]
SCHEMAS = ("contact", "booking", "invoice", "order", "event", "product", "support_ticket")
FILLER = (
    "The weather has been mild all week.", "Nothing else was said about it.", "The meeting room is on the left.",
    "Somebody had left the window open.", "It was late when the last of them went home.",
    "The coffee machine works again.", "Most of the chairs have been put away.", "The lift is slow in the morning.",
)  # fmt: skip


def padded(text: str, tokens: int, place: float, model: structdiff.Model, draw: random.Random) -> str:
    """The text with sentences around it, as many as fit into ``tokens``, the share ``place`` of them before it."""
    before: list[str] = []
    after: list[str] = []
    while True:
        side = before if len(before) < place * (len(before) + len(after) + 1) else after
        side.append(draw.choice(FILLER))
        found = " ".join([*before, text.strip(), *after])
        if len(model.tokenizer(found)["input_ids"]) > tokens:
            side.pop()
            return " ".join([*before, text.strip(), *after])


def leaves(value: object, at: str = "") -> dict[str, object]:
    """The scalars of a JSON value by their place."""
    if isinstance(value, dict):
        return {k: v for name, part in value.items() for k, v in leaves(part, f"{at}/{name}").items()}
    if isinstance(value, list):
        return {k: v for number, part in enumerate(value) for k, v in leaves(part, f"{at}/{number}").items()}
    return {at: value}


def measure(model: structdiff.Model, tokens: int, draws: int) -> tuple[int, int]:
    """(fields right, fields) of the worked cases in texts of about so many tokens."""
    right = total = 0
    draw = random.Random(tokens)
    for name in SCHEMAS:
        schema = json.loads((ROOT / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
        expected = leaves(json.loads((ROOT / "schemas" / f"{name}.expected.json").read_text(encoding="utf-8")))
        text = (ROOT / "schemas" / f"{name}.txt").read_text(encoding="utf-8")
        texts = [padded(text, tokens, (number + 0.5) / draws, model, draw) for number in range(draws)]
        for result in model.batch(texts, schema, errors="return"):
            found = leaves(result.value) if isinstance(result, structdiff.Result) else {}
            right += sum(found.get(at) == value for at, value in expected.items())
            total += len(expected)
    return right, total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="as in structdiff.load")
    parser.add_argument("--lengths", default="64,128,256,512,1024,1536")
    parser.add_argument("--draws", type=int, default=4, help="places of the record in each text")
    given = parser.parse_args()
    model = structdiff.load(given.model)
    print("| tokens of text | fields | right | standard error |\n|---:|---:|---:|---:|")
    for tokens in map(int, given.lengths.split(",")):
        right, total = measure(model, tokens, given.draws)
        share = right / total
        print(f"| {tokens} | {total} | {share:.3f} | {math.sqrt(share * (1 - share) / total):.3f} |", flush=True)


if __name__ == "__main__":
    main()
