"""Where a model is and where it may run, found out before anything heavy is imported."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from structdiff.core.errors import GenerationError
from structdiff.models.base_weights import QWEN, SMALL_QWEN, SMOLLM2, BaseWeights, BaseWeightsError

MODELS = Path(__file__).parent / "models"
EMBEDDED = MODELS / "embedded"
"""The tiny model: 1.7 million parameters, a few megabytes."""
NAMES = ("tiny", "embedded")
"""What the embedded model is called."""
ADAPTER_FILES = ("adapter.json", "adapter.safetensors")
MODEL_VARIABLE = "STRUCTDIFF_MODEL"
"""The environment variable that names the model where none is asked for."""
DEVICES = ("cpu", "cuda", "mps", "xpu", "hpu", "npu", "mtia")
NUMBERS = ("float32", "bfloat16", "float16", "float64")
PATIENCE = 3.0
"""Seconds within which the hub has to answer that it is there."""


@dataclass(frozen=True)
class Adapted:
    """A model of base weights, which come in packages of their own, and an adapter's ``folder`` in this package."""

    base: BaseWeights
    folder: Path


ADAPTED = {
    "smollm2": Adapted(SMOLLM2, MODELS / "smollm2"),
    "qwen-0.5b": Adapted(SMALL_QWEN, MODELS / "qwen-0.5b"),
    "qwen": Adapted(QWEN, MODELS / "qwen"),
}
"""The models with an adapter in this package, by name."""
DEFAULT = "qwen-0.5b"
"""The model that answers where none is named."""
INSTEAD = ("smollm2",)
"""Those that answer where the default model is not ready and they are, before the tiny one."""


class ModelNotFound(GenerationError):
    """There is no such model: no folder, not in the cache, or out of reach."""


class UnknownDevice(GenerationError):
    """A device or number type that is unknown or not there."""


def check_device(device: str | None) -> None:
    """Raises `UnknownDevice` for a device that this machine, or this build of torch, does not have.

    >>> check_device("gpu")
    Traceback (most recent call last):
    structdiff.place.UnknownDevice: there is no device 'gpu'; use cpu, cuda or cuda:0, mps, xpu
    """
    if device is None:
        return
    if re.fullmatch(rf"({'|'.join(DEVICES)})(:\d+)?", device) is None:
        raise UnknownDevice(f"there is no device {device!r}; use cpu, cuda or cuda:0, mps, xpu")
    if device.startswith("cuda") and _torch_without_gpu():
        raise UnknownDevice(f"the device {device} needs a build of torch for GPUs; this one is for the CPU alone")


def _torch_without_gpu() -> bool:
    """Does the installed torch say that it was built without CUDA and ROCm? Reads its version file alone."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return False
    version = Path(found.origin).parent / "version.py"
    told = version.read_text(encoding="utf-8") if version.is_file() else ""
    return bool(re.search(r"^cuda[^=\n]*= *None", told, re.M) and re.search(r"^hip[^=\n]*= *None", told, re.M))


def check_dtype(dtype: str | None) -> None:
    """Raises `UnknownDevice` for what is no number type of weights."""
    if dtype is not None and dtype.removeprefix("torch.") not in NUMBERS:
        raise UnknownDevice(f"{dtype!r} is not a torch dtype for weights; use {', '.join(NUMBERS)}")


def chosen_model(model: str | Path | None) -> tuple[str, str]:
    """(the name of the model that answers, why the default model does not).

    Where ``model`` is None: what STRUCTDIFF_MODEL names, else `DEFAULT`, else the first one that is ready of those in
    `INSTEAD` and ``"tiny"``, and what is missing.

    >>> chosen_model("tiny")
    ('tiny', '')
    """
    if model is not None:
        return str(model), ""
    if named := os.environ.get(MODEL_VARIABLE):
        return named, ""
    if not (missing := _lacking(DEFAULT)):
        return DEFAULT, ""
    return next((other for other in INSTEAD if not _lacking(other)), "tiny"), missing


def _lacking(name: str) -> str:
    """What a model in `ADAPTED` lacks, with what brings it; nothing where it is ready."""
    try:
        check_adapted(name)
    except (BaseWeightsError, ModelNotFound) as error:
        return str(error)
    return ""


def adapted(name: str) -> tuple[str, Adapted] | None:
    """The name in `ADAPTED` and the model that ``name`` means, alone or with the adapter it names; None: no such one.

    >>> adapted("qwen:FOLDER")[0], adapted("google/gemma")
    ('qwen', None)
    """
    kind = name.partition(":")[0]
    return (kind, ADAPTED[kind]) if kind in ADAPTED else None


def adapter_of(name: str) -> Path | None:
    """The adapter's folder of ``"NAME"``, ``"NAME:FOLDER"`` or ``"NAME:none"``, where NAME is in `ADAPTED`. Raises
    `ModelNotFound`."""
    kind, _, told = name.partition(":")
    if told == "none":
        return None
    folder = Path(told).expanduser() if told else ADAPTED[kind].folder
    if lacking := [one for one in ADAPTER_FILES if not (folder / one).is_file()]:
        where = f"{folder} holds no adapter" if told else f"this installation holds no adapter of {kind}"
        raise ModelNotFound(f"{where}: there is no {' and no '.join(lacking)}; {kind}:none is the model without one")
    return folder


def check_adapted(name: str) -> None:
    """Raises `BaseWeightsError` where the packages of a model in `ADAPTED` are missing, `ModelNotFound` where its
    adapter is."""
    ADAPTED[name.partition(":")[0]].base.installed()
    adapter_of(name)


def check_model(model: str | Path | None) -> None:
    """Raises `ModelNotFound` where there is no such folder, or one that holds no model, or the hub cannot be reached.

    A hub id whose files are in the cache is there without a network. Raises `BaseWeightsError` where the packages of a
    model in `ADAPTED` are missing.
    """
    name, _ = chosen_model(model)
    if name in NAMES:
        if not (EMBEDDED / "config.json").is_file():
            raise ModelNotFound("this installation holds no embedded model; pass a folder or a hub id")
        return
    if adapted(name) is not None:
        check_adapted(name)
        return
    path = Path(name).expanduser()
    if path.is_dir():
        lacking = [one for one in ("config.json", "tokenizer.json") if not (path / one).is_file()]
        if lacking:
            raise ModelNotFound(f"{name} holds no model: there is no {' and no '.join(lacking)} in it")
        return
    if path.exists():
        raise ModelNotFound(f"{name} is a file; a model is a folder or a hub id")
    if re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) is None:
        raise ModelNotFound(f"there is no folder {name}, and a hub id reads owner/name")
    if not _is_cached(name):
        _reach_hub(name)


def _is_cached(name: str) -> bool:
    from huggingface_hub import constants

    return any((Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}").glob("snapshots/*/config.json"))


def _reach_hub(name: str) -> None:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise ModelNotFound(
            f"there is no folder {name}, it is not in the cache, and HF_HUB_OFFLINE forbids to fetch it"
        )
    where = urlsplit(os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or constants.ENDPOINT)
    address = where.hostname or constants.ENDPOINT, where.port or (443 if where.scheme == "https" else 80)
    reached = threading.Event()

    def knock() -> None:
        try:
            socket.create_connection(address, PATIENCE).close()
            reached.set()
        except OSError:
            pass

    knocking = threading.Thread(target=knock, daemon=True)  # the look-up of a name takes its own time
    knocking.start()
    knocking.join(PATIENCE)
    if not reached.is_set():
        raise ModelNotFound(f"there is no folder {name}, it is not in the cache, and {address[0]} cannot be reached")
