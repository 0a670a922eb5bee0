"""Tool use: one exact language of answers and calls, judged by re, json and jsonschema."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import structdiff
from structdiff.core.errors import InvalidSchema, UnsupportedSchema
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
        (ONE, True), (f"{ONE}\n{TWO}", True), (TWO, True), ("It rains.", True), ("a <tool_call> inside", True),
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
