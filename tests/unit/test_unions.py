"""oneOf, anyOf, not and if over objects that overlap: exact, small, and told where less is written.

The judge is `jsonschema` over all small objects in every order of their keys.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import jsonschema
import pytest

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.frontends.json_schema import Bounds, compile_schema, emit, json_schema_tree
from structdiff.frontends.json_schema.check import check
from structdiff.frontends.json_schema.compiler import CompiledSchema, options_of

Schema = dict[str, Any]
KEYS = "abcd"
VALUES = (1, "s", [], {"a": 1}, {"b": "s"})


def needs(**properties: Any) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


TEXT, NUMBER = {"type": "string"}, {"type": "integer"}


def nested(levels: int) -> Schema:
    """Either `a` or `b`, and inside it the same again."""
    a, b = (TEXT, NUMBER) if not levels else (nested(levels - 1), nested(levels - 1))
    return {"oneOf": [needs(a=a), needs(b=b)]}


def untagged(count: int, keyword: str = "oneOf") -> Schema:
    return {keyword: [needs(**{f"k{i}": TEXT}) for i in range(count)]}


UNIONS = [
    {"oneOf": [needs(a=TEXT), needs(b=TEXT)]},
    {"oneOf": [needs(a=TEXT), needs(b=NUMBER), needs(c=TEXT, a=NUMBER)]},
    {"oneOf": [needs(c=TEXT), needs(b=NUMBER, a=TEXT), needs(a=TEXT, b=TEXT)]},
    {"oneOf": [needs(a=needs(a=NUMBER)), needs(b=nested(0)), {"type": "integer"}]},
    {"type": "object", "properties": {"a": TEXT, "b": NUMBER, "c": {}}, "oneOf": [{"required": [k]} for k in "abc"]},
    {"type": "object", "properties": {"a": TEXT, "b": NUMBER, "c": {}}, "anyOf": [{"required": [k]} for k in "abc"]},
    {"anyOf": [{"required": ["a"]}, {"required": ["b", "c"]}], "type": "object"},
    {"anyOf": [needs(a=TEXT), needs(b=NUMBER), {"properties": {"c": TEXT}, "minProperties": 2}], "type": "object"},
    {"type": "object", "not": untagged(3) | {"type": "object"}},
    {"type": "object", "not": {"oneOf": [needs(a=TEXT), needs(b=NUMBER), needs(c={})]}},
    {"type": "object", "not": {"oneOf": [{"properties": {"a": TEXT}}, {"properties": {"b": TEXT}}]}},
    {"oneOf": [{"type": "object", "properties": {"a": TEXT}}, needs(b=NUMBER)]},
    {"oneOf": [{**needs(a=TEXT), "additionalProperties": NUMBER}, {**needs(b=NUMBER), "maxProperties": 2}]},
    {"type": "object", "if": needs(a={"const": "s"}), "then": needs(b=NUMBER), "else": needs(c={})},
    {"type": "object", "not": {"properties": {"a": {"allOf": [needs(a=NUMBER), {"maxProperties": 1}]}}}},
    {"type": "object", "dependentRequired": {"a": ["b"], "b": ["c"]}, "oneOf": [{"required": [k]} for k in "cd"]},
]  # fmt: skip


def small_objects() -> list[dict[str, Any]]:
    """All objects of up to three keys, in every order."""
    return [
        dict(zip(keys, values, strict=True))
        for count in range(4)
        for keys in itertools.permutations(KEYS, count)
        for values in itertools.product(VALUES[: 5 if count < 3 else 2], repeat=count)
    ]


OBJECTS = small_objects()


def written(automaton: ByteAutomaton, value: Any) -> bool:
    return automaton.accepts(json.dumps(value).encode())


@pytest.mark.parametrize("schema", UNIONS, ids=lambda schema: json.dumps(schema)[:70])
def test_all_small_objects_that_are_valid_are_written_and_no_others(schema: Schema) -> None:
    judge = jsonschema.Draft202012Validator(schema)
    unordered = {json.dumps(value, sort_keys=True): judge.is_valid(value) for value in OBJECTS}
    everything = compile_tree(json_schema_tree(schema, extra_properties="schema"))
    closed = compile_tree(json_schema_tree(schema))
    held = {json.dumps(value, sort_keys=True) for value in OBJECTS if written(everything, value)}
    assert held == {text for text, valid in unordered.items() if valid}
    fewer = {json.dumps(value, sort_keys=True) for value in OBJECTS if written(closed, value)}
    assert fewer and fewer <= held


@pytest.mark.parametrize("closed", ["forbid", "schema"])
@pytest.mark.parametrize("schema", UNIONS, ids=lambda schema: json.dumps(schema)[:70])
def test_one_plan_for_all_alternatives_writes_what_their_own_plans_write(
    schema: Schema, closed: str, monkeypatch
) -> None:
    options = {"extra_properties": closed, "bounds": Bounds(free_depth=1, root_depth=1)}  # as deep with more to write
    together = compile_tree(json_schema_tree(schema, **options))
    monkeypatch.setattr(emit, "compact", lambda plans: plans)
    assert compile_tree(json_schema_tree(schema, **options)) == together


LARGE = [  # a schema, the most states, and some values of which the judge says whether they are valid
    (nested(12), 1_000, [("ab" * 7)[:13], "a" * 13, "b" * 13, "a" * 12]),
    (untagged(20), 100, ["k3", "k19", "k3 k4"]),
    (untagged(20, "anyOf"), 100, ["k3", "k0", "k20"]),
    ({"type": "object", "properties": {f"k{i}": TEXT for i in range(14)},
      "anyOf": [{"required": [f"k{i}"]} for i in range(14)]}, 1_000, ["k3", "k0 k1 k13", "k14", ""]),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "states", "values"), LARGE, ids=["nested", "oneOf", "anyOf", "required"])
def test_unions_of_many_alternatives_are_small(schema: Schema, states: int, values: list[str]) -> None:
    compiled = CompiledSchema(schema, options_of())
    automaton = compile_tree(compiled.tree())
    assert automaton.states <= states and compiled.restrictions == ()
    for keys in values:
        value: Any = dict.fromkeys(keys.split(), "s")
        if set(keys) <= {"a", "b"}:
            value = "s" if keys[-1:] == "a" else 5
            for key in reversed(keys):
                value = {key: value}
        assert written(automaton, value) == jsonschema.Draft202012Validator(schema).is_valid(value), keys


def test_an_excluded_alternative_gives_way_before_depth_does_and_it_is_told() -> None:
    schema = nested(5)
    node, restrictions = compile_schema(schema, extra_properties="schema")
    automaton = compile_tree(node)
    inner: Any = {"a": {"a": {"a": {"a": {"a": "s"}}}}}
    left_out = {"a": inner, "b": 5}
    judge = jsonschema.Draft202012Validator(schema)
    assert judge.is_valid({"a": inner}) and judge.is_valid(left_out) and judge.is_valid({"a": inner, "z": [[1]]})
    assert written(automaton, {"a": inner}) and written(automaton, {"a": inner, "z": 1})
    assert not written(automaton, left_out)
    assert ("", "alternatives") in {(one.pointer, one.keyword) for one in restrictions}


def test_arrays_and_objects_in_each_other_have_one_way_left_deep_inside() -> None:
    schema: Schema = {"type": ["string", "integer"]}
    for _ in range(11):
        schema = {"oneOf": [needs(x=schema), {"type": "array", "items": schema, "minItems": 1}]}
    node, restrictions = compile_schema(schema)
    automaton = compile_tree(node)

    def value(kinds: str) -> Any:
        made: Any = "s"
        for kind in reversed(kinds):
            made = {"x": made} if kind == "o" else [made, made]
        return made

    judge = jsonschema.Draft202012Validator(schema)
    for kinds, expected in (("o" * 11, True), ("aoaooo" + "o" * 5, True), ("o" * 10 + "a", False)):
        assert judge.is_valid(value(kinds)) and written(automaton, value(kinds)) == expected
    assert {one.keyword for one in restrictions} == {"alternatives"}
    deep = "/oneOf/0/properties/x" * 6
    assert deep in {one.pointer for one in restrictions}
    assert deep.replace("/oneOf/0/properties/x", "/oneOf/1/items", 1) in {one.pointer for one in restrictions}


def test_what_is_said_of_equal_schemas_is_said_at_each_of_their_places() -> None:
    part = {"type": "object", "properties": {"n": {"type": "string", "maxLength": 10**5, "title": "N"}}}
    refused = {"contains": {"type": "null"}, "uniqueItems": True, "items": {"type": "string"}, "type": "array"}
    report = check({"properties": {"a": part, "b": part, "c": {"items": part}}, "type": "object"})
    places = ["/properties/a", "/properties/b", "/properties/c/items"]
    assert [one.pointer for one in report.restrictions if one.keyword == "maxLength"] == [
        f"{place}/properties/n" for place in places
    ]
    assert [note.pointer for note in report.annotations if note.keyword == "title"] == [
        f"{place}/properties/n" for place in places
    ]
    report = check({"properties": {"a": {"items": refused}, "b": refused}, "type": "object"})
    assert {problem.pointer for problem in report.problems} == {"/properties/a/items", "/properties/b"}


def test_numbers_that_are_written_differently_are_different_schemas() -> None:
    schema = {"properties": {"a": {"const": 1}, "b": {"const": True}, "c": {"const": 1.0}}, "type": "object"}
    automaton = compile_tree(json_schema_tree(schema))
    for value in ({"a": True}, {"b": 1}, {"a": 1, "b": True, "c": 1}, {"c": True}):
        assert written(automaton, value) == jsonschema.Draft202012Validator(schema).is_valid(value)
