"""The HTTP side: requests become rows of the worker, rows become answers."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from structdiff import __version__
from structdiff.confidence.likelihood import TokenMeter
from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import StructdiffError
from structdiff.core.limits import Limits
from structdiff.decode.engine import Outcome, Task
from structdiff.decode.trace import CanvasCommitted, Event, StepDone
from structdiff.model import Model
from structdiff.server import answers
from structdiff.server.api import ChatRequest, CompletionRequest
from structdiff.server.errors import ApiError
from structdiff.server.metrics import Metrics
from structdiff.server.middleware import ApiKey, BodyLimit, Observe
from structdiff.server.page import page
from structdiff.server.rows import Wanted, tasks, wanted
from structdiff.server.settings import Settings
from structdiff.server.worker import QueueFull, Stopping, Worker

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
    >>> service = Service(structdiff.load())
    >>> service.app.title
    'structdiff'
    >>> service.stop()
    """

    def __init__(self, model: Model, settings: Settings | None = None) -> None:
        self.model, self.settings = model, settings or Settings()
        self.metrics = Metrics(lambda: self.worker.waiting)
        self.worker = Worker(
            model.denoiser, model.policy, self.settings.max_batch, self.settings.max_queue,
            on_step=self.metrics.batch.observe,
        )  # fmt: skip
        self.compilers = ThreadPoolExecutor(self.settings.compile_threads, thread_name_prefix="structdiff-compile")
        self.started = int(time.time())
        self.app = self._app()

    def stop(self, drain: bool = True) -> None:
        """Finish what runs (or drop it) and end the threads."""
        self.worker.stop(drain)
        self.compilers.shutdown(cancel_futures=True)

    def _app(self) -> FastAPI:
        @contextlib.asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            yield
            await asyncio.to_thread(self.stop)

        app = FastAPI(title="structdiff", version=__version__, lifespan=lifespan)
        app.add_middleware(
            BodyLimit, limit=self.settings.max_body, seconds=self.settings.body_seconds, metrics=self.metrics
        )
        if self.settings.api_keys:
            app.add_middleware(ApiKey, keys=self.settings.api_keys, metrics=self.metrics)
        if self.settings.origins:
            app.add_middleware(
                CORSMiddleware, allow_origins=list(self.settings.origins), allow_methods=["GET", "POST"],
                allow_headers=["authorization", "content-type"],
            )  # fmt: skip
        app.add_middleware(Observe, metrics=self.metrics)
        app.add_exception_handler(ApiError, self._refuse)
        app.add_exception_handler(RequestValidationError, self._invalid)
        app.add_exception_handler(HTTPException, _http)
        app.add_exception_handler(Exception, _defect)
        app.post("/v1/chat/completions", responses=ERRORS)(self.chat)
        app.post("/v1/completions", responses=ERRORS)(self.completions)
        app.get("/v1/models", responses={401: ERRORS[401]})(self.models)
        app.get("/v1/models/{name:path}", responses={401: ERRORS[401], 404: ERRORS[404]})(self.one_model)
        app.get("/health", responses={503: ERRORS[503]})(self.health)
        app.get("/metrics", response_class=Response, responses={401: ERRORS[401]})(self.prometheus)
        app.include_router(page)
        return app

    # --- routes ---

    async def chat(self, body: ChatRequest, request: Request) -> Any:
        """A chat completion; with a response format, structured outputs or tools, one that is always valid."""
        return await self._answer(body, request, "chat.completion")

    async def completions(self, body: CompletionRequest, request: Request) -> Any:
        """A completion of a bare prompt."""
        return await self._answer(body, request, "text_completion")

    async def models(self) -> Any:
        """The models that are served: one."""
        return {"object": "list", "data": [self._card()]}

    async def one_model(self, name: str) -> Any:
        """One model."""
        self._known(name)
        return self._card()

    async def health(self) -> Any:
        """Whether the model's thread is alive."""
        if not self.worker.alive:
            raise ApiError(503, "the model's thread has ended", code="unhealthy")
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

    # --- an answer ---

    async def _answer(self, body: ChatRequest | CompletionRequest, request: Request, kind: str) -> Any:
        self._known(body.model)
        if body.n > self.settings.max_choices:
            raise ApiError(400, f"n is {body.n}; at most {self.settings.max_choices} choices are given", param="n")
        ends = asyncio.get_running_loop().time() + self.settings.deadline
        try:
            async with asyncio.timeout_at(ends):
                want = wanted(body)
                constraint = await self._compile(want)
                seed = secrets.randbits(31) if body.seed is None else body.seed
                rows = tasks(self.model, body, constraint, want.note, seed)
        except TimeoutError:
            raise self._late() from None
        run = Run(self, rows, body.stops)
        head = {
            "id": f"{'chatcmpl' if kind[0] == 'c' else 'cmpl'}-{secrets.token_hex(12)}",
            "object": kind,
            "created": int(time.time()),
            "model": self.model.name,
            "system_fingerprint": f"structdiff-{__version__}",
        }
        if constraint is not None and constraint.restrictions:
            head["structdiff"] = {"restrictions": [asdict(one) for one in constraint.restrictions]}
        if body.stream:
            stream = self._stream(run, body, want, head, ends)
            return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        watch = asyncio.create_task(_gone(request))
        work = asyncio.create_task(run.finish())
        try:
            async with asyncio.timeout_at(ends):
                await asyncio.wait({watch, work}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                return Response(status_code=499)  # nobody reads it
            await work
        except TimeoutError:
            raise self._late() from None
        finally:
            run.cancel()
            watch.cancel()
            work.cancel()
        form = answers.chat_choice if isinstance(body, ChatRequest) else answers.text_choice
        choices = [form(i, choice, want, run.logprobs(i, body)) for i, choice in enumerate(run.choices)]
        if body.structdiff.fields:
            for one, choice in zip(choices, run.choices, strict=True):
                one["structdiff"] = {"fields": self._fields(choice)}
        return head | {"choices": choices, "usage": self._count(run)}

    async def _compile(self, want: Wanted) -> Constraint | None:
        if want.source is None:
            return None
        options: dict[str, Any] = {"limits": Limits(seconds=self.settings.compile_seconds), **dict(want.options)}
        try:
            remembered = self.model.compiler.remembers(want.source, **options)
            self.metrics.compile_cache.labels("hit" if remembered else "miss").inc()
            if remembered:
                return self.model.compile(want.source, **options)
            begun = time.perf_counter()
            work = functools.partial(self.model.compile, want.source, **options)
            constraint = await asyncio.get_running_loop().run_in_executor(self.compilers, work)
        except StructdiffError as error:
            raise ApiError.of(error, want.param) from None
        self.metrics.compile_seconds.observe(time.perf_counter() - begun)
        return constraint

    async def _stream(
        self, run: Run, body: ChatRequest | CompletionRequest, want: Wanted, head: dict[str, Any], ends: float
    ) -> AsyncIterator[str]:
        chat = isinstance(body, ChatRequest)
        form = answers.chat_delta if chat else answers.text_delta
        head = head | {"object": "chat.completion.chunk" if chat else "text_completion"}
        with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)

        def chunk(*choices: Any, **more: Any) -> str:
            return answers.sse(head | {"choices": list(choices)} | ({"usage": None} if with_usage else {}) | more)

        try:
            async with asyncio.timeout_at(ends):
                if chat:
                    for i in range(body.n):
                        yield chunk(form(i, {"role": "assistant", "content": ""}))
                async for i, happened in run.events():
                    if isinstance(happened, CanvasCommitted) and happened.thought and chat:
                        yield chunk(form(i, {"reasoning": happened.text}))
                    if body.structdiff.trace and not isinstance(happened, str | Outcome):
                        event = answers.trace_event(happened, i, self.model.vocabulary.piece)
                        if event is not None:
                            yield chunk(structdiff=event)
                    elif isinstance(happened, Outcome):
                        choice = run.choices[i]
                        if body.structdiff.fields:
                            yield chunk(structdiff={"event": "fields", "choice": i, "fields": self._fields(choice)})
                        if want.tool_calls is not None:
                            calls = answers.tool_calls(want, choice.text, i)
                            indexed = [{"index": k, **call} for k, call in enumerate(calls)]
                            yield chunk(form(i, {"tool_calls": indexed}))
                            yield chunk(form(i, {}, "tool_calls"))
                        else:
                            yield chunk(form(i, {}, choice.finish_reason))
                    elif isinstance(happened, str) and want.tool_calls is None:
                        likely = run.logprobs(i, body)
                        if happened or likely is not None:
                            yield chunk(form(i, {"content": happened}, logprobs=likely))
                counted = self._count(run)
                if with_usage:
                    yield chunk(usage=counted)
            yield answers.sse("[DONE]")
        except TimeoutError:
            yield answers.sse(self._late().body)
        except ApiError as error:
            self.metrics.failures.labels(error.code).inc()
            yield answers.sse(error.body)
        finally:
            run.cancel()

    def _fields(self, choice: answers.Choice) -> dict[str, Any]:
        measured = self.model.fields(choice.outcome) if choice.outcome is not None else None
        return answers.fields_data(measured or {})

    def _count(self, run: Run) -> dict[str, Any]:
        outcomes = [choice.outcome for choice in run.choices if choice.outcome is not None]
        counted = answers.usage(len(run.rows[0].prompt), outcomes)
        self.metrics.prompt_tokens.inc(counted["prompt_tokens"])
        self.metrics.completion_tokens.inc(counted["completion_tokens"])
        self.metrics.steps.inc(counted["structdiff"]["denoising_steps"])
        self.metrics.canvases.inc(counted["structdiff"]["canvases"])
        return counted

    def _late(self) -> ApiError:
        return ApiError(504, f"the answer took longer than {self.settings.deadline:g} seconds; it was given up")

    async def _refuse(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        self.metrics.failures.labels(error.code).inc()
        return JSONResponse(error.body, error.status, error.headers)

    async def _invalid(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "body")
        refused = first["type"] == "extra_forbidden"
        message = f"{place}: this service does not know or cannot honour it" if refused else f"{place}: {first['msg']}"
        return await self._refuse(request, ApiError(400, message, param=place or None))


class Run:
    """The rows of one request, from submission to the last outcome; `events` or `finish` consume it once."""

    def __init__(self, service: Service, rows: list[Task], stops: list[str]) -> None:
        self.service, self.rows = service, rows
        self.choices = [answers.Choice(stops) for _ in rows]
        self._written: list[list[int]] = [[] for _ in rows]
        self._thought: list[list[int]] = [[] for _ in rows]
        self._steps, self._told = [0] * len(rows), [0] * len(rows)
        self._queue: asyncio.Queue[tuple[int, Any]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        sinks = [self._sink(i) for i in range(len(rows))]
        try:
            self._numbers = service.worker.submit(rows, sinks)
        except QueueFull:
            waiting = service.worker.waiting
            raise ApiError(429, f"{waiting} rows wait already; come back later", retry_after=1) from None
        except Stopping:
            raise ApiError(503, "the service is shutting down", retry_after=5) from None

    def _sink(self, index: int) -> Callable[[Event | Outcome | Exception], None]:
        def put(happened: Event | Outcome | Exception) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended; nobody reads any more
                self._loop.call_soon_threadsafe(self._queue.put_nowait, (index, happened))

        return put

    def logprobs(self, index: int, body: ChatRequest | CompletionRequest) -> dict[str, Any] | None:
        """The log probabilities of a choice's tokens that are settled and were not asked for before; None for none."""
        meters = [meter for meter in self.rows[index].on_commit if isinstance(meter, TokenMeter)]
        begin, end = self._told[index], len(self._written[index])
        if not meters or begin == end:
            return None
        self._told[index] = end
        bytes_of = self.service.model.vocabulary.bytes_of
        new = meters[0].tokens[begin:end]
        if isinstance(body, ChatRequest):
            return answers.chat_logprobs(new, lambda token: bytes_of([token]))
        before = bytes_of([one.token for one in meters[0].tokens[:begin]]).decode("utf-8", "replace")
        return answers.text_logprobs(new, lambda token: bytes_of([token]), len(before))

    def cancel(self) -> None:
        """Drop what still runs."""
        self.service.worker.cancel(self._numbers)

    async def events(self) -> AsyncIterator[tuple[int, str | Event | Outcome]]:
        """(choice, settled text or event or its outcome), until every choice is finished."""
        left = len(self.rows)
        while left:
            i, happened = await self._queue.get()
            choice = self.choices[i]
            if isinstance(happened, Exception):
                raise (
                    ApiError.of(happened)
                    if isinstance(happened, StructdiffError)
                    else ApiError(500, "the generation failed by a defect of the service; its log says more")
                )
            if choice.outcome is not None:
                continue
            if isinstance(happened, CanvasCommitted) and happened.thought:
                choice.thought += happened.text
                self._thought[i] += happened.tokens
                yield i, happened
            elif isinstance(happened, CanvasCommitted):
                yield i, happened
                self._written[i] += happened.tokens
                data = self.service.model.vocabulary.bytes_of(happened.tokens)
                yield i, choice.extend(data)
                if choice.stopped:
                    self.service.worker.cancel([self._numbers[i]])
                    cost = self._steps[i], happened.canvas + 1
                    happened = Outcome(self.rows[i], self._written[i], "stop", *cost, thought=self._thought[i])
            elif not isinstance(happened, Outcome):
                self._steps[i] += isinstance(happened, StepDone)
                yield i, happened
                continue
            if isinstance(happened, Outcome):
                choice.outcome = happened
                left -= 1
                if not choice.stopped:
                    yield i, choice.extend(b"", last=True)
                yield i, happened

    async def finish(self) -> None:
        """Wait for every choice."""
        async for _ in self.events():
            pass


async def _gone(request: Request) -> None:
    """Returns when the client has hung up."""
    while not await request.is_disconnected():
        await asyncio.sleep(0.1)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse(ApiError(error.status_code, str(error.detail)).body, error.status_code, error.headers)


async def _defect(request: Request, error: Exception) -> Response:
    return JSONResponse(ApiError(500, "a defect of the service; its log says more").body, 500)
