"""Attacks that once froze the service, filled its memory or locked others out."""

from __future__ import annotations

import concurrent.futures
import json
import os
import socket
import threading
import time
from dataclasses import replace
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest
import torch

import structdiff
from structdiff.core.errors import CompileLimit
from structdiff.decode.engine import Outcome, Task
from structdiff.decode.policy import Policy
from structdiff.frontends.regex.parser import parse_regex
from structdiff.server.forge import Forge
from structdiff.server.worker import HEAVY_STEP, QueueFull, Worker
from structdiff.testing.scripted import Scripted
from structdiff.testing.tiny import tiny

SMALL = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
JSON = {"content-type": "application/json"}
TEXT = "Maria Lopez is 34 years old."


def body(schema: Any = SMALL, **more: Any) -> dict[str, Any]:
    form = {"type": "json_schema", "json_schema": {"name": "p", "schema": schema}}
    return {"model": "embedded", "messages": [{"role": "user", "content": TEXT}], "response_format": form} | more


def post(running: Any, path: str = "/v1/chat/completions", **options: Any) -> httpx.Response:
    return httpx.post(f"{running.url}{path}", timeout=120, **options)


# ------------------------------------------------------------------------------------------------ prompts and numbers


def test_definitions_that_double_do_not_freeze_the_service(running: Any) -> None:
    parts = {f"a{i}": {"anyOf": [{"$ref": f"#/$defs/a{i + 1}"}, {"$ref": f"#/$defs/a{i + 1}"}]} for i in range(40)}
    schema = {"$ref": "#/$defs/a0", "$defs": {**parts, "a40": {"enum": ["one", "two"]}}}
    begun = time.monotonic()
    answer = post(running, json=body(schema))
    assert answer.status_code in (200, 400) and time.monotonic() - begun < 60
    assert post(running, json=body()).status_code == 200


@pytest.mark.parametrize("schema", ['{"const": 1e400}', '{"const": NaN}', '{"enum": [-1e400]}'])
def test_numbers_that_json_cannot_write_are_400_with_the_place(running: Any, schema: str) -> None:
    answer = post(running, content=json.dumps(body("HERE")).replace('"HERE"', schema).encode(), headers=JSON)
    assert answer.status_code == 400
    asked = post(running, json=body() | {"response_format": None, "structured_outputs": {"json": schema}})
    assert asked.status_code == 400 and "/" in asked.json()["error"]["message"]


def test_texts_that_cannot_fit_are_refused_at_once(running: Any) -> None:
    post(running, json=body())
    begun = time.monotonic()
    answer = post(running, json=body(messages=[{"role": "user", "content": "word " * 190_000}]))
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "context_length_exceeded"
    assert "at least" in answer.json()["error"]["message"] and time.monotonic() - begun < 10


# ------------------------------------------------------------------------------------------------------------ bodies


@pytest.mark.parametrize(
    "content",
    [
        rb'{"model": "embedded", "messages": [{"role": "user", "content": "\ud83d"}]}',
        rb'{"model": "embedded", "messages": [{"role": "user", "content": "a"}], "user": "\udc00"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"model": "embedded", "messages": "\xff"}',
        b"",
        b"null",
        b"NaN",
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
def test_broken_bodies_are_400(running: Any, content: bytes, path: str) -> None:
    answer = post(running, path, content=content, headers=JSON)
    assert answer.status_code == 400 and answer.json()["error"]["message"], answer.text


def test_a_whole_pair_and_brackets_in_a_text_are_fine(running: Any) -> None:
    content = json.dumps(body(messages=[{"role": "user", "content": "🙂 " + "[{" * 200}]))
    assert post(running, content=content.encode(), headers=JSON).status_code == 200


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": [{"role": "user", "content": 3}]}, "messages.0.content"),
        ({"stop": 3}, "stop"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
         "messages.0.content.0"),
        ({"messages": [{"role": "user", "content": "a", "colour": "red"}]}, "messages.0.colour"),
        ({"structured_outputs": {"choice": [1]}}, "structured_outputs.choice.0"),
    ],
)  # fmt: skip
def test_errors_name_the_field_as_the_caller_wrote_it(running: Any, more: Any, param: str) -> None:
    error = post(running, json=body(**more)).json()["error"]
    assert error["param"] == param and error["message"].startswith(param)
    assert "image_url" not in str(more) or "'embedded' reads no images" in error["message"]


