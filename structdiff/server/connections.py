"""Connections under guard: how many there may be, and how long one may take to say what it wants."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from structdiff.server.settings import Settings

FULL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
IDLE_SECONDS = 60
"""After so many seconds of silence TCP asks whether the other side is still there; it has three chances."""


def guarded(settings: Settings) -> type[asyncio.Protocol]:
    """uvicorn's HTTP protocol with the bounds of ``settings``: connections in all and of an address, seconds for a
    header; a connection whose other side has vanished is noticed."""
    open_of: Counter[str] = Counter()

    class Guarded(H11Protocol):
        _address = ""
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            peer = transport.get_extra_info("peername")
            address = str(peer[0]) if isinstance(peer, tuple) else ""
            if open_of.total() >= settings.max_connections or open_of[address] >= settings.max_of_address:
                transport.write(FULL)
                transport.close()
                self._address, self.transport = "", transport
                return
            self._address = address or "-"
            open_of[self._address] += 1
            _keep_alive(transport.get_extra_info("socket"))
            super().connection_made(transport)
            self._wait_for_header()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            if not self._address:
                return
            open_of[self._address] -= 1
            if not open_of[self._address]:
                del open_of[self._address]
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if not self._address:
                return
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._stop_waiting()
            elif self._timer is None:
                self._wait_for_header()

        def eof_received(self) -> None:
            if self._address:
                super().eof_received()

        def _wait_for_header(self) -> None:
            self._timer = self.loop.call_later(settings.header_seconds, self._give_up)

        def _stop_waiting(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _give_up(self) -> None:
            self._timer = None
            if self.cycle is None or self.cycle.response_complete:
                self.transport.close()

    return Guarded


def _keep_alive(connection: socket.socket | None) -> None:
    if connection is None:
        return
    with contextlib.suppress(OSError, AttributeError):  # no TCP, or a system without these options
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def config(app: Any, settings: Settings, **options: Any) -> uvicorn.Config:
    """uvicorn's configuration of a service: guarded connections and a graceful end.

    >>> config(None, Settings(), port=8123).port
    8123
    """
    chosen: dict[str, Any] = {
        "http": guarded(settings), "log_level": "info", "access_log": False, "timeout_graceful_shutdown": 60,
    } | options  # fmt: skip
    return uvicorn.Config(app, **chosen)


def listener(host: str, port: int) -> socket.socket:
    """A socket bound for a service, which does not listen yet.

    Raises `OSError` where the port is taken or the address is not this machine's.
    """
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    made = socket.socket(family)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made
