"""What vLLM calls at the start of each of its processes (entry point ``vllm.general_plugins``)."""

from __future__ import annotations

import importlib
import logging
import os
import re

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
        if not os.environ.get(_TOLD):
            os.environ[_TOLD] = "1"  # the engine's other processes inherit it
            logger.warning("structdiff stays off: %s; vLLM refuses structured outputs on diffusion models", reason)
        return
    from vllm import ModelRegistry

    from structdiff.engines.vllm import admission
    from structdiff.engines.vllm.facts import ARCHITECTURE

    ModelRegistry.register_model(ARCHITECTURE, _MODEL)
    admission.install()


def unknown() -> str | None:
    """Why the plug-in does not know this vLLM; None where it does."""
    import vllm

    if (wrong := untested(vllm.__version__)) is not None:
        return wrong
    for place, names in _NEEDED.items():
        module, _, attribute = place.partition(":")
        try:
            found = importlib.import_module(module)
            found = getattr(found, attribute) if attribute else found
        except (ImportError, AttributeError) as error:
            return f"this vLLM has no {place} ({error})"
        missing = [name for name in names if not hasattr(found, name)]
        if missing:
            return f"{place} of this vLLM has no {', '.join(missing)}"
    return None


def untested(version: str) -> str | None:
    """Why a version is not used; None for those of `KNOWN`.

    >>> untested("0.32.1.dev3+cpu"), untested("0.34.0")
    (None, 'it knows vLLM 0.32 to 0.33, and this is 0.34.0')
    """
    found = re.match(r"(\d+)\.(\d+)", version)
    if found and KNOWN[0] <= (int(found[1]), int(found[2])) <= KNOWN[-1]:
        return None
    first, last = (".".join(map(str, one)) for one in KNOWN)
    return f"it knows vLLM {first} to {last}, and this is {version}"
