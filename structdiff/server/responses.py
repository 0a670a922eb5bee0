"""The Responses API: answers as items, whole or as a stream of typed events."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from structdiff.server import answers
from structdiff.server.completions import Begun, Completions
from structdiff.server.errors import ApiError
from structdiff.server.responses_api import ResponsesRequest, as_chat, in_these_terms


@dataclass(frozen=True)
class Response:
    """A response that has begun: what was asked for, the run, and the head that all its forms share."""

    asked: ResponsesRequest
    begun: Begun
    head: dict[str, Any]


class Responses:
    """Answers ``/v1/responses`` by way of chat completions with one choice."""

    def __init__(self, completions: Completions) -> None:
        self.completions = completions

    async def begin(self, asked: ResponsesRequest, request: Request) -> Response:
        """Let the row run. Raises `ApiError`."""
        try:
            begun = await self.completions.begin(as_chat(asked), request, "chat.completion")
        except ApiError as error:
            raise in_these_terms(error, asked) from None
        text = asked.text.model_dump(by_alias=True, exclude_none=True) if asked.text is not None else {}
        head = {
            "id": f"resp_{secrets.token_hex(24)}",
            "object": "response",
            "created_at": int(time.time()),
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens,
            "model": self.completions.model.name,
            "output": [],
            "parallel_tool_calls": asked.parallel_tool_calls is not False,
            "previous_response_id": None,
            "reasoning": {"effort": asked.reasoning.effort if asked.reasoning else None, "summary": None},
            "store": False,
            "temperature": asked.temperature,
            "text": {"format": {"type": "text"}} | text,
            "tool_choice": _plain(asked.tool_choice) or "auto",
            "tools": [{"strict": True} | tool.model_dump(exclude_none=True) for tool in asked.tools or []],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": None,
            "user": asked.user,
            "metadata": asked.metadata or {},
        }
        if "structdiff" in begun.head:
            head["structdiff"] = begun.head["structdiff"]
        return Response(asked, begun, head)

    async def answer(self, response: Response, request: Request) -> dict[str, Any]:
        """The whole response."""
        await self.completions.whole(response.begun, request)
        return self._finished(response, _items(response.begun))

    async def stream(self, response: Response) -> AsyncIterator[str]:
        """The response as server-sent events, ending in ``response.completed`` or ``error``."""
        number = -1

        def event(kind: str, **more: Any) -> str:
            nonlocal number
            number += 1
            data = {"type": kind, "sequence_number": number} | more
            return f"event: {kind}\n{answers.sse(data)}"

        try:
            async with asyncio.timeout_at(response.begun.ends):
                yield event("response.created", response=response.head)
                yield event("response.in_progress", response=response.head)
                async for kind, more in self._events(response):
                    yield event(kind, **more)
        except TimeoutError:
            yield event("error", **_error(self.completions.late()))
        except ApiError as error:
            self.completions.metrics.failures.labels(error.code).inc()
            yield event("error", **_error(error))
        finally:
            response.begun.run.cancel()

    async def _events(self, response: Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        run, held = response.begun.run, answers.Held(response.begun.want)
        message: _Message | None = None
        async for _, happened in run.events():
            content = held.content(happened) if isinstance(happened, str) else ""
            if content:
                if message is None:
                    message = _Message()
                    for one in message.begin():
                        yield one
                yield message.delta(content)
        items = _items(response.begun)
        if items[-1]["type"] == "message":
            last = run.choices[0].text
            if message is None:
                message = _Message()
                for one in message.begin():
                    yield one
                if last:
                    yield message.delta(last)
            items[-1]["id"] = message.id
            for one in message.end(items[-1]):
                yield one
        else:
            for at, item in enumerate(items):
                for one in _call_events(at, item):
                    yield one
        finished = self._finished(response, items)
        yield f"response.{finished['status']}", {"response": finished}

    def _finished(self, response: Response, items: list[dict[str, Any]]) -> dict[str, Any]:
        counted = self.completions.count(response.begun.run)
        cut = response.begun.run.choices[0].finish_reason == "length"
        return response.head | {
            "status": "incomplete" if cut else "completed",
            "completed_at": int(time.time()),
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "output": items,
            "usage": {
                "input_tokens": counted["prompt_tokens"],
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": counted["completion_tokens"],
                "output_tokens_details": counted["completion_tokens_details"],
                "total_tokens": counted["total_tokens"],
                "structdiff": counted["structdiff"],
            },
        }


def _items(begun: Begun) -> list[dict[str, Any]]:
    """The output of a finished run: calls, or one message."""
    choice = begun.run.choices[0]
    calls = answers.tool_calls(begun.want, choice.text)
    status = "incomplete" if choice.finish_reason == "length" else "completed"
    if calls:
        return [
            {"type": "function_call", "id": f"fc_{secrets.token_hex(12)}", "call_id": call["id"], "status": status,
             "name": call["function"]["name"], "arguments": call["function"]["arguments"]}
            for call in calls
        ]  # fmt: skip
    return [{"type": "message", "id": f"msg_{secrets.token_hex(12)}", "role": "assistant", "status": status,
             "content": [_part(choice.text)]}]  # fmt: skip


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


class _Message:
    """The events of the message that a stream writes; it is the first item."""

    def __init__(self) -> None:
        self.id = f"msg_{secrets.token_hex(12)}"
        self._place = {"item_id": self.id, "output_index": 0, "content_index": 0}

    def begin(self) -> list[tuple[str, dict[str, Any]]]:
        item = {"type": "message", "id": self.id, "role": "assistant", "status": "in_progress", "content": []}
        return [
            ("response.output_item.added", {"output_index": 0, "item": item}),
            ("response.content_part.added", self._place | {"part": _part("")}),
        ]

    def delta(self, text: str) -> tuple[str, dict[str, Any]]:
        return "response.output_text.delta", self._place | {"delta": text, "logprobs": []}

    def end(self, item: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        part = item["content"][0]
        return [
            ("response.output_text.done", self._place | {"text": part["text"], "logprobs": []}),
            ("response.content_part.done", self._place | {"part": part}),
            ("response.output_item.done", {"output_index": 0, "item": item}),
        ]


def _call_events(index: int, item: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    place = {"item_id": item["id"], "output_index": index}
    empty = item | {"arguments": "", "status": "in_progress"}
    return [
        ("response.output_item.added", {"output_index": index, "item": empty}),
        ("response.function_call_arguments.delta", place | {"delta": item["arguments"]}),
        ("response.function_call_arguments.done", place | {"name": item["name"], "arguments": item["arguments"]}),
        ("response.output_item.done", {"output_index": index, "item": item}),
    ]


def _error(error: ApiError) -> dict[str, Any]:
    said = error.body["error"]
    return {"code": said["code"], "message": said["message"], "param": said["param"]}


def _plain(choice: Any) -> Any:
    return choice.model_dump(exclude_none=True) if hasattr(choice, "model_dump") else choice
