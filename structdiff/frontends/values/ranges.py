"""Ranges of numbers between exact ends, and how many digits a decimal in them may have.

A float stands for the shortest decimal that names it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from structdiff.core.errors import InvalidSchema, UnsupportedSchema

Bound = int | float | Decimal

FRACTION_DIGITS = 17
"""Digits after the point, unless a bound itself has more (then two more than the bound)."""
SAFE_DIGITS = 15
"""Decimals of so many significant digits stay distinct when read as doubles."""
CLEAR = Fraction(10**13)
"""Bounds beyond this are so far away that decimals up to it have all their digits."""
MAX_DIGITS = 400
"""The longest bound that is followed digit by digit (DBL_MAX has 309 digits)."""
MAX_PLACES = 307
"""The most digits we write after the point: with more, doubles lose digits one by one and a decimal may read as 0."""
UNREACHED = 10**307
"""Every number we write without bounds is smaller: a bound from here on does not bound a number."""


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


def digits_after_point(span: Range) -> int | None:
    """How many digits may follow the point, so that nothing we write reads as an excluded bound when it is a double.

    None: any number of them. What is at least (or at most) a decimal is so as a double too.
    """
    ends = [
        (end, is_open) for end, is_open in ((span.low, span.low_open), (span.high, span.high_open)) if end is not None
    ]
    if not any(limits_digits(end, is_open) for end, is_open in ends):
        return None
    digits = min(max([FRACTION_DIGITS, *(count_places(end) + 2 for end, _ in ends)]), MAX_PLACES)
    for end, is_open in ends:
        if not end:
            continue
        whole, zeros = len(str(int(abs(end)))) if abs(end) >= 1 else 0, 0
        while abs(end) * 10 ** (zeros + 1) < 1:
            zeros += 1
        if is_open or whole > SAFE_DIGITS:
            digits = min(digits, max(SAFE_DIGITS - whole + zeros, 0))
    return digits


def limits_digits(end: Fraction, is_open: bool) -> bool:
    """Might a decimal with many digits read as a double beyond this end?"""
    return is_open or abs(end) >= 10**SAFE_DIGITS or count_places(end) > MAX_PLACES


def reached(span: Range) -> Range:
    """Without the ends beyond all numbers."""
    if span.low is not None and span.low <= -UNREACHED:
        span = replace(span, low=None, low_open=False)
    if span.high is not None and span.high >= UNREACHED:
        span = replace(span, high=None, high_open=False)
    return span


def clear_part(span: Range) -> Range:
    """The part of a range in which no decimal can read as a bound that is very far away."""
    near = span
    if near.low is not None and near.low < -CLEAR:
        near = replace(near, low=-CLEAR, low_open=False)
    if near.high is not None and near.high > CLEAR:
        near = replace(near, high=CLEAR, high_open=False)
    return span if near.empty else near
