"""The plug-in for llm, from its own command line and its own Python interface (`make loops-test` has the package)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

llm = pytest.importorskip("llm", reason="llm is not installed; make loops-test has it")

TEXT = "My name is Ada Lovelace and I am 36 years old."
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


def run(folder: Path, *arguments: str, text: str | None = TEXT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "llm", *arguments], input=text, capture_output=True, text=True,
        env=os.environ | {"LLM_USER_PATH": str(folder)},
    )  # fmt: skip


def test_the_command_line_answers_and_its_log_is_read(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "structdiff", "--schema", "name, age int")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"name": "Ada Lovelace", "age": 36}
    logged = run(tmp_path, "logs", "--data", "--schema", "name, age int", text=None)
    assert json.loads(logged.stdout) == {"name": "Ada Lovelace", "age": 36}


def test_what_cannot_be_done_is_one_line(tmp_path: Path) -> None:
    refused = tmp_path / "refused.json"
    refused.write_text(json.dumps({"type": "array", "contains": {}, "uniqueItems": True}))
    small = run(tmp_path, "-m", "structdiff", "--schema", "name, age int", "-o", "max_tokens", "3")
    schema = run(tmp_path, "-m", "structdiff", "--schema", str(refused))
    for done, told in ((small, "allow at least"), (schema, "uniqueItems cannot be enforced")):
        assert done.returncode == 1 and done.stderr.startswith("Error: ") and told in done.stderr
        assert "Traceback" not in done.stderr


def test_chunks_usage_options_and_awaiting() -> None:
    model, text = llm.get_model("structdiff"), TEXT + " My brother is Bob, 31, my sister Eve, 29."
    schema: dict[str, Any] = {"type": "array", "items": SCHEMA, "minItems": 4, "maxItems": 4}
    response = model.prompt(text, schema=schema, max_tokens=200, seed=3)
    chunks = list(response)
    jsonschema.validate(json.loads("".join(chunks)), schema)
    assert len(chunks) > 1  # one for each canvas
    assert response.input_tokens > 20 and response.output_tokens > 48
    again = model.prompt(text, schema=schema, max_tokens=200, seed=3)
    assert again.text() == "".join(chunks)

    async def awaited() -> str:
        return await llm.get_async_model("structdiff").prompt(text, schema=schema, max_tokens=200, seed=3).text()

    assert asyncio.run(awaited()) == "".join(chunks)
    with pytest.raises(llm.ModelError, match="the text is empty"):
        model.prompt("", schema=SCHEMA).text()
    with pytest.raises(llm.ModelError, match="needs 8 tokens but max_tokens is 2"):
        asyncio.run(llm.get_async_model("structdiff").prompt(TEXT, schema=SCHEMA, max_tokens=2).text())
