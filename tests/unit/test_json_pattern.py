"""The ``pattern`` of JSON Schema, read as ECMA-262 and as Python's ``re`` together."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structdiff.automata.compiling import compile_tree
from structdiff.core.errors import UnsupportedSchema
from structdiff.frontends.regex.json_pattern import having, lacking
from structdiff.frontends.regex.parser import parse_regex

ATOMS = ["a", "b", ".", r"\w", r"\W", r"\s", r"\S", r"\d", r"[^\s]", r"[\w-]", r"[^\D]"]
PLACES = [r"\b", r"\B", "^", "$", "(?=a)", r"(?!\s)", r"(?<=\w)", "(?!.*b)"]
PATTERNS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, st.sampled_from(PLACES)).map("".join),
        st.tuples(st.sampled_from(PLACES), inner).map("".join),
        st.tuples(inner, inner).map("|".join).map("(?:{})".format),
        st.tuples(inner.map("(?:{})".format), st.sampled_from(["*", "+", "?", "{2}"])).map("".join),
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(PATTERNS, st.lists(st.text("ab \n\r\x1c\ufeffé٣-", max_size=5), min_size=20, max_size=30))
def test_texts_have_or_lack_a_pattern_as_both_readings_say(pattern: str, texts: list[str]) -> None:
    ecma = compile_tree(parse_regex(pattern, "ecma"))
    inside, outside = having(pattern), lacking(pattern)
    for text in texts:
        data, python = text.encode(), re.search(pattern, text) is not None
        if inside.accepts(data):
            assert python and ecma.accepts(data)
        if outside.accepts(data):
            assert not python and not ecma.accepts(data)
        if not set(text) - set("ab -") and python == ecma.accepts(data):  # nothing that is read in two ways
            assert inside.accepts(data) == python and outside.accepts(data) == (not python)


SLOW_ONCE = [
    r"^(\S+\s+){0,49}\S+$",
    r"^(\w+\W+){0,29}\w+$",
    r"^(?=.*[a-z])(?=.*[A-Z])(?=.*\d)(?=.*[^\w\s]).{8,16}$",
]


@pytest.mark.parametrize("pattern", SLOW_ONCE)
def test_counting_and_lookaheads_stay_small(pattern: str) -> None:
    having(r"\w\s\d\S")
    began = time.process_time()
    a = having(pattern)
    assert time.process_time() - began < 0.5 and a.states < 40_000
    for text in ("Abcdef1!", "one two", "a", "", "abcdefg1", "one  two ", "ab\u2003c", "Ünder 1 Dach!"):
        if not set(text) & {"\u2003", "Ü"}:
            assert a.accepts(text.encode()) == (re.search(pattern, text) is not None), text
        assert not (a.accepts(text.encode()) and lacking(pattern).accepts(text.encode()))


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"^\p{Script=Han}+$", "漢字", "abc"),
        (r"^\p{Alphabetic}+$", "abc", "1"),
        (r"^\p{Emoji_Presentation}$", "😀", "a"),
        (r"^(?P<y>\d{4})$", "2024", "24"),
        ("(?i)^yes$", "YES", "no"),
        (r"^(?=.*\d)(?!.*(?:12|21))\d*$", "131", "3121"),
        (r"^a(?=.*c)b*c$", "abc", "ab"),
        (r"x(?!y)", "xyx", "xyy"),
    ],
)
def test_properties_names_flags_and_lookaheads(pattern: str, good: str, bad: str) -> None:
    assert having(pattern).accepts(good.encode()) and not having(pattern).accepts(bad.encode())
    assert lacking(pattern).accepts(bad.encode()) and not lacking(pattern).accepts(good.encode())


@pytest.mark.parametrize("pattern", [r"^(.)\1$", r"^(['\"]).*\1$", r"^(?<q>['\"])a\k<q>$", "(?P<q>a)(?P=q)"])
def test_backreferences_are_refused_with_the_reason(pattern: str) -> None:
    with pytest.raises(UnsupportedSchema, match="backreference .* not describe a regular language"):
        having(pattern)
