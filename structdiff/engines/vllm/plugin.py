"""What vLLM calls at the start of each of its processes (entry point ``vllm.general_plugins``)."""

from __future__ import annotations

import logging

from structdiff.engines import versions
from structdiff.engines.versions import say_once

KNOWN = ((0, 32), (0, 33))
"""The versions of vLLM that have the hooks, from the first to the last; tests run on the first."""

_MODEL = "structdiff.engines.vllm.model:ConstrainedDiffusionGemma"
_TOLD = "_STRUCTDIFF_VLLM_TOLD"

_NEEDED = {
    "vllm.v1.engine.async_llm:AsyncLLM": ("add_request", "generate"),
    "vllm.v1.engine.async_llm": ("InputStreamError",),
    "vllm.v1.engine.output_processor:RequestOutputCollector": ("get", "get_nowait"),
    "vllm.sampling_params:SamplingParams": ("clone", "verify"),
    "vllm.exceptions": ("VLLMValidationError", "VLLMServerError", "GracefulHTTPError"),
    "vllm.model_executor.models:ModelRegistry": ("register_model",),
}
"""What the plug-in uses in every process. What it uses of the model is looked at where the model is."""

logger = logging.getLogger("vllm.structdiff")


def register() -> None:
    """Bring constraints to DiffusionGemma. Does nothing, and says why once, where this vLLM is not one it knows."""
    reason = unknown()
    if reason is not None:
        text = f"structdiff stays off: {reason}; vLLM refuses structured outputs on diffusion models"
        say_once(logger, _TOLD, text)
        return
    from vllm import ModelRegistry

    from structdiff.engines.vllm import admission
    from structdiff.engines.vllm.facts import ARCHITECTURE

    ModelRegistry.register_model(ARCHITECTURE, _MODEL)
    admission.install()


def unknown() -> str | None:
    """Why the plug-in does not know this vLLM; None where it does."""
    import vllm

    return untested(vllm.__version__) or versions.missing("vLLM", _NEEDED)


def untested(version: str) -> str | None:
    """Why a version is not used; None for those of `KNOWN`.

    >>> untested("0.32.1.dev3+cpu"), untested("0.34.0")
    (None, 'it knows vLLM 0.32 to 0.33, and this is 0.34.0')
    """
    return versions.untested("vLLM", version, *KNOWN)
