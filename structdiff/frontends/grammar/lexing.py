"""The texts that Lark's lexers cut into the tokens that the grammar means.

A grammar over terminals says nothing of ``selectx``: the rules allow ``select`` and then the name ``x``, and the lexer
takes one name. So each terminal is written with a mark behind it, and of the marked texts those stay that a lexer cuts
at the marks. Then the marks are erased. The lexer is Lark's: at each place it tries, in its order, the terminals that
may stand there, takes what the first one takes, and a string that a regular expression takes as a whole stays the
string. Which terminals may stand there is told by the token before. So the texts are those on which the contextual
lexer (LALR) and the dynamic one (Earley) agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from structdiff.automata.byte_automaton import ByteAutomaton, minimal, of_words
from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import ByteSet, Embedded, Network, Node, literal, optional, sequence, union
from structdiff.core.errors import CompileLimit, UnsupportedSchema
from structdiff.core.limits import Limits
from structdiff.frontends.grammar.lark_rules import LarkRules, Terminal

MARK = 0xFF
"""Behind this byte, which UTF-8 never has, a byte numbers the terminal that ends."""
MOST_TERMINALS = 256
GAPS = (b" ", b"\n")
"""What is written where something is ignored: one of these, between two tokens."""
Shadow = tuple[int, int, int]
"""A token before goes on in the lexer's eyes: context, state, and the terminals that must not match now."""
_State = tuple[int, int, int, frozenset[Shadow], bool]


class Tokens:
    """The terminals of a grammar as nodes with marks, and the automaton of the lexer that puts them there."""

    def __init__(self, grammar: LarkRules, limits: Limits) -> None:
        self.limits = limits
        self.names = sorted(grammar.terminals, key=lambda name: grammar.terminals[name].order)
        if len(self.names) > MOST_TERMINALS:
            reason = f"{len(self.names)} terminals; at most {MOST_TERMINALS} are told apart"
            raise UnsupportedSchema("", "grammar", reason)
        self.number = {name: number for number, name in enumerate(self.names)}
        self.terminals = [grammar.terminals[name] for name in self.names]
        self.ignored = frozenset(self.number[name] for name in grammar.ignored)
        after, first = neighbours(grammar)
        may = frozenset(self.number[one] for one in first) | self.ignored
        self.contexts = [_Context(sorted(may), self.terminals, limits, silent=self.ignored)]
        known: dict[frozenset[int], int] = {}
        self.following: dict[int, int] = {}
        for name, others in after.items():
            may = frozenset(self.number[one] for one in others) | self.ignored
            if may not in known:
                known[may] = len(self.contexts)
                self.contexts.append(_Context(sorted(may), self.terminals, limits))
            self.following[self.number[name]] = known[may]

    def nodes(self) -> dict[str, Node]:
        """For each terminal its texts with a mark, and before them a gap where something is ignored."""
        spaces = []
        for number in sorted(self.ignored):
            texts = of_words(GAPS) & self.terminals[number].automaton
            if not texts.is_empty:
                spaces.append(sequence(Embedded(texts), self._mark(number)))
        gap = optional(union(*spaces)) if spaces else literal("")
        return {
            name: sequence(gap, Embedded(self.terminals[number].automaton), self._mark(number))
            for name, number in self.number.items()
        }

    def _mark(self, number: int) -> Node:
        return literal(bytes([MARK, number]))

    def written(self, marked: ByteAutomaton) -> ByteAutomaton:
        """The texts of a marked language that the lexer cuts at the marks, without them."""
        return _erased(marked & self.lexer, self.limits)

    @cached_property
    def lexer(self) -> ByteAutomaton:
        """All marked texts that the lexer cuts at the marks."""
        keys = np.stack([*(one.automaton.byte_class for one in self.contexts), np.arange(256)]).astype(np.int64)
        keys[-1, len(self.names) : MARK] = 256
        columns, byte_class = np.unique(keys, axis=1, return_inverse=True)
        byte_class = byte_class.ravel()
        K, mark = columns.shape[1], int(byte_class[MARK])
        tables = [one.automaton.transitions[:, columns[i]].tolist() for i, one in enumerate(self.contexts)]
        for table in tables:
            for row in table:
                row[mark] = -1
        known: dict[_State, int] = {}
        pending: list[_State] = []
        rows: list[list[int]] = []

        def number(state: _State) -> int:
            if state not in known:
                known[state] = len(known)
                pending.append(state)
                if len(known) > self.limits.states:
                    raise CompileLimit("", f"{self.limits.states} states")
            return known[state]

        number((0, 0, 0, frozenset(), False))
        for state in pending:
            self.limits.check_time()
            context, at, seen, shadows, marked = state
            row = [-1] * K
            if marked:
                for terminal in self.contexts[context].marks(at, seen):
                    row[int(byte_class[terminal])] = number(self._ended(context, at, shadows, terminal))
            else:
                if self.contexts[context].labels[at]:
                    row[mark] = number((context, at, seen, shadows, True))
                for klass, target in enumerate(tables[context][at]):
                    if target >= 0:
                        cast = self._cast(shadows, klass, tables)
                        if cast is not None:
                            now = seen | self.contexts[context].labels[target]
                            row[klass] = number((context, target, now, cast, False))
            rows.append(row)
        accepting = np.array([not at and not seen and not marked for _, at, seen, _, marked in known])
        return minimal(np.array(rows, np.int32), accepting, byte_class.astype(np.uint8))

    def _ended(self, context: int, at: int, shadows: frozenset[Shadow], terminal: int) -> _State:
        """Where the next token begins."""
        one = self.contexts[context]
        rivals = one.rivals[terminal]
        left = {(context, at, rivals)} if one.ahead[at] & rivals else set()
        following = context if terminal in self.ignored else self.following[terminal]
        return following, 0, 0, shadows | left, False

    def _cast(self, shadows: frozenset[Shadow], klass: int, tables: list[list[list[int]]]) -> frozenset[Shadow] | None:
        """The shadows one byte later; None where one matches, so that the token before would have been longer."""
        found = set()
        for context, at, rivals in shadows:
            target = tables[context][at][klass]
            if target >= 0:
                if self.contexts[context].labels[target] & rivals:
                    return None
                if self.contexts[context].ahead[target] & rivals:
                    found.add((context, target, rivals))
        return frozenset(found)


