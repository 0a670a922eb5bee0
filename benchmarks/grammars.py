"""Outputs of random logits under the worked grammars, read by parsers that have nothing to do with structdiff.

    python -m benchmarks.grammars --count 1000

The model answers every step with fresh random logits, as in `benchmarks.random_logits`. Every output is read by Lark's
Earley parser and by its LALR parser. SQL is prepared by SQLite and read by sqlglot, arithmetic and Python by `ast`.
"""

from __future__ import annotations

import argparse
import ast
import functools
import random
import sqlite3
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import lark
import sqlglot

import structdiff
from benchmarks.random_logits import adversary
from structdiff.constraint.constraint import Constraint
from structdiff.core.restrictions import RestrictionWarning
from structdiff.decode.engine import Task
from structdiff.decode.loop import run
from structdiff.decode.policy import Policy
from structdiff.tokens.vocabulary import Vocabulary

FOLDER = Path(__file__).resolve().parent.parent / "schemas" / "grammars"
MORE = (0, 4, 16, 40, 80)
"""So many tokens beyond the least an output may take."""


@functools.cache
def _database() -> sqlite3.Connection:
    base = sqlite3.connect(":memory:")
    for table in ("people", "members"):
        base.execute(f"CREATE TABLE {table} (id INTEGER, name TEXT, age INTEGER, city TEXT)")
    return base


def _sql(text: str) -> None:
    _database().execute(f"EXPLAIN {text}")
    sqlglot.parse_one(text, read="sqlite")


def _arithmetic(text: str) -> None:
    ast.parse(" ".join(text.split()), mode="eval")


def _python(text: str) -> None:
    ast.parse(text)


GRAMMARS: dict[str, Callable[[str], None] | None] = {
    "select": _sql,
    "arithmetic": _arithmetic,
    "python_subset": _python,
    "smiles": None,
    "json": None,
}
"""The worked grammars, with a judge of each beside Lark."""


@functools.cache
def parsers(name: str) -> tuple[lark.Lark, ...]:
    """Lark's two parsers of a grammar."""
    text = (FOLDER / f"{name}.lark").read_text(encoding="utf-8")
    return lark.Lark(text), lark.Lark(text, parser="lalr")


@functools.cache
def compiled(name: str, vocabulary: Vocabulary) -> Constraint:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RestrictionWarning)
        return structdiff.compile(structdiff.Lark(FOLDER / f"{name}.lark"), vocabulary)


def outputs(constraint: Constraint, count: int, seed: int) -> Iterator[str]:
    """Texts from random logits; raises AssertionError for one beyond its budget."""
    rng = random.Random(seed)
    for number in range(seed, seed + count):
        budget = max(1, constraint.min_tokens + rng.choice(MORE))
        task = Task([0], constraint.automaton, budget, number, constraint.vocabulary.end_ids)
        model = adversary(rng.choice([8, 16, 32]), constraint.vocabulary, number)
        outcome = run(model, [task], Policy(max_steps=rng.choice([1, 2])))[0]
        assert len(outcome.tokens) <= budget
        yield constraint.vocabulary.bytes_of(outcome.tokens).decode("utf-8", "surrogateescape")


def judged(name: str, vocabulary: Vocabulary, count: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """(output, what is wrong with it) of a worked grammar; the second is empty where every judge takes it."""
    judges: list[Callable[[str], object]] = [parser.parse for parser in parsers(name)]
    own = GRAMMARS[name]
    for text in outputs(compiled(name, vocabulary), count, seed):
        wrong = ""
        try:
            for judge in (*judges, own) if own is not None else judges:
                judge(text)
        except (
            lark.exceptions.LarkError,
            sqlite3.Error,
            sqlglot.errors.SqlglotError,
            SyntaxError,
            ValueError,
        ) as error:
            wrong = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        yield text, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--only", choices=list(GRAMMARS), help="one of the grammars")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokenizer", default=str(Path(structdiff.__file__).parent / "models" / "embedded"))
    args = parser.parse_args()
    vocabulary = Vocabulary.of(args.tokenizer)
    _ = vocabulary.trie
    failed = 0
    for name in [args.only] if args.only else GRAMMARS:
        begun = time.monotonic()
        constraint = compiled(name, vocabulary)
        seconds = time.monotonic() - begun
        texts, wrong = [], 0
        for text, problem in judged(name, vocabulary, args.count, args.seed):
            texts.append(text)
            if problem:
                wrong += 1
                print(f"{name}: {problem}\n    {text[:300]!r}")
        failed += wrong
        depth = next((one.reason for one in constraint.restrictions if one.keyword == "recursion"), "no recursion")
        lengths = sorted(map(len, texts))
        print(
            f"{name}: {args.count} outputs, {len(set(texts))} different, {lengths[len(texts) // 2]} characters at the "
            f"median, {lengths[-1]} at most; rejected {wrong}. {constraint.states} states, {constraint.edges} edges, "
            f"{constraint.classes} classes, compiled in {seconds:.2f} s; {depth}"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
