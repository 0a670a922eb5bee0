"""Mixed load for a long time: clients of every kind with attackers among them. Nothing may be lost, invalid or 5xx.

    python -m benchmarks.soak [--minutes 30] [--clients 64] [--attackers 2] [--json OUT]

The service runs as in `benchmarks.attack`. Each client has a key of its own and asks in turn for an object, the same
as a stream, a tool or a text (``tool_choice: "auto"``), an object of the Responses API, and a text under a pattern.
The judges are jsonschema and `re`. A 429 is an honest answer: the client waits as long as it says. The attackers share
a key and an address and go through all attacks, one after the other. A line a minute says what the clients saw, and the
memory of the serving process. Exits with 1 where an answer was lost, invalid or 5xx; a 503 to an attacker is the bound
on the connections of an address.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import jsonschema

from benchmarks.attack import ATTACKS, HOSTILE, ROOT, Figures, Hostile, Service, asked, schema_of

PATIENCE = 300.0
"""Seconds that a client waits for an answer."""
ROUND = 15.0
"""Seconds of one attack."""
PATTERN = r"[A-Z]{2}-[0-9]{3,5}"
TEXT = "Order AB-1234 came on Monday: 3 pieces, surely."


class Wrong(Exception):
    """An answer that its schema or pattern does not allow, or with another status than 200 and 429."""


async def posted(http: httpx.AsyncClient, path: str, body: Any) -> Any:
    """The JSON of a 200; waits as a 429 says and asks again."""
    while True:
        answer = await http.post(path, json=body)
        if answer.status_code == 200:
            return answer.json()
        if answer.status_code != 429:
            raise Wrong(f"status {answer.status_code}: {answer.text[:200]}")
        await asyncio.sleep(float(answer.headers["retry-after"]))


def judge(text: str, schema: Any) -> None:
    try:
        jsonschema.validate(json.loads(text), schema)
    except (ValueError, jsonschema.ValidationError) as error:
        raise Wrong(f"invalid: {text[:200]}") from error


async def an_object(http: httpx.AsyncClient, number: int, seed: int) -> None:
    answer = await posted(http, "/v1/chat/completions", asked(schema_of(number), TEXT, seed=seed))
    judge(answer["choices"][0]["message"]["content"], schema_of(number))


async def a_stream(http: httpx.AsyncClient, number: int, seed: int) -> None:
    body, parts = asked(schema_of(number), TEXT, seed=seed, stream=True), []
    while True:
        async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
            if answer.status_code == 200:
                async for line in answer.aiter_lines():
                    if line.startswith("data: {"):
                        told = json.loads(line[6:])
                        if "error" in told:
                            raise Wrong(f"stream: {line[:200]}")
                        parts += [c["delta"].get("content") or "" for c in told["choices"]]
                break
            if answer.status_code != 429:
                raise Wrong(f"status {answer.status_code}")
            wait = float(answer.headers["retry-after"])
        await asyncio.sleep(wait)
    judge("".join(parts), schema_of(number))


async def a_tool(http: httpx.AsyncClient, number: int, seed: int) -> None:
    tool = {"type": "function", "function": {"name": "order", "parameters": schema_of(number)}}
    body = asked(None, TEXT, seed=seed, tools=[tool], tool_choice="auto", max_tokens=96)
    del body["response_format"]
    message = (await posted(http, "/v1/chat/completions", body))["choices"][0]["message"]
    for call in message.get("tool_calls") or ():
        judge(call["function"]["arguments"], schema_of(number))
    if not message.get("tool_calls") and not isinstance(message["content"], str):
        raise Wrong("neither a call nor a text")


async def a_response(http: httpx.AsyncClient, number: int, seed: int) -> None:
    form = {"format": {"type": "json_schema", "name": "x", "schema": schema_of(number)}}
    answer = await posted(http, "/v1/responses", {"model": "embedded", "input": TEXT, "text": form})
    texts = [part["text"] for item in answer["output"] if item["type"] == "message" for part in item["content"]]
    judge("".join(texts), schema_of(number))


async def a_pattern(http: httpx.AsyncClient, number: int, seed: int) -> None:
    body = asked(None, TEXT, seed=seed, structured_outputs={"regex": PATTERN})
    del body["response_format"]
    text = (await posted(http, "/v1/chat/completions", body))["choices"][0]["message"]["content"]
    if not re.fullmatch(PATTERN, text):
        raise Wrong(f"invalid: {text[:200]}")


KINDS: dict[str, Callable[[httpx.AsyncClient, int, int], Awaitable[None]]] = {
    "object": an_object, "stream": a_stream, "tool": a_tool, "response": a_response, "pattern": a_pattern,
}  # fmt: skip


async def client(number: int, service: Service, key: str, found: Figures, ends: float) -> None:
    """One request after the other's answer, each kind in turn."""
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(timeout=PATIENCE, headers=headers, base_url=service.url) as http:
        for seed, (name, ask) in zip(itertools.count(number, 64), itertools.cycle(KINDS.items()), strict=False):
            if time.monotonic() > ends:
                return
            begun = time.monotonic()
            try:
                await ask(http, number % 20, seed)
                found.normal[f"valid {name}"] += 1
            except Wrong as error:
                found.normal[f"WRONG {name}: {error}"] += 1
            except httpx.HTTPError as error:
                found.normal[f"LOST {name}: {type(error).__name__}"] += 1
            found.seconds.append(time.monotonic() - begun)


