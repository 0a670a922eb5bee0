"""Scalar core schemas as JSON Schemas that say all that Pydantic checks of them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from structdiff.frontends.json_schema.leaves import KEYWORD
from structdiff.frontends.python_types import texts

Schema = dict[str, Any]
Core = Mapping[str, Any]
Config = Callable[..., Any]
Note = Callable[[str, str], None]
FINITE = 10**300
"""Numbers up to this are no infinite doubles."""
_REST = Fraction(1, 10**9)
"""A remainder below this is none, to Pydantic."""
_DAY, _MICROSECOND = dt.timedelta(days=1), dt.timedelta(microseconds=1)
_LIMITS = {"ge": "minimum", "le": "maximum", "gt": "exclusive_minimum", "lt": "exclusive_maximum"}
_JSON_LIMITS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}


def string(read: Schema, core: Core, config: Config) -> Schema:
    """``read`` with the pattern in the dialect of the engine that will check it."""
    read.pop("pattern", None)
    pattern = core.get("pattern")
    if isinstance(pattern, re.Pattern):
        texts.also(read, texts.python_pattern(pattern.pattern, pattern.flags & ~re.UNICODE))
    elif pattern is not None and config("regex_engine", core, "rust-regex") == "python-re":
        texts.also(read, texts.python_pattern(pattern, 0))
    elif pattern is not None:
        texts.also(read, texts.rust_pattern(pattern))
    if config("str_strip_whitespace", core, False, own="strip_whitespace"):
        texts.also(read, texts.STRIPPED)
    if core.get("ascii_only"):
        texts.also(read, texts.ASCII_ONLY)
    return read


def bytes_(core: Core, encoding: str) -> Schema:
    """Bytes in the encoding that they have in JSON; lengths are those of the bytes."""
    low, high = core.get("min_length"), core.get("max_length")
    if encoding == "utf8" and not low and high is None:
        return {"type": "string", "format": "binary"}
    encoding = {"base64": "base64url"}.get(encoding, encoding)
    return texts.of_type("bytes", f"bytes as {encoding}", encoding=encoding, low=low or 0, high=high)


# ------------------------------------------------------------------------------------------------------------- numbers


def furthest_multiple(step: float) -> int:
    """How far from zero the remainder of a multiple of ``step``, both read as doubles, is not taken for a rest."""
    exact = Fraction(Decimal(repr(float(step))))
    if exact == Fraction(step) and exact.denominator <= 2**20:
        return int(2**53 * min(exact, Fraction(1)))
    wrong = abs(exact - Fraction(step)) / exact + Fraction(1, 2**53)
    return int(_REST * 9 / 10 / wrong)


QUOTIENT_DIGITS = 28
"""Digits of Python's decimal arithmetic: where a quotient has more, pydantic finds no multiple."""


def decimal(core: Core, note: Note) -> Schema:
    """A number, or a string with a decimal: with digits that a double keeps, with all digits."""
    limits = {name: core[name] for name in (*_LIMITS, "multiple_of") if core.get(name) is not None}
    digits, places = core.get("max_digits"), core.get("decimal_places")
    arguments: dict[str, Any] = {_LIMITS.get(name, name): str(value) for name, value in limits.items()}
    asked = {**arguments, "max_digits": digits, "decimal_places": places}
    if "multiple_of" in limits:
        asked["quotient_digits"] = QUOTIENT_DIGITS
    strings = texts.of_type("decimal", "decimal", **asked)
    number: Schema | None = {"type": "number"}
    for name, value in limits.items():
        if not _is_double(value):
            number = None
        elif number is not None:
            number[_JSON_LIMITS.get(name, "multipleOf")] = _number(value)
    if number is None:
        note("decimal", "a limit is no double, so that only strings are written")
        return strings
    if digits is not None or places is not None:
        number = _with_digits(number, digits, places, note)
    return strings if number is None else {"anyOf": [number, strings]}


