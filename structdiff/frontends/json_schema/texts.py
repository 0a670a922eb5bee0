"""The texts of a string shape as automata, as long as there is room to count them, and what of them is left out."""

from __future__ import annotations

from collections.abc import Iterator

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.automata.lengths import most_characters
from structdiff.automata.tree import Repeat
from structdiff.frontends.json_schema.bounds import CHARACTER_STATES, Counting
from structdiff.frontends.json_schema.leaves import CHARACTER, Leaf, StringShape, valid_text


def counted_text(shape: StringShape, counting: Counting) -> tuple[ByteAutomaton, int | None]:
    """The automaton of a shape's characters, and the most of them it holds; None: there is no maximum.

    A maximum that the other conditions keep by themselves is not counted, however large.

    >>> from structdiff.frontends.json_schema.bounds import Bounds
    >>> one = StringShape(high=10**6, having=frozenset({Leaf("pattern", "^[ab]{2}$")}))
    >>> automaton, high = counted_text(one, Counting(Bounds(), room=100))
    >>> automaton.states, high
    (3, 1000000)
    """
    text = shape.text()
    if shape.only is not None or (not shape.low and shape.high is None):
        return valid_text() if text is None else text, shape.high
    high = shape.high
    if text is not None and high is not None:
        longest = None if text.is_empty else most_characters(text)
        if text.is_empty or (longest is not None and longest <= high):
            return (text & compile_tree(Repeat(CHARACTER, shape.low)) if shape.low else text), high
    if high is not None:
        high = counting.characters(high, shape.low, max(CHARACTER_STATES, text.states if text else 0))
    length = compile_tree(Repeat(CHARACTER, shape.low, high))
    return length if text is None else text & length, high


def differences(shape: StringShape) -> Iterator[tuple[Leaf, str]]:
    """The conditions of a shape that not all texts are written of, with what is left out."""
    for leaf in sorted(shape.having, key=lambda leaf: (leaf.keyword, leaf.text)):
        if left_out := leaf.left_out(satisfied=True):
            yield leaf, left_out
    for leaf in sorted(shape.lacking, key=lambda leaf: (leaf.keyword, leaf.text)):
        if left_out := leaf.left_out(satisfied=False):
            yield leaf, left_out
