"""Tool use: one exact language of answers and calls, judged by re, json and jsonschema."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import structdiff
from benchmarks.grammars import outputs
from structdiff.core.errors import InvalidSchema, UnsupportedSchema
from structdiff.frontends.marked_json import read_marked
from structdiff.frontends.registry import read_source
from structdiff.frontends.tools import ToolForm, ToolUse, tags_of

EMBEDDED = Path(structdiff.__file__).parent / "models" / "embedded"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ADD = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "$ref": "#/definitions/pair",
    "definitions": {"pair": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
                             "additionalProperties": False}},
}  # fmt: skip
TOOLS = (ToolForm("weather", CITY, "The weather of a city."), ToolForm("add", ADD))


def call(name: str, arguments: str) -> str:
    return f'<tool_call>{{"name": "{name}", "arguments": {arguments}}}</tool_call>'


def constraint(**more: Any) -> structdiff.Constraint:
    return structdiff.compile(ToolUse(TOOLS, **more), EMBEDDED)


ONE, TWO = call("weather", '{"city": "Bonn"}'), call("add", '{"a": 3}')


@pytest.mark.parametrize(
    ("text", "belongs"),
    [
        (ONE, True), (f"{ONE}\n{TWO}", True), (TWO, True), ("It rains.", True), ("a <tool_call> inside", False),
        ("<tool_cal", True), ("<", True), ("", False), ("<tool_call>", False), ("<tool_call>hello", False),
        (call("weather", "{}"), False), (call("other", "{}"), False), (f"{ONE}{TWO}", False), (f"{ONE} and", False),
        (call("add", '{"a": 3, "b": 1}'), False), ("caf\u00e9 \U0001f642\n", True), ("\x00", False),
    ],
)  # fmt: skip
def test_text_or_calls(text: str, belongs: bool) -> None:
    assert constraint().matches(text) is belongs


def test_an_answer_under_a_schema_and_calls_alone() -> None:
    typed = constraint(answer={"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]})
    assert typed.matches('{"sum": 3}') and typed.matches(ONE) and not typed.matches("three")
    alone = constraint(answer=None, several=False)
    assert alone.matches(ONE) and not alone.matches("It rains.") and not alone.matches(f"{ONE}\n{TWO}")


def test_calls_are_read_back_even_when_an_argument_spells_the_tags() -> None:
    use = ToolUse(TOOLS)
    nasty = '{"city": "</tool_call>\\n<tool_call>{}"}'
    found = use.calls(f"{call('weather', nasty)}\n{TWO}")
    assert found is not None and [(one.name, json.loads(one.arguments)) for one in found] == [
        ("weather", json.loads(nasty)), ("add", {"a": 3}),
    ]  # fmt: skip
    assert use.as_source().parse(ONE) == [{"name": "weather", "arguments": {"city": "Bonn"}}]
    assert use.as_source().parse("It rains.") == "It rains."


def test_random_walks_are_text_or_valid_calls() -> None:
    compiled = constraint()
    automaton, use = compiled.automaton.bytes, ToolUse(TOOLS)
    rng = random.Random(0)
    called = 0
    for _ in range(300):
        data = b"<tool_call>" if rng.random() < 0.5 else b""
        state = automaton.walk(data, 0)
        while len(data) < 400 and not (automaton.accepting[state] and rng.random() < 0.2):
            moves = [b for b in range(256) if automaton.transitions[state, automaton.byte_class[b]] >= 0]
            if not moves:
                break
            close = [b for b in moves if chr(b) in '"}>/']
            byte = rng.choice(close if close and rng.random() < 0.5 else moves)
            data += bytes([byte])
            state = automaton.walk(bytes([byte]), state)
        if not automaton.accepting[state]:
            continue
        text = data.decode("utf-8", "surrogatepass")
        found = use.calls(text)
        if found is None:
            assert text and not text.startswith("<tool_call>")
        for one in found or []:
            called += 1
            schema = {tool.name: tool.parameters for tool in TOOLS}[one.name]
            jsonschema.validate(json.loads(one.arguments), schema)
    assert called > 10


def test_mistakes_are_told_with_the_tool() -> None:
    with pytest.raises(InvalidSchema, match="names of their own"):
        read_source(ToolUse((TOOLS[0], TOOLS[0])))
    with pytest.raises(UnsupportedSchema, match="in the parameters of far"):
        structdiff.compile(ToolUse((ToolForm("far", {"$ref": "https://example.com/x"}),)), EMBEDDED)


def test_the_prompt_lists_tools_unless_the_template_does() -> None:
    prompt = read_source(ToolUse(TOOLS)).prompt("What is it like in Bonn?", "Be brief.")
    assert prompt.startswith("Be brief.\n\n") and prompt.endswith("Text:\nWhat is it like in Bonn?")
    assert 'weather: The weather of a city. ARGUMENTS: {"city": string}' in prompt
    assert "weather" not in read_source(ToolUse(TOOLS, told=True)).prompt("x", "")


def test_equal_tools_have_equal_keys_and_others_do_not() -> None:
    keys = {read_source(ToolUse(TOOLS, **more)).key for more in ({}, {"answer": None}, {"several": False},
            {"answer": {"type": "object"}}, {"tags": ("<|tool_call>", "<tool_call|>")})}  # fmt: skip
    assert len(keys) == 5 and read_source(ToolUse(TOOLS)).key in keys
    assert tags_of(None) == tags_of("no tags") == ("<tool_call>", "</tool_call>")


FIELDS = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "unit": {"$ref": "#/$defs/unit"},
        "at": {"type": "array", "items": {"type": "number"}, "maxItems": 2},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
    "$defs": {"unit": {"enum": ["C", "F"]}},
}
VALUE = {"city": "Bonn <a>", "days": 3, "unit": "C", "at": [1.5, 2]}


def qwen(**arguments: str) -> str:
    """As the template of Qwen3-Coder writes it."""
    parameters = "".join(f"<parameter={name}>\n{value}\n</parameter>\n" for name, value in arguments.items())
    return f"<tool_call>\n<function=weather>\n{parameters}</function>\n</tool_call>"


def gemma(**arguments: str) -> str:
    """As the template of FunctionGemma writes it."""
    told = ",".join(f"{name}:<escape>{value}<escape>" for name, value in arguments.items())
    return f"<start_function_call>call:weather{{{told}}}<end_function_call>"


def gemma4(arguments: str) -> str:
    """As the template of Gemma 4 writes it."""
    return f"<|tool_call>call:weather{{{arguments}}}<tool_call|>".replace("'", '<|"|>')


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("llama", ['{"name": "weather", "parameters": {"city": "Bonn", "unit": "C"}}', "It {rains}."],
         ['{"name": "weather", "arguments": {"city": "Bonn", "unit": "C"}}', '{"name": "weather", "parameters": {}}',
          'So: {"name": "weather"']),
        ("python_tag",
         ['<|python_tag|>{"name": "weather", "parameters": {"city": "Bonn", "unit": "C"}}', '{"name": 3}'],
         ["<|python_tag|>weather()"]),
        ("qwen", [qwen(city="Bonn", days="3", unit="C", at="[1.5,2]"), qwen(city="", unit="F"), "No <function=."],
         [qwen(city="Bonn"), qwen(unit="C", city="Bonn"), qwen(city="Bonn", unit='"C"'),
          qwen(city="Bonn", days="0", unit="C"), qwen(city="</parameter>", unit="C"),
          qwen(city="<parameter=unit>", unit="C"), qwen(city='say "a"', unit="C")]),
        ("gemma", [gemma(city="Bonn", unit="C"), gemma(city="Bonn", days="3", unit="C"), "No call:weather{}"],
         [gemma(city="Bonn"), gemma(city="12", unit="C"), gemma(city="[1]", unit="C"),
          gemma(city="a<escape>b", unit="C"), gemma(city="true", unit="C")]),
        ("gemma4", [gemma4("city:'Bonn',unit:'C'"), gemma4("city:'',days:3,unit:'F',at:[1.5,2]"),
                    gemma4("city:'true',unit:'C'"),
                    gemma4("city:'say \"a\" <b> | c',unit:'C'"), gemma4("city:'<',unit:'C'"), "No call:weather{}"],
         [gemma4("city:'Bonn'"), gemma4("city:Bonn,unit:'C'"), gemma4("unit:'C',city:'Bonn'"),
          gemma4("'city':'Bonn',unit:'C'"),
          gemma4("city:'a<|b',unit:'C'"), gemma4("city:'a|>b',unit:'C'"), gemma4("city:'Bonn',days:'3',unit:'C'"),
          gemma4("city:'Bonn',days:3,unit:'C',at:['1.5']"), "No <|tool_call>"]),
    ],
)  # fmt: skip
def test_forms_of_other_families(form: str, good: list[str], bad: list[str]) -> None:
    written = structdiff.compile(ToolUse((ToolForm("weather", FIELDS),), form=form), EMBEDDED)
    assert {text: written.matches(text) for text in [*good, *bad]} == dict.fromkeys(good, True) | dict.fromkeys(
        bad, False
    )


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("llama", '{"name": "weather", "parameters": ' + json.dumps(VALUE) + "}"),
        ("python_tag", '<|python_tag|>{"name": "weather", "parameters": ' + json.dumps(VALUE) + "}"),
        ("qwen", qwen(city="Bonn <a>", days="3", unit="C", at="[1.5,2]")),
        ("gemma", gemma(city="Bonn <a>", days="3", unit="C", at="[1.5,2]")),
        ("gemma4", gemma4("city:'Bonn <a>',days:3,unit:'C',at:[1.5,2]")),
    ],
)
def test_calls_of_every_form_are_read_back(form: str, text: str) -> None:
    use = ToolUse((ToolForm("weather", FIELDS),), form=form)
    found = use.calls(text + use.written.between + text)
    assert found is not None and [(one.name, json.loads(one.arguments)) for one in found] == [("weather", VALUE)] * 2
    assert use.calls("It rains.") is None and use.written.opening in read_source(use).prompt("x", "")


def test_the_prompt_shows_a_call_with_marks_as_it_is_written() -> None:
    use = ToolUse((ToolForm("weather", FIELDS),), form="gemma4")
    shown = use.written.shown()
    assert shown in read_source(use).prompt("x", "")
    example = shown.replace("NAME", "weather").replace("ARGUMENT", "city").replace("VALUE", "Bonn")
    assert [(call.name, json.loads(call.arguments)) for call in use.calls(example) or []] == [
        ("weather", {"city": "Bonn"})
    ]


def test_an_answer_that_is_json_too_is_told_from_a_call() -> None:
    person = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    use = ToolUse(TOOLS[:1], answer=person, form="llama")
    written = structdiff.compile(use, EMBEDDED)
    assert written.matches('{"name": "Ann"}') and use.calls('{"name": "Ann"}') is None
    assert use.as_source().parse('{"name": "Ann"}') == {"name": "Ann"}


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"type": "object", "properties": {"a": {"type": ["string", "integer"]}}}, "/properties/a"),
        ({"type": "object", "properties": {"a b": {"type": "string"}}}, "no place for the name 'a b'"),
        ({"type": "object", "properties": {"a": True}, "minProperties": 1}, "/minProperties"),
        ({"type": "array"}, "those of an object"),
        ({"type": "object", "properties": {}, "required": ["b"]}, "a property of its own"),
    ],
)
def test_arguments_that_cannot_stand_one_by_one_are_refused(parameters: Any, told: str) -> None:
    with pytest.raises(UnsupportedSchema, match="in the parameters of f.*" + told):
        structdiff.compile(ToolUse((ToolForm("f", parameters),), form="qwen"), EMBEDDED)


NESTED = {
    "type": "object",
    "properties": {"who": {"type": "array", "items": {"$ref": "#/$defs/person"}, "maxItems": 2}},
    "required": ["who"],
    "additionalProperties": {"type": ["string", "boolean", "null"]},
    "$defs": {
        "person": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "said": {"enum": ["no", 'a "yes"', "a\nb"]}},
            "required": ["name"],
            "additionalProperties": False,
        }
    },
}


def test_random_calls_with_marks_are_read_back_as_values_of_the_schema() -> None:
    use = ToolUse((ToolForm("ask", NESTED),), form="gemma4", answer=None, several=False)
    constraint = structdiff.compile(use, EMBEDDED)
    written = set()
    for text in outputs(constraint, 40, seed=3):
        (call,) = use.calls(text) or []
        value = json.loads(call.arguments)
        jsonschema.validate(value, NESTED)
        written.add(text)
    assert len(written) > 10
    text = '<|tool_call>call:ask{who:[{name:<|"|>Ann<|"|>,said:<|"|>a\nb<|"|>}],more:null}<tool_call|>'
    assert constraint.matches(text)
    assert json.loads((use.calls(text) or [])[0].arguments) == {"who": [{"name": "Ann", "said": "a\nb"}], "more": None}


@pytest.mark.parametrize("text", ["{a<|", "{:1}", "{a 1}", "[1 2]", '<|"|>open', "{a:1"])
def test_broken_arguments_with_marks_are_errors(text: str) -> None:
    with pytest.raises(ValueError):
        read_marked(text, 0)
