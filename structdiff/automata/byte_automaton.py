"""Byte automata, minimal and deterministic, and their algebra.

>>> a = of_words([b"cat", b"cow"])
>>> a.accepts(b"cow"), a.accepts(b"co"), a.states
(True, False, 5)
"""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from structdiff.automata import kernels
from structdiff.automata.minimise import minimise, quotient, trim
from structdiff.core.errors import CompileLimit
from structdiff.core.limits import Limits, active


@dataclass(frozen=True, eq=False)
class Moves:
    """Pairs of states that some byte joins, int32[n] each: from ``source[i]`` to ``target[i]`` with any byte of
    ``masks[mask[i]]`` (bits as in `ByteSet`); sources ascending."""

    source: np.ndarray
    mask: np.ndarray
    target: np.ndarray
    masks: list[int]


@dataclass(frozen=True, eq=False)
class ByteAutomaton:
    """A deterministic automaton over bytes; state 0 is the start, -1 is dead, every state can reach acceptance.

    ``transitions`` is int32[S, K]: the next state for each byte class; ``byte_class`` uint8[256] names each byte's
    class; ``accepting`` is bool[S]. The empty language has S = 0.
    """

    transitions: np.ndarray
    byte_class: np.ndarray
    accepting: np.ndarray

    def __post_init__(self) -> None:
        for array in (self.transitions, self.byte_class, self.accepting):
            array.setflags(write=False)

    @property
    def states(self) -> int:
        return len(self.accepting)

    @property
    def is_empty(self) -> bool:
        return self.states == 0

    @cached_property
    def by_byte(self) -> np.ndarray:
        """int32[S, 256]: the next state for each byte."""
        return np.ascontiguousarray(self.transitions[:, self.byte_class])

    @cached_property
    def moves(self) -> Moves:
        """Which bytes join which states.

        >>> from structdiff.automata.tree import literal
        >>> moves = compile_tree(literal("ab")).moves
        >>> moves.source.tolist(), moves.target.tolist(), [moves.masks[i] == 1 << b for i, b in zip(moves.mask, b"ab")]
        ([0, 1], [1, 2], [True, True])
        """
        source, target, mask, sets = kernels.joined(self.transitions)
        held = np.unpackbits(sets.view(np.uint8), axis=1, bitorder="little")
        packed = np.packbits(held[:, self.byte_class], axis=1, bitorder="little")
        masks = [int.from_bytes(row.tobytes(), "little") for row in packed]
        return Moves(source, mask, target, masks)

    def walk(self, data: bytes, state: int = 0) -> int:
        """The state after ``data``, or -1."""
        if self.is_empty:
            return -1
        for byte in data:
            state = int(self.transitions[state, self.byte_class[byte]])
            if state < 0:
                return -1
        return state

    def accepts(self, data: bytes) -> bool:
        state = self.walk(data)
        return state >= 0 and bool(self.accepting[state])

    def shortest(self) -> bytes:
        """A shortest accepted byte string; raises ValueError for the empty language."""
        if self.is_empty:
            raise ValueError("the language is empty")
        member = np.zeros(self.transitions.shape[1], np.int64)
        member[self.byte_class[::-1]] = np.arange(256)[::-1]
        came: dict[int, tuple[int, int]] = {0: (-1, -1)}
        layer = [0]
        while True:
            for state in layer:
                if self.accepting[state]:
                    out = bytearray()
                    while state:
                        state, klass = came[state]
                        out.append(int(member[klass]))
                    return bytes(reversed(out))
            following = []
            for state in layer:
                for klass, target in enumerate(self.transitions[state].tolist()):
                    if target >= 0 and target not in came:
                        came[target] = (state, klass)
                        following.append(target)
            layer = following

    def __and__(self, other: ByteAutomaton) -> ByteAutomaton:
        return combine(self, other, (False, False, False, True))

    def __or__(self, other: ByteAutomaton) -> ByteAutomaton:
        return combine(self, other, (False, True, True, True))

    def __sub__(self, other: ByteAutomaton) -> ByteAutomaton:
        return combine(self, other, (False, False, True, False))

    def __invert__(self) -> ByteAutomaton:
        """All byte strings that are not in this language."""
        return combine(self, NOTHING, (True, False, False, False))

    def __eq__(self, other: object) -> bool:
        """Equality of languages (automata are minimal and numbered canonically)."""
        if not isinstance(other, ByteAutomaton):
            return NotImplemented
        if self.states != other.states or not np.array_equal(self.accepting, other.accepting):
            return False
        if np.array_equal(self.byte_class, other.byte_class):
            return np.array_equal(self.transitions, other.transitions)
        return np.array_equal(self.by_byte, other.by_byte)

    __hash__ = object.__hash__

    def __str__(self) -> str:
        lines = [f"{self.states} states, {self.transitions.shape[1]} byte classes"]
        for state in range(min(self.states, 40)):
            moves: dict[int, list[int]] = {}
            for byte, target in enumerate(self.by_byte[state].tolist()):
                if target >= 0:
                    moves.setdefault(target, []).append(byte)
            text = ", ".join(f"{bytes(members)!r} -> {target}" for target, members in moves.items())
            lines.append(f"{state}{'*' if self.accepting[state] else ' '} {text}")
        return "\n".join(lines)


