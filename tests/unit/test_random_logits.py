"""Outputs of random logits are valid by `jsonschema` and complete: a small share of `benchmarks/random_logits.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

import structdiff
from benchmarks.random_logits import attack, own_schemas, published_schemas
from structdiff.core.errors import StructdiffError
from structdiff.tokens.vocabulary import Vocabulary

EMBEDDED = Path(structdiff.__file__).parent / "models" / "embedded"
BENCH = Path(__file__).resolve().parents[3] / "shared" / "data" / "jsonschemabench"


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.of(EMBEDDED)


@pytest.mark.parametrize(("name", "schema"), own_schemas(), ids=[name for name, _ in own_schemas()])
@pytest.mark.parametrize("layout", ["json", "compact", "pretty"])
def test_worked_schemas(name: str, schema: dict, layout: str, vocabulary: Vocabulary) -> None:
    constraint = structdiff.compile(schema, vocabulary, whitespace=layout)
    assert [wrong for _, wrong in attack(constraint, schema, 4, seed=len(name)) if wrong] == []


@pytest.mark.skipif(not BENCH.is_dir(), reason="JSONSchemaBench is not beside the project")
def test_published_schemas(vocabulary: Vocabulary) -> None:
    limits = structdiff.Limits(states=5_000, seconds=20)
    tried = 0
    for name, schema in published_schemas(BENCH, seed=20):
        try:
            constraint = structdiff.compile(schema, vocabulary, limits=limits)
        except StructdiffError:
            continue
        if constraint.min_tokens > 300:
            continue
        assert [(name, wrong) for _, wrong in attack(constraint, schema, 3, seed=tried) if wrong] == []
        tried += 1
        if tried == 15:
            break
    assert tried == 15
