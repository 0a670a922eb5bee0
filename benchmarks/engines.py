"""Constraints inside an engine's own server, against free answers to the same prompts; a Markdown report.

    python -m benchmarks.engines URL [--model NAME] [--clients 1 8] [--count 40] [--schemas FOLDER]
        [--bfcl FILE ANSWERS]

URL is that of an OpenAI-compatible server with the plug-in, such as http://localhost:8000 (docs/engines.md). Tasks are
``count`` short messages with a schema each, a sample of JSONSchemaBench from FOLDER (``*.jsonl.gz``), and calls of
BFCL's live simple category: FILE and ANSWERS are its JSON lines. Each task is asked for twice, freely and under its
schema, at each number of clients. Answers are judged by jsonschema and, for calls, by BFCL's listed values.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import platform
import random
import re
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.random_logits import problem, validator

PEOPLE = ("Maria Lopez", "Jonas Berg", "Aiko Tanaka", "Samuel Okoro", "Lena Fischer", "Omar Haddad")
CITIES = ("Lyon", "Oslo", "Kyoto", "Lagos", "Bremen", "Amman")
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "city": {"type": "string"}},
    "required": ["name", "age", "city"],
    "additionalProperties": False,
}
BFCL_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None}


@dataclass(frozen=True)
class Task:
    """A prompt, the schema of its answer, and for each argument the values that are right."""

    kind: str
    prompt: str
    schema: Any
    right: dict[str, list[Any]] | None = None


@dataclass
class Tally:
    """What became of the answers of one kind of task."""

    asked: int = 0
    valid: int = 0
    right: int = 0
    judged: int = 0
    refused: int = 0
    tokens: int = 0
    seconds: list[float] = field(default_factory=list)


def messages(count: int) -> list[Task]:
    """Short messages that hold all that their schema asks for."""
    out = []
    for i in range(count):
        name, city, age = PEOPLE[i % len(PEOPLE)], CITIES[i // 2 % len(CITIES)], 20 + 7 * i % 60
        right = {"name": [name], "age": [age], "city": [city]}
        out.append(Task("messages", f"Hello, I am {name} from {city}, {age} years old.", PERSON, right))
    return out


def bench_schemas(folder: Path, count: int, seed: int = 0) -> list[Task]:
    """A sample of JSONSchemaBench: the model is asked for any instance."""
    lines = [
        line for path in sorted(folder.glob("*.jsonl.gz")) for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    chosen = random.Random(seed).sample(lines, min(count, len(lines)))
    return [Task("JSONSchemaBench", "Write an example.", json.loads(line)["schema"]) for line in chosen]


def plain_schema(found: Any) -> Any:
    """A schema of BFCL in JSON Schema's own types.

    >>> plain_schema({"type": "dict", "properties": {"x": {"type": "float"}}})
    {'type': 'object', 'properties': {'x': {'type': 'number'}}}
    """
    if isinstance(found, list):
        return [plain_schema(one) for one in found]
    if not isinstance(found, dict):
        return found
    out = {key: plain_schema(value) for key, value in found.items()}
    if isinstance(kind := out.get("type"), str) and kind in BFCL_TYPES:
        out["type"] = BFCL_TYPES[kind]
        if out["type"] is None:
            del out["type"]
    return out


def calls(questions: Path, answers: Path, count: int) -> list[Task]:
    """BFCL's simple calls: one function each, and the values that each argument may take."""
    listed = {one["id"]: one["ground_truth"][0] for one in map(json.loads, answers.read_text().splitlines())}
    out = []
    for line in questions.read_text().splitlines()[:count]:
        one = json.loads(line)
        said = "\n".join(turn["content"] for turn in one["question"][0])
        (function,) = one["function"]
        prompt = f"{said}\n\nGive the arguments of {function['name']}: {function['description']}"
        (right,) = listed[one["id"]].values()
        out.append(Task("BFCL live simple", prompt, plain_schema(function["parameters"]), right))
    return out


def is_right(value: Any, right: dict[str, list[Any]]) -> bool:
    """Does every argument have a listed value? One that may be empty may be missing.

    >>> is_right({"x": 1}, {"x": [1, 2], "y": ["", "z"]}), is_right({"x": 3}, {"x": [1, 2]})
    (True, False)
    """
    if not isinstance(value, dict) or set(value) - set(right):
        return False
    return all(value[name] in allowed if name in value else "" in allowed for name, allowed in right.items())


