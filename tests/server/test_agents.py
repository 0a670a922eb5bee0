"""Agents: the model chooses between text and tools, results come back, and OpenAI's Responses API says the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

openai = pytest.importorskip("openai")

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
PAIR = {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/pair", "definitions": {
    "pair": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
             "additionalProperties": False}}}  # fmt: skip
TOOLS: Any = [
    {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": CITY}},
    {"type": "function", "function": {"name": "add", "parameters": PAIR}},
    {"type": "function", "function": {"name": "stop"}},
]
FLAT: Any = [{"type": "function", **tool["function"]} for tool in TOOLS]


def call(name: str, arguments: str) -> str:
    return f'<tool_call>{{"name": "{name}", "arguments": {arguments}}}</tool_call>'


def agent(prompt: str) -> str:
    """Asks for the weather of two cities, then adds, then answers."""
    if "Result of add" in prompt:
        return '{"warm": true, "sum": 9}' if '"warm"' in prompt else "It is warm, 9 degrees."
    if "Result of weather" in prompt:
        return call("add", '{"a": 9}')
    if "weather" in prompt:
        return f"{call('weather', json.dumps({'city': 'Bonn'}))}\n{call('weather', json.dumps({'city': 'Rome'}))}"
    return "I need no tool."


@pytest.fixture(scope="module")
def client(speaking: Callable[..., Any]) -> Any:
    return openai.OpenAI(base_url=f"{speaking(agent).url}/v1", api_key="none", max_retries=0)


def ask(client: Any, messages: Any, **more: Any) -> Any:
    return client.chat.completions.create(model="embedded", messages=messages, seed=0, **({"tools": TOOLS} | more))


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_the_model_chooses_between_text_and_several_calls(client: Any) -> None:
    for choice in ({}, {"tool_choice": "auto"}):
        done = ask(client, [user("What is the weather?")], **choice).choices[0]
        assert done.finish_reason == "tool_calls" and done.message.content is None
        assert [(one.function.name, json.loads(one.function.arguments)) for one in done.message.tool_calls] == [
            ("weather", {"city": "Bonn"}), ("weather", {"city": "Rome"}),
        ]  # fmt: skip
        assert len({one.id for one in done.message.tool_calls}) == 2
    alone = ask(client, [user("What is the weather?")], parallel_tool_calls=False).choices[0]
    assert len(alone.message.tool_calls or []) <= 1
    only = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
        {"type": "function", "function": {"name": "add"}}]}}  # fmt: skip
    limited = ask(client, [user("What is the weather?")], tool_choice=only, max_tokens=200).choices[0].message
    assert all(one.function.name == "add" for one in limited.tool_calls or [])


def test_identifiers_are_never_the_same_again(client: Any) -> None:
    found = [c.id for _ in range(2) for c in ask(client, [user("weather")]).choices[0].message.tool_calls]
    assert len(set(found)) == 4


def test_text_beside_tools_streams_and_so_do_calls(client: Any) -> None:
    text = ask(client, [user("Hello?")], tools=[TOOLS[1]]).choices[0]
    assert (text.finish_reason, text.message.content, text.message.tool_calls) == ("stop", "I need no tool.", None)
    chunks = list(ask(client, [user("Hello?")], tools=[TOOLS[1]], stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "I need no tool."
    chunks = list(ask(client, [user("What is the weather?")], stream=True))
    calls = [one for c in chunks for one in c.choices[0].delta.tool_calls or []]
    assert [one.index for one in calls] == [0, 1] and chunks[-1].choices[0].finish_reason == "tool_calls"
    assert not "".join(c.choices[0].delta.content or "" for c in chunks)


def loop(client: Any, **more: Any) -> tuple[list[str], Any]:
    """The names of the tools called until an answer comes, and the answer."""
    messages: list[Any] = [user("What is the weather?")]
    named = []
    for _ in range(4):
        message = ask(client, messages, **more).choices[0].message
        if not message.tool_calls:
            return named, message
        messages.append(message)
        for one in message.tool_calls:
            named.append(one.function.name)
            messages.append({"role": "tool", "tool_call_id": one.id, "content": "9"})
    raise AssertionError("no answer")


def test_a_loop_of_three_turns(client: Any) -> None:
    named, message = loop(client)
    assert named == ["weather", "weather", "add"] and message.content == "It is warm, 9 degrees."


def test_tools_beside_a_response_format(client: Any) -> None:
    schema = {"type": "object", "properties": {"warm": {"type": "boolean"}, "sum": {"type": "integer"}},
              "required": ["warm", "sum"]}  # fmt: skip
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    named, message = loop(client, response_format=form)
    assert named == ["weather", "weather", "add"] and json.loads(message.content) == {"warm": True, "sum": 9}


def test_draft_07_tools_with_a_reference_at_the_top(client: Any) -> None:
    other = {"type": "function", "function": {"name": "more", "parameters": PAIR}}
    done = ask(client, [user("a")], tools=[TOOLS[1], other], tool_choice="required")
    jsonschema.validate(json.loads(done.choices[0].message.tool_calls[0].function.arguments), PAIR)


@pytest.mark.parametrize(
    ("messages", "more", "param"),
    [
        ([user("a"), {"role": "tool", "tool_call_id": "call_x", "content": "9"}], {}, "messages"),
        ([user("a"), {"role": "tool", "content": "9"}], {}, "messages.1"),
        ([{"role": "user", "content": "a", "tool_calls": []}, {"role": "assistant", "content": "x"}], {}, "messages"),
        ([user("a")], {"tools": [*TOOLS, TOOLS[0]]}, "tools"),
        ([user("a")], {"tools": None, "tool_choice": "required"}, "tool_choice"),
        ([user("a")], {"extra_body": {"structured_outputs": {"regex": "a"}}}, "tools"),
        ([user("a")], {"tools": [{"type": "custom", "custom": {"name": "x"}}]}, None),
    ],
)  # fmt: skip
def test_mistakes_are_named(client: Any, messages: Any, more: Any, param: str | None) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, messages, **more)
    assert param is None or caught.value.body["param"] == param


# --------------------------------------------------------------------------------------------------- the Responses API


class Weather(BaseModel):
    warm: bool
    sum: int


def respond(client: Any, asked: Any, **more: Any) -> Any:
    return client.responses.create(model="embedded", input=asked, extra_body={"seed": 0}, **more)


def test_a_response_is_text_or_calls(client: Any) -> None:
    done = respond(client, "Hello?", instructions="Be brief.")
    assert done.status == "completed" and done.output_text and done.usage.output_tokens > 0
    called = respond(client, [user("What is the weather?")], tools=FLAT)
    assert [(one.type, one.name, json.loads(one.arguments)["city"]) for one in called.output] == [
        ("function_call", "weather", "Bonn"), ("function_call", "weather", "Rome"),
    ]  # fmt: skip
    assert len({one.call_id for one in called.output}) == 2


def test_a_loop_of_responses_ends_in_a_typed_answer(client: Any) -> None:
    items: list[Any] = [user("What is the weather?")]
    named = []
    for _ in range(4):
        done = client.responses.parse(
            model="embedded", input=items, tools=FLAT, text_format=Weather, extra_body={"seed": 0}
        )
        calls = [item for item in done.output if item.type == "function_call"]
        if not calls:
            assert done.output_parsed == Weather(warm=True, sum=9)
            break
        named += [one.name for one in calls]
        items += [one.model_dump(exclude={"parsed_arguments"}, exclude_none=True) for one in done.output]
        items += [{"type": "function_call_output", "call_id": one.call_id, "output": "9"} for one in calls]
    assert named == ["weather", "weather", "add"]


def test_a_response_streams_as_openais_client_reads_it(client: Any) -> None:
    with client.responses.stream(model="embedded", input="Hello?", extra_body={"seed": 0}) as stream:
        events = list(stream)
        final = stream.get_final_response()
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == final.output_text != "" and events[-1].type == "response.completed"
    assert [event.sequence_number for event in events] == sorted({event.sequence_number for event in events})
    with client.responses.stream(model="embedded", input="What is the weather?", tools=FLAT) as stream:
        events = list(stream)
        called = stream.get_final_response().output
    assert [one.name for one in called] == ["weather", "weather"]
    assert sum(event.type == "response.function_call_arguments.done" for event in events) == 2


def test_a_response_ends_where_its_budget_does(client: Any) -> None:
    done = respond(client, "Hello?", max_output_tokens=2)
    assert done.status == "incomplete" and done.incomplete_details.reason == "max_output_tokens"
    assert done.usage.output_tokens <= 2


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"top_p": 0.3}, "top_p"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "strin"}}}}, "text.format.schema"),
        ({"extra_body": {"colour": "red"}}, "colour"),
    ],
)
def test_responses_refuse_by_name(client: Any, more: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(**({"model": "embedded", "input": "Hello?"} | more))
    assert caught.value.body["param"] == param
