"""Code point sets against Python's own UTF-8 codec, `re` and `unicodedata`."""

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from structdiff.automata import unicode
from structdiff.automata.tree import ByteSet, Node, Sequence, Union

RANGE = st.tuples(st.integers(0, sys.maxunicode), st.integers(0, sys.maxunicode))
SMALL = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)))


def byte_strings(node: Node) -> set[bytes]:
    """Every byte string of a finite tree of byte sets."""
    if isinstance(node, ByteSet):
        return {bytes([b]) for b in range(256) if node.mask >> b & 1}
    if isinstance(node, Union):
        return set().union(*(byte_strings(item) for item in node.items))
    assert isinstance(node, Sequence)
    out = {b""}
    for item in node.items:
        tails = byte_strings(item)
        out = {head + tail for head in out for tail in tails}
    return out


def members(ranges: unicode.Ranges) -> set[int]:
    return {c for low, high in ranges for c in range(low, high + 1)}


def test_any_char_is_every_scalar_value() -> None:
    expected = {chr(c).encode() for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF}
    assert byte_strings(unicode.ANY_CHAR) == expected


@given(RANGE)
def test_one_range_is_encoded_as_the_codec_does(bounds: tuple[int, int]) -> None:
    low = min(bounds)
    high = min(max(bounds), low + 3000)
    expected = {chr(c).encode() for c in range(low, high + 1) if not 0xD800 <= c <= 0xDFFF}
    assert byte_strings(unicode.code_points(((low, high),))) == expected


@given(SMALL, SMALL)
def test_set_algebra(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    x, y = unicode.normalize(a), unicode.normalize(b)
    assert members(unicode.join(x, y)) == members(x) | members(y)
    assert members(unicode.intersect(x, y)) == members(x) & members(y)
    assert members(unicode.subtract(x, y)) == members(x) - members(y)
    assert unicode.complement(unicode.complement(x)) == x


@pytest.mark.parametrize("letter", "dwsDWS")
@pytest.mark.parametrize("ascii_only", [False, True])
def test_python_classes(letter: str, ascii_only: bool) -> None:
    match = re.compile(f"\\{letter}", re.ASCII if ascii_only else 0).match
    expected = {c for c in range(sys.maxunicode + 1) if match(chr(c))}
    assert members(unicode.python_class(letter, ascii_only)) == expected


def test_ecma_space_is_the_list_of_the_standard() -> None:
    codes = [*range(9, 14), 0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF]
    assert members(unicode.ecma_class("s")) == set(codes)
