"""vLLM's own server with the plug-in and the embedded checkpoint, called by OpenAI's client."""

from __future__ import annotations

import concurrent.futures
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

pytest.importorskip("vllm", reason="vLLM is not installed here; make engines-test builds an environment that has it")

import openai

from structdiff.frontends.prompt import build_prompt
from tests.engines.served import LONG, PERSON, PROMPT, TICKET, Server, mixed, started

TOOLS = ("--enable-auto-tool-choice", "--tool-call-parser", "xlam")

PLAIN: dict[str, Any] = {}
"""What vLLM answers without the plug-in."""
FIRST: list[str] = []
"""What it wrote freely with the plug-in, right after its start."""


def free(server: Server) -> list[str]:
    """Free answers one after the other, the first requests of a server."""
    return [server.chat(f"{PROMPT} {i}", max_tokens=60).choices[0].message.content for i in range(3)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    for plain in started(tmp_path_factory.mktemp("plain"), VLLM_PLUGINS="structdiff_faults"):
        PLAIN["free"] = free(plain)
        with pytest.raises(openai.BadRequestError) as caught:
            plain.schema(PERSON)
        PLAIN["refusal"] = caught.value.message
    for one in started(tmp_path_factory.mktemp("plugged"), *TOOLS):
        FIRST[:] = free(one)
        yield one


def test_it_says_that_it_is_on(server: Server) -> None:
    assert "structured outputs are on" in server.log.read_text()


def test_mixed_batches(server: Server) -> None:
    assert len(mixed(server, 24)) == 24


def test_the_model_reads_the_text(server: Server) -> None:
    """Under the prompt that the checkpoint was trained with."""
    assert server.schema(PERSON, build_prompt(PROMPT, PERSON)) == {"name": "Maria Lopez", "age": 34}


def test_four_canvases(server: Server) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": LONG}}
    done = server.chat(response_format=form, max_tokens=400)
    jsonschema.validate(json.loads(done.choices[0].message.content), LONG)
    assert done.usage.completion_tokens > 3 * 48


def test_streaming(server: Server) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": LONG}}
    parts, reasons = [], []
    for event in server.chat(response_format=form, max_tokens=400, stream=True):
        parts += [event.choices[0].delta.content or ""]
        reasons += [event.choices[0].finish_reason]
    jsonschema.validate(json.loads("".join(parts)), LONG)
    assert reasons[-1] == "stop" and sum(map(bool, parts)) >= 4  # canvas by canvas


def test_any_json_object(server: Server) -> None:
    assert isinstance(json.loads(server.text(response_format={"type": "json_object"})), dict)


def test_plain_completions(server: Server) -> None:
    done = server.client.completions.create(
        model="tiny", prompt=PROMPT, max_tokens=20, n=3, extra_body={"structured_outputs": {"regex": "[0-9]{1,3}"}}
    )
    assert all(re.fullmatch("[0-9]{1,3}", choice.text) for choice in done.choices) and len(done.choices) == 3


def test_forced_tools(server: Server) -> None:
    tools = [
        {"type": "function", "function": {"name": "save", "parameters": PERSON}},
        {"type": "function", "function": {"name": "file", "parameters": TICKET}},
    ]
    named = {"type": "function", "function": {"name": "save"}}
    call = server.chat(tools=tools, tool_choice=named).choices[0].message.tool_calls[0].function
    assert call.name == "save"
    jsonschema.validate(json.loads(call.arguments), PERSON)
    for call in server.chat(tools=tools, tool_choice="required").choices[0].message.tool_calls:
        schema = {"save": PERSON, "file": TICKET}[call.function.name]
        jsonschema.validate(json.loads(call.function.arguments), schema)


def test_what_only_structdiff_has(server: Server) -> None:
    extra = {"vllm_xargs": {"structdiff": json.dumps({"pinned": {"age": 99}, "whitespace": "compact"})}}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": PERSON}}
    text = server.text(response_format=form, extra_body=extra)
    assert json.loads(text)["age"] == 99 and '","age":99}' in text
    alone = {"vllm_xargs": {"structdiff": json.dumps({"choice": ["yes", "no"]})}}
    assert server.text(extra_body=alone) in ("yes", "no")


def test_equal_seeds_give_equal_answers(server: Server) -> None:
    def answer(seed: int) -> Any:
        return server.schema(LONG, seed=seed, temperature=2, max_tokens=400)

    assert answer(5) == answer(5)


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"schema": {"type": "strin"}}, "structured_outputs.json", "strin"),
        ({"schema": {"type": "integer", "minimum": 3, "maximum": 2}}, "structured_outputs.json", "no"),
        ({"schema": PERSON, "max_tokens": 5}, "max_tokens", "allow at least"),
        ({"schema": PERSON, "logprobs": True}, "logprobs", "cannot be honoured"),
        ({"schema": PERSON, "stop": ["x"]}, "stop", "would cut"),
        ({"structured_outputs": {"regex": "(a"}}, "structured_outputs.regex", "regex"),
        ({"xargs": '{"pined": {}}', "schema": PERSON}, "vllm_xargs.structdiff", "no field 'pined'"),
        ({"schema": PERSON, "diffusion_max_steps": 3}, "diffusion_max_steps", "cannot be honoured"),
    ],
)  # fmt: skip
def test_bad_requests_are_400(server: Server, fields: dict[str, Any], param: str, said: str) -> None:
    fields = dict(fields)
    extra: dict[str, Any] = {}
    if "schema" in fields:
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": fields.pop("schema")}}
        fields["response_format"] = form
    if "structured_outputs" in fields:
        extra["structured_outputs"] = fields.pop("structured_outputs")
    xargs = {}
    if "xargs" in fields:
        xargs["structdiff"] = fields.pop("xargs")
    if "diffusion_max_steps" in fields:
        xargs["diffusion_max_steps"] = fields.pop("diffusion_max_steps")
    if xargs:
        extra["vllm_xargs"] = xargs
    with pytest.raises(openai.BadRequestError) as caught:
        server.chat(extra_body=extra, **fields)
    assert said in caught.value.message and caught.value.body["param"] == param


def test_nan_logits_end_their_own_request(server: Server) -> None:
    """A 500 for it, never a text; the requests beside it and after it are answered."""
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": LONG}}

    def bad() -> None:
        with pytest.raises(openai.InternalServerError, match="structured output failed"):
            server.chat(response_format=form, max_tokens=400, extra_body={"request_id": "nanlogits"})

    with concurrent.futures.ThreadPoolExecutor(7) as pool:
        failing = pool.submit(bad)
        good = [pool.submit(server.schema, PERSON, seed=i) for i in range(6)]
        failing.result()
        assert all(set(one.result()) == {"name", "age"} for one in good)
    with pytest.raises(openai.APIError, match="structured output failed"):
        for _ in server.chat(response_format=form, max_tokens=400, stream=True,
                             extra_body={"request_id": "nanlogits2"}):  # fmt: skip
            pass
    assert server.schema(PERSON)


def test_a_client_that_hangs_up(server: Server) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": LONG}}
    for _ in range(3):
        stream = server.chat(response_format=form, max_tokens=400, stream=True)
        next(iter(stream))
        stream.close()
    assert len(mixed(server, 6)) == 6


def test_free_answers_are_those_without_the_plug_in(server: Server) -> None:
    assert PLAIN["free"] == FIRST and all(FIRST)
    assert "not yet supported for diffusion" in PLAIN["refusal"]
