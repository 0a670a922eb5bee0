"""Unicode properties against the standard library and the package ``regex``."""

import unicodedata

import pytest

from structdiff.automata import properties, unicode
from structdiff.core.errors import InvalidSchema, UnsupportedSchema

SETTLED = [code for low, high in properties.settled() for code in range(low, high + 1)]


def settled_members(ranges: unicode.Ranges) -> set[int]:
    kept = unicode.intersect(ranges, properties.settled())
    return {code for low, high in kept for code in range(low, high + 1)}


@pytest.mark.parametrize(
    ("name", "short"),
    [("L", "L"), ("Letter", "L"), ("gc=Lu", "Lu"), ("digit", "Nd"), ("Cn", "Cn"), ("C", "C"), ("Cs", "Cs")],
)
def test_categories(name: str, short: str) -> None:
    expected = {code for code in SETTLED if unicodedata.category(chr(code)).startswith(short)}
    assert settled_members(properties.ecma_property(name)) == expected


@pytest.mark.parametrize(
    "name",
    [
        "Script=Han", "sc=Grek", "Script_Extensions=Arabic", "scx=Latn", "Alphabetic", "Emoji_Presentation", "EPres",
        "White_Space", "ID_Start", "Uppercase", "Ideographic",
    ],
)  # fmt: skip
def test_properties_are_those_of_another_engine(name: str) -> None:
    regex = pytest.importorskip("regex", reason="the package regex is not installed")
    text = "".join(map(chr, SETTLED))
    expected = {ord(char) for char in regex.findall(rf"\p{{{name}}}", text)}
    differing = settled_members(properties.ecma_property(name)) ^ expected
    assert len(differing) <= 6  # Unicode changes its mind about a few


def test_a_script_wants_its_key_in_ecma_and_not_in_rust() -> None:
    with pytest.raises(InvalidSchema, match="Script=Greek"):
        properties.ecma_property("Greek")
    assert properties.rust_property("greek") == properties.ecma_property("Script=Greek")
    for name in ("Script=Klingon", "Klingon", "script=Greek", "alphabetic", "gc=Alphabetic"):
        with pytest.raises(InvalidSchema):
            properties.ecma_property(name)


def test_rust_names_are_loose_and_may_be_negated() -> None:
    assert properties.rust_property("Is_White space") == properties.ecma_property("White_Space")
    assert properties.rust_property("gc!=L") == unicode.complement(properties.category("L"))
    with pytest.raises(UnsupportedSchema, match="age=3.0"):
        properties.rust_property("age=3.0")


def test_case_folding_is_simple_and_symmetric() -> None:
    assert properties.case_folded(unicode.of_chars("ß")) == unicode.of_chars("ßẞ")
    assert properties.case_folded(unicode.of_chars("σ")) == unicode.of_chars("σςΣ")
    assert properties.case_folded(unicode.of_chars("ıi")) == unicode.of_chars("ıiI")
