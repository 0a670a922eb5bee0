"""Byte automata against Python's `re` and against set algebra by enumeration."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structdiff.automata.byte_automaton import NOTHING, ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import NEVER, ByteSet, Embedded, Labelled, Network, Node, Repeat, literal, sequence, union
from structdiff.core.errors import CompileLimit
from structdiff.core.limits import Limits

WORDS = [bytes(word) for n in range(6) for word in itertools.product(b"abc", repeat=n)]


def as_regex(node: Node) -> str:
    match type(node).__name__:
        case "Literal":
            return re.escape(node.data.decode())
        case "ByteSet":
            return "[" + "".join(chr(b) for b in range(256) if node.mask >> b & 1) + "]" if node.mask else "(?!)"
        case "Sequence":
            return "".join(f"(?:{as_regex(item)})" for item in node.items)
        case "Union":
            return "|".join(f"(?:{as_regex(item)})" for item in node.items) or "(?!)"
        case _:
            high = "" if node.high is None else node.high
            return f"(?:{as_regex(node.item)}){{{node.low},{high}}}"


leaves = st.one_of(
    st.sampled_from([b"", b"a", b"b", b"ab", b"ca"]).map(literal),
    st.sets(st.sampled_from(b"abc")).map(ByteSet.of),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: sequence(*items)),
        st.lists(inner, max_size=3).map(lambda items: union(*items)),
        st.tuples(inner, st.integers(0, 2), st.integers(0, 2) | st.none()).map(
            lambda t: Repeat(t[0], t[1], None if t[2] is None else t[1] + t[2])
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(trees)
def test_language_equals_re(tree: Node) -> None:
    automaton, pattern = compile_tree(tree), re.compile(as_regex(tree))
    for word in WORDS:
        assert automaton.accepts(word) == bool(pattern.fullmatch(word.decode())), word


@settings(max_examples=60, deadline=None)
@given(trees, trees)
def test_algebra_is_set_algebra(left: Node, right: Node) -> None:
    a, b = compile_tree(left), compile_tree(right)
    for word in WORDS:
        in_a, in_b = a.accepts(word), b.accepts(word)
        assert (a & b).accepts(word) == (in_a and in_b)
        assert (a | b).accepts(word) == (in_a or in_b)
        assert (a - b).accepts(word) == (in_a and not in_b)
        assert (~a).accepts(word) == (not in_a)
    assert ~~a == a
    assert (a | b) == compile_tree(union(left, right)) == compile_tree(union(Embedded(b), Embedded(a)))


@settings(max_examples=60, deadline=None)
@given(trees)
def test_automaton_is_minimal_and_alive(tree: Node) -> None:
    automaton = compile_tree(tree)
    futures = set()
    for state in range(automaton.states):
        rest = ByteAutomaton(automaton.by_byte.copy(), np_range(), automaton.accepting.copy())
        future = frozenset(w for w in WORDS + LONGER if (s := rest.walk(w, state)) >= 0 and automaton.accepting[s])
        futures.add(future)
    if automaton.states <= 5:  # words of length S tell any two states apart
        assert len(futures) == automaton.states
        assert automaton.is_empty or frozenset() not in futures


LONGER = [bytes(word) for word in itertools.product(b"abc", repeat=6)]


def np_range():
    import numpy as np

    return np.arange(256).astype(np.uint8)


def test_network_shares_what_a_tree_cannot() -> None:
    commas = compile_tree(Network(2, ((0, literal("a"), 1), (1, literal(","), 0)), 0, (1,)))
    assert [w for w in (b"a", b"a,a", b"a,", b"", b",a") if commas.accepts(w)] == [b"a", b"a,a"]


def test_empty_language() -> None:
    assert compile_tree(NEVER).is_empty
    assert (NOTHING | NOTHING).is_empty
    assert (~NOTHING).accepts(b"anything")
    with pytest.raises(ValueError, match="empty"):
        NOTHING.shortest()


def test_shortest() -> None:
    assert compile_tree(sequence(Repeat(literal("ab"), 2, 5), literal("!"))).shortest() == b"abab!"


def test_limit_names_the_part_that_is_too_large() -> None:
    blowup = sequence(Repeat(ByteSet.of(b"ab")), literal("a"), Repeat(ByteSet.of(b"ab"), 20, 20))
    tree = sequence(Labelled(literal("fine"), "/properties/ok"), Labelled(blowup, "/properties/big"))
    with pytest.raises(CompileLimit, match="at /properties/big: .*10000 states"):
        compile_tree(tree, Limits(states=10_000))


def test_moves_are_the_transitions_by_pair() -> None:
    rng = np.random.default_rng(0)
    for classes in (1, 3, 64, 65, 256):
        for targets in (1, 3, 40):
            table = np.where(rng.random((40, classes)) < 0.7, rng.integers(0, targets, (40, classes)), -1)
            byte_class = np.concatenate([np.arange(classes), rng.integers(0, classes, 256 - classes)]).astype(np.uint8)
            automaton = ByteAutomaton(table.astype(np.int32), byte_class, np.ones(40, bool))
            expected: dict[tuple[int, int], int] = {}
            for state, row in enumerate(automaton.by_byte.tolist()):
                for byte, target in enumerate(row):
                    if target >= 0:
                        expected[state, target] = expected.get((state, target), 0) | 1 << byte
            moves = automaton.moves
            pairs = list(zip(moves.source.tolist(), moves.target.tolist(), strict=True))
            assert pairs == sorted(expected)
            assert [moves.masks[i] for i in moves.mask] == [expected[pair] for pair in pairs]
            assert len(set(moves.masks)) == len(moves.masks)
