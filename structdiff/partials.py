"""`Model.partials`: what is settled of an answer while it is written."""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from typing_extensions import Unpack

from structdiff.constraint.constraint import Constraint
from structdiff.core.images import Text
from structdiff.decode.trace import CanvasCommitted, Event, StepDone
from structdiff.frontends.choice import Choice
from structdiff.frontends.protocol import Source
from structdiff.frontends.regex.frontend import Regex
from structdiff.options import GenerateOptions, reach, split_options
from structdiff.results.partial import data_of, finished, partial_of
from structdiff.results.result import Result

if TYPE_CHECKING:
    from structdiff.tokens.vocabulary import Vocabulary

T = TypeVar("T")


class Growing:
    """Takes the events of a row and says what is settled after each."""

    def __init__(
        self,
        source: Source,
        vocabulary: Vocabulary,
        threshold: float | None,
        spelt: Callable[[str], str] | None = None,
        thoughts: int = 0,
    ) -> None:
        if threshold is not None and not 0 < threshold <= 1:
            raise ValueError(f"threshold is {threshold}; it must be a probability above 0, or None")
        self.source, self.vocabulary, self.threshold = source, vocabulary, threshold
        self.committed, self.spelt, self.thoughts = b"", spelt, thoughts

    def take(self, event: Event) -> Any:
        """The data that is settled after an event; None where that is nothing, or the event says nothing of it."""
        if getattr(event, "row", 0):
            return None  # a piece of a long text: the pieces are merged at the end
        if isinstance(event, CanvasCommitted) and not event.thought:
            self.committed += self.vocabulary.bytes_of(event.tokens)
            return self._settled(self.committed, [leaf.pointer for leaf in finished(self.committed)])
        if isinstance(event, StepDone) and self._tells(event):
            text, sure = self._likely(event)
            return self._settled(text, sure)
        return None

    def _tells(self, step: StepDone) -> bool:
        """Does a step say how sure the canvas is? That of a thought, or of a draft being verified, does not."""
        wanted = self.threshold is not None and self.source.traits.json
        return wanted and step.canvas >= self.thoughts and any(step.entropy)

    def _settled(self, text: bytes, pointers: list[str]) -> Any:
        if not self.source.traits.json:
            return text.decode("utf-8", "ignore") or None
        if self.spelt is not None:
            text = self.spelt(text.decode("utf-8", "ignore")).encode()
        return data_of(text, set(pointers))

    def _likely(self, step: StepDone) -> tuple[bytes, list[str]]:
        """The best text so far, and the pointers of its leaves that are sure enough.

        The likeliest token of a position of entropy h has a probability of at least exp(-h).
        """
        threshold = 1.0 if self.threshold is None else self.threshold
        text, log_of = self.committed, [0.0] * len(self.committed)
        for token, entropy in zip(step.committed[: step.live], step.entropy, strict=False):
            data = self.vocabulary.bytes_of([token])
            text += data
            log_of += [-entropy, *[0.0] * (len(data) - 1)] if data else []
        sure = [
            leaf.pointer
            for leaf in finished(text)
            if leaf.end is not None and math.exp(sum(log_of[leaf.after : leaf.end + 1])) >= threshold
        ]
        return text, sure


class Partials:
    """`partials` and `apartials` of a model."""

    @overload
    def partials(
        self, text: Text, source: type[T], *, threshold: float | None = ..., **options: Unpack[GenerateOptions]
    ) -> Iterator[T]: ...
    @overload
    def partials(
        self, text: Text, source: Regex | Choice, *, threshold: float | None = ..., **options: Unpack[GenerateOptions]
    ) -> Iterator[str]: ...
    @overload
    def partials(
        self, text: Text, source: Any, *, threshold: float | None = ..., **options: Unpack[GenerateOptions]
    ) -> Iterator[Any]: ...
    def partials(
        self, text: Text, source: Any, *, threshold: float | None = None, **options: Unpack[GenerateOptions]
    ) -> Iterator[Any]:
        """What is settled of the answer, each time that it is more, and the value itself last.

        A field is settled when its text is committed, and does not change after that (unless ``retries`` begin anew).
        With ``threshold`` it also counts while its canvas is denoised, as soon as the tokens that write it are together
        at least so probable; such a field may still change. Objects are of the class, made without validation, and what
        is not settled is None in them (`structdiff.results.partial.partial_of`); a list grows. The options are those of
        `generate`. A long text that is read in pieces has no partial values, since the pieces are merged at the end.
        """
        _, compiling = split_options(options)
        whole = cast(Any, self)
        budget = reach(options.get("max_tokens"))
        constraint: Constraint = whole.compiler.compile(source, max_tokens=budget, **compiling)
        read, laying, spelt = constraint.source, constraint.laying, None
        if laying is not None and laying.ignores_case and isinstance(text, str):
            spelt = functools.partial(laying.spelt, text=text)
        growing, last = Growing(read, whole.vocabulary, threshold, spelt, options.get("think", 0)), None
        for event in whole.stream(text, source, **options):
            if isinstance(event, Result):
                yield event.value
                return
            data = growing.take(event)
            if data is not None and data != last and options.get("long_text", "refuse") == "refuse":
                last = data
                yield partial_of(read.kind, data)

    async def apartials(
        self, text: Text, source: Any, *, threshold: float | None = None, **options: Unpack[GenerateOptions]
    ) -> AsyncIterator[Any]:
        """`partials`, for ``async for``."""
        values = self.partials(text, source, threshold=threshold, **options)
        async for one in cast(Any, self).in_turn(values):
            yield one
