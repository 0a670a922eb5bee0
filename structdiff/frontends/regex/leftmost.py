"""What `re.match` takes: of all texts of a pattern those that the engine itself chooses at the beginning of a text.

A lexer does not ask which texts a pattern has, but which one it takes: the first alternative that fits, as much as a
greedy loop and as little as a lazy one gets. `taken` is an automaton of the texts that it may take. On any text the
engine takes the longest beginning of it that the automaton accepts.

>>> taken("a|ab").texts.accepts(b"ab"), taken("ab|a").texts.accepts(b"ab"), taken('".*?"').texts.accepts(b'"a"b"')
(False, True, False)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from structdiff.automata.byte_automaton import ByteAutomaton, minimal
from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import ANY_BYTE, ByteSet, Embedded, Network, Node, Repeat, Sequence, Union, sequence
from structdiff.automata.unicode import code_points
from structdiff.core.errors import CompileLimit, UnsupportedSchema
from structdiff.core.limits import active
from structdiff.frontends.regex.parser import ANY_TEXT, MARKS, inside_text, language
from structdiff.frontends.regex.python import parse_python
from structdiff.frontends.regex.terms import Chars, Choice, Concat, Loop, Term, count_assertions

_MARK = MARKS[-1]


@dataclass(frozen=True)
class Taken:
    """The texts that are taken; ``narrowed`` where others would be, in some surroundings alone."""

    texts: ByteAutomaton
    narrowed: bool = False


def taken(pattern: str) -> Taken:
    """The texts that ``re.match(pattern, text)`` takes for some ``text``; the longest that begins a text is taken.

    A pattern with look-around, anchors or word boundaries is narrowed to texts that it takes whatever stands around
    them: the empty language where that is none. Raises as `parse_regex` does, and `CompileLimit`.
    """
    term = parse_python(pattern)
    if not count_assertions(term):
        return Taken(_ordered(term))
    whole = compile_tree(language(term, True))
    settled = whole - _between(_around(whole) - compile_tree(inside_text(term, _MARK)))
    narrowed = settled != whole
    if _has_lazy(term) and not settled.is_empty:
        settled = settled - compile_tree(sequence(Embedded(settled), Repeat(ANY_BYTE, 1, None)))
    return Taken(settled, narrowed)


def _has_lazy(term: Term) -> bool:
    if isinstance(term, Loop):
        return term.lazy or _has_lazy(term.item)
    return isinstance(term, Concat | Choice) and any(map(_has_lazy, term.items))


def _around(whole: ByteAutomaton) -> ByteAutomaton:
    """Any text, a mark, a text of ``whole``, a mark, any text."""
    mark = ByteSet.of([_MARK])
    return compile_tree(sequence(ANY_TEXT, mark, Embedded(whole), mark, ANY_TEXT))


def _between(marked: ByteAutomaton) -> ByteAutomaton:
    """What stands between the two marks of the texts of an automaton."""
    table, column = marked.transitions, marked.byte_class[_MARK]
    if marked.is_empty:
        return marked
    plain = [klass for klass in range(table.shape[1]) if klass != column]
    reached, pending = {0}, [0]
    while pending:
        for state in table[pending.pop()][plain].tolist():
            if state >= 0 and state not in reached:
                reached.add(state)
                pending.append(state)
    starts = {int(table[state, column]) for state in reached} - {-1}
    masks = [0] * table.shape[1]
    for byte, klass in enumerate(marked.byte_class.tolist()):
        masks[klass] |= 1 << byte
    edges: list[tuple[int, Node | None, int]] = [(marked.states, None, state) for state in starts]
    inside, pending = set(starts), list(starts)
    while pending:
        source = pending.pop()
        for klass in plain:
            target = int(table[source, klass])
            if target >= 0:
                edges.append((source, ByteSet(masks[klass]), target))
                if target not in inside:
                    inside.add(target)
                    pending.append(target)
    finals = tuple(state for state in inside if table[state, column] >= 0)
    return compile_tree(Network(marked.states + 1, tuple(edges), marked.states, finals))


class _Ordered:
    """A nondeterministic automaton whose empty edges are in the order in which the engine tries them; 0 is the end."""

    def __init__(self) -> None:
        self.eps: list[list[int]] = [[]]
        self.edges: list[list[tuple[int, int]]] = [[]]
        self.behind: dict[int, int] = {}

    def state(self, *eps: int) -> int:
        self.eps.append(list(eps))
        self.edges.append([])
        if len(self.eps) > active().nodes:
            raise CompileLimit("", f"{active().nodes} grammar nodes")
        return len(self.eps) - 1

    def before(self, term: Term, after: int) -> int:
        """A state from which the term leads to ``after``."""
        if isinstance(term, Chars):
            return self._bytes(code_points(term.ranges), after)
        if isinstance(term, Concat):
            for item in reversed(term.items):
                after = self.before(item, after)
            return after
        if isinstance(term, Choice):
            return self.state(*(self.before(item, after) for item in term.items))
        if not isinstance(term, Loop):
            raise UnsupportedSchema("", "pattern", "a condition has no place in an order of choices")

        def choice(inside: int, behind: int) -> tuple[int, int]:
            return (behind, inside) if term.lazy else (inside, behind)

        start = after
        if term.high is None:
            start = self.state()
            self.behind[start] = after
            self.eps[start] += choice(self.before(term.item, start), after)
        else:
            for _ in range(term.high - term.low):
                start = self.state(*choice(self.before(term.item, start), after))
        for _ in range(term.low):
            start = self.before(term.item, start)
        return start

    def _bytes(self, node: Node, after: int) -> int:
        if isinstance(node, ByteSet):
            found = self.state()
            self.edges[found].append((node.mask, after))
            return found
        if isinstance(node, Sequence):
            for item in reversed(node.items):
                after = self._bytes(item, after)
            return after
        assert isinstance(node, Union)
        found = self.state()
        for item in node.items:
            inner = self._bytes(item, after)
            self.edges[found] += self.edges[inner]
        return found


def _ordered(term: Term) -> ByteAutomaton:
    """The automaton that follows the choices of the engine: what comes after a match in its order is given up."""
    nfa = _Ordered()
    start = nfa.before(term, 0)
    masks = sorted({mask for edges in nfa.edges for mask, _ in edges})
    packed = b"".join(mask.to_bytes(32, "little") for mask in masks)
    bits = np.unpackbits(np.frombuffer(packed, np.uint8).reshape(-1, 32), axis=1, bitorder="little")
    columns, byte_class = np.unique(bits, axis=1, return_inverse=True)
    held = {mask: np.flatnonzero(columns[i]).tolist() for i, mask in enumerate(masks)}
    K = columns.shape[1]
    known: dict[tuple[int, ...], int] = {}
    rows: list[list[int]] = []
    pending: list[tuple[int, ...]] = []

    def number(states: tuple[int, ...]) -> int:
        if not states:
            return -1
        if states not in known:
            known[states] = len(known)
            if len(known) > active().states:
                raise CompileLimit("", f"{active().states} states")
            pending.append(states)
        return known[states]

    number(_closure(nfa, [start]))
    while pending:
        states = pending.pop(0)
        active().check_time()
        following: list[list[int]] = [[] for _ in range(K)]
        for state in states:
            for mask, target in nfa.edges[state]:
                for klass in held[mask]:
                    following[klass].append(target)
        rows.append([number(_closure(nfa, targets)) if targets else -1 for targets in following])
    table = np.array(rows, np.int32).reshape(-1, K)
    accepting = np.array([states[-1] == 0 for states in known])
    return minimal(table, accepting, byte_class.astype(np.uint8).ravel())


def _closure(nfa: _Ordered, states: list[int]) -> tuple[int, ...]:
    """The states with byte edges that can be reached without a byte, in order, up to the end where it is among them."""
    found: list[int] = []
    seen: set[int] = set()
    stack = list(reversed(states))
    while stack:
        state = stack.pop()
        if state in seen:
            if state in nfa.behind:  # subtle: a round of a loop that takes nothing is its last
                stack.append(nfa.behind[state])
            continue
        seen.add(state)
        if state == 0:
            return (*found, 0)
        if nfa.edges[state]:
            found.append(state)
        stack.extend(reversed(nfa.eps[state]))
    return tuple(found)
