"""The texts of the numbers in a shape.

What is written reads as a number of the set both as a decimal and as the nearest double, which is what most parsers
make of it: where one number must not pass for another, the digits are limited to those that tell doubles apart.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import EMPTY, NEVER, Embedded, Node, Repeat, literal, sequence, union
from structdiff.frontends.json_schema.leaves import FRACTION, INTEGERS, NUMBERS, WHOLE, ZEROS, NumberShape
from structdiff.frontends.values.digits import DIGIT, NONZERO
from structdiff.frontends.values.multiples import multiple_digits
from structdiff.frontends.values.numbers import decimal_digits, integer, number
from structdiff.frontends.values.ranges import SAFE_DIGITS

_DIGITS = Repeat(DIGIT)
_WHOLE = sequence(union(literal("-"), EMPTY), _DIGITS)
_KINDS = {
    WHOLE: _WHOLE,
    ZEROS: sequence(_WHOLE, literal("."), Repeat(literal("0"), 1)),
    FRACTION: sequence(_WHOLE, literal("."), _DIGITS, NONZERO, _DIGITS),
}


@lru_cache(maxsize=1024)
def write_number(shape: NumberShape) -> Node:
    """The texts of the numbers in a shape.

    >>> half = frozenset({Decimal("0.5")})
    >>> a = compile_tree(write_number(NumberShape(low=Decimal(0), kinds=frozenset({FRACTION}), without=half)))
    >>> [a.accepts(text) for text in (b"0.25", b"0.50", b"1.0", b"1.5")]
    [True, False, False, True]
    """
    if shape.only is not None:
        return union(*(text for value in sorted(shape.only) for text in _spellings(value, shape.kinds)))
    make = integer if WHOLE in shape.kinds <= INTEGERS else number
    steps, spans = sorted(shape.multiples), _spans(shape) if make is number else [_span(shape)]
    as_it_is = make is integer or shape.kinds == NUMBERS
    removed = shape.without if make is integer or len(shape.without) > MAX_GAPS else frozenset()

    def within(step: Decimal | None) -> Node:
        return union(*(make(*span, step) for span in spans))

    node = within(steps[0] if steps else None)
    if node == NEVER or (len(steps) < 2 and not shape.others and not removed and as_it_is):
        return node
    automaton = compile_tree(node)
    for step in steps[1:]:
        automaton = automaton & compile_tree(within(step))
    if make is number and (shape.others or removed or not as_it_is):
        automaton = automaton & _told_apart()
    for step in sorted(shape.others):
        if make is number:  # with no more digits than those of which every multiple is known
            automaton = automaton & compile_tree(union(_WHOLE, decimal_digits(*multiple_digits(step))))
        automaton = automaton - compile_tree(make(multiple_of=step))
    if removed:
        automaton = automaton - compile_tree(union(*(number(value, value) for value in sorted(removed))))
    if not as_it_is:
        automaton = automaton & compile_tree(union(*(_KINDS[kind] for kind in sorted(shape.kinds))))
    return NEVER if automaton.is_empty else Embedded(automaton)


MAX_GAPS = 32
"""A range without so many constants is written as the ranges between them."""
_Span = tuple[Decimal | None, Decimal | None, Decimal | None, Decimal | None]
"""Minimum, maximum, exclusive minimum, exclusive maximum."""


def _span(shape: NumberShape) -> _Span:
    low, above = (None, shape.low) if shape.low_open else (shape.low, None)
    high, below = (None, shape.high) if shape.high_open else (shape.high, None)
    return low, high, above, below


def _spans(shape: NumberShape) -> list[_Span]:
    """The range of a shape, in the parts between the constants that are not in it."""
    gaps = sorted(value for value in shape.without if replace(shape, without=frozenset()).allows(value))
    if not gaps or len(gaps) > MAX_GAPS:
        return [_span(shape)]
    low, high, above, below = _span(shape)
    inner: list[_Span] = [(None, None, one, other) for one, other in itertools.pairwise(gaps)]
    return [(low, None, above, gaps[0]), *inner, (None, high, gaps[-1], below)]


@lru_cache(maxsize=1)
def _told_apart() -> ByteAutomaton:
    """Integers, and decimals of so few digits that no two are the same double."""
    decimals = (decimal_digits(whole, SAFE_DIGITS - whole) for whole in range(1, SAFE_DIGITS))
    return compile_tree(union(_WHOLE, *decimals))


def left_out(shape: NumberShape) -> tuple[tuple[str, str], ...]:
    """What `write_number` leaves out of a shape: keywords and reasons. The doubles count, however they are written.

    >>> left_out(NumberShape(multiples=frozenset({Decimal("0.01")})))
    (('multipleOf', 'no number with a point has more than 12 digits before it'),)
    >>> left_out(NumberShape(low=Decimal(0), low_open=True)), left_out(NumberShape(without=frozenset({Decimal(1)})))
    ((), ())
    """
    if shape.only is not None or WHOLE in shape.kinds <= INTEGERS:
        return ()
    found = []
    for step in sorted(shape.multiples)[:1]:
        whole = multiple_digits(step)[0]
        found.append(("multipleOf", f"no number with a point has more than {whole} digits before it"))
    if shape.others or shape.kinds != NUMBERS or len(shape.without) > MAX_GAPS:
        found.append(("not", f"no number with a point has more than {SAFE_DIGITS} digits"))
    return tuple(found)


def _spellings(value: Decimal, kinds: frozenset[str]) -> list[Node]:
    """How a constant is written: an integer with and without ``.0``."""
    if value != value.to_integral_value() or abs(value) >= 10**400:
        return [literal(repr(float(value)))]
    whole = str(int(value))
    return [
        *([literal(whole)] if WHOLE in kinds else []),
        *([literal(whole + ".0")] if ZEROS in kinds and abs(value) < 10**15 else []),
    ]
