"""The form of a schema in the prompt: linear in the schema, shared definitions once by name, bounded, honest."""

from __future__ import annotations

import itertools
import json
import re
import time
from typing import Any

import pytest

from structdiff.frontends.form import MOST, form_of, render_form
from structdiff.frontends.prompt import build_choice_prompt, build_prompt, build_regex_prompt

ADDRESS = {
    "type": "object",
    "properties": {"street": {"type": "string"}, "city": {"type": "string"}, "code": {"type": "string"}},
    "required": ["street", "city", "code"],
}


def doubling(levels: int, keyword: str = "anyOf") -> dict[str, Any]:
    """Each definition uses the next one twice."""
    parts: dict[str, Any] = {}
    for i in range(levels):
        next_one = {"$ref": f"#/$defs/a{i + 1}"}
        parts[f"a{i}"] = (
            {"anyOf": [{"type": "array", "items": next_one}, {"type": "object", "additionalProperties": next_one}]}
            if keyword == "anyOf"
            else {"type": "object", "properties": {"l": next_one, "r": next_one}, "required": ["l", "r"]}
        )
    parts[f"a{levels}"] = {"enum": ["a fairly long text that is not worth writing out twice"]}
    return {"$ref": "#/$defs/a0", "$defs": parts}


@pytest.mark.parametrize("keyword", ["anyOf", "properties"])
def test_forty_levels_of_doubling_are_as_long_as_the_schema(keyword: str) -> None:
    schema = doubling(40, keyword)
    begun = time.perf_counter()
    form = render_form(schema)
    assert time.perf_counter() - begun < 1
    assert len(form) < len(json.dumps(schema))
    for i in range(41):
        assert form.count(f"a{i} = ") == (1 if i else 0)


def test_seven_types_that_hold_each_other_are_written_once_each() -> None:
    names = [f"Kind{i}" for i in range(7)]
    kinds = {
        name: {
            "type": "object",
            "properties": {f"to_{other}": {"$ref": f"#/$defs/{other}"} for other in names},
            "required": [f"to_{other}" for other in names],
        }
        for name in names
    }
    form = render_form({"$ref": "#/$defs/Kind0", "$defs": kinds})
    assert len(form) < len(json.dumps(kinds))
    assert all(form.count(f"\n{name} = {{") == 1 for name in names)


def test_a_chain_of_pointers_into_properties_is_linear() -> None:
    chain: dict[str, Any] = {"p0": {"type": "object", "properties": {"leaf": {"type": "string", "pattern": "a" * 60}}}}
    for i in range(1, 300):
        chain[f"p{i}"] = {"type": "object", "properties": {"below": {"$ref": f"#/properties/p{i - 1}"}}}
    schema = {"type": "object", "properties": chain}
    assert len(render_form(schema)) < len(json.dumps(schema))


def test_a_shared_definition_is_written_once_and_a_short_one_in_place() -> None:
    schema = {
        "type": "object",
        "properties": {
            "billing": {"$ref": "#/$defs/Address"}, "shipping": {"$ref": "#/$defs/Address"},
            "new": {"$ref": "#/$defs/State"}, "old": {"$ref": "#/$defs/State"},
        },
        "$defs": {"Address": ADDRESS, "State": {"enum": ["open", "paid"]}},
    }  # fmt: skip
    assert render_form(schema) == (
        '{"billing"?: Address, "shipping"?: Address, "new"?: "open" | "paid", "old"?: "open" | "paid"}\n'
        'Address = {"street": string, "city": string, "code": string}'
    ).replace(', "new"', ',\n  "new"').replace('{"billing"', '{\n  "billing"').replace(
        ', "shipping"', ',\n  "shipping"'
    ).replace(', "old"', ',\n  "old"').replace('"paid"}\n', '"paid"\n}\n')


