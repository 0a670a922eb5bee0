"""Answers in OpenAI's form: whole ones, and the chunks of a stream."""

from __future__ import annotations

import codecs
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from structdiff.confidence.fields import Field
from structdiff.confidence.likelihood import Likelihood
from structdiff.decode.engine import Outcome
from structdiff.decode.trace import CanvasCommitted, CanvasStarted, Event, StepDone
from structdiff.server.wanted import Wanted
from structdiff.view.trace_html import step_data

Piece = Callable[[int], bytes]
LEAST = -9999.0
"""Stands for a log probability of minus infinity, which JSON cannot hold; OpenAI's interface does the same."""


@dataclass
class Choice:
    """One row's text as it grows: canvases are bytes that may end inside a character, and a stop string ends it."""

    stops: list[str]
    text: str = ""
    thought: str = ""
    stopped: bool = False
    cut: bool = False
    outcome: Outcome | None = None
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )
    _held: str = ""

    def extend(self, data: bytes, last: bool = False) -> str:
        """Add bytes; returns the text that is settled: nothing that could still turn into a stop string."""
        if self.stopped:
            return ""
        self._held += self._decoder.decode(data, last)
        places = [at for stop in self.stops if (at := self._held.find(stop)) >= 0]
        if places:
            delta, self._held, self.stopped = self._held[: min(places)], "", True
        else:
            keep = 0 if last else max((_overlap(self._held, stop) for stop in self.stops), default=0)
            delta, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        self.text += delta
        return delta

    @property
    def finish_reason(self) -> str:
        if self.stopped or self.outcome is None:
            return "stop"
        return "length" if self.cut else self.outcome.reason


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of ``text`` begin ``stop``."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)


def usage(prompt: int, outcomes: list[Outcome]) -> dict[str, Any]:
    """Tokens as OpenAI counts them (thought is part of the completion), denoising steps and canvases beside them."""
    thought = sum(len(outcome.thought) for outcome in outcomes)
    written = sum(len(outcome.tokens) for outcome in outcomes) + thought
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "completion_tokens_details": {"reasoning_tokens": thought},
        "structdiff": {
            "denoising_steps": sum(outcome.steps for outcome in outcomes),
            "canvases": sum(outcome.canvases for outcome in outcomes),
            "ended_arrays": sum(outcome.ended_arrays for outcome in outcomes),
        },
    }


def fields_data(fields: Mapping[str, Field], spans: Mapping[str, tuple[int, int]] | None = None) -> dict[str, Any]:
    """How sure the model is of each field, by JSON Pointer, as data; ``span`` is where its value stands in the text, in
    characters, if it does.

    >>> fields_data({"/a": Field(1, 0.5)}, {"/a": (0, 1)})
    {'/a': {'value': 1, 'present': True, 'probability': 0.5, 'confidence': 0.5, 'span': [0, 1]}}
    """
    spans = spans or {}
    return {
        pointer: {
            "value": one.value, "present": one.present, "probability": one.probability, "confidence": one.confidence,
            **({"span": list(spans[pointer])} if pointer in spans else {}),
        }
        for pointer, one in fields.items()
    }  # fmt: skip


def chat_logprobs(tokens: Sequence[Likelihood], piece: Piece) -> dict[str, Any]:
    """OpenAI's form of chat completions: per token its text, bytes, log probability, and the likeliest there.

    >>> chat_logprobs([Likelihood(0, -0.5, ((1, -0.1),))], [b"a", b"b"].__getitem__)["content"][0]["top_logprobs"]
    [{'token': 'b', 'logprob': -0.1, 'bytes': [98]}]
    """

    def one(token: int, log: float) -> dict[str, Any]:
        data = piece(token)
        return {"token": data.decode("utf-8", "replace"), "logprob": max(log, LEAST), "bytes": list(data)}

    rows = [one(it.token, it.log) | {"top_logprobs": [one(*other) for other in it.top]} for it in tokens]
    return {"content": rows, "refusal": None}


