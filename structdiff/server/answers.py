"""Answers in OpenAI's form: whole ones, and the chunks of a stream."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from structdiff.denoise.loop import Outcome
from structdiff.denoise.trace import CanvasCommitted, CanvasStarted, Event, StepDone
from structdiff.fields import Field
from structdiff.server.plan import Wanted
from structdiff.view.trace_html import step_data


@dataclass
class Choice:
    """One row's text as it grows: canvases are bytes that may end inside a character, and a stop string ends it."""

    stops: list[str]
    text: str = ""
    stopped: bool = False
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
        return "stop" if self.stopped or self.outcome is None else self.outcome.reason


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of ``text`` begin ``stop``."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)


def usage(prompt: int, outcomes: list[Outcome]) -> dict[str, Any]:
    """Tokens as OpenAI counts them, denoising steps and canvases beside them."""
    written = sum(len(outcome.tokens) for outcome in outcomes)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "structdiff": {
            "denoising_steps": sum(outcome.steps for outcome in outcomes),
            "canvases": sum(outcome.canvases for outcome in outcomes),
        },
    }


def fields_data(fields: Mapping[str, Field]) -> dict[str, Any]:
    """How sure the model is of each field, by JSON Pointer, as data.

    >>> fields_data({"/a": Field(1, 0.5)})
    {'/a': {'value': 1, 'present': True, 'probability': 0.5, 'confidence': 0.5}}
    """
    return {
        pointer: {
            "value": one.value, "present": one.present, "probability": one.probability, "confidence": one.confidence
        }
        for pointer, one in fields.items()
    }  # fmt: skip


def chat_choice(index: int, choice: Choice, wanted: Wanted) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
    reason = choice.finish_reason
    if wanted.tool_calls is not None:
        message |= {"content": None, "tool_calls": tool_calls(wanted, choice.text, index)}
        reason = "tool_calls"
    return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}


def text_choice(index: int, choice: Choice, wanted: Wanted) -> dict[str, Any]:
    return {"index": index, "text": choice.text, "logprobs": None, "finish_reason": choice.finish_reason}


def tool_calls(wanted: Wanted, text: str, index: int) -> list[dict[str, Any]]:
    assert wanted.tool_calls is not None
    return [
        {"id": f"call_{index}_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, (name, arguments) in enumerate(wanted.tool_calls(text))
    ]


def chat_delta(index: int, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}


def text_delta(index: int, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "text": delta.get("content", ""), "logprobs": None, "finish_reason": reason}


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
            return {"event": "commit", "choice": index, "canvas": event.canvas, "text": event.text}
    return None


def sse(data: Any) -> str:
    """One server-sent event.

    >>> sse({"a": 1})
    'data: {"a":1}\\n\\n'
    """
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n"
