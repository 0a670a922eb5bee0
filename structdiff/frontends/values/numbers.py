"""Numbers as JSON writes them, bounded exactly.

*Integers* are written ``0`` or ``-?[1-9][0-9]*``: no ``-0``, no ``1.0`` and no exponent, although JSON Schema counts
``1.0`` as an integer. *Numbers* are such an integer or one with digits after the point (never a negative zero): any
number of them, unless a bound is excluded or very far away (then `limited_digits` says how many). A number without
bounds may also use an exponent (``6.02e23``), small enough never to overflow a double. All bounds are decimal
arithmetic on digits: a float stands for the shortest decimal that names it.

``multipleOf`` is exact too: ``0.07`` is a multiple of ``0.01``, although a validator that divides floats denies it.

>>> from structdiff.automata.compiling import compile_tree
>>> a = compile_tree(number(minimum=0.25, exclusive_maximum=12))
>>> [a.accepts(text) for text in (b"0.25", b"0.249", b"11.99", b"12", b"12.0", b"-3")]
[True, False, True, False, False, False]
"""

from __future__ import annotations

import sys
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
from structdiff.frontends.values.digits import (
    DIGIT,
    NONZERO,
    fraction_text,
    positive_integers,
    zero_text,
)
from structdiff.frontends.values.multiples import decimal_multiples, integer_multiples, multiple_digits
from structdiff.frontends.values.ranges import (
    SAFE_DIGITS,
    Bound,
    Range,
    clear_part,
    digits_after_point,
    limits_digits,
    reached,
    span_of,
    step_of,
    whole_ends,
)

INTEGER_DIGITS = 17
"""Digits before the point of a number that no bound limits further."""
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
    low, high = whole_ends(span)
    step = 1 if multiple_of is None else step_of(multiple_of).numerator
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
    fraction_digits = digits_after_point(span)
    if step is not None:
        most_whole, most_after = multiple_digits(step)
        after = most_after if fraction_digits is None else min(fraction_digits, most_after)
        node = _decimals(span, max(SAFE_DIGITS - after, most_whole), after)
        return NEVER if node == NEVER else _both(node, decimal_multiples(step))
    node = union(_decimals(span, INTEGER_DIGITS, fraction_digits), _long_integers(span))
    near = clear_part(span)
    return node if near == span else union(node, _decimals(near, INTEGER_DIGITS, digits_after_point(near)))


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
    span = reached(span_of(minimum, maximum, exclusive_minimum, exclusive_maximum))
    digits = digits_after_point(span)
    if digits is None or span.empty:
        return {}
    ends = {"Minimum": (span.low, span.low_open), "Maximum": (span.high, span.high_open)}
    return {
        f"exclusive{name}" if is_open else name.lower(): digits
        for name, (end, is_open) in ends.items()
        if end is not None and limits_digits(end, is_open)
    }


def _long_integers(span: Range) -> Node:
    """The integers on the open sides of a range that are too long for `_decimals`."""

    def beyond(end: Fraction | None) -> Node:
        least = 0 if end is None else len(str(abs(int(end))))
        return positive_integers(10 ** max(INTEGER_DIGITS, least + 1), None)

    return union(
        beyond(span.low) if span.high is None else NEVER,
        sequence(literal("-"), beyond(span.high)) if span.low is None else NEVER,
    )


def _decimals(span: Range, whole_digits: int, fraction_digits: int | None) -> Node:
    return union(
        zero_text(fraction_digits) if span.has(Fraction(0)) else NEVER,
        _positive_decimals(span.above_zero(), whole_digits, fraction_digits),
        sequence(literal("-"), _positive_decimals(span.mirrored().above_zero(), whole_digits, fraction_digits)),
    )


def any_number(brief: bool = False) -> Node:
    """Every number, as one small network: ``0``, ``-12``, ``3.50`` and, unless it is ``brief``, ``6.02e23``.

    Integers and fractions are as long as one likes; before a point stand `INTEGER_DIGITS` digits at most
    (`BRIEF_DIGITS` if brief), and exponents go from -307 to 307 with one digit before the point, so that no number is
    infinite. Zero has no sign.

    >>> from structdiff.automata.compiling import compile_tree
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
        parts.append(sequence(positive_integers(low_whole + 1, high_whole - 1), any_fraction))
    for whole, least, most, least_open, most_open in ends:
        bare_ok = least == 0 and not least_open and not (most == 0 and most_open)
        fractions = fraction_text(least, most, least_open, most_open, digits)
        parts.append(sequence(literal(str(whole)), union(EMPTY if bare_ok else NEVER, fractions)))
    return union(*parts)


def _both(a: Node, b: Node) -> Node:
    automaton = compile_tree(a) & compile_tree(b)
    return NEVER if automaton.is_empty else Embedded(automaton)
