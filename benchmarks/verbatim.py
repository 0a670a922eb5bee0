"""What it costs to put a text into a compiled constraint whose strings are taken from the text.

    python -m benchmarks.verbatim [--tokenizer FOLDER] [--words 100 300 1000 2000] [--fields 8] [--repeat 5] [--seed 0]
        [--against-enum]

The text is English prose out of tests/data/independent.jsonl, cut to a number of words. ``--against-enum`` compiles the
same language the slow way too: every span as an enumeration, and the whole schema anew.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

import structdiff
from benchmarks.engine import seconds
from structdiff.constraint.constraint import Constraint
from structdiff.tokens.automaton import build_token_automaton
from structdiff.tokens.vocabulary import Vocabulary

TEXTS = Path(__file__).parents[1] / "tests" / "data" / "independent.jsonl"
NAMES = ("name", "city", "street", "company", "role", "country", "product", "reason", "phone", "note")


def text_of(words: int, seed: int) -> str:
    """Prose of so many words, lines and paragraphs as they stand, from texts in a random order."""
    texts = [json.loads(line)["text"] for line in TEXTS.read_text(encoding="utf-8").splitlines()]
    random.Random(seed).shuffle(texts)
    text = "\n\n".join(texts)
    pieces = text.split(" ")
    while len(" ".join(pieces).split()) > words:
        pieces = pieces[: max(1, len(pieces) - max(1, (len(" ".join(pieces).split()) - words) // 2))]
    return " ".join(pieces)


def schema_of(fields: int) -> dict[str, object]:
    names = [NAMES[i] if i < len(NAMES) else f"field_{i}" for i in range(fields)]
    properties = {name: {"type": ["string", "null"] if i % 2 else "string"} for i, name in enumerate(names)}
    return {"type": "object", "properties": properties, "required": names}


def slowly(constraint: Constraint, text: str) -> None:
    """The same language, compiled from the beginning."""
    assert constraint.laying is not None
    template = constraint.laying.template
    build_token_automaton(template.filled(template.contents(text)), constraint.vocabulary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer")
    parser.add_argument("--words", type=int, nargs="+", default=[100, 300, 1000, 2000])
    parser.add_argument("--fields", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--against-enum", action="store_true")
    args = parser.parse_args()
    vocabulary = structdiff.load("tiny").vocabulary if args.tokenizer is None else Vocabulary.of(args.tokenizer)
    _ = vocabulary.trie
    schema = schema_of(args.fields)
    structdiff.compile({"type": "string", "x-verbatim": True}, vocabulary).for_text("a b")  # loads the kernels
    begun = time.perf_counter()
    constraint = structdiff.compile(schema, vocabulary, verbatim=True)
    compiled = time.perf_counter() - begun
    begun = time.perf_counter()
    constraint.for_text("Ann lives in Ulm.")
    print(f"{vocabulary.size} token ids, {args.fields} strings: compiled once in {1000 * compiled:.0f} ms, "
          f"prepared at the first text in {1000 * (time.perf_counter() - begun):.0f} ms")  # fmt: skip
    print(
        "words  characters  first (ms)  median (ms)  CPU (ms)  states    edges"
        + ("    enum (ms)" if args.against_enum else "")
    )
    for words in args.words:
        text = text_of(words, args.seed)
        begun = time.perf_counter()
        bound = constraint.for_text(text)
        first = time.perf_counter() - begun
        again = seconds(lambda text=text: constraint.for_text(text), args.repeat)  # type: ignore[misc]
        begun = time.process_time()
        for _ in range(args.repeat):
            constraint.for_text(text)
        work = (time.process_time() - begun) / args.repeat
        line = f"{len(text.split()):>5}  {len(text):>10}  {1000 * first:>10.1f}  {1000 * again:>11.1f}"
        line += f"  {1000 * work:>8.1f}  {bound.states:>6}  {bound.edges:>7}"
        if args.against_enum:
            line += f"  {1000 * seconds(lambda text=text: slowly(constraint, text), 1):>11.0f}"  # type: ignore[misc]
        print(line)


if __name__ == "__main__":
    main()