@dataclass
class _Context:
    """The terminals that may stand at a place, in Lark's order, and one automaton that follows them all.

    ``labels`` has a bit for each terminal that a state accepts, ``ahead`` for each that it may come to accept. What is
    ``silent`` is not written here.
    """

    members: list[int]
    terminals: list[Terminal]
    limits: Limits
    silent: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        parts = [
            sequence(Embedded(self.terminals[number].automaton), literal(bytes([MARK, number])))
            for number in self.members
        ]
        self.automaton = compile_tree(union(*parts), self.limits)
        table, byte_class = self.automaton.transitions, self.automaton.byte_class
        if self.automaton.is_empty:
            table = np.full((1, 1), -1, np.int32)
            self.automaton = ByteAutomaton(table, byte_class, np.zeros(1, bool))
        behind = table[:, byte_class[MARK]].tolist()
        self.labels = [
            0 if state < 0 else sum(1 << n for n in self.members if table[state, byte_class[n]] >= 0)
            for state in behind
        ]
        plain = [klass for klass in range(table.shape[1]) if klass != byte_class[MARK]]
        below = [set(row) - {-1} for row in table[:, plain].tolist()]
        self.ahead = [0] * len(below)
        changed = True
        while changed:
            changed = False
            for state in range(len(below) - 1, -1, -1):
                found = 0
                for target in below[state]:
                    found |= self.labels[target] | self.ahead[target]
                if found != self.ahead[state]:
                    self.ahead[state], changed = found, True
        self._hold()

    def _hold(self) -> None:
        """``holders``: the regular expressions that take a string as a whole, for which it stays the string.
        ``rivals``: the terminals that must match nothing longer, where a token ends."""
        self.holders: dict[int, int] = {}
        self.rivals: dict[int, int] = {}
        self.strings: dict[int, int] = dict.fromkeys(self.members, 0)
        for number in self.members:
            one = self.terminals[number]
            held, last = 0, number
            for other in self.members if one.text is not None else ():
                rival = self.terminals[other]
                if rival.text is None and rival.order[0] == one.order[0] and _takes(rival.automaton, one.text or ""):
                    held |= 1 << other
                    last = max(last, other)
                    self.strings[other] |= 1 << number
            self.holders[number] = held
            self.rivals[number] = sum(1 << other for other in self.members if other <= last)

    def marks(self, at: int, seen: int) -> Iterable[int]:
        """The terminals for which the lexer takes a text that led to a state; ``seen``: what matched on the way."""
        label = self.labels[at]
        for number in self.members:
            if label >> number & 1 and number not in self.silent:
                before = self.rivals[number] & ~(1 << number) & seen
                if not before & ~(self.holders[number] & label) and not self.strings[number] & label:
                    yield number


