"""Numbers as JSON writes them, bounded exactly.

*Integers* are written ``0`` or ``-?[1-9][0-9]*``: no ``-0``, no ``1.0`` and no exponent, although JSON Schema counts
``1.0`` as an integer. *Numbers* are such an integer or one with any number of digits after the point (never a negative
zero); without bounds, and next to an excluded zero, they may also have an exponent (``6.02e23``), small enough never to
overflow a double. A number is in its range both as a decimal and as the double nearest to it, and every double of the
range is written. All bounds are decimal arithmetic on digits: a float stands for the shortest decimal that names it.

``multipleOf`` is exact too: ``0.07`` is a multiple of ``0.01``, although a validator that divides floats denies it.

>>> from structdiff.automata.compiling import compile_tree
>>> a = compile_tree(number(minimum=0.25, exclusive_maximum=12))
>>> [a.accepts(text) for text in (b"0.25", b"0.249", b"11.99", b"12", b"12.0", b"-3")]
[True, False, True, False, False, False]
"""

from __future__ import annotations

from fractions import Fraction

from structdiff.automata.compiling import compile_tree
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
from structdiff.frontends.values.digits import DIGIT, NONZERO, fraction_text, positive_integers
from structdiff.frontends.values.multiples import decimal_multiples, integer_multiples, multiple_digits
from structdiff.frontends.values.ranges import (
    MOST_PLACES,
    POINT_DIGITS,
    Bound,
    Range,
    nearest,
    reached,
    span_of,
    step_of,
    whole_ends,
    with_point,
)

BRIEF_DIGITS = 10
"""Digits before the point of a number deep inside free JSON: each costs a state wherever such a number may stand."""


def integer(
    minimum: Bound | None = None,
    maximum: Bound | None = None,
    exclusive_minimum: Bound | None = None,
    exclusive_maximum: Bound | None = None,
    multiple_of: Bound | None = None,
) -> Node:
    """The integers in the range, written canonically; NEVER if there is none.

    >>> from structdiff.automata.compiling import compile_tree
    >>> a = compile_tree(integer(minimum=-3, maximum=120, multiple_of=5))
    >>> [n for n in range(-200, 200) if a.accepts(str(n).encode())] == list(range(0, 121, 5))
    True
    """
    span = span_of(minimum, maximum, exclusive_minimum, exclusive_maximum)
    return _integers(span, 1 if multiple_of is None else step_of(multiple_of).numerator)


