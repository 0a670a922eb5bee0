"""Outputs from left to right under other libraries' masks, and under structdiff: one model, one pass for many rows.

Each library is used as its logits processor is: a mask for each token, one pass of the model a token. A source is a
JSON Schema (a dict) or a `structdiff.Regex`; what a library cannot read it refuses, and the output tells its error.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

import structdiff
from benchmarks.beside_others import outlines_vocabulary
from benchmarks.left_to_right import EachToken
from structdiff.constraint.compile import Compiler
from structdiff.core.errors import StructdiffError
from structdiff.decode.left_to_right import LeftToRight
from structdiff.decode.policy import Policy
from structdiff.models.causal_lm import CausalLM


class Matcher(Protocol):
    """A grammar in one place of one output."""

    def mask(self, logits: np.ndarray) -> None:
        """Set the logits of what may not follow to minus infinity, in place."""

    def take(self, token: int) -> None:
        """The token was written."""


Start = Callable[[Any], Matcher]
"""A source in, a matcher at its beginning out. Raises where the library refuses the source."""


class Free:
    """No constraint."""

    def mask(self, logits: np.ndarray) -> None: ...

    def take(self, token: int) -> None: ...


def _bits(logits: np.ndarray, words: np.ndarray) -> None:
    allowed = np.unpackbits(words.view(np.uint8), bitorder="little")[: len(logits)].astype(bool)
    logits[: len(allowed)][~allowed] = -np.inf


def llguidance_engine(model: structdiff.Model) -> Start:
    import llguidance
    import llguidance.hf

    vocabulary = llguidance.hf.from_tokenizer(model.tokenizer, eos_token=model.vocabulary.end_ids[0])

    class Llguidance:
        def __init__(self, source: Any) -> None:
            if isinstance(source, structdiff.Regex):
                grammar = llguidance.LLMatcher.grammar_from_regex(source.pattern)
            else:
                grammar = llguidance.LLMatcher.grammar_from_json_schema(source)
            self.matcher = llguidance.LLMatcher(vocabulary, grammar, log_level=0)
            if self.matcher.is_error():
                raise ValueError(self.matcher.get_error())

        def mask(self, logits: np.ndarray) -> None:
            _bits(logits, np.frombuffer(self.matcher.compute_bitmask(), np.uint8))

        def take(self, token: int) -> None:
            self.matcher.consume_token(token)

    return Llguidance


def xgrammar_engine(model: structdiff.Model) -> Start:
    import xgrammar

    size = model.denoiser.spec.vocab_size
    ends = list(model.vocabulary.end_ids)
    info = xgrammar.TokenizerInfo.from_huggingface(model.tokenizer, vocab_size=size, stop_token_ids=ends)
    compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)

    class Xgrammar:
        def __init__(self, source: Any) -> None:
            if isinstance(source, structdiff.Regex):
                compiled = compiler.compile_regex(source.pattern)
            else:
                compiled = compiler.compile_json_schema(json.dumps(source))
            self.matcher = xgrammar.GrammarMatcher(compiled)
            self.bits = xgrammar.allocate_token_bitmask(1, size)

        def mask(self, logits: np.ndarray) -> None:
            self.matcher.fill_next_token_bitmask(self.bits)
            _bits(logits, self.bits.numpy()[0])

        def take(self, token: int) -> None:
            self.matcher.accept_token(token)

    return Xgrammar


def outlines_engine(model: structdiff.Model) -> Start:
    import outlines_core
    from outlines_core.json_schema import build_regex_from_schema

    vocabulary = outlines_vocabulary(model.vocabulary, model.vocabulary.end_ids[0])

    class Outlines:
        def __init__(self, source: Any) -> None:
            given = isinstance(source, structdiff.Regex)
            pattern = source.pattern if given else build_regex_from_schema(json.dumps(source))
            self.index = outlines_core.Index(pattern, vocabulary)
            self.state = self.index.get_initial_state()

        def mask(self, logits: np.ndarray) -> None:
            allowed = np.zeros(len(logits), bool)
            allowed[self.index.get_allowed_tokens(self.state)] = True
            logits[~allowed] = -np.inf

        def take(self, token: int) -> None:
            self.state = self.index.get_next_state(self.state, token)

    return Outlines


LIBRARIES: dict[str, Callable[[structdiff.Model], Start]] = {
    "no constraint": lambda model: lambda source: Free(),
    "outlines-core": outlines_engine,
    "xgrammar": xgrammar_engine,
    "llguidance": llguidance_engine,
}
OURS = {"structdiff, a pass a token": True, "structdiff": False}


@dataclass
class Written:
    """One output: its text, whether it ended within the budget, passes, and the engine's own CPU seconds."""

    text: str = ""
    ended: bool = False
    passes: int = 0
    compiling: float = 0.0
    masking: float = 0.0
    error: str = ""


