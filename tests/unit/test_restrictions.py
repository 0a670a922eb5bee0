"""What a schema allows and is never written is told, all of it. The judges are `jsonschema` and plain arithmetic."""

from __future__ import annotations

import json
import math
import random
import warnings
from decimal import Decimal
from functools import cache
from typing import Annotated, Any

import jsonschema
import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field, create_model

from benchmarks.fuzz_schemas import for_python, published_values, random_schema, random_value
from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.constraint import compile as compile_module
from structdiff.constraint.compile import Compiler
from structdiff.core import limits as limits_module
from structdiff.core.errors import CompileLimit, GenerationError, Unsatisfiable, UnsupportedSchema
from structdiff.core.limits import Limits
from structdiff.core.restrictions import RestrictionWarning
from structdiff.frontends.json_schema import Bounds, compile_schema, fitting, json_schema_tree
from structdiff.frontends.json_schema.check import check
from structdiff.frontends.json_schema.compiler import CompiledSchema, options_of
from structdiff.frontends.pinned import Pinned
from structdiff.frontends.python_types.reader import Reader
from structdiff.place import EMBEDDED
from structdiff.tokens.vocabulary import Vocabulary


def obj(**properties: object) -> dict:
    return {"type": "object", "properties": properties}


def spelled(value: Any) -> str:
    """JSON as structdiff writes it: no exponents, the characters themselves."""
    if isinstance(value, float):
        text = format(Decimal(repr(value)), "f")
        return text.removesuffix(".0") if text != "-0.0" else "0"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {spelled(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(spelled, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"k": value}
    return value


def tree(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"next": value}
    return value


def writes(automaton: ByteAutomaton, value: Any) -> bool:
    """Plainly or with the exponents of Python."""
    return any(automaton.accepts(text.encode()) for text in (spelled(value), json.dumps(value, ensure_ascii=False)))


OPEN = {"extra_properties": "schema"}
LEFT_OUT = [  # schema, options, where and what, a valid value that is left out
    (obj(a={"$ref": "#/$defs/s"}) | {"$defs": {"s": {"type": "string", "maxLength": 9}}}, {"bounds": Bounds(string=5)},
     [("/$defs/s", "maxLength")], {"a": "x" * 6}),
    (obj(a={"type": "string", "maxLength": 9}, b={"type": "string", "maxLength": 9}), {"bounds": Bounds(string=5)},
     [("/properties/a", "maxLength"), ("/properties/b", "maxLength")], {"b": "x" * 6}),
    ({"type": "string", "maxLength": 10**5}, {}, [("", "maxLength")], "x" * 10**5),
    ({"type": "array", "items": {"type": "null"}, "maxItems": 9}, {"bounds": Bounds(items=5)}, [("", "maxItems")],
     [None] * 6),
    ({"type": "object", "additionalProperties": {"type": "null"}, "maxProperties": 9}, {"bounds": Bounds(members=5)},
     [("", "maxProperties")], dict.fromkeys("abcdefg")),
    ({"type": "object", "additionalProperties": {"type": "null"}, "propertyNames": {"maxLength": 9}},
     {"bounds": Bounds(string=5)}, [("", "propertyNames")], {"abcdefg": None}),
    ({"type": "object", "additionalProperties": {"type": "null"}, "minProperties": 2}, {}, [("", "minProperties")],
     {"ab": None, "ba": None}),
    (obj(next={"$ref": "#"}), {}, [("", "$ref")], tree(4)),
    (obj(deep={"$ref": "#/$defs/n"}) | {"$defs": {"n": obj(next={"$ref": "#/$defs/n"})}}, {}, [("/$defs/n", "$ref")],
     {"deep": tree(6)}),
    (obj(a={}), {}, [("/properties/a", "type")], {"a": nested(7)}),
    ({}, {}, [("", "type")], nested(9)),
    ({"type": "array", "items": True}, {}, [("", "items")], [nested(8)]),
    ({"type": "object", "required": ["z"]}, {}, [("", "required")], {"z": nested(8)}),
    (obj(a={"type": "null"}), OPEN, [("", "additionalProperties")], {"b": nested(8)}),
    ({"type": "array", "items": {"enum": list(range(12))}, "uniqueItems": True}, {}, [("", "uniqueItems")], [2, 1]),
    ({"type": "number", "multipleOf": 0.5}, {}, [("", "multipleOf")], 12345678901234.5),
    ({"type": "number", "not": {"multipleOf": 0.5}}, {}, [("", "not")], 1.2345678901234567),
    (obj(s={"type": "string", "pattern": "^\\S$"}), {}, [("/properties/s", "pattern")], {"s": "\u001c"}),
    ({"type": "string", "format": "regex"}, {}, [("", "format")], "(?=a)"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "options", "places", "value"), LEFT_OUT)
def test_what_is_left_out_is_told_with_its_place(schema, options, places, value):
    assert jsonschema_rs.Draft202012Validator(schema).is_valid(value)  # it reads patterns as ECMA-262 does
    node, restrictions = compile_schema(schema, **options)
    automaton = compile_tree(node)
    assert [(one.pointer, one.keyword) for one in restrictions] == places
    assert not automaton.is_empty and not writes(automaton, value)
    assert check(schema, **options).restrictions == list(restrictions)


TEXTS = st.text(st.characters(exclude_categories=("Cs",)))
COMPLETE = [  # schemas and values, most of them valid
    ({"type": ["string", "null"], "maxLength": 200}, TEXTS | st.none() | st.text("é\n", max_size=210)),
    ({"type": "array", "items": {"type": "integer"}, "maxItems": 200}, st.lists(st.integers()) | st.just([7] * 200)),
    ({"type": "number", "minimum": 0}, st.floats(0, allow_infinity=False) | st.integers(0)),
    ({"type": "number", "minimum": -0.25, "maximum": 12.5}, st.floats(-0.3, 12.6)),
    ({"type": "number", "maximum": 0}, st.floats(max_value=0, allow_infinity=False) | st.integers(max_value=0)),
    ({"type": "number"}, st.floats(allow_infinity=False, allow_nan=False)),
    ({"type": "number", "exclusiveMinimum": 0}, st.floats(-1, allow_infinity=False) | st.just(5e-324) | st.integers(0)),
    ({"type": "number", "exclusiveMaximum": 0, "minimum": -1e-9}, st.floats(-2e-9, 1e-9)),
    ({"type": "number", "minimum": 0, "exclusiveMaximum": 100}, st.floats(0, 100) | st.just(math.nextafter(100, 0))),
    ({"type": "number", "maximum": 1e20}, st.floats(allow_infinity=False, allow_nan=False) | st.just(1e14 + 0.5)),
    ({"type": "number", "maximum": 2**53 + 3}, st.integers(-8, 8).map(lambda n: 2**53 + n)),
    ({"type": "number", "not": {"enum": [1, 0.1, 0]}}, st.floats(-3, 3) | st.sampled_from([0.1, 1, 1.0, 0])),
    ({"type": "integer", "exclusiveMinimum": 3, "multipleOf": 7}, st.integers(0).map(lambda n: 7 * n)),
    ({"type": "string", "pattern": "^a{300}$", "maxLength": 400}, st.integers(299, 301).map(lambda n: "a" * n)),
    ({"type": "string", "pattern": "^[a-f]+$", "maxLength": 1000}, st.integers(0, 1001).map(lambda n: "af" * n)),
    (
        {"type": "object", "additionalProperties": {"type": "boolean"}, "maxProperties": 100},
        st.dictionaries(TEXTS, st.booleans()) | st.just({str(n): True for n in range(100)}),
    ),
    (
        {"type": "object", "additionalProperties": {"type": "null"}, "propertyNames": {"maxLength": 100}},
        st.dictionaries(TEXTS | st.just("é" * 100), st.none()),
    ),
    ({"enum": ["a", 1, None, [1, {"k": "é"}], 0.1]}, st.sampled_from(["a", 1, None, [1, {"k": "é"}], 0.1, "b"])),
    (
        {"prefixItems": [{"type": "boolean"}], "items": {"type": "null"}, "contains": {"const": True}, "type": "array"},
        st.builds(lambda first, n: [first, *[None] * n], st.booleans(), st.integers(0, 9)),
    ),
    (
        {**obj(a={"type": "string"}, b={"type": "number"}), "required": ["a"], "additionalProperties": False},
        st.fixed_dictionaries({"a": TEXTS}, optional={"b": st.floats(allow_infinity=False, allow_nan=False)}),
    ),
    ({"anyOf": [{"type": "string", "maxLength": 3}, {"type": "number", "minimum": 7}]}, TEXTS | st.integers()),
]


@pytest.mark.parametrize(("schema", "values"), COMPLETE, ids=[json.dumps(schema) for schema, _ in COMPLETE])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_where_nothing_is_left_out_exactly_the_valid_values_are_written(schema, values, data):
    automaton, restrictions = compiled(json.dumps(schema))
    assert restrictions == ()
    value = data.draw(values)
    if isinstance(value, dict):  # keys stand in the order of the schema
        value = {key: value[key] for key in (*schema.get("properties", ()), *value) if key in value}
    assert writes(automaton, value) == jsonschema.Draft202012Validator(schema).is_valid(value), value


@cache
def compiled(schema: str) -> tuple[ByteAutomaton, tuple]:
    node, restrictions = compile_schema(json.loads(schema))
    return compile_tree(node), restrictions


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 30))
def test_a_valid_value_of_a_random_schema_is_written_or_something_is_left_out(number):
    rng = random.Random(number)
    schema = random_schema(rng, depth=1)
    try:
        made = CompiledSchema(schema, options_of(extra_properties="schema"), limits=Limits(states=20_000))
        automaton, restrictions = compile_tree(made.tree()), made.restrictions
    except (CompileLimit, UnsupportedSchema, Unsatisfiable):
        return
    judge = jsonschema.Draft202012Validator(for_python(schema))
    for value in [*published_values(schema, rng), *(random_value(rng) for _ in range(20))]:
        if judge.is_valid(value) and not restrictions:
            arranged = made.algebra.arrange(made.root, value)
            assert arranged is not None and writes(automaton, arranged[0]), (schema, value)


