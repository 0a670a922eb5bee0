"""Small helpers for sequences of token ids."""

from __future__ import annotations

from collections.abc import Sequence


def shared_start(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with.

    >>> shared_start([1, 2, 3], [1, 2, 4, 5]), shared_start([], [1])
    (2, 0)
    """
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