@dataclass
class _Row:
    number: int
    written: Written
    matcher: Matcher
    prefix: Any
    tokens: list[int] = field(default_factory=list)


def write(
    model: structdiff.Model, start: Start, sources: Sequence[Any], prompts: list[list[int]], budget: int, together: int
) -> Iterator[tuple[int, Written]]:
    """(number of the source, its output) under a library, as finished: ``together`` rows, one pass a token."""
    network, rows, waiting = CausalLM(model.denoiser.network), [], iter(range(len(sources)))  # type: ignore[attr-defined]
    while True:
        for number in waiting if len(rows) < together else ():
            one, begun = Written(), time.process_time()
            try:
                matcher = start(sources[number])
            except Exception as error:  # whatever a library raises is its refusal
                one.error = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
                yield number, one
                continue
            one.compiling = time.process_time() - begun
            rows.append(_Row(number, one, matcher, network.open(prompts[number])))
            if len(rows) == together:
                break
        if not rows:
            return
        asked = [(row.prefix, row.tokens[-1:], len(row.tokens[-1:])) for row in rows]
        for row, logits in zip(list(rows), network.read_rows(asked), strict=True):
            network.extend(row.prefix, row.tokens[-1:])
            begun, values = time.process_time(), logits[0].numpy().copy()
            row.matcher.mask(values)
            token = int(values.argmax())
            row.written.passes += 1
            if token in model.vocabulary.end_ids:
                row.written.ended = True
            else:
                row.matcher.take(token)
                row.tokens.append(token)
            row.written.masking += time.process_time() - begun
            if row.written.ended or len(row.tokens) >= budget:
                row.written.text = model.spell(row.tokens)
                rows.remove(row)
                yield row.number, row.written


def ours(
    model: structdiff.Model, each: bool, sources: Sequence[Any], prompts: list[list[int]], budget: int, together: int
) -> Iterator[tuple[int, Written]]:
    """(number of the source, its output) under structdiff: as the product decodes, or (``each``) a pass a token."""
    network, known = CausalLM(model.denoiser.network), [Written() for _ in sources]  # type: ignore[attr-defined]
    engine = (EachToken if each else LeftToRight)(network, Policy(lookup=0) if each else model.policy)
    waiting = iter(range(len(sources)))
    while True:
        for number in waiting if len(engine.rows) < together else ():
            begun = time.process_time()
            try:
                constraint = Compiler(model.vocabulary).compile(sources[number])
                compiled = time.process_time() - begun
                task = model.row(prompts[number], constraint, max(budget, constraint.min_tokens), 0)
                task.number = number
                engine.add(task)
            except StructdiffError as error:
                known[number].error = str(error)
                yield number, known[number]
                continue
            known[number].compiling = compiled
            if len(engine.rows) == together:
                break
        done = engine.step()
        for outcome in done:
            one = known[outcome.task.number]
            one.text, one.ended, one.passes = model.spell(outcome.tokens), outcome.reason == "stop", outcome.steps
            yield outcome.task.number, one
        if not done and not engine.rows:
            return
