"""JSON Schema to automata. The judge is always `jsonschema` on the parsed value, never our own automaton alone."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import jsonschema
import jsonschema_rs
import pytest

from benchmarks.fuzz_schemas import random_texts
from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.core.errors import CompileLimit, InvalidSchema, Unsatisfiable, UnsupportedSchema
from structdiff.frontends.json_schema import compile_schema, fitting, json_schema_tree
from structdiff.frontends.json_schema.bounds import Bounds
from structdiff.frontends.json_schema.check import check
from structdiff.frontends.json_schema.compiler import CompiledSchema, options_of


def texts(automaton: ByteAutomaton, count: int, seed: int = 0, length: int = 120) -> list[str]:
    """Random members of the language."""
    return random_texts(automaton, random.Random(seed), count, length)


def accepts(schema: object, value: object, **options: object) -> bool:
    automaton = compile_tree(json_schema_tree(schema, **options))
    return automaton.accepts(json.dumps(value).encode())


def obj(**properties: object) -> dict:
    return {"type": "object", "properties": properties}


RECURSIVE = {
    "$defs": {"node": {**obj(name={"type": "string", "maxLength": 3}, kids={"items": {"$ref": "#/$defs/node"}})}},
    "$ref": "#/$defs/node",
}
SCHEMAS = [
    {},
    True,
    {"type": "object"},
    {"type": ["string", "null"], "maxLength": 5, "minLength": 2},
    {"type": "string", "pattern": "^[a-c]{2,4}$"},
    {"type": "string", "pattern": "b.d", "maxLength": 6},
    {"type": "integer", "minimum": -3, "exclusiveMaximum": 120, "multipleOf": 3},
    {"type": "number", "minimum": -0.5, "maximum": 2.25},
    {"enum": ["a", 1, None, True, {"k": [1, 2]}, [], 0.5, 'q"\\']},
    {"const": {"a": {"b": [1, "x"]}}},
    {**obj(a={"type": "integer"}, b={"type": "string", "maxLength": 2}, c={"type": "null"}), "required": ["b"]},
    {**obj(a={"type": "integer"}), "required": ["a", "z"]},
    {**obj(a={"type": "boolean"}), "additionalProperties": {"type": "integer"}},
    {"type": "object", "patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": False},
    {"type": "object", "propertyNames": {"pattern": "^[a-z]{1,3}$"}, "minProperties": 2, "maxProperties": 3},
    {
        **obj(a={"type": "integer"}, b={"type": "integer"}, c={"type": "integer"}),
        "minProperties": 2,
        "maxProperties": 2,
    },
    {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": {"type": "null"}},
    {"type": "array", "prefixItems": [{"const": 1}], "items": False},
    {"type": "array", "contains": {"const": 5}, "minContains": 2, "maxContains": 3, "items": {"type": "integer"}},
    {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True},
    {"type": "array", "items": {"enum": list(range(12))}, "uniqueItems": True, "minItems": 2},
    {
        "anyOf": [
            {"type": "integer", "minimum": 7},
            {"type": "string", "maxLength": 1},
            {"type": "array", "maxItems": 1},
        ]
    },
    {"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}], "type": "integer"},
    {"oneOf": [{"required": ["a"]}, {"required": ["b"]}], **obj(a={"type": "integer"}, b={"type": "integer"})},
    {"oneOf": [{"type": "string", "minLength": 2}, {"type": "string", "pattern": "^a"}]},
    {"not": {"type": ["string", "object", "array"]}},
    {"not": {"enum": ["yes", 3, None]}, "type": ["string", "integer", "null"]},
    {"not": obj(a={"type": "integer"}), "type": "object", "required": ["a"]},
    {"not": {"type": "array", "items": {"type": "integer"}}, "type": "array", "maxItems": 2},
    {"not": {"required": ["a", "b"]}, **obj(a={"const": 1}, b={"const": 2}, c={"const": 3})},
    {"type": "array", "not": {"contains": {"type": "integer"}}, "maxItems": 2},
    {"allOf": [obj(a={"minimum": 2}), obj(a={"type": "integer", "maximum": 9}, b={"const": 1})], "required": ["a"]},
    {"if": obj(k={"const": 1}), "then": {"required": ["x"]}, **obj(k={"enum": [1, 2]}, x={"type": "null"})},
    {"type": "object", "dependentRequired": {"a": ["b"]}, "properties": {"a": {"const": 1}, "b": {"const": 2}}},
    {"dependentSchemas": {"a": obj(b={"const": 2})}, **obj(a={"const": 1}, b={"type": "integer"})},
    {"type": "number", "not": {"type": "integer"}, "minimum": 0},
    {"type": "integer", "not": {"multipleOf": 5}, "minimum": 0, "maximum": 30},
    {"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer", "minimum": 3, "exclusiveMinimum": True},
    {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"const": 1}], "additionalItems": {"const": 2}},
    {"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"a": ["b"]}, **obj(a={}, b={"const": 1})},
    RECURSIVE,
]


@pytest.mark.parametrize("open_objects", [False, True], ids=["forbid", "schema"])
@pytest.mark.parametrize("whitespace", ["json", "compact", "pretty"])
@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:60])
def test_every_text_is_valid(schema, whitespace, open_objects):
    extra = "schema" if open_objects else "forbid"
    automaton = compile_tree(json_schema_tree(schema, whitespace=whitespace, extra_properties=extra))
    validator = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)(schema)
    for text in texts(automaton, 60):
        value = json.loads(text)
        assert validator.is_valid(value), text
        if whitespace == "pretty":
            assert json.dumps(value, indent=2, ensure_ascii=False).count("\n") <= text.count("\n")


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:60])
def test_the_complement_holds_what_the_schema_refuses(schema):
    try:
        automaton = compile_tree(json_schema_tree({"not": schema}, extra_properties="schema", whitespace="compact"))
    except (CompileLimit, UnsupportedSchema, Unsatisfiable):
        return
    draft = {"$schema": schema["$schema"]} if isinstance(schema, dict) and "$schema" in schema else {}
    if draft:
        return
    for text in texts(automaton, 40):
        assert not jsonschema.Draft202012Validator(schema).is_valid(json.loads(text)), text


def test_known_members():
    person = {**obj(name={"type": "string"}, age={"type": "integer"}), "required": ["name"]}
    assert accepts(person, {"name": "Ann"})
    assert accepts(person, {"name": "Ann", "age": 3})
    assert not accepts(person, {"age": 3})
    assert not accepts(person, {"name": "Ann", "more": 1})
    assert accepts(person, {"name": "Ann", "more": [{"x": None}]}, extra_properties="schema")
    assert accepts(RECURSIVE, {"name": "a", "kids": [{"kids": [{"name": "b"}]}]})


def test_layouts():
    schema, value = obj(a={"type": "array", "items": {"type": "integer"}}), {"a": [1, 2]}
    compact = compile_tree(json_schema_tree(schema, whitespace="compact"))
    pretty = compile_tree(json_schema_tree(schema, whitespace="pretty", indent=4))
    loose = compile_tree(json_schema_tree(schema))
    tight, wide = json.dumps(value, separators=(",", ":")).encode(), json.dumps(value, indent=4).encode()
    assert compact.accepts(tight) and not compact.accepts(wide)
    assert pretty.accepts(wide) and not pretty.accepts(tight) and pretty.accepts(b'{\n    "a": []\n}')
    assert loose.accepts(tight) and loose.accepts(wide) and not loose.accepts(b'{ "a" : [1]}')


def test_ascii_only():
    automaton = compile_tree(json_schema_tree({"enum": ["é"]}, ascii_only=True))
    assert automaton.accepts(b'"\\u00e9"') and not automaton.accepts('"é"'.encode())


@pytest.mark.parametrize(
    ("schema", "error", "pointer"),
    [
        ({"type": "strin"}, InvalidSchema, "/type"),
        ([1], InvalidSchema, ""),
        ({"properties": {"a": {"contains": {}, "uniqueItems": True}}}, UnsupportedSchema, "/properties/a"),
        ({"properties": {"a": {"$ref": "http://example.com/x"}}}, UnsupportedSchema, "/properties/a"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, Unsatisfiable, ""),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, Unsatisfiable, ""),
        ({"$ref": "#"}, Unsatisfiable, ""),
        ({"$defs": {"a": {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/$defs/a"}}}},
          "$ref": "#/$defs/a"}, Unsatisfiable, "/$defs/a"),
        (False, Unsatisfiable, ""),
        ({"type": "object", "required": ["n"],
          "properties": {"n": {"type": "integer", "minimum": 5, "maximum": 3}}}, Unsatisfiable, "/properties/n"),
        ({"type": "array", "minItems": 1,
          "items": {"type": "string", "pattern": "^a+$", "maxLength": 0}}, Unsatisfiable, "/items"),
        ({"$defs": {"x": {"allOf": [{"type": "string"}, {"type": "integer"}]}},
          "$ref": "#/$defs/x"}, Unsatisfiable, "/$defs/x"),
    ],
)  # fmt: skip
def test_refusals_name_the_place(schema, error, pointer):
    with pytest.raises(error) as caught:
        json_schema_tree(schema)
    assert caught.value.pointer == pointer


def test_check_reports_instead_of_raising():
    report = check({"properties": {"a": {"type": "array", "contains": {}, "uniqueItems": True, "title": "A"}}})
    assert not report.ok
    assert [(p.pointer, p.keyword) for p in report.problems] == [("/properties/a", "uniqueItems")]
    assert ("/properties/a", "title") in [(note.pointer, note.keyword) for note in report.annotations]
    assert check(RECURSIVE).ok and "recursion" in check(RECURSIVE).restrictions[0].reason


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(recursion=3, steps=3)])
def test_a_value_is_built_once_for_all_depths_that_its_parts_do_not_feel(bounds):
    node = obj(near={"$ref": "#"}, far={"type": "array", "items": {"$ref": "#"}}) | {"type": ["object", "null"]}
    compiled = CompiledSchema(node, options_of(bounds=bounds))
    automaton = compile_tree(compiled.tree())
    built = compiled.written.emitter._nodes.values()
    assert len({id(value) for value in built}) < len(built)
    near, far, deepest = "null", "null", bounds.recursion
    for level in range(1, 6):  # a step is an object, and an array; a round is what closes the loop
        near, far = f'{{"near": {near}}}', f'{{"far": [{far}]}}'
        assert automaton.accepts(near.encode()) == (level <= min(deepest, bounds.steps))
        assert automaton.accepts(far.encode()) == (level <= min(deepest, bounds.steps // 2))


def test_remote_references_come_from_the_registry_alone():
    schema = {"$ref": "http://example.com/n"}
    registry = {"http://example.com/n": {"type": "integer"}}
    assert compile_tree(json_schema_tree(schema, registry=registry)).accepts(b"3")


def test_keys_in_any_order_up_to_a_stated_number():
    schema = {**obj(a={"type": "integer"}, b={"type": "null"}, c={"type": "boolean"}), "required": ["c"]}
    assert accepts(schema, {"c": True, "a": 1}, key_order="any")
    assert accepts(schema, {"b": None, "c": True, "a": 1}, key_order="any")
    assert not accepts(schema, {"b": None, "a": 1}, key_order="any")
    assert not accepts(schema, {"c": True, "a": 1})


def test_more_than_eight_keys_change_places_with_those_near_them():
    """Brute force over all orders of some of ten keys; what a key may pass is told."""
    schema = {**obj(**{f"k{i}": {"type": "null"} for i in range(10)}), "required": ["k1"]}
    node, restrictions = compile_schema(schema, key_order="any")
    automaton = compile_tree(node)
    assert [(one.pointer, one.keyword) for one in restrictions] == [("", "properties")]
    for keys in itertools.chain.from_iterable(itertools.permutations((0, 1, 4, 5, 6, 9), n) for n in range(5)):
        near = all(before - behind <= 4 for before, behind in itertools.combinations(keys, 2))
        text = json.dumps({f"k{i}": None for i in keys})
        assert automaton.accepts(text.encode()) == (near and 1 in keys), text


def test_too_many_alternatives_found_while_asking_for_emptiness_are_refused_by_their_place(monkeypatch):
    from structdiff.frontends.json_schema import algebra
    from structdiff.frontends.json_schema.compiler import CompiledSchema, SchemaOptions

    monkeypatch.setattr(algebra, "MAX_SHAPES", 3)
    branches = [[{"type": "object", "required": [c]} for c in letters] for letters in ("abc", "def")]
    parts = [{"anyOf": branch} for branch in branches]
    compiled = CompiledSchema({"properties": {"x": parts[0], "y": parts[1]}}, SchemaOptions())
    both = frozenset().union(*(compiled.algebra.demand(part) for part in parts))
    with pytest.raises(UnsupportedSchema, match="more than 3 alternatives"):
        compiled.algebra.is_empty(both)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number", "not": {"multipleOf": 0.5}},
        {"type": "number", "not": {"multipleOf": 3}},
        {"type": "number", "not": {"type": "integer"}},
        {"type": "number", "not": {"const": 1}},
        {"type": "number", "not": {"enum": [0, 2.5]}},
    ],
)
def test_a_number_that_must_differ_differs_as_a_double(schema):
    automaton = compile_tree(json_schema_tree(schema))
    judge = jsonschema.Draft202012Validator(schema)
    tails = ("", ".0", ".5", ".50", ".5000000", ".0000000000000001", ".00000000000000001", ".75")
    written = [f"{whole}{tail}" for whole in (0, 1, 2, 3, 7, 1234567890123456, 12345678901234567) for tail in tails]
    accepted = [text for text in (*written, "2.500", "2.49999999999999999") if automaton.accepts(text.encode())]
    assert accepted
    assert [text for text in accepted if not judge.is_valid(json.loads(text))] == []


DRAFT_4 = "http://json-schema.org/draft-04/schema#"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer"},
        {"not": {"type": "integer"}, "type": "number"},
        {"type": "integer", "enum": [5.0, 7]},
        {"enum": [5.0, 7, 1.5], "not": {"type": "integer"}},
        {"type": "integer", "minimum": 5.0, "maximum": 5.0},
        {"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 3}]},
        {"type": "array", "items": [{"type": "integer"}]},
    ],
)
def test_draft_4_knows_no_integer_with_a_point(schema):
    schema = {"$schema": DRAFT_4, **schema}
    compiled = CompiledSchema(schema, options_of(extra_properties="schema"))
    automaton = compile_tree(compiled.tree())
    judge = jsonschema.Draft4Validator(schema)
    numbers = [5, 5.0, 7, 7.0, 2, 2.0, 1.5, 1e300, 12345678901234567.0, 1.2345678901234567e16]
    for value in (*numbers, *([number] for number in numbers)):
        valid = judge.is_valid(value)
        assert compiled.algebra.contains(compiled.root, value) == valid, value
        assert valid or not automaton.accepts(json.dumps(value).encode()), value
    assert any(judge.is_valid(json.loads(text)) for text in texts(automaton, 5))
    assert all(judge.is_valid(json.loads(text)) for text in texts(automaton, 20))


def test_later_drafts_know_integers_with_a_point():
    compiled = CompiledSchema({"type": "integer"}, options_of(draft="7"))
    assert jsonschema.Draft7Validator({"type": "integer"}).is_valid(5.0)
    assert compiled.algebra.contains(compiled.root, 5.0)


def nested(depth: int, value: object = 1) -> object:
    """``value`` in so many objects and arrays, one in the other."""
    for level in range(depth):
        value = [value] if level % 2 else {"k": value}
    return value


@pytest.mark.parametrize("whitespace", ["json", "compact", "pretty"])
def test_free_json_nests_deeper_in_the_root_than_further_inside(whitespace):
    schema = {"properties": {"a": {"properties": {"b": {"type": "null"}}, "type": "object"}}, "type": "object"}
    automaton = compile_tree(json_schema_tree(schema, extra_properties="schema", whitespace=whitespace))
    layouts = {"json": {}, "compact": {"separators": (",", ":")}, "pretty": {"indent": 2}}

    def written(value: object) -> bool:
        return automaton.accepts(json.dumps(value, **layouts[whitespace]).encode())

    assert [written({"x": nested(depth)}) for depth in (0, 3, 5, 6)] == [True, True, True, False]
    assert [written({"a": {"x": nested(depth)}}) for depth in (0, 3, 4)] == [True, True, False]


def test_free_json_below_two_levels_stands_on_one_line():
    automaton = compile_tree(json_schema_tree({}, extra_properties="schema"))
    outside = '[\n  "\\u0001",\n  1e5,\n  [\n    {"a": [1, 2.5, "\\n"],"b": {}}\n  ]\n]'
    assert json.loads(outside) and automaton.accepts(outside.encode())
    for text in ('[[{\n"a": 1}]]', '[[{"a": 1e5}]]', '[[{"a": "\\u0001"}]]', "[[[1]]]"):
        assert json.loads(text) and not automaton.accepts(text.encode())
    assert all(isinstance(json.loads(text), object) for text in texts(automaton, 40))


def test_large_schemas_nest_deeper_where_there_is_room_and_not_against_given_bounds():
    inner = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(6)}}
    schema = {"type": "object", "properties": {f"q{i}": inner for i in range(6)}}
    deep = {"q0": {"x": nested(5)}}
    judge = jsonschema.Draft202012Validator(schema)
    assert judge.is_valid(deep) and accepts(schema, deep, extra_properties="schema")
    assert not accepts(schema, deep, extra_properties="schema", bounds=Bounds(free_depth=3, root_depth=5))


def test_free_json_is_four_levels_deep_where_five_are_too_many():
    inner = {"type": "object", "properties": {f"p{i}": {} for i in range(5)}}
    schema = {"type": "object", "properties": {f"q{i}": inner for i in range(5)}}
    automaton = compile_tree(json_schema_tree(schema))

    def written(depth: int) -> bool:
        value = {"q4": {"p4": nested(depth)}}
        assert jsonschema.Draft202012Validator(schema).is_valid(value)
        return automaton.accepts(json.dumps(value).encode())

    assert [written(depth) for depth in (3, 4, 5)] == [True, True, False]


BRANCHING = obj(free={}, left={"$ref": "#"}, right={"$ref": "#"})


def test_a_tree_whose_automaton_is_too_large_is_written_under_tighter_bounds(monkeypatch):
    deep = {"left": {"right": {"left": {}}}}
    assert jsonschema.Draft202012Validator(BRANCHING).is_valid(deep) and accepts(BRANCHING, deep)
    monkeypatch.setattr(fitting, "LARGE_STATES", 20_000)
    compiled = CompiledSchema(BRANCHING, options_of())
    automaton = compile_tree(compiled.tree())
    assert automaton.states <= 20_000
    assert automaton.accepts(b'{"left": {"right": {}}}') and not automaton.accepts(json.dumps(deep).encode())
    assert "at /: $ref: recursion ends after 2 rounds and 8 nested values" in map(str, compiled.restrictions)


def test_what_the_tightest_bounds_leave_empty_is_written_under_the_tightest_that_do_not(monkeypatch):
    deep: object = {}
    for _ in range(4):
        deep = {"type": "array", "items": deep, "minItems": 1}
    inner = {"anyOf": [{"const": 1}, {"type": "array", "items": {"$ref": "#/$defs/n"}, "minItems": 1, "maxItems": 2}]}
    schema = {"$defs": {"n": inner}, "allOf": [{"$ref": "#/$defs/n"}, deep]}
    assert jsonschema.Draft202012Validator(schema).is_valid([[[[1]]]]) and accepts(schema, [[[[1]]]])
    roomy = compile_tree(json_schema_tree(schema)).states
    monkeypatch.setattr(fitting, "COMFORTABLE_NODES", 20)  # all rungs but the last are too large, that one is empty
    assert accepts(schema, [[[[1]]]]) and compile_tree(json_schema_tree(schema)).states < roomy


def test_given_bounds_lower_a_maximum_but_not_below_a_minimum():
    for low in (0, 3, 4, 6):
        schema = {"type": "string", "minLength": low, "maxLength": 200}
        judge = jsonschema.Draft202012Validator(schema)
        automaton = compile_tree(json_schema_tree(schema, bounds=Bounds(string=4)))
        for length in range(12):
            for text in ("x" * length, "é" * length, "\n" * length):
                wanted = judge.is_valid(text) and len(text) <= max(4, low)
                assert automaton.accepts(json.dumps(text, ensure_ascii=False).encode()) == wanted, (text, low)


def test_free_json_under_tighter_bounds_is_as_deep_as_ever_where_there_is_room(monkeypatch):
    monkeypatch.setattr(fitting, "LARGE_STATES", 20_000)
    automaton = compile_tree(json_schema_tree(BRANCHING))
    assert not automaton.accepts(b'{"left": {"right": {"left": {}}}}')
    assert automaton.accepts(json.dumps({"free": nested(5)}).encode())
    monkeypatch.setattr(fitting, "SHALLOW_STATES", 0)
    automaton = compile_tree(json_schema_tree(BRANCHING))
    assert automaton.accepts(json.dumps({"free": nested(4)}).encode())
    assert not automaton.accepts(json.dumps({"free": nested(5)}).encode())


A, B, AB = ({"properties": dict.fromkeys(names, True)} for names in ("a", "b", ("a", "b")))
UNEVALUATED = [
    {"properties": {"a": True}, "patternProperties": {"^b": True}, "unevaluatedProperties": False},
    {**A, "unevaluatedProperties": {"type": "string"}},
    {"allOf": [A, {"$ref": "#/$defs/x"}], "$defs": {"x": B}, "unevaluatedProperties": False},
    {
        "anyOf": [{**A, "required": ["a"]}, {**B, "required": ["b"]}, {"required": ["c"]}],
        "unevaluatedProperties": False,
    },
    {"oneOf": [{**A, "required": ["a"]}, {**AB, "required": ["b"]}], "unevaluatedProperties": {"type": "integer"}},
    {"if": {**A, "required": ["a"]}, "then": B, "else": {"properties": {"c": True}}, "unevaluatedProperties": False},
    {"if": {**A, "required": ["a"]}, "unevaluatedProperties": False},
    {"dependentSchemas": {"a": B}, "properties": {"a": {"type": "integer"}}, "unevaluatedProperties": False},
    {"not": {**A, "required": ["a"]}, **B, "unevaluatedProperties": False},
    {"not": {**A, "unevaluatedProperties": False}},
    {"allOf": [{"additionalProperties": {"type": "integer"}}], "unevaluatedProperties": False},
    {"anyOf": [{**A, "unevaluatedProperties": {"type": "integer"}}, B], "unevaluatedProperties": False},
    {"allOf": [A, {"unevaluatedProperties": False}]},
    {"prefixItems": [True], "unevaluatedItems": {"type": "string"}},
    {"anyOf": [{"prefixItems": [{"const": 1}]}, {"prefixItems": [True, {"const": 2}]}], "unevaluatedItems": False},
    {"contains": {"type": "string"}, "prefixItems": [True], "unevaluatedItems": {"type": "null"}},
    {"contains": {"type": "string"}, "minContains": 0, "unevaluatedItems": False},
    {"allOf": [{"items": {"type": "integer"}}], "unevaluatedItems": False},
    {"if": {"prefixItems": [{"const": 1}]}, "then": {"prefixItems": [True, True]}, "unevaluatedItems": False},
]


@pytest.mark.parametrize("schema", UNEVALUATED)
@pytest.mark.parametrize("draft", ["2019-09", "2020-12"])
def test_unevaluated(schema, draft):
    if draft == "2019-09":  # of which jsonschema overlooks nested additional and unevaluated properties
        if "contains" in schema:
            pytest.skip("refused, see below")
        schema = json.loads(json.dumps(schema).replace('"prefixItems"', '"items"'))
        judge: Any = jsonschema_rs.Draft201909Validator(schema)
    else:
        judge = jsonschema.Draft202012Validator(schema)
    compiled = CompiledSchema(schema, options_of(extra_properties="schema", draft=draft))
    automaton = compile_tree(compiled.tree())
    kinds = (1, "s", None)
    keys = ("a", "b", "c")
    objects = [dict(zip(keys, row, strict=True)) for row in itertools.product((*kinds, ...), repeat=3)]
    values: list = [{key: value for key, value in row.items() if value is not ...} for row in objects]
    values += [list(row) for n in range(4) for row in itertools.product((1, 2, "s", None), repeat=n)]
    for value in (*values, *kinds):
        valid = judge.is_valid(value)
        assert compiled.algebra.contains(compiled.root, value) == valid, value
        if isinstance(value, dict):
            value = compiled.algebra.arrange(compiled.root, value)[0] if valid else value
        assert automaton.accepts(json.dumps(value).encode()) == valid, value
    assert all(judge.is_valid(json.loads(text)) for text in texts(automaton, 20))


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (
            {"allOf": [{"anyOf": [obj(**{f"k{i}": True}), True]} for i in range(7)], "unevaluatedProperties": False},
            "more than 64 ways",
        ),
        (
            {"$schema": "https://json-schema.org/draft/2019-09/schema", "contains": A, "unevaluatedItems": False},
            "validators of draft 2019-09 disagree",
        ),
    ],
)
def test_unevaluated_that_cannot_be_told_is_refused_with_its_place(schema, reason):
    with pytest.raises(UnsupportedSchema, match=reason) as caught:
        json_schema_tree({"properties": {"x": schema}})
    assert caught.value.pointer == "/properties/x"


@pytest.mark.parametrize("low", [1, 2, 3])
def test_required_keys_count_for_min_properties(low):
    schema = {"type": "object", "required": ["a", "b"], "minProperties": low}
    judge = jsonschema.Draft202012Validator(schema)
    for value in ({"a": 1, "b": 2}, {"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "c": 2}):
        assert accepts(schema, value, extra_properties="schema") == judge.is_valid(value), value
