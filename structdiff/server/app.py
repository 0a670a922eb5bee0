"""The HTTP side: routes, what surrounds them, and how errors are told."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from structdiff import __version__
from structdiff.model import Model
from structdiff.server.api import ChatRequest, CompletionRequest
from structdiff.server.compilers import Compilers
from structdiff.server.completions import Completions, Gone
from structdiff.server.errors import ApiError, of_validation
from structdiff.server.metrics import Metrics
from structdiff.server.middleware import ApiKey, BodyLimit, Defects, Guarded, Observe
from structdiff.server.page import page
from structdiff.server.responses import Responses
from structdiff.server.responses_api import ResponsesRequest
from structdiff.server.settings import Settings
from structdiff.server.worker import Worker

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/json": {}}}
    for status, text in {
        400: "The request cannot be honoured; the message says what, where and what to do.",
        401: "No valid API key.",
        404: "No such model.",
        408: "The body did not come in time.",
        413: "The body is too large.",
        429: "The queue is full; Retry-After says when to come back.",
        500: "The generation failed.",
        503: "The service is shutting down.",
        504: "The answer took too long.",
    }.items()
}


class Service:
    """One model behind HTTP; `app` is the ASGI application.

    >>> import structdiff
    >>> service = Service(structdiff.load("tiny"))
    >>> service.app.title
    'structdiff'
    >>> service.stop()
    """

    def __init__(self, model: Model, settings: Settings | None = None) -> None:
        self.model, self.settings = model, settings or Settings()
        self.metrics = Metrics(
            waiting=lambda: self.worker.waiting, running=lambda: self.worker.running,
            oldest=lambda: self.worker.oldest, compiling=lambda: self.compilers.waiting,
        )  # fmt: skip
        self.worker = Worker(
            model.denoiser, model.policy, self.settings.max_batch, self.settings.max_queue,
            on_step=self.metrics.batch.observe,
        )  # fmt: skip
        self.compilers = Compilers(model, self.settings, self.metrics)
        self.completions = Completions(model, self.settings, self.metrics, self.worker, self.compilers)
        self.responses = Responses(self.completions)
        self.started = int(time.time())
        self.app = self._app()

    def stop(self, drain: bool = True) -> None:
        """Finish what runs (or drop it) and end the threads and processes."""
        self.worker.stop(drain)
        self.compilers.stop()

    def _app(self) -> FastAPI:
        @contextlib.asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            self.compilers.start()
            yield
            await asyncio.to_thread(self.stop)

        settings = self.settings
        app = FastAPI(title="structdiff", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
        app.add_middleware(BodyLimit, limit=settings.max_body, seconds=settings.body_seconds, metrics=self.metrics)
        if settings.api_keys:
            app.add_middleware(ApiKey, keys=settings.api_keys, metrics=self.metrics)
        app.add_middleware(Guarded, hosts=settings.hosts, metrics=self.metrics)
        app.add_exception_handler(ApiError, self._refuse)
        app.add_exception_handler(RequestValidationError, self._invalid)
        app.add_exception_handler(HTTPException, _http)
        app.add_exception_handler(Gone, _gone)
        app.add_middleware(Defects)
        if settings.origins:
            app.add_middleware(
                CORSMiddleware, allow_origins=list(settings.origins), allow_methods=["GET", "POST"],
                allow_headers=["*"], expose_headers=["retry-after", "x-request-id"],
            )  # fmt: skip
        app.add_middleware(Observe, metrics=self.metrics)
        app.post("/v1/chat/completions", responses=ERRORS)(self.chat)
        app.post("/v1/completions", responses=ERRORS)(self.complete)
        app.post("/v1/responses", responses=ERRORS)(self.respond)
        app.post("/v1/structdiff/check", responses=ERRORS)(self.check)
        app.get("/v1/models", responses={401: ERRORS[401]})(self.models)
        app.get("/v1/models/{name:path}", responses={401: ERRORS[401], 404: ERRORS[404]})(self.one_model)
        app.get("/health", responses={503: ERRORS[503]})(self.health)
        app.head("/health", include_in_schema=False)(self.health)
        app.get("/metrics", response_class=Response, responses={401: ERRORS[401]})(self.prometheus)
        app.include_router(page)
        return app

    # --- routes ---

    async def chat(self, body: ChatRequest, request: Request) -> Any:
        """A chat completion; with a response format, structured outputs or tools, one that is always valid."""
        return await self._answer(body, request, "chat.completion")

    async def complete(self, body: CompletionRequest, request: Request) -> Any:
        """A completion of a bare prompt."""
        return await self._answer(body, request, "text_completion")

    async def respond(self, body: ResponsesRequest, request: Request) -> Any:
        """A response, as OpenAI's newer API gives it."""
        self._known(body.model)
        begun = await self.responses.begin(body, request)
        if not body.stream:
            return await self.responses.answer(begun, request)
        return _events(self.responses.stream(begun))

    async def check(self, body: ChatRequest, request: Request) -> Any:
        """What the constraint of a chat request would be: its size, its least tokens, and what it never writes."""
        self._known(body.model)
        return await self.completions.check(body, request)

    async def models(self) -> Any:
        """The models that are served: one."""
        return {"object": "list", "data": [self._card()]}

    async def one_model(self, name: str) -> Any:
        """One model."""
        self._known(name)
        return self._card()

    async def health(self) -> Any:
        """Whether the model's threads are alive."""
        if not self.worker.alive:
            raise ApiError(503, "a thread of the model has ended", code="unhealthy")
        return {"status": "ok", "running": self.worker.running, "waiting": self.worker.waiting}

    async def prometheus(self) -> Response:
        """Metrics in Prometheus's text format."""
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    def _card(self) -> dict[str, Any]:
        return {"id": self.model.name, "object": "model", "created": self.started, "owned_by": "structdiff"}

    def _known(self, name: str) -> None:
        if name != self.model.name:
            raise ApiError(404, f"the model {name!r} is not served here; {self.model.name!r} is",
                           param="model", code="model_not_found")  # fmt: skip

    async def _answer(self, body: ChatRequest | CompletionRequest, request: Request, kind: str) -> Any:
        self._known(body.model)
        begun = await self.completions.begin(body, request, kind)
        if not body.stream:
            return await self.completions.answer(begun, request)
        return _events(self.completions.stream(begun))

    # --- errors ---

    async def _refuse(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        self.metrics.failures.labels(error.code).inc()
        return JSONResponse(error.body, error.status, error.headers)

    async def _invalid(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return await self._refuse(request, of_validation(error.errors(), error.body))


def _events(stream: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse(ApiError(error.status_code, str(error.detail)).body, error.status_code, error.headers)