def strings(n: int, longest: int) -> dict:
    """``n`` objects of three strings each."""
    text = {"type": "string", "maxLength": longest}
    part = {**obj(a=text, b=text, c=text), "required": ["a", "b", "c"]}
    return {**obj(**{f"p{i}": part for i in range(n)}), "required": [f"p{i}" for i in range(n)]}


@pytest.mark.parametrize("n", [10, 20, 40])
def test_what_a_field_may_hold_does_not_depend_on_its_neighbours(n):
    schema = strings(n, 200)
    node, restrictions = compile_schema(schema)
    assert restrictions == ()
    automaton, judge = compile_tree(node), jsonschema.Draft202012Validator(schema)
    for text in ("é" * 100, "x" * 150, "x" * 199, "é" * 200, "x" * 201):
        value = {f"p{i}": dict.fromkeys("abc", "") for i in range(n)}
        value[f"p{n - 1}"]["b"] = text
        assert writes(automaton, value) == judge.is_valid(value) == (len(text) <= 200)


def test_maxima_of_ordinary_schemas_are_as_stated():
    articles = {"type": "array", "items": {**obj(n={"type": "integer"}), "required": ["n"]}, "maxItems": 200}
    for schema, held, other in [
        (articles, [{"n": 1}] * 200, [{"n": 1}] * 201),
        (strings(6, 1000), {f"p{i}": dict.fromkeys("abc", "é" * 1000) for i in range(6)}, None),
        (obj(a={"type": "string", "maxLength": 8000}), {"a": "x" * 8000}, {"a": "x" * 8001}),
    ]:
        node, restrictions = compile_schema(schema)
        automaton = compile_tree(node)
        assert restrictions == () and writes(automaton, held) and not writes(automaton, other)