def _takes(automaton: ByteAutomaton, text: str) -> bool:
    """Does a regular expression take all of a text?"""
    return automaton.accepts(text.encode("utf-8", "surrogatepass"))


def neighbours(grammar: LarkRules) -> tuple[dict[str, set[str]], set[str]]:
    """For each terminal those that may stand next to it, and those that a text may begin with."""
    rules = grammar.rules
    empty: set[str] = set()
    first: dict[str, set[str]] = {name: {name} for name in grammar.terminals} | {name: set() for name in rules}
    last: dict[str, set[str]] = {name: set(found) for name, found in first.items()}
    grew = True
    while grew:
        before = len(empty), sum(map(len, first.values())), sum(map(len, last.values()))
        for name, alternatives in rules.items():
            for parts in alternatives:
                _reach(first[name], parts, first, empty)
                _reach(last[name], parts[::-1], last, empty)
                if all(part in empty for part in parts):
                    empty.add(name)
        grew = before != (len(empty), sum(map(len, first.values())), sum(map(len, last.values())))
    after: dict[str, set[str]] = {name: set() for name in grammar.terminals}
    for parts in (parts for alternatives in rules.values() for parts in alternatives):
        for at in range(len(parts) - 1):
            following: set[str] = set()
            _reach(following, parts[at + 1 :], first, empty)
            for name in last[parts[at]]:
                after[name] |= following
    return after, first[grammar.start]


def _reach(found: set[str], parts: tuple[str, ...], ends: Mapping[str, set[str]], empty: set[str]) -> None:
    for part in parts:
        found |= ends[part]
        if part not in empty:
            return


def _erased(marked: ByteAutomaton, limits: Limits) -> ByteAutomaton:
    """The texts of a marked automaton without their marks and the numbers behind these."""
    if marked.is_empty:
        return marked
    behind = marked.transitions[:, marked.byte_class[MARK]]
    numbering = set(behind.tolist()) - {-1}
    edges: list[tuple[int, Node | None, int]] = []
    moves = marked.moves
    sets: dict[int, Node] = {}
    for source, mask, target in zip(moves.source.tolist(), moves.mask.tolist(), moves.target.tolist(), strict=True):
        if source in numbering:
            edges.append((source, None, target))
            continue
        if moves.masks[mask] >> MARK & 1:
            edges.append((source, None, target))
        if rest := moves.masks[mask] & ~(1 << MARK):
            edges.append((source, sets.setdefault(rest, ByteSet(rest)), target))
    finals = tuple(np.flatnonzero(marked.accepting).tolist())
    return compile_tree(Network(marked.states, tuple(edges), 0, finals), limits)
