"""Multiples of a number, by the remainder of the digits read so far."""

from __future__ import annotations

from fractions import Fraction

from structdiff.automata.tree import EMPTY, ByteSet, Network, Node, literal, sequence, union
from structdiff.core.errors import UnsupportedSchema
from structdiff.frontends.values.ranges import SAFE_DIGITS, Bound, count_places, step_of

MOST_AFTER = 17
"""The most digits after the point of a multiple that is no integer."""
MAX_REMAINDERS = 4096
"""The largest remainder automaton built for ``multipleOf``."""


def multiple_digits(step: Bound | Fraction) -> tuple[int, int]:
    """How many digits before and after the point a multiple of ``step`` is followed to.

    >>> multiple_digits(0.5)
    (13, 2)
    """
    exact = step if isinstance(step, Fraction) else step_of(step)
    after = min(MOST_AFTER, count_places(exact) + 1)
    return max(SAFE_DIGITS - after, 1), after


def _check_remainders(count: int, step: Fraction | int) -> None:
    if count > MAX_REMAINDERS:
        raise UnsupportedSchema(
            "", "multipleOf", f"{step} needs more than {MAX_REMAINDERS} remainders to keep track of"
        )


def integer_multiples(step: int) -> Node:
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


def decimal_multiples(step: Fraction) -> Node:
    """All decimals that are multiples of ``step``, with at most one digit more after the point than ``step`` has.

    With ``step = n / 10**places`` a state is the remainder modulo ``n`` of the digits read so far, taken as a whole
    number, and how many of them stand after the point.
    """
    places = count_places(step)
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
