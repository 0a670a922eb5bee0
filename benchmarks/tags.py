"""Outputs of random logits under structural tags, read by regular expressions, `json` and `jsonschema` alone.

python -m benchmarks.tags --count 500
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema

import structdiff
from benchmarks.grammars import outputs
from structdiff.constraint.constraint import Constraint
from structdiff.core.restrictions import RestrictionWarning
from structdiff.tokens.vocabulary import Vocabulary

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
SUM = {
    "type": "object",
    "properties": {
        "numbers": {"type": "array", "items": {"type": "integer"}, "maxItems": 4},
        "unit": {"enum": ["m", "s"]},
    },
    "required": ["numbers"],
    "additionalProperties": False,
}
SCHEMAS = {"weather": CITY, "sum": SUM}


def _function(name: str) -> dict[str, Any]:
    content = {"type": "json_schema", "json_schema": SCHEMAS[name]}
    return {"type": "tag", "begin": f"<function={name}>", "content": content, "end": "</function>"}


def read_functions(text: str) -> int:
    """Calls between free texts: how many there are. Raises ValueError where something is wrong."""
    parts = re.split(r"<function=(.*?)>(.*?)</function>", text, flags=re.DOTALL)
    if any("<function=" in free for free in parts[::3]):
        raise ValueError("a call is not closed")
    for name, arguments in zip(parts[1::3], parts[2::3], strict=True):
        jsonschema.validate(json.loads(arguments), SCHEMAS[name])
    return len(parts) // 3


def read_thought(text: str) -> int:
    """A thought and an answer."""
    found = re.fullmatch(r"<think>(.*?)</think>\n(.*)", text, re.DOTALL)
    if found is None:
        raise ValueError("no thought")
    jsonschema.validate(json.loads(found[2]), SUM)
    return 1


def read_list(text: str) -> int:
    """Calls in a list, as Phi writes them."""
    found = json.loads(text.removeprefix("<|tool_call|>").removesuffix("<|/tool_call|>"))
    for call in found:
        jsonschema.validate(call["arguments"], SCHEMAS[call["name"]])
    return len(found)


CASES: dict[str, tuple[dict[str, Any], Callable[[str], int]]] = {
    "calls in a text": (
        {
            "type": "triggered_tags",
            "triggers": ["<function="],
            "tags": [_function("weather"), _function("sum")],
            "at_least_one": True,
        },
        read_functions,
    ),
    "thought and answer": (
        {
            "type": "sequence",
            "elements": [
                {"type": "tag", "begin": "<think>", "content": {"type": "any_text"}, "end": "</think>\n"},
                {"type": "json_schema", "json_schema": SUM},
            ],
        },
        read_thought,
    ),
    "a list of calls": (
        {
            "type": "tag",
            "begin": "<|tool_call|>[",
            "content": {
                "type": "tags_with_separator",
                "separator": ", ",
                "at_least_one": True,
                "tags": [
                    {
                        "begin": f'{{"name": "{name}", "arguments": ',
                        "content": {"type": "json_schema", "json_schema": schema},
                        "end": "}",
                    }
                    for name, schema in SCHEMAS.items()
                ],
            },
            "end": "]<|/tool_call|>",
        },
        read_list,
    ),
}
"""Structural tags, and for each a reader that counts its exact parts."""


@functools.cache
def compiled(name: str, vocabulary: Vocabulary) -> Constraint:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RestrictionWarning)
        return structdiff.compile(structdiff.StructuralTag({"format": CASES[name][0]}), vocabulary)


def judged(name: str, vocabulary: Vocabulary, count: int, seed: int = 0) -> Iterator[tuple[str, str, int]]:
    """(output, what is wrong with it, how many exact parts it has)."""
    for text in outputs(compiled(name, vocabulary), count, seed):
        try:
            yield text, "", CASES[name][1](text)
        except (ValueError, KeyError, jsonschema.ValidationError) as error:
            yield text, f"{type(error).__name__}: {str(error).splitlines()[0]}", 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokenizer", default=str(Path(structdiff.__file__).parent / "models" / "embedded"))
    args = parser.parse_args()
    vocabulary = Vocabulary.of(args.tokenizer)
    _ = vocabulary.trie
    failed = 0
    for name in CASES:
        begun = time.monotonic()
        constraint = compiled(name, vocabulary)
        seconds = time.monotonic() - begun
        found = list(judged(name, vocabulary, args.count, args.seed))
        for text, wrong, _ in found:
            if wrong:
                failed += 1
                print(f"{name}: {wrong}\n    {text[:300]!r}")
        print(
            f"{name}: {args.count} outputs, {sum(parts for _, _, parts in found)} exact parts, at most "
            f"{max(len(text) for text, _, _ in found)} characters; rejected "
            f"{sum(bool(wrong) for _, wrong, _ in found)}. "
            f"{constraint.states} states, {constraint.edges} edges, compiled in {seconds:.2f} s"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
