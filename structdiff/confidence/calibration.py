"""From field probabilities to confidences: how often fields of such a probability were right, measured once per model.

A model sees its own draft while it denoises, so that its posterior is surer than it is right. A checkpoint's
``calibration.json`` holds the correction: a monotone line through measured points, fitted on texts made for it alone
(``python -m benchmarks.calibration --fit FOLDER``). It holds for canvases that are committed in the same way: verified,
or not (`Policy.verify`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from structdiff.confidence.fields import Field

FILE = "calibration.json"
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Calibration:
    """Points of (field probability, share right), both ascending; ``weights`` is the digest of the model they hold for,
    ``verified`` whether its canvases were.

    >>> half = Calibration((0.0, 1.0), (0.0, 0.5))
    >>> half(0.8)
    0.4
    """

    probability: tuple[float, ...]
    right: tuple[float, ...]
    weights: str = ""
    verified: bool = False

    def __call__(self, probability: float) -> float:
        """How sure the model should be of a field of this posterior probability."""
        return float(np.interp(probability, self.probability, self.right))

    @classmethod
    def read(cls, folder: Path) -> Calibration | None:
        """The calibration of a checkpoint's folder; None where it has none, or one of other weights."""
        if not (folder / FILE).is_file() or not (folder / _WEIGHTS).is_file():
            return None
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if found["weights"] != digest(folder):
            return None
        return cls(tuple(found["probability"]), tuple(found["right"]), found["weights"], found.get("verified", False))

    def write(self, folder: Path) -> None:
        """Put the calibration beside the weights that it was measured with."""
        text = json.dumps({**asdict(self), "weights": digest(folder)}, indent=1)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")


def calibrated(fields: dict[str, Field], known: Calibration | None, verified: bool) -> dict[str, Field]:
    """The fields with what a calibration says of them, where it holds for canvases committed in this way."""
    if known is None or known.verified != verified:
        return fields
    return {name: replace(one, calibrated=known(one.probability)) for name, one in fields.items()}


def digest(folder: Path) -> str:
    """SHA-256 of a checkpoint's weights."""
    return hashlib.sha256((folder / _WEIGHTS).read_bytes()).hexdigest()