async def ask(http: httpx.AsyncClient, model: str, task: Task, constrained: bool, tally: Tally) -> None:
    """One answer, judged."""
    form = f"\n\nAnswer with JSON of this schema and nothing else:\n{json.dumps(task.schema)}"
    body: dict[str, Any] = {
        "model": model, "max_tokens": 512, "messages": [{"role": "user", "content": task.prompt + form}],
    }  # fmt: skip
    if constrained:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": task.schema}}
    tally.asked += 1
    begun = time.perf_counter()
    answer = await http.post("/v1/chat/completions", json=body)
    if answer.status_code == 400:
        tally.refused += 1
        return
    answer.raise_for_status()
    found = answer.json()
    tally.seconds.append(time.perf_counter() - begun)
    tally.tokens += found["usage"]["completion_tokens"]
    text = re.sub(r"^```(?:json)?\n|\n```$", "", found["choices"][0]["message"]["content"].strip())
    valid = not problem(text, 0, 0, validator(task.schema))
    tally.valid += valid
    if task.right is not None:
        tally.judged += 1
        tally.right += valid and is_right(json.loads(text), task.right)


async def counters(http: httpx.AsyncClient) -> tuple[float, float]:
    """(denoising steps, committed tokens) that the server has counted."""
    text = (await http.get("/metrics")).text

    def total(name: str) -> float:
        return sum(map(float, re.findall(rf"^vllm:diffusion_num_{name}_total\{{.*\}} (\S+)$", text, re.M)))

    return total("denoising_steps"), total("committed_tokens")


async def run(url: str, model: str, tasks: Sequence[Task], clients: int, constrained: bool) -> list[str]:
    """The rows of a table: all tasks by so many clients."""
    tallies = {task.kind: Tally() for task in tasks}
    queue = list(tasks)
    async with httpx.AsyncClient(base_url=url, timeout=600) as http:
        before, begun = await counters(http), time.perf_counter()

        async def client() -> None:
            while queue:
                task = queue.pop(0)
                await ask(http, model, task, constrained, tallies[task.kind])

        await asyncio.gather(*(client() for _ in range(clients)))
        wall, after = time.perf_counter() - begun, await counters(http)
    steps, committed = after[0] - before[0], after[1] - before[1]
    rate = sum(tally.tokens for tally in tallies.values()) / wall
    per_token = f"{steps / committed:.3f}" if committed else "not counted"
    how = "constrained" if constrained else "free"
    return [
        f"| {kind} | {how} | {clients} | {t.valid} of {t.asked} | {f'{t.right} of {t.judged}' if t.judged else ''} | "
        f"{t.refused} | {statistics.median(t.seconds) if t.seconds else 0:.2f} | {rate:.0f} | {per_token} |"
        for kind, t in tallies.items()
    ]


def report(url: str, model: str, version: str, rows: Iterable[str]) -> str:
    """The page."""
    return "\n".join([
        f"# Constraints inside vLLM {version}", "",
        f"Model {model}, Python {platform.python_version()}, {time.strftime('%d %B %Y')}; "
        "`python -m benchmarks.engines URL`. Tokens and steps are of all tasks together.", "",
        "| tasks | answers | clients | valid | right | refused | median s | tokens/s | steps per token |",
        "|---|---|---|---|---|---|---|---|---|", *rows, "",
    ])  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--model", help="the name that the server gives it; by default the first")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--count", type=int, default=40, help="tasks of each kind")
    parser.add_argument("--schemas", type=Path)
    parser.add_argument("--bfcl", type=Path, nargs=2)
    options = parser.parse_args(arguments)
    tasks = messages(options.count)
    if options.schemas:
        tasks += bench_schemas(options.schemas, options.count)
    if options.bfcl:
        tasks += calls(*options.bfcl, options.count)
    served = httpx.get(f"{options.url}/v1/models").raise_for_status().json()["data"]
    model = options.model or served[0]["id"]
    version = httpx.get(f"{options.url}/version").json().get("version", "unknown")
    rows = []
    for clients in options.clients:
        for constrained in (False, True):
            rows += asyncio.run(run(options.url, model, tasks, clients, constrained))
    print(report(options.url, model, version, rows))


if __name__ == "__main__":
    main()
