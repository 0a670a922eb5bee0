"""From a grammar tree to a minimal byte automaton.

>>> from structdiff.automata.tree import literal, union
>>> a = compile_tree(union(literal("cat"), literal("cow")))
>>> a.accepts(b"cow"), a.accepts(b"co"), a.states
(True, False, 5)
"""

from __future__ import annotations

import numpy as np

from structdiff.automata import kernels
from structdiff.automata.byte_automaton import ByteAutomaton, minimal
from structdiff.automata.fragments import Builder
from structdiff.automata.tree import Embedded, Labelled, Network, Node, Repeat, Sequence, Union
from structdiff.core.errors import CompileLimit
from structdiff.core.limits import Limits, active


class Work:
    """How much may still be done to make automata deterministic, in edges followed: the same on every machine.

    >>> work = Work(left=1_000)
    >>> work.spend(400); work.left
    600
    """

    def __init__(self, left: int) -> None:
        self.given = self.left = left

    def spend(self, edges: int) -> None:
        """Count ``edges`` more; raises `CompileLimit` where that is too many."""
        self.left -= edges
        if self.left < 0:
            raise CompileLimit("", f"{self.given} edges followed to make it deterministic")


def compile_tree(
    node: Node, limits: Limits | None = None, *, pointer: str | None = None, work: Work | None = None
) -> ByteAutomaton:
    """The minimal byte automaton of a grammar tree.

    ``work`` is spent while it is made. Raises `CompileLimit` naming ``pointer`` or, without one, the smallest labelled
    part of the tree that is too large on its own: to find it takes compiling the parts again.
    """
    limits = limits or active()
    limits.check_time()
    try:
        return _compile(node, limits, work)
    except CompileLimit as error:
        if error.pointer or "seconds" in error.limit:
            raise
        raise CompileLimit(_too_large(node, limits) if pointer is None else pointer, error.limit) from None


def _compile(node: Node, limits: Limits, work: Work | None = None) -> ByteAutomaton:
    if isinstance(node, Embedded):
        return node.automaton
    builder = Builder(limits)
    fragment = builder.fragment(node)
    packed = b"".join(mask.to_bytes(32, "little") for mask in builder.sets)
    masks = np.unpackbits(np.frombuffer(packed, np.uint8).reshape(-1, 32), axis=1, bitorder="little")
    byte_class, classes_first = kernels.merge_columns(masks)  # bytes that every set treats alike
    K = len(classes_first)
    held = masks[:, classes_first]
    set_at = np.concatenate([[0], np.cumsum(held.sum(1))]).astype(np.int64)
    classes = np.nonzero(held)[1].astype(np.int32)
    n, (eps, edges) = fragment.size, fragment.rows()
    eps_at, order = kernels.by_row(eps[:, 0], n)
    eps_to = eps[order, 1]
    edge_at, order = kernels.by_row(edges[:, 0], n)
    edge_set, edge_to = edges[order, 1], edges[order, 2]
    final = np.zeros(n, bool)
    final[1] = True
    useful = final | (np.diff(edge_at) > 0)
    arrays = kernels.new_work(n, K)
    while True:
        arrays = kernels.determinise(
            eps_at, np.ascontiguousarray(eps_to), edge_at, np.ascontiguousarray(edge_set),
            np.ascontiguousarray(edge_to), set_at, classes, useful, final, K, arrays,
        )  # fmt: skip
        head, count = arrays[0], arrays[1]
        if count > limits.states:
            raise CompileLimit("", f"{limits.states} states")
        if head == count:
            break
        limits.check_time()
        if work is not None:
            work.spend(kernels.WORK)
    if work is not None:
        work.spend(n + len(edges) + K * count)
    return minimal(arrays[4][:count], arrays[6][:count], byte_class.astype(np.uint8))


def _too_large(node: Node, limits: Limits, pointer: str = "") -> str:
    for inner in _labelled_below(node):
        try:
            _compile(inner.item, limits)
        except CompileLimit as error:
            if "seconds" in error.limit:
                return pointer
            return _too_large(inner.item, limits, inner.pointer)
    return pointer


def _labelled_below(node: Node) -> list[Labelled]:
    found: list[Labelled] = []
    pending, seen = [node], set()
    while pending:
        part = pending.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Labelled) and part is not node:
            found.append(part)
        elif isinstance(part, Labelled | Repeat):
            pending.append(part.item)
        elif isinstance(part, Sequence | Union):
            pending.extend(part.items)
        elif isinstance(part, Network):
            pending.extend(item for _, item, _ in part.edges if item is not None)
    return found
