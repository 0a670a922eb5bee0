"""Several processes that run one model together: the first one decides a row, the others follow.

Each process of a tensor-parallel group holds the same logits and the same canvases. A row is decided once, on rank 0,
and what the model reads next is sent to the others. So a difference in the last bit of a logit, or in the speed of a
machine, cannot lead to two canvases.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch


class Ranks(Protocol):
    """A group of processes; ``rank`` is this one's number in it."""

    rank: int

    def share(self, values: np.ndarray) -> np.ndarray:
        """Rank 0's int64 array, on every rank; the others give one of the same shape."""


class Alone:
    """One process.

    >>> Alone().share(np.array([3])).tolist()
    [3]
    """

    rank = 0

    def share(self, values: np.ndarray) -> np.ndarray:
        return values


class Group:
    """The processes of a `torch.distributed` group on the host; ``first`` is the global rank of its rank 0."""

    def __init__(self, group: Any, rank: int, first: int) -> None:
        self.group, self.rank, self.first = group, rank, first

    def share(self, values: np.ndarray) -> np.ndarray:
        sent = torch.from_numpy(np.ascontiguousarray(values, np.int64))
        torch.distributed.broadcast(sent, src=self.first, group=self.group)
        return sent.numpy()


class FollowedRow:
    """A row that rank 0 decides, as `EngineRow` looks to an engine: it shows what was sent.

    >>> row = FollowedRow("r", length=3, end=9)
    >>> row.follow(np.array([1, 4, 9, 9]))
    >>> row.done, row.shown.tolist()
    (True, [4, 9, 9])
    """

    def __init__(self, name: str, *, length: int, end: int) -> None:
        self.name, self.length, self.end = name, length, end
        self.done = False
        self.shown = np.full(length, end, np.int64)

    def consider_ahead(self, logits: torch.Tensor) -> None:
        """Nothing: rank 0 considers."""

    def observe(self, logits: torch.Tensor) -> None:
        """Nothing: rank 0 observes."""

    def committed(self, count: int, length: int | None = None) -> None:
        """The canvas was written; what the next one holds is sent."""
        self.done, self.length = False, length or self.length

    def follow(self, sent: np.ndarray) -> None:
        """Take what `told` made of the row on rank 0."""
        self.done, self.shown = bool(sent[0]), sent[1 : 1 + self.length].copy()


def told(row: Any, width: int) -> np.ndarray:
    """int64[1 + width]: whether a row is done, and what it shows.

    >>> told(FollowedRow("r", length=2, end=9), 3).tolist()
    [0, 9, 9, 0]
    """
    line = np.zeros(1 + width, np.int64)
    line[0], line[1 : 1 + row.length] = row.done, row.shown
    return line
