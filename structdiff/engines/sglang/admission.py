"""What is checked of a request to SGLang: before its grammar is compiled, behind it, and each block that it writes."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from structdiff.core.errors import BudgetTooSmall, GenerationError
from structdiff.engines.asked import KEY
from structdiff.engines.sglang.backend import NAME, Backend, Grammar
from structdiff.engines.sglang.facts import capacity

FIELDS = ("json_schema", "regex", "ebnf", "structural_tag")
"""The fields of SGLang's sampling parameters that hold a source."""

_CUT = "it would cut a valid output"
_JOINT = "constrained rows draw from the joint posterior"
_OTHERS = "those of the model are not those of the constrained output"
_NOT_WITH = {
    "stop_strs": ("stop", _CUT),
    "stop_regex_strs": ("stop_regex", _CUT),
    "stop_token_ids": ("stop_token_ids", _CUT),
    "ignore_eos": ("ignore_eos", "an output ends where it is complete"),
    "no_stop_trim": ("no_stop_trim", "the end token is no part of the output"),
    "min_new_tokens": ("min_new_tokens", "the length of an output is the constraint's matter"),
    "min_p": ("min_p", _JOINT),
    "frequency_penalty": ("frequency_penalty", _JOINT),
    "presence_penalty": ("presence_penalty", _JOINT),
    "logit_bias": ("logit_bias", _JOINT),
    "watermark": ("watermark", _JOINT),
    "ebnf_full_assistant": ("ebnf", "a grammar of the model's thoughts is not understood"),
}
_REQUEST_NOT_WITH = {
    "return_logprob": ("logprobs", _OTHERS),
    "custom_logit_processor": ("custom_logit_processor", _JOINT),
    "return_sampling_mask": ("return_sampling_mask", _OTHERS),
}

_HOOKED = {
    "sglang.srt.constrained.grammar_manager:GrammarManager": ("process_req_with_grammar", "get_ready_grammar_requests"),
    "sglang.srt.managers.schedule_batch:Req": ("update_finish_state",),
}

_serving = False


def serve() -> None:
    """This process has the grammar backend."""
    global _serving
    _serving = True


def asks(params: Any) -> bool:
    """Do sampling parameters ask for a constraint, or say something of one?"""
    return any(getattr(params, name) is not None for name in FIELDS) or _extra(params) is not None


def _extra(params: Any) -> Any:
    custom = params.custom_params
    return custom.get(KEY) if isinstance(custom, dict) else None


def refused(req: Any) -> str | None:
    """Why a constrained request cannot be honoured; None where it can."""
    params = req.sampling_params
    if not _serving:
        return f"structured outputs on diffusion models need the server option --grammar-backend {NAME}"
    if all(getattr(params, name) is None for name in FIELDS):
        return f"custom_params.{KEY} names no source; give response_format, json_schema or regex beside it"
    if _extra(params) is not None and not isinstance(_extra(params), str):
        return f"custom_params.{KEY} is {type(_extra(params)).__name__}; give the text of a JSON object"
    for holder, names in ((params, _NOT_WITH), (req, _REQUEST_NOT_WITH)):
        for name, (said, why) in names.items():
            if getattr(holder, name, None):
                return f"{said} cannot be honoured with a constraint: {why}"
    if params.repetition_penalty != 1:
        return f"repetition_penalty cannot be honoured with a constraint: {_JOINT}"
    if (params.beam_width or 1) > 1:
        return f"beam_width cannot be honoured with a constraint: {_JOINT}"
    if req.require_reasoning:
        return (
            "a constraint cannot be honoured while the model thinks; turn thinking off "
            '(chat_template_kwargs {"enable_thinking": false})'
        )
    return None


def admit(manager: Any, req: Any) -> None:
    """A request's grammar is compiled: take it, or refuse a budget that no output fits."""
    grammar = req.grammar
    if not isinstance(grammar, Grammar) or grammar.request is req:
        return
    config, params = manager.scheduler.dllm_config, req.sampling_params
    room = capacity(
        manager.scheduler.model_config.context_len, config.block_size, len(req.origin_input_ids),
        aligned=not config.requires_separate_context_encoding,
    )  # fmt: skip
    max_tokens = min(room, params.max_new_tokens)
    if grammar.constraint.min_tokens + 1 > max_tokens:
        req.set_finish_with_abort(str(BudgetTooSmall(grammar.constraint.min_tokens + 1, max_tokens)))
        return
    uniform = grammar.worker.spec.noise.mask is None  # SGLang's algorithms of masks are greedy
    temperature = 0.0 if params.top_k == 1 else params.temperature
    grammar.admit(req, max_tokens, params.sampling_seed, temperature if uniform else 1.0)


def process_req_with_grammar(original: Callable[..., bool], manager: Any, req: Any) -> bool:
    """Around SGLang's own: the backend is told what the request says beside its source."""
    backend = manager.grammar_backend
    if not isinstance(backend, Backend):
        return original(manager, req)
    backend.extra = _extra(req.sampling_params)
    try:
        waits = original(manager, req)
    finally:
        backend.extra = None
    if not waits:
        admit(manager, req)
    return waits


def get_ready_grammar_requests(result: list[Any], manager: Any) -> None:
    """Behind SGLang's own: grammars that have been compiled."""
    for req in result:
        admit(manager, req)


def update_finish_state(req: Any, new_accepted_len: int = 1) -> None:
    """Before SGLang's own: the last look at a block. A row that failed ends with status 500, never with a text."""
    grammar = req.grammar
    if not isinstance(grammar, Grammar) or req.finished() or req.to_finish:
        return
    from sglang.srt.managers.schedule_batch import FINISH_ABORT

    tokens = list(req.output_ids[-new_accepted_len:])
    try:
        if grammar.walk is None:
            raise GenerationError("the request was not admitted")
        grammar.look(tokens)
    except GenerationError as error:
        said = f"structured output failed: {error}; see the server's log"
        req.to_finish = FINISH_ABORT(said, HTTPStatus.INTERNAL_SERVER_ERROR, "InternalServerError")
        req.finished_len = len(req.output_ids) - len(tokens)


def install() -> None:
    """Tell SGLang's registry of hooks; it applies them when all plug-ins have spoken."""
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType

    manager, request = (place.replace(":", ".") for place in _HOOKED)
    HookRegistry.register(f"{manager}.process_req_with_grammar", process_req_with_grammar, HookType.AROUND)
    HookRegistry.register(f"{manager}.get_ready_grammar_requests", get_ready_grammar_requests, HookType.AFTER)
    HookRegistry.register(f"{request}.update_finish_state", update_finish_state, HookType.BEFORE)


def check_hooks() -> None:
    """Raises `RuntimeError` where SGLang has not applied the hooks: nothing would be checked."""
    import importlib

    for place, names in _HOOKED.items():
        module, _, attribute = place.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        for name in names:
            if not hasattr(getattr(found, name), "__wrapped__"):
                raise RuntimeError(f"SGLang has not applied the hook on {attribute}.{name}; see its log for the reason")
