"""Random schemas against jsonschema: what is written is valid, and a value is in the set exactly if it is valid."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import fuzz_schemas
from benchmarks.fuzz_schemas import examine, published_values, random_schema, random_value

MANY = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@MANY
@given(st.randoms(use_true_random=False))
def test_a_random_schema_holds_exactly_the_valid_values(rng):
    schema = random_schema(rng, depth=2)
    values = [random_value(rng) for _ in range(30)]
    assert examine(schema, values, rng)[1] == ""


@settings(MANY, max_examples=15)
@given(st.integers(0, 1 << 30))
def test_values_that_hypothesis_jsonschema_makes_are_held(number):
    rng = random.Random(number)
    schema = random_schema(rng, depth=1)
    assert examine(schema, published_values(schema, rng), rng)[1] == ""


def test_the_judge_reads_patterns_as_ecma_262_does():
    for pattern, values in (("a.b", ["a\rb", "a\nb", "a\u2028b", "axb"]), ("b$", ["b", "b\n"]), ("^é?$", ["é\n", "é"])):
        for schema in ({"pattern": pattern}, {"patternProperties": {pattern: False}}):
            asked = values if "pattern" in schema else [{value: 1} for value in values]
            assert examine({"type": ["string", "object"], **schema}, asked, random.Random(0)) == ("compiled", "")


def test_a_wrong_set_is_found(monkeypatch):
    """The judge is awake: a schema that is compiled as if a keyword were missing is a finding."""
    real = fuzz_schemas.CompiledSchema
    monkeypatch.setattr(fuzz_schemas, "CompiledSchema", lambda schema, *a, **k: real({"type": "integer"}, *a, **k))
    finding = examine({"type": "integer", "minimum": 5}, [3], random.Random(0))[1]
    assert "not valid" in finding
