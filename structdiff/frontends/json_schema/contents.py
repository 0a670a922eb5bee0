"""Which parts of a JSON document are equal, word for word: each part has the number of its content.

>>> contents = Contents()
>>> a, b = {"x": [1, True]}, {"x": [1, True]}
>>> contents.number(a) == contents.number(b), contents.number({"x": [1, 1]}) == contents.number(a)
(True, False)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCALARS = frozenset((str, int, float, bool, type(None)))
"""The types of what has no parts: asked first, since to ask whether something is a `Mapping` is slow."""


def _is_nested(part: Any) -> bool:
    return type(part) not in SCALARS and isinstance(part, Mapping | list | tuple)


class Contents:
    """Numbers contents; a part is looked into once. The keys of an object have an order."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._of: dict[int, int] = {}
        self._kept: list[Any] = []

    def number(self, part: Any) -> int:
        """The number of the content of ``part``, which stays as it is from now on."""
        known = self._of.get(id(part))
        if known is not None:
            return known
        if not _is_nested(part):
            return self._numbered((type(part), part))
        self._kept.append(part)  # keeping the part keeps the ids of all below unique
        pending = [part]
        while pending:  # no recursion: a document may be nested deeper than the interpreter follows
            one = pending[-1]
            inner = one.values() if isinstance(one, Mapping) else one
            missing = [below for below in inner if _is_nested(below) and id(below) not in self._of]
            if missing:
                pending.extend(missing)
                continue
            pending.pop()
            if id(one) in self._of:
                continue
            numbers = [
                self._numbered((type(below), below)) if type(below) in SCALARS or id(below) not in self._of
                else self._of[id(below)] for below in inner
            ]  # fmt: skip
            key = (tuple(one), *numbers) if isinstance(one, Mapping) else ("[", *numbers)
            self._of[id(one)] = self._numbered(key)
        return self._of[id(part)]

    def _numbered(self, key: Any) -> int:
        return self._numbers.setdefault(key, len(self._numbers))
