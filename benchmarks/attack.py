"""Attacks on a live service with four normal clients beside them: what the clients feel, and what the service costs.

    python -m benchmarks.attack [--tree FOLDER] [--seconds 8] [--only NAME ...] [--json OUT]
    python -m benchmarks.attack --compare BEFORE.json AFTER.json

The service is started from ``--tree`` (a checkout; this one by default) with two API keys, one of the normal clients
and one of the attacker. Normal answers are judged by jsonschema. A service that does not answer any more is started
anew. Exits with 1 where an answer was invalid, lost or 5xx; a 503 to an attacker is the bound on connections.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jsonschema

ROOT = Path(__file__).parents[1]
NORMAL, HOSTILE = "normal-key", "hostile-key"
AWAY = "127.0.0.2"
"""The attacker's address: connections are bounded for each address."""
PATIENCE = 25.0
"""Seconds that a normal client waits for an answer."""


@dataclass
class Figures:
    """What four normal clients saw for some seconds, and what became of the attacker's requests."""

    name: str
    seconds: list[float] = field(default_factory=list)
    normal: Counter[str] = field(default_factory=Counter)
    hostile: Counter[str] = field(default_factory=Counter)
    grown: float = 0.0
    frozen: bool = False

    def at(self, share: float) -> float:
        """The quantile of the seconds that answers took."""
        ordered = sorted(self.seconds)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")

    def row(self) -> dict[str, Any]:
        return {
            "attack": self.name, "answers": len(self.seconds), "p50": self.at(0.5), "p99": self.at(0.99),
            "normal": dict(self.normal), "hostile": dict(self.hostile), "grown": self.grown, "frozen": self.frozen,
        }  # fmt: skip


