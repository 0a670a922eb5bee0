"""What becomes of fields that the model is not sure of: left out where the constraint allows it, else reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from structdiff.constraint.constraint import Constraint
from structdiff.core.json_spans import scan
from structdiff.results.result import Result


def drop_unsure(result: Result[Any], constraint: Constraint, min_confidence: float) -> Result[Any]:
    """The result without the fields whose confidence is below ``min_confidence``.

    A member goes, with all it holds, where the text without it still belongs to the constraint's language; every other
    unsure field stays and is named in ``problems``. The other members stay byte for byte. Raises `ValueError` where
    ``min_confidence`` is not a probability.
    """
    if not 0 <= min_confidence <= 1:
        raise ValueError(f"min_confidence is a number from 0 to 1, not {min_confidence}")
    text, problems, fields = result.text, [], dict(result.measured or {})
    for pointer, field in (result.measured or {}).items():
        if pointer not in fields or not field.present or field.confidence >= min_confidence:
            continue
        shorter = without_member(text, pointer)
        if shorter is not None and constraint.matches(shorter):
            text = shorter
            inside = [name for name in fields if name == pointer or name.startswith(f"{pointer}/")]
            fields = {name: value for name, value in fields.items() if name not in inside}
            fields[pointer] = replace(field, value=None, present=False)
        else:
            problems.append(f"{pointer}: confidence {field.confidence:.3f} is below {min_confidence:g}")
    value = result.value if text == result.text else constraint.value(text)
    return replace(result, text=text, value=value, measured=fields, problems=tuple(problems))


def without_member(text: str, pointer: str) -> str | None:
    """A JSON text without the member at ``pointer``, all else as it was; None where the pointer names no member.

    >>> without_member('{"a": 1, "b": 2, "c": 3}', "/a"), without_member('{"a": 1, "b": 2}', "/b")
    ('{"b": 2, "c": 3}', '{"a": 1}')
    >>> without_member('{"a": {"b": 2}}', "/a/b")
    '{"a": {}}'
    """
    data = text.encode()
    spans = scan(data + b" ")
    if pointer not in spans.members:
        return None
    start, _ = spans.members[pointer]
    parent = pointer.rpartition("/")[0]
    places = sorted((gap.place, gap.start) for gap in spans.gaps if gap.pointer == parent)
    index = next(i for i, (place, _) in enumerate(places) if place == start)
    following, behind = places[index + 1]
    first, last = index == 0, index + 2 == len(places)
    if first and last:
        return (data[: places[0][1]] + data[following:]).decode()
    if first:
        return (data[:start] + data[following:]).decode()
    return (data[: places[index][1]] + data[behind:]).decode()
