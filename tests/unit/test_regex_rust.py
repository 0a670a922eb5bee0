"""Rust's regular expressions against the engine itself, by way of Pydantic."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import SchemaError, SchemaValidator, core_schema

from structdiff.automata.compiling import compile_tree
from structdiff.core.errors import StructdiffError, UnsupportedSchema
from structdiff.frontends.regex.parser import parse_regex

ATOMS = (
    "a", "b", "k", "K", "é", ".", r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", "[a-c]", "[^a-c]", "[[:alpha:]_]",
    "[[:^digit:]]", r"[\w&&[^\d]]", "[a-z--k]", r"[\w~~\d]", r"[^\W\d]", r"\p{Greek}", r"\P{Lu}", r"\pL", r"\p{Lu}",
    r"\x6b", r"\x{212A}", r"\u017F", "[^k]", "[k-m]", "[]a]", "[-a]", "[a-]", "(?i:k)", "(?i:ß)", "(?i:[^k])",
    r"(?i:\p{Lu})", "(?s:.)", r"(?-u:\w)", r"\.", r"\-", "\n", r"\n", " ", "(?x: a # c\n b)", "(?x:[ a b ])",
    r"\p{scx=Han}", r"\p{White_Space}", "(?i:[k--[K]])", r"(?i:[^\W_])", "[a-c&&b-d--c]", r"\#", r"[\-a]", "(?R:.)",
)  # fmt: skip
PLACES = (
    "^", "$", r"\A", r"\z", r"\b", r"\B", "(?m:^)", "(?m:$)", r"\b{start}", r"\b{end}", r"\b{start-half}",
    r"\b{end-half}", "(?i)", "(?s)", "(?-i)", r"\<", r"\>",
)  # fmt: skip
CHARACTERS = "abkKcd_1 \n\r-.#ſKéÉßẞαΩ漢\u0301\u200d\u0660\u2028\x85𝟘ǅ]^"
PATTERNS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(PLACES), inner).map("".join),
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join).map("(?:{})".format),
        st.tuples(inner.map("(?:{})".format), st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "*?"])).map("".join),
    ),
    max_leaves=6,
)


def engine(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern))


@settings(max_examples=120, deadline=None)
@given(PATTERNS, st.lists(st.text(CHARACTERS, max_size=5), min_size=20, max_size=30))
def test_texts_match_exactly_where_the_engine_finds_them(pattern: str, texts: list[str]) -> None:
    try:
        judge = engine(pattern)
    except SchemaError:
        with pytest.raises(StructdiffError):
            parse_regex(pattern, "rust")
        return
    a = compile_tree(parse_regex(pattern, "rust"))
    for text in texts:
        assert a.accepts(text.encode()) == judge.isinstance_python(text), (pattern, text)


@pytest.mark.parametrize("pattern", [r"\w", r"\W", r"\d", r"\s", r"\p{Alphabetic}", r"[^\p{Lu}]", r"(?i)[k-ß]"])
def test_no_character_is_taken_that_the_engine_denies(pattern: str) -> None:
    a, judge = compile_tree(parse_regex(pattern, "rust", anchored=True)), engine(rf"^(?:{pattern})$")
    r = random.Random(0)
    for code in [*range(0x3000), *(r.randrange(0x3000, 0x110000) for _ in range(20_000))]:
        if a.accepts(chr(code).encode("utf-8", "surrogatepass")):
            assert judge.isinstance_python(chr(code))


@pytest.mark.parametrize(
    "pattern",
    [r"(a)\1", "(?=a)", "(?<!a)b", "a{,3}", "{", "[b-a]", r"\e", r"\p{Klingon}", "(?y)a", "[a", "a)", "(?-u:.)"],
)
def test_what_the_engine_refuses_is_refused(pattern: str) -> None:
    with pytest.raises(SchemaError):
        engine(pattern)
    with pytest.raises(StructdiffError, match="Rust|Unicode property"):
        parse_regex(pattern, "rust")


def test_what_is_not_known_is_named() -> None:
    assert engine("(?mR)^a$").isinstance_python("a")
    with pytest.raises(UnsupportedSchema, match="mR"):
        parse_regex("(?mR)^a$", "rust")
