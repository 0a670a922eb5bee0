"""The Triton kernels against plain torch and against the compiled kernel of the CPU.

On a machine with a GPU they run on it. Elsewhere Triton's interpreter runs them (`test_device.py` starts it: it must be
chosen before Triton is imported), which checks what they compute, not how they compile.
"""

import os
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from structdiff.core.errors import GenerationError
from structdiff.lattice import device
from structdiff.lattice.device import class_sums_in_torch, draw_in_torch, reduce_on_device
from structdiff.lattice.device_classes import Classes
from structdiff.lattice.reduction import reduce_classes
from structdiff.testing.tiny import tiny

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not (INTERPRETED or torch.cuda.is_available()):
    pytest.skip("no GPU, and Triton's interpreter was not asked for", allow_module_level=True)
triton_kernels = pytest.importorskip("structdiff.lattice.triton_kernels", exc_type=ImportError)

DEVICE = "cpu" if INTERPRETED else "cuda"
SIZES = (2100, 300, 257, 0, 256, 33, 2, 1, 1)
V = sum(SIZES)


@pytest.fixture(scope="module")
def classes() -> Classes:
    """Classes of many sizes, an empty one among them, their tokens scattered over the vocabulary."""
    class_at = np.concatenate([[0], np.cumsum(SIZES)])
    shuffled = np.random.default_rng(0).permutation(V)
    token = np.concatenate([np.sort(shuffled[a:b]) for a, b in pairwise(class_at)])
    class_of = np.empty(V, np.int32)
    class_of[token] = np.repeat(np.arange(len(SIZES)), SIZES)
    automaton = replace(tiny("ab|b"), class_of=class_of, class_at=class_at, class_token=token.astype(np.int32))
    return Classes(automaton, DEVICE)


def logits_of(case: str, n: int = 4) -> torch.Tensor:
    logits = torch.from_numpy(np.random.default_rng(1).normal(size=(n, V)).astype(np.float32)) * 4
    if case == "far apart":
        logits[:, ::2] -= 3000
    if case == "excluded":
        logits[:, 1::3] = -torch.inf
    if case == "ties":
        logits = logits.round()
    if case == "part of a row":
        logits = torch.cat([logits, logits], 1)[:, :V]
    return (logits.bfloat16() if case == "bfloat16" else logits).to(DEVICE)


CASES = ["plain", "far apart", "excluded", "ties", "part of a row", "bfloat16"]


@pytest.fixture
def kernels(monkeypatch):
    """`reduce_on_device` and its draws go through the kernels, on the interpreter's CPU too."""
    monkeypatch.setattr(device, "kernels_for", lambda device: triton_kernels)


@pytest.mark.parametrize("case", CASES)
def test_the_sums_are_those_of_torch(classes, case):
    logits = logits_of(case)
    fast = triton_kernels.class_sums(logits, 0.7, classes)
    slow = class_sums_in_torch(logits, 0.7, classes)
    filled = np.array(SIZES) > 0
    for name, a, b in zip(("high", "token", "total", "moment"), fast, slow, strict=True):
        np.testing.assert_allclose(a.cpu()[:, filled], b.cpu()[:, filled], rtol=2e-5, atol=2e-5, err_msg=name)
    assert (fast[2][:, ~filled] == 0).all()


@pytest.mark.parametrize("case", CASES)
def test_the_reduction_is_that_of_the_compiled_kernel(classes, case, kernels):
    logits = logits_of(case)
    host = reduce_classes(logits.float().cpu().numpy(), 0.7, classes.class_at, classes.class_token)
    found = reduce_on_device(logits, 0.7, classes)
    for name in ("mass", "top", "mean", "log_z", "entropy"):
        np.testing.assert_allclose(getattr(found, name), getattr(host, name), rtol=2e-5, atol=2e-5, err_msg=name)
    assert (found.top_token == host.top_token).all() and (found.argmax == host.argmax).all()


@pytest.mark.parametrize("case", CASES)
def test_the_draws_are_those_of_torch(classes, case, kernels, monkeypatch):
    logits, rng = logits_of(case, n=10), np.random.default_rng(2)
    reduction = reduce_on_device(logits, 0.7, classes)
    drawn = rng.choice([c for c, size in enumerate(SIZES) if size] + [-1] * 3, 10)
    uniform = rng.random(10)
    uniform[:2] = 0.0, 1 - 2.0**-53
    fast = reduction.draw(drawn, uniform)
    monkeypatch.setattr(triton_kernels, "draw", draw_in_torch)
    assert fast.tolist() == reduction.draw(drawn, uniform).tolist()
    assert ((classes.class_of[fast] == drawn) | (drawn == -1)).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_bad_logits_are_named_by_their_position(classes, value, kernels):
    logits = logits_of("plain")
    logits[3, 2] = value
    with pytest.raises(GenerationError, match="position 3"):
        reduce_on_device(logits, 1.0, classes)