def test_a_form_without_shared_definitions_is_what_models_were_trained_on() -> None:
    order = {
        "type": "object",
        "properties": {
            "id": {"type": "integer", "minimum": 1},
            "to": {"$ref": "#/$defs/Address", "description": "Where it goes."},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2},
            "state": {"anyOf": [{"enum": ["open", "paid"]}, {"type": "null"}]},
            "note": {"type": ["string", "null"], "pattern": "a+"},
        },
        "required": ["id", "to"],
        "$defs": {"Address": ADDRESS},
    }
    assert build_prompt("x", order) == (
        'Answer with JSON of this form ("?" marks what may be left out):\n'
        '{\n  "id": integer (at least 1),\n  "to": {\n    "street": string,\n    "city": string,\n    "code": string\n'
        '  },  // Where it goes.\n  "tags"?: [string, ... (2)],\n  "state"?: "open" | "paid" | null,\n'
        '  "note"?: string (/a+/) | null\n}\n\nText:\nx'
    )


def test_a_schema_that_holds_itself_names_itself() -> None:
    tree = {"type": "object", "properties": {"name": {"type": "string"}, "below": {"type": "array",
            "items": {"$ref": "#"}}}, "required": ["name"]}  # fmt: skip
    assert render_form(tree) == 'root\nroot = {"name": string, "below"?: [root, ...]}'
    assert render_form({**tree, "title": "Tree"}) == 'Tree\nTree = {"name": string, "below"?: [Tree, ...]}'


def test_two_definitions_of_one_name_are_told_apart() -> None:
    one = {"type": "object", "properties": {"first": {"type": "string", "pattern": "a" * 50}}}
    two = {"type": "object", "properties": {"second": {"type": "string", "pattern": "b" * 50}}}
    both = [{"$ref": "#/$defs/x/Item"}, {"$ref": "#/$defs/y/Item"}] * 2
    form = render_form({"prefixItems": both, "$defs": {"x": {"Item": one}, "y": {"Item": two}}})
    assert form.startswith("[Item, Item_2, Item, Item_2, any, ...]\n") or "Item_2" in form.splitlines()[0]
    assert form.count('"first"') == form.count('"second"') == 1


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(20_000)}},
        {"enum": [f"word {i}" for i in range(50_000)]},
        {"const": "x" * 1_000_000},
        {"type": "object", "properties": {"x" * 500_000: {"type": "string", "description": "y" * 500_000}}},
        {"anyOf": [{"type": "string", "pattern": f"{i}" * 40} for i in range(5_000)]},
        doubling(2_000, "properties"),
    ],
    ids=["properties", "enum", "const", "key", "options", "definitions"],
)
def test_a_form_that_would_be_too_long_says_what_it_leaves_out(schema: Any) -> None:
    begun = time.perf_counter()
    form = form_of(schema)
    assert time.perf_counter() - begun < 3
    assert form.shortened and len(form.text) <= MOST and "not shown" in form.text


def test_a_deep_schema_is_shortened_and_does_not_fail() -> None:
    schema: Any = {"type": "string"}
    for _ in range(600):
        schema = {"type": "object", "properties": {"a": schema}}
    form = form_of(schema)
    assert form.shortened and "not shown" in form.text


def test_choices_and_patterns_are_bounded_too() -> None:
    prompt = build_choice_prompt("t", [f"choice {i}" for i in range(100_000)])
    assert len(prompt) < MOST + 200 and "more not shown" in prompt and prompt.endswith("Text:\nt")
    prompt = build_regex_prompt("t", "a" * 100_000)
    assert len(prompt) < MOST + 200 and "characters not shown" in prompt
    assert build_choice_prompt("t", ["a", "b"]) == "Answer with one of: a, b\n\nText:\nt"


def test_a_long_enum_shows_values_from_all_over_it():
    values = [f"value number {i}" for i in range(10_000)]
    for schema in ({"enum": values}, {"type": "object", "properties": {"e": {"enum": values}}}):
        text = render_form(schema)
        shown = [int(number) for number in re.findall(r'number (\d+)"', text)]
        assert shown[0] == 0 and shown[-1] == 9_999 and len(shown) >= 20
        assert max(after - before for before, after in itertools.pairwise(shown)) < 1_000
        assert f"{10_000 - len(shown)} more not shown" in text and len(text) < MOST
