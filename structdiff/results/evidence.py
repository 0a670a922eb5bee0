"""Where in its text the values of an answer stand, found by search: what a person looks at to believe them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from structdiff.core.json_spans import pointer_of

Places = Sequence[tuple[int, int]]
"""Where something stands in a text, in order: (start, end) each."""


def find_spans(value: Any, text: str, known: Mapping[str, Places] | None = None) -> dict[str, tuple[int, int]]:
    """(start, end) of each string and number of a JSON value in a text, by JSON Pointer; what is not found is left out.

    A string is searched as it is, then without regard to case and to the kind of blanks; a number as a numeral of its
    own, thousands grouped or not. Of several places the first is taken that no earlier value has. ``known`` are the
    places of values that were taken from the text, by JSON Pointer: these are not searched.

    >>> find_spans({"name": "Ann", "age": 31, "city": "Bonn"}, "Ann, aged 31.")
    {'/name': (0, 3), '/age': (10, 12)}
    """
    known = known or {}
    every = {
        pointer: known.get(pointer) or [place for pattern in _patterns(leaf) for place in _places(pattern, text)]
        for pointer, leaf in _leaves(value, "")
    }
    return chosen(every)


def chosen(every: Mapping[str, Places]) -> dict[str, tuple[int, int]]:
    """Of the places of each value the first that no earlier value has; the first of all where there is none.

    >>> chosen({"/a": [(0, 3), (8, 11)], "/b": [(0, 3), (8, 11)], "/c": []})
    {'/a': (0, 3), '/b': (8, 11)}
    """
    found: dict[str, tuple[int, int]] = {}
    for pointer, places in every.items():
        taken = set(found.values())
        place = next((place for place in places if place not in taken), places[0] if places else None)
        if place is not None:
            found[pointer] = place
    return found


def _leaves(value: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(part, pointer_of(pointer, name))
    else:
        yield pointer, value


def _patterns(leaf: Any) -> list[re.Pattern[str]]:
    if isinstance(leaf, str) and leaf.strip():
        words = r"\s+".join(map(re.escape, leaf.split()))
        return [re.compile(_whole(re.escape(leaf), leaf)), re.compile(_whole(words, leaf), re.IGNORECASE)]
    if isinstance(leaf, int | float) and not isinstance(leaf, bool):
        return [re.compile(_numeral(leaf))]
    return []


def _whole(pattern: str, text: str) -> str:
    """The pattern between word boundaries where the text begins and ends with a letter or digit."""
    words = text.strip()
    left, right = r"(?<!\w)" if words[0].isalnum() else "", r"(?!\w)" if words[-1].isalnum() else ""
    return f"{left}{pattern}{right}"


def _numeral(number: int | float) -> str:
    whole, _, part = format(abs(number), ".15g" if isinstance(number, float) else "d").partition(".")
    if not whole.isdigit() or (part and not part.isdigit()):  # an exponent
        return re.escape(str(number))
    groups = "".join(
        rf"[.,'\u2019\u202f\xa0 ]?{d}" if i and (len(whole) - i) % 3 == 0 else d for i, d in enumerate(whole)
    )
    fraction = rf"[.,]{part}0*" if part else r"(?:[.,]0+)?"
    sign = r"[-\u2212]" if number < 0 else r"(?<!(?<!\w)[-\u2212])"  # 2019-2022 is a range, no negative number
    return rf"(?<!\w)(?<!\d[.,]){sign}{groups}{fraction}(?!\d|[.,]\d)"


def _places(pattern: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    return [match.span() for match in pattern.finditer(text)]
