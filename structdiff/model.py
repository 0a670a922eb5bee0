"""The front door: texts and a source in, values out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar, overload

from typing_extensions import Unpack

from structdiff.awaiting import Awaited
from structdiff.confidence.calibration import Calibration, calibrated
from structdiff.confidence.fields import Field, FieldMeter
from structdiff.constraint.compile import Compiler
from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import BudgetTooSmall, GenerationError, StructdiffError
from structdiff.core.images import Text, opened
from structdiff.decode.choose import decoder_of
from structdiff.decode.engine import Outcome, Task, check_fits
from structdiff.decode.policy import Policy
from structdiff.decode.trace import Event
from structdiff.frontends import TextSource
from structdiff.frontends.pinned import Pinned
from structdiff.frontends.prompt import IN_IMAGE
from structdiff.models.protocol import CausalModel, Denoiser
from structdiff.options import (
    DEFAULT_MAX_TOKENS,
    CompileOptions,
    GenerateOptions,
    RowOptions,
    Settings,
    reach,
    split_options,
    texts_of,
)
from structdiff.partials import Partials
from structdiff.prompts import Prompts
from structdiff.results.long_text import merge, split_text, warn_of_length
from structdiff.results.result import Failure, Result
from structdiff.results.table import Results
from structdiff.results.unsure import drop_unsure
from structdiff.retries import Row, rejected, retry
from structdiff.tokens.vocabulary import Vocabulary

T = TypeVar("T")


class Model(Prompts, Awaited, Partials):
    """A model with its tokenizer: ``model(text, Person)`` gives a ``Person``, ``model(text, schema)`` parsed JSON."""

    def __init__(
        self, denoiser: Denoiser | CausalModel, tokenizer: Any, policy: Policy, end_ids: tuple[int, ...], name: str
    ) -> None:
        self.denoiser, self.tokenizer, self.policy, self.name = denoiser, tokenizer, policy, name
        self.vocabulary = Vocabulary.of(tokenizer, end_ids, denoiser.spec.vocab_size)
        self.calibration: Calibration | None = None
        self.text_tokens: int | None = None  # the longest texts that the checkpoint was measured with
        self.compiler = Compiler(self.vocabulary)

    def compile(self, source: Any, **options: Unpack[CompileOptions]) -> Constraint:
        """See `structdiff.compile`. Raises `VocabularyMismatch` for a constraint of another tokenizer."""
        split_options(options)
        return self.compiler.compile(source, **options)

    @overload
    def __call__(self, text: Text, source: type[T], **options: Unpack[GenerateOptions]) -> T: ...
    @overload
    def __call__(self, text: Text, source: TextSource, **options: Unpack[GenerateOptions]) -> str: ...
    @overload
    def __call__(self, text: Text, source: Any, **options: Unpack[GenerateOptions]) -> Any: ...
    def __call__(self, text: Text, source: Any, **options: Unpack[GenerateOptions]) -> Any:
        """The value that the model reads out of ``text``; see `batch` for the options."""
        return self.generate(text, source, **options).value

    @overload
    def generate(self, text: Text, source: type[T], **options: Unpack[GenerateOptions]) -> Result[T]: ...
    @overload
    def generate(
        self, text: Text, source: TextSource | None = ..., **options: Unpack[GenerateOptions]
    ) -> Result[str]: ...
    @overload
    def generate(self, text: Text, source: Any, **options: Unpack[GenerateOptions]) -> Result[Any]: ...
    def generate(self, text: Text, source: Any = None, **options: Unpack[GenerateOptions]) -> Result[Any]:
        """One text; see `batch` for the options."""
        return self.batch([text], source, **options)[0]

    @overload
    def batch(
        self,
        texts: Iterable[Text],
        source: type[T],
        *,
        seed: int | Sequence[int] = ...,
        errors: Literal["raise"] = ...,
        on_event: Callable[[Event], None] | None = ...,
        **options: Unpack[RowOptions],
    ) -> Results[Result[T]]: ...
    @overload
    def batch(
        self,
        texts: Iterable[Text],
        source: type[T],
        *,
        seed: int | Sequence[int] = ...,
        errors: Literal["return"],
        on_event: Callable[[Event], None] | None = ...,
        **options: Unpack[RowOptions],
    ) -> Results[Result[T] | Failure]: ...
    @overload
    def batch(
        self,
        texts: Iterable[Text],
        source: Any = ...,
        *,
        seed: int | Sequence[int] = ...,
        errors: Literal["raise"] = ...,
        on_event: Callable[[Event], None] | None = ...,
        **options: Unpack[RowOptions],
    ) -> Results[Result[Any]]: ...
    @overload
    def batch(
        self,
        texts: Iterable[Text],
        source: Any = ...,
        *,
        seed: int | Sequence[int] = ...,
        errors: Literal["return"],
        on_event: Callable[[Event], None] | None = ...,
        **options: Unpack[RowOptions],
    ) -> Results[Result[Any] | Failure]: ...
    def batch(
        self,
        texts: Iterable[Text],
        source: Any = None,
        *,
        seed: int | Sequence[int] = 0,
        errors: Literal["raise", "return"] = "raise",
        on_event: Callable[[Event], None] | None = None,
        **options: Unpack[RowOptions],
    ) -> Any:
        """Generate for several texts together (a list or a Series), with one source for all or a list of one per text.

        A text may be an image, a `Path` or one of Pillow, where the model reads images.

        max_tokens: the budget of each output (default 256, or the least that the constraint needs where that is more).
            Outputs are always complete within it.
        seed: one for all rows, or one per row. A row's output depends on its own seed, not on the rows beside it.
        errors: ``"return"`` puts a `Failure` in the place of a row that has no value. ``"raise"`` raises the first
            error, after the other rows are finished; the error's ``results`` hold them.
        instructions: what the model is told beside the source.
        examples: worked examples, (text, value) each.
        think: that many canvases are written freely first; they come back as `Result.thought`.
        pinned: values fixed by property name or JSON Pointer (`structdiff.Pinned` does so row by row).
        fields: measure how sure the model is of each field (`Result.fields`).
        min_confidence: fields below it are left out where the constraint allows it, else named in `Result.problems`.
        long_text: a text beyond the context is refused, or with ``"split"`` cut into pieces that share ``overlap``
            tokens, whose results are merged (`structdiff.results.long_text.merge`).
        retries: so often a row is tried again whose output a validator of the class rejects, each time with another
            seed; where the validator names the place, the rest is kept.

        Other options go to `compile`. Raises `TypeError` for an unknown option, and every `StructdiffError`.
        """
        if errors not in ("raise", "return"):
            raise ValueError(f"errors is {errors!r}; it must be 'raise' or 'return'")
        asked, given, texts = Settings.of(options), texts, texts_of(texts)
        sources = source if isinstance(source, list) else [source] * len(texts)
        seeds = [seed] * len(texts) if isinstance(seed, int) else list(seed)
        if not len(sources) == len(texts) == len(seeds):
            raise ValueError(f"{len(texts)} texts, {len(sources)} sources and {len(seeds)} seeds do not pair up")
        rows = [Row(*row) for row in zip(texts, sources, seeds, strict=True)]
        for row in rows:
            try:
                self._prepare(row, asked)
            except StructdiffError as error:
                if errors == "raise":
                    raise
                row.error = error
        self._denoise(rows, asked.policy, on_event)
        answers = [self._finished(row, asked) for row in rows]
        for _ in range(asked.retries):
            places = rejected(answers)
            again = [retry(rows[place], answers[place], asked, self._prepare) for place in places]
            self._denoise(again, asked.policy, on_event)
            for place, row in zip(places, again, strict=True):
                rows[place], answers[place] = row, self._finished(row, asked)
        results = Results[Any](answers).of(given, source, errors == "return")
        failed = next((result for result in results if isinstance(result, Failure)), None)
        if failed is not None and errors == "raise":
            failed.error.results = results
            raise failed.error
        return results

    @overload
    def stream(
        self, text: Text, source: type[T], **options: Unpack[GenerateOptions]
    ) -> Iterator[Event | Result[T]]: ...
    @overload
    def stream(
        self, text: Text, source: TextSource | None = ..., **options: Unpack[GenerateOptions]
    ) -> Iterator[Event | Result[str]]: ...
    @overload
    def stream(self, text: Text, source: Any, **options: Unpack[GenerateOptions]) -> Iterator[Event | Result[Any]]: ...
    def stream(
        self, text: Text, source: Any = None, **options: Unpack[GenerateOptions]
    ) -> Iterator[Event | Result[Any]]:
        """The events of a generation as they happen, the `Result` last; the options are those of `generate`.

        `partials` gives what is settled of the value instead.
        """
        given: dict[str, Any] = dict(options)
        seed, listen = given.pop("seed", 0), given.pop("on_event", None)
        asked = Settings.of(given)
        pending: list[Event] = []
        row = Row(text, source, seed)
        self._prepare(row, asked)
        for attempt in range(asked.retries + 1):
            engine = decoder_of(self.denoiser, asked.policy or self.policy, pending.append)
            for number, task in enumerate(row.tasks):
                engine.add(replace(task, number=number))
            while len(row.outcomes) < len(row.tasks):
                row.outcomes |= {outcome.task.number: outcome for outcome in engine.step()}
                for event in pending:
                    if listen is not None:
                        listen(event)
                    yield event
                pending.clear()
            result = self._finished(row, asked)
            if attempt == asked.retries or not rejected([result]):
                break
            row = retry(row, result, asked, self._prepare)
        if isinstance(result, Failure):
            raise result.error
        yield result

    def _prepare(self, row: Row, asked: Settings) -> None:
        """Compile, write the prompts and make the tasks of one text."""
        if not isinstance(row.text, str):
            self.require_pictures()
            row.images, row.text = (opened(row.text),), IN_IMAGE
        compiling, source = dict(asked.compiling), row.source
        if asked.pinned:
            own: dict[str, Any] = {
                name: compiling.pop(name) for name in ("limits", "canonical", "strict") if name in compiling
            }
            source, compiling = Pinned(source, asked.pinned, compiling), own
        if source is not None:
            row.constraint = self.compiler.compile(source, max_tokens=reach(asked.max_tokens), **compiling)
        if row.images and row.constraint is not None and row.constraint.laying is not None:
            raise GenerationError("the constraint takes values from a text (x-verbatim); an image has none")
        pieces = [row.text] if row.images else self._pieces(row.text, row.constraint, asked)
        row.messages = [self.prompt(piece, row.constraint, asked.told(row.constraint)) for piece in pieces]
        row.bound = [row.constraint and row.constraint.for_text(piece) for piece in pieces]
        measured = asked.measures(len(pieces))
        row.tasks = [
            self.task(message, bound, asked.max_tokens, row.seed, asked.think, measured, row.images)
            for message, bound in zip(row.messages, row.bound, strict=True)
        ]
        if len(pieces) == 1 and len(row.tasks[0].prompt) > (self.text_tokens or 1 << 62):
            warn_of_length(self._count(row.text), self.text_tokens, self.name)

    def _pieces(self, text: str, constraint: Constraint | None, asked: Settings) -> list[str]:
        """The text in pieces that the model reads well and that fit the context beside the form and the output."""
        if asked.long_text == "refuse":
            return [text]
        budget = asked.max_tokens or max(DEFAULT_MAX_TOKENS, constraint.min_tokens if constraint else 1)
        canvases = -(-budget // self.denoiser.spec.canvas_length) + asked.think
        frame = len(self.encode_prompt(self.prompt(".", constraint, asked.told(constraint))))
        fits = self.denoiser.spec.context_length - canvases * self.denoiser.spec.canvas_length - frame
        room = min(fits, self.text_tokens or fits)
        return split_text(text, room, asked.overlap, self._count) if self._count(text) > room else [text]

    def _count(self, text: str) -> int:
        return len(self.plain.framed(text))

    def _denoise(self, rows: list[Row], policy: Policy | None, on_event: Callable[[Event], None] | None) -> None:
        """Denoise the tasks of all rows together; a row that fails keeps its error and stops no other."""
        places = [(row, piece) for row in rows if row.error is None for piece in range(len(row.tasks))]

        def fail(task: Task, error: StructdiffError) -> None:
            places[task.number][0].error = error

        engine = decoder_of(self.denoiser, policy or self.policy, on_event, fail)
        for number, (row, piece) in enumerate(places):
            try:
                engine.add(replace(row.tasks[piece], number=number))
            except StructdiffError as error:
                row.error = error
        for outcome in engine.run():
            row, piece = places[outcome.task.number]
            row.outcomes[piece] = outcome

    def _finished(self, row: Row, asked: Settings) -> Result[Any] | Failure:
        """The result of a row whose outcomes are there, its pieces merged and its unsure fields left out."""
        if row.error is not None:
            return Failure(row.error, str(row.text))
        try:
            results = [self.result(row.outcomes[i], row.bound[i], text) for i, text in enumerate(row.messages)]
            result = results[0] if row.constraint is None or len(results) == 1 else merge(results, row.constraint)
            if result.measured is None and asked.fields:
                result = replace(result, measured={})  # without a constraint, or under rules, nothing is a field
            if row.constraint is not None and asked.min_confidence is not None:
                result = drop_unsure(result, row.constraint, asked.min_confidence)
            spans = row.constraint.spans(result.text, row.text) if row.constraint is not None else {}
            return result.with_spans(spans) if spans else result
        except StructdiffError as error:
            return Failure(error, row.text)

    def task(
        self,
        message: str,
        constraint: Constraint | None,
        max_tokens: int | None,
        seed: int,
        think: int = 0,
        fields: bool = False,
        images: Sequence[Any] = (),
    ) -> Task:
        """The row that answers a message; refuses a budget below the constraint's least output."""
        return self.row(self.encode_prompt(message, images), constraint, max_tokens, seed, think, fields)

    def row(
        self,
        prompt: list[int],
        constraint: Constraint | None,
        max_tokens: int | None,
        seed: int,
        think: int = 0,
        fields: bool = False,
    ) -> Task:
        """The row that answers a prompt of token ids. Raises `BudgetTooSmall` or `GenerationError` where it cannot."""
        if think < 0:
            raise ValueError(f"think is {think}; it must be a number of canvases, 0 or more")
        if constraint is not None:
            constraint.require(self.vocabulary)
            constraint.require_text()
        least = constraint.min_tokens if constraint else 1
        budget = max(DEFAULT_MAX_TOKENS, least) if max_tokens is None else max_tokens
        if constraint is not None:
            constraint.require_budget(budget)
        elif budget < 1:
            raise BudgetTooSmall(1, budget)
        check_fits(self.denoiser, len(prompt), budget, think)
        measured = fields and constraint is not None and constraint.rules is None
        return Task(
            prompt,
            constraint.automaton if constraint else None,
            budget,
            seed,
            self.vocabulary.end_ids,
            self.spell,
            rules=constraint.rules if constraint else None,
            on_commit=(FieldMeter(constraint),) if constraint and measured else (),
            think=think,
            verify=constraint is not None and constraint.source.traits.left_to_right,
            vocabulary=self.vocabulary,
            json=constraint is not None and constraint.source.traits.json,
        )

    def result(self, outcome: Outcome, constraint: Constraint | None, message: str) -> Result[Any]:
        """The finished row as a `Result`. Raises `ValidationFailed` where a validator of the class rejects it."""
        result = Result.of(outcome, constraint, message, self.spell, self.fields(outcome))
        return replace(result, model=self.name)

    def fields(self, outcome: Outcome) -> dict[str, Field] | None:
        """How sure the model is of each field, by JSON Pointer; None where the row's task had no `FieldMeter`."""
        meters = [meter for meter in outcome.task.on_commit if isinstance(meter, FieldMeter)]
        return calibrated(meters[0].fields(), self.calibration, outcome.verified) if meters else None

    def spell(self, tokens: Sequence[int]) -> str:
        """The text of token ids."""
        return self.vocabulary.bytes_of(tokens).decode("utf-8", "replace")

    def info(self) -> dict[str, Any]:
        """The model's essentials, for `structdiff model info`."""
        network = getattr(self.denoiser, "network", None)
        parameters = sum(p.numel() for p in network.parameters()) if network is not None else None
        return {
            "name": self.name,
            "parameters": parameters,
            "canvas_length": self.denoiser.spec.canvas_length,
            "vocabulary": self.denoiser.spec.vocab_size,
            "context": self.denoiser.spec.context_length,
            "device": str(self.denoiser.device),
            "dtype": str(network.dtype).removeprefix("torch.") if network is not None else None,
            "end_tokens": list(self.vocabulary.end_ids),
            "policy": self.policy,
        }
