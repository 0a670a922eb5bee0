"""JSON string literals: from the text a string holds to the bytes that write it.

Patterns, lengths and formats are languages of *decoded* text. They are intersected there, as byte automata over UTF-8,
and `json_string` then rewrites the result edge by edge into the language of literals: quotes around it, every
character that JSON wants escaped in its canonical escape (``\\"``, ``\\\\``, ``\\n``, ``\\u001f``), any other
character as itself. So every text has one spelling, except that the hex digits of ``\\u001f`` may be of either case.

>>> from structdiff.automata.compiling import compile_tree
>>> a = compile_tree(json_string(compile_tree(literal('say "hi"'))))
>>> a.shortest()
b'"say \\\\"hi\\\\""'
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.automata.literals import SHORT_ESCAPES, raw_literals
from structdiff.automata.tree import ByteSet, Embedded, Network, Node, Repeat, literal, sequence, union
from structdiff.automata.unicode import ANY_CHAR, code_points
from structdiff.core.recent import Recent

QUOTE = literal('"')


_KEPT: Recent[Node] = Recent(limit=64 << 20)
"""Plain strings by their lengths: many schemas have the same few."""


def plain_string(min_length: int = 0, max_length: int | None = None) -> Node:
    """The literal of any text of ``min_length`` to ``max_length`` code points.

    >>> from structdiff.automata.compiling import compile_tree
    >>> a = compile_tree(plain_string(1, 2))
    >>> [a.accepts(text.encode()) for text in ('""', '"é"', '"😀\\\\n"', '"abc"')]
    [False, True, True, False]
    """
    known = _KEPT.get((min_length, max_length))
    if known is None:
        automaton = compile_tree(sequence(QUOTE, Repeat(LITERAL_CHAR, min_length, max_length), QUOTE))
        known = Embedded(automaton)
        _KEPT.put((min_length, max_length), known, size=automaton.transitions.nbytes)
    return known


@lru_cache(maxsize=1)
def brief_string() -> Node:
    """The literal of any text without the control characters that only ``\\u00XX`` writes: a quarter fewer states.

    >>> from structdiff.automata.compiling import compile_tree
    >>> a = compile_tree(brief_string())
    >>> [a.accepts(text.encode()) for text in ('""', '"é😀\\\\n\\\\""', '"\\\\u001b"')]
    [True, True, False]
    """
    return _finished(sequence(QUOTE, Repeat(union(RAW_CHAR, _SHORT_ESCAPE), 0, None), QUOTE))


def any_text(min_length: int = 0, max_length: int | None = None) -> Node:
    """Decoded text of that many code points: what `json_string` takes, for intersections."""
    return Repeat(ANY_CHAR, min_length, max_length)


def constant_string(text: str, ascii_only: bool = False) -> Node:
    """The literal of exactly ``text``.

    >>> constant_string('a"b')
    Literal(data=b'"a\\\\"b"')
    """
    return sequence(QUOTE, *(_written(ord(char), ascii_only) for char in text), QUOTE)


def json_string(content: ByteAutomaton, ascii_only: bool = False) -> Node:
    """The literals of the texts in ``content``, a byte automaton over valid UTF-8.

    With ``ascii_only`` every character outside ASCII is written as ``\\uXXXX`` escapes (two for those above U+FFFF).
    """
    if content.is_empty:
        return union()
    if not ascii_only:
        return Embedded(raw_literals(content))
    finals = tuple(int(state) for state in np.flatnonzero(content.accepting))
    return _finished(sequence(QUOTE, Network(content.states, tuple(_ascii_edges(content)), 0, finals), QUOTE))


def _finished(node: Node) -> Node:
    """The node as a minimal automaton: made once here, and not wherever the string stands."""
    return Embedded(compile_tree(node))


@lru_cache(maxsize=4096)
def _written(code: int, ascii_only: bool = False) -> Node:
    """How one character is written inside a literal."""
    if code in SHORT_ESCAPES:
        return literal(SHORT_ESCAPES[code])
    if code < 0x20 or (ascii_only and code > 0x7F):
        units = [code] if code < 0x10000 else [0xD800 + (code - 0x10000 >> 10), 0xDC00 + (code & 0x3FF)]
        return sequence(*(_unicode_escape(unit) for unit in units))
    return literal(chr(code))


def _hex_digit(values: Iterable[int]) -> ByteSet:
    """One hexadecimal digit of either case with a value in ``values``."""
    return ByteSet.of(ord(c) for value in values for c in f"{value:x}{value:X}")


def _unicode_escape(unit: int) -> Node:
    """``\\uXXXX`` for one UTF-16 code unit."""
    return sequence(literal("\\u"), *(_hex_digit(range(int(d, 16), int(d, 16) + 1)) for d in f"{unit:04x}"))


@lru_cache(maxsize=4096)
def _as_literal(mask: int) -> Node:
    """One byte of decoded text out of a set (bits as in `ByteSet`), as it stands in a literal.

    Escapes are grouped by what they share: written one by one they would be most of a schema's states.

    >>> _as_literal(1 << 0x1A | 1 << 0x1B).items[1]
    ByteSet(65-66,97-98)
    """
    members = [byte for byte in range(256) if mask >> byte & 1]
    raw = [byte for byte in members if byte >= 0x20 and byte not in SHORT_ESCAPES]
    short = [SHORT_ESCAPES[byte][1] for byte in members if byte in SHORT_ESCAPES]
    parts: list[Node] = [ByteSet.of(raw)] if raw else []
    if short:
        parts.append(sequence(literal("\\"), ByteSet.of(short)))
    for high in range(2):
        low = [byte & 15 for byte in members if byte >> 4 == high and byte not in SHORT_ESCAPES]
        if low:
            parts.append(sequence(literal(f"\\u00{high:x}"), _hex_digit(low)))
    return union(*parts)


# ------------------------------------------------------------------------------------------------------------- ASCII


Spans = dict[int, list[tuple[int, int]]]
"""For each target state the ranges of numbers that lead there."""


def _ascii_edges(content: ByteAutomaton) -> list[tuple[int, Node | None, int]]:
    """Whole characters instead of bytes: from each state, the set of characters that leads to each other state."""
    edges: list[tuple[int, Node | None, int]] = []
    memo: dict[tuple[int, int], Spans] = {}
    nodes: dict[tuple[tuple[int, int], ...], Node] = {}
    for state in range(content.states):
        row = content.by_byte[state].tolist()
        plain: dict[int, list[int]] = {}
        for byte in range(0x80):
            if row[byte] >= 0:
                plain.setdefault(row[byte], []).append(byte)
        edges += [(state, _as_literal(ByteSet.of(members).mask), target) for target, members in plain.items()]
        wide: Spans = {}
        for lead in range(0xC2, 0xF5):
            if row[lead] >= 0:
                tail = 1 + (lead >= 0xE0) + (lead >= 0xF0)
                _add(wide, _continued(content, row[lead], tail, memo), (lead & (0x3F >> tail)) << 6 * tail)
        for target, ranges in wide.items():
            key = tuple(ranges)
            if key not in nodes:
                nodes[key] = _escapes(ranges)
            edges.append((state, nodes[key], target))
    return edges


def _continued(content: ByteAutomaton, state: int, tail: int, memo: dict[tuple[int, int], Spans]) -> Spans:
    """What ``tail`` continuation bytes from ``state`` on spell, by the state they lead to."""
    if tail == 0:
        return {state: [(0, 0)]}
    if (state, tail) not in memo:
        spans: Spans = {}
        row = content.by_byte[state].tolist()
        for byte in range(0x80, 0xC0):
            if row[byte] >= 0:
                _add(spans, _continued(content, row[byte], tail - 1, memo), (byte & 0x3F) << 6 * (tail - 1))
        memo[state, tail] = spans
    return memo[state, tail]


def _add(spans: Spans, more: Spans, offset: int) -> None:
    """Append the ranges of ``more``, moved up by ``offset``; those that touch the last range extend it."""
    for target, ranges in more.items():
        known = spans.setdefault(target, [])
        for low, high in ranges:
            if known and known[-1][1] == low + offset - 1:
                known[-1] = (known[-1][0], high + offset)
            else:
                known.append((low + offset, high + offset))


def _escapes(ranges: list[tuple[int, int]]) -> Node:
    """Characters outside ASCII as escapes of UTF-16 code units."""
    parts: list[Node] = []
    for low, high in ranges:
        if low < 0x10000:
            parts.append(sequence(literal("\\u"), _hex_range(low, min(high, 0xFFFF), 4)))
        if high >= 0x10000:
            parts.append(_pairs(max(low, 0x10000) - 0x10000, high - 0x10000))
    return union(*parts)


def _pairs(low: int, high: int) -> Node:
    """Surrogate pairs for the offsets ``low`` to ``high``: the ten high bits, then the ten low bits."""
    parts: list[Node] = []
    for first, last, least, most in _split(low, high, 0x400):
        head = sequence(literal("\\u"), _hex_range(0xD800 + first, 0xD800 + last, 4))
        parts.append(sequence(head, literal("\\u"), _hex_range(0xDC00 + least, 0xDC00 + most, 4)))
    return union(*parts)


def _hex_range(low: int, high: int, digits: int) -> Node:
    """Hexadecimal numbers of ``digits`` digits, of either case, from ``low`` to ``high``.

    >>> from structdiff.automata.compiling import compile_tree
    >>> a = compile_tree(_hex_range(0x0FE, 0x102, 3))
    >>> [a.accepts(text) for text in (b"0fd", b"0Fe", b"102", b"103")]
    [False, True, True, False]
    """
    if digits == 1:
        return _hex_digit(range(low, high + 1))
    parts = [
        sequence(_hex_digit(range(first, last + 1)), _hex_range(least, most, digits - 1))
        for first, last, least, most in _split(low, high, 16 ** (digits - 1))
    ]
    return union(*parts)


def _split(low: int, high: int, base: int) -> list[tuple[int, int, int, int]]:
    """``low..high`` as blocks (first head, last head, first rest, last rest) of numbers ``head * base + rest``.

    >>> _split(7, 32, 10)
    [(0, 0, 7, 9), (1, 2, 0, 9), (3, 3, 0, 2)]
    """
    first, last = low // base, high // base
    if first == last:
        return [(first, last, low % base, high % base)]
    blocks = []
    if low % base:
        blocks.append((first, first, low % base, base - 1))
        first += 1
    if high % base != base - 1:
        if first < last:
            blocks.append((first, last - 1, 0, base - 1))
        return [*blocks, (last, last, 0, high % base)]
    return [*blocks, (first, last, 0, base - 1)]


RAW_CHAR: Node = code_points(((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x10FFFF)))
"""One character that stands in a literal as itself."""
_SHORT_ESCAPE: Node = _as_literal(sum(1 << code for code in SHORT_ESCAPES))
LITERAL_CHAR: Node = union(RAW_CHAR, _as_literal(sum(1 << c for c in [*range(0x20), 0x22, 0x5C])))
"""One character as it stands inside a literal."""
