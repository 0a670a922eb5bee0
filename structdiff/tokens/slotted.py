"""The token automaton of a template with contents in its slots, without walking the whole vocabulary for each text.

What a template says of tokens outside its slots is found once (`Slotted`). For a text there remain the tokens inside
its contents, found once for all slots of a kind, and those that go across the border of a slot. The result is the same
language of token strings as that of `build_token_automaton` over `Template.filled`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.kernels import by_row
from structdiff.automata.slots import Template
from structdiff.core.limits import Limits
from structdiff.tokens import slot_kernels
from structdiff.tokens.automaton import TokenAutomaton, build_token_automaton, forced_bytes, of_classes, own_tokens
from structdiff.tokens.classes import TokenClasses, token_classes
from structdiff.tokens.kernels import forced_reachable
from structdiff.tokens.vocabulary import Vocabulary

_Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(trie node or class, source, target), int32[n] each."""


class Filled(ByteAutomaton):
    """A template with contents in its slots; the table is made when something asks for it. It is not minimal."""

    _slotted: Slotted
    _laid: _Laid

    def __init__(self, slotted: Slotted, laid: _Laid) -> None:
        self.__dict__.update(_slotted=slotted, _laid=laid, accepting=laid.accepting)

    @cached_property
    def byte_class(self) -> np.ndarray:
        parts = [self._slotted.bare, *(self._laid.contents[kind] for kind in set(self._laid.kind.tolist()))]
        quote = np.arange(256) == slot_kernels.QUOTE
        together = np.stack([quote, *(part.byte_class for part in parts)])
        _, found = np.unique(together, axis=1, return_inverse=True)
        return found.reshape(-1).astype(np.uint8)

    @cached_property
    def transitions(self) -> np.ndarray:
        slotted, laid = self._slotted, self._laid
        member = np.unique(self.byte_class, return_index=True)[1]
        table = np.full((self.states, len(member)), -1, np.int32)
        table[: slotted.states] = slotted.bare.by_byte[:, member]
        for place, (kind, behind) in enumerate(zip(slotted.kind, slotted.behind, strict=True)):
            content = laid.contents[kind]
            where = laid.states(place)
            moved = np.append(where, -1).astype(np.int32)
            table[where] = moved[content.by_byte[:, member]]
            table[where[content.accepting], self.byte_class[slot_kernels.QUOTE]] = behind
        table.setflags(write=False)
        return table


@dataclass(frozen=True, eq=False)
class _Laid:
    """Contents and the numbers of their states: state f >= 1 in slot p is ``base[p] + f``."""

    contents: Sequence[ByteAutomaton]
    kind: np.ndarray
    before: np.ndarray
    base: np.ndarray
    accepting: np.ndarray

    def states(self, place: int) -> np.ndarray:
        """int64[F]: the states of the content in a slot."""
        numbers: np.ndarray = np.arange(self.contents[self.kind[place]].states) + self.base[place]
        numbers[0] = self.before[place]
        return numbers