async def attacker(number: int, service: Service, found: Figures, ends: float) -> None:
    """All attacks, one after the other, each for `ROUND` seconds."""
    attacks = [attack for attack in ATTACKS.values() if attack is not None]
    for attack in itertools.islice(itertools.cycle(attacks), number * len(attacks) // 2, None):
        if time.monotonic() > ends:
            return
        await attack(Hostile(service, found, min(ends, time.monotonic() + ROUND)))


async def told(service: Service, found: Figures, ends: float, memory: list[float]) -> None:
    """A line a minute."""
    print("| minute | answers | p50 s | p99 s | MB |\n|---:|---:|---:|---:|---:|", flush=True)
    seen = 0
    for minute in itertools.count(1):
        if time.monotonic() > ends - 30:
            return
        await asyncio.sleep(60)
        last = Figures("minute", found.seconds[seen:])
        seen = len(found.seconds)
        memory.append(service.resident())
        print(
            f"| {minute} | {len(last.seconds)} | {last.at(0.5):.2f} | {last.at(0.99):.2f} | {memory[-1]:.0f} |",
            flush=True,
        )


async def run(chosen: argparse.Namespace) -> int:
    keys = tuple(f"key-{i}" for i in range(chosen.clients - chosen.attackers))
    service, found, memory = Service(chosen.tree.resolve(), (*keys, HOSTILE)), Figures("soak"), []
    try:
        ends = time.monotonic() + 60 * chosen.minutes
        await asyncio.gather(
            told(service, found, ends, memory),
            *(client(i, service, key, found, ends) for i, key in enumerate(keys)),
            *(attacker(i, service, found, ends) for i in range(chosen.attackers)),
        )
        frozen = not await asyncio.to_thread(service.alive)
    finally:
        service.stop()
    wrong = {what: n for what, n in found.normal.items() if not what.startswith("valid")}
    third = max(len(memory) // 3, 1)
    print(f"\n{chosen.clients} clients, {chosen.attackers} of them attackers, {chosen.minutes} minutes")
    print(f"normal: {dict(found.normal)}; p50 {found.at(0.5):.2f} s, p99 {found.at(0.99):.2f} s")
    print(f"attackers: {dict(found.hostile)}{'; FROZEN' if frozen else ''}")
    if memory:
        middle, last = statistics.median(memory[third : 2 * third] or memory), statistics.median(memory[-third:])
        print(f"memory: median of the second third {middle:.0f} MB, of the last {last:.0f} MB")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found.row() | {"memory": memory}, indent=1))
    return int(frozen or bool(wrong) or any(what[0] == "5" and what != "503" for what in found.hostile))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=ROOT)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--attackers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
