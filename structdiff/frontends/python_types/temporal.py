"""Dates, times, datetimes and durations as Pydantic reads them, between bounds.

>>> from structdiff.automata.compiling import compile_tree
>>> a = compile_tree(datetimes("naive"))
>>> [a.accepts(text) for text in (b"2024-02-29T10:00", b"2024-02-29T10:00:00.5", b"2024-02-29T10:00:00Z")]
[True, True, False]
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from fractions import Fraction
from typing import TypeVar

from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import EMPTY, NEVER, ByteSet, Embedded, Network, Node, literal, sequence, union
from structdiff.frontends.regex.parser import parse_regex
from structdiff.frontends.values.formats import format_node
from structdiff.frontends.values.numbers import integer

T = TypeVar("T")
Zone = str | int | None
"""``aware``, ``naive``, an offset in seconds, or anything (None)."""
_SECOND, _MINUTE = dt.timedelta(seconds=1), dt.timedelta(minutes=1)
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_FRACTION = r"(?:\.[0-9]{1,6})?"
_OFFSET = f"(?:Z|[+-]{_CLOCK})"
_DURATION = (
    r"-?P(?=[0-9T])(?:[0-9]{1,4}Y)?(?:[0-9]{1,5}M)?(?:[0-9]{1,5}W)?(?:[0-9]{1,6}D)?"
    r"(?:T(?=[0-9])(?:[0-9]{1,5}H)?(?:[0-9]{1,7}M)?(?:[0-9]{1,8}(?:\.[0-9]{1,6})?S)?)?"
)
"""Numbers so short that their sum never passes what Pydantic counts in: seconds of a day in 32 bits."""
_UNITS = (
    ("P", "D", 86_400, 9_999_999),
    ("PT", "H", 3600, 999_999),
    ("PT", "M", 60, 9_999_999),
    ("PT", "S", 1, 99_999_999),
)
"""How one unit is written, its seconds, and how many of it are."""


def between(low: str, high: str) -> Node:
    """Texts of one length between two of that length, byte by byte: dates and times are ordered as their texts are.

    >>> a = compile_tree(between("2023-11-30", "2024-01-02"))
    >>> [a.accepts(text) for text in (b"2023-12-01", b"2024-01-02", b"2024-01-03")]
    [True, True, False]
    """
    if low > high:
        return NEVER
    number = {(0, True, True): 0}
    pending, edges = [(0, True, True)], []
    while pending:
        state = pending.pop()
        place, at_low, at_high = state
        if place == len(low):
            continue
        least, most = ord(low[place]) if at_low else 0x20, ord(high[place]) if at_high else 0x7E
        targets: dict[tuple[int, bool, bool], list[int]] = {}
        for byte in range(least, most + 1):
            targets.setdefault((place + 1, at_low and byte == least, at_high and byte == most), []).append(byte)
        for target, members in targets.items():
            if target not in number:
                number[target] = len(number)
                pending.append(target)
            edges.append((number[state], ByteSet.of(members), number[target]))
    finals = tuple(index for (place, _, _), index in number.items() if place == len(low))
    return Network(len(number), tuple(edges), 0, finals)


def _both(a: Node, b: Node) -> Node:
    met = compile_tree(a) & compile_tree(b)
    return NEVER if met.is_empty else Embedded(met)


def dates(low: dt.date = dt.date.min, high: dt.date = dt.date.max) -> Node:
    """``YYYY-MM-DD`` from ``low`` to ``high``, both included."""
    node = format_node("date")
    assert node is not None
    return _both(node, between(low.isoformat(), high.isoformat()))


Limits = tuple[Sequence[T], Sequence[T]]
"""The lowest values of all, and the highest: what is written lies between all of them, these included."""


def datetimes(zone: Zone = None, limits: Limits[dt.datetime] = ((), ())) -> Node:
    """``YYYY-MM-DDTHH:MM``, perhaps with seconds and up to six digits of them, and an offset if the zone wants one.

    Between limits an offset is ``Z``, or the one that the zone names. Without an offset the clock's reading is compared
    with that of the limit, whatever the offset of that: so does Pydantic.
    """
    day = format_node("date")
    assert day is not None
    texts = sequence(day, parse_regex(f"T{_CLOCK}(?::[0-5][0-9]{_FRACTION})?"))
    parts = []
    for shift, ending in _endings(zone, bool(limits[0] or limits[1])):
        low = max((_shown_at(limit, shift) for limit in limits[0]), default=dt.datetime.min)
        high = min((_shown_at(limit, shift) for limit in limits[1]), default=dt.datetime.max)
        parts.append(sequence(_both(texts, _between_times(low, high, "%Y-%m-%dT")), ending))
    return union(*parts)


def times(zone: Zone = None, limits: Limits[dt.time] = ((), ())) -> Node:
    """``HH:MM`` and more, as in `datetimes`."""
    texts, day = parse_regex(f"{_CLOCK}(?::[0-5][0-9]{_FRACTION})?"), dt.date(2000, 1, 2)
    parts = []
    for shift, ending in _endings(zone, bool(limits[0] or limits[1])):
        lows = [_shown_at(dt.datetime.combine(day, limit), shift) for limit in limits[0]]
        highs = [_shown_at(dt.datetime.combine(day, limit), shift) for limit in limits[1]]
        low = max([*lows, dt.datetime.combine(day, dt.time.min)])
        high = min([*highs, dt.datetime.combine(day, dt.time.max)])
        parts.append(sequence(_both(texts, _between_times(low, high, "")), ending))
    return union(*parts)


def _endings(zone: Zone, bounded: bool) -> list[tuple[dt.timedelta | None, Node]]:
    """How a time may end, with what its clock shows at noon in UTC less noon; None without an offset."""
    if isinstance(zone, int):
        sign, minutes = "-" if zone < 0 else "+", abs(zone) // 60
        offset = f"{sign}{minutes // 60:02}:{minutes % 60:02}" if zone else "Z"
        return [(dt.timedelta(seconds=zone), literal(offset))]
    naive: tuple[dt.timedelta | None, Node] = (None, EMPTY)
    aware = (dt.timedelta(), literal("Z") if bounded else parse_regex(_OFFSET))
    if not bounded and zone is None:
        return [(None, union(EMPTY, aware[1]))]
    return [naive] if zone == "naive" else [aware] if zone == "aware" else [naive, aware]


def _shown_at(limit: dt.datetime, shift: dt.timedelta | None) -> dt.datetime:
    """What a clock shows at the limit: one beside the limit (None), or one that is ``shift`` before UTC."""
    if shift is None or limit.tzinfo is None:
        return limit.replace(tzinfo=None)
    return limit.astimezone(dt.UTC).replace(tzinfo=None) + shift


def _between_times(low: dt.datetime, high: dt.datetime, day: str) -> Node:
    """Texts from ``low`` to ``high`` with any fraction of a second, as far as they are ordered like their values."""
    first = low if not low.microsecond else low.replace(microsecond=0) + _SECOND
    last = high.replace(microsecond=0)
    seconds, minutes = day + "%H:%M:%S", day + "%H:%M"
    fraction = parse_regex(_FRACTION)
    to_minute = first.replace(second=0) + (
        _MINUTE if first.second and first < dt.datetime.max - _MINUTE else dt.timedelta()
    )
    parts = [between(_shown(to_minute, minutes), _shown(last, minutes))]
    if to_minute < first:
        parts = []
    if first <= last:
        parts.append(literal(_shown(last, seconds)))
        if high.microsecond == 999_999:
            parts.append(sequence(literal(_shown(last, seconds)), fraction))
    if first < last:
        parts.append(sequence(between(_shown(first, seconds), _shown(last - _SECOND, seconds)), fraction))
    return union(*parts)


def _shown(when: dt.datetime, form: str) -> str:
    # subtle: strftime does not fill years up to four digits everywhere.
    return when.strftime(form.replace("%Y", f"{when.year:04}"))


def durations(low: dt.timedelta | None = None, high: dt.timedelta | None = None) -> Node:
    """ISO 8601 durations: ``P3DT4H``, ``PT0.5S``. Between bounds (both included) they have
    one unit: ``P3D``, ``PT90M``.

    >>> a = compile_tree(durations(dt.timedelta(hours=36)))
    >>> [a.accepts(text) for text in (b"P2D", b"PT36H", b"P1D", b"PT1H")]
    [True, True, False, False]
    """
    if low is None and high is None:
        return parse_regex(_DURATION)
    parts = []
    for prefix, suffix, unit, most in _UNITS:
        first = -most if low is None else max(-most, (_seconds(low) / unit).__ceil__())
        last = most if high is None else min(most, (_seconds(high) / unit).__floor__())
        for sign, least, greatest in (("", max(first, 0), last), ("-", max(-last, 1), -first)):
            if least <= greatest:
                parts.append(sequence(literal(sign + prefix), integer(least, greatest), literal(suffix)))
    return union(*parts)


def _seconds(duration: dt.timedelta) -> Fraction:
    return Fraction(duration // dt.timedelta(microseconds=1), 1_000_000)
