"""From the texts a string may hold to the literals that write them, state by state and without a tree.

Each state of the texts behind which something is escaped gets six more: after ``\\``, ``\\u``, ``\\u0``, ``\\u00``,
``\\u000`` and ``\\u001``.
"""

from __future__ import annotations

import numpy as np

from structdiff.automata.byte_automaton import ByteAutomaton, minimal

SHORT_ESCAPES = {0x22: b'\\"', 0x5C: b"\\\\", 0x0A: b"\\n", 0x0D: b"\\r", 0x09: b"\\t", 0x08: b"\\b", 0x0C: b"\\f"}


def _kinds() -> np.ndarray:
    """uint8[256]: 0 for bytes that only stand for themselves, 1 for control characters, one number for each other."""
    kinds = np.zeros(256, np.int64)
    kinds[:0x20] = 1
    for number, byte in enumerate(b'"\\u0123456789abcdefABCDEFnrt'):
        kinds[byte] = 2 + number
    return kinds


KINDS = _kinds()


def raw_literals(content: ByteAutomaton) -> ByteAutomaton:
    """The literals of the texts in ``content`` (not empty), characters outside ASCII standing for themselves.

    >>> from structdiff.automata.byte_automaton import of_words
    >>> raw_literals(of_words([b'a"\\x1b'])).shortest()
    b'"a\\\\"\\\\u001B"'
    """
    pairs, first, byte_class = np.unique(KINDS * 256 + content.byte_class, return_index=True, return_inverse=True)
    S, columns = content.states, content.transitions + 2
    columns[content.transitions < 0] = -1
    escaped = np.array([*range(0x20), 0x22, 0x5C])
    held = np.flatnonzero((columns[:, np.unique(content.byte_class[escaped])] >= 0).any(1))
    E = len(held)
    table = np.full((2 + S + 6 * E, len(pairs)), -1, np.int32)
    start, end = 0, 1
    plain = slice(2, 2 + S)
    slash, u, u0, u00, u000, u001 = (slice(2 + S + i * E, 2 + S + (i + 1) * E) for i in range(6))
    states = np.arange(E, dtype=np.int32) + 2 + S

    def after(byte: int) -> np.ndarray:
        found: np.ndarray = columns[held, content.byte_class[byte]]
        return found

    raw = np.flatnonzero((first >= 0x20) & (first != 0x22) & (first != 0x5C))
    table[plain, raw] = columns[:, content.byte_class[first[raw]]]
    quote, backslash = byte_class[0x22], byte_class[0x5C]
    table[start, quote] = 2
    table[plain, quote] = np.where(content.accepting, end, -1)
    table[2 + held, backslash] = states
    for byte, escape in SHORT_ESCAPES.items():
        table[slash, byte_class[escape[1]]] = after(byte)
    table[slash, byte_class[ord("u")]] = states + E
    table[u, byte_class[ord("0")]] = states + 2 * E
    table[u0, byte_class[ord("0")]] = states + 3 * E
    table[u00, byte_class[ord("0")]] = states + 4 * E
    table[u00, byte_class[ord("1")]] = states + 5 * E
    for byte in range(0x20):
        if byte not in SHORT_ESCAPES:
            for digit in f"{byte & 15:x}{byte & 15:X}":
                table[u001 if byte >> 4 else u000, byte_class[ord(digit)]] = after(byte)
    accepting = np.zeros(len(table), bool)
    accepting[end] = True
    return minimal(table, accepting, byte_class.astype(np.uint8))