def test_a_maximum_beyond_the_longest_output_takes_no_states():
    for schema, inside, outside in [
        ({"type": "string", "maxLength": 10**6}, "x" * 9000, None),
        ({"type": "array", "items": {"type": "null"}, "maxItems": 10**6}, [None] * 9000, None),
        ({"type": "string", "maxLength": 997}, "x" * 997, "x" * 998),  # of 1000 bytes
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 498}, [1] * 498, [1] * 499),  # of 999 bytes
        ({"type": "object", "additionalProperties": {"const": 1}, "maxProperties": 3}, {}, dict.fromkeys("abcd", 1)),
    ]:
        node, restrictions = compile_schema(schema, horizon=1000)
        automaton = compile_tree(node)
        assert restrictions == () and writes(automaton, inside) and (outside is None or not writes(automaton, outside))
        assert outside is not None or automaton.states < 100


def test_where_the_whole_is_too_large_the_largest_maximum_gives_way_first():
    wide = {"type": "string", "maxLength": 2000}
    schema = obj(small={"type": "string", "maxLength": 100}, **{f"w{i}": wide for i in range(3)})
    node, restrictions = compile_schema(schema, limits=Limits(states=50_000))
    automaton = compile_tree(node)
    assert [one.pointer for one in restrictions] == ["/properties/w0", "/properties/w1", "/properties/w2"]
    assert automaton.states <= 50_000 and writes(automaton, {"small": "é" * 100, "w2": "x" * 800})
    assert not writes(automaton, {"w2": "x" * 2000})


def test_time_decides_about_nothing_but_giving_up(monkeypatch):
    schema = {**strings(4, 300), "$defs": {"n": obj(next={"$ref": "#/$defs/n"}, free={})}}
    schema["properties"]["n"] = {"$ref": "#/$defs/n"}
    now = [0.0]
    monkeypatch.setattr(limits_module.time, "monotonic", lambda: now[0])
    node, restrictions = compile_schema(schema, limits=Limits(seconds=30))
    first = compile_tree(node, Limits(seconds=30))
    limits = Limits(seconds=30)
    now[0] = 29.9  # nearly used up
    node, again = compile_schema(schema, limits=limits)
    assert again == restrictions and compile_tree(node, limits) == first
    monkeypatch.setattr(limits_module.time, "monotonic", lambda: now.__setitem__(0, now[0] + 0.01) or now[0])
    with pytest.raises(CompileLimit, match="30 seconds"):
        compile_schema(schema, limits=limits)


