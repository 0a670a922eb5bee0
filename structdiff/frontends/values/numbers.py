"""Numbers as JSON writes them, bounded exactly.

*Integers* are written ``0`` or ``-?[1-9][0-9]*``: no ``-0``, no ``1.0`` and no exponent, although JSON Schema counts
``1.0`` as an integer. *Numbers* are such an integer or one with digits after the point (never a negative zero): any
number of them, unless a bound is excluded or very far away (then `limited_digits` says how many). A number without
bounds may also use an exponent (``6.02e23``), small enough never to overflow a double. All bounds are decimal
arithmetic on digits: a float stands for the shortest decimal that names it.

``multipleOf`` is exact too: ``0.07`` is a multiple of ``0.01``, although a validator that divides floats denies it.

>>> from structdiff.automata.byte_automaton import compile_tree
>>> a = compile_tree(number(minimum=0.25, exclusive_maximum=12))
>>> [a.accepts(text) for text in (b"0.25", b"0.249", b"11.99", b"12", b"12.0", b"-3")]
[True, False, True, False, False, False]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from structdiff.automata.byte_automaton import compile_tree
from structdiff.automata.tree import (
    EMPTY,
    NEVER,
    ByteSet,
    Embedded,
    Network,
    Node,
    Repeat,
    literal,
    sequence,
    union,
)
from structdiff.core.errors import InvalidSchema, UnsupportedSchema

Bound = int | float | Decimal

INTEGER_DIGITS = 17
"""Digits before the point of a number that no bound limits further."""
BRIEF_DIGITS = 10
"""Digits before the point of a number deep inside free JSON: each costs a state wherever such a number may stand."""
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
MAX_REMAINDERS = 4096
"""The largest remainder automaton built for ``multipleOf``."""
UNREACHED = 10**307
"""Every number we write without bounds is smaller: a bound from here on does not bound a number."""

DIGIT = ByteSet.of(b"0123456789")
NONZERO = ByteSet.of(b"123456789")


@dataclass(frozen=True)
class _Range:
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

    def mirrored(self) -> _Range:
        """The range of ``-x``."""
        return _Range(
            None if self.high is None else -self.high,
            None if self.low is None else -self.low,
            self.high_open,
            self.low_open,
        )

    def above_zero(self) -> _Range:
        """The part with ``x > 0``."""
        return self if self.low is not None and self.low > 0 else _Range(Fraction(0), self.high, True, self.high_open)

    def has(self, value: Fraction) -> bool:
        return not _Range(
            max(value, value if self.low is None else self.low),
            min(value, value if self.high is None else self.high),
            self.low_open and value == self.low,
            self.high_open and value == self.high,
        ).empty


def integer(
    minimum: Bound | None = None,
    maximum: Bound | None = None,
    exclusive_minimum: Bound | None = None,
    exclusive_maximum: Bound | None = None,
    multiple_of: Bound | None = None,
) -> Node:
    """The integers in the range, written canonically; NEVER if there is none.

    >>> from structdiff.automata.byte_automaton import compile_tree
    >>> a = compile_tree(integer(minimum=-3, maximum=120, multiple_of=5))
    >>> [n for n in range(-200, 200) if a.accepts(str(n).encode())] == list(range(0, 121, 5))
    True
    """
    span = _span(minimum, maximum, exclusive_minimum, exclusive_maximum)
    low, high = _whole(span)
    step = 1 if multiple_of is None else _step(multiple_of).numerator
    if low is not None and high is not None:
        first, last = -(-low // step) * step, high // step * step
        if first > last:
            return NEVER
        if step > 1 and (last - first) // step < 64:
            return union(*(literal(str(n)) for n in range(first, last + 1, step)))
    node = union(
        literal("0") if span.has(Fraction(0)) else NEVER,
        _positive_integers(1 if low is None else max(low, 1), high),
        sequence(literal("-"), _positive_integers(1 if high is None else max(-high, 1), None if low is None else -low)),
    )
    if step == 1 or node == NEVER:
        return node
    return _both(node, _integer_multiples(step))


def number(
    minimum: Bound | None = None,
    maximum: Bound | None = None,
    exclusive_minimum: Bound | None = None,
    exclusive_maximum: Bound | None = None,
    multiple_of: Bound | None = None,
) -> Node:
    """The numbers in the range as decimals (and with an exponent if nothing bounds them); NEVER if there is none.

    >>> from structdiff.automata.byte_automaton import compile_tree
    >>> a = compile_tree(number(multiple_of=0.25, minimum=-1))
    >>> [a.accepts(text) for text in (b"7", b"7.5", b"7.750", b"7.8", b"-0.25", b"-1.25", b"1e3")]
    [True, True, True, False, True, False, False]
    """
    span = _reached(_span(minimum, maximum, exclusive_minimum, exclusive_maximum))
    if span.empty:
        return NEVER
    step = None if multiple_of is None else _step(multiple_of)
    if span == _Range() and step is None:
        return any_number()
    fraction_digits = _fraction_digits(span)
    if step is not None:
        most_whole, most_after = multiple_digits(step)
        after = most_after if fraction_digits is None else min(fraction_digits, most_after)
        node = _decimals(span, max(SAFE_DIGITS - after, most_whole), after)
        return NEVER if node == NEVER else _both(node, _decimal_multiples(step))
    node = union(_decimals(span, INTEGER_DIGITS, fraction_digits), _long_integers(span))
    near = _near(span)
    return node if near == span else union(node, _decimals(near, INTEGER_DIGITS, _fraction_digits(near)))


def limited_digits(
    minimum: Bound | None = None,
    maximum: Bound | None = None,
    exclusive_minimum: Bound | None = None,
    exclusive_maximum: Bound | None = None,
) -> dict[str, int]:
    """The keywords on whose account `number` limits the digits after the point, and to how many.

    >>> limited_digits(minimum=0, maximum=0.25), limited_digits(exclusive_minimum=0.25), limited_digits(maximum=1e20)
    ({}, {'exclusiveMinimum': 15}, {'maximum': 0})
    """
    span = _reached(_span(minimum, maximum, exclusive_minimum, exclusive_maximum))
    digits = _fraction_digits(span)
    if digits is None or span.empty:
        return {}
    ends = {"Minimum": (span.low, span.low_open), "Maximum": (span.high, span.high_open)}
    return {
        f"exclusive{name}" if is_open else name.lower(): digits
        for name, (end, is_open) in ends.items()
        if end is not None and _limits(end, is_open)
    }


def _reached(span: _Range) -> _Range:
    """Without the ends beyond all numbers."""
    if span.low is not None and span.low <= -UNREACHED:
        span = replace(span, low=None, low_open=False)
    if span.high is not None and span.high >= UNREACHED:
        span = replace(span, high=None, high_open=False)
    return span


def _long_integers(span: _Range) -> Node:
    """The integers on the open sides of a range that are too long for `_decimals`."""

    def beyond(end: Fraction | None) -> Node:
        least = 0 if end is None else len(str(abs(int(end))))
        return _positive_integers(10 ** max(INTEGER_DIGITS, least + 1), None)

    return union(
        beyond(span.low) if span.high is None else NEVER,
        sequence(literal("-"), beyond(span.high)) if span.low is None else NEVER,
    )


def _decimals(span: _Range, whole_digits: int, fraction_digits: int | None) -> Node:
    return union(
        _zero(fraction_digits) if span.has(Fraction(0)) else NEVER,
        _positive_decimals(span.above_zero(), whole_digits, fraction_digits),
        sequence(literal("-"), _positive_decimals(span.mirrored().above_zero(), whole_digits, fraction_digits)),
    )


def _near(span: _Range) -> _Range:
    """The part of a range in which no decimal can read as a bound that is very far away."""
    near = span
    if near.low is not None and near.low < -CLEAR:
        near = replace(near, low=-CLEAR, low_open=False)
    if near.high is not None and near.high > CLEAR:
        near = replace(near, high=CLEAR, high_open=False)
    return span if near.empty else near


def any_number(brief: bool = False) -> Node:
    """Every number, as one small network: ``0``, ``-12``, ``3.50`` and, unless it is ``brief``, ``6.02e23``.

    Integers and fractions are as long as one likes; before a point stand `INTEGER_DIGITS` digits at most
    (`BRIEF_DIGITS` if brief), and exponents go from -307 to 307 with one digit before the point, so that no number is
    infinite. Zero has no sign.

    >>> from structdiff.automata.byte_automaton import compile_tree
    >>> a = compile_tree(any_number())
    >>> [a.accepts(text) for text in (b"-0.05", b"-0.0", b"1e308", b"-1.5e-7", b"0.0", b"9" * 20)]
    [True, False, False, True, True, True]
    """
    zero, point = literal("0"), literal(".")
    digits = BRIEF_DIGITS if brief else INTEGER_DIGITS
    ends = [str(n) for n in range(1, digits + 1)]  # states are named; "1" has one digit, the first not zero
    edges: list[tuple[str, Node, str]] = [
        ("start", literal("-"), "minus"), ("start", zero, "zero"), ("zero", point, "point"),
        ("start", NONZERO, "1"), ("minus", NONZERO, "1"),
        ("minus", zero, "minus zero"), ("minus zero", point, "all zeros"),
        ("all zeros", zero, "all zeros"), ("all zeros", NONZERO, "after"),
        *((end, DIGIT, following) for end, following in zip(ends, [*ends[1:], "long"], strict=True)),
        ("long", DIGIT, "long"),
        *((end, point, "point") for end in ends[1:]), ("point", DIGIT, "after"), ("after", DIGIT, "after"),
    ]  # fmt: skip
    finals = ["zero", *ends, "long", "after"]
    if not brief:
        edges += [
            ("1", point, "first point"), ("first point", DIGIT, "first after"), ("first after", DIGIT, "first after"),
            ("1", ByteSet.of(b"eE"), "e"), ("first after", ByteSet.of(b"eE"), "e"), ("e", ByteSet.of(b"+-"), "sign"),
            *((state, _exponent(), "end") for state in ("e", "sign")),
        ]  # fmt: skip
        finals += ["first after", "end"]
    else:
        edges.append(("1", point, "point"))
    number_of = {name: i for i, name in enumerate(dict.fromkeys(n for s, _, t in edges for n in (s, t)))}
    return Network(
        len(number_of),
        tuple((number_of[source], node, number_of[target]) for source, node, target in edges),
        number_of["start"],
        tuple(number_of[name] for name in finals),
    )


def _exponent() -> Node:
    return union(
        DIGIT,
        sequence(DIGIT, DIGIT),
        sequence(ByteSet.of(b"012"), DIGIT, DIGIT),
        sequence(literal("30"), ByteSet.of(b"01234567")),
    )


def multiple_digits(step: Bound | Fraction) -> tuple[int, int]:
    """How many digits before and after the point a multiple of ``step`` is followed to.

    >>> multiple_digits(0.5)
    (13, 2)
    """
    exact = step if isinstance(step, Fraction) else _step(step)
    after = min(FRACTION_DIGITS, _places(exact) + 1)
    return max(SAFE_DIGITS - after, 1), after


def decimal_digits(whole: int, after: int) -> Node:
    """Decimals with at most so many digits before and after the point, ``-0`` among them.

    >>> from structdiff.automata.byte_automaton import compile_tree
    >>> a = compile_tree(decimal_digits(2, 1))
    >>> [a.accepts(text) for text in (b"0.5", b"-12", b"12.5", b"123", b"0.25")]
    [True, True, True, False, False]
    """
    digits = union(literal("0"), sequence(NONZERO, Repeat(DIGIT, 0, whole - 1)))
    return sequence(union(EMPTY, literal("-")), digits, union(EMPTY, sequence(literal("."), Repeat(DIGIT, 1, after))))


# ---------------------------------------------------------------------------------------------------------- bounds


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


def _span(minimum: Bound | None, maximum: Bound | None, above: Bound | None, below: Bound | None) -> _Range:
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
    return _Range(low and low[0], high and high[0], bool(low and low[1]), bool(high and high[1]))


def _readings(value: Bound | None, keyword: str) -> list[Fraction]:
    if value is None:
        return []
    exact = _exact(value, keyword)
    return [exact, Fraction(value)] if isinstance(value, float) and value.is_integer() else [exact]


def _step(value: Bound) -> Fraction:
    step = _exact(value, "multipleOf")
    if step <= 0:
        raise InvalidSchema(f"multipleOf is {value!r}; it must be greater than zero")
    return step


def _whole(span: _Range) -> tuple[int | None, int | None]:
    """The first and last integer of a range."""
    low = high = None
    if span.low is not None:
        low = span.low.__floor__() + 1 if span.low_open else span.low.__ceil__()
    if span.high is not None:
        high = span.high.__ceil__() - 1 if span.high_open else span.high.__floor__()
    return low, high


def _places(value: Fraction) -> int:
    """How many digits ``value`` has after the point.

    >>> _places(Fraction(1, 8))
    3
    """
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
        if places > MAX_DIGITS:
            raise UnsupportedSchema("", "multipleOf", f"{value} is not a short decimal")
    return places


def _fraction_digits(span: _Range) -> int | None:
    """How many digits may follow the point, so that nothing we write reads as an excluded bound when it is a double.

    None: any number of them. What is at least (or at most) a decimal is so as a double too.
    """
    ends = [
        (end, is_open) for end, is_open in ((span.low, span.low_open), (span.high, span.high_open)) if end is not None
    ]
    if not any(_limits(end, is_open) for end, is_open in ends):
        return None
    digits = min(max([FRACTION_DIGITS, *(_places(end) + 2 for end, _ in ends)]), MAX_PLACES)
    for end, is_open in ends:
        if not end:
            continue
        whole, zeros = len(str(int(abs(end)))) if abs(end) >= 1 else 0, 0
        while abs(end) * 10 ** (zeros + 1) < 1:
            zeros += 1
        if is_open or whole > SAFE_DIGITS:
            digits = min(digits, max(SAFE_DIGITS - whole + zeros, 0))
    return digits


def _limits(end: Fraction, is_open: bool) -> bool:
    """Might a decimal with many digits read as a double beyond this end?"""
    return is_open or abs(end) >= 10**SAFE_DIGITS or _places(end) > MAX_PLACES


# ----------------------------------------------------------------------------------------------------------- digits


def _positive_integers(low: int, high: int | None) -> Node:
    """``low`` (at least 1) to ``high``, one small network per length that a bound cuts.

    >>> _positive_integers(1, None)
    Sequence(items=(ByteSet(49-57), Repeat(item=ByteSet(48-57), low=0, high=None)))
    """
    if high is None:
        least = len(str(low))
        longer = sequence(NONZERO, Repeat(DIGIT, least, None))
        if low == 10 ** (least - 1):
            return sequence(NONZERO, Repeat(DIGIT, least - 1, None))
        return union(_digits(str(low), "9" * least), longer)
    if low > high:
        return NEVER
    first, last = str(low), str(high)
    if len(first) == len(last):
        return _digits(first, last)
    between: Node = NEVER
    if len(last) - len(first) > 1:
        between = sequence(NONZERO, Repeat(DIGIT, len(first), len(last) - 2))
    return union(_digits(first, "9" * len(first)), between, _digits("1" + "0" * (len(last) - 1), last))


def _digits(
    low: str, high: str | None, *, stop_early: bool = False, low_open: bool = False, high_open: bool = False,
    endless: bool = False,
) -> Node:  # fmt: skip
    """Digit strings between two of the same length; a state is (place, still equal to low, still equal to high).

    With ``stop_early`` the strings are fractions: they may end after any digit, as if zeros followed. With ``endless``
    digits may follow too. ``high`` None: up to the end of all strings.

    >>> from structdiff.automata.byte_automaton import compile_tree
    >>> a = compile_tree(_digits("250", "300", stop_early=True))
    >>> [a.accepts(text) for text in (b"2", b"25", b"299", b"3", b"300", b"301")]
    [False, True, True, True, True, False]
    >>> a = compile_tree(_digits("25", "30", stop_early=True, endless=True))
    >>> [a.accepts(text) for text in (b"2499", b"2501", b"2999", b"3000", b"3001")]
    [False, True, True, True, False]
    """
    if high is not None and (low > high or (low == high and (low_open or high_open))):
        return NEVER
    size = len(low)
    first = (0, True, high is not None)
    number_of = {first: 0}
    todo, edges, finals = [first], [], []
    while todo:
        state = todo.pop()
        place, at_low, at_high = state
        if stop_early or place == size:
            low_ok = not at_low or (not low_open and not low[place:].strip("0"))
            high_ok = not at_high or not high_open or bool(high is not None and high[place:].strip("0"))
            if place and low_ok and high_ok:
                finals.append(number_of[state])
        if place == size and not endless:
            continue
        if endless and place and not at_low and not at_high:
            edges.append((number_of[state], DIGIT, number_of[state]))
            continue
        least = int(low[place]) if at_low and place < size else 0
        most = 9 if not at_high or high is None else int(high[place]) if place < size else 0
        targets: dict[tuple[int, bool, bool], list[int]] = {}
        for digit in range(least, most + 1):
            still_low, still_high = at_low and digit == least, at_high and digit == most
            free = endless and not still_low and not still_high
            after = (size if free else min(place + 1, size), still_low, still_high)
            targets.setdefault(after, []).append(48 + digit)
        for after, bytes_ in targets.items():
            if after not in number_of:
                number_of[after] = len(number_of)
                todo.append(after)
            edges.append((number_of[state], ByteSet.of(bytes_), number_of[after]))
    return Network(len(number_of), tuple(edges), 0, tuple(finals)) if finals else NEVER


def _fraction(low: Fraction, high: Fraction | None, low_open: bool, high_open: bool, digits: int | None) -> Node:
    """``.`` and a fraction between ``low`` and ``high`` (``None``: below one), of ``digits`` digits or any number."""
    if digits == 0:
        return NEVER
    size = digits or max(_places(low), _places(high or Fraction(0)), 1)
    scale = 10**size
    # subtle: an end with more digits than we write lies between two neighbours; move it inwards to the nearer one.
    first, last = (low * scale).__ceil__(), None if high is None else (high * scale).__floor__()
    low_open, high_open = low_open and first == low * scale, high is not None and high_open and last == high * scale
    if first >= scale:
        return NEVER
    body = _digits(
        f"{first:0{size}}", None if last is None else f"{last:0{size}}",
        stop_early=True, low_open=low_open, high_open=high_open, endless=digits is None,
    )  # fmt: skip
    return sequence(literal("."), body)


def _zero(digits: int | None) -> Node:
    return sequence(literal("0"), union(EMPTY, sequence(literal("."), Repeat(literal("0"), 1, digits))))


def _positive_decimals(span: _Range, whole_digits: int, digits: int | None) -> Node:
    """Decimals inside a range of positive values: the whole part at either end, then everything between."""
    if span.empty:
        return NEVER
    assert span.low is not None
    low_whole = int(span.low)
    low_part = span.low - low_whole
    if span.high is None:
        largest = int(sys.float_info.max)
        high_whole, high_part = min(10 ** max(whole_digits, len(str(low_whole)) + 1), largest), Fraction(0)
        high_open = True
    else:
        high_whole, high_open = int(span.high), span.high_open
        high_part = span.high - high_whole
    any_fraction = union(EMPTY, sequence(literal("."), Repeat(DIGIT, 1, digits)))
    parts: list[Node] = []
    ends: list[tuple[int, Fraction, Fraction | None, bool, bool]]
    if low_whole == high_whole:
        ends = [(low_whole, low_part, high_part, span.low_open, high_open)]
    else:
        ends = [
            (low_whole, low_part, None, span.low_open, False),
            (high_whole, Fraction(0), high_part, False, high_open),
        ]
        parts.append(sequence(_positive_integers(low_whole + 1, high_whole - 1), any_fraction))
    for whole, least, most, least_open, most_open in ends:
        bare_ok = least == 0 and not least_open and not (most == 0 and most_open)
        fractions = _fraction(least, most, least_open, most_open, digits)
        parts.append(sequence(literal(str(whole)), union(EMPTY if bare_ok else NEVER, fractions)))
    return union(*parts)


# -------------------------------------------------------------------------------------------------------- multiples


def _both(a: Node, b: Node) -> Node:
    automaton = compile_tree(a) & compile_tree(b)
    return NEVER if automaton.is_empty else Embedded(automaton)


def _check_remainders(count: int, step: Fraction | int) -> None:
    if count > MAX_REMAINDERS:
        raise UnsupportedSchema(
            "", "multipleOf", f"{step} needs more than {MAX_REMAINDERS} remainders to keep track of"
        )


def _integer_multiples(step: int) -> Node:
    """All integers that ``step`` divides: trailing zeros for its powers of ten, remainders for the rest of it."""
    core, zeros = step, 0
    while core % 10 == 0:
        core, zeros = core // 10, zeros + 1
    _check_remainders(core, step)
    edges = [
        (remainder, ByteSet.of([48 + digit]), (10 * remainder + digit) % core)
        for remainder in range(core)
        for digit in range(10)
    ]
    digits = Network(core, tuple(edges), 0, (0,))
    return union(literal("0"), sequence(union(EMPTY, literal("-")), digits, literal("0" * zeros)))


def _decimal_multiples(step: Fraction) -> Node:
    """All decimals that are multiples of ``step``, with at most one digit more after the point than ``step`` has.

    With ``step = n / 10**places`` a state is the remainder modulo ``n`` of the digits read so far, taken as a whole
    number, and how many of them stand after the point.
    """
    places = _places(step)
    modulus = int(step * 10**places)
    digits = places + 1
    _check_remainders(modulus * digits, step)
    edges: list[tuple[int, Node | None, int]] = []
    layers = digits + 2  # layer 0: before the point; layer 1 + k: k digits after it
    for remainder in range(modulus):
        edges.append((remainder, literal("."), modulus + remainder))
        for layer in range(layers - 1):
            after, spent = (layer + 1, layer > places) if layer else (0, False)
            for digit in (0,) if spent else range(10):
                target = remainder if spent else (10 * remainder + digit) % modulus
                edges.append((layer * modulus + remainder, ByteSet.of([48 + digit]), after * modulus + target))
    finals = []
    for layer in range(layers):
        if layer == 1:
            continue  # "7." is not a number
        missing = places - min(max(layer - 1, 0), places)
        finals += [layer * modulus + r for r in range(modulus) if r * 10**missing % modulus == 0]
    return sequence(union(EMPTY, literal("-")), Network(layers * modulus, tuple(edges), 0, tuple(finals)))
