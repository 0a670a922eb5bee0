"""What the service promises when it is abused, overloaded or stopped."""

from __future__ import annotations

import concurrent.futures
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest
import torch

import structdiff
from structdiff.core.restrictions import RestrictionWarning
from structdiff.testing.scripted import Scripted

TEXT = "Maria Lopez is 34 years old."
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


def body(**more: Any) -> dict[str, Any]:
    return {
        "model": "embedded",
        "messages": [{"role": "user", "content": TEXT}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "p", "schema": PERSON}},
    } | more


def post(running: Any, path: str = "/v1/chat/completions", **options: Any) -> httpx.Response:
    return httpx.post(f"{running.url}{path}", timeout=60, **options)


def settled(running: Any) -> None:
    """Wait until no row runs or waits."""
    ends = time.monotonic() + 20
    while running.service.worker.running or running.service.worker.waiting:
        assert time.monotonic() < ends, "rows are still there"
        time.sleep(0.02)


class Slow(Scripted):
    """A denoiser that takes its time and never settles."""

    def denoise(self, *args: Any) -> Any:
        time.sleep(0.05)
        return super().denoise(*args)


@pytest.fixture(scope="module")
def slow(model: structdiff.Model) -> structdiff.Model:
    real = model.denoiser
    rng = np.random.default_rng(0)
    shape = real.canvas_length, real.vocab_size
    denoiser = Slow(*shape, lambda *_: torch.from_numpy(rng.normal(size=shape).astype(np.float32)))
    policy = replace(model.policy, verify=False)  # a verified draft of a few steps would be done in no time
    return structdiff.Model(denoiser, model.tokenizer, policy, model.vocabulary.end_ids, "embedded")


def test_a_full_queue_is_429_with_retry_after_and_the_answered_are_valid(start: Any, slow: Any) -> None:
    running = start(model=slow, max_batch=1, max_queue=1)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda seed: post(running, json=body(seed=seed, max_tokens=48)), range(6)))
    codes = sorted(answer.status_code for answer in answers)
    assert set(codes) == {200, 429}
    for answer in answers:
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) >= 1 and answer.json()["error"]["code"] == "queue_full"
        else:
            jsonschema.validate(json.loads(answer.json()["choices"][0]["message"]["content"]), PERSON)


def test_a_deadline_is_504_and_frees_the_row(start: Any, slow: Any) -> None:
    running = start(model=slow, deadline=0.4)
    answer = post(running, json=body())
    assert answer.status_code == 504 and answer.json()["error"]["code"] == "deadline_exceeded"
    settled(running)


def test_a_client_that_hangs_up_frees_its_row(start: Any, slow: Any) -> None:
    running = start(model=slow)
    for stream in (False, True):
        asked = body(stream=stream)
        with (
            pytest.raises(httpx.ReadTimeout),
            httpx.stream("POST", f"{running.url}/v1/chat/completions", json=asked, timeout=0.4) as answer,
        ):
            answer.read()
        settled(running)
    counted = httpx.get(f"{running.url}/metrics").text
    assert "structdiff_completion_tokens_total 0.0" in counted


def test_a_schema_is_compiled_once(start: Any) -> None:
    running = start()
    for seed in (1, 2, 3):
        assert post(running, json=body(seed=seed)).status_code == 200
    counted = httpx.get(f"{running.url}/metrics").text
    assert 'structdiff_compile_cache_total{result="miss"} 1.0' in counted
    assert 'structdiff_compile_cache_total{result="hit"} 2.0' in counted
    assert "structdiff_compile_seconds_count 1.0" in counted


