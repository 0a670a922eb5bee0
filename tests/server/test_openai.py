"""The official client against a real server: what it sends for structured outputs works unchanged."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel

openai = pytest.importorskip("openai")

CONTACT = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
TEXT = "Maria Lopez is 34 years old."


class Person(BaseModel):
    name: str
    kind: Literal["friend", "colleague"]


@pytest.fixture(scope="module")
def client(running: Any) -> Any:
    return openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0)


def ask(client: Any, **more: Any) -> Any:
    return client.chat.completions.create(
        model="embedded", messages=more.pop("messages", [{"role": "user", "content": TEXT}]), **more
    )


def schema_format(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def test_the_parse_helper_gives_an_instance(client: Any) -> None:
    done = client.chat.completions.parse(
        model="embedded", messages=[{"role": "user", "content": TEXT}], response_format=Person, seed=1
    )
    assert isinstance(done.choices[0].message.parsed, Person)
    assert done.choices[0].finish_reason == "stop"
    assert done.usage.completion_tokens > 0
    assert done.usage.model_extra["structdiff"]["denoising_steps"] > 0


def test_choices_are_valid_differ_by_seed_and_repeat_with_it(client: Any) -> None:
    first = ask(client, response_format=schema_format(CONTACT), n=3, seed=5)
    again = ask(client, response_format=schema_format(CONTACT), n=3, seed=5)
    texts = [choice.message.content for choice in first.choices]
    assert texts == [choice.message.content for choice in again.choices]
    for text in texts:
        jsonschema.validate(json.loads(text), CONTACT)
    assert [choice.index for choice in first.choices] == [0, 1, 2]


def test_a_system_message_is_instructions_and_json_object_is_any_object(client: Any) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXT}]
    done = ask(client, messages=messages, response_format={"type": "json_object"}, max_tokens=60, seed=0)
    assert isinstance(json.loads(done.choices[0].message.content), dict)


@pytest.mark.parametrize(
    ("constraint", "pattern"),
    [
        ({"regex": r"[A-Z]{2}-\d{2}"}, r"[A-Z]{2}-\d{2}"),
        ({"choice": ["red", "green"]}, "red|green"),
        ({"json": {"enum": [1, "two"]}}, '1|"two"'),
        ({"json": '{"type": "boolean"}'}, "true|false"),
    ],
)
def test_structured_outputs_as_vllm_takes_them(client: Any, constraint: Any, pattern: str) -> None:
    done = ask(client, extra_body={"structured_outputs": constraint}, seed=0)
    assert re.fullmatch(pattern, done.choices[0].message.content)


def test_streamed_deltas_make_the_whole_answer(client: Any) -> None:
    whole = ask(client, response_format=schema_format(CONTACT), seed=3)
    chunks = list(
        ask(client, response_format=schema_format(CONTACT), seed=3, stream=True,
            stream_options={"include_usage": True})
    )  # fmt: skip
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
    assert len({c.id for c in chunks}) == 1


def test_a_trace_tells_every_step(client: Any) -> None:
    chunks = list(
        ask(client, response_format=schema_format(CONTACT), seed=3, stream=True,
            extra_body={"structdiff": {"trace": True}})
    )  # fmt: skip
    events = [c.model_extra["structdiff"] for c in chunks if "structdiff" in (c.model_extra or {})]
    assert events[0]["event"] == "canvas"
    steps = [e for e in events if e["event"] == "step"]
    assert steps and all(len(s["kinds"]) == len(s["tokens"]) for s in steps)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert "".join(e["text"] for e in events if e["event"] == "commit") == text


TOOLS = [
    {"type": "function", "function": {"name": "save", "description": "Save a person.", "parameters": CONTACT}},
    {"type": "function", "function": {"name": "drop", "parameters": {
        "type": "object", "properties": {"why": {"enum": ["old", "spam"]}}, "required": ["why"],
        "additionalProperties": False}}},
]  # fmt: skip


def test_a_named_tool_gets_valid_arguments(client: Any) -> None:
    named = {"type": "function", "function": {"name": "save"}}
    done = ask(client, tools=TOOLS, tool_choice=named, seed=0)
    call = done.choices[0].message.tool_calls[0]
    assert done.choices[0].finish_reason == "stop" and call.function.name == "save"  # as OpenAI: the caller named it
    jsonschema.validate(json.loads(call.function.arguments), CONTACT)


def test_a_required_call_picks_a_tool_and_obeys_its_schema(client: Any) -> None:
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in TOOLS}
    for seed in range(3):
        done = ask(client, tools=TOOLS, tool_choice="required", seed=seed)
        call = done.choices[0].message.tool_calls[0]
        jsonschema.validate(json.loads(call.function.arguments), schemas[call.function.name])


def test_streamed_tool_calls(client: Any) -> None:
    named = {"type": "function", "function": {"name": "save"}}
    chunks = list(ask(client, tools=TOOLS, tool_choice=named, seed=0, stream=True))
    calls = [call for c in chunks for call in c.choices[0].delta.tool_calls or []]
    jsonschema.validate(json.loads("".join(call.function.arguments for call in calls)), CONTACT)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_stop_cuts_free_text(client: Any) -> None:
    free = ask(client, max_tokens=48, seed=0).choices[0]
    assert free.finish_reason in ("stop", "length") and free.message.content
    stop = free.message.content[len(free.message.content) // 2 :][:2]
    cut = ask(client, max_tokens=48, seed=0, stop=stop).choices[0]
    assert cut.message.content == free.message.content[: free.message.content.index(stop)]
    assert cut.finish_reason == "stop"


@pytest.mark.parametrize("budget", [1, 5, 50])
def test_free_text_keeps_to_its_budget(client: Any, budget: int) -> None:
    done = client.completions.create(model="embedded", prompt=TEXT, max_tokens=budget, seed=0)
    whole = client.completions.create(model="embedded", prompt=TEXT, max_tokens=96, seed=0)
    assert done.usage.completion_tokens <= budget and whole.choices[0].text.startswith(done.choices[0].text)
    assert done.choices[0].finish_reason == ("length" if whole.usage.completion_tokens > budget else "stop")


def test_neutral_fields_change_nothing(client: Any) -> None:
    neutral = {
        "service_tier": "auto", "modalities": ["text"], "prompt_cache_key": "k", "safety_identifier": "s", "user": "u",
        "verbosity": "medium", "store": False, "metadata": {"a": "b"}, "top_p": 1, "logit_bias": {},
    }  # fmt: skip
    form = schema_format(CONTACT)
    done = ask(client, response_format=form, seed=4, extra_body={"min_p": 0, "repetition_penalty": 1}, **neutral)
    assert done.choices[0].message.content == ask(client, response_format=form, seed=4).choices[0].message.content


def test_a_schema_without_content_is_any_object(client: Any) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x"}}
    assert isinstance(json.loads(ask(client, response_format=form, max_tokens=60).choices[0].message.content), dict)


def test_plain_completions_take_a_bare_prompt(client: Any) -> None:
    done = client.completions.create(
        model="embedded", prompt=TEXT, seed=0, extra_body={"structured_outputs": {"choice": ["red", "green"]}}
    )
    assert done.choices[0].text in ("red", "green") and done.object == "text_completion"


def test_models(client: Any) -> None:
    assert [model.id for model in client.models.list()] == ["embedded"]
    assert client.models.retrieve("embedded").id == "embedded"


@pytest.mark.parametrize(
    ("more", "param", "code"),
    [
        ({"response_format": schema_format({"type": "strin"})}, "response_format.json_schema.schema", "invalid_schema"),
        ({"response_format": schema_format({"$ref": "https://example.com/x.json"})},
         "response_format.json_schema.schema", None),
        ({"response_format": schema_format({"type": "integer", "minimum": 3, "maximum": 2})},
         "response_format.json_schema.schema", "unsatisfiable_schema"),
        ({"response_format": schema_format(CONTACT), "max_tokens": 2}, "max_tokens", "budget_too_small"),
        ({"response_format": schema_format(CONTACT), "stop": "x"}, "stop", None),
        ({"top_p": 0.5}, "top_p", None),
        ({"frequency_penalty": 1}, "frequency_penalty", None),
        ({"extra_body": {"best": 3}}, "best", None),
        ({"stop": ""}, "stop", None),
        ({"stop": ["a", ""]}, "stop.1", None),
        ({"extra_body": {"previous_response_id": "x"}}, "previous_response_id", None),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "no"}}}, "tool_choice", None),
        ({"tools": TOOLS, "tool_choice": "required", "response_format": schema_format(CONTACT)}, "tools", None),
        ({"extra_body": {"structured_outputs": {"regex": "(", }}}, "structured_outputs.regex", "invalid_schema"),
        ({"extra_body": {"structured_outputs": {"regex": "a", "choice": ["b"]}}}, "structured_outputs", None),
        ({"messages": [{"role": "user", "content": " "}]}, "messages", None),
        ({"messages": [{"role": "user", "content": "word " * 9000}]}, None, "context_length_exceeded"),
        ({"n": 1000}, "n", None),
        ({"logprobs": True, "stop": "x"}, "logprobs", None),
        ({"logprobs": True, "tools": TOOLS, "tool_choice": "required"}, None, None),
        ({"top_logprobs": 2}, None, None),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", None),
        ({"reasoning_effort": "low", "extra_body": {"structdiff": {"think": 1}}}, None, None),
        ({"extra_body": {"structdiff": {"think": 17}}}, "structdiff.think", None),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_by_name(
    client: Any, more: Any, param: str | None, code: str | None
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **more)
    body = caught.value.body
    assert body["param"] == param and body["message"] and body["type"] == "invalid_request_error"
    assert code is None or body["code"] == code


def test_an_unknown_model_is_not_found(client: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="embedded"):
        client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "x"}])


def test_fields_are_measured_when_asked_for_and_for_every_choice(client: Any) -> None:
    done = ask(client, response_format=schema_format(CONTACT), n=2, seed=5, extra_body={"structdiff": {"fields": True}})
    for choice in done.choices:
        value, fields = json.loads(choice.message.content), choice.model_extra["structdiff"]["fields"]
        assert {pointer: field["value"] for pointer, field in fields.items()} == {f"/{k}": v for k, v in value.items()}
        assert all(0 < field["probability"] <= 1 and 0 <= field["confidence"] <= 1 for field in fields.values())
    plain = ask(client, response_format=schema_format(CONTACT), seed=5)
    assert "structdiff" not in plain.choices[0].model_extra


def test_fields_come_at_the_end_of_a_stream(client: Any) -> None:
    asked = {"structdiff": {"fields": True}}
    chunks = list(ask(client, response_format=schema_format(CONTACT), stream=True, seed=5, extra_body=asked))
    told = [chunk.model_extra["structdiff"] for chunk in chunks if "structdiff" in (chunk.model_extra or {})]
    assert [one["event"] for one in told] == ["fields"] and set(told[0]["fields"]) == {"/name", "/age"}


def test_fields_of_free_text_are_refused(client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="under a constraint"):
        ask(client, extra_body={"structdiff": {"fields": True}})


def test_a_schema_beside_json_object_is_the_constraint(client: Any) -> None:
    done = ask(client, response_format={"type": "json_object", "schema": CONTACT}, seed=2)
    jsonschema.validate(json.loads(done.choices[0].message.content), CONTACT)


def test_thought_comes_apart_from_the_content_and_is_counted(client: Any, model: Any) -> None:
    done = ask(client, response_format=schema_format(CONTACT), seed=2, reasoning_effort="medium")
    message, usage = done.choices[0].message, done.usage
    jsonschema.validate(json.loads(message.content), CONTACT)
    thought, written = message.model_extra["reasoning"], usage.completion_tokens_details.reasoning_tokens
    assert thought and written == 2 * model.denoiser.spec.canvas_length < usage.completion_tokens
    assert usage.model_extra["structdiff"]["canvases"] >= 3
    same = model.generate(TEXT, CONTACT, seed=2, think=2)
    assert (same.thought, same.text) == (thought, message.content)
    chunks = list(
        ask(client, response_format=schema_format(CONTACT), seed=2, stream=True,
            extra_body={"structdiff": {"think": 2, "trace": True}})
    )  # fmt: skip
    deltas = [c.choices[0].delta for c in chunks if c.choices]
    assert "".join((d.model_extra or {}).get("reasoning", "") for d in deltas) == thought
    assert "".join(d.content or "" for d in deltas) == message.content
    events = [c.model_extra["structdiff"] for c in chunks if "structdiff" in (c.model_extra or {})]
    assert [e["thought"] for e in events if e["event"] == "commit"][:3] == [True, True, False]
    assert ask(client, response_format=schema_format(CONTACT), seed=2).choices[0].message.model_extra == {}


def test_log_probabilities_of_a_canvas(client: Any) -> None:
    asked = {"extra_body": {"structured_outputs": {"choice": ["red", "green"]}}, "seed": 0}
    choice = ask(client, logprobs=True, top_logprobs=3, **asked).choices[0]
    rows = choice.logprobs.content
    assert b"".join(bytes(row.bytes) for row in rows).decode() == choice.message.content
    for row in rows:
        assert row.logprob <= 0 and sum(math.exp(one.logprob) for one in row.top_logprobs) <= 1 + 1e-6
        assert row.logprob <= row.top_logprobs[0].logprob + 1e-9
    assert {one.token[0] for one in rows[0].top_logprobs if one.logprob > -20} <= {"r", "g"}  # the constraint counts
    chunks = [c.choices[0] for c in ask(client, logprobs=True, top_logprobs=3, stream=True, **asked) if c.choices]
    assert [row for c in chunks if c.logprobs for row in c.logprobs.content] == rows
    assert ask(client, **asked).choices[0].logprobs is None


def test_log_probabilities_of_free_text_and_plain_completions(client: Any) -> None:
    done = client.completions.create(model="embedded", prompt=TEXT, max_tokens=60, logprobs=2, seed=0)
    text, given = done.choices[0].text, done.choices[0].logprobs
    assert "".join(given.tokens) == text and len(given.top_logprobs) == len(given.tokens)
    assert all(text[at:].startswith(token) for at, token in zip(given.text_offset, given.tokens, strict=True))
    assert all(-1e4 < log <= 0 for log in given.token_logprobs)


def test_a_stop_string_leaves_the_whole_cost_in_the_usage(client: Any) -> None:
    asked = {"messages": [{"role": "user", "content": TEXT}], "max_tokens": 144, "seed": 1}
    whole = ask(client, **asked)
    text = whole.choices[0].message.content
    cut = ask(client, stop=text[-3:], **asked)
    assert cut.choices[0].message.content == text[: text.index(text[-3:])]
    assert (
        0
        < cut.usage.model_extra["structdiff"]["denoising_steps"]
        <= whole.usage.model_extra["structdiff"]["denoising_steps"]
    )
    assert cut.usage.completion_tokens <= whole.usage.completion_tokens


def test_strings_are_taken_from_the_last_message(client: Any) -> None:
    schema = {**CONTACT, "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
    asked = {"response_format": schema_format(schema), "extra_body": {"structdiff": {"verbatim": True, "fields": True}}}
    messages = [{"role": "user", "content": "Zoe Quux"}, {"role": "assistant", "content": "Yes?"},
                {"role": "user", "content": TEXT}]  # fmt: skip
    for seed in range(4):
        done = ask(client, messages=messages, seed=seed, **asked)
        assert json.loads(done.choices[0].message.content)["name"] in TEXT
    keyword = {**schema, "properties": {"name": {"type": "string", "x-verbatim": True}}, "required": ["name"]}
    streamed = ask(client, response_format=schema_format(keyword), stream=True, seed=1)
    assert json.loads("".join(c.choices[0].delta.content or "" for c in streamed if c.choices))["name"] in TEXT


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"extra_body": {"structdiff": {"verbatim": True}, "structured_outputs": {"regex": "a+"}}}, "under a schema"),
        ({"response_format": schema_format({"type": "string", "x-verbatim": {"case": "ignore"}})}, "ignore case"),
        ({"response_format": schema_format({"type": "string", "pattern": "^Z", "x-verbatim": True})}, "no part of the"),
        ({"response_format": schema_format({"type": "string", "x-verbatim": "yes"})}, "x-verbatim is 'yes'"),
    ],
)
def test_what_cannot_be_taken_from_the_message_is_told(client: Any, more: Any, told: str) -> None:
    with pytest.raises(openai.BadRequestError, match=told):
        ask(client, **more)
