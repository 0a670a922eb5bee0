"""What surrounds every request: the key, the bound on its body, and what is counted."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import secrets
import time
from typing import Any

from fastapi.responses import JSONResponse

from structdiff.server.errors import ApiError
from structdiff.server.metrics import Metrics
from structdiff.server.page import FILES

log = logging.getLogger("structdiff.server")
access = logging.getLogger("structdiff.access")

OPEN = frozenset({"/health", *FILES})
"""Paths that need no key."""
HEADERS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
"""What every answer says, unless it says something else itself."""


class Observe:
    """ASGI middleware: counts and logs requests by route and status, and how long they take. Texts are never logged.

    A request's identifier is its own ``X-Request-Id`` where that is a short word, else a random one; the answer has it.
    """

    def __init__(self, app: Any, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), "499"
        own = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        name = own if re.fullmatch(r"[\w.\-]{1,64}", own, re.ASCII) else f"req_{secrets.token_hex(12)}"

        async def watched(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
                given = {key.lower() for key, _ in message["headers"]}
                more = [pair for pair in HEADERS if pair[0] not in given]
                message = message | {"headers": [*message["headers"], *more, (b"x-request-id", name.encode())]}
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            path, taken = getattr(scope.get("route"), "path", "other"), time.perf_counter() - begun
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(taken)
            peer = scope["client"][0] if scope.get("client") else "-"
            access.info("%s %s %s %s %.3f s %s", peer, scope["method"], path, status, taken, name)


class Defects:
    """ASGI middleware: an error that nothing expects is answered with 500, inside what adds headers to answers."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        begun = False

        async def watched(message: Any) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception:
            if scope["type"] != "http" or begun:
                raise
            log.exception("a request failed by a defect")
            answer = JSONResponse(ApiError(500, "a defect of the service; its log says more").body, 500)
            await answer(scope, receive, send)


class Guarded:
    """ASGI middleware: with ``hosts`` the service answers only to these names; a name that resolves to it by a trick
    (DNS rebinding) reaches nothing."""

    def __init__(self, app: Any, hosts: tuple[str, ...], metrics: Metrics) -> None:
        self.app, self.hosts, self.metrics = app, frozenset(host.lower() for host in hosts), metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and self.hosts:
            host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").lower()
            if host not in self.hosts and re.sub(r":\d+$", "", host) not in self.hosts:
                error = ApiError(421, "this service does not answer to that host name", code="unknown_host")
                await _refuse(self.metrics, error, scope, receive, send)
                return
        await self.app(scope, receive, send)


class ApiKey:
    """ASGI middleware: all but health and the page's own files needs one of ``keys``; comparison takes the same time
    for any key."""

    def __init__(self, app: Any, keys: tuple[str, ...], metrics: Metrics) -> None:
        self.app, self.keys, self.metrics = app, [key.encode() for key in keys], metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        guarded = scope["type"] == "http" and scope["path"] not in OPEN
        if guarded and scope["method"] != "OPTIONS" and not self._allowed(scope):
            await _refuse(self.metrics, ApiError(401, "this service needs an API key: Authorization: Bearer KEY"),
                          scope, receive, send)  # fmt: skip
            return
        await self.app(scope, receive, send)

    def _allowed(self, scope: Any) -> bool:
        scheme, _, given = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
        same = [hmac.compare_digest(given.strip(), key) for key in self.keys]
        return scheme.lower() == b"bearer" and any(same)


async def _refuse(metrics: Metrics, error: ApiError, scope: Any, receive: Any, send: Any) -> None:
    metrics.failures.labels(error.code).inc()
    await JSONResponse(error.body, error.status, error.headers | {"Connection": "close"})(scope, receive, send)


class BodyLimit:
    """ASGI middleware: a body of more than ``limit`` bytes is answered with 413 and not read to its end; one
    that has not come within ``seconds`` with 408."""

    def __init__(self, app: Any, limit: int, seconds: float, metrics: Metrics) -> None:
        self.app, self.limit, self.seconds, self.metrics = app, limit, seconds, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        too_large = ApiError(413, f"the body has more than {self.limit} bytes")
        if length.isdigit() and int(length) > self.limit:
            await _refuse(self.metrics, too_large, scope, receive, send)
            return
        chunks, size, more = [], 0, scope["method"] in ("POST", "PUT", "PATCH")
        try:
            async with asyncio.timeout(self.seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    more = message.get("more_body", False)
                    if size > self.limit:
                        await _refuse(self.metrics, too_large, scope, receive, send)
                        return
        except TimeoutError:
            late = ApiError(408, f"the body did not come within {self.seconds:g} seconds", code="request_timeout")
            await _refuse(self.metrics, late, scope, receive, send)
            return
        whole = b"".join(chunks)
        if (fault := _fault(whole)) is not None:
            await _refuse(self.metrics, ApiError(400, fault, code="invalid_json"), scope, receive, send)
            return
        body: list[dict[str, Any]] = [{"type": "http.request", "body": whole, "more_body": False}]

        async def replay() -> Any:
            return body.pop() if body else await receive()

        await self.app(scope, replay if chunks else receive, send)


DEEPEST = 200
"""Levels of arrays and objects that a body may nest."""


def _fault(body: bytes) -> str | None:
    """What makes a body no JSON that can be worked with, beyond what its reader says: nesting, lone surrogates.

    >>> _fault(b"[" * 300), _fault(b'{"a": "\\\\ud83d"}')
    ('the body nests more than 200 levels', 'the body holds half of a surrogate pair, which is no character')
    >>> _fault(b'{"a": "[[[ \\\\ud83d\\\\ude42"}') is None
    True
    """
    if body.count(b"[") + body.count(b"{") > DEEPEST:
        level = 0
        for found in re.finditer(rb'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', body, re.DOTALL):
            first = found[0][:1]
            level += (first in b"[{") - (first in b"]}")
            if level > DEEPEST:
                return f"the body nests more than {DEEPEST} levels"
    if rb"\ud" in body or rb"\uD" in body:
        try:
            json.dumps(json.loads(body), ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return "the body holds half of a surrogate pair, which is no character"
        except (ValueError, RecursionError):
            return None  # its reader says what is wrong
    return None
