"""Where in an output a validator of a class found something wrong.

>>> faults_of('{"pet": {"name": "x"}}', [{"loc": ("pet", "cat", "name"), "msg": "too short"}])
[('/pet/name', 'too short')]
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from structdiff.core.json_spans import pointer_of


def faults_of(text: str, errors: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(JSON Pointer, message) of each of Pydantic's errors.

    A location of Pydantic's also names the members of unions and the validators on the way; these steps are no part of
    the pointer. A key that is missing is.
    """
    value = json.loads(text)
    return [(_pointer(value, tuple(error["loc"])), error["msg"]) for error in errors]


def _pointer(value: Any, location: tuple[int | str, ...]) -> str:
    pointer = ""
    for number, step in enumerate(location):
        if isinstance(value, Mapping) and str(step) in value:
            value = value[str(step)]
        elif isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
            value = value[step]
        elif isinstance(value, Mapping) and number == len(location) - 1 and isinstance(step, str):
            return pointer_of(pointer, step)
        else:
            continue
        pointer = pointer_of(pointer, str(step))
    return pointer
