"""JSON with marks in place of quotes, as Gemma 4 writes the arguments of a call: names bare, strings between two marks.

>>> read_marked('{city:<|"|>Bonn<|"|>,days:3}', 0)
({'city': 'Bonn', 'days': 3}, 28)
"""

from __future__ import annotations

import json
import re
from typing import Any

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import ByteSet, Network, literal
from structdiff.core.limits import Limits

MARK = '<|"|>'
"""What stands before and behind a string."""
_NAME = re.compile(r"(?:[\w.$-]|[^\x00-\x7f])+", re.ASCII)
_IN_NAME = sum(1 << b for b in range(256) if b >= 0x80 or chr(b).isalnum() or chr(b) in "_.$-")
_ESCAPED = {ord('"'): b'"', ord("\\"): b"\\", ord("n"): b"\n", ord("t"): b"\t"}
"""What a string is written as where JSON needs an escape; other escapes are not needed or not written."""
_ALL = (1 << 256) - 1
_OUTSIDE, _NAMED, _COLON, _TEXT, _LESS, _BAR, _ESCAPE, _BEHIND, _BEGUN = range(9)
"""Where a text stands: outside of strings, in a name, behind it, in a string, there behind ``<``, behind ``|`` and
behind a backslash, behind a string, at the beginning of a name."""


def _without(mask: int, *characters: str) -> int:
    for character in characters:
        mask &= ~(1 << ord(character))
    return mask


def marked(compact: ByteAutomaton, limits: Limits) -> ByteAutomaton:
    """The texts of compact JSON with marks in place of quotes.

    A name is made of letters, digits and ``_.$-``; a string holds neither ``<|`` nor ``|>``. What JSON can write and
    this form cannot is left out.

    >>> from structdiff.automata.byte_automaton import of_words
    >>> one = marked(of_words([b'{"a":"b\\\\"c"}', b'["a","<|"]']), Limits())
    >>> one.accepts(b'{a:<|"|>b"c<|"|>}'), one.accepts(b'[<|"|>a<|"|>,<|"|><|<|"|>]')
    (True, False)
    """
    edges: list[tuple[int, Any, int]] = []
    kinds = 9

    def at(state: int, kind: int) -> int:
        return state * kinds + kind

    quote = 1 << ord('"')
    moves = compact.moves
    for source, number, target in zip(moves.source.tolist(), moves.mask.tolist(), moves.target.tolist(), strict=True):
        mask = moves.masks[number]
        for kind, allowed in ((_OUTSIDE, _without(_ALL, '"')), (_BEHIND, _without(_ALL, '"', ":"))):
            if mask & allowed:
                edges.append((at(source, kind), ByteSet(mask & allowed), at(target, _OUTSIDE)))
        if mask & quote:
            # What a string is, a name or a value, is seen behind it: both are followed.
            edges += [(at(source, _OUTSIDE), None, at(target, _BEGUN)), (at(source, _NAMED), None, at(target, _COLON))]
            edges.append((at(source, _OUTSIDE), literal(MARK), at(target, _TEXT)))
            edges += [(at(source, kind), literal(MARK), at(target, _BEHIND)) for kind in (_TEXT, _LESS, _BAR)]
        if mask & _IN_NAME:
            edges += [(at(source, kind), ByteSet(mask & _IN_NAME), at(target, _NAMED)) for kind in (_BEGUN, _NAMED)]
        if mask & 1 << ord(":"):
            edges.append((at(source, _COLON), ByteSet(1 << ord(":")), at(target, _OUTSIDE)))
        for kind, barred in ((_TEXT, ()), (_LESS, ("|",)), (_BAR, (">",))):
            plain = _without(mask, '"', "\\", "<", "|", *barred)
            if plain:
                edges.append((at(source, kind), ByteSet(plain), at(target, _TEXT)))
            for character, after in (("<", _LESS), ("|", _BAR)):
                if mask & 1 << ord(character) and character not in barred:
                    edges.append((at(source, kind), ByteSet(1 << ord(character)), at(target, after)))
            if mask & 1 << ord("\\"):
                edges.append((at(source, kind), None, at(target, _ESCAPE)))
        for byte, written in _ESCAPED.items():
            if mask & 1 << byte:
                edges.append((at(source, _ESCAPE), literal(written), at(target, _TEXT)))
    finals = tuple(at(s, kind) for s in compact.accepting.nonzero()[0].tolist() for kind in (_OUTSIDE, _BEHIND))
    return compile_tree(Network(compact.states * kinds, tuple(edges), 0, finals), limits)


def read_marked(text: str, at: int) -> tuple[Any, int]:
    """The value that stands at a place of a text, and where it ends; raises `ValueError` where none does."""
    if text.startswith(MARK, at):
        end = text.index(MARK, at + len(MARK))
        return text[at + len(MARK) : end], end + len(MARK)
    if text[at : at + 1] == "[":
        items, at = [], at + 1
        while text[at : at + 1] != "]":
            item, at = read_marked(text, at + (text[at] == ","))
            items.append(item)
        return items, at + 1
    if text[at : at + 1] != "{":
        return json.JSONDecoder().raw_decode(text, at)
    members: dict[str, Any] = {}
    at += 1
    while text[at : at + 1] != "}":
        name = _NAME.match(text, at + (text[at : at + 1] == ","))
        if name is None or text[name.end() : name.end() + 1] != ":":
            raise ValueError(f"no name of a member at {at}: {text[at : at + 20]!r}")
        members[name[0]], at = read_marked(text, name.end() + 1)
    return members, at + 1
