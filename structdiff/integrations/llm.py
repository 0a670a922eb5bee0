"""A plug-in for the command line tool `llm`: answers from a local model, valid by construction, with no key."""

from __future__ import annotations

import codecs
import functools
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import llm
from pydantic import Field

import structdiff
from structdiff.core.errors import StructdiffError
from structdiff.decode.trace import CanvasCommitted
from structdiff.results.result import Result

DEFAULT = "tiny"
load = functools.cache(structdiff.load)


class _Shared:
    """What the two kinds of model have in common: ``-m structdiff``."""

    model_id = "structdiff"
    can_stream = True
    supports_schema = True
    supports_conversation = False  # a text is read; nothing was said before

    class Options(llm.Options):  # type: ignore[misc]
        """What ``-o NAME VALUE`` sets."""

        model: str = Field(default=DEFAULT, description="What structdiff.load takes: a name, a folder, a hub id")
        max_tokens: int | None = Field(default=None, ge=1, description="The budget of an answer, complete within it")
        seed: int = Field(default=0, ge=0, description="The same seed gives the same answer")

    def _asked(self, prompt: Any) -> tuple[Any, dict[str, Any]]:
        """(the model, how `Model.stream` is called)."""
        options = prompt.options
        given = {"max_tokens": options.max_tokens, "seed": options.seed, "instructions": prompt.system or ""}
        return load(options.model), {"text": prompt.prompt, "source": prompt.schema, **given}

    def __str__(self) -> str:
        return "structdiff: structdiff"


class Structdiff(_Shared, llm.Model):  # type: ignore[misc]
    """``llm -m structdiff --schema 'name, age int' < text``: canvas by canvas. Raises `llm.ModelError`."""

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Iterator[str]:
        try:
            model, call = self._asked(prompt)
            spelled = _Spelled(model.vocabulary.bytes_of, response)
            for event in model.stream(**call):
                if piece := spelled(event):
                    yield piece
        except StructdiffError as error:
            raise llm.ModelError(str(error)) from error


class AsyncStructdiff(_Shared, llm.AsyncModel):  # type: ignore[misc]
    """The same for programs that await. Raises `llm.ModelError`."""

    async def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> AsyncGenerator[str, None]:
        try:
            model, call = self._asked(prompt)
            spelled = _Spelled(model.vocabulary.bytes_of, response)
            async for event in model.astream(**call):
                if piece := spelled(event):
                    yield piece
        except StructdiffError as error:
            raise llm.ModelError(str(error)) from error


class _Spelled:
    """What each event adds to the answer; a character whose bytes stand in two canvases comes with the second."""

    def __init__(self, bytes_of: Callable[[Any], bytes], response: Any) -> None:
        self.bytes_of, self.response = bytes_of, response
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def __call__(self, event: Any) -> str:
        if isinstance(event, Result):
            self.response.set_usage(input=event.usage.prompt_tokens, output=event.usage.completion_tokens)
            return self.decoder.decode(b"", final=True)
        if isinstance(event, CanvasCommitted) and not event.thought:
            return self.decoder.decode(self.bytes_of(event.tokens))
        return ""


@llm.hookimpl  # type: ignore[untyped-decorator]
def register_models(register: Callable[..., None]) -> None:
    """Called by llm."""
    register(Structdiff(), AsyncStructdiff())
