"""Replicas on Ray Serve, started as a person starts them: a replica dies, a key is asked for, the service ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

pytest.importorskip("ray")
pytest.importorskip("ray.serve")
openai = pytest.importorskip("openai")
psutil = pytest.importorskip("psutil")
httpx = pytest.importorskip("httpx")

from structdiff.server.replicas import ReplicaError, application  # noqa: E402

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 30}, "age": {"enum": [33, 34, 35]}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
FORM: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
MESSAGES: Any = [{"role": "user", "content": "Maria Lopez is 34 years old."}]
KEY = "open-sesame"


class Service:
    """``structdiff serve --replicas 2`` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "log"
        command = [
            sys.executable,
            "-c",
            "from structdiff_cli.main import cli; cli()",
            "serve",
            "--replicas",
            "2",
            "--port",
            str(self.port),
        ]
        environment = os.environ | {"STRUCTDIFF_API_KEYS": KEY, "RAY_AUTH_MODE": "disabled"}
        environment.pop("RAY_ADDRESS", None)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        ends = time.monotonic() + 240
        while "replicas listen on" not in self.log.read_text():
            if self.process.poll() == 2 and "replicas did not start" in self.log.read_text():
                pytest.skip(f"Ray does not start on this machine: {self.log.read_text()[-300:]}")
            assert self.process.poll() is None and time.monotonic() < ends, self.log.read_text()
            time.sleep(0.5)

    def replicas(self) -> list[Any]:
        """The processes of the replicas."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it ended meanwhile
                if "ServeReplica:structdiff" in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def client(self, **options: Any) -> Any:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=KEY, **options)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service(tmp_path_factory.mktemp("replicas"))
    yield running
    if running.process.poll() is None:  # Ray's daemons end with it only where it ends by itself
        running.process.terminate()
        running.process.wait(90)


def ask(client: Any, seed: int) -> str:
    done = client.chat.completions.create(model="embedded", messages=MESSAGES, response_format=FORM, seed=seed)
    return str(done.choices[0].message.content)


def test_replicas_answer_as_one_service_does(service: Service, model: Any) -> None:
    assert len(service.replicas()) == 2
    with pytest.raises(openai.AuthenticationError):
        ask(service.client().with_options(api_key="wrong"), 0)
    client = service.client(max_retries=0)
    for seed in range(4):
        text = ask(client, seed)
        assert text == model.generate("Maria Lopez is 34 years old.", PERSON, seed=seed).text
    chunks = client.chat.completions.create(
        model="embedded", messages=MESSAGES, response_format=FORM, seed=3, stream=True
    )  # fmt: skip
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text
    with pytest.raises(openai.BadRequestError, match="top_p"):
        client.chat.completions.create(model="embedded", messages=[{"role": "user", "content": "x"}], top_p=0.5)


def test_a_killed_replica_costs_no_answer_and_comes_back(service: Service) -> None:
    """Clients that send failed requests again, as OpenAI's does by itself, lose nothing to a kill -9."""
    client, answers, failures = service.client(max_retries=6), [], []
    ended = threading.Event()

    def work(first: int) -> None:
        seed = first
        while not ended.is_set():
            try:
                answers.append(ask(client, seed))
            except openai.OpenAIError as error:
                failures.append(error)
            seed += 10

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while len(answers) < 8:
        time.sleep(0.05)
    victim = service.replicas()[0]
    os.kill(victim.pid, signal.SIGKILL)
    killed_at, ends = len(answers), time.monotonic() + 120
    while len({one.pid for one in service.replicas()} - {victim.pid}) < 2 or len(answers) < killed_at + 20:
        assert time.monotonic() < ends, f"{len(answers)} answers, {failures[:3]}"
        time.sleep(0.2)
    ended.set()
    for thread in threads:
        thread.join()
    assert not failures
    for text in answers:
        jsonschema.validate(json.loads(text), PERSON)


def test_sigterm_lets_what_runs_finish(service: Service) -> None:
    found: list[str] = []
    client = service.client(max_retries=0)
    before = httpx.get(f"{service.url}/health").json()
    assert before["status"] == "ok"

    def work() -> None:
        done = client.chat.completions.create(model="embedded", messages=MESSAGES, response_format=FORM, n=16, seed=0)
        found.extend(choice.message.content for choice in done.choices)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.3)
    service.process.send_signal(signal.SIGTERM)
    thread.join(60)
    assert service.process.wait(90) == 0
    assert len(found) == 16
    for text in found:
        jsonschema.validate(json.loads(text), PERSON)
    assert not [one for one in psutil.process_iter() if one.ppid() == service.process.pid]


def test_mistakes_are_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReplicaError, match=r"max_bach.*known are replicas"):
        application({"max_bach": 3})
    with pytest.raises(ReplicaError, match="do not travel"):
        application({"api_keys": ["secret"]})
    from structdiff.server.replicas import build_app
    from structdiff.server.settings import Settings

    monkeypatch.delenv("STRUCTDIFF_API_KEYS", raising=False)
    with pytest.raises(ReplicaError, match="must ask for a key"):
        build_app(None, None, None, Settings(), keys=True)
