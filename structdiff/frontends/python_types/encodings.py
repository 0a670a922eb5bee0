"""Texts that stand for bytes or for other texts: Base64, hexadecimal digits, JSON inside a string.

>>> from structdiff.automata.compiling import compile_tree
>>> from structdiff.automata.tree import literal
>>> base64_of(compile_tree(literal("hello")), STANDARD).shortest()
b'aGVsbG8='
"""

from __future__ import annotations

import json
import string

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import ANY_BYTE, ByteSet, Network, Node, Repeat, literal
from structdiff.automata.unicode import ANY_CHAR

STANDARD = (string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/").encode()
URL_SAFE = STANDARD[:-2] + b"-_"
_HEX = b"0123456789abcdef"


def any_bytes(low: int = 0, high: int | None = None) -> ByteAutomaton:
    """Any bytes, that many."""
    return compile_tree(Repeat(ANY_BYTE, low, high))


def utf8(low: int = 0, high: int | None = None) -> ByteAutomaton:
    """Texts of that many bytes in UTF-8."""
    text = compile_tree(Repeat(ANY_CHAR))
    return text if not low and high is None else text & any_bytes(low, high)


def base64_of(content: ByteAutomaton, alphabet: bytes) -> ByteAutomaton:
    """The Base64 forms, with padding, of the byte strings in ``content``.

    A state is a state of ``content`` with the bits read so far that do not make a byte yet.
    """
    if content.is_empty:
        return content
    moves, accepting = content.by_byte.tolist(), content.accepting.tolist()
    number: dict[tuple[int, int, int], int] = {(0, 0, 0): 0}
    pending = [(0, 0, 0)]
    edges: list[tuple[int, Node | None, int]] = []
    finals = []
    while pending:
        state, width, bits = place = pending.pop()
        if width == 0 and accepting[state]:
            finals.append(number[place])
        if width in (2, 4) and bits == 0 and accepting[state]:
            edges.append((number[place], literal("=" * (width // 2)), -1))
        targets: dict[tuple[int, int, int], list[int]] = {}
        for value, char in enumerate(alphabet):
            joined, length, following = bits << 6 | value, width + 6, state
            if length >= 8:
                following = moves[state][joined >> (length - 8)]
                length -= 8
                joined &= (1 << length) - 1
            if following >= 0:
                targets.setdefault((following, length, joined), []).append(char)
        for target, chars in targets.items():
            if target not in number:
                number[target] = len(number)
                pending.append(target)
            edges.append((number[place], ByteSet.of(chars), number[target]))
    end = len(number)
    closed = tuple((source, node, end if target < 0 else target) for source, node, target in edges)
    return compile_tree(Network(end + 1, closed, 0, (*finals, end)))


def hexadecimal_of(content: ByteAutomaton) -> ByteAutomaton:
    """The byte strings in ``content`` as pairs of hexadecimal digits in lower case."""
    if content.is_empty:
        return content
    edges: list[tuple[int, Node | None, int]] = []
    size = content.states
    for state, row in enumerate(content.by_byte.tolist()):
        for high in range(16):
            targets: dict[int, list[int]] = {}
            for low in range(16):
                if row[high << 4 | low] >= 0:
                    targets.setdefault(row[high << 4 | low], []).append(_HEX[low])
            if targets:
                edges.append((state, ByteSet.of([_HEX[high]]), size))
                edges += [(size, ByteSet.of(chars), target) for target, chars in targets.items()]
                size += 1
    finals = tuple(state for state, final in enumerate(content.accepting.tolist()) if final)
    return compile_tree(Network(size, tuple(edges), 0, finals))


def json_texts(schema: str) -> ByteAutomaton:
    """The JSON texts of a JSON Schema, on one line."""
    from structdiff.frontends.json_schema import json_schema_tree

    return compile_tree(json_schema_tree(json.loads(schema), whitespace="compact"))
