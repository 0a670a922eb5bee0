"""From a request to its answer: compile, encode, run, and write it down, whole or as a stream."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from fastapi import Request

from structdiff import __version__
from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import StructdiffError
from structdiff.decode.engine import Outcome
from structdiff.decode.trace import CanvasCommitted
from structdiff.frontends.form import form_of
from structdiff.model import Model
from structdiff.options import reach
from structdiff.results.evidence import find_spans
from structdiff.server import answers
from structdiff.server.api import ChatRequest, CompletionRequest
from structdiff.server.compilers import Compilers
from structdiff.server.errors import ApiError
from structdiff.server.fair import FairGate
from structdiff.server.metrics import Metrics
from structdiff.server.rows import tasks
from structdiff.server.run import Run, full
from structdiff.server.settings import Settings
from structdiff.server.wanted import Wanted, wanted
from structdiff.server.worker import QueueFull, Worker

T = TypeVar("T")
ENCODERS = 2
"""Prompts that are encoded at a time, on threads."""


class Gone(Exception):
    """The client has hung up; nobody reads an answer."""


def client_of(request: Request, settings: Settings) -> Hashable:
    """Whose request it is: that of a key where keys are asked for, else of an address (IPv6: of a network of 64 bits).

    A proxy in front has to pass the address on (uvicorn reads ``X-Forwarded-For`` of trusted proxies).
    """
    if settings.api_keys:
        return hashlib.sha256(request.headers.get("authorization", "").encode()).digest()
    host = request.client.host if request.client is not None else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(ipaddress.ip_network((host, 64), strict=False)) if address.version == 6 else host


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """The result of ``work``, which is cancelled when the client hangs up. Raises `Gone`."""
    task = asyncio.ensure_future(work)
    watch = asyncio.create_task(_hung_up(request))
    try:
        await asyncio.wait({watch, task}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Gone
        return task.result()
    finally:
        watch.cancel()
        task.cancel()
        await asyncio.gather(watch, task, return_exceptions=True)


async def _hung_up(request: Request) -> None:
    """Returns when the client hangs up; its body has been read, so that nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


@dataclass(frozen=True)
class Begun:
    """A request whose rows run: what it wants, its constraint, its run, the head of its answer, and its deadline."""

    body: ChatRequest | CompletionRequest
    want: Wanted
    constraint: Constraint | None
    run: Run
    head: dict[str, Any]
    ends: float