def _with_digits(number: Schema, digits: int | None, places: int | None, note: Note) -> Schema | None:
    """Numbers of so many digits in all and after the point, as multiples of a power of ten within bounds."""
    if places is None:
        note("decimal", "as a JSON number it is an integer; strings have digits after the point")
        places_in_numbers = 0
    else:
        places_in_numbers = min(places, 12, digits or 12)
    whole = 15 - places_in_numbers if digits is None else min(digits - (places or 0), 15 - places_in_numbers)
    if whole <= 0:
        return None
    step = Decimal(10) ** -places_in_numbers
    largest = Decimal(10) ** whole - step
    parts = [{"multipleOf": _number(step), "minimum": -_number(largest), "maximum": _number(largest)}]
    return {**number, "allOf": parts}


def _is_double(value: Any) -> bool:
    return Fraction(Decimal(repr(float(value)))) == Fraction(value) and Fraction(value).denominator <= 10**15


def _number(value: Any) -> int | float:
    return int(value) if value == int(value) else float(value)


def fraction(core: Core, note: Note) -> Schema:
    """``3/4`` in a string; between limits, a decimal in a string."""
    limits = {_LIMITS[name]: core[name] for name in _LIMITS if core.get(name) is not None}
    if not limits:
        return {"anyOf": [{"type": "number"}, texts.of_type("fraction")]}
    note("fraction", "between limits only decimals are written")
    inner = {name: str(_within(value, name)) for name, value in limits.items()}
    return texts.of_type("decimal", "decimal", **inner)


def _within(value: Any, name: str) -> Decimal:
    """A decimal at the limit, or a little inside it."""
    exact = Fraction(value)
    scaled = exact * 10**15
    whole = scaled.__ceil__() if "minimum" in name else scaled.__floor__()
    return Decimal(whole).scaleb(-15)


def names(keys: Core) -> Schema:
    """The object keys that are read as an integer, a float, a decimal or a boolean."""
    kind = keys["type"]
    if kind == "bool":
        return {"type": "string", "enum": ["true", "false"]}
    limits = {_LIMITS[name]: str(keys[name]) for name in _LIMITS if keys.get(name) is not None}
    others = {name: keys.get(name) for name in ("max_digits", "decimal_places") if keys.get(name) is not None}
    if keys.get("multiple_of") is not None:
        others["multiple_of"] = str(keys["multiple_of"])
        if kind == "decimal":
            others["quotient_digits"] = QUOTIENT_DIGITS
    if kind == "int":
        low, high = (_whole(keys, *ends) for ends in (("ge", "gt", 1), ("le", "lt", -1)))
        return texts.of_type("integer", "integer", minimum=low, maximum=high, multiple_of=keys.get("multiple_of"))
    return texts.of_type("decimal", "number", **limits, **others)


def _whole(keys: Core, closed: str, opened: str, step: int) -> int | None:
    ends = [keys[closed]] if keys.get(closed) is not None else []
    ends += [keys[opened] + step] if keys.get(opened) is not None else []
    return None if not ends else int(max(ends) if step > 0 else min(ends))


# ---------------------------------------------------------------------------------------------------------------- time


def date(core: Core, note: Note) -> Schema:
    low = _latest(core.get("ge"), core.get("gt") and core["gt"] + _DAY)
    high = _earliest(core.get("le"), core.get("lt") and core["lt"] - _DAY)
    if core.get("now_op"):
        past = core["now_op"] == "past"
        now = _now(core) + (dt.timedelta() if past else dt.timedelta(hours=1))
        note("date", f"{core['now_op']} dates are those {'before' if past else 'after'} {now.date()}")
        low = low if past else _latest(low, now.date() + _DAY)
        high = _earliest(high, now.date() - _DAY) if past else high
    if low is None and high is None:
        return {"type": "string", "format": "date"}
    ends = {name: None if end is None else end.isoformat() for name, end in (("low", low), ("high", high))}
    return texts.of_type("date", _shown("date", [] if low is None else [low], [] if high is None else [high]), **ends)


