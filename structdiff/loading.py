"""From a name to a model: one that ships with structdiff, a folder, or a hub id."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from structdiff.confidence.calibration import Calibration
from structdiff.core.errors import GenerationError
from structdiff.core.notes import tell
from structdiff.decode.policy import Policy
from structdiff.decode.samplers import published
from structdiff.model import Model
from structdiff.models.families import Checkpoint, Loaded, load_checkpoint
from structdiff.place import (
    DEFAULT,
    EMBEDDED,
    NAMES,
    Adapted,
    UnknownDevice,
    adapted,
    adapter_of,
    check_device,
    check_dtype,
    check_model,
    chosen_model,
)

SETTINGS = "structdiff.json"
"""Options of `Policy` that a checkpoint was measured best with, beside its weights."""
TEXT_TOKENS = "text_tokens"
"""In the same file: the longest texts, in tokens, that the checkpoint was measured to read well."""
MASKED = "masked"
"""In the same file: how the checkpoint denoises masks (`structdiff.models.masked_families.OPTIONS`)."""


def load(
    model: str | Path | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    trust_remote_code: bool = False,
    masked: Mapping[str, Any] | None = None,
    adapter: str | Path | None = None,
    **policy: Any,
) -> Model:
    """Load a model.

    model: ``"qwen-0.5b"`` (Qwen2.5-Coder-0.5B-Instruct with structdiff's adapter; its weights come in packages of
        their own), ``"qwen"`` (1.5 billion parameters, likewise; slower and more accurate), ``"smollm2"``
        (SmolLM2-135M-Instruct, likewise; faster and less accurate), ``"qwen:FOLDER"`` (the same with another adapter;
        ``"qwen:none"``: without one), ``"tiny"`` (1.7 million parameters, inside this package), a folder, or a hub id.
        A folder holds a checkpoint of DiffusionGemma, of a family of masked diffusion (docs/own_model.md), or of any
        causal language model of transformers, which is then written from left to right. Default: what the environment
        variable STRUCTDIFF_MODEL names, else ``"qwen-0.5b"`` where it is installed, else ``"smollm2"`` where that is,
        else ``"tiny"``, said in a line on standard error.
    device: "cuda" where there is one, else "cpu".
    dtype: the checkpoint's own. On the CPU "float32" for the tiny model; for SmolLM2 and Qwen "bfloat16", but
        "float32" on a CPU without instructions for it.
    trust_remote_code: code that comes with the checkpoint may run.
    masked: how the checkpoint denoises masks: ``mask_token``, ``canvas_length``, ``prefix``, ``shifted``, ``aligned``.
    adapter: a LoRA adapter that PEFT wrote, a folder or hub id; it needs ``peft``.

    Further options override the sampler's `Policy`. Raises `GenerationError` that names what is missing. A bar of
    progress is drawn on a terminal alone.
    """
    check_device(device)
    check_dtype(dtype)
    check_model(model)
    import torch

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    name, missing = chosen_model(model)
    if missing:
        tell(f"the {name} model answers, as the default model {DEFAULT} is not ready: {missing}")
    with _progress_on_terminals(), _named(device):
        if name in NAMES:
            return _tiny(device, dtype, policy, adapter)
        if found := adapted(name):
            if adapter is not None:
                raise GenerationError(f"{found[0]} takes its adapter by name: {found[0]}:{adapter}")
            return _adapted(name, found[1], device, dtype, policy)
        loaded = _checkpoint(name, _dtype(dtype), device, masked or {}, trust_remote_code, adapter)
        return _finished(loaded, name, policy, Path(name))


@contextlib.contextmanager
def _progress_on_terminals() -> Iterator[None]:
    """No bars on standard error while nobody looks at it, and what was set before afterwards."""
    from transformers.utils import logging

    before = logging.is_progress_bar_enabled()
    if not sys.stderr or not sys.stderr.isatty():
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if before:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _named(device: str) -> Iterator[None]:
    """Makes one line of what torch says about a device that it has no use of."""
    try:
        yield
    except (RuntimeError, AssertionError) as error:
        if device == "cpu" or type(error).__name__ == "OutOfMemoryError":
            raise
        raise UnknownDevice(f"the model cannot be put on {device}: {str(error).splitlines()[0]}") from error


def _tiny(device: str, dtype: str | None, policy: dict[str, Any], adapter: str | Path | None) -> Model:
    if dtype is None and device == "cpu":
        dtype = "float32"
    return _finished(_checkpoint(str(EMBEDDED), _dtype(dtype), device, adapter=adapter), "embedded", policy, EMBEDDED)


def _adapted(name: str, model: Adapted, device: str, dtype: str | None, policy: dict[str, Any]) -> Model:
    from structdiff.models.llama import bfloat16_is_fast
    from structdiff.models.prepared import load_prepared

    if dtype is None:
        dtype = "bfloat16" if device != "cpu" or bfloat16_is_fast() else "float32"
    adapter = adapter_of(name)
    loaded = load_prepared(model.base, adapter, _dtype(dtype), device)
    return _finished(loaded, name, policy, adapter or model.folder, _settings(model.folder))


def _checkpoint(
    name: str,
    dtype: Any,
    device: str,
    masked: Mapping[str, Any] | None = None,
    trust: bool = False,
    adapter: str | Path | None = None,
) -> Loaded:
    from transformers import PretrainedConfig

    asked = {**_settings(Path(name)).get(MASKED, {}), **(masked or {})}
    try:
        config, _ = PretrainedConfig.get_config_dict(name)
        return load_checkpoint(Checkpoint(name, config, dtype, device, asked, trust, adapter))
    except (OSError, ValueError, json.JSONDecodeError) as error:
        raise GenerationError(f"cannot load {name}: {' '.join(str(error).split())[:500]}") from error


def _dtype(name: str | None) -> Any:
    import torch

    return getattr(torch, name.removeprefix("torch.")) if name else "auto"


def _finished(
    loaded: Loaded,
    shown: str,
    policy: dict[str, Any],
    folder: Path | None = None,
    default: dict[str, Any] | None = None,
) -> Model:
    """The `Model` of a checkpoint; its folder may say more of the policy than ``default``, and hold a calibration."""
    said = (default or {}) | (_settings(folder) if folder is not None else {})
    length = said.pop(TEXT_TOKENS, None)
    said.pop(MASKED, None)
    family = published(loaded.sampler, loaded.model.spec.canvas_length) if loaded.sampler else {}
    chosen = Policy(**(family | dict(loaded.policy) | said | policy))
    model = Model(loaded.model, loaded.tokenizer, chosen, loaded.end_ids, shown)
    model.text_tokens, model.pictures = length, loaded.pictures
    model.calibration = Calibration.read(folder) if folder is not None else None
    return model


def _settings(folder: Path) -> dict[str, Any]:
    """What a checkpoint's folder says of the sampler beyond its generation configuration: ``structdiff.json``."""
    path = folder / SETTINGS
    if not path.is_file():
        return {}
    try:
        found: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise GenerationError(f"{path} is no JSON object: {error}") from error
    known = [option.name for option in fields(Policy)] + [TEXT_TOKENS, MASKED]
    if unknown := sorted(set(found) - set(known)):
        raise GenerationError(f"{path}: {unknown[0]!r} is no option of the sampler; it has {', '.join(known)}")
    if not isinstance(found.get(MASKED, {}), dict):
        raise GenerationError(f"{path}: {MASKED} is {found[MASKED]!r}; it must be a JSON object")
    return found
