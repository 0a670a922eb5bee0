"""The default model's weights, ready to be mapped into memory: base weights and adapter added once and kept on disk.

One folder for each pair of base weights and adapter in the cache folder. It is written under another name first, so
that processes may race, and checked at each start: a damaged copy is made again. It does not count for
``STRUCTDIFF_CACHE_MB``; copies that nobody used for a month are removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from structdiff.core.notes import tell
from structdiff.models.adapted import AdaptedDenoiser, Drafter, drafter_weights
from structdiff.models.adapter import DENOISER, adapter_key, has_adapter, merge_causal
from structdiff.models.base_weights import BaseWeights, read_base
from structdiff.models.families import Loaded, end_ids
from structdiff.models.llama import Llama, LlamaShape, as_settings, weights_of
from structdiff.models.mapped import MappedWeights
from structdiff.models.mask_token import hide_mask
from structdiff.tokens.trie import cache_folder

FORMAT = 1
"""Of what is kept: another version reads no copy of this one."""
WEIGHTS, SETTINGS = "weights.safetensors", "prepared.json"
DRAFTER = "drafter."
"""Before the names of a denoising adapter's weights, which stand in the same file."""
MONTH = 30 * 86400.0
CHUNK = 1 << 23
"""Bytes that are read at once to be added up; a multiple of eight."""


def load_prepared(base: BaseWeights, adapter: Path | None, dtype: torch.dtype, device: str) -> Loaded:
    """The model of base weights and an adapter's folder (None: the base weights alone). Where the folder holds a
    denoising adapter too, it drafts what the causal model verifies.

    Raises `BaseWeightsError` where the base weights are missing or others, and `GenerationError` for a damaged adapter.
    """
    from structdiff.models.causal_lm import CausalLM

    base.installed()
    name = str(dtype).removeprefix("torch.")
    key = hashlib.sha256(f"{base.sha256} {adapter and adapter_key(adapter)}".encode()).hexdigest()[:24]
    folder = cache_folder() / f"{base.folder}-{FORMAT}-{key}-{name}"
    try:
        found = _read(folder)
    except (OSError, ValueError, LookupError, TypeError) as error:
        if folder.exists():
            tell(f"the prepared weights in {folder} are damaged ({_line(error)}); making them again")
        else:
            tell("first use of this model: preparing its weights, up to a minute (later starts find them prepared)")
        found = _make(base, adapter, dtype)
        _keep(folder, found)
    weights = {name: weight.to(device) for name, weight in found.weights.items()}
    causal = {name: weight for name, weight in weights.items() if not name.startswith(DRAFTER)}
    network = Llama(found.shape, causal, found.forget)
    if found.facts is None:
        return Loaded(CausalLM(network), found.tokenizer, found.ends)
    own = {name.removeprefix(DRAFTER): weight for name, weight in weights.items() if name.startswith(DRAFTER)}
    drafter = Llama(found.shape, own | {"head": weights.get("head", weights["embed"])}, found.forget)
    hide_mask(found.tokenizer, found.facts.mask)
    pair = AdaptedDenoiser(CausalLM(network), drafter, found.facts)
    return Loaded(pair, found.tokenizer, found.ends, {"verify": True, "draft_steps": 1}, "plain")


@dataclass(frozen=True)
class _Prepared:
    """What a copy holds; ``forget`` frees the memory of weights that are mapped."""

    shape: LlamaShape
    weights: dict[str, torch.Tensor]
    tokenizer: Any
    ends: tuple[int, ...]
    facts: Drafter | None
    forget: Callable[[], None] = lambda: None


def _make(base: BaseWeights, adapter: Path | None, dtype: torch.dtype) -> _Prepared:
    network, tokenizer = read_base(base)
    if adapter is not None:
        merge_causal(network, adapter, base.sha256)
    shape = LlamaShape.of(network.config)
    assert shape is not None
    weights, facts = weights_of(network, dtype), None
    if adapter is not None and has_adapter(adapter, DENOISER):
        weights = {name: weight.clone() for name, weight in weights.items()}  # the network's own change now
        drafting, facts = drafter_weights(network, adapter, base.sha256, dtype)
        weights |= {f"{DRAFTER}{name}": weight for name, weight in drafting.items()}
    return _Prepared(shape, weights, tokenizer, end_ids(network.generation_config, tokenizer), facts)


def _keep(folder: Path, made: _Prepared) -> None:
    """Write a copy and put it into place; where none can be written the next start prepares it again."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _clear(folder)
        written = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}.", suffix=".tmp"))
        try:
            save_file(made.weights, written / WEIGHTS)
            made.tokenizer.save_pretrained(written)
            files = {path.name: _sum(path) for path in sorted(written.iterdir())}
            said = {"shape": as_settings(made.shape), "end_ids": list(made.ends), "files": files}
            if made.facts is not None:
                said["drafter"] = asdict(made.facts)
            (written / SETTINGS).write_text(json.dumps(said, indent=1), encoding="utf-8")
            with contextlib.suppress(OSError):  # another process was faster
                written.rename(folder)
        finally:
            shutil.rmtree(written, ignore_errors=True)
    except OSError as error:
        tell(f"the prepared weights cannot be kept in {folder}: {_line(error)}; each start will prepare them")


def _read(folder: Path) -> _Prepared:
    """A copy that is whole. Raises what reading raises, and `ValueError` where a file is not what was written."""
    said = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    for name, wanted in said["files"].items():
        if _sum(folder / name) != wanted:
            raise ValueError(f"{name} is not what was written")
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    mapped = MappedWeights(folder / WEIGHTS)
    os.utime(folder)
    facts = Drafter(**said["drafter"]) if "drafter" in said else None
    shape, ends = LlamaShape(**said["shape"]), tuple(said["end_ids"])
    return _Prepared(shape, mapped.tensors, tokenizer, ends, facts, mapped.forget)


def _sum(path: Path) -> list[int]:
    """[size, sum of the eight-byte words and of the bytes behind them]: tells of damage, not of malice."""
    total = rest = 0
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            whole = len(data) // 8 * 8
            total += int(np.frombuffer(data, np.uint64, whole // 8).sum(dtype=np.uint64))
            rest += sum(data[whole:])
    return [path.stat().st_size, total % 2**64, rest]


def _clear(folder: Path) -> None:
    """Remove the copy in ``folder``, those of other adapters that nobody used for a month, and unfinished ones."""
    shutil.rmtree(folder, ignore_errors=True)
    kind = folder.name.partition("-")[0]
    for other in folder.parent.glob(f"{kind}-*"):
        age = MONTH if other.suffix != ".tmp" else 3600
        with contextlib.suppress(OSError):  # another process was faster
            if time.time() - other.stat().st_mtime > age:
                shutil.rmtree(other, ignore_errors=True)


def _line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
