"""Schemas made to be too large: each compiles, or one error says where it is too much. None hangs."""

from __future__ import annotations

import itertools
import json

import pytest

from structdiff.automata.compiling import compile_tree
from structdiff.core import limits as limits_module
from structdiff.core.errors import CompileLimit, InvalidSchema, Unsatisfiable, UnsupportedSchema
from structdiff.core.limits import Limits, enforced
from structdiff.frontends.json_schema import json_schema_tree
from structdiff.frontends.json_schema.free import free_json
from structdiff.frontends.regex.parser import parse_regex


def nested(levels, wrap, leaf=None):
    schema = leaf or {"type": "integer"}
    for _ in range(levels):
        schema = wrap(schema)
    return schema


def in_array(schema):
    return {"type": "array", "items": schema}


def in_object(schema):
    return {"type": "object", "properties": {"a": schema}, "required": ["a"]}


def one_of_two(i):
    return {"type": "object", "properties": {f"k{i}": {"type": "integer"}, "x": {"type": "string", "minLength": i}}}


def doubled(reference):
    return {"type": "array", "prefixItems": [{"$ref": reference}] * 2, "items": False, "minItems": 2}


COMPILE = {
    "a description of 1 MB": ({"type": "string", "description": "x" * 1_000_000}, "a"),
    "an enum of 10,000": ({"enum": [f"value-{i * 7919 % 10007}" for i in range(10_000)]}, "value-7919"),
    "an enum of 10,000 numbers": ({"enum": [i + 0.5 for i in range(10_000)]}, 9999.5),
    "500 properties": (
        {"type": "object", "properties": {f"p{i}": {"type": "boolean"} for i in range(500)}},
        {"p7": True, "p499": False},
    ),
    "20 levels of objects": (nested(20, in_object), nested(20, lambda v: {"a": v}, 5)),
    "a chain of 5,000 references": (
        {"$ref": "#/$defs/0", "$defs": {**{str(i): {"$ref": f"#/$defs/{i + 1}"} for i in range(5_000)}, "5000": True}},
        None,
    ),
    "a maxLength of a billion": ({"type": "string", "maxLength": 10**9}, "a"),
    "a maxLength of a billion and a pattern": ({"type": "string", "maxLength": 10**9, "pattern": "^[a-z]+$"}, "ab"),
    "a maxItems of a billion": ({"type": "array", "items": {"type": "string"}, "maxItems": 10**9}, ["a", "b"]),
    "a maxProperties of a billion": (
        {"type": "object", "maxProperties": 10**9, "additionalProperties": {"type": "integer"}},
        {"z": 1},
    ),
    "a pattern of nested stars": ({"type": "string", "pattern": "^(((a*)*)*)*$"}, "aaa"),
}
REFUSED = {
    "1,000 levels of arrays": (nested(1_000, in_array), CompileLimit, ""),
    "1,000 levels of objects": (nested(1_000, in_object), CompileLimit, ""),
    "1,000 levels of not": (nested(1_000, lambda s: {"not": s}), CompileLimit, ""),
    "100,000 levels": (nested(100_000, in_array), CompileLimit, ""),
    "a $ref loop": (
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        Unsatisfiable,
        "",
    ),
    "a $ref without an end": (in_object({"$ref": "#"}), Unsatisfiable, ""),
    "a $ref that doubles 40 times": (
        {
            "$ref": "#/$defs/0",
            "$defs": {
                **{str(i): doubled(f"#/$defs/{i + 1}") for i in range(40)},
                "40": {"type": "integer"},
            },
        },
        CompileLimit,
        "/$defs",
    ),
    "a pattern with products of counts": (
        {"properties": {"p": {"type": "string", "pattern": "^(([a-z]{1,1000}){1,1000}){1,1000}$"}}},
        CompileLimit,
        "/properties/p/pattern",
    ),
    "a pattern that doubles with every letter": (
        {"properties": {"p": {"type": "string", "pattern": "^(a|b)*a(a|b){30}$"}}},
        CompileLimit,
        "/properties/p/pattern",
    ),
    "a pattern of 3,000 levels": (
        {"type": "string", "pattern": "(" * 3000 + "a" + ")" * 3000},
        UnsupportedSchema,
        "/pattern",
    ),
    "a minLength of a billion": ({"type": "string", "minLength": 10**9}, CompileLimit, ""),
    "a minItems of a billion": ({"type": "array", "minItems": 10**9}, CompileLimit, ""),
    "a million minContains": ({"contains": {"type": "null"}, "minContains": 10**6}, CompileLimit, ""),
    "a million minProperties": ({"type": "object", "minProperties": 10**6}, UnsupportedSchema, ""),
    "allOf of 12 anyOf": (
        {"allOf": [{"anyOf": [one_of_two(2 * i), one_of_two(2 * i + 1)]} for i in range(12)]},
        (CompileLimit, UnsupportedSchema),
        "",
    ),
    "allOf of 12 oneOf": (
        {"allOf": [{"oneOf": [{"required": [f"a{i}"]}, {"required": [f"b{i}"]}]} for i in range(12)]},
        (CompileLimit, UnsupportedSchema),
        "",
    ),
}


