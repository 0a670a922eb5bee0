"""A real service on a free port, with the embedded model."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")

import structdiff  # noqa: E402
from structdiff.server.app import Service  # noqa: E402
from structdiff.server.connections import config  # noqa: E402
from structdiff.server.settings import Settings  # noqa: E402
from structdiff.testing.scripted import Scripted  # noqa: E402


@pytest.fixture(scope="session")
def model() -> structdiff.Model:
    return structdiff.load()


class Running:
    """A service and where it listens."""

    def __init__(self, service: Service) -> None:
        self.service = service
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = uvicorn.Server(
            config(service.app, service.settings, log_level="warning", timeout_graceful_shutdown=20)
        )
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]}, daemon=True)
        self.thread.start()
        ends = time.monotonic() + 30
        while not self.server.started:
            assert self.thread.is_alive() and time.monotonic() < ends, "the server did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)


@pytest.fixture(scope="session")
def start(model: structdiff.Model) -> Iterator[Callable[..., Running]]:
    """Starts services with settings of their own; all are stopped at the end."""
    begun: list[Running] = []

    def run(*, model: Any = model, **settings: Any) -> Running:
        begun.append(Running(Service(model, Settings(**settings))))
        return begun[-1]

    yield run
    for one in begun:
        one.stop()


@pytest.fixture(scope="session")
def running(start: Callable[..., Running]) -> Running:
    """A service with the default settings."""
    return start()


class _Prefix(list[int]):
    """The tokens of a row so far, and how many of them are its prompt."""

    begun = 0


class Speaking(Scripted):
    """A model that would write ``answer(prompt's text)``; a constraint makes it write what is allowed and nearest."""

    def __init__(self, model: structdiff.Model, answer: Callable[[str], str]) -> None:
        self.vocabulary, self.answer = model.vocabulary, answer
        real = model.denoiser
        super().__init__(real.canvas_length, real.vocab_size, self._logits)

    def open(self, prompt: list[int]) -> list[int]:
        prefix = _Prefix(prompt)
        prefix.begun = len(prompt)
        return prefix

    def _logits(self, prefix: Any, canvas: torch.Tensor) -> torch.Tensor:
        text = self.vocabulary.bytes_of(prefix[: prefix.begun]).decode("utf-8", "replace")
        tokens = self.vocabulary.encode(self.answer(text).encode()) or []
        first = len(prefix) - prefix.begun
        end = self.vocabulary.end_ids[0]
        wanted = [*tokens[first : first + self.canvas_length], *[end] * self.canvas_length][: self.canvas_length]
        logits = torch.zeros(self.canvas_length, self.vocab_size)
        logits[torch.arange(self.canvas_length), torch.tensor(wanted)] = 30.0
        return logits


@pytest.fixture(scope="session")
def speaking(model: structdiff.Model, start: Callable[..., Running]) -> Callable[..., Running]:
    """Starts a service whose model would write a given answer."""

    def run(answer: Callable[[str], str], **settings: Any) -> Running:
        policy = replace(model.policy, verify=False)
        ends = model.vocabulary.end_ids
        return start(
            model=structdiff.Model(Speaking(model, answer), model.tokenizer, policy, ends, "embedded"), **settings
        )

    return run
