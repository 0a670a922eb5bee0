"""vLLM's front end: constraints are taken out of requests, compiled off the event loop, and outputs walked once more.

The engine behind sees a request without structured outputs, whose ``extra_args["structdiff"]`` says what was admitted.
"""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import AsyncGenerator, Callable
from typing import Any

from vllm import SamplingParams
from vllm.exceptions import GracefulHTTPError, VLLMServerError, VLLMValidationError
from vllm.v1.engine.async_llm import AsyncLLM, InputStreamError

from structdiff.constraint.compile import Compiler
from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import BudgetTooSmall, GenerationError, InvalidSchema, StructdiffError
from structdiff.engines.asked import KEY, Asked, extension
from structdiff.engines.compiling import Tools, compilers
from structdiff.engines.vllm.facts import ARCHITECTURE, vocabulary_for
from structdiff.engines.walk import Walk
from structdiff.engines.worker import hand_over
from structdiff.frontends import front_ends
from structdiff.server.compilers import Compilers
from structdiff.server.errors import ApiError
from structdiff.server.wanted import ANY_OBJECT
from structdiff.server.worker import QueueFull

KINDS = ("json", "regex", "choice", "grammar", "structural_tag")
"""The fields of vLLM's structured outputs that hold a source; each is a front end of this name."""

_NOT_WITH = {
    "stop": "it would cut a valid output",
    "stop_token_ids": "it would cut a valid output",
    "ignore_eos": "an output ends where it is complete",
    "logprobs": "those of the model are not those of the constrained output",
    "logprob_token_ids": "those of the model are not those of the constrained output",
    "min_p": "constrained rows draw from the joint posterior",
    "min_tokens": "the length of an output is the constraint's matter",
    "logit_bias": "constrained rows draw from the joint posterior",
    "bad_words": "the words of an output are the constraint's matter",
    "allowed_token_ids": "the words of an output are the constraint's matter",
    "thinking_token_budget": "an output begins at its first token",
}
_OWN_WIDTH = "diffusion_canvas_length"


def asked_of(params: SamplingParams, compact: bool = False) -> tuple[Asked, str] | None:
    """(what a request asks for, the field that says so); None where nothing is constrained.

    ``compact`` is the server's own ``disable_any_whitespace``. Raises `VLLMValidationError` for what cannot be
    honoured.
    """
    extra = params.extra_args or {}
    structured = params.structured_outputs
    if structured is None and KEY not in extra:
        return None
    try:
        source, pinned, options = extension(extra[KEY]) if KEY in extra else (None, None, {})
    except InvalidSchema as error:
        raise refused(error, f"vllm_xargs.{KEY}") from None
    param = f"vllm_xargs.{KEY}"
    if structured is not None:
        if source is not None:
            raise VLLMValidationError(
                f"structured_outputs and {param} both say what the answer is; give one", parameter=param
            )
        source, param, own = _structured(structured, compact)
        options = own | options
    if source is None:
        raise VLLMValidationError(
            f"{param} names no source; give one, or structured_outputs or response_format", parameter=param
        )
    _check(params, extra)
    asked = Asked(
        source[0], source[1], options, pinned, params.seed, 1.0 if params.temperature is None else params.temperature,
        params.n,
    )  # fmt: skip
    return asked, param


def _structured(structured: Any, compact: bool) -> tuple[tuple[str, Any], str, dict[str, Any]]:
    """((front end, source), field, options) of vLLM's structured outputs."""
    if structured.whitespace_pattern is not None:
        raise VLLMValidationError(
            "whitespace_pattern cannot be honoured; disable_any_whitespace is", parameter="whitespace_pattern"
        )
    options: dict[str, Any] = {}
    if structured.json_object:
        found: tuple[str, Any] = ("json", ANY_OBJECT)
        options["extra_properties"] = "schema"
    else:
        kind = next(kind for kind in KINDS if getattr(structured, kind) is not None)
        if kind not in front_ends():
            raise VLLMValidationError(
                f"structured_outputs.{kind} is not understood on diffusion models; use one of "
                f"{', '.join(one for one in KINDS if one in front_ends())}",
                parameter=f"structured_outputs.{kind}",
            )
        found = (kind, getattr(structured, kind))
    if found[0] == "json" and (compact or structured.disable_any_whitespace):
        options["whitespace"] = "compact"
    return found, f"structured_outputs.{found[0]}", options


