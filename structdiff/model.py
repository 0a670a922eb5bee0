"""The front door: texts and a constraint in, values out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar, overload

from structdiff.confidence.calibration import Calibration
from structdiff.confidence.fields import Field, FieldMeter
from structdiff.constraint.compile import compile
from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import BudgetTooSmall, GenerationError
from structdiff.core.recent import Recent
from structdiff.decode.loop import Denoising, Outcome, Task, check_fits
from structdiff.decode.policy import Policy
from structdiff.decode.trace import Event
from structdiff.frontends.pinned import Pinned
from structdiff.frontends.prompt import (
    build_choice_prompt,
    build_grid_prompt,
    build_prompt,
    build_regex_prompt,
    build_table_prompt,
)
from structdiff.frontends.source import Choice, Regex
from structdiff.models.protocol import Denoiser
from structdiff.results.long_text import merge, split_text
from structdiff.results.unsure import drop_unsure
from structdiff.tokens.vocabulary import Vocabulary

T = TypeVar("T")
DEFAULT_MAX_TOKENS = 256
_GENERATING = {"max_tokens", "seed", "instructions", "think", "policy", "on_event"}
CACHE_BYTES = 512 << 20
"""How much memory the compiled constraints of a model may take together; the least recently used leave."""


@dataclass(frozen=True)
class Usage:
    """What a generation cost: prompt and output tokens, denoising steps, canvases (thought included in both), and the
    tokens of the thought, which are not output."""

    prompt_tokens: int
    completion_tokens: int
    steps: int
    canvases: int
    thought_tokens: int = 0


@dataclass(frozen=True)
class Result(Generic[T]):
    """A finished generation. ``value`` is the instance, parsed JSON or text; ``text`` is what the model wrote.

    ``fields`` maps JSON Pointers to how sure the model is of what stands there (`structdiff.confidence.fields.Field`);
    ``problems`` are the fields below ``min_confidence`` that could not be left out; ``thought`` is what was written
    freely first.
    """

    value: T
    text: str
    finish_reason: str
    usage: Usage
    prompt: str
    tokens: tuple[int, ...] = ()
    fields: Mapping[str, Field] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    thought: str = ""


def _key(source: Any, options: Mapping[str, Any]) -> Any:
    """What a compiled constraint is remembered by; None for a source that cannot be."""
    key = (repr(source) if isinstance(source, dict | bool) else source, repr(sorted(options.items())))
    try:
        hash(key)
    except TypeError:
        return None
    return key


class Model:
    """A model with its tokenizer; call it with a text and a constraint source.

    ``model(text, Person)`` gives a ``Person``; ``model(text, schema)`` the parsed value. Compiled constraints are kept.
    """

    def __init__(self, denoiser: Denoiser, tokenizer: Any, policy: Policy, end_ids: tuple[int, ...], name: str) -> None:
        self.denoiser, self.tokenizer, self.policy, self.name = denoiser, tokenizer, policy, name
        self.vocabulary = Vocabulary.of(tokenizer, end_ids, denoiser.spec.vocab_size)
        self.calibration: Calibration | None = None
        self._compiled: Recent[Constraint] = Recent(CACHE_BYTES)

    def compile(self, source: Any, **options: Any) -> Constraint:
        """The constraint of a source for this model's tokenizer; remembered for hashable and JSON sources."""
        constraint = self.compiled(source, **options)
        if constraint is None:
            constraint = compile(source, self.vocabulary, **options)
            key = _key(source, options)
            if key is not None:
                self._compiled.put(key, constraint, constraint.automaton.nbytes)
        return constraint

    def compiled(self, source: Any, **options: Any) -> Constraint | None:
        """The constraint that `compile` remembers for a source, if it does."""
        if isinstance(source, Constraint):
            return source
        key = _key(source, options)
        return None if key is None else self._compiled.get(key)

    def prompt(self, text: str, constraint: Constraint | None, instructions: str = "") -> str:
        """The user message for a text."""
        if not text.strip() and (constraint is None or constraint.source.kind != "infill"):
            raise GenerationError("the text is empty; there is nothing to extract from")
        if constraint is None:
            return f"{instructions}\n\n{text}".strip()
        source = constraint.source
        if source.prompt is not None:
            return source.prompt(text, instructions)
        if source.kind == "choice":
            return build_choice_prompt(text, list(source.detail), instructions=instructions)
        if source.kind == "regex":
            return build_regex_prompt(text, source.detail, instructions=instructions)
        if source.kind == "grid":
            return build_grid_prompt(text, source.detail.kind, instructions=instructions)
        if source.kind == "table":
            table = source.detail
            return build_table_prompt(text, table.schemas, table.style, instructions=instructions)
        return build_prompt(text, source.schema, instructions=instructions)

    def encode_prompt(self, message: str) -> list[int]:
        """The prompt's token ids: the chat template where the tokenizer has one, else the message alone."""
        return self.encode_chat([{"role": "user", "content": message}])

    def encode_chat(self, messages: list[dict[str, str]]) -> list[int]:
        """The token ids of a conversation; without a chat template it must be one message."""
        if getattr(self.tokenizer, "chat_template", None):
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            return self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(messages) > 1:
            raise GenerationError(
                f"{self.name} has no chat template, so that it takes one message and not {len(messages)}"
            )
        return self.tokenizer(messages[0]["content"])["input_ids"]

    @overload
    def __call__(self, text: str, source: type[T], **options: Any) -> T: ...
    @overload
    def __call__(self, text: str, source: Regex | Choice, **options: Any) -> str: ...
    @overload
    def __call__(self, text: str, source: Any, **options: Any) -> Any: ...
    def __call__(self, text: str, source: Any, **options: Any) -> Any:
        """The value that the model reads out of ``text``."""
        return self.generate(text, source, **options).value

    @overload
    def generate(
        self,
        text: str,
        source: type[T],
        *,
        long_text: Literal["refuse", "split"] = ...,
        overlap: int = ...,
        **options: Any,
    ) -> Result[T]: ...
    @overload
    def generate(
        self,
        text: str,
        source: Regex | Choice | None = ...,
        *,
        long_text: Literal["refuse", "split"] = ...,
        overlap: int = ...,
        **options: Any,
    ) -> Result[str]: ...
    @overload
    def generate(
        self, text: str, source: Any, *, long_text: Literal["refuse", "split"] = ..., overlap: int = ..., **options: Any
    ) -> Result[Any]: ...
    def generate(
        self,
        text: str,
        source: Any = None,
        *,
        long_text: Literal["refuse", "split"] = "refuse",
        overlap: int = 64,
        **options: Any,
    ) -> Result[Any]:
        """One text; see `batch` for the options.

        A text that does not fit the model's context raises `GenerationError`, or with ``long_text="split"`` is cut into
        pieces that share ``overlap`` tokens, whose results are merged (`structdiff.results.long_text.merge`).
        """
        if long_text not in ("refuse", "split"):
            raise ValueError(f"long_text is {long_text!r}; it must be 'refuse' or 'split'")
        if long_text == "refuse" or source is None:
            return self.batch([text], source, **options)[0]
        min_confidence = options.pop("min_confidence", None)
        prefill = options.pop("prefill", None)
        compiling = {name: value for name, value in options.items() if name not in _GENERATING}
        pinned = Pinned(source, prefill, compiling) if prefill else None
        constraint = self.compile(source, **compiling) if pinned is None else self.compile(pinned)
        options = {name: value for name, value in options.items() if name in _GENERATING}
        budget = options.get("max_tokens") or max(DEFAULT_MAX_TOKENS, constraint.min_tokens)
        canvases = -(-budget // self.denoiser.spec.canvas_length) + options.get("think", 0)
        frame = len(self.encode_prompt(self.prompt(".", constraint, options.get("instructions", ""))))
        room = self.denoiser.spec.context_length - canvases * self.denoiser.spec.canvas_length - frame

        def count(piece: str) -> int:
            return len(self.tokenizer(piece)["input_ids"])

        pieces = split_text(text, room, overlap, count) if count(text) > room else [text]
        result = merge(self.batch(pieces, constraint, **options), constraint)
        return result if min_confidence is None else drop_unsure(result, constraint, min_confidence)

    @overload
    def batch(self, texts: Sequence[str], source: type[T], **options: Any) -> list[Result[T]]: ...
    @overload
    def batch(self, texts: Sequence[str], source: Regex | Choice | None = ..., **options: Any) -> list[Result[str]]: ...
    @overload
    def batch(self, texts: Sequence[str], source: Any, **options: Any) -> list[Result[Any]]: ...
    def batch(
        self,
        texts: Sequence[str],
        source: Any = None,
        *,
        max_tokens: int | None = None,
        seed: int | Sequence[int] = 0,
        instructions: str = "",
        think: int = 0,
        prefill: Mapping[str, Any] | None = None,
        min_confidence: float | None = None,
        policy: Policy | None = None,
        on_event: Callable[[Event], None] | None = None,
        **options: Any,
    ) -> list[Result[Any]]:
        """Generate for several texts together, with one source for all or a list of one per text.

        ``max_tokens`` bounds each output (default 256, or the least the constraint needs where that is more); outputs
        are always complete within it. ``seed`` is one for all rows or one per row; a row's output depends on its own
        seed, not on the rows beside it. ``think`` lets the model write that many canvases freely first; they come back
        as `Result.thought`. ``prefill`` fixes values by property name or JSON Pointer (`structdiff.Pinned`
        in the sources does so row by row). Fields of a confidence below ``min_confidence`` are left out where the
        constraint allows it, else named in `Result.problems`. ``options`` go to `compile`. Raises `BudgetTooSmall`,
        `GenerationError` and compile errors.
        """
        sources = source if isinstance(source, list) else [source] * len(texts)
        seeds = [seed] * len(texts) if isinstance(seed, int) else list(seed)
        if not len(sources) == len(texts) == len(seeds):
            raise ValueError(f"{len(texts)} texts, {len(sources)} sources and {len(seeds)} seeds do not pair up")
        engine = Denoising(self.denoiser, policy or self.policy, on_event)
        jobs: list[tuple[Constraint | None, str]] = []
        tasks: list[Task] = []
        for number, (text, one, row_seed) in enumerate(zip(texts, sources, seeds, strict=True)):
            constraint = self._constraint(one, prefill, options)
            message = self.prompt(text, constraint, instructions)
            tasks.append(replace(self.task(message, constraint, max_tokens, row_seed, think), number=number))
            jobs.append((constraint, message))
        for task in tasks:
            engine.add(task)
        outcomes: dict[int, Outcome] = {outcome.task.number: outcome for outcome in engine.run()}
        results = [self.result(outcomes[i], *jobs[i]) for i in range(len(texts))]
        if min_confidence is None:
            return results
        return [
            result if constraint is None else drop_unsure(result, constraint, min_confidence)
            for result, (constraint, _) in zip(results, jobs, strict=True)
        ]

    def _constraint(self, source: Any, prefill: Mapping[str, Any] | None, options: dict[str, Any]) -> Constraint | None:
        if prefill:
            return self.compile(Pinned(source, prefill, options))
        return None if source is None else self.compile(source, **options)

    def task(
        self, message: str, constraint: Constraint | None, max_tokens: int | None, seed: int, think: int = 0
    ) -> Task:
        """The row that answers a message; refuses a budget below the constraint's least output."""
        return self.row(self.encode_prompt(message), constraint, max_tokens, seed, think)

    def row(
        self, prompt: list[int], constraint: Constraint | None, max_tokens: int | None, seed: int, think: int = 0
    ) -> Task:
        """The row that answers a prompt of token ids. Raises `BudgetTooSmall` or `GenerationError` where it cannot."""
        if think < 0:
            raise ValueError(f"think is {think}; it must be a number of canvases, 0 or more")
        least = constraint.min_tokens if constraint else 1
        budget = max(DEFAULT_MAX_TOKENS, least) if max_tokens is None else max_tokens
        if budget < least:
            raise BudgetTooSmall(least, budget)
        check_fits(self.denoiser, len(prompt), budget, think)
        automaton = constraint.automaton if constraint else None
        measured = constraint is not None and constraint.rules is None
        return Task(
            prompt, automaton, budget, seed, self.vocabulary.end_ids, self.spell,
            rules=constraint.rules if constraint else None,
            on_commit=(FieldMeter(constraint),) if constraint and measured else (), think=think,
            verify=constraint is not None and constraint.source.kind not in ("grid", "infill"),
        )  # fmt: skip

    def result(self, outcome: Outcome, constraint: Constraint | None, message: str) -> Result[Any]:
        """The finished row as a `Result`."""
        text = self.spell(outcome.tokens)
        value = text if constraint is None else constraint.value(text)
        prompt, thought = len(outcome.task.prompt), self.spell(outcome.thought)
        usage = Usage(prompt, len(outcome.tokens), outcome.steps, outcome.canvases, len(outcome.thought))
        fields = self.fields(outcome)
        return Result(value, text, outcome.reason, usage, message, tuple(outcome.tokens), fields, (), thought)

    def fields(self, outcome: Outcome) -> dict[str, Field]:
        """How sure the model is of each field, by JSON Pointer, where the row's task had a `FieldMeter`."""
        meters = [meter for meter in outcome.task.on_commit if isinstance(meter, FieldMeter)]
        measured = meters[0].fields() if meters else {}
        known = self.calibration
        if known is None or known.verified != outcome.verified:
            return measured
        return {name: replace(one, calibrated=known(one.probability)) for name, one in measured.items()}

    def spell(self, tokens: Sequence[int]) -> str:
        """The text of token ids."""
        return self.vocabulary.bytes_of(tokens).decode("utf-8", "replace")

    @overload
    def stream(self, text: str, source: type[T], **options: Any) -> Iterator[Event | Result[T]]: ...
    @overload
    def stream(
        self, text: str, source: Regex | Choice | None = ..., **options: Any
    ) -> Iterator[Event | Result[str]]: ...
    @overload
    def stream(self, text: str, source: Any, **options: Any) -> Iterator[Event | Result[Any]]: ...
    def stream(
        self,
        text: str,
        source: Any = None,
        *,
        max_tokens: int | None = None,
        seed: int = 0,
        instructions: str = "",
        think: int = 0,
        prefill: Mapping[str, Any] | None = None,
        min_confidence: float | None = None,
        policy: Policy | None = None,
        **options: Any,
    ) -> Iterator[Event | Result[Any]]:
        """The events of a generation as they happen, the `Result` last; the options are those of `batch`."""
        pending: list[Event] = []
        constraint = self._constraint(source, prefill, options)
        message = self.prompt(text, constraint, instructions)
        task = self.task(message, constraint, max_tokens, seed, think)
        engine = Denoising(self.denoiser, policy or self.policy, pending.append)
        engine.add(task)
        done: list[Outcome] = []
        while not done:
            done = engine.step()
            yield from pending
            pending.clear()
        result = self.result(done[0], constraint, message)
        if constraint is not None and min_confidence is not None:
            result = drop_unsure(result, constraint, min_confidence)
        yield result

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
