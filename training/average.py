"""Write the mean of adapters of one training run, which is less noisy than each of them.

    python -m training.average OUT ADAPTER [ADAPTER ...] [--name continued]

ADAPTER is the folder of a finished adapter, or the `state.pt` of a run. One that is named twice counts twice. What is
written beside the matrices is what the finished adapter with the most steps says.

Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", arXiv 1803.05407.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from structdiff.core.errors import GenerationError
from structdiff.models.adapter import ADAPTER, CONTINUED, files_of
from training.lora import read_adapter, save_adapter

SAME = ("base_sha256", "kind", "rank", "alpha", "on")
"""What adapters have in common that can be averaged."""


def mean(adapters: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The mean of each matrix. Raises `ValueError` where the adapters have different ones.

    >>> mean([{"a": torch.ones(1)}, {"a": torch.zeros(1)}])
    {'a': tensor([0.5000])}
    """
    shapes = [{name: matrix.shape for name, matrix in one.items()} for one in adapters]
    if any(one != shapes[0] for one in shapes):
        raise ValueError("the adapters have different matrices")
    return {name: torch.stack([one[name].float() for one in adapters]).mean(0) for name in adapters[0]}


def settings_of(file: Path) -> dict[str, Any]:
    """What stands beside an adapter's matrices. Raises `ValueError` where it does not say what they belong to."""
    try:
        told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if lacking := {"step", "base_sha256"} - told.keys():
            raise ValueError(f"it has no {min(lacking)}")
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    return told


def average(paths: Sequence[Path], out: Path, name: str = ADAPTER) -> None:
    """Write the mean of the adapters at ``paths``, called ``name`` in their folders. Raises `ValueError` where none of
    them is a finished one, or they do not belong together; `GenerationError` where one is damaged."""
    settings = {path: settings_of(path / files_of(name)[1]) for path in paths if path.is_dir()}
    if not settings:
        raise ValueError("none of the adapters is a finished one, so nothing says what they belong to")
    latest = max(settings, key=lambda path: settings[path]["step"])
    told = settings[latest]
    for path, one in settings.items():
        if other := [key for key in SAME if one.get(key) != told.get(key)]:
            raise ValueError(f"{path} and {latest} differ in {other[0]}; only adapters of one run have a mean")
    read = {path: read_adapter(path, told["base_sha256"], name=name)[0] for path in dict.fromkeys(paths)}
    save_adapter(
        mean([read[path] for path in paths]),
        out,
        {key: value for key, value in told.items() if key != "sha256"},
        name=name,
    )
    if name != ADAPTER:
        for file in files_of(ADAPTER):
            shutil.copy(latest / file, out / file)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out", type=Path)
    p.add_argument("adapters", type=Path, nargs="+", metavar="ADAPTER")
    p.add_argument("--name", choices=[ADAPTER, CONTINUED], default=ADAPTER, help="which of a folder's adapters")
    args = p.parse_args()
    try:
        average(args.adapters, args.out, args.name)
    except (OSError, ValueError, GenerationError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
