"""Numbers in strings: decimals, integers, fractions, complex numbers, sizes in bytes.

>>> from decimal import Decimal
>>> a = decimals(max_digits=5, decimal_places=2, minimum=Decimal(0))
>>> [a.accepts(text) for text in (b"123.45", b"1234.5", b"0.05", b"-1")]
[True, False, True, False]
"""

from __future__ import annotations

from decimal import Decimal, localcontext

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import EMPTY, NEVER, Node, Repeat, literal, optional, sequence, union
from structdiff.frontends.regex.parser import parse_regex
from structdiff.frontends.values.digits import DIGIT, NONZERO
from structdiff.frontends.values.numbers import integer, number
from structdiff.frontends.values.ranges import Bound

_PLAIN = parse_regex("-?(?:0|[1-9][0-9]*)(?:\\.[0-9]+)?")
_UNITS = "|".join(f"{prefix}{unit}" for prefix in "kKmMGTPE" for unit in ("B", "iB", "bit", "ibit"))


def decimals(
    minimum: Bound | None = None,
    maximum: Bound | None = None,
    exclusive_minimum: Bound | None = None,
    exclusive_maximum: Bound | None = None,
    multiple_of: Bound | None = None,
    max_digits: int | None = None,
    decimal_places: int | None = None,
    quotient_digits: int | None = None,
) -> ByteAutomaton:
    """Decimals without an exponent, in the range and with so many digits in all and after the point.

    ``quotient_digits``: how many digits the value may have in steps of ``multiple_of``.
    """
    limits = (minimum, maximum, exclusive_minimum, exclusive_maximum, multiple_of)
    texts = compile_tree(_PLAIN)
    if any(limit is not None for limit in limits):
        texts = texts & compile_tree(number(*limits))
    if multiple_of is not None and quotient_digits is not None:
        with localcontext(prec=1_000):
            most = Decimal(multiple_of) * (10**quotient_digits - 1)
            texts = texts & compile_tree(number(-most, most))
    if max_digits is not None or decimal_places is not None:
        texts = texts & compile_tree(_digits(max_digits, decimal_places))
    return texts


def _digits(total: int | None, places: int | None) -> Node:
    if total is None:
        return sequence(parse_regex("-?[0-9]+"), _after(0, places))
    most_after = total if places is None else min(places, total)
    parts: list[Node] = []
    for after in range(most_after + 1):
        before = total - (after if places is None else places)
        if before > 0:
            whole = sequence(NONZERO, Repeat(DIGIT, 0, before - 1))
            parts.append(sequence(union(whole, literal("0")), _after(after, after)))
        elif after:
            digits = compile_tree(Repeat(DIGIT, after, after)) - compile_tree(Repeat(literal("0"), after, after))
            parts.append(sequence(literal("0."), _embedded(digits)))
    return sequence(optional(literal("-")), union(*parts))


def _embedded(automaton: ByteAutomaton) -> Node:
    from structdiff.automata.tree import Embedded

    return NEVER if automaton.is_empty else Embedded(automaton)


def _after(low: int, high: int | None) -> Node:
    """The point and so many digits; none at all without the point."""
    if high == 0:
        return EMPTY
    some = sequence(literal("."), Repeat(DIGIT, max(low, 1), high))
    return some if low else optional(some)


def integers(
    minimum: Bound | None = None, maximum: Bound | None = None, multiple_of: Bound | None = None
) -> ByteAutomaton:
    """Integers as JSON writes them."""
    return compile_tree(integer(minimum, maximum, None, None, multiple_of))


def fractions() -> ByteAutomaton:
    """``-3/4``, ``3`` and ``0.75``; up to 30 digits."""
    return compile_tree(parse_regex("-?(?:0|[1-9][0-9]{0,29})(?:/[1-9][0-9]{0,29}|\\.[0-9]{1,30})?"))


def complexes() -> ByteAutomaton:
    """``1``, ``-2j`` and ``1.5+2j``."""
    plain = "(?:0|[1-9][0-9]{0,16})(?:\\.[0-9]{1,17})?"
    return compile_tree(parse_regex(f"-?{plain}(?:j|[+-]{plain}j)?"))


def byte_sizes() -> ByteAutomaton:
    """``10KB``, ``1.5 GiB``, ``512``."""
    return compile_tree(parse_regex(f"(?:0|[1-9][0-9]{{0,14}})(?:\\.[0-9]{{1,6}})?(?: ?(?:B|b|bit|{_UNITS}))?"))
