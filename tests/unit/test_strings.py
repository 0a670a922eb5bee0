"""String literals against `json.loads` and `json.dumps`."""

import itertools
import json
import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structdiff.automata.byte_automaton import ByteAutomaton, of_words
from structdiff.automata.compiling import compile_tree
from structdiff.automata.literals import raw_literals
from structdiff.automata.tree import ByteSet, Network, Node, literal, sequence, union
from structdiff.frontends.regex.parser import parse_regex
from structdiff.frontends.values.strings import (
    _as_literal,
    _written,
    any_text,
    constant_string,
    json_string,
    plain_string,
)

TEXT = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from('"\\/\b\f\n\r\t\0\x1f\x7fé\u2028😀'))
)
EVERYTHING = compile_tree(json_string(compile_tree(any_text())))
ASCII = compile_tree(json_string(compile_tree(any_text()), ascii_only=True))
PLAIN = compile_tree(plain_string())


def decoded(data: bytes) -> str | None:
    """The text of a literal, or None where it is not JSON or holds half a surrogate pair."""
    try:
        text = json.loads(data.decode())
        text.encode()
    except (ValueError, UnicodeError):
        return None
    return text if isinstance(text, str) and not re.match(rb"\s|.*\s$", data, re.S) else None


@given(TEXT)
def test_every_text_has_its_canonical_literal(text: str) -> None:
    raw = json.dumps(text, ensure_ascii=False).encode()
    assert EVERYTHING.accepts(raw) and PLAIN.accepts(raw)
    assert compile_tree(constant_string(text)).accepts(raw)
    escaped = json.dumps(text.replace("\x7f", "")).encode()
    assert ASCII.accepts(escaped)
    assert compile_tree(constant_string(text.replace("\x7f", ""), ascii_only=True)).accepts(escaped)


PIECES = [
    '"',
    "\\",
    "\\u",
    "\\n",
    "u",
    "00",
    "1F",
    "1f",
    "0",
    "d83d",
    "DE00",
    "\n",
    "\x7f",
    "é",
    "/",
    "\\/",
    "\\ud83d\\ude00",
]


@pytest.mark.parametrize("automaton", [EVERYTHING, ASCII], ids=["raw", "ascii"])
def test_nothing_else_is_accepted(automaton: ByteAutomaton) -> None:
    for n in range(4):
        for pieces in itertools.product(PIECES, repeat=n):
            data = ('"' + "".join(pieces) + '"').encode()
            if automaton.accepts(data):
                text = decoded(data)
                assert text is not None, data
                spelled = json.dumps(text, ensure_ascii=automaton is ASCII).lower().encode()
                assert data.lower().replace(b"\x7f", b"\\u007f") == spelled.replace(b"\x7f", b"\\u007f")


@given(st.binary(max_size=6))
def test_random_bytes(data: bytes) -> None:
    data = b'"' + data + b'"'
    assert not EVERYTHING.accepts(data) or decoded(data) is not None


def test_invalid_utf8_is_never_accepted() -> None:
    for data in (b'"\xff"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xc3"', b'"\n"', b'"\x00"'):
        assert not EVERYTHING.accepts(data) and not PLAIN.accepts(data)


def test_plain_is_the_same_language() -> None:
    assert PLAIN == EVERYTHING
    for low, high in ((0, 0), (2, None), (1, 3)):
        assert compile_tree(plain_string(low, high)) == compile_tree(json_string(compile_tree(any_text(low, high))))


@given(st.lists(st.sampled_from(["a", "é", "😀", "\n", '"', "\\", "\x1f"]), max_size=6))
def test_lengths_count_code_points(chars: list[str]) -> None:
    text = "".join(chars)
    for ascii_only in (False, True):
        a = SIZED[ascii_only]
        assert a.accepts(json.dumps(text, ensure_ascii=ascii_only).encode()) == (2 <= len(text) <= 4)


SIZED = [compile_tree(json_string(compile_tree(any_text(2, 4)), ascii_only=ascii_only)) for ascii_only in (False, True)]


@cache
def pattern_automaton(pattern: str, ascii_only: bool) -> ByteAutomaton:
    return compile_tree(json_string(compile_tree(parse_regex(pattern)), ascii_only))


PATTERNS = [
    r"[^a]+",
    r"\W\w?",
    r".*\\.",
    r'["\n]{2}',
    "[à-ü]+",
    "[\U0001f400-\U0001f9ff]",
    "[\x00-\x1f]*",
    "[\uffff-\U00010401]",
]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("ascii_only", [False, True])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_patterns_are_about_decoded_text(pattern: str, ascii_only: bool, data: st.DataObject) -> None:
    a = pattern_automaton(pattern, ascii_only)
    scalars = st.characters(exclude_categories=["Cs"], exclude_characters="\x7f")
    for text in (
        data.draw(st.from_regex(pattern, fullmatch=True, alphabet=scalars)),
        data.draw(st.text(st.one_of(scalars, st.sampled_from('a"\\\nàü\uffff\U00010000')), max_size=3)),
    ):
        expected = bool(re.fullmatch(pattern, text))
        assert a.accepts(json.dumps(text, ensure_ascii=ascii_only).encode()) == expected


def test_the_empty_language_stays_empty() -> None:
    nothing = compile_tree(literal("a")) & compile_tree(literal("b"))
    assert compile_tree(json_string(nothing)).is_empty


@given(st.sets(st.integers(0, 0x7F), min_size=1))
@settings(deadline=None)
def test_grouped_escapes_equal_each_written_out(members: set[int]) -> None:
    one_by_one = union(*(_written(code) for code in sorted(members)))
    assert compile_tree(_as_literal(ByteSet.of(members).mask)) == compile_tree(one_by_one)


def by_the_tree(content: ByteAutomaton) -> Node:
    """The literals of ``content``, each edge rewritten as a tree: what `raw_literals` does on the table."""
    moves = content.moves
    steps = zip(moves.source.tolist(), moves.mask.tolist(), moves.target.tolist(), strict=True)
    edges = tuple((source, _as_literal(moves.masks[mask]), target) for source, mask, target in steps)
    finals = tuple(int(state) for state in np.flatnonzero(content.accepting))
    return sequence(literal('"'), Network(content.states, edges, 0, finals), literal('"'))


@given(without=st.lists(st.text(max_size=6), max_size=5), high=st.none() | st.integers(0, 3))
@settings(deadline=None)
def test_literals_from_the_table_equal_those_of_the_tree(without: list[str], high: int | None) -> None:
    content = compile_tree(any_text(0, high)) - of_words(text.encode() for text in without)
    if not content.is_empty:
        assert raw_literals(content) == compile_tree(by_the_tree(content))


@pytest.mark.parametrize("pattern", ["[a-fu0-9]*", "[\\x00-\\x1f]{2}", '(a|"|\\\\)+', "[^a-z]*b", "[à-ü😀]?x"])
def test_literals_of_patterns_equal_those_of_the_tree(pattern: str) -> None:
    content = compile_tree(parse_regex(pattern))
    assert raw_literals(content) == compile_tree(by_the_tree(content))


@given(st.lists(st.binary(max_size=5), max_size=6), st.booleans())
@settings(deadline=None)
def test_the_automaton_of_words_equals_that_of_their_union(words: list[bytes], all_bytes: bool) -> None:
    words += [bytes([byte]) for byte in range(256)] if all_bytes else []
    assert of_words(words) == compile_tree(union(*(literal(word) for word in words)))
