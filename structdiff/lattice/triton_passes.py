"""The lattice's passes as Triton kernels: backward, forward, maximum and the marginals of many rows at once.

These are the passes of `structdiff.lattice.kernels` (Rabiner, "A tutorial on hidden Markov models and selected
applications in speech recognition", Proc. IEEE 77(2), 1989, sections III.A and III.B) for a device that holds the
weights. Triton's interpreter has checked what they compute; they have never run on a GPU, and the sampler does not use
them.

One program stays with a row and a pass for all layers: a layer waits for the one before it at a barrier of its own
block, so that no kernel is launched per layer. The forward pass needs nothing of the backward pass, and both of them
run beside the maximum; the marginals follow with one program per row and position. Sums run over the segments of
`structdiff.lattice.device_frames`, in an order that is always the same: nothing is added by atomic operations.

Probabilities are the pairs m * 2^(256 k) of `structdiff.lattice.kernels`, so no edge costs an exponential and nothing
under- or overflows. A segment is added up relative to the largest k among its terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from structdiff.lattice.device_frames import DeviceFrames
from structdiff.lattice.kernels import LOG_UNIT

TILE = 2048
"""Terms that a program reads at once: 2048 / 8 segments x 8, or 8 wide segments x 2048 / 8."""
WARPS = 16
NOTHING = tl.constexpr(-(1 << 61))
"""k of no mass at all; m is 0 there. 256 layers of labels that a certain token excludes end at -2^60."""
NOWHERE = tl.constexpr(2147483647)
PASSES = 3


@triton.jit
def _lowered(m, d):
    """m * 2^(256 d) for d <= 0; what lies three units below is left out, as on the host."""
    less = tl.where(d == -1, m * 2.0**-256, tl.where(d == -2, m * 2.0**-512, 0.0))
    return tl.where(d == 0, m, less)


@triton.jit
def _normal(m, k):
    """The same pair with m in [2^-128, 2^128); a sum is at most one unit away from it."""
    above, below = m >= 2.0**128, m < 2.0**-128
    k = tl.where(above, k + 1, tl.where(below, k - 1, k))
    m = tl.where(above, m * 2.0**-256, tl.where(below, m * 2.0**256, m))
    return m, tl.where(m > 0, k, NOTHING)


@triton.jit
def _sums(lo, hi, first, second, m1, k1, m2, k2, R: tl.constexpr, Q: tl.constexpr):
    """The pairs sum over e in lo..hi of (m1, k1)[first[e]] * (m2, k2)[second[e]], for R segments, Q terms at a time.

    Every lane keeps a sum of its own, relative to the largest k it has seen; they are joined at the end."""
    lane = tl.arange(0, Q)
    top = tl.full([R, Q], NOTHING, tl.int64)
    total = tl.zeros([R, Q], tl.float64)
    for j in range(0, tl.max(hi - lo, 0), Q):
        e = lo[:, None] + (j + lane)[None, :]
        inside = e < hi[:, None]
        a = tl.load(first + e, mask=inside, other=0)
        b = tl.load(second + e, mask=inside, other=0)
        m = tl.load(m1 + a, mask=inside, other=0.0) * tl.load(m2 + b, mask=inside, other=0.0)
        k = tl.load(k1 + a, mask=inside, other=0) + tl.load(k2 + b, mask=inside, other=0)
        k = tl.where(m > 0, k, NOTHING)
        new = tl.maximum(top, k)
        total = _lowered(total, top - new) + _lowered(m, k - new)
        top = new
    peak = tl.max(top, 1)
    return _normal(tl.sum(_lowered(total, top - peak[:, None]), 1), peak)


@triton.jit
def _segments(q, hi, item, segment_at, R: tl.constexpr):
    """R items from q on: whether each is there, what it is, and where its segment begins and ends."""
    place = q + tl.arange(0, R)
    real = place < hi
    s = tl.load(item + place, mask=real, other=0)
    lo = tl.load(segment_at + s, mask=real, other=0)
    end = tl.load(segment_at + s + 1, mask=real, other=0)
    return real, s, lo, end


@triton.jit
def _some_states(
    q, hi, item, segment_at, first, second, weight, weight_k, there, there_k, here, here_k, R: tl.constexpr,
    Q: tl.constexpr,
):  # fmt: skip
    """The masses of R live states of a layer, the items q.. of it."""
    real, s, lo, end = _segments(q, hi, item, segment_at, R)
    m, k = _sums(lo, end, first, second, there, there_k, weight, weight_k, R, Q)
    tl.store(here + s, m, mask=real)
    tl.store(here_k + s, k, mask=real)


@triton.jit
def _some_values(q, hi, item, segment_at, first, second, best, there, here, R: tl.constexpr, Q: tl.constexpr):
    """The best scores behind R live states of a layer, the items q.. of it."""
    real, s, lo, end = _segments(q, hi, item, segment_at, R)
    lane = tl.arange(0, Q)
    high = tl.full([R, Q], -float("inf"), tl.float64)
    for j in range(0, tl.max(end - lo, 0), Q):
        e = lo[:, None] + (j + lane)[None, :]
        inside = e < end[:, None]
        a = tl.load(first + e, mask=inside, other=0)
        b = tl.load(second + e, mask=inside, other=0)
        x = tl.load(there + a, mask=inside, other=-float("inf")) + tl.load(best + b, mask=inside, other=0.0)
        high = tl.maximum(high, x)
    tl.store(here + s, tl.max(high, 1), mask=real)


@triton.jit
def _path(n, labels, states, start, segment_at, first, second, best, value, out, state_out, TILE: tl.constexpr):
    """From the start along the edges that attain the value, the first of equals; -1 where there is no path."""
    lane = tl.arange(0, TILE)
    s = start.to(tl.int32)
    some = tl.load(value + start) > -float("inf")
    for i in range(0, n):
        goal = tl.where(some, tl.load(value + i * states + s), float("inf"))
        lo, hi = tl.load(segment_at + s), tl.load(segment_at + s + 1)
        found = tl.full([], NOWHERE, tl.int32)
        for e in range(lo, hi, TILE):
            inside = e + lane < hi
            a = tl.load(first + e + lane, mask=inside, other=0)
            b = tl.load(second + e + lane, mask=inside, other=0)
            x = tl.load(value + (i + 1) * states + a, mask=inside, other=-float("inf"))
            x += tl.load(best + i * labels + b, mask=inside, other=0.0)
            found = tl.minimum(found, tl.min(tl.where(inside & (x >= goal), (e + lane).to(tl.int32), NOWHERE), 0))
        there = found < NOWHERE
        tl.store(out + i, tl.load(second + found, mask=there, other=-1))
        s = tl.load(first + found, mask=there, other=0)
    tl.store(state_out, tl.where(some, s, -1))


@triton.jit
def _walk(
    rows, at, wide, item, segment_at, first, second, weight, weight_k, best, mass, mass_k, value, out, position_at,
    state_out, layers_size, item_size, segment_size, edge_size, cells, COLUMNS: tl.constexpr, WIDE_R: tl.constexpr,
    R: tl.constexpr, Q: tl.constexpr,
):  # fmt: skip
    """One program per (row, pass): 0 backward, 1 forward, 2 the maximum, from layer to layer."""
    row = tl.program_id(0)
    kind = tl.program_id(1)
    order = tl.where(kind == 1, 1, 0).to(tl.int64)  # the forward pass adds up the edges into a state
    f = rows + row * COLUMNS
    n, states, labels, start = tl.load(f), tl.load(f + 1), tl.load(f + 2), tl.load(f + 3)
    at += tl.load(f + 4)
    wide += order * layers_size + tl.load(f + 4)
    segment_at += order * segment_size + tl.load(f + 5)
    first += order * edge_size + tl.load(f + 6)
    second += order * edge_size + tl.load(f + 6)
    item += order * item_size + tl.load(f + 9)
    weight += tl.load(f + 10)
    weight_k += tl.load(f + 10)
    best += tl.load(f + 10)
    mass += order * cells + tl.load(f + 11)
    mass_k += order * cells + tl.load(f + 11)
    value += tl.load(f + 11)
    for step in range(0, n):
        back = n - 1 - step
        i = tl.where(kind == 1, step, back)
        here = tl.where(kind == 1, step + 1, back)
        there = tl.where(kind == 1, step, back + 1)
        lo, hi = tl.load(at + here), tl.load(at + here + 1)
        middle = lo + tl.load(wide + here)
        w = i * labels
        to, by = here * states, there * states
        if kind == 2:
            for q in range(lo, middle, WIDE_R):
                _some_values(
                    q, middle, item, segment_at, first, second, best + w, value + by, value + to, WIDE_R, R
                )  # fmt: skip
            for q in range(middle, hi, R):
                _some_values(q, hi, item, segment_at, first, second, best + w, value + by, value + to, R, Q)
        else:
            for q in range(lo, middle, WIDE_R):
                _some_states(
                    q, middle, item, segment_at, first, second, weight + w, weight_k + w, mass + by, mass_k + by,
                    mass + to, mass_k + to, WIDE_R, R,
                )  # fmt: skip
            for q in range(middle, hi, R):
                _some_states(
                    q, hi, item, segment_at, first, second, weight + w, weight_k + w, mass + by, mass_k + by,
                    mass + to, mass_k + to, R, Q,
                )  # fmt: skip
        tl.debug_barrier()  # the next layer reads what this one wrote
    if kind == 2:
        _path(
            n, labels, states, start, segment_at, first, second, best, value, out + tl.load(position_at + row),
            state_out + row, R * Q,
        )  # fmt: skip


@triton.jit
def _some_labels(
    q, hi, live, label_at, source, target, alpha, alpha_k, beta, beta_k, weight, weight_k, z, z_k, out,
    R: tl.constexpr, Q: tl.constexpr,
):  # fmt: skip
    """The posterior masses of R live labels of a position, the items q.. of it."""
    real, l, lo, end = _segments(q, hi, live, label_at, R)
    m, k = _sums(lo, end, source, target, alpha, alpha_k, beta, beta_k, R, Q)
    m *= tl.load(weight + l, mask=real, other=0.0)
    d = k + tl.load(weight_k + l, mask=real, other=0) - z_k
    # At most 1, since no marginal is above one; from -2 on it is below 2^-128.
    m = tl.where(d == 1, m * 2.0**256, _lowered(m, tl.minimum(d, 0))) / tl.where(z > 0, z, 1.0)
    tl.store(out + l, tl.where(z > 0, m, 0.0), mask=real)


@triton.jit
def _marginals(
    rows, live_at, live, label_at, source, target, weight, weight_k, mass, mass_k, out, layers_size, cells,
    COLUMNS: tl.constexpr, WIDE_R: tl.constexpr, R: tl.constexpr, Q: tl.constexpr,
):  # fmt: skip
    """One program per (row, position): alpha x weight x beta over the edges of each live label, over the whole mass."""
    row = tl.program_id(0)
    i = tl.program_id(1).to(tl.int64)
    f = rows + row * COLUMNS
    n, states, labels, start = tl.load(f), tl.load(f + 1), tl.load(f + 2), tl.load(f + 3)
    if i < n:
        layer = tl.load(f + 4) + i
        source += tl.load(f + 6)
        target += tl.load(f + 6)
        label_at += tl.load(f + 7)
        live += tl.load(f + 8)
        w = tl.load(f + 10) + i * labels
        cell = tl.load(f + 11)
        z, z_k = tl.load(mass + cell + start), tl.load(mass_k + cell + start)
        alpha, alpha_k = mass + cells + cell + i * states, mass_k + cells + cell + i * states
        beta, beta_k = mass + cell + (i + 1) * states, mass_k + cell + (i + 1) * states
        lo, middle = tl.load(live_at + layer), tl.load(live_at + layers_size + layer)
        hi = tl.load(live_at + 2 * layers_size + layer)
        for q in range(lo, middle, WIDE_R):
            _some_labels(
                q, middle, live, label_at, source, target, alpha, alpha_k, beta, beta_k, weight + w, weight_k + w, z,
                z_k, out + w, WIDE_R, R,
            )  # fmt: skip
        for q in range(middle, hi, R):
            _some_labels(
                q, hi, live, label_at, source, target, alpha, alpha_k, beta, beta_k, weight + w, weight_k + w, z, z_k,
                out + w, R, Q,
            )  # fmt: skip


@dataclass(frozen=True, eq=False)
class RowPasses:
    """What the passes find of one row of n positions, on its device.

    ``beta`` float64[places] and ``beta_k`` int64[places] are the mass behind each live state, in the frame's order;
    ``marginal`` float64[n, labels + 2] the posterior mass of each label; ``log_z`` float64[] the log of the whole mass
    in nats, -inf where no path of n positions exists. ``labels`` int32[n], ``state`` int32[] and ``score`` float64[]
    are the joint maximum, the state behind it and its log score in nats: -1, -1 and -inf where every path has a label
    of score -inf. A row without a path has masses of 0 and marginals of 0.
    """

    beta: torch.Tensor
    beta_k: torch.Tensor
    marginal: torch.Tensor
    log_z: torch.Tensor
    labels: torch.Tensor
    state: torch.Tensor
    score: torch.Tensor


def run_passes(
    frames: DeviceFrames,
    weight: Sequence[torch.Tensor],
    weight_k: Sequence[torch.Tensor],
    best: Sequence[torch.Tensor],
    tile: int = TILE,
) -> list[RowPasses]:
    """All passes of all rows: each row's ``weight`` float64[n, labels + 2] and ``weight_k`` int64 of the same shape are
    the pairs of `kernels.label_weights`, ``best`` float64 its log scores; 0 and -inf stand at labels that are not live.

    Beside the frames it takes 40 bytes for each of the (n + 1) * (S + 1) cells of a row. Raises `ValueError` where a
    tensor has not the shape, type or device of its frame, and where ``tile``, the terms a program reads at once, is no
    power of two from 64.

        placed = place_frames([lattice.frame], "cuda")
        found, = run_passes(placed, [weight], [weight_k], [best])
    """
    if tile < 64 or tile & (tile - 1):
        raise ValueError(f"tile must be a power of two from 64, not {tile}")
    device = frames.row.device
    given = [
        _joined(frames, name, rows, dtype)
        for name, rows, dtype in (
            ("weight", weight, torch.float64), ("weight_k", weight_k, torch.int64), ("best", best, torch.float64),
        )
    ]  # fmt: skip
    cells, rows = frames.cells, len(frames.frames)
    mass = torch.zeros((2, cells), dtype=torch.float64, device=device)
    mass_k = torch.full((2, cells), NOTHING.value, dtype=torch.int64, device=device)
    value = torch.full((cells,), -torch.inf, dtype=torch.float64, device=device)
    for order, where in enumerate((frames.end, frames.begin)):
        mass[order, where], mass_k[order, where] = 1.0, 0
    value[frames.end] = 0.0
    lengths = [frame.length for frame in frames.frames]
    position_at = torch.tensor([0, *lengths[:-1]], device=device).cumsum(0)
    labels = torch.full((sum(lengths),), -1, dtype=torch.int32, device=device)
    state = torch.full((rows,), -1, dtype=torch.int32, device=device)
    marginal = torch.zeros(frames.weights, dtype=torch.float64, device=device)
    shape = {"COLUMNS": frames.row.shape[1], "WIDE_R": 8, "R": tile // 8, "Q": 8, "num_warps": WARPS, "num_stages": 1}
    with torch.cuda.device_of(frames.row):  # a kernel starts on the thread's current device, whatever it is given
        _walk[(rows, PASSES)](
            frames.row, frames.at, frames.wide, frames.item, frames.segment_at, frames.first, frames.second, *given,
            mass, mass_k, value, labels, position_at, state, frames.wide.shape[1], frames.item.shape[1],
            frames.segment_at.shape[1], frames.first.shape[1], cells, **shape,
        )  # fmt: skip
        _marginals[(rows, frames.layers)](
            frames.row, frames.live_at, frames.live, frames.label_at, frames.source, frames.target, *given[:2], mass,
            mass_k, marginal, frames.live_at.shape[1], cells, **shape,
        )  # fmt: skip
    beta, beta_k = mass[0, frames.cell], mass_k[0, frames.cell]
    log_z = mass[0, frames.begin].log() + mass_k[0, frames.begin].double() * LOG_UNIT
    places = [len(frame.state) for frame in frames.frames]
    sizes = [frame.length * (frame.automaton.labels + 2) for frame in frames.frames]
    split = zip(
        frames.frames, beta.split(places), beta_k.split(places), marginal.split(sizes), log_z, labels.split(lengths),
        state, value[frames.begin], strict=True,
    )  # fmt: skip
    return [RowPasses(b, k, p.view(frame.length, -1), *rest) for frame, b, k, p, *rest in split]


def _joined(frames: DeviceFrames, name: str, rows: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
    """The tensors of all rows one after another, checked."""
    if len(rows) != len(frames.frames):
        raise ValueError(f"{name} has {len(rows)} rows, the frames {len(frames.frames)}")
    for number, (one, frame) in enumerate(zip(rows, frames.frames, strict=True)):
        shape = (frame.length, frame.automaton.labels + 2)
        if one.shape != shape or one.dtype != dtype or one.device != frames.row.device:
            raise ValueError(
                f"{name} of row {number} must be {dtype}{list(shape)} on {frames.row.device}, not "
                f"{one.dtype}{list(one.shape)} on {one.device}"
            )
    return torch.cat([one.reshape(-1) for one in rows])
