"""Scores of many texts counted together: shares with intervals, over all and by breadth, length, language and kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from structdiff.evaluation.scoring import KINDS, OUTCOMES, Leaf

ROUNDS = 2000
"""How many samples of texts a bootstrap interval is taken from."""
FEWEST = 5
"""Of fewer texts no bootstrap interval is given: it would be too narrow, of one text it is empty."""
Z = 1.959964  # the normal distribution's 0.975 quantile

BREADTHS = ((5, "to 5 leaves"), (10, "6 to 10"), (20, "11 to 20"), (40, "21 to 40"), (math.inf, "41 and more"))
LENGTHS = ((60, "to 60 words"), (150, "61 to 150"), (math.inf, "151 and more"))


@dataclass(frozen=True)
class Scored:
    """One text with its compared leaves; ``breadth`` is the number of leaves of its gold value.

    ``error`` is why there is no prediction, where there is none; all its leaves are omitted then.
    """

    id: str
    leaves: tuple[Leaf, ...]
    breadth: int
    words: int
    language: str = ""
    style: str = ""
    calls: int = 0
    seconds: float = 0.0
    error: str = ""

    @property
    def right(self) -> int:
        """How many leaves are right."""
        return sum(leaf.outcome == "right" for leaf in self.leaves)

    @property
    def exact(self) -> bool:
        """Whether all leaves are right, so that the value is the gold one as the rules judge."""
        return self.right == len(self.leaves)


@dataclass(frozen=True)
class Share:
    """A share and its 95 % interval; None for what too few texts, or nothing to count, do not give."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Row:
    """The counts of a group. ``accuracy`` is right leaves of all leaves, invented ones included, with an interval from
    resampling whole texts; ``of_gold`` is right leaves of the gold values' leaves; ``exact`` is texts with no leaf
    wrong, with Wilson's interval (the group of a kind of leaf has neither of these two)."""

    group: str
    name: str
    texts: int
    leaves: int
    right: int
    wrong: int
    invented: int
    omitted: int
    accuracy: Share
    of_gold: float | None = None
    exact: Share | None = None

    def as_json(self) -> dict[str, Any]:
        """The row as plain data."""
        return asdict(self)


def wilson(count: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share.

    >>> [round(end, 4) for end in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    share, spread = count / total, Z * Z / total
    middle = share + spread / 2
    half = Z * math.sqrt((share * (1 - share) + spread / 4) / total)
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def bootstrap(parts: Sequence[tuple[int, int]], rounds: int = ROUNDS, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of sum(right) / sum(all) over texts, each drawn with its (right, all), with replacement.

    >>> bootstrap([(3, 4), (3, 4)])
    (0.75, 0.75)
    """
    pairs = np.asarray(parts, dtype=np.float64)
    picks = np.random.default_rng(seed).integers(0, len(pairs), size=(rounds, len(pairs)))
    right, total = pairs[picks, 0].sum(axis=1), pairs[picks, 1].sum(axis=1)
    low, high = np.quantile(right[total > 0] / total[total > 0], [0.025, 0.975])
    return float(low), float(high)


def summarise(scored: Sequence[Scored]) -> list[Row]:
    """The row of all texts, then one for each group of them that occurs, then one for each kind of leaf.

    >>> leaf = Leaf("/name", "string", "right", "Ann", "Ann")
    >>> [(row.group, row.name, row.accuracy.value) for row in summarise([Scored("a", (leaf,), 1, 12, "en")])]
    ... # doctest: +NORMALIZE_WHITESPACE
    [('all', 'all', 1.0), ('breadth', 'to 5 leaves', 1.0), ('length', 'to 60 words', 1.0), ('language', 'en', 1.0),
     ('kind', 'string', 1.0)]
    """
    rows = [_texts_row("all", "all", scored)] if scored else []
    languages = sorted({one.language for one in scored if one.language}, key=lambda name: (name != "en", name))
    groups: list[tuple[str, Sequence[str], Callable[[Scored], str]]] = [
        ("breadth", [name for _, name in BREADTHS], lambda one: _bin(one.breadth, BREADTHS)),
        ("length", [name for _, name in LENGTHS], lambda one: _bin(one.words, LENGTHS)),
        ("language", languages, lambda one: one.language),
    ]
    if len(languages) > 2:
        groups.append(("language", ["other than en"], lambda one: "" if one.language == "en" else "other than en"))
    for group, names, name_of in groups:
        for name in names:
            inside = [one for one in scored if name_of(one) == name]
            if inside:
                rows.append(_texts_row(group, name, inside))
    for kind in KINDS:
        parts = [[leaf for leaf in one.leaves if leaf.kind == kind] for one in scored]
        if any(parts):
            rows.append(_row("kind", kind, [part for part in parts if part]))
    return rows


def _bin(value: int, bins: Sequence[tuple[float, str]]) -> str:
    return next(name for most, name in bins if value <= most)


def _row(group: str, name: str, parts: Sequence[Sequence[Leaf]]) -> Row:
    """The counts of the leaves of some texts; no part is empty."""
    pairs = [(sum(leaf.outcome == "right" for leaf in part), len(part)) for part in parts]
    right, wrong, invented, omitted = (sum(leaf.outcome == one for part in parts for leaf in part) for one in OUTCOMES)
    leaves = right + wrong + invented + omitted
    low, high = bootstrap(pairs) if leaves and len(pairs) >= FEWEST else (None, None)
    accuracy = Share(right / leaves if leaves else None, low, high)
    return Row(group, name, len(parts), leaves, right, wrong, invented, omitted, accuracy)


def _texts_row(group: str, name: str, scored: Sequence[Scored]) -> Row:
    row = _row(group, name, [one.leaves for one in scored])
    exact, breadth = sum(one.exact for one in scored), sum(one.breadth for one in scored)
    of_gold, share = row.right / breadth if breadth else None, exact / len(scored)
    return replace(row, of_gold=of_gold, exact=Share(share, *wilson(exact, len(scored))))