def test_the_tree_is_the_same_after_any_other_schema():
    schema = {**strings(2, 300), "additionalProperties": {"pattern": "^[a-z]{2,40}$", "maxLength": 30}}
    node, restrictions = compile_schema(schema)
    automaton = compile_tree(node)
    for other in (True, strings(1, 300), {"pattern": "^[a-z]{2,40}$", "maxLength": 30}):
        compile_tree(json_schema_tree(other, extra_properties="schema"))
    node, again = compile_schema(schema)
    assert compile_tree(node) == automaton and again == restrictions


def test_recursion_does_not_give_way_to_long_strings():
    def schema(longest: int) -> dict:
        return obj(text={"type": "string", "maxLength": longest}, left={"$ref": "#"}, right={"$ref": "#"})

    deep = {"left": {"right": {"left": {}}}}
    for longest in (10, 1000):
        node, restrictions = compile_schema(schema(longest))
        assert [one.keyword for one in restrictions if one.keyword == "$ref"] == ["$ref"]
        assert writes(compile_tree(node), deep)
    assert ("", "maxLength") not in [(one.pointer, one.keyword) for one in restrictions]


def test_too_much_work_is_told_by_what_is_done_and_not_by_the_clock(monkeypatch):
    """Alternatives that overlap take work in every round of recursion; the bounds follow from how much."""
    part = obj(a={"$ref": "#"}, b={"type": "string"}, c={"$ref": "#"})
    schema = {"anyOf": [part, {**part, "required": ["b"]}, {"type": "array", "items": {"$ref": "#"}}]}

    def rounds() -> set[str]:
        return {one.reason for one in compile_schema(schema)[1] if one.keyword == "$ref"}

    assert rounds() == {"recursion ends after 3 rounds and 16 nested values"}
    monkeypatch.setattr(fitting, "COMFORTABLE_WORK", 100_000)
    assert rounds() == rounds() == {"recursion ends after 2 rounds and 8 nested values"}


def test_a_known_budget_leaves_maxima_beyond_it_alone():
    """With the budget of the call known, no maximum that it cannot reach is lowered, and longer outputs are refused."""
    properties = {f"note_{i}": {"type": "string", "maxLength": 20_000} for i in range(30)}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    compiler = Compiler(Vocabulary.of(str(EMBEDDED)))
    with pytest.warns(RestrictionWarning, match="maxLength"):
        lowered = compiler.compile(schema)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RestrictionWarning)
        constraint = compiler.compile(schema, max_tokens=300, strict=True)
    assert constraint.most_tokens == 512 and not any(one.keyword == "maxLength" for one in constraint.restrictions)
    longest = json.dumps({"note_29": "x" * 5_000})
    assert constraint.matches(longest) and not lowered.matches(longest)
    constraint.require_budget(512)
    with pytest.raises(GenerationError, match="at most 512 tokens"):
        constraint.require_budget(513)
    short = {"type": "string", "maxLength": 20}
    assert compiler.compile(short, max_tokens=300).most_tokens is None


def test_a_schema_is_compiled_once_for_a_known_budget(monkeypatch):
    """Whether or not a maximum would be lowered: once, from a source that is read once; values pinned in it too."""
    compile_module.load_kernels()
    built, read = [], []
    build, generate = compile_module.build_token_automaton, Reader.generate
    monkeypatch.setattr(compile_module, "build_token_automaton", lambda *a, **k: built.append(1) or build(*a, **k))
    monkeypatch.setattr(Reader, "generate", lambda *a: read.append(1) or generate(*a))
    monkeypatch.setenv("STRUCTDIFF_CACHE_MB", "0")
    long = create_model("Long", note=(Annotated[str, Field(max_length=20_000)], ...), number=(bool, ...))
    short = create_model("Short", note=(Annotated[str, Field(max_length=20)], ...))
    compiler = Compiler(Vocabulary.of(str(EMBEDDED)))
    for number, (source, most) in enumerate([(long, 512), (short, None), (Pinned(long, {"number": True}), 512)], 1):
        for _ in range(2):
            assert not compiler.remembers(source, max_tokens=300) or len(built) == number
            read.clear()
            constraint = compiler.compile(source, max_tokens=300)
            assert (constraint.most_tokens, constraint.restrictions) == (most, ())
            assert len(built) == number and len(read) == 1
        assert compiler.remembers(source, max_tokens=300) and compiler.remembers(source, max_tokens=400)
    large = {"type": "string", "minLength": 100, "maxLength": 20_000}
    constraint = compiler.compile(large, max_tokens=2)
    assert constraint.min_tokens <= constraint.most_tokens < 2 * constraint.min_tokens
