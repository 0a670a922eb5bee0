"""Which element of a predicted array belongs to which of the gold array, given how well each pair agrees."""

from __future__ import annotations

from collections.abc import Sequence

Scores = Sequence[Sequence[int]]
"""``scores[i][j]`` tells how well gold element i and predicted element j agree; no score is negative."""


def align_in_order(scores: Scores) -> list[int | None]:
    """The predicted element of each gold element, order kept: the most agreement, then the most pairs.

    >>> align_in_order([[0, 0], [1, 0]])
    [None, 0]
    """
    rows, columns = len(scores), len(scores[0]) if scores else 0
    unit = min(rows, columns) + 1
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            paired = best[i + 1][j + 1] + scores[i][j] * unit + 1
            best[i][j] = max(paired, best[i + 1][j], best[i][j + 1])
    pairs: list[int | None] = [None] * rows
    i = j = 0
    while i < rows and j < columns:
        if best[i][j] == best[i + 1][j + 1] + scores[i][j] * unit + 1:
            pairs[i] = j
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def assign(scores: Scores) -> list[int | None]:
    """The predicted element of each gold element, in any order: the most agreement, then the least displacement.

    As many pairs as the shorter side has elements are made, those without any agreement too.

    >>> assign([[0, 3], [2, 0], [0, 1]])
    [1, 0, None]
    """
    rows, columns = len(scores), len(scores[0]) if scores else 0
    if not rows or not columns:
        return [None] * rows
    unit = rows * columns + 1  # above what all displacements sum to
    costs = [[abs(i - j) - scores[i][j] * unit for j in range(columns)] for i in range(rows)]
    if rows <= columns:
        return list(_cheapest(costs))
    pairs: list[int | None] = [None] * rows
    for j, i in enumerate(_cheapest([list(column) for column in zip(*costs, strict=True)])):
        pairs[i] = j
    return pairs


def _cheapest(costs: list[list[int]]) -> list[int]:
    """The column of each row at the least total cost (Hungarian method); there are no more rows than columns."""
    rows, columns = len(costs), len(costs[0])
    row_price, column_price = [0] * rows, [0] * columns
    row_of: list[int] = [-1] * columns
    for start in range(rows):
        least: list[float] = [float("inf")] * columns
        came_from = [-1] * columns
        done = [False] * columns
        row, last = start, -1
        while True:  # a shortest path from the row ``start`` to a column that no row has yet
            for j in range(columns):
                reduced = costs[row][j] - row_price[row] - column_price[j]
                if not done[j] and reduced < least[j]:
                    least[j], came_from[j] = reduced, last
            last = min((j for j in range(columns) if not done[j]), key=least.__getitem__)
            step = int(least[last])
            row_price[start] += step
            for j in range(columns):
                if done[j]:
                    row_price[row_of[j]] += step
                    column_price[j] -= step
                else:
                    least[j] -= step
            done[last] = True
            if row_of[last] < 0:
                break
            row = row_of[last]
        while last >= 0:  # the columns on the path change hands
            before = came_from[last]
            row_of[last] = start if before < 0 else row_of[before]
            last = before
    found = [0] * rows
    for j, row in enumerate(row_of):
        if row >= 0:
            found[row] = j
    return found