def test_a_maximum_is_lowered_only_where_the_budget_can_reach_it(
    start: Any, model: structdiff.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in Python; what is compiled for a budget is compiled where it can be killed, and once."""
    schema = {"type": "object", "properties": {"note": {"type": "string", "maxLength": 20_000}}, "required": ["note"]}
    named = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    with pytest.warns(RestrictionWarning, match="8192 characters"):
        model.compile(schema)
    running = start(
        model=structdiff.Model(model.denoiser, model.tokenizer, model.policy, model.vocabulary.end_ids, "e")
    )

    def here(*_: Any, **__: Any) -> Any:
        raise AssertionError("compiled in the process of the service")

    monkeypatch.setattr("structdiff.constraint.compile.build_token_automaton", here)
    for more in ({"structdiff": {"strict": True}}, {"max_tokens": 200}, {"max_tokens": 300}):
        answer = post(running, json=body(model="e", response_format=named, seed=1, **more))
        assert answer.status_code == 200 and "structdiff" not in answer.json(), answer.text
        jsonschema.validate(json.loads(answer.json()["choices"][0]["message"]["content"]), schema)
    checked = post(running, "/v1/structdiff/check", json=body(model="e", response_format=named))
    assert checked.json()["restrictions"] == []
    counted = httpx.get(f"{running.url}/metrics").text
    assert 'structdiff_compile_cache_total{result="miss"} 2.0' in counted  # for 256 tokens and for 512


def test_a_large_body_is_413_by_its_header_and_by_its_bytes(start: Any) -> None:
    running = start(max_body=2000)
    big = json.dumps(body(user="x" * 5000)).encode()
    json_type = {"content-type": "application/json"}
    assert post(running, content=big, headers=json_type).status_code == 413

    def chunks() -> Any:
        for at in range(0, len(big), 500):
            yield big[at : at + 500]

    assert post(running, content=chunks(), headers=json_type).status_code == 413
    assert post(running, json=body()).status_code == 200


def test_a_body_that_drips_is_given_up(start: Any) -> None:
    running = start(body_seconds=0.3)
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as peer:
        peer.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                     b"Content-Length: 500\r\n\r\n{")  # fmt: skip
        assert peer.recv(200).startswith(b"HTTP/1.1 408")


def test_keys_guard_the_api_but_not_health(start: Any) -> None:
    running = start(api_keys=("first", "second"))
    for key, status in (("second", 200), ("third", 401), ("", 401)):
        headers = {"authorization": f"Bearer {key}"} if key else {}
        assert httpx.get(f"{running.url}/v1/models", headers=headers).status_code == status
    assert httpx.get(f"{running.url}/metrics").status_code == 401
    assert httpx.get(f"{running.url}/health").status_code == 200


def test_origins_are_closed_unless_named(start: Any, running: Any) -> None:
    asked = {"origin": "https://a.example", "access-control-request-method": "POST"}
    open_to = start(origins=("https://a.example",))
    for one, allowed in ((running, None), (open_to, "https://a.example")):
        answer = httpx.options(f"{one.url}/v1/chat/completions", headers=asked)
        assert answer.headers.get("access-control-allow-origin") == allowed


@pytest.mark.parametrize("pattern", ["((a{0,200}){0,200}){0,200}", "(a|b)*a(a|b){40}"])
def test_a_regex_bomb_is_refused_in_time_and_others_are_served(start: Any, pattern: str) -> None:
    running = start(compile_seconds=1.0)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        bomb = pool.submit(post, running, json=body(response_format=None, structured_outputs={"regex": pattern}))
        assert httpx.get(f"{running.url}/health", timeout=30).status_code == 200
        assert bomb.result().status_code == 400
    assert bomb.result().json()["error"]["code"] in ("schema_too_large", "invalid_schema")


def test_nan_logits_fail_one_request_and_not_the_service(start: Any, model: structdiff.Model) -> None:
    real, calls = model.denoiser, []

    shape = real.canvas_length, real.vocab_size

    def script(*_: Any) -> torch.Tensor:
        calls.append(1)
        return torch.full(shape, torch.nan if len(calls) == 1 else 0.0)

    denoiser = Scripted(*shape, script)
    broken = structdiff.Model(denoiser, model.tokenizer, model.policy, model.vocabulary.end_ids, "embedded")
    running = start(model=broken)
    first = post(running, json=body())
    assert first.status_code == 500 and first.json()["error"]["code"] == "generation_failed"
    assert post(running, json=body()).status_code == 200


def test_metrics_count_what_happened(start: Any) -> None:
    running = start()
    post(running, json=body())
    post(running, json=body())
    post(running, json=body(top_p=0.5))
    text = httpx.get(f"{running.url}/metrics").text
    assert 'structdiff_requests_total{path="/v1/chat/completions",status="200"} 2.0' in text
    assert 'structdiff_requests_total{path="/v1/chat/completions",status="400"} 1.0' in text
    assert 'structdiff_failures_total{code="invalid_value"} 1.0' in text
    steps = next(line for line in text.splitlines() if line.startswith("structdiff_denoising_steps_total"))
    assert float(steps.split()[1]) > 0


def test_the_access_log_names_requests_and_holds_no_text(start: Any, caplog: pytest.LogCaptureFixture) -> None:
    running = start(api_keys=("secret-key",))
    caplog.set_level(logging.INFO)
    keyed = {"authorization": "Bearer secret-key"}
    own = post(running, json=body(user="somebody"), headers=keyed | {"x-request-id": "mine-1"})
    forged = post(running, json=body(), headers=keyed | {"x-request-id": "a b"})
    assert own.headers["x-request-id"] == "mine-1" and forged.headers["x-request-id"].startswith("req_")
    assert httpx.head(f"{running.url}/health").status_code == 200
    ends = time.monotonic() + 10
    while len(lines := [one.getMessage() for one in caplog.records if one.name == "structdiff.access"]) < 3:
        assert time.monotonic() < ends
        time.sleep(0.01)
    pattern = r"127\.0\.0\.1 POST /v1/chat/completions 200 \d+\.\d{3} s (\S+)"
    assert [found[1] if (found := re.fullmatch(pattern, line)) else line for line in lines[:2]] == [
        "mine-1", forged.headers["x-request-id"],
    ]  # fmt: skip
    assert lines[2].startswith("127.0.0.1 HEAD /health 200")
    said = "\n".join(one.getMessage() for one in caplog.records)
    assert not any(part in said for part in ("Maria", "Lopez", "secret-key", "somebody"))


def test_gauges_tell_what_runs_and_waits(start: Any, slow: Any) -> None:
    running = start(model=slow, max_batch=1, max_queue=8)
    post(running, json=body(max_tokens=48))

    def gauge(name: str) -> float:
        text = httpx.get(f"{running.url}/metrics").text
        return float(next(line for line in text.splitlines() if line.startswith(f"structdiff_{name} ")).split()[1])

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(post, running, json=body(seed=seed, max_tokens=48)) for seed in range(3)]
        ends = time.monotonic() + 20
        while gauge("queue_rows") < 2:
            assert time.monotonic() < ends
        assert gauge("running_rows") == 1 and gauge("queue_age_seconds") > 0 and gauge("compile_queue") == 0
        assert all(one.result().status_code == 200 for one in answers)
    assert gauge("queue_rows") == gauge("running_rows") == gauge("queue_age_seconds") == 0


def test_rows_of_different_schemas_share_steps_and_repeat_alone(running: Any) -> None:
    schemas = [
        {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
        PERSON,
        {"enum": ["red", "green", "blue"]},
        {"type": "boolean"},
    ]

    def ask(seed: int) -> Any:
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schemas[seed % 4]}}
        return post(running, json=body(seed=seed, response_format=form)).json()["choices"][0]["message"]["content"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, range(8)))
    for seed, text in enumerate(together):
        jsonschema.validate(json.loads(text), schemas[seed % 4])
    assert together == [ask(seed) for seed in range(8)]


def test_the_command_takes_a_bound_of_bodies_and_sigterm_finishes_what_runs(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from structdiff_cli.main import cli; cli()", "serve", "--port", str(port)]
    command += ["--max-body", "0.01"]
    process = subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE)
    url = f"http://127.0.0.1:{port}"
    try:
        ends = time.monotonic() + 240
        while True:
            try:
                assert httpx.get(f"{url}/health").status_code == 200
                break
            except httpx.TransportError:
                assert process.poll() is None and time.monotonic() < ends, "the service did not start"
                time.sleep(0.1)
        assert httpx.post(f"{url}/v1/chat/completions", json=body(user="x" * 11_000)).status_code == 413
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(httpx.post, f"{url}/v1/chat/completions", json=body(n=8), timeout=200)
            while not httpx.get(f"{url}/health").json()["running"]:
                assert not answer.done()
                time.sleep(0.005)
            process.send_signal(signal.SIGTERM)
            assert len(answer.result().json()["choices"]) == 8
        assert process.wait(30) in (0, -signal.SIGTERM)
    finally:
        process.kill()
