"""The table of constraint libraries: who is judged right, and what is counted."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("faker")
pytest.importorskip("mimesis")

from benchmarks.same_weights import Written, interval, judge, table
from structdiff.evaluation.run import Example

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["a", "n"],
    "additionalProperties": False,
}
GOLD = Example("x", "b and 7", SCHEMA, {"a": "b", "n": 7})


@pytest.mark.parametrize(
    ("text", "valid", "right"),
    [
        ('{"a": "b", "n": 7}', True, 2),
        ('{"a": "b", "n": 8}', True, 1),
        ('{"a": "b", "n": "7"}', False, 0),
        ('{"a": "b", "n": 7', False, 0),
        ('{"a": "b", "n": 7, "more": 1}', False, 0),
    ],
)
def test_only_a_complete_and_valid_output_has_right_leaves(text: str, valid: bool, right: int) -> None:
    scored, found = judge(GOLD, Written(text, ended=valid))
    assert (found, scored.right, len(scored.leaves)) == (valid, right, 2)


def test_a_refused_schema_is_no_answer() -> None:
    scored, valid = judge(GOLD, Written(error="unsupported"))
    assert not valid and "unsupported" in scored.error and scored.right == 0


def test_the_table_counts_each_engine_alone() -> None:
    row: dict[str, Any] = {"valid": True, "refused": False, "cut off": False, "right": 2, "leaves": 2, "passes": 4,
                           "seconds": 0.5, "compiling": 0.001, "masking": 0.004}  # fmt: skip
    bad = row | {"valid": False, "cut off": True, "right": 0}
    rows = [row | {"engine": "one"}, bad | {"engine": "one"}, row | {"engine": "two"}]
    lines = table(rows).splitlines()
    assert lines[2].startswith("| one | 2 | 0 | 1 | 1 | 0.500 (0.000 to 1.000) | 4.0 | 0.50 | 1.0 | 1.00 |")
    assert lines[3].startswith("| two | 1 | 0 | 0 | 1 | 1.000 (1.000 to 1.000)")
    assert interval(rows[2:]) == (1.0, 1.0, 1.0)