class Service:
    """``structdiff serve`` of a checkout, in a process of its own, with a key for each client that there is."""

    def __init__(self, tree: Path, keys: tuple[str, ...] = (NORMAL, HOSTILE)) -> None:
        self.tree, self.keys, self.folder = tree, keys, Path(tempfile.mkdtemp(prefix="attack-"))
        (self.folder / "structdiff_cli").symlink_to(tree / "cli")
        self.start()

    def start(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        environment = os.environ | {
            "PYTHONPATH": f"{self.tree}{os.pathsep}{self.folder}", "STRUCTDIFF_API_KEYS": ",".join(self.keys),
            "STRUCTDIFF_MODEL": "tiny",  # trees that do not know this have no other model
        }  # fmt: skip
        command = [
            sys.executable, "-c", "from structdiff_cli.main import cli; cli()", "serve", "--port", str(self.port),
        ]  # fmt: skip
        log = (self.folder / "log").open("w")
        self.process = subprocess.Popen(command, cwd=self.tree, env=environment, stdout=log, stderr=log)
        ends = time.monotonic() + 240
        while not self.alive():
            if self.process.poll() is not None or time.monotonic() > ends:
                raise SystemExit(f"the service did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.3)

    def alive(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        return False

    def resident(self) -> float:
        """Megabytes of the process in memory."""
        with contextlib.suppress(OSError):
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        return float("nan")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def schema_of(i: int) -> dict[str, Any]:
    """The schema of normal client i."""
    properties = {f"field_{i}": {"type": "integer", "minimum": 0, "maximum": 10 + i}, "sure": {"type": "boolean"}}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def asked(schema: Any, text: str = "There are 3 of them, surely.", **more: Any) -> dict[str, Any]:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    return {"model": "embedded", "messages": [{"role": "user", "content": text}], "response_format": form} | more


async def normal(number: int, service: Service, found: Figures, ends: float) -> None:
    """One client after another's answer, each judged."""
    headers = {"authorization": f"Bearer {NORMAL}"}
    async with httpx.AsyncClient(timeout=PATIENCE, headers=headers) as http:
        for seed in itertools.count(number, 4):
            if time.monotonic() > ends:
                return
            schema, begun = schema_of(number), time.monotonic()
            try:
                answer = await http.post(f"{service.url}/v1/chat/completions", json=asked(schema, seed=seed))
            except httpx.HTTPError as error:
                found.normal[f"lost: {type(error).__name__}"] += 1
                found.seconds.append(time.monotonic() - begun)
                continue
            if answer.status_code == 429:
                found.normal["429"] += 1
                await asyncio.sleep(min(float(answer.headers.get("retry-after", 1)), 5))
                continue
            found.seconds.append(time.monotonic() - begun)
            if answer.status_code != 200:
                found.normal[str(answer.status_code)] += 1
                continue
            try:
                jsonschema.validate(json.loads(answer.json()["choices"][0]["message"]["content"]), schema)
                found.normal["valid"] += 1
            except (ValueError, jsonschema.ValidationError):
                found.normal["invalid"] += 1


Attack = Callable[["Hostile"], Awaitable[None]]


class Hostile:
    """The attacker: sends requests until its time is over and counts what comes back."""

    def __init__(self, service: Service, found: Figures, ends: float) -> None:
        self.service, self.found, self.ends = service, found, ends
        self.headers = {"authorization": f"Bearer {HOSTILE}", "content-type": "application/json"}
        self.numbers = itertools.count()

    @property
    def on(self) -> bool:
        return time.monotonic() < self.ends

    async def send(self, body: Any, timeout: float = 20, pause: float = 0.05) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        left = max(0.1, min(timeout, self.ends - time.monotonic() + 2))
        try:
            away = httpx.AsyncHTTPTransport(local_address=AWAY)
            async with httpx.AsyncClient(transport=away, timeout=left, headers=self.headers) as http:
                answer = await http.post(f"{self.service.url}/v1/chat/completions", content=content)
            said = answer.text.lower()
            wrong = answer.status_code == 200 and re.search(r'"content": ?"-?(inf|nan)', said) is not None
            self.found.hostile[f"{answer.status_code}{' (inf or nan)' if wrong else ''}"] += 1
        except httpx.HTTPError:
            self.found.hostile["gone"] += 1
        await asyncio.sleep(pause)

    async def keep(self, width: int, make: Callable[[int], Any], timeout: float = 20) -> None:
        """``width`` requests at a time until the time is over."""

        async def one() -> None:
            while self.on:
                await self.send(make(next(self.numbers)), timeout)

        await asyncio.gather(*(one() for _ in range(width)))


def doubling(i: int) -> Any:
    parts = {f"a{k}": {"anyOf": [{"$ref": f"#/$defs/a{k + 1}"}, {"$ref": f"#/$defs/a{k + 1}"}]} for k in range(40)}
    return asked({"$ref": "#/$defs/a0", "$defs": {**parts, "a40": {"enum": ["one", f"two {i}"]}}})


def recursive(i: int) -> Any:
    names = [f"Kind{k}" for k in range(7)]
    kinds = {n: {"type": "object", "properties": {f"to_{m}": {"$ref": f"#/$defs/{m}"} for m in names}} for n in names}
    return asked({"$ref": "#/$defs/Kind0", "$defs": kinds, "$comment": str(i)}, max_tokens=48)


def numbers(i: int) -> Any:
    schema = ['{"const": 1e400}', '{"const": NaN}', '{"enum": [-1e400, 1e400]}'][i % 3]
    return json.dumps(asked("HERE")).replace('"HERE"', schema).encode()


def broken(i: int) -> Any:
    bodies = [b"[" * 100_000, b'{"a":' * 50_000, json.dumps(asked(schema_of(0), "X")).replace("X", "\\ud83d").encode()]
    return bodies[i % 3]


def slow_schema(i: int) -> Any:
    return asked(None) | {"response_format": None, "structured_outputs": {"regex": f"((a|b)*a(a|b){{15}}){i}"}}


def expensive(i: int) -> Any:
    regex = {"regex": "(a|b)*a(a|b){13}"}
    return asked(None) | {"response_format": None, "structured_outputs": regex, "n": 16, "max_tokens": 96, "seed": i}


def crowd(i: int) -> Any:
    long = {
        "type": "array",
        "items": {"type": "string", "minLength": 20, "maxLength": 40},
        "minItems": 8,
        "maxItems": 9,
    }
    return asked(long, n=16, max_tokens=480, seed=i)


async def slow_headers(hostile: Hostile) -> None:
    """Three hundred connections that say a byte now and then."""
    writers = []
    for _ in range(300):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", hostile.service.port, local_addr=(AWAY, 0))
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-A: ")
            writers.append(writer)
        except OSError:
            hostile.found.hostile["refused"] += 1
    while hostile.on:
        for writer in writers:
            if not writer.is_closing():
                writer.write(b"a")
        await asyncio.sleep(1)
    for writer in writers:
        hostile.found.hostile["closed" if writer.is_closing() else "open at the end"] += 1
        writer.close()


ATTACKS: dict[str, Attack | None] = {
    "quiet": None,
    "definitions that double": lambda h: h.keep(1, doubling),
    "seven types that hold each other": lambda h: h.keep(2, recursive),
    "infinite numbers": lambda h: h.keep(1, numbers),
    "broken bodies": lambda h: h.keep(2, broken),
    "texts of a megabyte": lambda h: h.keep(4, lambda i: asked(schema_of(1), f"{i} " + "word " * 190_000)),
    "comments of a megabyte": lambda h: h.keep(4, lambda i: asked(schema_of(1) | {"$comment": f"{i}" + "x" * 900_000})),
    "slow schemas": lambda h: h.keep(4, slow_schema),
    "slow schemas, hung up": lambda h: h.keep(4, slow_schema, 0.5),
    "five requests of 16": lambda h: h.keep(5, crowd),
    "expensive grammars": lambda h: h.keep(2, expensive),
    "slow headers": slow_headers,
}


async def measure(name: str, attack: Attack | None, service: Service, seconds: float) -> Figures:
    """Normal clients with an attack beside them."""
    found = Figures(name)
    before, ends = service.resident(), time.monotonic() + seconds
    work: list[Awaitable[None]] = [normal(i, service, found, ends) for i in range(4)]
    if attack is not None:
        work.append(attack(Hostile(service, found, ends)))
    await asyncio.gather(*work)
    found.grown = service.resident() - before
    return found


async def measured(service: Service, names: list[str], seconds: float) -> AsyncIterator[Figures]:
    for name in names:
        found = await measure(name, ATTACKS[name], service, seconds)
        if not await asyncio.to_thread(service.alive):
            found.frozen = True
            service.stop()
            await asyncio.to_thread(service.start)
        yield found


def line(row: dict[str, Any]) -> str:
    normal_ones = ", ".join(f"{count} {what}" for what, count in sorted(row["normal"].items()))
    hostile_ones = ", ".join(f"{count} {what}" for what, count in sorted(row["hostile"].items()))
    frozen = "; frozen" if row["frozen"] else ""
    return (
        f"| {row['attack']} | {row['p50']:.2f} | {row['p99']:.2f} | {normal_ones}{frozen} | {hostile_ones} | "
        f"{row['grown']:+.0f} MB |"
    )


HEAD = "| attack | p50 s | p99 s | normal answers | the attacker's | memory |\n|---|---:|---:|---|---|---:|"


def compare(before: Path, after: Path) -> None:
    """Print two runs side by side."""
    rows = [{row["attack"]: row for row in json.loads(path.read_text())} for path in (before, after)]
    print("| attack | p99 before | p99 after | answers before | answers after | memory before | memory after |")
    print("|---|---:|---:|---|---|---:|---:|")
    for name in rows[1]:
        cells = []
        for row in (rows[0].get(name), rows[1][name]):
            counted = ", ".join(f"{n} {what}" for what, n in sorted(row["normal"].items())) if row else "-"
            frozen = "; frozen" if row and row["frozen"] else ""
            numbers = (f"{row['p99']:.2f} s", f"{row['grown']:+.0f} MB") if row else ("-", "-")
            cells.append((numbers[0], counted + frozen, numbers[1]))
        (a, b), (c, d), (e, f) = zip(*cells, strict=True)
        print(f"| {name} | {a} | {b} | {c} | {d} | {e} | {f} |")


async def run(chosen: argparse.Namespace) -> int:
    service, rows = Service(chosen.tree.resolve()), []
    print(HEAD)
    failed = False
    try:
        for i in range(4):  # compiled and warm before anything is measured
            await normal(i, service, Figures("warm"), time.monotonic() + 1)
        async for found in measured(service, chosen.only or list(ATTACKS), chosen.seconds):
            rows.append(found.row())
            print(line(rows[-1]), flush=True)
            failed |= found.frozen or bool(set(found.normal) - {"valid"})
            failed |= any((what[0] == "5" and what != "503") or "inf" in what for what in found.hostile)
    finally:
        service.stop()
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(rows, indent=1))
    return int(failed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=ROOT)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--only", nargs="+", choices=list(ATTACKS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("BEFORE", "AFTER"))
    chosen = parser.parse_args()
    if chosen.compare:
        compare(*chosen.compare)
        return 0
    return asyncio.run(run(chosen))


if __name__ == "__main__":
    sys.exit(main())