TIGHT = Limits(states=20_000, nodes=200_000, seconds=30)


def write(schema, limits):
    return compile_tree(json_schema_tree(schema, extra_properties="schema", limits=limits), limits)


@pytest.mark.parametrize("name", COMPILE)
def test_large_is_not_too_large(name):
    schema, value = COMPILE[name]
    assert write(schema, Limits(seconds=60)).accepts(json.dumps(value).encode())


@pytest.mark.parametrize("name", REFUSED)
def test_too_large_is_one_error_with_its_place(name):
    schema, errors, pointer = REFUSED[name]
    with pytest.raises(errors) as caught:
        write(schema, TIGHT.restarted())
    assert isinstance(caught.value, (CompileLimit, InvalidSchema, UnsupportedSchema))
    assert caught.value.pointer.startswith(pointer)


def a_clock_that_ticks(monkeypatch):
    """Every look at the clock finds it a second later."""
    ticks = itertools.count()
    monkeypatch.setattr(limits_module.time, "monotonic", lambda: float(next(ticks)))


def test_the_clock_is_looked_at_inside_one_determinisation(monkeypatch):
    words = parse_regex("|".join(f"word{i}" for i in range(2_000)), dialect="ecma", anchored=False)
    small = parse_regex("word1", dialect="ecma", anchored=False)
    a_clock_that_ticks(monkeypatch)
    compile_tree(small, Limits(seconds=4))
    with pytest.raises(CompileLimit, match="4 seconds"):
        compile_tree(words, Limits(seconds=4))


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"anyOf": [one_of_two(2 * i), one_of_two(2 * i + 1)]} for i in range(6)]},
        {"type": "array", "items": {"type": "integer"}, "minItems": 500},
        nested(30, in_object),
        {"type": "string", "pattern": "^" + "".join(f"(?=.*{c})" for c in "abcdefghij")},
    ],
    ids=["alternatives", "items", "levels", "lookahead"],
)
def test_the_clock_is_looked_at_all_along(monkeypatch, schema):
    a_clock_that_ticks(monkeypatch)
    with pytest.raises(CompileLimit, match="10 seconds"):
        json_schema_tree(schema, limits=Limits(seconds=10))


def test_limits_around_a_call_hold_for_all_it_compiles():
    with enforced(Limits(states=50)), pytest.raises(CompileLimit, match="50 states"):
        compile_tree(parse_regex("[ab]{100}", dialect="ecma", anchored=True))


def test_limits_hold_for_free_json_written_before():
    schema = {"type": "array", "minItems": 1}
    assert write(schema, Limits(seconds=60)).accepts(b'[{"a": [null, "x"]}]')
    with pytest.raises(CompileLimit, match="states"):
        write(schema, Limits(states=200, seconds=60))
    assert write(schema, Limits(seconds=60)).accepts(b'[{"a": [null, "x"]}]')


def test_free_json_is_written_once_for_each_layout():
    schema = {"type": "object", "properties": {"a": True}, "required": ["a"]}
    json_schema_tree(schema)
    before = free_json.cache_info()
    json_schema_tree({"type": "array", "items": True, "minItems": 1})
    assert free_json.cache_info().misses == before.misses
    compact = compile_tree(json_schema_tree(schema, whitespace="compact"))
    assert compact.accepts(b'{"a":[1,2]}') and not compact.accepts(b'{"a":[1, 2]}')
