"""Rules that refer to each other, unrolled; the judge is a derivation by hand of every text up to a length."""

from __future__ import annotations

import itertools

import pytest

from structdiff.automata.compiling import compile_tree
from structdiff.automata.recursion import Recursion, unroll
from structdiff.automata.tree import EMPTY, ByteSet, Network, Reference, Repeat, literal, sequence, union
from structdiff.core.errors import CompileLimit, InvalidSchema
from structdiff.core.limits import Limits
from structdiff.core.restrictions import Restriction

DIGIT = ByteSet.of(b"1")
SUM, TERM, ATOM = Reference("sum"), Reference("term"), Reference("atom")
ARITHMETIC = {
    "sum": sequence(TERM, Repeat(sequence(literal("+"), TERM))),
    "term": sequence(ATOM, Repeat(sequence(literal("*"), ATOM))),
    "atom": union(DIGIT, sequence(literal("("), SUM, literal(")"))),
}


def is_sum(text: str, rounds: int) -> bool:
    """A recursive descent through the same grammar, with at most ``rounds`` parentheses one in the other."""
    at = 0

    def atom(left: int) -> bool:
        nonlocal at
        if text[at : at + 1] == "1":
            at += 1
            return True
        if text[at : at + 1] != "(" or left == 0:
            return False
        at += 1
        if not chain(left - 1) or text[at : at + 1] != ")":
            return False
        at += 1
        return True

    def chain(left: int) -> bool:
        nonlocal at
        if not atom(left):
            return False
        while text[at : at + 1] in ("+", "*") and text[at : at + 1]:
            at += 1
            if not atom(left):
                return False
        return True

    return chain(rounds) and at == len(text)


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_arithmetic_is_what_a_recursive_descent_takes(rounds):
    node, restrictions = unroll(ARITHMETIC, "sum", rounds=rounds)
    automaton = compile_tree(node)
    for length in range(8):
        for letters in itertools.product("1+()", repeat=length):
            text = "".join(letters)
            assert automaton.accepts(text.encode()) == is_sum(text, rounds), text
    assert restrictions == (Restriction("sum", "recursion", f"it ends after {rounds} rounds"),)
    deepest = "(" * rounds + "1*1" + ")" * rounds
    assert is_sum(f"({deepest})", rounds + 1)
    assert automaton.accepts(deepest.encode()) and not automaton.accepts(f"({deepest})".encode())


def test_steps_bound_what_nests_between_two_rounds():
    node, restrictions = unroll(ARITHMETIC, "sum", rounds=9, steps=5)  # term, atom, sum, term, atom
    automaton = compile_tree(node)
    assert automaton.accepts(b"(1)") and not automaton.accepts(b"((1))")
    assert [one.pointer for one in restrictions] == ["sum"]


def test_rules_without_loops_are_exact_however_deep():
    rules = {f"r{n}": sequence(literal("a"), Reference(f"r{n + 1}")) for n in range(40)} | {"r40": literal("b")}
    node, restrictions = unroll(rules, "r0", rounds=0, steps=0)
    automaton = compile_tree(node)
    assert restrictions == () and automaton.accepts(b"a" * 40 + b"b") and automaton.states == 42


def test_networks_are_followed_and_left_recursion_ends():
    rules = {
        "list": Network(2, ((0, Reference("item"), 1), (1, literal(","), 0)), 0, (1,)),
        "item": union(literal("x"), sequence(literal("["), Reference("list"), literal("]"))),
        "left": union(literal("x"), sequence(Reference("left"), literal("y"))),
    }
    automaton = compile_tree(unroll(rules, "list", rounds=1)[0])
    assert [automaton.accepts(text) for text in (b"x,x", b"[x,x],x", b"[[x]]", b"", b"x,")] == [
        True, True, False, False, False,
    ]  # fmt: skip
    node, restrictions = unroll(rules, "left", rounds=3)
    automaton = compile_tree(node)
    assert [automaton.accepts(b"x" + b"y" * n) for n in range(5)] == [True, True, True, True, False]
    assert [one.pointer for one in restrictions] == ["left"]


def test_a_rule_is_written_once_for_all_its_places():
    """Each rule twice holds the next: as a tree this is 2 ** 30 parts, which are counted and never made."""
    twice = {f"r{n}": sequence(Reference(f"r{n + 1}"), union(EMPTY, Reference(f"r{n + 1}"))) for n in range(30)}
    rules = twice | {"r30": union(literal("a"), sequence(literal("("), Reference("r30"), literal(")")))}
    with pytest.raises(CompileLimit, match="1000 grammar nodes") as caught:
        unroll(rules, "r0", rounds=1, limits=Limits(nodes=1000))
    assert caught.value.pointer.startswith("r2")
    few, restrictions = unroll(rules, "r25", rounds=1)
    automaton = compile_tree(few)
    assert [automaton.accepts(b"(a)" * n) for n in (0, 1, 32, 33)] == [False, True, True, False]
    assert not automaton.accepts(b"((a))") and [one.pointer for one in restrictions] == ["r30"]


def test_a_reference_to_no_rule_is_refused_with_its_place():
    with pytest.raises(InvalidSchema, match="at a: there is no rule 'b'"):
        unroll({"a": Reference("b")}, "a")
    with pytest.raises(InvalidSchema, match="no rule 'c'"):
        unroll({"a": EMPTY}, "c")


def test_a_reference_left_in_a_tree_is_refused():
    with pytest.raises(TypeError, match="not a grammar node"):
        compile_tree(sequence(literal("a"), Reference("b")))


def test_only_loops_are_counted():
    below = {"root": ["a", "b"], "a": ["a"], "b": []}
    recursion = Recursion[str](below.__getitem__, 1, 5)
    recursion.follow("root")
    assert recursion.loops and recursion.inside("root", "b", (0, 0)) == (1, 5)
    assert recursion.inside("a", "a", (1, 5)) == (0, 4) and recursion.inside("a", "a", (0, 4)) is None
    assert list(recursion.cut) == ["a"]