class Completions:
    """Answers requests with one model's worker."""

    def __init__(
        self, model: Model, settings: Settings, metrics: Metrics, worker: Worker, compilers: Compilers
    ) -> None:
        self.model, self.settings, self.metrics = model, settings, metrics
        self.worker, self.compilers = worker, compilers
        self._encoders = FairGate(ENCODERS)

    async def begin(self, body: ChatRequest | CompletionRequest, request: Request, kind: str) -> Begun:
        """Compile and encode, and let the rows run. Raises `ApiError` or `Gone`."""
        if body.n > self.settings.max_choices:
            raise ApiError(400, f"n is {body.n}; at most {self.settings.max_choices} choices are given", param="n")
        ends = asyncio.get_running_loop().time() + self.settings.deadline
        client = client_of(request, self.settings)
        try:
            self.worker.expect(body.n, client)
        except QueueFull as error:
            raise full(error) from None
        want = wanted(body, self.model)
        seed = secrets.randbits(31) if body.seed is None else body.seed
        try:
            async with asyncio.timeout_at(ends):
                constraint, said, rows = await unless_gone(request, self._prepare(body, want, client, seed))
        except TimeoutError:
            raise self.late() from None
        judge = {} if constraint is None else {"judge": constraint.value}
        run = Run(self.worker, self.model.vocabulary, rows, body.stops, client, **judge)
        head = {
            "id": f"{'chatcmpl' if kind[0] == 'c' else 'cmpl'}-{secrets.token_hex(12)}",
            "object": kind,
            "created": int(time.time()),
            "model": self.model.name,
            "system_fingerprint": f"structdiff-{__version__}",
        }
        if said:
            head["structdiff"] = said
        return Begun(body, want, constraint, run, head, ends)

    async def _prepare(
        self, body: ChatRequest | CompletionRequest, want: Wanted, client: Hashable, seed: int
    ) -> tuple[Constraint | None, dict[str, Any], list[Any]]:
        """The constraint, what is to be said of it, and the rows; forms and prompts are written off the loop."""
        constraint = None if want.source is None else await self._compiled(want, client, body.budget)

        def written() -> tuple[dict[str, Any], list[Any]]:
            said = {} if constraint is None else _said(constraint)
            return said, tasks(self.model, body, constraint, want.note, seed, self.settings)

        async with self._encoders.place(client):
            return constraint, *await asyncio.to_thread(written)

    async def check(self, body: ChatRequest, request: Request) -> dict[str, Any]:
        """What the constraint of a request is, without running it. Raises `ApiError` or `Gone`."""
        want, client = wanted(body, self.model), client_of(request, self.settings)
        if want.source is None:
            raise ApiError(400, "the request asks for no constraint; there is nothing to check")
        constraint = await unless_gone(request, self._compiled(want, client, body.budget))
        return {
            "object": "structdiff.check",
            "states": constraint.states,
            "edges": constraint.edges,
            "min_tokens": constraint.min_tokens,
            "restrictions": [asdict(one) for one in constraint.restrictions],
        }

    async def _compiled(self, want: Wanted, client: Hashable, budget: int | None) -> Constraint:
        try:
            return await self.compilers.compile(want.source, client, max_tokens=reach(budget), **dict(want.options))
        except QueueFull as error:
            raise full(error) from None
        except StructdiffError as error:
            raise ApiError.of(error, want.param) from None

    async def whole(self, begun: Begun, request: Request) -> None:
        """Wait for every choice. Raises `ApiError` or `Gone`; then nothing runs on."""
        try:
            async with asyncio.timeout_at(begun.ends):
                await unless_gone(request, begun.run.finish())
        except TimeoutError:
            raise self.late() from None
        finally:
            begun.run.cancel()

    def choices(self, begun: Begun) -> list[dict[str, Any]]:
        """The choices of a run that is finished, in OpenAI's form."""
        run, body = begun.run, begun.body
        chat = isinstance(body, ChatRequest)
        form = answers.chat_choice if chat else answers.text_choice
        choices = [form(i, choice, begun.want, run.logprobs(i, chat)) for i, choice in enumerate(run.choices)]
        if body.structdiff.fields:
            for one, choice in zip(choices, run.choices, strict=True):
                one["structdiff"] = {"fields": self._fields(begun, choice)}
        return choices

    async def answer(self, begun: Begun, request: Request) -> dict[str, Any]:
        """The whole answer."""
        await self.whole(begun, request)
        return begun.head | {"choices": self.choices(begun), "usage": self.count(begun.run)}

    async def stream(self, begun: Begun) -> AsyncIterator[str]:
        """The answer as server-sent events, ending in ``[DONE]`` or an error."""
        try:
            async with asyncio.timeout_at(begun.ends):
                async for text in self._chunks(begun):
                    yield text
            yield answers.sse("[DONE]")
        except TimeoutError:
            yield answers.sse(self.late().body)
        except ApiError as error:
            self.metrics.failures.labels(error.code).inc()
            yield answers.sse(error.body)
        finally:
            begun.run.cancel()

    async def _chunks(self, begun: Begun) -> AsyncIterator[str]:
        body, want, run = begun.body, begun.want, begun.run
        chat = isinstance(body, ChatRequest)
        form = answers.chat_delta if chat else answers.text_delta
        head = begun.head | {"object": "chat.completion.chunk" if chat else "text_completion"}
        with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)

        def chunk(*choices: Any, **more: Any) -> str:
            return answers.sse(head | {"choices": list(choices)} | ({"usage": None} if with_usage else {}) | more)

        held = [answers.Held(want) for _ in run.choices]
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
                for text in self._last_chunks(begun, i, held[i], chunk, form):
                    yield text
            elif isinstance(happened, str):
                content = held[i].content(happened)
                likely = run.logprobs(i, chat)
                if content or likely is not None:
                    yield chunk(form(i, {"content": content}, logprobs=likely))
        counted = self.count(run)
        if with_usage:
            yield chunk(usage=counted)

    def _last_chunks(
        self, begun: Begun, index: int, held: answers.Held, chunk: Callable[..., str], form: Callable[..., Any]
    ) -> list[str]:
        choice = begun.run.choices[index]
        chunks = []
        if begun.body.structdiff.fields:
            told = {"event": "fields", "choice": index, "fields": self._fields(begun, choice)}
            chunks.append(chunk(structdiff=told))
        calls = answers.tool_calls(begun.want, choice.text)
        if rest := held.rest(calls):
            chunks.append(chunk(form(index, {"content": rest})))
        for k, call in enumerate(calls):
            chunks.append(chunk(form(index, {"tool_calls": [{"index": k, **call}]})))
        return [*chunks, chunk(form(index, {}, answers.finish(choice, begun.want, calls)))]

    def _fields(self, begun: Begun, choice: answers.Choice) -> dict[str, Any]:
        measured = self.model.fields(choice.outcome) if choice.outcome is not None else None
        if not measured or begun.constraint is None:
            return {}
        body = begun.body
        text = body.messages[-1].text if isinstance(body, ChatRequest) else body.prompt
        value = json.loads(choice.text) if begun.constraint.source.traits.json else choice.text
        return answers.fields_data(measured, find_spans(value, text))

    def count(self, run: Run) -> dict[str, Any]:
        """The usage of a run that is finished, counted in the metrics too."""
        outcomes = [choice.outcome for choice in run.choices if choice.outcome is not None]
        counted = answers.usage(len(run.rows[0].prompt), outcomes)
        self.metrics.prompt_tokens.inc(counted["prompt_tokens"])
        self.metrics.completion_tokens.inc(counted["completion_tokens"])
        self.metrics.steps.inc(counted["structdiff"]["denoising_steps"])
        self.metrics.canvases.inc(counted["structdiff"]["canvases"])
        return counted

    def late(self) -> ApiError:
        """What is said when the deadline has passed."""
        return ApiError(504, f"the answer took longer than {self.settings.deadline:g} seconds; it was given up")


def _said(constraint: Constraint) -> dict[str, Any]:
    """What a caller should know of a constraint: what is never written, and a form that is not shown whole."""
    said: dict[str, Any] = {}
    if constraint.restrictions:
        said["restrictions"] = [asdict(one) for one in constraint.restrictions]
    if constraint.source.schema is not None and form_of(constraint.source.schema).shortened:
        said["form"] = "shortened"
    return said
