"""Frames of several rows on one device: what `structdiff.lattice.triton_passes` reads.

A pass adds up the terms of many segments: the edges of a state, the edges into a state, the edges of a label. The
segments of a layer are sorted by their length, so that those that are added up side by side are about as long: the
idea of sliced ELLPACK (Kreutzer et al., "A unified sparse matrix data format for efficient general sparse
matrix-vector multiplication on modern processors with wide SIMD units", SIAM J. Sci. Comput. 36(5), 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from structdiff.lattice.frame import Frame

FIELDS = ("layers", "states", "labels", "start", "at", "segment", "edge", "by_label", "live", "item", "weight", "cell")
"""The columns of `DeviceFrames.row`: n, S + 1, L + 2, the state before position 0, and where the row's part of each
concatenated array begins. `structdiff.lattice.triton_passes` reads them by their places."""
WIDE = 32
"""Segments of more terms than this are read by tiles of their own."""


@dataclass(frozen=True, eq=False)
class DeviceFrames:
    """The frames of rows, of any lengths and automata, as tensors on one device.

    ``row`` int64[rows, len(FIELDS)]; the others hold the rows' parts one after another. In ``segment_at`` int32[2, ...]
    and ``first``, ``second`` int32[2, ...] order 0 lists the edges by source as (target, label), order 1 by target as
    (source, label). ``label_at``, ``source``, ``target`` list them by label. ``at`` int64 and ``wide`` int32[2, ...]
    tell for each layer 0..n where its live states begin in ``item`` int32[2, ...], and how many of them come first
    because they have more than ``WIDE`` edges. ``live_at`` int64[3, ...] does so for the labels of position i in
    ``live``: begin, end of the wide ones, end. ``cell`` int64[places] is the cell (layer, state) of each live state in
    the frame's own order, ``end`` int64 the cells behind the last position, ``begin`` int64[rows] those before the
    first. ``cells`` and ``weights`` count the cells and the (position, label) pairs of all rows.
    """

    frames: tuple[Frame, ...]
    row: torch.Tensor
    at: torch.Tensor
    wide: torch.Tensor
    item: torch.Tensor
    segment_at: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    label_at: torch.Tensor
    source: torch.Tensor
    target: torch.Tensor
    live_at: torch.Tensor
    live: torch.Tensor
    cell: torch.Tensor
    end: torch.Tensor
    begin: torch.Tensor
    cells: int
    weights: int

    @property
    def layers(self) -> int:
        """The most positions of a row."""
        return max(frame.length for frame in self.frames)


def place_frames(frames: Sequence[Frame], device: torch.device | str, wide: int = WIDE) -> DeviceFrames:
    """Lay out frames for the passes on a device; done once, then for every step of the rows.

    >>> from structdiff.lattice.frame import build_frame
    >>> from structdiff.testing.tiny import tiny
    >>> frame = build_frame(tiny("ab|b"), start=0, length=2, left=0)
    >>> placed = place_frames([frame, frame], "cpu")
    >>> placed.layers, placed.row[:, FIELDS.index("layers")].tolist()
    (2, [2, 2])
    """
    if not frames:
        raise ValueError("there are no frames to place")
    rows, parts = [], [_Parts(frame, wide) for frame in frames]
    fields = dict.fromkeys(FIELDS, 0)
    cells: list[int] = []
    for part in parts:
        rows.append([part.n, part.states, part.labels, part.start, *(fields[name] for name in FIELDS[4:])])
        cells.append(fields["cell"])
        for name, size in part.sizes().items():
            fields[name] += size

    def placed(name: str, dtype: type = np.int32) -> torch.Tensor:
        joined = np.concatenate([getattr(part, name) for part in parts], -1)
        return torch.from_numpy(np.ascontiguousarray(joined, dtype)).to(device)

    def indices(arrays: list[np.ndarray]) -> torch.Tensor:
        shifted = [array + cell for array, cell in zip(arrays, cells, strict=True)]
        return torch.from_numpy(np.concatenate(shifted).astype(np.int64)).to(device)

    return DeviceFrames(
        tuple(frames), torch.tensor(rows, dtype=torch.int64, device=device), placed("at", np.int64), placed("wide"),
        placed("item"), placed("segment_at"), placed("first"), placed("second"), placed("label_at"), placed("source"),
        placed("target"), placed("live_at", np.int64), placed("live"), indices([part.cell for part in parts]),
        indices([part.end for part in parts]), indices([np.array([part.start]) for part in parts]), fields["cell"],
        fields["weight"],
    )  # fmt: skip


class _Parts:
    """One frame's part of each array of `DeviceFrames`."""

    def __init__(self, frame: Frame, wide: int) -> None:
        self.n, self.start = frame.length, frame.start
        self.states, self.labels = len(frame.edge_at) - 1, frame.automaton.labels + 2
        target, label = frame.target.astype(np.int64), frame.label.astype(np.int64)
        source = np.repeat(np.arange(self.states), np.diff(frame.edge_at))
        incoming, of_label = np.argsort(target, kind="stable"), np.argsort(label, kind="stable")
        self.segment_at = np.stack([frame.edge_at, _begins(target, self.states)])
        self.first = np.stack([target, source[incoming]])
        self.second = np.stack([label, label[incoming]])
        self.label_at, self.source, self.target = _begins(label, self.labels), source[of_label], target[of_label]
        state = frame.state.astype(np.int64)
        layer = np.repeat(np.arange(self.n + 1), np.diff(frame.at))
        self.at = frame.at
        self.cell = layer * self.states + state
        self.end = self.cell[frame.at[self.n] :]
        orders = [_by_length(layer, state, np.diff(at), self.n + 2, wide) for at in self.segment_at]
        self.item, self.wide = (np.stack(column) for column in zip(*orders, strict=True))
        count = np.diff(self.label_at)
        blocks = len(frame.labels_at) - 1
        of_block = np.repeat(np.arange(blocks), np.diff(frame.labels_at))
        self.live, many = _by_length(of_block, frame.labels.astype(np.int64), count, blocks, wide)
        begin = frame.labels_at[frame.block]
        live_at = np.stack([begin, begin + many[frame.block], frame.labels_at[frame.block + 1]])
        self.live_at = np.pad(live_at, ((0, 0), (0, 2)))  # as long as ``at``

    def sizes(self) -> dict[str, int]:
        """How much of each array the row takes, by the names of `FIELDS`."""
        return {
            "at": self.n + 2, "segment": self.states + 1, "edge": len(self.source), "by_label": self.labels + 1,
            "live": len(self.live), "item": len(self.cell), "weight": self.n * self.labels,
            "cell": (self.n + 1) * self.states,
        }  # fmt: skip


def _begins(values: np.ndarray, count: int) -> np.ndarray:
    """int64[count + 1]: where each of the values 0..count - 1 begins in the sorted ``values``."""
    return np.concatenate([[0], np.cumsum(np.bincount(values, minlength=count))])


def _by_length(
    group: np.ndarray, item: np.ndarray, length: np.ndarray, groups: int, wide: int
) -> tuple[np.ndarray, np.ndarray]:
    """The items, the longest of each group first, and how many of each group are longer than ``wide``."""
    order = np.lexsort((-length[item], group))
    return item[order], np.bincount(group, length[item] > wide, groups).astype(np.int64)
