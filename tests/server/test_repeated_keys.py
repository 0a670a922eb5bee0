"""A key that is there twice: where the automaton could write it, the row fails by name; readers disagree about it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

import structdiff

TWICE = '{"x": 1, "x": 2}'
FREE = {"type": "object"}
NUMBERS = {"type": "object", "additionalProperties": {"type": "integer"}}
LISTED = {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}}


def body(schema: Any, **more: Any) -> dict[str, Any]:
    form = {"type": "json_schema", "json_schema": {"name": "p", "schema": schema}}
    return {"model": "embedded", "messages": [{"role": "user", "content": "x"}], "response_format": form} | more


@pytest.mark.parametrize(
    ("schema", "options", "can"),
    [
        (FREE, {}, True),
        (NUMBERS, {}, True),
        (True, {}, True),
        (LISTED, {}, False),
        (LISTED, {"key_order": "any"}, False),
        (LISTED | {"additionalProperties": {"type": "integer"}}, {"extra_properties": "schema"}, False),
        (NUMBERS | {"minProperties": 2}, {}, False),  # keys that have to differ are told apart
    ],
)
def test_which_automata_can_write_a_key_twice(model: Any, schema: Any, options: Any, can: bool) -> None:
    constraint = structdiff.compile(schema, model.vocabulary, **options)
    assert constraint.matches(TWICE) is can
    if can:
        with pytest.raises(structdiff.RepeatedKey, match="key 'x' twice"):
            constraint.value(TWICE)
    assert constraint.value('{"x": 1}') == {"x": 1}


@pytest.mark.parametrize(
    ("text", "pointer"),
    [(TWICE, ""), ('{"a": [{}, {"b/c": {"x": 1, "y": 2, "x": 1}}]}', "/a/1/b~1c"), ('{"\\u0078": 1, "x": 1}', "")],
)
def test_the_place_is_told(model: Any, text: str, pointer: str) -> None:
    with pytest.raises(structdiff.RepeatedKey) as caught:
        structdiff.compile(FREE, model.vocabulary).value(text)
    assert caught.value.errors[0][0] == pointer and caught.value.text == text


def test_a_row_that_writes_a_key_twice_fails_alone_and_is_tried_again(speaking: Any) -> None:
    told = iter([TWICE, TWICE, '{"x": 1, "y": 2}'])
    said: dict[str, str] = {}

    def answer(text: str) -> str:
        if "again" in text:
            return next(told, '{"x": 1, "y": 2}')
        return said.setdefault(text, TWICE if "twice" in text else '{"x": 1}')

    model = speaking(answer).service.model
    results = model.batch(["twice", "once"], NUMBERS, errors="return")
    assert isinstance(results[0].error, structdiff.RepeatedKey) and results[1].value == {"x": 1}
    assert model("again", NUMBERS, retries=40) == {"x": 1, "y": 2}


def test_the_service_tells_it_and_no_client_reads_it_as_an_answer(speaking: Any) -> None:
    running = speaking(lambda text: TWICE)
    whole = httpx.post(f"{running.url}/v1/chat/completions", json=body(NUMBERS), timeout=60)
    assert whole.status_code == 422 and whole.json()["error"]["code"] == "repeated_key"
    assert "'x' twice" in whole.json()["error"]["message"]
    streamed = httpx.post(f"{running.url}/v1/chat/completions", json=body(NUMBERS, stream=True), timeout=60)
    last = streamed.text.strip().split("\n\n")[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "repeated_key" and "[DONE]" not in streamed.text
    form = {"type": "json_schema", "name": "p", "schema": NUMBERS}
    asked = {"model": "embedded", "input": "x", "text": {"format": form}}
    assert httpx.post(f"{running.url}/v1/responses", json=asked, timeout=60).status_code == 422


def test_the_arguments_of_a_tool_are_judged_too(speaking: Any) -> None:
    running = speaking(lambda text: f'<tool_call>{{"name": "add", "arguments": {TWICE}}}</tool_call>')
    tools = [{"type": "function", "function": {"name": "add", "parameters": NUMBERS}}]
    asked = body(NUMBERS, tools=tools, tool_choice="auto", response_format=None)
    answer = httpx.post(f"{running.url}/v1/chat/completions", json=asked, timeout=60)
    assert answer.status_code == 422 and answer.json()["error"]["code"] == "repeated_key"