def _integers(span: Range, step: int) -> Node:
    """The multiples of ``step`` in a range."""
    low, high = whole_ends(span)
    if low is not None and high is not None:
        first, last = -(-low // step) * step, high // step * step
        if first > last:
            return NEVER
        if step > 1 and (last - first) // step < 64:
            return union(*(literal(str(n)) for n in range(first, last + 1, step)))
    node = union(
        literal("0") if span.has(Fraction(0)) else NEVER,
        positive_integers(1 if low is None else max(low, 1), high),
        sequence(literal("-"), positive_integers(1 if high is None else max(-high, 1), None if low is None else -low)),
    )
    if step == 1 or node == NEVER:
        return node
    return _both(node, integer_multiples(step))


def number(
    minimum: Bound | None = None,
    maximum: Bound | None = None,
    exclusive_minimum: Bound | None = None,
    exclusive_maximum: Bound | None = None,
    multiple_of: Bound | None = None,
) -> Node:
    """The numbers in the range as decimals (and with an exponent if nothing bounds them); NEVER if there is none.

    >>> from structdiff.automata.compiling import compile_tree
    >>> a = compile_tree(number(multiple_of=0.25, minimum=-1))
    >>> [a.accepts(text) for text in (b"7", b"7.5", b"7.750", b"7.8", b"-0.25", b"-1.25", b"1e3")]
    [True, True, True, False, True, False, False]
    """
    span = reached(span_of(minimum, maximum, exclusive_minimum, exclusive_maximum))
    if span.empty:
        return NEVER
    step = None if multiple_of is None else step_of(multiple_of)
    if span == Range() and step is None:
        return any_number()
    if step is None:
        return union(_integers(span, 1), _decimals(with_point(span), POINT_DIGITS, None), _next_to_zero(span))
    whole, after = multiple_digits(step)
    node = _decimals(with_point(span), whole, after)
    return union(_integers(span, step.numerator), NEVER if node == NEVER else _both(node, decimal_multiples(step)))


def _decimals(span: Range, whole_digits: int, digits: int | None) -> Node:
    """The decimals with a point in a closed range."""
    return union(
        sequence(literal("0."), Repeat(literal("0"), 1, digits)) if span.has(Fraction(0)) else NEVER,
        _positive_decimals(span.above_zero(), whole_digits, digits),
        sequence(literal("-"), _positive_decimals(span.mirrored().above_zero(), whole_digits, digits)),
    )


def _next_to_zero(span: Range) -> Node:
    """Next to an end at zero that is excluded, the numbers that only an exponent writes: all that are no zero."""
    positive, negative = span.low == 0 and span.low_open, span.high == 0 and span.high_open
    other, end = (span.high if positive else span.low), nearest(span)
    if not (positive or negative) or (other is not None and abs(other) < end):
        return NEVER
    exponent, places = ByteSet.of(b"eE"), len(str(end.denominator)) - 1
    fraction = union(EMPTY, sequence(literal("."), Repeat(DIGIT, 1, None)))
    sizes = union(
        sequence(NONZERO, fraction, exponent, literal("-"), positive_integers(places + 1, MOST_PLACES)),
        sequence(ByteSet.of(b"3456789"), fraction, exponent, literal(f"-{MOST_PLACES + 1}")),
    )
    return sizes if positive else sequence(literal("-"), sizes)


def any_number(brief: bool = False) -> Node:
    """Every number, as one small network: ``0``, ``-12``, ``3.50`` and, unless it is ``brief``, ``6.02e23``.

    Integers and fractions are as long as one likes; before a point stand `POINT_DIGITS` digits at most
    (`BRIEF_DIGITS` if brief), and exponents go from -307 to 307 with one digit before the point, so that no number is
    infinite. Zero has no sign.

    >>> from structdiff.automata.compiling import compile_tree
    >>> a = compile_tree(any_number())
    >>> [a.accepts(text) for text in (b"-0.05", b"-0.0", b"1e308", b"-1.5e-7", b"0.0", b"9" * 20)]
    [True, False, False, True, True, True]
    """
    zero, point = literal("0"), literal(".")
    digits = BRIEF_DIGITS if brief else POINT_DIGITS
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


def decimal_digits(whole: int, after: int) -> Node:
    """Decimals with at most so many digits before and after the point, ``-0`` among them.

    >>> from structdiff.automata.compiling import compile_tree
    >>> a = compile_tree(decimal_digits(2, 1))
    >>> [a.accepts(text) for text in (b"0.5", b"-12", b"12.5", b"123", b"0.25")]
    [True, True, True, False, False]
    """
    digits = union(literal("0"), sequence(NONZERO, Repeat(DIGIT, 0, whole - 1)))
    return sequence(union(EMPTY, literal("-")), digits, union(EMPTY, sequence(literal("."), Repeat(DIGIT, 1, after))))


def _positive_decimals(span: Range, whole_digits: int, digits: int | None) -> Node:
    """Decimals with a point in a range of positive values: the whole part at either end, then everything between."""
    if span.empty:
        return NEVER
    assert span.low is not None
    low_whole, end = int(span.low), 10**whole_digits
    if low_whole >= end:
        return NEVER
    low_part, high_part = span.low - low_whole, None
    high_whole = end - 1
    if span.high is not None and int(span.high) < end:
        high_whole = int(span.high)
        high_part = span.high - high_whole
    if low_whole == high_whole:
        return _whole_with(low_whole, low_part, high_part, span.low_open, digits)
    between = positive_integers(low_whole + 1, high_whole - 1)
    return union(
        _whole_with(low_whole, low_part, None, span.low_open, digits),
        sequence(between, literal("."), Repeat(DIGIT, 1, digits)),
        _whole_with(high_whole, Fraction(0), high_part, False, digits),
    )


def _whole_with(whole: int, low: Fraction, high: Fraction | None, low_open: bool, digits: int | None) -> Node:
    return sequence(literal(str(whole)), fraction_text(low, high, low_open, digits))


def _both(a: Node, b: Node) -> Node:
    automaton = compile_tree(a) & compile_tree(b)
    return NEVER if automaton.is_empty else Embedded(automaton)