def text_logprobs(tokens: Sequence[Likelihood], piece: Piece, start: int = 0) -> dict[str, Any]:
    """OpenAI's form of plain completions; ``start`` is the place of the first token in the text.

    >>> text_logprobs([Likelihood(0, -0.5), Likelihood(1, -0.1)], [b"ab", b"c"].__getitem__)["text_offset"]
    [0, 2]
    """
    texts = [piece(it.token).decode("utf-8", "replace") for it in tokens]
    return {
        "tokens": texts,
        "token_logprobs": [max(it.log, LEAST) for it in tokens],
        "top_logprobs": [{piece(t).decode("utf-8", "replace"): max(log, LEAST) for t, log in it.top} for it in tokens],
        "text_offset": [start + sum(map(len, texts[:i])) for i in range(len(texts))],
    }


def chat_choice(index: int, choice: Choice, wanted: Wanted, logprobs: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
    if choice.thought:
        message["reasoning"] = choice.thought
    calls = tool_calls(wanted, choice.text)
    if calls:
        message |= {"content": None, "tool_calls": calls}
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish(choice, wanted, calls)}


def text_choice(index: int, choice: Choice, wanted: Wanted, logprobs: Any) -> dict[str, Any]:
    return {"index": index, "text": choice.text, "logprobs": logprobs, "finish_reason": choice.finish_reason}


def finish(choice: Choice, wanted: Wanted, calls: list[dict[str, Any]]) -> str:
    """Why a choice ended, as OpenAI says it: a function that the caller named ends with "stop"."""
    return "tool_calls" if calls and not wanted.forced else choice.finish_reason


def tool_calls(wanted: Wanted, text: str) -> list[dict[str, Any]]:
    """The calls that a text makes, each with an identifier of its own; none where it is content."""
    calls = wanted.calls(text) if wanted.calls is not None else None
    return [
        {
            "id": f"call_{secrets.token_urlsafe(18)}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in calls or []
    ]


class Held:
    """Text of a stream that may still turn out to be calls: `content` gives what surely is content.

    >>> held = Held(Wanted(calls=lambda text: None, beginning="<call>"))
    >>> held.content("<ca"), held.content("t>"), held.content("!")
    ('', '<cat>', '!')
    """

    def __init__(self, wanted: Wanted) -> None:
        self._beginning = wanted.beginning
        self._open = wanted.calls is not None
        self._text = ""

    def content(self, delta: str) -> str:
        """What may be sent of the text so far."""
        if not self._open:
            return delta
        self._text += delta
        begun = self._beginning.startswith(self._text) or self._text.startswith(self._beginning)
        if begun:
            return ""
        self._open = False
        return self._text

    def rest(self, calls: list[dict[str, Any]]) -> str:
        """What is left to be sent at the end, where no calls were made."""
        return "" if calls or not self._open else self._text


def chat_delta(
    index: int, delta: dict[str, Any], reason: str | None = None, logprobs: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}


def text_delta(
    index: int, delta: dict[str, Any], reason: str | None = None, logprobs: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"index": index, "text": delta.get("content", ""), "logprobs": logprobs, "finish_reason": reason}


def trace_event(event: Event, index: int, piece: Any) -> dict[str, Any] | None:
    """A step of choice ``index`` as data for the page: what `structdiff.view` shows, with the pieces spelled."""
    match event:
        case CanvasStarted():
            return {"event": "canvas", "choice": index, "canvas": event.canvas, "length": event.length}
        case StepDone():
            used = sorted({*event.tokens, *event.committed})
            return {"event": "step", "choice": index, "canvas": event.canvas, **step_data(event),
                    "pieces": {str(token): piece(token) for token in used}}  # fmt: skip
        case CanvasCommitted():
            return {"event": "commit", "choice": index, "canvas": event.canvas, "text": event.text,
                    "thought": event.thought}  # fmt: skip
    return None


def sse(data: Any) -> str:
    """One server-sent event.

    >>> sse({"a": 1})
    'data: {"a":1}\\n\\n'
    """
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n"
