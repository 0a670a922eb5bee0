"""Seeded puzzles of every kind."""

from __future__ import annotations

import random

from structdiff.core.errors import InvalidSchema
from structdiff.puzzles import kinds
from structdiff.puzzles.kinds import KINDS, Puzzle
from structdiff.puzzles.texts import TEXT_KINDS

NAMES = (*KINDS, *TEXT_KINDS)
"""The names of all kinds."""


def make(name: str, seed: int, size: int | None = None, blanks: int | None = None) -> Puzzle:
    """A puzzle of any kind; the same seed gives the same puzzle. Raises `InvalidSchema` listing the kinds there are.

    ``size`` and ``blanks`` are for kinds on grids (`structdiff.puzzles.kinds.make`).

    >>> make("countdown", seed=1) == make("countdown", seed=1)
    True
    """
    if name not in NAMES:
        raise InvalidSchema(f"there is no puzzle kind {name!r}; the kinds are {', '.join(NAMES)}")
    if name in KINDS:
        return kinds.make(name, seed, size, blanks)
    if size is not None or blanks is not None:
        raise InvalidSchema(f"puzzles of kind {name!r} have neither size nor blanks; leave them out")
    return TEXT_KINDS[name].make(random.Random(f"{name} {seed}"))
