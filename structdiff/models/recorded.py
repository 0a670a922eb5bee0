"""Forward passes recorded as CUDA graphs: between two commits a denoiser does the same thing at every step.

The network of a DiffusionGemma starts some thousands of small kernels a pass, and starting them takes longer than
running them. A graph starts them all at once. Source: NVIDIA, CUDA C++ Programming Guide, "CUDA Graphs".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch


class Recorded:
    """Calls a function of tensors; on a CUDA device its second call under one key is recorded, later ones replayed.

    ``key`` names all that the function reads beside its inputs. What a replay returns is overwritten by the next one. A
    function that cannot be recorded (it reads a number back from the device, say) is called as it is, with a warning.

    >>> twice = Recorded()
    >>> twice("key", lambda x: 2 * x, torch.ones(2)).tolist()
    [2.0, 2.0]
    """

    def __init__(self) -> None:
        self.possible = True
        self.forget()

    def forget(self) -> None:
        """Give up the recording and its memory."""
        self.key: Any = None
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: tuple[torch.Tensor, ...] = ()
        self.output: torch.Tensor | None = None
        self.kept: Any = None  # what the recording reads must not be freed

    def __call__(self, key: Any, run: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> torch.Tensor:
        if inputs[0].device.type != "cuda" or not self.possible:
            return run(*inputs)
        whole = (key, [(x.shape, x.dtype) for x in inputs])
        if self.key != whole:
            self.forget()
            self.key = whole
        self.calls += 1
        if self.calls == 1:
            return run(*inputs)
        with torch.cuda.device(inputs[0].device):
            if self.graph is None:
                try:
                    self._record(run, inputs)
                except RuntimeError as error:
                    self.forget()
                    self.possible = False
                    cause = (error.__context__ or error) if "capture" in str(error) else error
                    warnings.warn(
                        f"steps are not replayed, which is slower: {str(cause).splitlines()[0]}", stacklevel=2
                    )
                    torch.cuda.synchronize()
                    return run(*inputs)
            else:
                for mine, given in zip(self.inputs, inputs, strict=True):
                    mine.copy_(given)
            assert self.graph is not None
            self.graph.replay()
        assert self.output is not None
        return self.output

    def _record(self, run: Callable[..., torch.Tensor], inputs: tuple[torch.Tensor, ...]) -> None:
        self.inputs = tuple(x.clone() for x in inputs)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self.output = run(*self.inputs)
        self.graph, self.kept = graph, run
