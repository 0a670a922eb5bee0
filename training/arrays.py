"""Where an answer decides that an array ends or goes on: few tokens, on which everything behind them depends.

A model that is sure of every value and unsure here writes the last element again and again. So these tokens count more.
"""

from __future__ import annotations

from collections.abc import Sequence

WEIGHT = 4.0
"""How much more such a token counts in the training loss than another."""


def array_borders(text: str) -> list[int]:
    """The offsets in JSON text of the comma or bracket behind each element of an array.

    >>> text = '{"a": [1, {"b": [], "c": ","}], "d": 2}'
    >>> [(at, text[at]) for at in array_borders(text)]
    [(8, ','), (17, ']'), (29, ']')]
    """
    found, open_arrays, quoted, escaped = [], [], False, False
    for at, char in enumerate(text):
        if quoted:
            escaped, quoted = char == "\\" and not escaped, char != '"' or escaped
        elif char == '"':
            quoted = True
        elif char in "[{":
            open_arrays.append(char == "[")
        elif char in "]}":
            if open_arrays.pop():
                found.append(at)
        elif char == "," and open_arrays and open_arrays[-1]:
            found.append(at)
    return found


def deciding(text: str, spans: Sequence[tuple[int, int]]) -> frozenset[int]:
    """Which tokens of ``text``, by their (start, end) in it, hold an array's border.

    >>> sorted(deciding("[1, 2]", [(0, 1), (1, 2), (2, 4), (4, 5), (5, 6)]))
    [2, 4]
    """
    borders = array_borders(text)
    return frozenset(
        number for number, (start, end) in enumerate(spans) if any(start <= border < end for border in borders)
    )
