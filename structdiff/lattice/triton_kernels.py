"""The class reduction and its draw as Triton kernels: the logits are read once, in their own type, and no temporary of
V numbers a position is written. `structdiff.lattice.device` has the same in plain torch.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from structdiff.lattice.device_classes import FEW, Classes
from structdiff.lattice.reduction_kernels import FLOOR

BLOCK = 2048
NEVER = tl.constexpr(-3.0e38)
"""Below every logit, and finite: differences of it are numbers."""


@triton.jit
def _class_sums(
    logits, stride, scale, floor, class_at, class_token, which, high_out, token_out, total_out, moment_out, C,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """One program per (class, position): every lane keeps the best, its token and the sums of the tokens it sees, all
    relative to its own best (Milakov and Gimelshein, "Online normalizer calculation for softmax", arXiv 1805.02867).

    Differences are scaled, never logits: a compiler may fuse x * scale - y, and what it gives is not 0 where both are
    the same product."""
    c = tl.load(which + tl.program_id(0))
    row = tl.program_id(1).to(tl.int64)
    lo, hi = tl.load(class_at + c), tl.load(class_at + c + 1)
    lane = tl.arange(0, BLOCK)
    high = tl.full([BLOCK], NEVER, tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    moment = tl.zeros([BLOCK], tl.float32)
    best = tl.full([BLOCK], 2147483647, tl.int32)
    bad = tl.zeros([BLOCK], tl.int32)
    for start in range(lo, hi, BLOCK):
        inside = start + lane < hi
        token = tl.load(class_token + start + lane, mask=inside, other=0)
        x = tl.load(logits + row * stride + token, mask=inside, other=NEVER).to(tl.float32)
        bad = tl.where((x != x) | (x == float("inf")), 1, bad)
        x = tl.maximum(x, floor)
        better = inside & (x > high)
        best = tl.where(better, token, best)
        new = tl.where(better, x, high)
        fall = tl.maximum((high - new) * scale, -1.0e4)  # exp of it is 0, and 0 * fall is 0
        keep = tl.exp(fall)
        d = tl.minimum((x - new) * scale, 0.0)
        e = tl.where(inside, tl.exp(d), 0.0)
        moment = keep * (moment + total * fall) + e * d
        total = keep * total + e
        high = new
    top = tl.max(high, 0)
    fall = tl.maximum((high - top) * scale, -1.0e4)
    keep = tl.exp(fall)
    at = row * C + c
    tl.store(high_out + at, tl.where(tl.max(bad, 0) > 0, float("nan"), top))
    tl.store(token_out + at, tl.min(tl.where(high == top, best, 2147483647), 0))
    tl.store(moment_out + at, tl.sum(keep * (moment + total * fall), 0))
    tl.store(total_out + at, tl.sum(keep * total, 0))


@triton.jit
def _draw(logits, stride, scale, floor, ranges, high_at, uniform, class_token, out, BLOCK: tl.constexpr):
    """One program per position: the weights of its class are summed, then scanned for the share ``uniform``."""
    row = tl.program_id(0).to(tl.int64)
    lo, hi = tl.load(ranges + 2 * row), tl.load(ranges + 2 * row + 1)
    high = tl.load(high_at + row)
    lane = tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], tl.float64)
    for start in range(lo, hi, BLOCK):
        inside = start + lane < hi
        token = tl.load(class_token + start + lane, mask=inside, other=0)
        x = tl.load(logits + row * stride + token, mask=inside, other=NEVER).to(tl.float32)
        total += tl.where(inside, tl.exp((tl.maximum(x, floor) - high) * scale), 0.0).to(tl.float64)
    goal = tl.load(uniform + row) * tl.sum(total, 0)
    running = tl.zeros([], tl.float64)
    found = tl.full([], 2147483647, tl.int32)
    last = tl.full([], -1, tl.int32)
    for start in range(lo, hi, BLOCK):
        inside = start + lane < hi
        token = tl.load(class_token + start + lane, mask=inside, other=0)
        x = tl.load(logits + row * stride + token, mask=inside, other=NEVER).to(tl.float32)
        e = tl.where(inside, tl.exp((tl.maximum(x, floor) - high) * scale), 0.0).to(tl.float64)
        behind = running + tl.cumsum(e, 0)
        place = (start + lane).to(tl.int32)
        found = tl.minimum(found, tl.min(tl.where((behind > goal) & (e > 0), place, 2147483647), 0))
        last = tl.maximum(last, tl.max(tl.where(e > 0, place, -1), 0))
        running += tl.sum(e, 0)
    place = tl.where(found < 2147483647, found, last)  # the scan and the sum may round apart
    tl.store(out + row, tl.load(class_token + place))


def class_sums(logits: torch.Tensor, temperature: float, classes: Classes) -> tuple[torch.Tensor, ...]:
    """(best logit [n, C], its token int32[n, C], sum of exp(d), sum of d exp(d)) of each class, where d is a logit less
    the best of its class, over the temperature; NaN for the best where a logit of the class is NaN or +inf."""
    n, C = len(logits), classes.count
    high, total, moment = (torch.empty((n, C), device=logits.device) for _ in range(3))
    token = torch.empty((n, C), dtype=torch.int32, device=logits.device)
    rows = logits if logits.stride(1) == 1 else logits.contiguous()
    for which, block, warps in zip(classes.by_size, (BLOCK, FEW), (8, 1), strict=True):
        if len(which):
            with torch.cuda.device_of(rows):  # a kernel starts on the thread's current device, whatever it is given
                _class_sums[(len(which), n)](
                    rows, rows.stride(0), 1.0 / temperature, FLOOR, classes.at, classes.token, which, high, token,
                    total, moment, C, BLOCK=block, num_warps=warps,
                )  # fmt: skip
    return high, token, total, moment


def draw(
    logits: torch.Tensor, temperature: float, classes: Classes, ranges: torch.Tensor, high: torch.Tensor,
    uniform: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """int32[n]: a token among those at the places ``ranges`` int32[n, 2] of the class order, whose best is ``high``."""
    out = torch.empty(len(logits), dtype=torch.int32, device=logits.device)
    rows = logits if logits.stride(1) == 1 else logits.contiguous()
    if len(logits):
        with torch.cuda.device_of(rows):
            _draw[(len(logits),)](
                rows, rows.stride(0), 1.0 / temperature, FLOOR, ranges, high, uniform, classes.token, out, BLOCK=BLOCK,
                num_warps=8,
            )  # fmt: skip
    return out
