"""A service under load: every answer is judged by jsonschema, every refusal must be an honest 429.

    python -m benchmarks.service [--clients 1 16 64] [--seconds 60] [--schemas 20]

Clients ask one after the other, each with the next schema, over their own connections; a client that gets a 429 waits
as long as the service says. Exits with 1 when an answer is invalid, lost or another error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import sys
import threading
import time
from collections import Counter
from typing import Any

import httpx
import jsonschema
import uvicorn

import structdiff
from structdiff.server.app import Service


def schema_of(i: int) -> dict[str, Any]:
    """Small schemas, all different."""
    properties = {f"field_{i}": {"type": "integer", "minimum": 0, "maximum": 10 + i}, "sure": {"type": "boolean"}}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def resident() -> float:
    """Megabytes of this process in memory now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def load(
    url: str, clients: int, seconds: float, schemas: list[dict[str, Any]]
) -> tuple[Counter[str], list[float]]:
    """What became of the requests, and the seconds that answers took."""
    counts: Counter[str] = Counter()
    times: list[float] = []
    ends = time.perf_counter() + seconds

    async def client(number: int, http: httpx.AsyncClient) -> None:
        turn = number
        while time.perf_counter() < ends:
            schema, body = schemas[turn % len(schemas)], request(turn, schemas)
            turn += clients
            begun = time.perf_counter()
            try:
                answer = await http.post(f"{url}/v1/chat/completions", json=body)
            except httpx.HTTPError as error:
                counts[f"lost: {type(error).__name__}"] += 1
                continue
            if answer.status_code == 429:
                counts["429"] += 1
                await asyncio.sleep(int(answer.headers["retry-after"]))
            elif answer.status_code != 200:
                counts[f"status {answer.status_code}"] += 1
            else:
                times.append(time.perf_counter() - begun)
                try:
                    jsonschema.validate(json.loads(answer.json()["choices"][0]["message"]["content"]), schema)
                    counts["valid"] += 1
                except (ValueError, jsonschema.ValidationError):
                    counts["invalid"] += 1

    async with httpx.AsyncClient(timeout=300, limits=httpx.Limits(max_connections=None)) as http:
        await asyncio.gather(*(client(i, http) for i in range(clients)))
    return counts, times


def request(turn: int, schemas: list[dict[str, Any]]) -> dict[str, Any]:
    """The body of request number ``turn``."""
    schema = schemas[turn % len(schemas)]
    return {
        "model": "embedded",
        "messages": [{"role": "user", "content": f"There are {turn % 10} of them, surely."}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        "seed": turn,
    }


def compared(service: Service, url: str, seconds: float, schemas: list[dict[str, Any]]) -> str:
    """Seconds of the same requests over HTTP and as calls in Python, one after the other in turn; no fields."""
    times: dict[str, list[float]] = {"HTTP": [], "direct": []}
    ends, turn = time.perf_counter() + seconds, 0
    with httpx.Client(timeout=300) as http:
        while time.perf_counter() < ends:
            body = request(turn, schemas)
            begun = time.perf_counter()
            http.post(f"{url}/v1/chat/completions", json=body).raise_for_status()
            times["HTTP"].append(time.perf_counter() - begun)
            begun = time.perf_counter()
            service.model.generate(body["messages"][0]["content"], schemas[turn % len(schemas)], seed=turn)
            times["direct"].append(time.perf_counter() - begun)
            turn += 1
    http_, direct = (statistics.median(times[name]) for name in ("HTTP", "direct"))
    return f"{turn} requests in turn: HTTP median {http_:.3f} s, direct {direct:.3f} s, ratio {direct / http_:.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--schemas", type=int, default=20)
    parser.add_argument(
        "--direct", action="store_true", help="the same requests as calls in Python too, in turn with HTTP"
    )
    asked = parser.parse_args()
    service = Service(structdiff.load("tiny"))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(service.app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    schemas = [schema_of(i) for i in range(asked.schemas)]
    for schema in schemas:  # compilation is measured elsewhere
        service.model.compile(schema, limits=structdiff.Limits(seconds=service.settings.compile_seconds))
    failed = False
    if asked.direct:
        print(compared(service, url, asked.seconds, schemas), flush=True)
    for clients in asked.clients:
        before, begun = resident(), time.perf_counter()
        counts, times = asyncio.run(load(url, clients, asked.seconds, schemas))
        rate = len(times) / (time.perf_counter() - begun)
        middle = statistics.median(times) if times else float("nan")
        print(f"{clients} clients: {rate:.2f} answers a second, median {middle:.2f} s, {dict(counts)}, "
              f"memory {before:.0f} to {resident():.0f} MB", flush=True)  # fmt: skip
        failed |= bool(set(counts) - {"valid", "429"})
    server.should_exit = True
    thread.join()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
