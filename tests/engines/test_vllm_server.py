"""vLLM's own server with the plug-in and the embedded checkpoint, called by OpenAI's client."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

pytest.importorskip("vllm", reason="vLLM is not installed here; make engines-test builds an environment that has it")

import openai

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "structdiff" / "models" / "embedded"
UP = 240.0
"""Seconds in which the server must be up: on a new machine it compiles its kernels."""

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TICKET = {
    "type": "object",
    "properties": {"kind": {"enum": ["bug", "question"]}, "urgent": {"type": "boolean"}, "words": {
        "type": "array", "items": {"type": "string", "maxLength": 8}, "maxItems": 3}},
    "required": ["kind", "urgent", "words"],
}  # fmt: skip
LONG = {
    "type": "array", "minItems": 6, "maxItems": 8,
    "items": {"type": "object", "properties": {
        "street": {"type": "string", "minLength": 12, "maxLength": 24}, "number": {"type": "integer"}},
        "required": ["street", "number"]},
}  # fmt: skip
"""No output of less than four canvases of 48 tokens."""
PROMPT = "Maria Lopez is 34 years old and lives in Lyon."


class Server:
    """A server process and its log."""

    def __init__(self, log: Path, *flags: str, **environment: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.log = log
        set_ = {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent / "environment")]),
            "STRUCTDIFF_VLLM_CPU": "1", "TORCHDYNAMO_DISABLE": "1", "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(EMBEDDED), "--port", str(port),
                 "--host", "127.0.0.1", "--served-model-name", "tiny", "--max-model-len", "1024", "--max-num-seqs", "24",
                 "--max-num-batched-tokens", "4096", "--enforce-eager", *flags],
                env=os.environ | set_ | environment, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0, timeout=120)
        until = time.monotonic() + UP
        while True:
            assert self.process.poll() is None and time.monotonic() < until, f"the server is not up:\n{self.tail()}"
            with contextlib.suppress(openai.APIError):
                self.client.models.list()
                return
            time.sleep(0.5)

    def tail(self) -> str:
        return self.log.read_text()[-4000:]

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def chat(self, prompt: str = PROMPT, **fields: Any) -> Any:
        fields = {"max_tokens": 300, **fields}
        return self.client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": prompt}], **fields
        )

    def text(self, prompt: str = PROMPT, **fields: Any) -> str:
        choice = self.chat(prompt, **fields).choices[0]
        assert choice.finish_reason == "stop", choice
        return choice.message.content

    def schema(self, schema: Any, prompt: str = PROMPT, **fields: Any) -> Any:
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        value = json.loads(self.text(prompt, response_format=form, **fields))
        jsonschema.validate(value, schema)
        return value


def started(folder: Path, *flags: str, **environment: str) -> Iterator[Server]:
    server = Server(folder / "log.txt", *flags, **environment)
    try:
        yield server
    finally:
        server.close()


TOOLS = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
FREE: dict[str, list[str]] = {}
"""What the servers wrote freely right after their start, by server."""


def free(server: Server) -> list[str]:
    """Free answers one after the other, the first requests of a server."""
    return [server.chat(f"{PROMPT} {i}", max_tokens=60).choices[0].message.content for i in range(3)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    for one in started(tmp_path_factory.mktemp("plugged"), *TOOLS):
        FREE["with"] = free(one)
        yield one


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Another one: the asynchronous scheduler, and so few blocks that requests are preempted."""
    yield from started(
        tmp_path_factory.mktemp("tight"), "--num-gpu-blocks-override", "14", "--block-size", "32",
        STRUCTDIFF_TEST_ASYNC="1",
    )  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """vLLM without the plug-in."""
    yield from started(tmp_path_factory.mktemp("plain"), VLLM_PLUGINS="structdiff_faults")


def mixed(server: Server, count: int) -> list[str]:
    """So many requests at once, of six kinds; each answer is judged. The kinds, for counting."""
    names = ("Ada Moss", "Ben Kay", "Cleo Diaz", "Dan Wu")

    def one(i: int) -> str:
        kind = ("person", "ticket", "long", "regex", "choice", "free")[i % 6]
        prompt = f"{names[i % 4]} is {20 + i} years old. The printer is broken, please help!"
        if kind == "person":
            server.schema(PERSON, prompt, seed=i)
        elif kind == "ticket":
            server.schema(TICKET, prompt, temperature=0)
        elif kind == "long":
            server.schema(LONG, prompt, max_tokens=400)
        elif kind == "regex":
            text = server.text(prompt, extra_body={"structured_outputs": {"regex": "[A-Z]{2}-[0-9]{4}"}})
            assert re.fullmatch("[A-Z]{2}-[0-9]{4}", text)
        elif kind == "choice":
            text = server.text(prompt, extra_body={"structured_outputs": {"choice": ["bug", "question"]}})
            assert text in ("bug", "question")
        else:
            assert server.chat(prompt, max_tokens=60).choices[0].finish_reason in ("stop", "length")
        return kind

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_it_says_that_it_is_on(server: Server) -> None:
    assert "structured outputs are on" in server.log.read_text()


def test_mixed_batches(server: Server) -> None:
    assert len(mixed(server, 24)) == 24


def test_the_model_reads_the_text(server: Server) -> None:
    assert server.schema(PERSON) == {"name": "Maria Lopez", "age": 34}


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
        ({"schema": {"type": "strin"}}, "structured_outputs.json", "'strin' is not a JSON type"),
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


def test_preemption_under_the_asynchronous_scheduler(tight: Server) -> None:
    assert len(mixed(tight, 12)) == 12
    log = tight.log.read_text()
    assert "synchronous scheduling is enabled" in log
    metrics = tight.client.base_url.join("/metrics")
    import httpx

    counted = re.search(r"^vllm:num_preemptions_total\{.*\} (\S+)$", httpx.get(str(metrics)).text, re.M)
    assert counted and float(counted[1]) > 0


def test_free_answers_are_those_without_the_plug_in(server: Server, plain: Server) -> None:
    assert FREE["with"] == free(plain)


def test_without_the_plug_in_vllm_refuses(plain: Server) -> None:
    with pytest.raises(openai.BadRequestError, match="not yet supported"):
        plain.schema(PERSON)
