"""The class reduction where the logits are: on an accelerator only [L, C] arrays cross to the host.

The same figures as `structdiff.lattice.reduction`; the tokens of a draw are chosen on the device too.
On CUDA devices `structdiff.lattice.triton_kernels` reads the logits; the functions in plain torch here do so elsewhere,
a few rows at a time, and are what the kernels are tested against.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from structdiff.core.errors import GenerationError
from structdiff.lattice.device_classes import Classes
from structdiff.lattice.reduction import Reduction, certain, reduce_classes
from structdiff.lattice.reduction_kernels import FLOOR

ROWS = 32
"""Positions reduced at once in plain torch: the largest temporaries are float32[ROWS, V]."""


def reduce_logits(logits: torch.Tensor, temperature: float, classes: Classes) -> Reduction | DeviceReduction:
    """Reduce [n, V] logits of any floating type: on the CPU by the compiled kernel, elsewhere on their own device."""
    if logits.device.type == "cpu":
        return reduce_classes(logits.float().numpy(), temperature, classes.class_at, classes.class_token)
    return reduce_on_device(logits, temperature, classes)


@dataclass(frozen=True, eq=False)
class DeviceReduction:
    """`Reduction` of logits that stay on their device, with ``high`` float32[n, C], the best logit of each class there;
    the other arrays are on the host."""

    on_device: torch.Tensor
    temperature: float
    classes: Classes
    high: torch.Tensor
    mass: np.ndarray
    top: np.ndarray
    top_token: np.ndarray
    mean: np.ndarray
    log_z: np.ndarray
    entropy: np.ndarray
    argmax: np.ndarray

    @cached_property
    def logits(self) -> np.ndarray:
        """All logits on the host: only rules beyond the grammar ask for them."""
        return self.on_device.float().cpu().numpy()

    def head(self, n: int) -> DeviceReduction:
        """The first ``n`` positions."""
        rows = ("on_device", "high", "mass", "top", "top_token", "mean", "log_z", "entropy", "argmax")
        changes: dict[str, Any] = {name: getattr(self, name)[:n] for name in rows}
        return replace(self, **changes)

    def revealed(self, tokens: np.ndarray, classes: np.ndarray) -> DeviceReduction:
        """As `Reduction.revealed`."""
        changes: dict[str, Any] = certain(self, tokens, classes)
        return replace(self, **changes)

    def log_probabilities(self, tokens: np.ndarray) -> np.ndarray:
        """As `Reduction.log_probabilities`: one number a position crosses to the host."""
        at = torch.from_numpy(tokens.astype(np.int64))[:, None].to(self.on_device.device)
        own = self.on_device[: len(tokens)].gather(1, at)[:, 0].double().clamp_min(FLOOR).cpu().numpy()
        found: np.ndarray = own / self.temperature - self.log_z[: len(tokens)]
        return found

    def draw(self, classes: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """int64[n]: a token of each position's class (-1: of all): inverse transform in the order of the classes, in
        float64."""
        device = self.on_device.device
        wanted = torch.from_numpy(classes.astype(np.int64)).to(device)
        u = torch.from_numpy(uniform).to(device, torch.float64)
        every = wanted < 0
        one = wanted.clamp_min(0)
        at, V = self.classes.at, len(self.classes.class_of)
        ranges = torch.stack([at[one].masked_fill(every, 0), at[one + 1].masked_fill(every, V)], 1)
        high = torch.where(every, self.high.amax(1), self.high.gather(1, one[:, None])[:, 0])
        kernels = kernels_for(device)
        pick = kernels.draw if kernels else draw_in_torch
        return pick(self.on_device, self.temperature, self.classes, ranges, high, u).long().cpu().numpy()


def reduce_on_device(logits: torch.Tensor, temperature: float, classes: Classes) -> DeviceReduction:
    """Reduce [n, V] logits to C classes on their device; raises `GenerationError` on NaN or +inf.

    >>> from structdiff.testing.tiny import tiny
    >>> log = torch.tensor([[0.5, 0.25, 0.25, 0.0]]).log()           # vocabulary: a, b, ab, end
    >>> r = reduce_on_device(log, 1.0, Classes(tiny("ab|b"), "cpu"))
    >>> r.argmax.tolist(), round(float(r.entropy[0]), 4), r.top_token.tolist()[0][-1]
    ([0], 1.0397, 3)
    """
    kernels = kernels_for(logits.device)
    sums = kernels.class_sums if kernels else class_sums_in_torch
    high, token, total, moment = sums(logits, temperature, classes)
    empty = total == 0
    bad = high.isnan().any(1)
    high = high.masked_fill(empty, -torch.inf)
    peak = high.amax(1, keepdim=True)
    argmax = token.masked_fill(high < peak, len(classes.class_of)).amin(1)
    top, sum_of, moment_of = high.double() / temperature, total.double(), moment.double()
    mass = top + sum_of.log()  # -inf for an empty class
    log_z = torch.logsumexp(mass, 1, keepdim=True)
    mass = mass - log_z
    mean = (top - log_z + moment_of / sum_of).masked_fill(empty, 0.0)
    entropy = -(mass.exp() * mean).sum(1).clamp_max(0.0)
    rows = torch.stack([log_z[:, 0], entropy, argmax.double(), bad.double()])
    wide = torch.stack([mass, top - log_z, mean])
    tokens = token.masked_fill(empty, -1)
    host_rows, host_wide, host_tokens = (_on_host(array) for array in (rows, wide, tokens))
    if host_rows[3].any():
        raise GenerationError(
            f"the model's logits at canvas position {int(host_rows[3].argmax())} contain NaN or +inf; nothing can be "
            "drawn"
        )
    mass_, top_, mean_ = host_wide
    return DeviceReduction(
        logits, temperature, classes, high, mass_, top_, host_tokens, mean_, host_rows[0], host_rows[1],
        host_rows[2].astype(np.int32),
    )  # fmt: skip


def _on_host(array: torch.Tensor) -> np.ndarray:
    """Through page-locked memory where the device is a CUDA one: several times as fast."""
    if array.device.type != "cuda":
        return array.cpu().numpy()
    out = torch.empty(array.shape, dtype=array.dtype, pin_memory=True)
    out.copy_(array)
    return out.numpy()


@functools.cache
def kernels_for(device: torch.device) -> Any:
    """The module of kernels for a device, or None: plain torch."""
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return None
    from structdiff.lattice import triton_kernels

    return triton_kernels


def class_sums_in_torch(logits: torch.Tensor, temperature: float, classes: Classes) -> tuple[torch.Tensor, ...]:
    """`triton_kernels.class_sums` in plain torch."""
    parts = [_sums_of(logits[lo : lo + ROWS], temperature, classes) for lo in range(0, len(logits), ROWS)]
    high, token, total, moment = (torch.cat(column) for column in zip(*parts, strict=True))
    return high, token, total, moment


def _sums_of(logits: torch.Tensor, temperature: float, classes: Classes) -> tuple[torch.Tensor, ...]:
    own = logits.float()
    bad = own.isnan() | (own == torch.inf)
    x = own.clamp_min(FLOOR).masked_fill(bad, 0.0)
    (n, V), C, ids = x.shape, classes.count, classes.of[None].expand(len(x), -1)
    high = torch.full((n, C), -torch.inf, device=x.device).scatter_reduce(1, ids, x, "amax")
    relative = (x - high.gather(1, ids)).double() / temperature  # to the best of its own class: no class underflows
    weight = relative.exp()
    # in float64: added one by one, float32 sums of a large class lose 3e-4 and more
    none = torch.zeros((n, C), device=x.device, dtype=torch.float64)
    total, moment = none.scatter_add(1, ids, weight), none.scatter_add(1, ids, weight * relative)
    token = torch.arange(V, device=x.device)[None].expand(n, -1)
    best = torch.full((n, C), V, device=x.device, dtype=torch.int64)
    best = best.scatter_reduce(1, ids, token.masked_fill(relative < 0, V), "amin")
    spoilt = none.scatter_add(1, ids, bad.double()) > 0
    return high.masked_fill(spoilt, torch.nan), best.int(), total, moment


def draw_in_torch(
    logits: torch.Tensor, temperature: float, classes: Classes, ranges: torch.Tensor, high: torch.Tensor,
    uniform: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """`triton_kernels.draw` in plain torch."""
    out = []
    place = torch.arange(logits.shape[1], device=logits.device)
    order = classes.token.long()
    for lo in range(0, len(logits), ROWS):
        some = slice(lo, lo + ROWS)
        x = (logits[some][:, order].float().clamp_min(FLOOR) - high[some, None]) / temperature
        first, end = ranges[some, :1], ranges[some, 1:]
        weight = x.exp().double().masked_fill((place < first) | (place >= end), 0.0)
        running = weight.cumsum(1)
        goal = uniform[some, None] * running[:, -1:]
        at = torch.searchsorted(running, goal, right=True)[:, 0]
        out.append(order[at.clamp_max(x.shape[1] - 1)])
    return torch.cat(out).int()
