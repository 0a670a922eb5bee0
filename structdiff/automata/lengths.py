"""How many characters the texts of an automaton over valid UTF-8 have.

>>> from structdiff.automata.byte_automaton import of_words
>>> from structdiff.automata.compiling import compile_tree
>>> from structdiff.automata.tree import Repeat, literal
>>> words = of_words(text.encode() for text in ("é", "aé", "abc"))
>>> fewest_characters(words), most_characters(words)
(1, 3)
>>> most_characters(compile_tree(Repeat(literal("ab")))) is None
True
"""

from __future__ import annotations

from collections import deque

from structdiff.automata.byte_automaton import ByteAutomaton

_CONTINUATION = ((1 << 64) - 1) << 0x80
"""The bytes that go on with a character (bits as in `ByteSet`)."""


def _steps(automaton: ByteAutomaton) -> list[list[tuple[int, int]]]:
    """For each state its moves: where to, and how many characters they begin."""
    moves = automaton.moves
    begins = [int(bool(mask & ~_CONTINUATION)) for mask in moves.masks]
    steps: list[list[tuple[int, int]]] = [[] for _ in range(automaton.states)]
    for source, mask, target in zip(moves.source.tolist(), moves.mask.tolist(), moves.target.tolist(), strict=True):
        steps[source].append((target, begins[mask]))
    return steps


def fewest_characters(automaton: ByteAutomaton) -> int:
    """The characters of a shortest text; raises ValueError for the empty language."""
    if automaton.is_empty:
        raise ValueError("the language is empty")
    steps, best, pending = _steps(automaton), {0: 0}, deque([0])
    done: set[int] = set()
    while True:
        state = pending.popleft()
        if automaton.accepting[state]:
            return best[state]
        if state in done:
            continue
        done.add(state)
        for target, begins in steps[state]:
            if best[state] + begins < best.get(target, 1 << 62):
                best[target] = best[state] + begins
                (pending.append if begins else pending.appendleft)(target)


def most_characters(automaton: ByteAutomaton) -> int | None:
    """The characters of a longest text, -1 for the empty language; None where there is no longest."""
    if automaton.is_empty:
        return -1
    steps = _steps(automaton)
    before = [0] * automaton.states
    for row in steps:
        for target, _ in row:
            before[target] += 1
    if before[0]:
        return None
    most, ready, left = [0] * automaton.states, [0], automaton.states
    longest = 0
    while ready:
        state = ready.pop()
        left -= 1
        if automaton.accepting[state]:
            longest = max(longest, most[state])
        for target, begins in steps[state]:
            most[target] = max(most[target], most[state] + begins)
            before[target] -= 1
            if not before[target]:
                ready.append(target)
    return longest if not left else None
