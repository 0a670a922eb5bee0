"""When a predicted scalar counts as the gold one: a default, and rules that a schema states with ``x-judge``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from structdiff.core.errors import InvalidSchema

KEYWORD = "x-judge"
FINAL_PUNCTUATION = ".,;:!?"


@dataclass(frozen=True)
class Rule:
    """How one field is judged.

    ``trimmed``, the default: strings without blanks at either end and without final punctuation, numbers by value.
    ``exact``: strings as they stand. ``casefold``: as ``trimmed``, capitals and small letters the same. ``number``: by
    value within ``tolerance``, strings that spell a number ("12.50") included.

    >>> Rule().same(" Ann Ray.", "Ann Ray"), Rule("exact").same("Ann Ray.", "Ann Ray")
    (True, False)
    >>> Rule("casefold").same("BLUE", "blue"), Rule("number", 0.5).same("12.4", 12)
    (True, True)
    """

    name: str = "trimmed"
    tolerance: float = 0.0

    def same(self, predicted: Any, gold: Any) -> bool:
        """Whether a predicted scalar counts as the gold one; neither is null."""
        if self.name == "number":
            one, other = _number(predicted), _number(gold)
            # two neighbouring doubles are one figure
            return one is not None and other is not None and abs(one - other) <= self.tolerance * (1 + 1e-9) + 1e-12
        if isinstance(predicted, bool) or isinstance(gold, bool):
            return predicted is gold
        if isinstance(predicted, str) and isinstance(gold, str):
            return self._spelling(predicted) == self._spelling(gold)
        return not isinstance(predicted, str) and not isinstance(gold, str) and bool(predicted == gold)

    def _spelling(self, text: str) -> str:
        if self.name == "exact":
            return text
        text = text.strip().rstrip(FINAL_PUNCTUATION).rstrip()
        return text.casefold() if self.name == "casefold" else text


NAMES = ("trimmed", "exact", "casefold", "number")


def rule_of(parts: Sequence[dict[str, Any]]) -> Rule:
    """The rule that the schemas of a place state; the first one counts.

    >>> rule_of([{"type": "number", "x-judge": {"rule": "number", "tolerance": 0.01}}])
    Rule(name='number', tolerance=0.01)
    """
    for part in parts:
        if KEYWORD in part:
            return _read(part[KEYWORD], "")
    return Rule()


def check_rules(schema: Any) -> None:
    """Raises `InvalidSchema` at the first ``x-judge`` of the schema that is none of the rules."""
    for pointer, value in _stated(schema, ""):
        _read(value, pointer)


def _read(value: Any, pointer: str) -> Rule:
    name, tolerance = value, 0.0
    if isinstance(value, dict) and set(value) <= {"rule", "tolerance"}:
        name, tolerance = value.get("rule"), value.get("tolerance", 0.0)
    known = isinstance(name, str) and name in NAMES
    amount = isinstance(tolerance, int | float) and not isinstance(tolerance, bool) and tolerance >= 0
    if not known or not amount or (tolerance and name != "number"):
        raise InvalidSchema(
            f"{KEYWORD} is {value!r}; it must be one of {', '.join(NAMES)}, or "
            '{"rule": "number", "tolerance": 0.01} with a tolerance of 0 or more',
            pointer,
        )
    return Rule(name, float(tolerance))


def _stated(part: Any, pointer: str, names: bool = False) -> Iterator[tuple[str, Any]]:
    """Every ``x-judge`` keyword with its pointer; ``names`` where the keys of ``part`` are property names."""
    if isinstance(part, dict):
        for key, value in part.items():
            here = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            if key == KEYWORD and not names:
                yield here, value
            elif names or key not in ("enum", "const", "default", "examples"):
                yield from _stated(value, here, not names and key in ("properties", "patternProperties", "$defs"))
    elif isinstance(part, list):
        for number, value in enumerate(part):
            yield from _stated(value, f"{pointer}/{number}")


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