class Slotted:
    """A template seen through a vocabulary; `lay` puts contents into its slots."""

    def __init__(self, template: Template, vocabulary: Vocabulary, limits: Limits | None = None) -> None:
        self.template, self.vocabulary = template, vocabulary
        self.bare = template.bare
        self.states = self.bare.states
        places, trie = template.places, vocabulary.trie
        self.kind = np.array([place.kind for place in places], np.int32)
        self.before = np.array([place.before for place in places], np.int32)
        self.quote = np.array([place.quote for place in places], np.int32)
        self.behind = np.array([place.behind for place in places], np.int32)
        self.slot_of = np.full(self.states, -1, np.int32)
        self.slot_of[self.before] = np.arange(len(places))
        self.classes = token_classes(trie, self.bare, vocabulary.size, limits)
        self.class_pairs: _Pairs = (
            np.repeat(np.arange(self.classes.count, dtype=np.int32), np.diff(self.classes.at)),
            self.classes.source, self.classes.target,
        )  # fmt: skip
        self.class_sizes = np.bincount(self.classes.class_of, minlength=self.classes.count)
        distance = slot_kernels.near(self.bare.transitions, self.slot_of >= 0)
        self.entries = slot_kernels.entries(
            self.bare.transitions, self.bare.byte_class, self.slot_of, distance, trie.longest, trie.byte, trie.depth,
            trie.skip,
        )  # fmt: skip
        self.forced = forced_bytes(self.bare)

    def lay(
        self, contents: Sequence[ByteAutomaton], *, canonical: bool = True, limits: Limits | None = None
    ) -> TokenAutomaton:
        """The token automaton with a content for each kind of slot; no content of a slot is empty.

        Raises `CompileLimit` and, where no token string spells an output, `Unsatisfiable`.
        """
        limits = limits or Limits()
        if not len(self.kind):
            return build_token_automaton(self.bare, self.vocabulary, canonical=canonical, limits=limits)
        laid = self._numbered(contents)
        kinds = sorted(set(self.kind.tolist()))
        rows = {kind: slot_kernels.rows(contents[kind].transitions, contents[kind].byte_class) for kind in kinds}
        nodes, in_classes = self._tokens(laid, rows)
        limits.check_time()
        classes = self._classes(nodes, in_classes)
        after, forced, same = self._forced(laid, rows)
        own = np.full(len(after), -1, np.int32)
        if canonical:
            states = np.unique(same[forced_reachable(classes.target, after)])
            own = own_tokens(self.vocabulary, states, after, forced)[same]
        limits.check_time()
        return of_classes(Filled(self, laid), self.vocabulary, classes, after, own, limits)

    def _numbered(self, contents: Sequence[ByteAutomaton]) -> _Laid:
        sizes = np.array([contents[kind].states for kind in self.kind], np.int64) - 1
        base = (self.states + np.concatenate([[0], np.cumsum(sizes)[:-1]]) - 1).astype(np.int32)
        accepting = np.concatenate([self.bare.accepting, np.zeros(int(sizes.sum()), bool)])
        return _Laid(contents, self.kind, self.before, base, accepting)

    def _tokens(self, laid: _Laid, rows: dict[int, _Pairs]) -> tuple[_Pairs, _Pairs]:
        """What the slots add: pairs of trie nodes, and pairs of classes of the template."""
        trie = self.vocabulary.trie
        child_at, child = trie.children
        common = (child_at, child, trie.byte, trie.token_at, trie.skip)
        inner = {kind: slot_kernels.inside_tokens(*rows[kind], laid.contents[kind].accepting, *common) for kind in rows}
        source, node, slot = self.entries
        begins = [(source, node, self.before[slot], np.zeros(len(source), bool))]
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for place, kind in enumerate(self.kind.tolist()):
            where = laid.states(place).astype(np.int32)
            from_state, tokens, to_state, out_state, out_node = inner[kind]
            found.append((tokens, where[from_state], where[to_state]))
            behind = np.full(len(out_state), self.behind[place], np.int32)
            begins.append((where[out_state], out_node, behind, np.ones(len(out_state), bool)))
        places, table = self._table(laid, rows)
        crossing = slot_kernels.crossing_tokens(
            tuple(np.concatenate(part) for part in zip(*begins, strict=True)),
            (self.bare.transitions, self.bare.byte_class, self.slot_of), (laid.base, self.behind, *places), table,
            common,
        )  # fmt: skip
        found.append((crossing[1], crossing[0], crossing[2]))
        in_classes = [self.class_pairs]
        for place, kind in enumerate(self.kind.tolist()):  # at its end a content goes on like the closing quote
            ends = laid.states(place)[laid.contents[kind].accepting].astype(np.int32)
            for pairs, gathered in (((crossing[1], crossing[0], crossing[2]), found), (self.class_pairs, in_classes)):
                own = pairs[1] == self.quote[place]
                count = int(own.sum())
                gathered.append(
                    (np.tile(pairs[0][own], len(ends)), np.repeat(ends, count), np.tile(pairs[2][own], len(ends)))
                )
        return _joined(found), _joined(in_classes)

    def _table(self, laid: _Laid, rows: dict[int, _Pairs]) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        """The slot of each state of a content and the first row of each slot; the rows of all contents in one table."""
        place_of = np.repeat(
            np.arange(len(self.kind), dtype=np.int32), [laid.contents[kind].states - 1 for kind in self.kind]
        )
        first, at, size, edges = {}, [np.zeros(1, np.int64)], 0, 0
        for kind, (row_at, _, _) in rows.items():
            first[kind] = size
            at.append(row_at[1:] + edges)
            size += len(row_at) - 1
            edges += int(row_at[-1])
        byte = np.concatenate([row[1] for row in rows.values()])
        to = np.concatenate([row[2] for row in rows.values()])
        accepting = np.concatenate([laid.contents[kind].accepting for kind in rows])
        begins = np.array([first[kind] for kind in self.kind.tolist()])
        return (place_of, begins), (np.concatenate(at), byte, to, accepting)

    def _classes(self, nodes: _Pairs, in_classes: _Pairs) -> TokenClasses:
        """The classes of the template, without the tokens of ``nodes``, which get classes of their own."""
        trie = self.vocabulary.trie
        met = np.zeros(trie.nodes, bool)
        met[nodes[0]] = True
        used = np.flatnonzero(met)
        number = np.zeros(trie.nodes, np.int32)
        number[used] = np.arange(len(used)) + self.classes.count
        many = np.diff(trie.token_at)[used]
        tokens = trie.tokens[np.repeat(trie.token_at[used] - np.cumsum(many) + many, many) + np.arange(many.sum())]
        like = self.classes.class_of[trie.tokens[trie.token_at[used]]]
        left = self.class_sizes - np.bincount(self.classes.class_of[tokens], minlength=self.classes.count)
        class_of = self.classes.class_of.copy()
        class_of[tokens] = np.repeat(number[used], many)
        at, order = by_row(in_classes[0], self.classes.count)
        sizes = np.diff(at)[like]
        rows = order[np.repeat(at[like] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())]
        kept = left[in_classes[0]] > 0
        klass, source, target = _joined([
            tuple(part[kept] for part in in_classes),  # type: ignore[list-item]
            (np.repeat(number[used], sizes), in_classes[1][rows], in_classes[2][rows]),
            (number[nodes[0]], nodes[1], nodes[2]),
        ])  # fmt: skip
        at, order = by_row(klass, self.classes.count + len(used))
        return TokenClasses(class_of, at, source[order], target[order])

    def _forced(self, laid: _Laid, rows: dict[int, _Pairs]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(where forced bytes lead, these bytes, a state with the same forced run) for each state."""
        count = len(laid.accepting)
        after, forced = np.full(count, -1, np.int32), np.full(count, -1, np.int32)
        same = np.arange(count)
        after[: self.states], forced[: self.states] = self.forced
        inner = {kind: slot_kernels.forced_inside(*rows[kind], laid.contents[kind].accepting) for kind in rows}
        shown: dict[int, np.ndarray] = {}
        for place, kind in enumerate(self.kind.tolist()):
            where = laid.states(place)
            here, byte, ends = inner[kind]
            moved = np.concatenate([where, [self.behind[place], -1]]).astype(np.int32)  # -2 is the last but one
            after[where], forced[where] = moved[here], byte
            twins = shown.setdefault(kind, where)
            same[where[~ends]] = twins[~ends]
        return after, forced, same


def _joined(parts: Sequence[_Pairs]) -> _Pairs:
    first, second, third = (np.concatenate(columns).astype(np.int32) for columns in zip(*parts, strict=True))
    return first, second, third