def combine(a: ByteAutomaton, b: ByteAutomaton, truth: tuple[bool, ...], limits: Limits | None = None) -> ByteAutomaton:
    """The product of two automata, accepting where ``truth[2 * in_a + in_b]`` holds."""
    limits = limits or active()
    limits.check_time()
    pair = a.byte_class.astype(np.int64) * 256 + b.byte_class
    joint, byte_class = np.unique(pair, return_inverse=True)
    table, final, done = kernels.product(
        a.transitions, a.accepting, joint // 256, b.transitions, b.accepting, joint % 256, len(joint),
        np.array(truth), limits.states,
    )  # fmt: skip
    if not done:
        raise CompileLimit("", f"{limits.states} states")
    return minimal(table, final, byte_class.astype(np.uint8))


def of_words(words: abc.Iterable[bytes]) -> ByteAutomaton:
    """The automaton of some byte strings: what `compile_tree` makes of their union, by way of their trie.

    >>> of_words([b"cat", b"cow"]).states
    5
    """
    trie: list[dict[int, int]] = [{}]
    ends = set()
    for word in words:
        state = 0
        for byte in word:
            following = trie[state].setdefault(byte, len(trie))
            if following == len(trie):
                trie.append({})
            state = following
        ends.add(state)
    used = sorted({byte for moves in trie for byte in moves})
    byte_class = np.zeros(256, np.uint8)
    byte_class[used] = np.arange(len(used)) + (len(used) < 256)
    table = np.full((len(trie), len(used) + (len(used) < 256)), -1, np.int32)
    for state, moves in enumerate(trie):
        for byte, following in moves.items():
            table[state, byte_class[byte]] = following
    accepting = np.zeros(len(trie), bool)
    accepting[list(ends)] = True
    return minimal(table, accepting, byte_class)


def minimal(table: np.ndarray, accepting: np.ndarray, byte_class: np.ndarray) -> ByteAutomaton:
    """The minimal automaton of a deterministic table (changed in place) over byte classes; state 0 is the start."""
    alive = trim(table, accepting)
    if not alive[0]:
        return ByteAutomaton(np.empty((0, 1), np.int32), np.zeros(256, np.uint8), np.zeros(0, bool))
    by_first_byte, byte_class = kernels.class_order(byte_class)  # the breadth-first numbering becomes canonical
    table = _columns(table, by_first_byte)
    block, blocks = minimise(table, accepting, alive)
    table, accepting = quotient(table, accepting, block, blocks)
    merged, classes = kernels.merge_columns(table)
    return ByteAutomaton(_columns(table, classes), merged[byte_class].astype(np.uint8), accepting)


def _columns(table: np.ndarray, which: np.ndarray) -> np.ndarray:
    """``table[:, which]``, the table itself where that is all of it in its order, as it mostly is."""
    if len(which) == table.shape[1] and (which == np.arange(len(which))).all():
        return table
    return np.take(table, which, axis=1)


NOTHING = ByteAutomaton(np.empty((0, 1), np.int32), np.zeros(256, np.uint8), np.zeros(0, bool))
"""The empty language."""
