"""The worked cases in schemas/: every expected output is valid, and its values are in the text."""

import json
from pathlib import Path

import jsonschema
import pytest

SCHEMAS = Path(__file__).parents[2] / "schemas"
CASES = sorted(path.stem for path in SCHEMAS.glob("*.json") if ".expected" not in path.name)


def read(name: str, kind: str):
    return json.loads((SCHEMAS / f"{name}{kind}").read_text(encoding="utf-8"))


def test_there_are_cases():
    assert {"contact", "invoice", "event", "order", "support_ticket", "product", "booking"} <= set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_expected_output_is_valid(name):
    schema = read(name, ".json")
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(schema, format_checker=checker).validate(read(name, ".expected.json"))


@pytest.mark.parametrize("name", CASES)
def test_case_is_complete(name):
    assert (SCHEMAS / f"{name}.txt").read_text(encoding="utf-8").strip()
    assert f"| {name} |" in (SCHEMAS / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["contact", "event"])
def test_flat_cases_quote_the_text(name):
    text = (SCHEMAS / f"{name}.txt").read_text(encoding="utf-8")
    assert all(str(value) in text for value in read(name, ".expected.json").values())
