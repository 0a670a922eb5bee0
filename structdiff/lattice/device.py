"""The class reduction where the logits are: on an accelerator only [L, C] arrays cross to the host.

The same figures as `structdiff.lattice.reduction`, in float32 sums, a few rows at a time; the tokens of a draw are
chosen on the device too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from structdiff.automaton import TokenAutomaton
from structdiff.errors import GenerationError
from structdiff.lattice.reduction import FLOOR, Reduction, reduce_classes

ROWS = 32
"""Positions reduced at once: the largest temporaries are float32[ROWS, V]."""


def reduce_logits(
    logits: torch.Tensor, temperature: float, automaton: TokenAutomaton, class_of: torch.Tensor
) -> Reduction | DeviceReduction:
    """Reduce [n, V] logits of any floating type: on the CPU by the compiled kernel, elsewhere on their own device."""
    if logits.device.type == "cpu":
        host = logits.float().numpy()
        return reduce_classes(host, temperature, automaton.class_at, automaton.class_token)
    return reduce_on_device(logits, temperature, class_of, automaton.classes)


@dataclass(frozen=True, eq=False)
class DeviceReduction:
    """`Reduction` of logits that stay on their device; the arrays are on the host."""

    on_device: torch.Tensor
    temperature: float
    class_of: torch.Tensor
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
        rows = ("on_device", "mass", "top", "top_token", "mean", "log_z", "entropy", "argmax")
        changes: dict[str, Any] = {name: getattr(self, name)[:n] for name in rows}
        return replace(self, **changes)

    def draw(self, classes: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """int64[n]: a token of each position's class (-1: of all): inverse transform over the ids, in float64."""
        device = self.on_device.device
        wanted = torch.from_numpy(classes.astype(np.int64)).to(device)
        u = torch.from_numpy(uniform).to(device, torch.float64)
        out = []
        for lo in range(0, len(classes), ROWS):
            some = wanted[lo : lo + ROWS, None]
            x = self.on_device[lo : lo + ROWS].float().clamp_min(FLOOR) / self.temperature
            x = x.masked_fill((some >= 0) & (self.class_of[None] != some), -torch.inf)
            running = (x - x.amax(1, keepdim=True)).exp().to(u.dtype).cumsum(1)
            goal = u[lo : lo + ROWS, None] * running[:, -1:]
            out.append(torch.searchsorted(running, goal, right=True).clamp_max(x.shape[1] - 1)[:, 0])
        return torch.cat(out).cpu().numpy()


def reduce_on_device(logits: torch.Tensor, temperature: float, class_of: torch.Tensor, classes: int) -> DeviceReduction:
    """Reduce [n, V] logits to C classes on their device; raises `GenerationError` on NaN or +inf.

    >>> log = torch.tensor([[0.5, 0.25, 0.25]]).log()
    >>> r = reduce_on_device(log, 1.0, torch.tensor([1, 2, 2]), 3)
    >>> np.exp(r.mass).round(6).tolist(), r.argmax.tolist(), round(float(r.entropy[0]), 4)
    ([[0.0, 0.5, 0.5]], [0], 1.0397)
    """
    bad = (logits.isnan() | (logits == torch.inf)).any(1)
    parts = [_reduce_rows(logits[lo : lo + ROWS], temperature, class_of, classes) for lo in range(0, len(logits), ROWS)]
    if bad.any():
        raise GenerationError(
            f"the model's logits at canvas position {int(bad.nonzero()[0])} contain NaN or +inf; nothing can be drawn"
        )
    arrays = [torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)]
    return DeviceReduction(logits, temperature, class_of, *arrays)


def _reduce_rows(logits: torch.Tensor, temperature: float, class_of: torch.Tensor, C: int) -> tuple[torch.Tensor, ...]:
    x = logits.float().clamp_min(FLOOR) / temperature
    (n, V), ids = x.shape, class_of[None].expand(len(x), -1)
    peak = x.amax(1, keepdim=True)
    top = torch.full((n, C), -torch.inf, device=x.device).scatter_reduce(1, ids, x, "amax")
    relative = x - top.gather(1, ids)  # to the best token of its own class: no class underflows
    weight = relative.exp()
    total = torch.zeros((n, C), device=x.device).scatter_add(1, ids, weight)
    moment = torch.zeros((n, C), device=x.device).scatter_add(1, ids, weight * relative)
    token = torch.arange(V, device=x.device)[None].expand(n, -1)
    best = torch.full((n, C), V, device=x.device, dtype=torch.int64)
    best = best.scatter_reduce(1, ids, token.masked_fill(relative < 0, V), "amin")
    empty = total == 0
    top, total, moment = top.double(), total.double(), moment.double()
    mass = top + total.log()
    log_z = torch.logsumexp(mass.masked_fill(empty, -torch.inf), 1, keepdim=True)
    mass = (mass - log_z).masked_fill(empty, -torch.inf)
    mean = (top - log_z + moment / total).masked_fill(empty, 0.0)
    entropy = -(mass.exp() * mean).sum(1).clamp_max(0.0)
    argmax = token.masked_fill(x < peak, V).amin(1)
    top_token = best.masked_fill(empty, -1)
    return mass, top - log_z, top_token.int(), mean, log_z[:, 0], entropy, argmax.int()
