"""The official JSON Schema test suite as a ratchet: `tests/golden/json_schema_suite.txt` has one line per test.

A test *passes*, or its schema is *refused*, or it is a *false reject* (a valid value that is never written: a bound, or
a format that is asserted although the suite takes it for an annotation). A *false accept* is never right. A line that
gets worse fails; one that gets better is recorded by running with ``STRUCTDIFF_RECORD=1``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from structdiff.automata.compiling import compile_tree
from structdiff.core.errors import CompileLimit, InvalidSchema, Unsatisfiable, UnsupportedSchema
from structdiff.core.limits import Limits
from structdiff.frontends.json_schema.compiler import CompiledSchema, options_of
from tests.support_table import support_table

BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data" / "json-schema-test-suite"
SUITE = Path(os.environ.get("JSON_SCHEMA_TEST_SUITE", BESIDE))
GOLDEN = Path(__file__).parents[1] / "golden" / "json_schema_suite.txt"
DRAFTS = {"draft7": "7", "draft2020-12": "2020-12"}
RANK = {"false accept": 0, "refused": 1, "false reject": 1, "pass": 2}
FILES = sorted((SUITE / "tests").glob("*/*.json"))


def registry() -> dict:
    remotes = SUITE / "remotes"
    return {
        f"http://localhost:1234/{path.relative_to(remotes).as_posix()}": json.loads(path.read_text(encoding="utf-8"))
        for path in remotes.rglob("*.json")
        if path.parts[len(remotes.parts)] not in ("draft3", "v1")
    }


def outcomes(path: Path) -> dict[str, str]:
    found = {}
    for group in json.loads(path.read_text(encoding="utf-8")):
        automaton = compiled = refusal = None
        try:
            compiled = CompiledSchema(
                group["schema"],
                options_of(extra_properties="schema", draft=DRAFTS[path.parent.name]),
                registry(),
                Limits(seconds=10),
            )
            automaton = compile_tree(compiled.tree())
        except Unsatisfiable:
            pass
        except (CompileLimit, InvalidSchema, UnsupportedSchema) as error:
            refusal = error
        for test in group["tests"]:
            name = f"{path.parent.name}/{path.name} | {group['description']} | {test['description']}"
            if refusal is not None:
                found[name] = "refused"
                continue
            accepted = False
            if automaton is not None:
                arranged = compiled.algebra.arrange(compiled.root, test["data"])
                for value in (test["data"], *(arranged or ())):
                    accepted |= automaton.accepts(json.dumps(value, ensure_ascii=False).encode())
            if accepted == test["valid"]:
                found[name] = "pass"
            else:
                found[name] = "false accept" if accepted else "false reject"
    return found


def golden() -> dict[str, str]:
    if not GOLDEN.exists():
        return {}
    return dict(line.rsplit(": ", 1) for line in GOLDEN.read_text(encoding="utf-8").splitlines())


@pytest.mark.skipif(not FILES, reason="set JSON_SCHEMA_TEST_SUITE to a checkout of the official suite")
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_official_suite(path):
    known, found = golden(), outcomes(path)
    assert [name for name, outcome in found.items() if outcome == "false accept"] == []
    worse = {n: (known[n], o) for n, o in found.items() if RANK[o] < RANK[known.get(n, o)]}
    if os.environ.get("STRUCTDIFF_RECORD"):
        lines = [f"{name}: {outcome}\n" for name, outcome in sorted((known | found).items())]
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text("".join(lines), encoding="utf-8")
    assert worse == {}


def test_the_record_has_no_false_accept():
    assert "false accept" not in set(golden().values())


def test_the_support_table_is_current():
    page = Path(__file__).parents[2] / "docs" / "json_schema.md"
    assert page.read_text(encoding="utf-8") == support_table(), (
        "run: python -m tests.support_table > docs/json_schema.md"
    )
