"""The methods of a model for programs that await: nothing blocks the event loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast, overload

from typing_extensions import Unpack

from structdiff.core.images import Text
from structdiff.decode.trace import Event
from structdiff.frontends import TextSource
from structdiff.options import GenerateOptions
from structdiff.results.result import Result

T = TypeVar("T")


class Awaited:
    """`agenerate` and `astream` beside `generate` and `stream`: the same, in one thread of the model's own.

    Calls that run at a time take turns; texts that are there together are done faster by `Model.batch`.
    """

    @functools.cached_property
    def _thread(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, "structdiff")

    @overload
    async def agenerate(self, text: Text, source: type[T], **options: Unpack[GenerateOptions]) -> Result[T]: ...
    @overload
    async def agenerate(
        self, text: Text, source: TextSource | None = ..., **options: Unpack[GenerateOptions]
    ) -> Result[str]: ...
    @overload
    async def agenerate(self, text: Text, source: Any, **options: Unpack[GenerateOptions]) -> Result[Any]: ...
    async def agenerate(self, text: Text, source: Any = None, **options: Unpack[GenerateOptions]) -> Result[Any]:
        """`Model.generate`, to be awaited."""
        work = functools.partial(cast(Any, self).generate, text, source, **options)
        return cast("Result[Any]", await asyncio.get_running_loop().run_in_executor(self._thread, work))

    @overload
    def astream(
        self, text: Text, source: type[T], **options: Unpack[GenerateOptions]
    ) -> AsyncIterator[Event | Result[T]]: ...
    @overload
    def astream(
        self, text: Text, source: TextSource | None = ..., **options: Unpack[GenerateOptions]
    ) -> AsyncIterator[Event | Result[str]]: ...
    @overload
    def astream(
        self, text: Text, source: Any, **options: Unpack[GenerateOptions]
    ) -> AsyncIterator[Event | Result[Any]]: ...
    async def astream(
        self, text: Text, source: Any = None, **options: Unpack[GenerateOptions]
    ) -> AsyncIterator[Event | Result[Any]]:
        """`Model.stream`, for ``async for``."""
        async for one in self.in_turn(cast(Any, self).stream(text, source, **options)):
            yield one

    async def in_turn(self, values: Iterator[Any]) -> AsyncIterator[Any]:
        """The values of an iterator, each waited for in the thread of the model."""
        loop, end = asyncio.get_running_loop(), object()
        while (one := await loop.run_in_executor(self._thread, next, values, end)) is not end:
            yield one
