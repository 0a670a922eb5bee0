"""JSON texts of which every object has each of its keys once."""

from __future__ import annotations

import json
from typing import Any

from structdiff.core.errors import RepeatedKey
from structdiff.core.json_spans import pointer_of


def json_value(text: str) -> Any:
    """The value of a JSON text.

    Readers of JSON disagree about a key that is there twice, so such a text has no value: `RepeatedKey`.

    >>> json_value('{"a": [1]}')
    {'a': [1]}
    >>> json_value('{"x": 1, "x": 2}')
    Traceback (most recent call last):
    structdiff.core.errors.RepeatedKey: at /: the output has the key 'x' twice; try another seed, or list the keys
    """

    def plain(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            found = _repeated(json.loads(text, object_pairs_hook=_Pairs), "")
            assert found is not None
            raise RepeatedKey(text, *found)
        return members

    return json.loads(text, object_pairs_hook=plain)


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, repeated ones too."""


def _repeated(value: Any, at: str) -> tuple[str, str] | None:
    """(the pointer of the first object that has a key twice, the key)"""
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, member in value:
            if key in seen:
                return at, key
            seen.add(key)
            if (found := _repeated(member, pointer_of(at, key))) is not None:
                return found
    elif isinstance(value, list):
        for place, item in enumerate(value):
            if (found := _repeated(item, pointer_of(at, place))) is not None:
                return found
    return None
