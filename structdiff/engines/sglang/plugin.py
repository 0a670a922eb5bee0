"""What SGLang calls at the start of each of its processes (entry point ``sglang.srt.plugins``)."""

from __future__ import annotations

import logging

from structdiff.engines import versions

KNOWN = ((0, 5, 23), (0, 5, 23))
"""The versions of SGLang that have the hooks, from the first to the last; tests run on the first."""

ALGORITHMS = ("Gemma4Renoise", "LowConfidence", "JointThreshold", "JointThresholdInDel")
_TOLD = "_STRUCTDIFF_SGLANG_TOLD"

_NEEDED = {
    "sglang.srt.plugins.hook_registry:HookRegistry": ("register",),
    "sglang.srt.plugins.hook_registry:HookType": ("BEFORE", "AFTER", "AROUND"),
    "sglang.srt.arg_groups.choices": ("add_grammar_backend_choices", "GRAMMAR_BACKEND_CHOICES"),
    "sglang.srt.constrained.base_grammar_backend": ("register_grammar_backend", "InvalidGrammarObject"),
    "sglang.srt.constrained.base_grammar_backend:BaseGrammarBackend": ("get_request_grammar_key", "set_cache"),
    "sglang.srt.constrained.grammar_manager:GrammarManager": ("process_req_with_grammar", "get_ready_grammar_requests"),
    "sglang.srt.managers.schedule_batch": ("FINISH_ABORT",),
    "sglang.srt.managers.schedule_batch:Req": ("update_finish_state", "set_finish_with_abort"),
    "sglang.srt.dllm.algorithm": ("algo_name_to_cls", "get_algorithm"),
    "sglang.srt.dllm.algorithm.base:DllmAlgorithm": (
        "init_step_state", "prepare_inputs", "step", "validate_request", "_block_start_list",
    ),
}  # fmt: skip
"""What the plug-in uses in every process."""

logger = logging.getLogger("sglang.structdiff")


def register() -> None:
    """Bring constraints to diffusion models. Does nothing, and says why once, where this SGLang is not one it knows."""
    reason = unknown()
    if reason is not None:
        text = f"structdiff stays off: {reason}; SGLang honours no structured outputs on diffusion models"
        versions.say_once(logger, _TOLD, text)
        return
    from sglang.srt.arg_groups import choices
    from sglang.srt.constrained.base_grammar_backend import register_grammar_backend
    from sglang.srt.dllm.algorithm import algo_name_to_cls

    from structdiff.engines.sglang import admission, start
    from structdiff.engines.sglang.algorithm import constrained
    from structdiff.engines.sglang.backend import NAME

    register_grammar_backend(NAME, start.create)
    if NAME not in choices.GRAMMAR_BACKEND_CHOICES:
        choices.add_grammar_backend_choices([NAME])
    for name in ALGORITHMS:
        if name in algo_name_to_cls:
            algo_name_to_cls[name] = constrained(algo_name_to_cls[name])
    admission.install()


def unknown() -> str | None:
    """Why the plug-in does not know this SGLang; None where it does."""
    from sglang.version import __version__

    return untested(__version__) or versions.missing("SGLang", _NEEDED)


def untested(version: str) -> str | None:
    """Why a version is not used; None for those of `KNOWN`.

    >>> untested("0.5.23.post1"), untested("0.5.24")
    (None, 'it knows SGLang 0.5.23, and this is 0.5.24')
    """
    return versions.untested("SGLang", version, *KNOWN)
