"""Regexes against two other engines, as whole languages: interegular by characters, outlines-core by bytes and tokens.

`re` can judge one text at a time. These two give automata, so that a walk over pairs of states compares every text
there is. Both are used only where they are right; docs/architecture.md names their defects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path

import interegular
import outlines_core
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import structdiff
from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.frontends.regex.parser import parse_regex

EMBEDDED = Path(structdiff.__file__).parent / "models" / "embedded"
BYTES = outlines_core.Vocabulary(256, {bytes([byte]): [byte] for byte in range(256)})
GUARD = "-"
"""outlines-core refuses a guarded pattern that may be empty; behind one literal it may."""
OTHERS = "zß€😀\x00"
"""Characters that no pattern below names."""

ATOMS = st.sampled_from(["a", "b", "1", "é", r"\.", "[ab]", "[^a]", "[^b1]", "[é-ü]", "[a-c1]"])
REPEATS = st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,2}", "{2,}", "*?", "+?"])


def patterns(atoms: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Patterns without look-around, anchors or classes whose members depend on the engine."""
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map("".join),
            st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
            st.tuples(inner, REPEATS).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
        ),
        max_leaves=6,
    )


def difference(
    start: tuple[Hashable, Hashable],
    moves: Callable[[Hashable, Hashable], Iterable[tuple[Hashable, Hashable, Hashable]]],
    final: Callable[[Hashable, Hashable], tuple[bool, bool]],
) -> list[Hashable] | None:
    """The shortest text on which two automata differ, as symbols; None where they are equal."""
    queue: deque[tuple[tuple[Hashable, Hashable], list[Hashable]]] = deque([(start, [])])
    seen = {start}
    while queue:
        pair, text = queue.popleft()
        ours, theirs = final(*pair)
        if ours != theirs:
            return text
        for symbol, *after in moves(*pair):
            if (after[0], after[1]) not in seen:
                seen.add((after[0], after[1]))
                queue.append(((after[0], after[1]), [*text, symbol]))
    return None


def accepting(automaton: ByteAutomaton, state: int) -> bool:
    return state >= 0 and bool(automaton.accepting[state])


@settings(max_examples=40, deadline=None)
@given(patterns(st.one_of(ATOMS, st.just("."))))
def test_the_language_is_that_of_interegular(pattern: str) -> None:
    ours, theirs = compile_tree(parse_regex(pattern)), interegular.parse_pattern(pattern).to_fsm()
    letters = [*{letter for letter in theirs.alphabet if isinstance(letter, str)} - set(OTHERS), *OTHERS]

    def moves(a, b):
        for letter in letters:
            after = -1 if a < 0 else ours.walk(letter.encode(), a)
            key = theirs.alphabet[letter]
            yield letter, after, None if b is None else theirs.map.get(b, {}).get(key)

    found = difference(
        (0, theirs.initial), moves, lambda a, b: (accepting(ours, a), b is not None and b in theirs.finals)
    )
    assert found is None, f"{pattern!r} differs on {''.join(found)!r}"


@settings(max_examples=40, deadline=None)
@given(patterns(st.one_of(ATOMS, st.sampled_from([".", "(?s:.)"]))))
def test_the_language_is_that_of_outlines_core_byte_by_byte(pattern: str) -> None:
    guarded = f"{GUARD}(?:{pattern})"
    ours, theirs = compile_tree(parse_regex(guarded)), outlines_core.Index(rf"{guarded}\z", BYTES)
    table, finals = theirs.get_transitions(), theirs.get_final_states()

    def moves(a, b):
        for byte in range(256):
            after = -1 if a < 0 else ours.walk(bytes([byte]), a)
            yield byte, after, None if b is None else table.get(b, {}).get(byte)

    start = (0, theirs.get_initial_state())
    found = difference(start, moves, lambda a, b: (accepting(ours, a), b in finals))
    assert found is None, f"{guarded!r} differs on {bytes(found)!r}"


TOKENS = [
    "a{1,3}b",
    "[a-z]{2,6}@[a-z]{2,4}",
    "(order|offer) [0-9]{1,3}",
    "é+ü",
    '"[^"\\\\]{1,5}"',
    "-(?:x2)*1",
    "[^a]{1,2}",
]


@pytest.mark.parametrize("pattern", TOKENS)
def test_the_token_automaton_is_that_of_outlines_core(pattern: str) -> None:
    """At every reachable pair of states the same tokens are legal; forced text keeps all its spellings here."""
    constraint = structdiff.compile(structdiff.Regex(pattern), EMBEDDED, canonical=False)
    ours, table = constraint.automaton, constraint.vocabulary.table
    spelled: dict[bytes, list[int]] = {}
    for token, piece in enumerate(table.token_bytes):
        if piece:
            spelled.setdefault(piece, []).append(token)
    end = len(table.token_bytes)
    index = outlines_core.Index(rf"(?:{pattern})\z", outlines_core.Vocabulary(end, spelled))
    moves = {
        state: {token: after for token, after in row.items() if token != end}
        for state, row in index.get_transitions().items()
    }
    alive = set(index.get_final_states())
    while more := {state for state, row in moves.items() if alive & set(row.values())} - alive:
        alive |= more
    start = (0, index.get_initial_state())
    queue, seen = deque([start]), {start}
    while queue:
        a, b = queue.popleft()
        assert bool(ours.accepting[a]) == (b in index.get_final_states())
        legal = {int(t): int(ours.edge_to[k]) for k in range(ours.edge_at[a], ours.edge_at[a + 1])
                 for t in ours.tokens_of_label(ours.edge_label[k])}  # fmt: skip
        theirs = {token: after for token, after in moves.get(b, {}).items() if after in alive}
        assert set(legal) == set(theirs)
        for token, after in legal.items():
            if (after, theirs[token]) not in seen:
                seen.add((after, theirs[token]))
                queue.append((after, theirs[token]))
    assert len(seen) > 1
