"""A real service on a free port, with the tiny model."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")

import structdiff  # noqa: E402
from structdiff.server.app import Service  # noqa: E402
from structdiff.server.connections import config  # noqa: E402
from structdiff.server.settings import Settings  # noqa: E402
from structdiff.testing.speaking import speaking as would_write  # noqa: E402


@pytest.fixture(scope="session")
def model() -> structdiff.Model:
    return structdiff.load("tiny")


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


@pytest.fixture(scope="session")
def speaking(model: structdiff.Model, start: Callable[..., Running]) -> Callable[..., Running]:
    """Starts a service whose model would write a given answer."""
    return lambda answer, **settings: start(model=would_write(model, answer), **settings)