def _check(params: SamplingParams, extra: dict[str, Any]) -> None:
    """Refuse what cannot be honoured beside a constraint."""
    for name, why in _NOT_WITH.items():
        if getattr(params, name, None):
            raise VLLMValidationError(f"{name} cannot be honoured with a constraint: {why}", parameter=name)
    if params.logprobs is not None:
        raise VLLMValidationError(f"logprobs cannot be honoured with a constraint: {_NOT_WITH['logprobs']}",
                                  parameter="logprobs")  # fmt: skip
    for name in extra:
        if name.startswith("diffusion_") and name != _OWN_WIDTH:
            raise VLLMValidationError(f"{name} cannot be honoured with a constraint; pin values instead",
                                      parameter=name)  # fmt: skip


def refused(error: StructdiffError, param: str) -> Exception:
    """The answer to a library error: the caller's fault is a 400 of vLLM, anything else a 500."""
    body = ApiError.of(error, param).body["error"]
    answer: Exception
    if body["type"] == "server_error":
        answer = VLLMServerError(body["message"])
    else:
        answer = VLLMValidationError(body["message"], parameter=body["param"])
    return answer


class Admission:
    """The constraints of one engine."""

    def __init__(self, engine: AsyncLLM) -> None:
        self.config = engine.vllm_config
        self.model_config = engine.vllm_config.model_config
        self._tokenizer = engine.get_tokenizer
        self._compilers: Compilers | None = None
        self._opening = asyncio.Lock()

    @property
    def serves(self) -> bool:
        """Does this engine run a model whose rows can be constrained?"""
        return bool(self.model_config.is_diffusion) and ARCHITECTURE in self.model_config.architectures

    async def compilers(self) -> Compilers:
        """What compiles; opened at the first constrained request."""
        async with self._opening:
            if self._compilers is None:
                tools = await asyncio.to_thread(self._open)
                self._compilers = compilers(tools)
        return self._compilers

    def _open(self) -> Tools:
        tokenizer = self._tokenizer()
        vocabulary = vocabulary_for(self.model_config, tokenizer)
        _ = vocabulary.fingerprint
        return Tools(tokenizer, vocabulary, Compiler(vocabulary))

    async def admit(
        self, prompt: Any, params: Any, reasoning_ended: bool | None
    ) -> tuple[SamplingParams, Callable[[], Walk]] | None:
        """(the parameters that the engine is given, what walks each output); None for requests without a constraint.

        Raises vLLM's own errors for what cannot be honoured.
        """
        if not isinstance(params, SamplingParams) or not self.serves:
            return None
        found = asked_of(params, self.config.structured_outputs_config.disable_any_whitespace)
        if found is None:
            return None
        asked, param = found
        self._check_engine(prompt, reasoning_ended)
        constraint = await self._compiled(asked, param)
        max_tokens = params.max_tokens
        if max_tokens is None:
            max_tokens = self.model_config.max_model_len - len(prompt["prompt_token_ids"])
        if constraint.min_tokens + 1 > max_tokens:
            raise refused(BudgetTooSmall(constraint.min_tokens + 1, max_tokens), param)
        await asyncio.to_thread(hand_over, constraint)
        admitted = params.clone()
        admitted.structured_outputs, admitted.max_tokens = None, max_tokens
        admitted.temperature, admitted.seed, admitted.top_p, admitted.top_k = 1.0, None, 1.0, 0
        admitted.extra_args = {**(params.extra_args or {}), KEY: asked.to_dict()}
        ends = constraint.vocabulary.end_ids
        return admitted, functools.partial(Walk, constraint.automaton, ends, max_tokens)

    def _check_engine(self, prompt: Any, reasoning_ended: bool | None) -> None:
        parallel = self.config.parallel_config
        if parallel.pipeline_parallel_size > 1:
            raise VLLMValidationError(
                "structured outputs on diffusion models need pipeline parallel 1; take tensor parallel or replicas"
            )
        if getattr(parallel, "enable_batch_sharded_sampling", None):
            raise VLLMValidationError(
                "structured outputs on diffusion models need all rows on every rank; start without "
                "enable_batch_sharded_sampling"
            )
        if isinstance(prompt, AsyncGenerator) or not isinstance(prompt, dict):
            raise VLLMValidationError("a constraint needs a whole prompt, rendered by vLLM's own front end")
        if reasoning_ended is False:
            raise VLLMValidationError(
                "a constraint cannot be honoured while the model thinks; turn thinking off "
                '(chat_template_kwargs {"enable_thinking": false})',
                parameter="chat_template_kwargs",
            )

    async def _compiled(self, asked: Asked, param: str) -> Constraint:
        try:
            source, options = await asyncio.to_thread(asked.compilable)
            compilers = await self.compilers()
            return await compilers.compile(source, None, **options)
        except StructdiffError as error:
            raise refused(error, param) from None
        except QueueFull as error:
            raise GracefulHTTPError(f"too many schemas wait to be compiled: {error}", 429) from None
        except TypeError as error:  # an option that this kind of source does not take
            raise VLLMValidationError(str(error), parameter=f"vllm_xargs.{KEY}") from None


