"""How large the automaton of a tree becomes before it is made deterministic: cheap to tell, nothing is built.

>>> from structdiff.automata.tree import Repeat, literal
>>> size(Repeat(literal("ab"), 0, 100))
302
"""

from __future__ import annotations

from structdiff.automata.tree import Embedded, Labelled, Literal, Network, Node, Repeat, Sequence, Union


def size(root: Node, memo: dict[int, tuple[int, Node]] | None = None) -> int:
    """The number of nondeterministic states. Shared nodes count wherever they stand. A ``memo`` outlives the call."""
    known = {} if memo is None else memo
    pending = [root]
    while pending:
        node = pending[-1]
        if id(node) in known:
            pending.pop()
            continue
        below = _below(node)
        missing = [inner for inner in below if id(inner) not in known]
        if missing:
            pending.extend(missing)
            continue
        pending.pop()
        total = sum(known[id(inner)][0] for inner in below)
        if isinstance(node, Literal):
            total = len(node.data) + 1
        elif isinstance(node, Repeat):
            total *= max(node.low, 1) if node.high is None else node.high
        elif isinstance(node, Embedded):
            total = node.automaton.states
        elif isinstance(node, Network):
            total += node.size
        elif not isinstance(node, Labelled):
            total += 2
        known[id(node)] = (total + 2 * isinstance(node, Repeat), node)  # keeping the node keeps its id unique
    return known[id(root)][0]


def _below(node: Node) -> list[Node]:
    if isinstance(node, Labelled | Repeat):
        return [node.item]
    if isinstance(node, Sequence | Union):
        return list(node.items)
    if isinstance(node, Network):
        return [item for _, item, _ in node.edges if item is not None]
    return []
