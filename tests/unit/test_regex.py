"""Patterns against `re` on every short text, and against texts that Hypothesis finds for them."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structdiff.automata.compiling import compile_tree
from structdiff.core.errors import InvalidSchema, UnsupportedSchema
from structdiff.frontends.regex.parser import parse_regex

ALPHABET = "ab1 \n-"
TEXTS = ["".join(t) for n in range(4) for t in itertools.product(ALPHABET, repeat=n)]
TEXTS += ["".join(t) for t in itertools.product(ALPHABET, repeat=4)][::9]

PYTHON = [
    "",
    "a",
    "a|b",
    "ab*",
    "(a|b)*1",
    "a{2}",
    "a{1,3}?",
    "[^a]",
    "[a-b]+?",
    ".",
    "(?s).*",
    r"\d+",
    r"\w\s",
    r"\D\W\S",
    "(?:a|)b",
    "(?P<n>a)b",
    "(?i)A|B1",
    "(?i:A)b",
    "(?x) a  b # c",
    "a+|b?",
    "[ab][^ab]",
    "(?a)\\w+",
    "^a$",
    "a$",
    "^$",
    "a$\n",
    "$\n?",
    r"\Aa\Z",
    r"a\Z\n",
    "^a|b$",
    "^$|a",
    "a^b",
    "a$b",
    "(^a|b)1",
    "(a|b$)+",
    "(?m)^a$",
    "(?m)a$\n^b",
    "(?m)(^a$\n?)*",
    "(?m)^",
    r"\ba\b",
    r"a\b b",
    r"\b",
    r"\B",
    r"a\Bb",
    r"\Ba",
    r"(?:a\b.?)*",
    "(?=a)..",
    "(?!a).*",
    "(?=.*1)(?=.*a).{2,}",
    "a(?=b).*",
    "a(?!b).*",
    "(?=a|b1)..",
    "(?:(?=a)..|b)+",
    "(?<=a)b",
    "a(?<=a)b",
    ".*(?<!a)b",
    "(?:.(?<!a))*",
    "((?!ab).)*",
    "(?!.*aa).*",
    "(?!.*(?=b).b).*",
    "(?=(?!a).b)..",
    r"(?!.*\bb\b).*",
    r"(?=.*\b1$).*",
    "(?!^a).*",
    ".(?=$).?",
    "(?=a$)..?",
    "(?!)|a",
    "(?=)a",
    "a(?!$).*",
    r"(?<=\b)a.*",
    "(?<=^)a",
    "(?<!^)a|b",
    ".*(?<=a.)b",
]


@pytest.mark.parametrize("pattern", PYTHON)
def test_python_agrees_with_re_on_all_short_texts(pattern: str) -> None:
    whole, part = compile_tree(parse_regex(pattern)), compile_tree(parse_regex(pattern, anchored=False))
    compiled = re.compile(pattern)
    assert [t for t in TEXTS if whole.accepts(t.encode())] == [t for t in TEXTS if compiled.fullmatch(t)]
    assert [t for t in TEXTS if part.accepts(t.encode())] == [t for t in TEXTS if compiled.search(t)]


ATOMS = st.sampled_from(
    [
        "a",
        "b",
        "1",
        ".",
        "^",
        "$",
        r"\b",
        r"\B",
        r"\A",
        r"\Z",
        "(?=a)",
        "(?!b)",
        "(?<=a)",
        "(?<!1)",
        "[ab]",
        r"\n?",
        r"\w",
    ]
)


def patterns() -> st.SearchStrategy[str]:
    def extend(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.lists(inner, min_size=1, max_size=3).map("".join),
            st.tuples(inner, inner).map(lambda p: f"(?:{p[0]}|{p[1]})"),
            st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}"])).map(lambda p: f"(?:{p[0]}){p[1]}"),
            inner.map(lambda p: f"(?={p})"),
            inner.map(lambda p: f"(?!{p})"),
        )

    return st.recursive(ATOMS, extend, max_leaves=5)


@settings(max_examples=20, deadline=None)
@given(patterns())
def test_python_agrees_with_re_on_random_patterns(pattern: str) -> None:
    compiled = re.compile(pattern)
    whole, part = compile_tree(parse_regex(pattern)), compile_tree(parse_regex(pattern, anchored=False))
    for text in TEXTS[:120]:
        assert whole.accepts(text.encode()) == bool(compiled.fullmatch(text)), text
        assert part.accepts(text.encode()) == bool(compiled.search(text)), text


EVERYDAY = [
    r"[A-Z]{2}\d{6}",
    r"\w+@\w+\.(com|org)",
    r"(?i)stra(ss|ß)e",
    r"[^\W\d_]+",
    r"#[0-9a-fA-F]{6}",
    r"\S+( \S+)*",
    r"(?i)[k-s]+",
    r"(?i)[^k]",
    r"(?i)\u0130|µ",
    r"[é-ü€😀]+",
    r"(?i)ǅ+",
    r"(?ai)[a-z]+",
]


@pytest.mark.parametrize("pattern", EVERYDAY)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_texts_that_hypothesis_finds(pattern: str, data: st.DataObject) -> None:
    a = compile_tree(parse_regex(pattern))
    text = data.draw(st.from_regex(pattern, fullmatch=True).filter(_is_scalar))
    assert a.accepts(text.encode()), text
    other = data.draw(st.text(st.sampled_from([*"aKkſsSK0_ßẞé€😀µμΜdžDžDŽİiIı", *text]), max_size=6))
    assert a.accepts(other.encode()) == bool(re.fullmatch(pattern, other)), other


def _is_scalar(text: str) -> bool:
    return not any(0xD800 <= ord(c) <= 0xDFFF for c in text)


ECMA_AS_PYTHON = {
    "a": "a",
    "^a": "^a",
    "a$": r"a\Z",
    "^a|b$": r"^a|b\Z",
    "^$|1": r"^\Z|1",
    "^(a|b)*$": r"^(a|b)*\Z",
    "[^]": r"[\s\S]",
    "^[]$|a": "a",
    r"^\w+\-\w+$": r"^\w+-\w+\Z",
    "^(?=.*1).{2}$": r"^(?=.*1).{2}\Z",
    "^(?!a)": "^(?!a)",
    r"\bb\b": r"\bb\b",
    "(?<n>a)b": "ab",
    r"^\x61\u0062\u{31}$": r"^ab1\Z",
    r"^[\w-]+$": r"^[\w-]+\Z",
    r"^[a\-1]+$": r"^[-a1]+\Z",
    r"^\cJ$": r"^\n\Z",
    r"^[\b]|a": "a",
    "^(?:a|b$)+": r"^(?:a|b\Z)+",
    "(?<!a)b$": r"(?<!a)b\Z",
    "(?<=a|1b)-": r"(?:a|1b)-",
    r"^\/?a": "^a",
    "a{": "a{",
    "{": "{",
    "]": "]",
    "a{,2}": "a[{],2}",
    r"^\0?a": "^a",
    "": "",
    "a|": "",
    "x*": "",
    r"^[^\d\s]+$": r"^[^\d\s]+\Z",
    "(^a)|(b$)": r"(^a)|(b\Z)",
    r"^[\w-.]": r"^[\w.-]",
    "a(?!b)": "a(?!b)",
    r"^\B": r"^\B|^\Z",
}


@pytest.mark.parametrize("pattern", ECMA_AS_PYTHON)
def test_ecma_searches(pattern: str) -> None:
    a = compile_tree(parse_regex(pattern, "ecma"))
    compiled = re.compile(ECMA_AS_PYTHON[pattern], re.ASCII)
    assert [t for t in TEXTS if a.accepts(t.encode())] == [t for t in TEXTS if compiled.search(t)]


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"^\d$", "0", "߀"),
        (r"^\W$", "é", "a"),
        (r"^\s$", "\ufeff", "–"),
        (r"^\p{L}+$", "été", "e1"),
        (r"^\p{digit}+$", "৪২", "-"),
        (r"^\P{Lu}$", "a", "A"),
        ("^🐲*$", "🐲🐲", "🐉"),
        (r"^\uD83D\uDC32$", "🐲", "🐉"),
        (r"^\u{1F432}$", "🐲", "🐉"),
        ("^.$", "🐲", "\u2028"),
        (r"^\cC$", "\x03", "\\cC"),
        (r"^[🐲-🐶]$", "🐴", "a"),
    ],
)
def test_ecma_characters(pattern: str, good: str, bad: str) -> None:
    a = compile_tree(parse_regex(pattern, "ecma"))
    assert a.accepts(good.encode()) and not a.accepts(bad.encode())


@pytest.mark.parametrize(
    ("pattern", "dialect", "named"),
    [
        (r"(a)\1", "python", "backreference"),
        (r"(?P<n>a)(?P=n)", "python", "backreference"),
        ("(a)?(?(1)b|c)", "python", "conditional"),
        ("(?>a)b", "python", "atomic"),
        ("a*+", "python", "possessive"),
        (r"(a)\1", "ecma", r"backreference \\1"),
        (r"(?<n>a)\k<n>", "ecma", r"backreference \\k"),
        ("(?i)a", "ecma", "flags"),
    ],
)
def test_refusals_name_the_construct(pattern: str, dialect: str, named: str) -> None:
    with pytest.raises(UnsupportedSchema, match=named) as caught:
        parse_regex(pattern, dialect, pointer="/properties/a/pattern")
    assert caught.value.pointer == "/properties/a/pattern"


@pytest.mark.parametrize(
    ("pattern", "dialect"),
    [
        ("(a", "python"),
        ("a**", "python"),
        ("[b-a]", "python"),
        ("(a", "ecma"),
        ("a)", "ecma"),
        ("a**", "ecma"),
        ("*", "ecma"),
        ("[b-a]", "ecma"),
        ("[a", "ecma"),
        (r"a\Z", "ecma"),
        (r"\a", "ecma"),
        ("a{3,2}", "ecma"),
        ("\\", "ecma"),
        (r"\x1", "ecma"),
        ("(?x", "ecma"),
        ("^*", "ecma"),
    ],
)
def test_bad_syntax_is_an_error(pattern: str, dialect: str) -> None:
    with pytest.raises(InvalidSchema, match="not a regular expression"):
        parse_regex(pattern, dialect)


def test_a_search_for_many_words_stays_small() -> None:
    words = [f"region-{first}{second}" for first in "abcdefgh" for second in range(10)]
    a = compile_tree(parse_regex("|".join(words), "ecma"))
    assert a.states < 100
    assert a.accepts(b"in region-c7.") and not a.accepts(b"in region-c")


def test_the_empty_pattern_is_the_empty_text() -> None:
    for dialect in ("python", "rust"):
        a = compile_tree(parse_regex("", dialect, anchored=True))
        assert a.accepts(b"") and not a.accepts(b"a")
