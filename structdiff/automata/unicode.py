"""Sets of code points, and the bytes that spell them in UTF-8.

A set is a tuple of inclusive ranges, sorted, disjoint and not touching. ``code_points`` turns it into a node over
*valid* UTF-8 bytes: shortest forms only and no surrogates, whatever the set says.

>>> code_points(((0x41, 0x5A),))
ByteSet(65-90)
>>> code_points(((0xE9, 0xE9),))
Sequence(items=(ByteSet(195), ByteSet(169)))
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import lru_cache

from structdiff.automata.tree import ByteSet, Node, sequence, union

Ranges = tuple[tuple[int, int], ...]

EVERYTHING: Ranges = ((0, sys.maxunicode),)
_SCALARS: Ranges = ((0, 0xD7FF), (0xE000, sys.maxunicode))
_LENGTHS = ((0x80, 0x7FF, 0xC0, 1), (0x800, 0xFFFF, 0xE0, 2), (0x10000, 0x10FFFF, 0xF0, 3))
"""First and last code point of each longer form, its lead byte without payload, its number of continuation bytes."""


def normalize(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sorted, disjoint, not touching.

    >>> normalize([(5, 9), (1, 3), (4, 4), (20, 19)])
    ((1, 9),)
    """
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if low > high:
            continue
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def join(*sets: Ranges) -> Ranges:
    """The union of the sets.

    >>> join(((1, 2),), ((3, 4),))
    ((1, 4),)
    """
    return normalize(r for ranges in sets for r in ranges)


def complement(ranges: Ranges) -> Ranges:
    """Every code point outside the set.

    >>> complement(((0, 9), (11, 0x10FFFF)))
    ((10, 10),)
    """
    out, next_low = [], 0
    for low, high in ranges:
        if next_low < low:
            out.append((next_low, low - 1))
        next_low = high + 1
    if next_low <= sys.maxunicode:
        out.append((next_low, sys.maxunicode))
    return tuple(out)


def intersect(a: Ranges, b: Ranges) -> Ranges:
    """The code points in both sets.

    >>> intersect(((0, 9),), ((5, 20),))
    ((5, 9),)
    """
    return complement(join(complement(a), complement(b)))


def subtract(a: Ranges, b: Ranges) -> Ranges:
    """The code points of ``a`` that are not in ``b``."""
    return intersect(a, complement(b))


def of_chars(chars: Iterable[str]) -> Ranges:
    """The set of these characters.

    >>> of_chars("cab")
    ((97, 99),)
    """
    return normalize((ord(c), ord(c)) for c in chars)


def contains(ranges: Ranges, code: int) -> bool:
    """Whether the set has this code point."""
    return any(low <= code <= high for low, high in ranges)


@lru_cache(maxsize=4096)
def code_points(ranges: Ranges) -> Node:
    """The node that matches the UTF-8 form of exactly one code point of the set.

    The work is one split per byte: all lead bytes with the same set of tails share one branch, so that even the
    700 ranges of ``\\w`` give a small tree.
    """
    ranges = intersect(normalize(ranges), _SCALARS)
    parts: list[Node] = []
    ascii_part = intersect(ranges, ((0, 0x7F),))
    if ascii_part:
        parts.append(ByteSet.of(b for low, high in ascii_part for b in range(low, high + 1)))
    for first, last, lead, tail in _LENGTHS:
        part = intersect(ranges, ((first, last),))
        if part:
            parts.append(_encode(part, lead, tail))
    return union(*parts)


def _encode(ranges: Ranges, lead: int, tail: int) -> Node:
    """Code points written as the byte ``lead`` plus payload, then ``tail`` continuation bytes of six bits."""
    if tail == 0:
        return ByteSet.of(lead + v for low, high in ranges for v in range(low, high + 1))
    width = 6 * tail
    by_tails: dict[Ranges, list[int]] = {}
    top: dict[int, list[tuple[int, int]]] = {}
    for low, high in ranges:
        for payload in range(low >> width, (high >> width) + 1):
            base = payload << width
            top.setdefault(payload, []).append((max(low, base) - base, min(high, base + (1 << width) - 1) - base))
    for payload, tails in top.items():
        by_tails.setdefault(tuple(tails), []).append(lead + payload)
    return union(*(sequence(ByteSet.of(bytes_), _encode(tails, 0x80, tail - 1)) for tails, bytes_ in by_tails.items()))


ANY_CHAR: Node = code_points(EVERYTHING)
"""One character: one Unicode scalar value in UTF-8."""

ASCII_DIGIT: Ranges = of_chars("0123456789")
ASCII_WORD: Ranges = normalize([(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)])
ASCII_SPACE: Ranges = of_chars(" \t\n\r\f\v")


def _where(test: Callable[[str], bool]) -> Ranges:
    return normalize((c, c) for c in range(sys.maxunicode + 1) if test(chr(c)))


@lru_cache
def python_class(letter: str, ascii_only: bool = False) -> Ranges:
    """``\\d``, ``\\w``, ``\\s`` (and the capital complements) as ``re`` reads them in ``str`` patterns.

    >>> python_class("d", ascii_only=True)
    ((48, 57),)
    """
    if letter.isupper():
        return complement(python_class(letter.lower(), ascii_only))
    if ascii_only:
        return {"d": ASCII_DIGIT, "w": ASCII_WORD, "s": ASCII_SPACE}[letter]
    if letter == "d":
        return _where(str.isdecimal)
    if letter == "w":
        return join(_where(str.isalnum), of_chars("_"))
    return _where(str.isspace)


@lru_cache
def ecma_class(letter: str) -> Ranges:
    """``\\d``, ``\\w``, ``\\s`` (and the capital complements) as ECMA-262 defines them.

    >>> ecma_class("d")
    ((48, 57),)
    """
    if letter.isupper():
        return complement(ecma_class(letter.lower()))
    if letter == "s":
        return join(ASCII_SPACE, of_chars("\xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff"), ((0x2000, 0x200A),))
    return {"d": ASCII_DIGIT, "w": ASCII_WORD}[letter]
