"""From a name to a model: the embedded checkpoint, a folder, or a hub id."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from structdiff.confidence.calibration import Calibration
from structdiff.core.errors import GenerationError
from structdiff.decode.policy import Policy
from structdiff.model import Model
from structdiff.models.diffusion_gemma import DiffusionGemma

EMBEDDED = Path(__file__).parent / "models" / "embedded"
SETTINGS = "structdiff.json"
"""Options of `Policy` that a checkpoint was measured best with, beside its weights."""


def load(
    model: str | Path | None = None, *, device: str | None = None, dtype: str | None = None, **policy: Any
) -> Model:
    """Load a DiffusionGemma checkpoint: the embedded one, a local folder or a hub id.

    ``device`` defaults to "cuda" where there is one, else "cpu"; ``dtype`` to the checkpoint's own ("float32" on the
    CPU for the embedded one). Further options override the sampler's `Policy`. Raises `GenerationError` naming what is
    missing.
    """
    import torch
    from transformers import AutoTokenizer, DiffusionGemmaForBlockDiffusion

    name = str(model) if model is not None else str(EMBEDDED)
    if model is None and not (EMBEDDED / "config.json").is_file():
        raise GenerationError("this installation holds no embedded model; pass a folder or a hub id")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if dtype is None and model is None and device == "cpu":
        dtype = "float32"
    chosen = getattr(torch, dtype, None) if dtype else "auto"
    if not isinstance(chosen, torch.dtype) and chosen != "auto":
        raise GenerationError(f"{dtype!r} is not a torch dtype; use float32, bfloat16 or float16")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        network: Any = DiffusionGemmaForBlockDiffusion.from_pretrained(name, dtype=chosen)
        network = network.to(device)
    except (OSError, ValueError, json.JSONDecodeError) as error:
        raise GenerationError(f"cannot load {name}: {error}".splitlines()[0]) from error
    config = network.generation_config
    ends = config.eos_token_id
    if ends is None:
        ends = tokenizer.eos_token_id
    end_ids = tuple(ends) if isinstance(ends, list | tuple) else (ends,)
    chosen_policy = Policy.from_generation_config(config, **(_settings(name) | policy))
    shown = "embedded" if model is None else name
    loaded = Model(DiffusionGemma(network), tokenizer, chosen_policy, end_ids, shown)
    loaded.calibration = Calibration.read(Path(name))
    return loaded


def _settings(name: str) -> dict[str, Any]:
    """What a checkpoint's folder says of the sampler beyond its generation configuration: ``structdiff.json``."""
    path = Path(name) / SETTINGS
    if not path.is_file():
        return {}
    try:
        found: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise GenerationError(f"{path} is no JSON object: {error}") from error
    known = [option.name for option in fields(Policy)]
    if unknown := sorted(set(found) - set(known)):
        raise GenerationError(f"{path}: {unknown[0]!r} is no option of the sampler; it has {', '.join(known)}")
    return found
