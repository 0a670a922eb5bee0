"""Digit strings between two others: whole numbers and what stands behind a point."""

from __future__ import annotations

from fractions import Fraction

from structdiff.automata.tree import NEVER, ByteSet, Network, Node, Repeat, literal, sequence, union
from structdiff.frontends.values.ranges import count_places

DIGIT = ByteSet.of(b"0123456789")
NONZERO = ByteSet.of(b"123456789")


def positive_integers(low: int, high: int | None) -> Node:
    """``low`` (at least 1) to ``high``, one small network per length that a bound cuts.

    >>> positive_integers(1, None)
    Sequence(items=(ByteSet(49-57), Repeat(item=ByteSet(48-57), low=0, high=None)))
    """
    if high is None:
        least = len(str(low))
        longer = sequence(NONZERO, Repeat(DIGIT, least, None))
        if low == 10 ** (least - 1):
            return sequence(NONZERO, Repeat(DIGIT, least - 1, None))
        return union(digit_strings(str(low), "9" * least), longer)
    if low > high:
        return NEVER
    first, last = str(low), str(high)
    if len(first) == len(last):
        return digit_strings(first, last)
    between: Node = NEVER
    if len(last) - len(first) > 1:
        between = sequence(NONZERO, Repeat(DIGIT, len(first), len(last) - 2))
    return union(digit_strings(first, "9" * len(first)), between, digit_strings("1" + "0" * (len(last) - 1), last))


def digit_strings(
    low: str, high: str | None, *, stop_early: bool = False, low_open: bool = False,
    endless: bool = False,
) -> Node:  # fmt: skip
    """Digit strings between two of the same length; a state is (place, still equal to low, still equal to high).

    With ``stop_early`` the strings are fractions: they may end after any digit, as if zeros followed. With ``endless``
    digits may follow too. ``high`` None: up to the end of all strings.

    >>> from structdiff.automata.compiling import compile_tree
    >>> a = compile_tree(digit_strings("250", "300", stop_early=True))
    >>> [a.accepts(text) for text in (b"2", b"25", b"299", b"3", b"300", b"301")]
    [False, True, True, True, True, False]
    >>> a = compile_tree(digit_strings("25", "30", stop_early=True, endless=True))
    >>> [a.accepts(text) for text in (b"2499", b"2501", b"2999", b"3000", b"3001")]
    [False, True, True, True, False]
    """
    if high is not None and (low > high or (low == high and low_open)):
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
            if place and low_ok:
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


def fraction_text(low: Fraction, high: Fraction | None, low_open: bool, digits: int | None) -> Node:
    """``.`` and a fraction from ``low`` to ``high`` (``None``: below one), of ``digits`` digits or any number."""
    size = digits or max(count_places(low), count_places(high or Fraction(0)), 1)
    scale = 10**size
    # subtle: an end with more digits than we write lies between two neighbours; move it inwards to the nearer one.
    first, last = (low * scale).__ceil__(), None if high is None else (high * scale).__floor__()
    if first >= scale:
        return NEVER
    body = digit_strings(
        f"{first:0{size}}", None if last is None else f"{last:0{size}}",
        stop_early=True, low_open=low_open and first == low * scale, endless=digits is None,
    )  # fmt: skip
    return sequence(literal("."), body)
