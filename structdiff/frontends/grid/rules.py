"""Rules of grids. Each is a small layered automaton over the letters of its cells, in the order the rule lists them.

One form serves three uses: arc consistency and beliefs by forward and backward passes, and the exact search. A cell is
``(row, column)``.

>>> machine = Less((0, 0), (0, 1)).machine("123")
>>> machine.accepts([0, 1]), machine.accepts([1, 1])
(True, False)
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from structdiff.core.errors import InvalidSchema

Cell = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Machine:
    """Layered automaton of n cells: ``next[i][s, a]`` is the state behind letter ``a`` (-1: none); state 0 begins.

    All states of the last layer accept. ``all_different`` marks the rule that the search knows by itself.
    """

    next: tuple[np.ndarray, ...]
    all_different: bool = False

    def accepts(self, letters: Sequence[int]) -> bool:
        """Do these letters, by number, satisfy the rule?"""
        state = 0
        for table, letter in zip(self.next, letters, strict=True):
            state = int(table[state, letter])
            if state < 0:
                return False
        return True


class Rule(Protocol):
    """What a grid asks of a rule: its cells in order, and its automaton over an alphabet."""

    @property
    def cells(self) -> tuple[Cell, ...]: ...

    def machine(self, alphabet: str) -> Machine: ...


def unfold(
    length: int,
    letters: int,
    start: Hashable,
    step: Callable[[Any, int, int], Any],
    accept: Callable[[Any], bool],
    all_different: bool = False,
) -> Machine:
    """The layered automaton of ``step(state, letter, place) -> state or None``, with the states that reach acceptance.

    >>> unfold(2, 2, 0, lambda s, a, i: s + a, lambda s: s == 1).accepts([1, 0])
    True
    """
    layers: list[list[Hashable]] = [[start]]
    tables: list[np.ndarray] = []
    for place in range(length):
        index: dict[Hashable, int] = {}
        table = np.full((len(layers[-1]), letters), -1, np.int64)
        for number, state in enumerate(layers[-1]):
            for letter in range(letters):
                target = step(state, letter, place)
                if target is not None and (place + 1 < length or accept(target)):
                    table[number, letter] = index.setdefault(target, len(index))
        layers.append(list(index))
        tables.append(table)
    return Machine(tuple(tables), all_different)


@dataclass(frozen=True)
class AllDifferent:
    """No letter twice in ``cells``.

    >>> AllDifferent(((0, 0), (0, 1))).machine("12").accepts([0, 0])
    False
    """

    cells: tuple[Cell, ...]

    def machine(self, alphabet: str) -> Machine:
        if len(self.cells) > 12:
            raise InvalidSchema(f"AllDifferent over {len(self.cells)} cells is too large; at most 12")
        return unfold(
            len(self.cells), len(alphabet), 0,
            lambda s, a, i: None if s >> a & 1 else s | 1 << a, lambda s: True, all_different=True,
        )  # fmt: skip


@dataclass(frozen=True)
class Total:
    """The digits in ``cells`` add up to ``total``; with ``distinct`` no digit comes twice, and only digits
    can stand there.

    >>> Total(((0, 0), (0, 1)), 4, distinct=True).machine("123").accepts([1, 1])
    False
    """

    cells: tuple[Cell, ...]
    total: int
    distinct: bool = False

    def machine(self, alphabet: str) -> Machine:
        if not any(letter.isdecimal() for letter in alphabet):
            raise InvalidSchema(f"Total needs digits, but the alphabet is {alphabet!r}")

        def step(state: Any, letter: int, place: int) -> Any:
            if not alphabet[letter].isdecimal():
                return None
            done, used = state
            done += int(alphabet[letter])
            if done > self.total or (self.distinct and used >> letter & 1):
                return None
            return done, used | 1 << letter if self.distinct else 0

        return unfold(len(self.cells), len(alphabet), (0, 0), step, lambda s: s[0] == self.total)


@dataclass(frozen=True)
class Less:
    """The letter in ``low`` stands before the letter in ``high`` in the alphabet."""

    low: Cell
    high: Cell

    @property
    def cells(self) -> tuple[Cell, ...]:
        return self.low, self.high

    def machine(self, alphabet: str) -> Machine:
        return unfold(
            2, len(alphabet), -1, lambda s, a, i: a if i == 0 else 0 if s < a else None, lambda s: True
        )  # fmt: skip


@dataclass(frozen=True)
class Balanced:
    """Every letter comes equally often in ``cells``, and never more than ``run`` times in a row.

    >>> Balanced(((0, 0), (0, 1)), run=2).machine("01").accepts([1, 0])
    True
    """

    cells: tuple[Cell, ...]
    run: int = 2

    def machine(self, alphabet: str) -> Machine:
        n, k = len(self.cells), len(alphabet)
        if n % k:
            raise InvalidSchema(f"Balanced: {n} cells cannot hold {k} letters equally often")

        def step(state: Any, letter: int, place: int) -> Any:
            counts, last, run = state
            run = run + 1 if letter == last else 1
            counts = tuple(c + (i == letter) for i, c in enumerate(counts))
            return None if run > self.run or counts[letter] > n // k else (counts, letter, run)

        return unfold(n, k, ((0,) * k, -1, 0), step, lambda s: True)


@dataclass(frozen=True)
class Differ:
    """Two lines of cells are not the same; a pair of cells makes them adjacent cells that differ.

    >>> Differ(((0, 0),), ((0, 1),)).machine("01").accepts([1, 1])
    False
    """

    one: tuple[Cell, ...]
    other: tuple[Cell, ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(cell for pair in zip(self.one, self.other, strict=True) for cell in pair)

    def machine(self, alphabet: str) -> Machine:
        def step(state: Any, letter: int, place: int) -> Any:
            differs, pending = state
            return (differs, letter) if place % 2 == 0 else (differs or letter != pending, -1)

        return unfold(2 * len(self.one), len(alphabet), (False, -1), step, lambda s: bool(s[0]))


@dataclass(frozen=True)
class Runs:
    """The clue of a nonogram line: the lengths of the runs of ``filled``, in order.

    >>> Runs(((0, 0), (0, 1), (0, 2)), (1, 1), "1").machine("01").accepts([1, 0, 1])
    True
    """

    cells: tuple[Cell, ...]
    runs: tuple[int, ...]
    filled: str

    def machine(self, alphabet: str) -> Machine:
        on = alphabet.index(self.filled)

        def step(state: Any, letter: int, place: int) -> Any:
            run, inside = state
            if letter == on:
                return (run, inside + 1) if run < len(self.runs) and inside < self.runs[run] else None
            if inside:
                return (run + 1, 0) if inside == self.runs[run] else None
            return state

        def accept(state: Any) -> bool:
            run, inside = state
            return (run == len(self.runs) and not inside) or (run == len(self.runs) - 1 and inside == self.runs[run])

        return unfold(len(self.cells), len(alphabet), (0, 0), step, accept)


@dataclass(frozen=True)
class Words:
    """The letters in ``cells`` spell one of ``words``.

    >>> Words(((0, 0), (0, 1)), ("ab",)).machine("ab").accepts([0, 0])
    False
    """

    cells: tuple[Cell, ...]
    words: tuple[str, ...]

    def machine(self, alphabet: str) -> Machine:
        n = len(self.cells)
        prefixes = {word[:i] for word in self.words if len(word) == n for i in range(n + 1)}

        def step(state: Any, letter: int, place: int) -> Any:
            text = f"{state}{alphabet[letter]}"
            return text if text in prefixes else None

        return unfold(n, len(alphabet), "", step, lambda s: True)


def lines(rows: int, columns: int) -> list[tuple[Cell, ...]]:
    """The cells of every row, then of every column.

    >>> lines(1, 2)
    [((0, 0), (0, 1)), ((0, 0),), ((0, 1),)]
    """
    across = [tuple((y, x) for x in range(columns)) for y in range(rows)]
    return across + [tuple((y, x) for y in range(rows)) for x in range(columns)]


def boxes(size: int, height: int, width: int) -> list[tuple[Cell, ...]]:
    """The cells of every box of ``height`` by ``width`` in a square grid.

    >>> boxes(2, 1, 2)
    [((0, 0), (0, 1)), ((1, 0), (1, 1))]
    """
    tops = [(y, x) for y in range(0, size, height) for x in range(0, size, width)]
    return [tuple((y + i, x + j) for i in range(height) for j in range(width)) for y, x in tops]


def diagonals(size: int) -> list[tuple[Cell, ...]]:
    """The two diagonals of a square grid."""
    return [tuple((i, i) for i in range(size)), tuple((i, size - 1 - i) for i in range(size))]


def runs_of(line: str, filled: str) -> tuple[int, ...]:
    """The lengths of the runs of ``filled`` in a line.

    >>> runs_of("1101", "1")
    (2, 1)
    """
    return tuple(len(list(group)) for letter, group in groupby(line) if letter == filled)