def datetime(core: Core, note: Note) -> Schema:
    low = [*_given(core, "ge"), *(limit + _MICROSECOND for limit in _given(core, "gt"))]
    high = [*_given(core, "le"), *(limit - _MICROSECOND for limit in _given(core, "lt"))]
    if core.get("now_op"):
        past, today = core["now_op"] == "past", dt.datetime.now(dt.UTC).date()
        midnight = dt.datetime.combine(today, dt.time()) + _DAY * (-1 if past else 2)
        note("datetime", f"{core['now_op']} times are those {'before' if past else 'from'} {midnight.date()}")
        (high if past else low).append(midnight - _MICROSECOND if past else midnight)
    return _clock("datetime", core, low, high, note)


def time(core: Core, note: Note) -> Schema:
    low = [*_given(core, "ge"), *(_next_time(limit, 1) for limit in _given(core, "gt"))]
    high = [*_given(core, "le"), *(_next_time(limit, -1) for limit in _given(core, "lt"))]
    return _clock("time", core, low, high, note)


def _clock(kind: str, core: Core, low: list[Any], high: list[Any], note: Note) -> Schema:
    zone = core.get("tz_constraint")
    if (low or high) and zone != "naive":
        note(kind, "between limits an offset is Z")
    shown = f"{zone} {kind}" if isinstance(zone, str) else kind
    shown = _shown(shown.replace("datetime", "date-time"), low, high)
    ends = {name: [end.isoformat() for end in ends] or None for name, ends in (("low", low), ("high", high))}
    return texts.of_type(kind, shown, zone=zone, **ends)


def _given(core: Core, name: str) -> list[Any]:
    return [] if core.get(name) is None else [core[name]]


def timedelta(core: Core, note: Note) -> Schema:
    low = _latest(core.get("ge"), core.get("gt") and core["gt"] + _MICROSECOND)
    high = _earliest(core.get("le"), core.get("lt") and core["lt"] - _MICROSECOND)
    if core.get("gt") == dt.timedelta():
        low = _latest(low, _MICROSECOND)
    if core.get("lt") == dt.timedelta():
        high = _earliest(high, -_MICROSECOND)
    if low is not None or high is not None:
        note("timedelta", "between limits a duration has one unit, and no fraction")
    ends = {name: None if end is None else end // _MICROSECOND for name, end in (("low", low), ("high", high))}
    return texts.of_type("duration", "duration", **ends)


def _now(core: Core) -> dt.datetime:
    offset = core.get("now_utc_offset")
    return dt.datetime.now(None if offset is None else dt.timezone(dt.timedelta(seconds=offset))).replace(tzinfo=None)


def _next_time(when: dt.time, step: int) -> dt.time:
    """A microsecond later or earlier; over midnight, a time that no time is beyond."""
    moved = dt.datetime.combine(dt.date(2000, 1, 2), when) + step * _MICROSECOND
    return moved.timetz() if moved.day == 2 else when


def _latest(*ends: Any) -> Any:
    return max((end for end in ends if end is not None), default=None)


def _earliest(*ends: Any) -> Any:
    return min((end for end in ends if end is not None), default=None)


def _shown(kind: str, low: list[Any], high: list[Any]) -> str:
    return " ".join([kind, *(f"from {end.isoformat()}" for end in low), *(f"to {end.isoformat()}" for end in high)])


# ----------------------------------------------------------------------------------------------------------- questions


def is_finite(schema: Schema) -> bool:
    """Are the values listed?"""
    return "const" in schema or "enum" in schema or schema.get("type") in ("boolean", "null") or "$ref" in schema


def is_distinct(core: Core) -> bool:
    """Do values of the type differ wherever their JSON texts do?"""
    kind = core["type"]
    if kind == "str":
        return not any(core.get(name) for name in ("to_lower", "to_upper", "strip_whitespace"))
    return kind in ("int", "bool", "literal", "enum", "date", "any")


def is_textual(schema: Schema, definitions: Mapping[Any, Schema]) -> bool:
    """Are all values strings?"""
    if "$ref" in schema:
        found = definitions.get(schema["$ref"].rpartition("/")[2])
        return found is not None and is_textual(found, definitions)
    if "anyOf" in schema:
        return bool(schema["anyOf"]) and all(is_textual(branch, definitions) for branch in schema["anyOf"])
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if values is not None:
        return all(isinstance(value, str) for value in values)
    return schema.get("type") == "string" or KEYWORD in schema
