"""The characters of the texts of an automaton, against the texts themselves."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structdiff.automata.byte_automaton import NOTHING, of_words
from structdiff.automata.compiling import compile_tree
from structdiff.automata.lengths import fewest_characters, most_characters
from structdiff.frontends.regex.parser import parse_regex

TEXTS = st.text(st.sampled_from("aé€😀"), max_size=6)


@settings(max_examples=80, deadline=None)
@given(st.sets(TEXTS, min_size=1, max_size=6))
def test_of_a_finite_set(texts):
    automaton = of_words(text.encode() for text in texts)
    assert fewest_characters(automaton) == min(map(len, texts))
    assert most_characters(automaton) == max(map(len, texts))


@pytest.mark.parametrize(
    ("pattern", "fewest", "most"),
    [
        ("a*", 0, None),
        ("é+", 1, None),
        ("(ab|é)*€", 1, None),
        ("[aé😀]{3,7}", 3, 7),
        ("(a|bé|ccc)d?", 1, 4),
        ("", 0, 0),
    ],
)
def test_of_a_pattern(pattern, fewest, most):
    automaton = compile_tree(parse_regex(pattern))
    assert (fewest_characters(automaton), most_characters(automaton)) == (fewest, most)


def test_of_nothing():
    assert most_characters(NOTHING) == -1
    with pytest.raises(ValueError, match="empty"):
        fewest_characters(NOTHING)
