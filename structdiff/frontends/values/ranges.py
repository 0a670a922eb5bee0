"""Ranges of numbers between exact ends, and how many digits a decimal in them may have.

A float stands for the shortest decimal that names it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from structdiff.core.errors import InvalidSchema, UnsupportedSchema

Bound = int | float | Decimal

SAFE_DIGITS = 15
"""Decimals of so many significant digits stay distinct when read as doubles."""
POINT_DIGITS = 17
"""Digits before a point: doubles of more are integers."""
MAX_DIGITS = 400
"""The longest bound that is followed digit by digit (DBL_MAX has 309 digits)."""
UNREACHED = 10**307
"""Every number we write without bounds is smaller: a bound from here on does not bound a number."""
LEAST_PLACES, MOST_PLACES = 17, 323
"""Behind so many zeros after the point, and where need be behind so many, numbers above zero have an exponent."""


@dataclass(frozen=True)
class Range:
    """Magnitudes or values between two exact ends; ``None`` is an open end."""

    low: Fraction | None = None
    high: Fraction | None = None
    low_open: bool = False
    high_open: bool = False

    @property
    def empty(self) -> bool:
        if self.low is None or self.high is None:
            return False
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    def mirrored(self) -> Range:
        """The range of ``-x``."""
        return Range(
            None if self.high is None else -self.high,
            None if self.low is None else -self.low,
            self.high_open,
            self.low_open,
        )

    def above_zero(self) -> Range:
        """The part with ``x > 0``."""
        return self if self.low is not None and self.low > 0 else Range(Fraction(0), self.high, True, self.high_open)

    def has(self, value: Fraction) -> bool:
        return not Range(
            max(value, value if self.low is None else self.low),
            min(value, value if self.high is None else self.high),
            self.low_open and value == self.low,
            self.high_open and value == self.high,
        ).empty


def _exact(value: Bound, keyword: str) -> Fraction:
    """The decimal that ``value`` names.

    >>> _exact(0.1, "minimum")
    Fraction(1, 10)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise InvalidSchema(f"{keyword} is {value!r}, not a number")
    try:
        exact = Fraction(Decimal(repr(value)) if isinstance(value, float) else value)
    except (ValueError, OverflowError) as error:
        raise InvalidSchema(f"{keyword} is {value!r}, not a finite number") from error
    if abs(exact) >= 10**MAX_DIGITS or exact.denominator >= 10**MAX_DIGITS:
        raise UnsupportedSchema("", keyword, f"more than {MAX_DIGITS} digits")
    return exact


def span_of(minimum: Bound | None, maximum: Bound | None, above: Bound | None, below: Bound | None) -> Range:
    """One range out of the four keywords.

    subtle: a validator compares integers with a huge float by its binary value (1e23 is a little less than 10^23), so
    both readings of a float without fraction must hold.
    """
    low: tuple[Fraction, bool] | None = None
    high: tuple[Fraction, bool] | None = None
    for value, name, is_open in ((minimum, "minimum", False), (above, "exclusiveMinimum", True)):
        for end in _readings(value, name):
            if low is None or (end, is_open) > low:
                low = end, is_open
    for value, name, is_open in ((maximum, "maximum", False), (below, "exclusiveMaximum", True)):
        for end in _readings(value, name):
            if high is None or (-end, is_open) > (-high[0], high[1]):
                high = end, is_open
    return Range(low and low[0], high and high[0], bool(low and low[1]), bool(high and high[1]))


def _readings(value: Bound | None, keyword: str) -> list[Fraction]:
    if value is None:
        return []
    exact = _exact(value, keyword)
    return [exact, Fraction(value)] if isinstance(value, float) and value.is_integer() else [exact]


def step_of(value: Bound) -> Fraction:
    step = _exact(value, "multipleOf")
    if step <= 0:
        raise InvalidSchema(f"multipleOf is {value!r}; it must be greater than zero")
    return step


def whole_ends(span: Range) -> tuple[int | None, int | None]:
    """The first and last integer of a range."""
    low = high = None
    if span.low is not None:
        low = span.low.__floor__() + 1 if span.low_open else span.low.__ceil__()
    if span.high is not None:
        high = span.high.__ceil__() - 1 if span.high_open else span.high.__floor__()
    return low, high


def count_places(value: Fraction) -> int:
    """How many digits ``value`` has after the point.

    >>> count_places(Fraction(1, 8))
    3
    """
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
        if places > MAX_DIGITS:
            raise UnsupportedSchema("", "multipleOf", f"{value} is not a short decimal")
    return places


def reached(span: Range) -> Range:
    """Without the ends beyond all numbers."""
    if span.low is not None and span.low <= -UNREACHED:
        span = replace(span, low=None, low_open=False)
    if span.high is not None and span.high >= UNREACHED:
        span = replace(span, high=None, high_open=False)
    return span


def with_point(span: Range) -> Range:
    """The closed range of the decimals whose double lies in ``span``: any number of digits may follow their point.

    What is at most the shortest decimal of a double is at most that double when it is read as one. So an open end
    is the double before it, and one between two doubles is the nearer one inside. Ends at zero are `nearest` to it.

    >>> str(float(with_point(Range(high=Fraction(1), high_open=True)).high))
    '0.9999999999999999'
    """
    far = Fraction(10**POINT_DIGITS)
    low, high = span.low, span.high
    if high is not None:
        high = None if high > far else -nearest(span) if not high and span.high_open else _top(high, span.high_open)
    if low is not None:
        low = None if low < -far else nearest(span) if not low and span.low_open else -_top(-low, span.low_open)
    return Range(low, high)


def _top(end: Fraction, is_open: bool) -> Fraction:
    """The largest decimal that does not pass ``end``, read as a decimal and as a double."""
    if abs(end) > 10**POINT_DIGITS or (not is_open and abs(end) < 10**SAFE_DIGITS):
        return end
    double = float(end)
    if is_open and end.denominator != 1:
        double = math.nextafter(double, -math.inf)
    while (decimal := Fraction(Decimal(repr(double)))) > end or (is_open and decimal == end):
        double = math.nextafter(double, -math.inf)
    return decimal


def nearest(span: Range) -> Fraction:
    """How near to an open end at zero a decimal comes; what is nearer needs an exponent."""
    other = span.high if span.low == 0 else span.low
    places = LEAST_PLACES if not other else min(max(LEAST_PLACES, count_places(other) + 2), MOST_PLACES)
    return Fraction(1, 10**places)
