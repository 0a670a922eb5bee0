"""vLLM's own server with the embedded checkpoint, and mixed batches of requests to it."""

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
import openai

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "structdiff" / "models" / "embedded"
UP = 900.0
"""Seconds in which the server must be up: on a new machine it compiles its kernels, and a busy one is slow."""

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
    "type": "array", "minItems": 8, "maxItems": 10,
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
            "PYTHONPATH": str(Path(__file__).parent / "environment"),
            "STRUCTDIFF_VLLM_CPU": "1", "TORCHDYNAMO_DISABLE": "1", "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        }  # fmt: skip
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(EMBEDDED),
                 "--host", "127.0.0.1", "--port", str(port), "--served-model-name", "tiny",
                 "--max-model-len", "1024", "--max-num-seqs", "24",
                 "--max-num-batched-tokens", "4096", "--enforce-eager", "--language-model-only",
                 "--dtype", "float32", *flags],
                env=os.environ | set_ | environment, stdout=file, stderr=subprocess.STDOUT, cwd=log.parent,
            )  # fmt: skip
        self.client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0, timeout=120)
        until = time.monotonic() + UP
        while True:
            if self.process.poll() is not None or time.monotonic() > until:
                self.close()
                raise AssertionError(f"the server is not up:\n{self.tail()}")
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
