"""Lets vLLM's model runner work on a machine without an accelerator, with packages of PyPI alone.

Triton runs its kernels in its interpreter and lists a backend "cpu", which is what vLLM looks for. torchvision's
compiled operators, which fit another torch, are declared by name, so that its Python part can be imported.
"""

from __future__ import annotations

import os
import sys

TENSORS = {"nms": 2, "qnms": 2, "roi_align": 2, "_roi_align_backward": 2, "roi_pool": 2, "_roi_pool_backward": 3,
           "ps_roi_align": 2, "_ps_roi_align_backward": 3, "ps_roi_pool": 2, "_ps_roi_pool_backward": 3,
           "deform_conv2d": 5, "_deform_conv2d_backward": 6}  # fmt: skip
"""torchvision's operators with how many tensors they take; nothing here calls them."""


class TorchvisionFinder:
    """Declares the operators when torchvision is first imported."""

    library = None

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            TorchvisionFinder.library = library = torch.library.Library("torchvision", "DEF")
            for operator, tensors in TENSORS.items():
                library.define(f"{operator}({', '.join(f'Tensor t{i}' for i in range(tensors))}) -> Tensor")


def list_cpu_backend() -> None:
    """Make Triton list an active backend called "cpu"."""
    try:
        from triton.backends import backends
    except ImportError:
        return

    class Driver:
        @staticmethod
        def is_active() -> bool:
            return True

    backends.setdefault("cpu", type("Backend", (), {"driver": Driver, "compiler": None}))


if os.environ.get("STRUCTDIFF_VLLM_CPU"):
    os.environ.setdefault("TRITON_INTERPRET", "1")
    sys.meta_path.insert(0, TorchvisionFinder())
    list_cpu_backend()