# ------------------------------------------------------------------------------------------------------- connections


def test_a_header_that_does_not_come_is_given_up(start: Any) -> None:
    running = start(header_seconds=0.5)
    for sent in (b"", b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-A: "):
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as peer:
            peer.sendall(sent)
            assert peer.recv(100) == b""
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as peer:  # a second request on it
        peer.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in peer.recv(5000)
        peer.sendall(b"GET /health HTTP/1.1\r\nHo")
        while data := peer.recv(5000):
            assert b"HTTP/1.1 2" not in data


def test_an_address_has_so_many_connections_and_no_more(start: Any) -> None:
    running = start(max_of_address=3, header_seconds=60)
    peers = [socket.create_connection(("127.0.0.1", running.port), timeout=20) for _ in range(4)]
    try:
        assert peers[3].recv(100).startswith(b"HTTP/1.1 503")
    finally:
        for peer in peers:
            peer.close()
    ends = time.monotonic() + 20
    while True:
        try:
            assert httpx.get(f"{running.url}/health").status_code == 200
            break
        except (httpx.HTTPError, AssertionError):
            assert time.monotonic() < ends
            time.sleep(0.05)


def test_hosts_are_checked_where_some_are_listed(start: Any) -> None:
    running = start(hosts=("model.example", "127.0.0.1"))
    assert httpx.get(f"{running.url}/health").status_code == 200
    for host, status in (("model.example", 200), ("MODEL.example:8000", 200), ("evil.example", 421), ("", 421)):
        assert httpx.get(f"{running.url}/health", headers={"host": host}).status_code == status, host


def test_with_keys_only_health_and_the_page_are_open(start: Any) -> None:
    running = start(api_keys=("secret",))
    for path, status in (("/docs", 401), ("/openapi.json", 401), ("/metrics", 401), ("/v1/models", 401),
                         ("/nothing", 401), ("/health", 200), ("/", 200), ("/page.js", 200)):  # fmt: skip
        assert httpx.get(f"{running.url}{path}").status_code == status, path
    assert httpx.get(f"{running.url}/openapi.json", headers={"authorization": "Bearer secret"}).status_code == 200


def test_answers_load_nothing_from_elsewhere(running: Any) -> None:
    for path in ("/", "/docs", "/openapi.json", "/health", "/nothing"):
        answer = httpx.get(f"{running.url}{path}")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-request-id"]
    assert "http" not in httpx.get(f"{running.url}/docs").text.replace("http-equiv", "")
    assert httpx.head(f"{running.url}/health").status_code == 200


def test_browsers_may_send_the_headers_of_openais_client_and_read_errors(start: Any) -> None:
    running = start(origins=("https://a.example",), api_keys=("secret",))
    asked = {
        "origin": "https://a.example", "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang,x-stainless-retry-count",
    }  # fmt: skip
    preflight = httpx.options(f"{running.url}/v1/chat/completions", headers=asked)
    assert preflight.status_code == 200 and "x-stainless-lang" in preflight.headers["access-control-allow-headers"]
    origin = {"origin": "https://a.example"}
    keyed = origin | {"authorization": "Bearer secret"}
    refused = [
        post(running, json=body(), headers=origin),
        post(running, json=body(top_p=0.5), headers=keyed),
        post(running, content=b"x" * (2 << 20), headers=keyed | JSON),
    ]
    for answer, status in zip(refused, (401, 400, 413), strict=True):
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == "https://a.example"


# ---------------------------------------------------------------------------------------------------------- compiling

BOMB = r"((a|b)*a(a|b){22})|((c|d)*c(c|d){22})"


@pytest.fixture(scope="module")
def forge(model: structdiff.Model) -> Any:
    made = Forge(model.tokenizer, model.vocabulary)
    yield made
    made.close()


def job(source: Any, **options: Any) -> bytes:
    pickled = Forge.takes(source, options)
    assert pickled is not None
    return pickled


def test_a_forge_compiles_what_the_model_compiles(forge: Forge, model: structdiff.Model) -> None:
    _, future = forge.submit(job(SMALL), 2 << 30, 30)
    ((automaton, restrictions, _),) = future.result(200).values()
    own = structdiff.compile(SMALL, model.vocabulary)
    assert (automaton.states, automaton.edges) == (own.states, own.edges) and restrictions == own.restrictions
    _, refused = forge.submit(job({"type": "object", "properties": {"a": {"type": "x"}}}), 2 << 30, 30)
    with pytest.raises(structdiff.InvalidSchema, match="properties/a"):
        refused.result(100)


def test_a_job_is_killed_and_its_memory_is_bounded(forge: Forge) -> None:
    limits = structdiff.Limits(states=10**9, edges=10**10, nodes=10**9, seconds=600)
    number, future = forge.submit(job(structdiff.Regex(BOMB), limits=limits), 8 << 30, 600)
    time.sleep(1)
    forge.kill(number)
    assert future.cancelled()
    _, small = forge.submit(job(SMALL), 2 << 30, 30)
    assert small.result(60)
    _, large = forge.submit(job(structdiff.Regex(BOMB), limits=limits), 8 << 20, 600)
    with pytest.raises(CompileLimit, match="memory"):
        large.result(200)


def test_a_forge_that_dies_says_so_and_comes_back(forge: Forge) -> None:
    limits = structdiff.Limits(states=10**9, edges=10**10, nodes=10**9, seconds=600)
    _, future = forge.submit(job(structdiff.Regex(BOMB), limits=limits), 8 << 30, 600)
    assert forge._process is not None
    forge._process.kill()
    with pytest.raises(structdiff.core.errors.StructdiffError, match="has ended"):
        future.result(60)
    _, again = forge.submit(job(SMALL), 2 << 30, 30)
    assert again.result(200)


def test_front_ends_of_this_process_alone_are_compiled_here() -> None:
    class Own:
        def as_source(self) -> Any: ...

    assert Forge.takes(Own(), {}) is None and Forge.takes({"const": lambda: 0}, {}) is None


class Stuck:
    """A forge whose jobs never end by themselves."""

    def __init__(self) -> None:
        self.jobs: dict[int, concurrent.futures.Future[Any]] = {}
        self.killed: list[int] = []

    def submit(self, *_: Any) -> tuple[int, concurrent.futures.Future[Any]]:
        number = len(self.jobs)
        self.jobs[number] = concurrent.futures.Future()
        return number, self.jobs[number]

    def kill(self, number: int) -> None:
        self.killed.append(number)
        self.jobs[number].cancel()


def test_compilations_wait_in_a_bounded_queue_and_go_with_the_client_that_hangs_up(start: Any) -> None:
    running = start(compile_queue=2)
    real, stuck = running.service.compilers._forge, Stuck()
    running.service.compilers._forge = stuck

    def hang_up(i: int) -> None:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{running.url}/v1/chat/completions", json=body({"const": f"never {i // 2}"}), timeout=4)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        waits = [pool.submit(hang_up, i) for i in range(6)]  # three constraints, each asked for twice
        ends = time.monotonic() + 3
        while running.service.compilers.waiting < 2 and time.monotonic() < ends:
            time.sleep(0.02)
        assert list(stuck.jobs) == [0]
        full = post(running, json=body({"const": "one more"}))
        assert full.status_code == 429 and int(full.headers["retry-after"]) >= 1
        for wait in waits:
            wait.result()
    ends = time.monotonic() + 10
    while running.service.compilers.waiting or len(stuck.killed) < len(stuck.jobs):
        assert time.monotonic() < ends, "jobs of clients that have hung up are still there"
        time.sleep(0.02)
    running.service.compilers._forge = real
    assert post(running, json=body({"const": "afterwards"})).status_code == 200
    counted = httpx.get(f"{running.url}/metrics").text
    count = next(line for line in counted.splitlines() if line.startswith("structdiff_compile_seconds_count"))
    assert float(count.split()[1]) >= 8  # those that failed too


def test_comments_do_not_fill_the_memory(running: Any) -> None:
    def resident() -> float:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def ask(i: int) -> None:
        assert post(running, json=body({**SMALL, "$comment": f"{i} " + "x" * 900_000})).status_code == 200

    for i in range(10):
        ask(i)
    before = resident()
    for i in range(10, 50):
        ask(i)
    assert resident() - before < 15  # megabytes; 40 comments are 36


# -------------------------------------------------------------------------------------------------------------- rows


class Slow(Scripted):
    """A denoiser that takes its time and never settles."""

    def denoise(self, *args: Any) -> Any:
        time.sleep(0.01)
        return super().denoise(*args)


def never_settled(seconds: float = 0.01) -> tuple[Slow, Policy]:
    rng = np.random.default_rng(0)
    denoiser = Slow(4, 4, lambda *_: torch.from_numpy(rng.normal(size=(4, 4)).astype(np.float32)))
    return denoiser, Policy(max_steps=30, patience=0, verify=False)


def rows(count: int, canvases: int = 4) -> list[Task]:
    return [Task([0], None, 4 * canvases, seed=i, end_ids=()) for i in range(count)]


def test_five_large_requests_do_not_lock_others_out() -> None:
    worker = Worker(*never_settled(), max_batch=16, max_queue=64)
    ends: dict[str, float] = {}

    def sink(name: str) -> Any:
        def take(happened: Any) -> None:
            if isinstance(happened, Outcome):
                ends[name] = time.monotonic()

        return take

    for request in range(5):
        worker.submit(rows(16, 40), [sink(f"greedy {request} {i}") for i in range(16)], "greedy")
    time.sleep(0.2)
    assert worker.running == 12  # a quarter is left for others
    begun = time.monotonic()
    worker.submit(rows(1, 1), [sink("modest")], "modest")
    while "modest" not in ends:
        assert time.monotonic() - begun < 30
        time.sleep(0.01)
    assert not any(name.startswith("greedy") for name in ends)
    worker.stop(drain=False)


def test_a_full_queue_makes_room_for_a_client_that_waits_less() -> None:
    worker = Worker(*never_settled(), max_batch=4, max_queue=8)
    told: list[Any] = []
    for _ in range(3):
        worker.submit(rows(4, 40), [told.append] * 4, "greedy")
    with pytest.raises(QueueFull) as caught:
        worker.submit(rows(1, 40), [told.append], "greedy")
    assert caught.value.wait >= 1
    worker.submit(rows(2, 1), [lambda _: None] * 2, "modest")
    assert sum(isinstance(one, QueueFull) for one in told) == 4  # its latest request, whole
    worker.stop(drain=False)


def test_a_request_takes_half_of_the_batch_at_most() -> None:
    worker = Worker(*never_settled(), max_batch=8, max_queue=64)
    worker.submit(rows(16, 40), [lambda _: None] * 16, "one")
    time.sleep(0.2)
    assert worker.running == 4
    worker.submit(rows(16, 40), [lambda _: None] * 16, "one")
    time.sleep(0.2)
    assert worker.running == 6
    worker.stop(drain=False)


def test_expensive_rows_do_not_slow_the_others_and_leave_at_once() -> None:
    blocked, release = threading.Event(), threading.Event()
    automaton = tiny("ab|b")

    class Heavy(type(automaton)):  # type: ignore[misc]
        edges = HEAVY_STEP

    heavy = Heavy(**{name: getattr(automaton, name) for name in automaton.__dataclass_fields__})

    def stuck(_: Any) -> None:  # what a step of such a row does beside the model
        blocked.set()
        release.wait(30)

    denoiser, policy = never_settled()
    worker = Worker(denoiser, policy, max_batch=4, max_queue=8)
    numbers = worker.submit([Task([0], heavy, 2, end_ids=(3,))], [stuck], "heavy")
    assert blocked.wait(30)
    done = threading.Event()
    worker.submit(rows(1, 1), [lambda happened: done.set() if isinstance(happened, Outcome) else None], "light")
    assert done.wait(30)
    worker.cancel(numbers)
    assert worker.running == 0
    release.set()
    worker.stop()


def test_a_canvas_that_is_verified_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reading of a canvas takes as many passes as the draft was wrong: once all of them within one step."""
    rng = np.random.default_rng(0)
    read, most, total = [0], [0], [0]

    class Noted(Scripted):
        def read(self, prefix: Any, tokens: Any) -> Any:
            read[0] += 1
            return torch.from_numpy(rng.normal(size=(len(tokens) + 1, 4)).astype(np.float32))

    def took(self: Worker, chosen: Any, spent: Any, real: Any = Worker.took) -> None:
        assert read[0] <= len(chosen)
        most[0], total[0], read[0] = max(most[0], read[0]), total[0] + read[0], 0
        real(self, chosen, spent)

    monkeypatch.setattr(Worker, "took", took)
    denoiser = Noted(16, 4, lambda *_: torch.from_numpy(rng.normal(size=(16, 4)).astype(np.float32)))
    worker = Worker(denoiser, Policy(max_steps=4, patience=0, verify=True), max_batch=4, max_queue=8)
    told: list[Any] = []
    tasks = [Task([0], tiny(parse_regex("(a|b)*ab")), 160, seed=i, end_ids=(3,)) for i in range(3)]
    worker.submit(tasks, [told.append] * 3, "greedy")
    worker.submit(rows(1, 4), [told.append], "modest")
    worker.stop()
    ends = [one for one in told if isinstance(one, Outcome | Exception)]
    assert len(ends) == 4 and all(isinstance(one, Outcome) for one in ends)
    assert 0 < most[0] <= 3 and total[0] > 6  # many readings, one of a row in a pass


def test_cancelled_rows_leave_within_a_second() -> None:
    denoiser, policy = never_settled()
    worker = Worker(denoiser, policy, max_batch=4, max_queue=8)
    begun = threading.Event()
    numbers = worker.submit(rows(4, 40), [lambda _: begun.set()] * 4, "rude")
    worker.submit(rows(1, 40), [lambda _: None], "honest")
    assert begun.wait(30)
    time.sleep(0.1)
    worker.cancel(numbers)
    ends = time.monotonic() + 1
    while any(row.task.number in numbers for lane in worker._lanes for row in lane._engine.rows):
        assert time.monotonic() < ends, "a cancelled row is still there after a second"
        time.sleep(0.002)
    worker.stop(drain=False)


def test_a_row_that_a_defect_keeps_from_beginning_frees_its_place() -> None:
    class Broken(Slow):
        def open(self, prompt: list[int]) -> list[int]:
            if prompt == [1]:
                raise RuntimeError("a defect")
            return super().open(prompt)

    denoiser, policy = never_settled()
    worker = Worker(Broken(4, 4, denoiser.script), policy, max_batch=1, max_queue=8)
    told: list[Any] = []
    worker.submit([Task([1], None, 4)], [told.append])
    worker.submit(rows(1, 1), [told.append])
    worker.stop()
    ends = [one for one in told if isinstance(one, Outcome | Exception)]
    assert [type(one) for one in ends] == [RuntimeError, Outcome] and worker.running == 0


def test_a_step_that_would_cost_too_much_is_refused(start: Any) -> None:
    running = start(max_step=1000)
    answer = post(running, json=body({"type": "array", "items": {"type": "string", "maxLength": 30}}))
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "schema_too_large"
    assert "costs" in answer.json()["error"]["message"]


def test_the_wait_that_a_429_tells_is_measured(start: Any, model: structdiff.Model) -> None:
    real = model.denoiser
    rng = np.random.default_rng(0)
    shape = real.canvas_length, real.vocab_size

    def script(*_: Any) -> torch.Tensor:
        time.sleep(0.1)
        return torch.from_numpy(rng.normal(size=shape).astype(np.float32))

    policy = replace(model.policy, verify=False, max_steps=20)
    slow = structdiff.Model(Scripted(*shape, script), model.tokenizer, policy, model.vocabulary.end_ids, "embedded")
    running = start(model=slow, max_batch=1, max_queue=3)
    post(running, json=body(max_tokens=48))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda seed: post(running, json=body(seed=seed, max_tokens=48)), range(8)))
    waits = [int(one.headers["retry-after"]) for one in answers if one.status_code == 429]
    assert waits and all(one.status_code in (200, 429) for one in answers)
    for one in answers:
        if one.status_code == 200:
            jsonschema.validate(json.loads(one.json()["choices"][0]["message"]["content"]), SMALL)
    late = post(running, json=body(max_tokens=48))
    assert late.status_code == 200 and running.service.worker.wait >= 1
