"""Nondeterministic automata of grammar trees, part by part: what is made deterministic afterwards."""

from __future__ import annotations

from collections import abc
from itertools import chain

import numpy as np

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.tree import ByteSet, Embedded, Labelled, Literal, Network, Node, Repeat, Sequence, Union
from structdiff.core.errors import CompileLimit
from structdiff.core.limits import Limits

MANY_PARTS = 32
"""Fragments of more parts are joined: moving a part takes about as long as copying a hundred rows."""
_Part = tuple[int, np.ndarray, np.ndarray]
_Edge = tuple[int, Node | None, int]


class Fragment:
    """A piece of nondeterministic automaton: state 0 begins, state 1 ends.

    ``parts`` are (offset, eps, edges): int32 rows (from, to) and (from, set, to) whose states are to be moved by the
    offset. A fragment within another one is only moved, not copied.
    """

    __slots__ = ("parts", "size")

    def __init__(self, size: int, eps: np.ndarray, edges: np.ndarray, inner: abc.Iterable[_Part] = ()) -> None:
        self.size, self.parts = size, [(0, eps, edges), *inner]

    def moved(self, by: int) -> abc.Iterator[_Part]:
        return ((offset + by, eps, edges) for offset, eps, edges in self.parts)

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """All empty edges and all others, in one array each."""
        if len(self.parts) > 1:
            offsets, eps, edges = zip(*self.parts, strict=True)
            shift = np.repeat(np.array(offsets, np.int32), [len(rows) for rows in eps])
            all_eps = np.concatenate(eps) + shift[:, None]
            all_edges = np.concatenate(edges)
            shift = np.repeat(np.array(offsets, np.int32), [len(rows) for rows in edges])
            all_edges[:, 0] += shift
            all_edges[:, 2] += shift
            self.parts = [(0, all_eps, all_edges)]
        return self.parts[0][1:]