_admissions: weakref.WeakKeyDictionary[AsyncLLM, Admission] = weakref.WeakKeyDictionary()


def install() -> None:
    """Put admission before `AsyncLLM.add_request`; a second call changes nothing."""
    original = AsyncLLM.add_request
    if hasattr(original, "structdiff_original"):
        return

    @functools.wraps(original)
    async def add_request(self: AsyncLLM, request_id: str, prompt: Any, params: Any, *args: Any, **named: Any) -> Any:
        if self not in _admissions:
            _admissions[self] = Admission(self)
        admitted = await _admissions[self].admit(prompt, params, named.get("reasoning_ended"))
        if admitted is None:
            return await original(self, request_id, prompt, params, *args, **named)
        queue = await original(self, request_id, prompt, admitted[0], *args, **named)
        return watched(queue, admitted[1])

    add_request.structdiff_original = original  # type: ignore[attr-defined]
    AsyncLLM.add_request = add_request


def watched(queue: Any, walk: Callable[[], Walk]) -> Any:
    """The queue of a request's outputs, which walks every token before it hands it on.

    A row that failed raises in place of its output, which vLLM answers with a 500, or with an error event where the
    output streams.
    """
    walks: dict[int, Walk] = {}
    seen: dict[int, int] = {}
    get, get_nowait, deltas = queue.get, queue.get_nowait, queue.aggregate

    def looked(output: Any) -> Any:
        for one in getattr(output, "outputs", None) or ():
            if one.finish_reason in ("abort", "error"):
                continue
            if one.index not in walks:
                walks[one.index], seen[one.index] = walk(), 0
            new = list(one.token_ids)[0 if deltas else seen[one.index] :]
            seen[one.index] += len(new)
            try:
                walks[one.index].add(new)
                if one.finish_reason is not None:
                    walks[one.index].close()
            except GenerationError as error:
                failure = VLLMServerError(f"structured output failed: {error}; see the engine's log")
                raise InputStreamError(failure) from None  # vLLM ends the request and raises the cause as it is
        return output

    async def checked() -> Any:
        return looked(await get())

    queue.get, queue.get_nowait = checked, lambda: looked(get_nowait())
    return queue
