"""What surrounds every request: the key, the bound on its body, and what is counted."""

from __future__ import annotations

import asyncio
import hmac
import time
from typing import Any

from fastapi.responses import JSONResponse

from structdiff.server.errors import ApiError
from structdiff.server.metrics import Metrics


class Observe:
    """ASGI middleware: counts requests by route and status, and how long they take."""

    def __init__(self, app: Any, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), "499"

        async def watched(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - begun)


class ApiKey:
    """ASGI middleware: ``/v1`` and ``/metrics`` need one of ``keys``; comparison takes the same time for any key."""

    def __init__(self, app: Any, keys: tuple[str, ...], metrics: Metrics) -> None:
        self.app, self.keys, self.metrics = app, [key.encode() for key in keys], metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        guarded = scope["type"] == "http" and scope["path"].startswith(("/v1", "/metrics"))
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
        body: list[dict[str, Any]] = [{"type": "http.request", "body": b"".join(chunks), "more_body": False}]

        async def replay() -> Any:
            return body.pop() if body else await receive()

        await self.app(scope, replay if chunks else receive, send)
