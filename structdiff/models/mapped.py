"""Weights that stay in their file until they are read, and that memory can forget again."""

from __future__ import annotations

import json
import mmap
from pathlib import Path

import torch

_TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}
"""What safetensors calls the types that weights may have."""


class MappedWeights:
    """The tensors of a safetensors file, mapped and not copied.

    Raises `OSError` for a file that is not there, and `ValueError` or `LookupError` for one that is damaged.

    >>> import tempfile
    >>> from safetensors.torch import save_file
    >>> file = Path(tempfile.mkdtemp()) / "weights.safetensors"
    >>> save_file({"a": torch.tensor([1.0, 2.0])}, file)
    >>> weights = MappedWeights(file)
    >>> weights.forget()
    >>> weights.tensors["a"].tolist()
    [1.0, 2.0]
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        behind = 8 + int.from_bytes(self._map[:8], "little")
        told = json.loads(self._map[8:behind])
        told.pop("__metadata__", None)
        self.tensors: dict[str, torch.Tensor] = {}
        for name, one in told.items():
            first, last = one["data_offsets"]
            dtype = _TYPES[one["dtype"]]
            count = (last - first) // dtype.itemsize
            flat = torch.frombuffer(self._map, dtype=dtype, count=count, offset=behind + first)
            self.tensors[name] = flat.view(one["shape"])

    def forget(self) -> None:
        """Free the memory of what was read so far; a tensor that is read again comes from the file again.

        Where a tensor was written to, that is lost. Systems without such a call keep the memory.
        """
        if hasattr(self._map, "madvise") and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