class Builder:
    """Tree -> nondeterministic automaton. Fragments of shared nodes are built once and copied with an offset."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.sets: dict[int, int] = {}
        self.single: dict[int, int] = {}
        self.memo: dict[int, tuple[Node, Fragment]] = {}

    def fragment(self, node: Node) -> Fragment:
        known = self.memo.get(id(node))
        if known is None:
            known = self.memo[id(node)] = (node, self._build(node))  # keeping the node keeps its id unique
            if known[1].size > self.limits.nodes:
                raise CompileLimit("", f"{self.limits.nodes} grammar nodes")
            if len(known[1].parts) > MANY_PARTS:
                known[1].rows()
        return known[1]

    def _set(self, mask: int) -> int:
        return self.sets.setdefault(mask, len(self.sets))

    def _byte(self, byte: int) -> int:
        known = self.single.get(byte)  # small keys: hashing a mask of 256 bits takes longer
        if known is None:
            known = self.single[byte] = self._set(1 << byte)
        return known

    def _build(self, node: Node) -> Fragment:
        if isinstance(node, Labelled):
            return self.fragment(node.item)
        if isinstance(node, ByteSet):
            edges = [(0, self._set(node.mask), 1)] if node.mask else []
            return Fragment(2, _rows([], 2), _rows(edges, 3))
        if isinstance(node, Literal):
            if not node.data:
                return Fragment(2, _rows([(0, 1)], 2), _rows([], 3))
            chain = [0, *range(2, len(node.data) + 1), 1]
            edges = [(chain[i], self._byte(byte), chain[i + 1]) for i, byte in enumerate(node.data)]
            return Fragment(len(chain), _rows([], 2), _rows(edges, 3))
        if isinstance(node, Sequence):
            count = len(node.items)
            at = [0, *range(2, count + 1), 1]
            return self._network(count + 1, [(at[i], item, at[i + 1]) for i, item in enumerate(node.items)], 0, (1,))
        if isinstance(node, Union):
            return self._network(2, [(0, item, 1) for item in node.items], 0, (1,))
        if isinstance(node, Network):
            return self._network(node.size, node.edges, node.start, node.finals)
        if isinstance(node, Repeat):
            return self._repeat(node)
        if isinstance(node, Embedded):
            return self._embedded(node.automaton)
        raise TypeError(f"not a grammar node: {node!r}")

    def _network(self, size: int, edges: abc.Iterable[_Edge], start: int, finals: tuple[int, ...]) -> Fragment:
        """Network state q becomes state q + 2; 0 and 1 are the fragment's own ends."""
        eps = [(0, start + 2), *((f + 2, 1) for f in finals)]
        plain: list[tuple[int, int, int]] = []
        inner: list[_Part] = []
        offset = size + 2
        for source, item, target in edges:
            while isinstance(item, Labelled):
                item = item.item
            if item is None:
                eps.append((source + 2, target + 2))
            elif isinstance(item, ByteSet):
                if item.mask:
                    plain.append((source + 2, self._set(item.mask), target + 2))
            elif isinstance(item, Literal):
                if not item.data:
                    eps.append((source + 2, target + 2))
                at = source + 2
                for i, byte in enumerate(item.data):
                    to = target + 2 if i + 1 == len(item.data) else offset
                    offset += to == offset
                    plain.append((at, self._byte(byte), to))
                    at = to
            else:
                part = self.fragment(item)
                eps.append((source + 2, offset))
                eps.append((offset + 1, target + 2))
                inner.extend(part.moved(offset))
                offset += part.size
            if offset > self.limits.nodes:
                raise CompileLimit("", f"{self.limits.nodes} grammar nodes")
        return Fragment(offset, _rows(eps, 2), _rows(plain, 3), inner)

    def _repeat(self, node: Repeat) -> Fragment:
        part = self.fragment(node.item)
        high = node.low if node.high is None else node.high
        if high < node.low:
            return Fragment(2, _rows([], 2), _rows([], 3))
        copies = high + (node.high is None)
        size = 2 + copies * part.size
        if size > self.limits.nodes:
            raise CompileLimit("", f"{self.limits.nodes} grammar nodes")
        offsets = 2 + np.arange(copies, dtype=np.int32) * part.size
        part_eps, part_edges = part.rows()
        eps = [(part_eps[None] + offsets[:, None, None]).reshape(-1, 2)]
        shift = np.zeros((copies, 1, 3), np.int32)
        shift[:, 0, 0] = shift[:, 0, 2] = offsets
        edges = (part_edges[None] + shift).reshape(-1, 3)
        junction = np.concatenate([[0], offsets[:-1] + 1, [offsets[-1] + 1]]) if copies else np.array([0])
        eps.append(np.stack([junction[:copies], offsets], 1))  # into each copy
        if node.high is None:
            loop = offsets[-1]
            eps.append(_rows([(loop + 1, loop), (int(junction[copies - 1]), 1), (loop + 1, 1)], 2))
        else:
            ends = junction[node.low : high + 1]
            eps.append(np.stack([ends, np.ones_like(ends)], 1))
        return Fragment(size, np.concatenate(eps).astype(np.int32), edges)

    def _embedded(self, automaton: ByteAutomaton) -> Fragment:
        moves = automaton.moves
        sets = np.fromiter(map(self._set, moves.masks), np.int32, len(moves.masks))
        rows = np.stack([moves.source + 2, sets[moves.mask], moves.target + 2], 1).astype(np.int32, copy=False)
        eps = [(0, 2)] if automaton.states else []
        eps += [(int(state) + 2, 1) for state in np.flatnonzero(automaton.accepting)]
        return Fragment(automaton.states + 2, _rows(eps, 2), rows)


def _rows(rows: abc.Sequence[tuple[int, ...]], width: int) -> np.ndarray:
    return np.fromiter(chain.from_iterable(rows), np.int32, width * len(rows)).reshape(-1, width)
