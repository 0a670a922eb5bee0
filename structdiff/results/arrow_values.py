"""JSON values as the cells of an Arrow field, and back: what `arrow_types` promises, exactly or not at all."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Callable, Mapping
from typing import Any

from structdiff.results.arrow_types import JSON, arrow_library

INT64 = range(-(2**63), 2**63)


class Misfit(ValueError):
    """A value that has no exact place in its column: what it is, and why."""


def cell(value: Any, field: Any) -> Any:
    """A JSON value as the Python object that pyarrow takes for a field. Raises `Misfit` where that would change it.

    >>> import pyarrow
    >>> cell("2026-05-01", pyarrow.field("due", pyarrow.date32()))
    datetime.date(2026, 5, 1)
    >>> cell(2**70, pyarrow.field("n", pyarrow.int64()))
    Traceback (most recent call last):
    structdiff.results.arrow_values.Misfit: the integer in n does not fit 64 bits
    """
    if value is None:
        return None
    if field.metadata == JSON:
        return json.dumps(value, ensure_ascii=False)
    types, kind = arrow_library().types, field.type
    if types.is_list(kind):
        return [cell(item, kind.value_field) for item in value]
    if types.is_map(kind):
        return [(name, cell(item, kind.item_field)) for name, item in value.items()]
    if types.is_struct(kind):
        known = [kind.field(number) for number in range(kind.num_fields)]
        if unknown := sorted(set(value) - {one.name for one in known}):
            raise Misfit(f"the object in {field.name} has a member {unknown[0]!r} that its column has no place for")
        return {one.name: cell(value.get(one.name), one) for one in known}
    return _scalar(value, field, types, kind)


def _scalar(value: Any, field: Any, types: Any, kind: Any) -> Any:
    if types.is_integer(kind):
        if int(value) not in INT64:
            raise Misfit(f"the integer in {field.name} does not fit 64 bits")
        return int(value)
    if types.is_floating(kind):
        return float(value)
    if types.is_decimal(kind):
        return _decimal(value, field.name, kind)
    reader = _reader(types, kind)
    if reader is None:
        return value
    try:
        return reader(value)
    except (ValueError, OverflowError) as error:
        raise Misfit(f"{value!r} in {field.name} has no exact {kind}: {error}") from None


def _decimal(value: Any, name: str, kind: Any) -> decimal.Decimal:
    try:
        exact = decimal.Decimal(str(value))
    except decimal.InvalidOperation:
        raise Misfit(f"{value!r} in {name} is no decimal number") from None
    exactly = decimal.Context(prec=1000, traps=[decimal.Inexact, decimal.InvalidOperation])
    with decimal.localcontext(exactly):
        try:
            placed = exact.quantize(decimal.Decimal(1).scaleb(-kind.scale))
        except (decimal.Inexact, decimal.InvalidOperation):
            raise Misfit(f"{value} in {name} has more than {kind.scale} decimal places") from None
    if placed.adjusted() >= kind.precision - kind.scale and placed != 0:
        raise Misfit(f"{value} in {name} has more than {kind.precision - kind.scale} digits before the point")
    return placed


def _reader(types: Any, kind: Any) -> Callable[[str], Any] | None:
    if types.is_date(kind):
        return datetime.date.fromisoformat
    if types.is_timestamp(kind):
        return lambda text: _exact(text, _instant(text))
    if types.is_time(kind):
        return lambda text: _exact(text, _clock(text))
    return None


def _instant(text: str) -> datetime.datetime:
    found = datetime.datetime.fromisoformat(text)
    utc = datetime.UTC
    return found.replace(tzinfo=utc) if found.tzinfo is None else found.astimezone(utc)


def _clock(text: str) -> datetime.time:
    """A time of day in UTC: a column has no place for an offset."""
    found = datetime.time.fromisoformat(text)
    if found.utcoffset():
        moment = datetime.datetime.combine(datetime.date(2000, 1, 2), found)
        return moment.astimezone(datetime.UTC).time()
    return found.replace(tzinfo=None)


def _exact(text: str, found: Any) -> Any:
    """``found``, unless digits of ``text`` behind the microseconds were cut off."""
    fraction = text.partition(".")[2]
    digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
    if digits[6:].strip("0"):
        raise ValueError("it is finer than a microsecond")
    return found


def value_of(found: Any, field: Any) -> Any:
    """The JSON value of a cell as `pyarrow.Array.to_pylist` gives it: what `cell` was given, in one spelling.

    >>> import pyarrow
    >>> value_of(datetime.date(2026, 5, 1), pyarrow.field("due", pyarrow.date32()))
    '2026-05-01'
    """
    if found is None:
        return None
    if field.metadata == JSON:
        return json.loads(found)
    types, kind = arrow_library().types, field.type
    if types.is_list(kind):
        return [value_of(item, kind.value_field) for item in found]
    if types.is_map(kind):
        pairs = found.items() if isinstance(found, Mapping) else found
        return {name: value_of(item, kind.item_field) for name, item in pairs}
    if types.is_struct(kind):
        parts = (kind.field(number) for number in range(kind.num_fields))
        return {one.name: value_of(found[one.name], one) for one in parts if found[one.name] is not None}
    if isinstance(found, decimal.Decimal):
        return format(found.normalize(), "f")
    return found.isoformat() if isinstance(found, datetime.date | datetime.time) else found
