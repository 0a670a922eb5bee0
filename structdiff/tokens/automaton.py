"""The token automaton: a byte automaton seen through a vocabulary.

States are the byte states that a token boundary can fall on; edges carry *labels*, sets of token classes that lead from
the same source to the same target. Built from the token classes by a walk from the start state that applies the
canonical skeleton, then trimmed to states from which acceptance is reachable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.kernels import by_row, grow, rehashed
from structdiff.core.errors import CompileLimit, Unsatisfiable
from structdiff.core.limits import Limits
from structdiff.tokens.classes import TokenClasses, token_classes
from structdiff.tokens.vocabulary import Vocabulary

FORCED_BYTES = 64
"""How much of a forced run is shown to the tokenizer to learn its first token."""


@dataclass(frozen=True, eq=False)
class TokenAutomaton:
    """S states, E edges, C classes over a vocabulary of V ids. State 0 is the start.

    Edges of state s: ``edge_to[k]`` under label ``edge_label[k]`` for k in ``edge_at[s]:edge_at[s + 1]``. Label l is
    the set of classes ``label_class[label_at[l]:label_at[l + 1]]``. Class c has the ids
    ``class_token[class_at[c]:class_at[c + 1]]``; class 0 holds the ids that fit nowhere and the last class the end
    tokens; ``class_of`` int32[V] is the inverse. ``distance[s]`` is the fewest tokens from s to acceptance (0 where s
    accepts); ``byte_state[s]`` is the state of ``bytes`` that s stands for.
    """

    bytes: ByteAutomaton
    byte_state: np.ndarray
    edge_at: np.ndarray
    edge_to: np.ndarray
    edge_label: np.ndarray
    label_at: np.ndarray
    label_class: np.ndarray
    class_of: np.ndarray
    class_at: np.ndarray
    class_token: np.ndarray
    accepting: np.ndarray
    distance: np.ndarray

    @property
    def states(self) -> int:
        return len(self.accepting)

    @property
    def edges(self) -> int:
        return len(self.edge_to)

    @property
    def labels(self) -> int:
        return len(self.label_at) - 1

    @property
    def classes(self) -> int:
        return len(self.class_at) - 1

    def tokens_of_label(self, label: int) -> np.ndarray:
        """int32[n]: the token ids of a label."""
        classes = self.label_class[self.label_at[label] : self.label_at[label + 1]]
        return np.concatenate([self.class_token[self.class_at[c] : self.class_at[c + 1]] for c in classes])

    def step(self, state: int, token: int) -> int:
        """The state after ``token``, or -1."""
        label_holds = self.class_of[token]
        for k in range(self.edge_at[state], self.edge_at[state + 1]):
            label = self.edge_label[k]
            if label_holds in self.label_class[self.label_at[label] : self.label_at[label + 1]]:
                return int(self.edge_to[k])
        return -1

    def final(self, state: int) -> bool:
        """Whether a text ends here for certain: it is complete, and nothing could follow. S (``states``) is the end."""
        if state == self.states:
            return True
        return bool(self.accepting[state] and self.edge_at[state + 1] == self.edge_at[state])

    @property
    def nbytes(self) -> int:
        """Memory of all arrays, ``class_of`` and ``class_token`` (one int32 per vocabulary entry each) included."""
        arrays = [value for value in vars(self).values() if isinstance(value, np.ndarray)]
        return sum(a.nbytes for a in (*arrays, self.bytes.transitions))


@njit(cache=True, nogil=True)
def _by_source(at, source, target, like, S):
    """Transpose classes -> sources into sources -> (class, target); class c has the pairs of class ``like[c]``."""
    out_at = np.zeros(S + 1, np.int64)
    for c in like:
        for p in range(at[c], at[c + 1]):
            out_at[source[p] + 1] += 1
    out_at = np.cumsum(out_at)
    fill = out_at[:-1].copy()
    klass = np.empty(out_at[S], np.int32)
    to = np.empty(out_at[S], np.int32)
    for c in range(like.shape[0]):
        for p in range(at[like[c]], at[like[c] + 1]):
            slot = fill[source[p]]
            fill[source[p]] += 1
            klass[slot] = c
            to[slot] = target[p]
    return out_at, klass, to


@njit(cache=True, nogil=True)
def _numbered(values, number):
    """``number[values]``: for int32 places NumPy takes three times as long."""
    out = np.empty(values.shape[0], np.int32)
    for i in range(values.shape[0]):
        out[i] = number[values[i]]
    return out


@njit(cache=True, nogil=True)
def _forced_runs(table, accepting, bytes_in_class, byte_of_class):
    """For each byte state (the state after its forced byte, that byte); -1 where it accepts or has a choice."""
    S, K = table.shape
    after = np.full(S, -1, np.int32)
    forced = np.full(S, -1, np.int32)
    for s in range(S):
        if accepting[s]:
            continue
        count = 0
        for k in range(K):
            if table[s, k] >= 0:
                count += bytes_in_class[k]
                after[s] = table[s, k]
                forced[s] = byte_of_class[k]
        if count != 1:
            after[s] = -1
            forced[s] = -1
    return after, forced


@njit(cache=True, nogil=True)
def _runs_from(states, after, forced, longest):
    """The forced bytes from each of ``states``, at most ``longest``: (uint8[n, longest] with zeros behind, lengths)."""
    runs = np.zeros((states.shape[0], longest), np.uint8)
    lengths = np.zeros(states.shape[0], np.int64)
    for i in range(states.shape[0]):
        at = states[i]
        while after[at] >= 0 and lengths[i] < longest:
            runs[i, lengths[i]] = forced[at]
            lengths[i] += 1
            at = after[at]
    return runs, lengths


@njit(cache=True, nogil=True)
def _reach(at, klass, to, allowed_class, inside_end, after, accepting):
    """Token-boundary states from state 0, in breadth-first order, and which (state, class) pairs are kept.

    In a forced state only ``allowed_class`` may end strictly inside the forced run.
    """
    S = accepting.shape[0]
    order = np.full(S, -1, np.int32)
    queue = np.empty(S, np.int32)
    keep = np.zeros(klass.shape[0], np.bool_)
    order[0] = 0
    queue[0] = 0
    head, count = 0, 1
    inside = np.full(S, -1, np.int32)
    while head < count:
        s = queue[head]
        head += 1
        if allowed_class[s] >= 0:
            t = after[s]
            while t >= 0 and after[t] >= 0:  # states strictly inside the run that starts at s
                inside[t] = s
                t = after[t]
        for p in range(at[s], at[s + 1]):
            t = to[p]
            if allowed_class[s] >= 0 and inside[t] == s and klass[p] != allowed_class[s]:
                continue
            keep[p] = True
            if order[t] < 0:
                order[t] = count
                queue[count] = t
                count += 1
    return queue[:count], order, keep


@njit(cache=True, nogil=True)
def _distances(edge_at, edge_to, accepting):
    S = accepting.shape[0]
    E = edge_to.shape[0]
    into = np.zeros(S + 1, np.int64)
    for e in range(E):
        into[edge_to[e] + 1] += 1
    into = np.cumsum(into)
    fill = into[:-1].copy()
    source = np.empty(E, np.int32)
    for s in range(S):
        for e in range(edge_at[s], edge_at[s + 1]):
            source[fill[edge_to[e]]] = s
            fill[edge_to[e]] += 1
    distance = np.full(S, -1, np.int32)
    queue = np.empty(S, np.int32)
    count = 0
    for s in range(S):
        if accepting[s]:
            distance[s] = 0
            queue[count] = s
            count += 1
    head = 0
    while head < count:
        t = queue[head]
        head += 1
        for e in range(into[t], into[t + 1]):
            if distance[source[e]] < 0:
                distance[source[e]] = distance[t] + 1
                queue[count] = source[e]
                count += 1
    return distance


@njit(cache=True, nogil=True)
def _label_of(classes, low, high, label_at, label_class, labels, hashes, slots):
    """The number of the list ``classes[low:high]``, hash-consed: ``labels`` if it is new (then it is added)."""
    mask = np.uint64(slots.shape[0] - 1)
    h = np.uint64(1469598103934665603)
    for k in range(low, high):
        h = (h ^ np.uint64(classes[k])) * np.uint64(1099511628211)
        h ^= h >> np.uint64(31)
    slot = h & mask
    while slots[np.int64(slot)] >= 0:
        other = slots[np.int64(slot)]
        first = label_at[other]
        if hashes[other] == h and label_at[other + 1] - first == high - low:
            equal = True
            for k in range(high - low):
                if label_class[first + k] != classes[low + k]:
                    equal = False
                    break
            if equal:
                return np.int64(other)
        slot = (slot + np.uint64(1)) & mask
    slots[np.int64(slot)] = labels
    hashes[labels] = h
    first = label_at[labels]
    for k in range(high - low):
        label_class[first + k] = classes[low + k]
    label_at[labels + 1] = first + high - low
    return np.int64(labels)


@njit(cache=True, nogil=True)
def _edges_from(
    i, edges, labels, queue, order, keep, at, klass, to, edge_at, edge_to, edge_label, label_at, label_class, hashes,
    slots, count, fill, targets, classes,
):  # fmt: skip
    """The edges of reached states from ``i`` on while there is room: (i, edges, labels)."""
    while i < queue.shape[0]:
        lo, hi = at[queue[i]], at[queue[i] + 1]
        most = min(hi - lo, queue.shape[0])
        if (
            edges + most > edge_to.shape[0]
            or labels + most > hashes.shape[0]
            or 2 * (labels + most) > slots.shape[0]
            or label_at[labels] + hi - lo > label_class.shape[0]
            or hi - lo > classes.shape[0]
        ):
            break
        found = 0
        for p in range(lo, hi):
            if keep[p]:
                t = order[to[p]]
                if count[t] == 0:
                    targets[found] = t
                    found += 1
                count[t] += 1
        if found > 8:
            targets[:found].sort()
        else:
            for j in range(1, found):
                t, place = targets[j], j
                while place and targets[place - 1] > t:
                    targets[place] = targets[place - 1]
                    place -= 1
                targets[place] = t
        size = 0
        for j in range(found):
            fill[targets[j]] = size
            size += count[targets[j]]
        for p in range(lo, hi):
            if keep[p]:
                t = order[to[p]]
                classes[fill[t]] = klass[p]
                fill[t] += 1
        for j in range(found):
            t = targets[j]
            label = _label_of(classes, fill[t] - count[t], fill[t], label_at, label_class, labels, hashes, slots)
            labels += label == labels
            edge_to[edges] = t
            edge_label[edges] = label
            edges += 1
            count[t] = 0
        i += 1
        edge_at[i] = edges
    return i, edges, labels


@njit(cache=True, nogil=True)
def _edges(queue, order, keep, at, klass, to):
    """The kept (state, class, target) triples of the reached states as edges between their new numbers.

    Edges are ordered by source and target; their class lists, ascending, are hash-consed as labels. Returns edge_at,
    edge_to, edge_label, label_at, label_class.
    """
    R = queue.shape[0]
    edge_at = np.zeros(R + 1, np.int64)
    edge_to = np.empty(1024, np.int32)
    edge_label = np.empty(1024, np.int32)
    label_at = np.zeros(257, np.int64)
    label_class = np.empty(1024, np.int32)
    hashes = np.zeros(256, np.uint64)
    slots = np.full(1024, -1, np.int32)
    count = np.zeros(R, np.int64)
    fill = np.zeros(R, np.int64)
    targets = np.empty(R, np.int32)
    classes = np.empty(1024, np.int32)
    i, edges, labels = 0, 0, 0
    while True:
        i, edges, labels = _edges_from(
            i, edges, labels, queue, order, keep, at, klass, to, edge_at, edge_to, edge_label, label_at, label_class,
            hashes, slots, count, fill, targets, classes,
        )  # fmt: skip
        if i == R:
            break
        pairs = at[queue[i] + 1] - at[queue[i]]
        most = min(pairs, R)
        edge_to = grow(edge_to, edges + most)
        edge_label = grow(edge_label, edges + most)
        hashes = grow(hashes, labels + most)
        label_at = grow(label_at, hashes.shape[0] + 1)
        label_class = grow(label_class, label_at[labels] + pairs)
        classes = grow(classes, pairs)
        if 2 * (labels + most) > slots.shape[0]:
            size = slots.shape[0]
            while size < 2 * (labels + most):
                size *= 2
            slots = rehashed(hashes, 0, labels, size)
    return edge_at, edge_to[:edges], edge_label[:edges], label_at[: labels + 1], label_class[: label_at[labels]]


def build_token_automaton(
    automaton: ByteAutomaton, vocabulary: Vocabulary, *, canonical: bool = True, limits: Limits | None = None
) -> TokenAutomaton:
    """The token automaton of a byte automaton; raises `CompileLimit` and, for the empty language, `Unsatisfiable`.

    ``canonical`` keeps of each forced run of bytes only the tokenizer's own first token and every token that reaches or
    crosses the end of the run; the set of *strings* stays the same.
    """
    limits = limits or Limits()
    if automaton.is_empty:
        raise Unsatisfiable("no output at all satisfies the constraint; two of its parts contradict each other")
    classes = token_classes(vocabulary.trie, automaton, vocabulary.size, limits)
    limits.check_time()
    S = automaton.states
    allowed = np.full(S, -1, np.int32)
    byte_of_class = np.zeros(automaton.transitions.shape[1], np.int32)
    byte_of_class[automaton.byte_class[::-1]] = np.arange(256)[::-1]
    in_class = np.bincount(automaton.byte_class)
    after, forced = _forced_runs(automaton.transitions, automaton.accepting, in_class, byte_of_class)
    class_of, like = classes.class_of, np.arange(classes.count)
    if canonical:
        class_of, like, allowed = _canonical(vocabulary, classes, after, forced)
        limits.check_time()
    at, klass, to = _by_source(classes.at, classes.source, classes.target, like, S)
    queue, order, keep = _reach(at, klass, to, allowed, allowed, after, automaton.accepting)
    # Restrict to reached states, then to those from which acceptance can be reached by whole tokens.
    edge_at, edge_to, edge_label, label_at, label_class = _edges(queue, order, keep, at, klass, to)
    if len(edge_to) > limits.edges:
        raise CompileLimit("", f"{limits.edges} edges")
    accepting = automaton.accepting[queue]
    distance = _distances(edge_at, edge_to, accepting)
    if distance[0] < 0:
        raise Unsatisfiable("the tokenizer cannot spell any output of this constraint")
    return _trimmed(
        automaton, class_of, len(like), queue, accepting, distance, edge_at, edge_to, edge_label, label_at,
        label_class, vocabulary.end_ids,
    )  # fmt: skip


def _trimmed(
    automaton: ByteAutomaton, token_class: np.ndarray, classes: int, queue: np.ndarray, accepting: np.ndarray,
    distance: np.ndarray, edge_at: np.ndarray, edge_to: np.ndarray, edge_label: np.ndarray, label_at: np.ndarray,
    label_class: np.ndarray, end_ids: tuple[int, ...],
) -> TokenAutomaton:  # fmt: skip
    """What lies on a way to acceptance, with states, labels and classes numbered anew."""
    alive = distance >= 0
    if not alive.all():
        number = np.cumsum(alive) - 1
        edge_source = np.repeat(np.arange(len(queue), dtype=np.int32), np.diff(edge_at))
        kept = alive[edge_source] & alive[edge_to]
        edge_source, edge_to, edge_label = number[edge_source[kept]], number[edge_to[kept]], edge_label[kept]
        edge_at = np.searchsorted(edge_source, np.arange(int(alive.sum()) + 1)).astype(np.int64)
        used, edge_label = _renumbered(edge_label, len(label_at) - 1)
        lengths = np.diff(label_at)[used]
        new_at = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        label_class = label_class[np.repeat(label_at[used] - new_at[:-1], lengths) + np.arange(new_at[-1])]
        label_at = new_at
    live_classes, label_class = _renumbered(label_class, classes)
    class_number = np.zeros(classes, np.int32)
    class_number[live_classes] = np.arange(1, len(live_classes) + 1)
    count = len(live_classes) + 2
    class_of = _numbered(token_class, class_number)
    class_of[list(end_ids)] = count - 1
    class_at, class_token = by_row(class_of, count)
    return TokenAutomaton(
        bytes=automaton,
        byte_state=queue[alive],
        edge_at=edge_at,
        edge_to=edge_to.astype(np.int32),
        edge_label=edge_label.astype(np.int32),
        label_at=label_at,
        label_class=(label_class + 1).astype(np.int32),
        class_of=class_of,
        class_at=class_at,
        class_token=class_token,
        accepting=accepting[alive],
        distance=distance[alive],
    )


def _renumbered(numbers: np.ndarray, below: int) -> tuple[np.ndarray, np.ndarray]:
    """``np.unique(numbers, return_inverse=True)`` for numbers from 0 to ``below``, without sorting."""
    held = np.zeros(below, bool)
    held[numbers] = True
    return np.flatnonzero(held), (np.cumsum(held) - 1)[numbers]


def _canonical(
    vocabulary: Vocabulary, classes: TokenClasses, after: np.ndarray, forced: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give each forced state's own first token its own class.

    Returns the class of each token, the class of ``classes`` that each class acts like, and the class of the own first
    token per state or -1.
    """
    like = np.arange(classes.count)
    allowed = np.full(len(after), -1, np.int32)
    states = _forced_reachable(classes.target, after)
    runs, lengths = _runs_from(states, after, forced, FORCED_BYTES)
    packed, width = runs.tobytes(), runs.shape[1]
    run_of = [packed[i * width : i * width + length] for i, length in enumerate(lengths.tolist())]
    first = {run: vocabulary.first_token(run) for run in set(run_of)}
    tokens = zip(states.tolist(), (first[run] for run in run_of), strict=True)
    token_of = {s: token for s, token in tokens if token is not None}
    if not token_of:
        return classes.class_of, like, allowed
    wanted = sorted(set(token_of.values()))
    counts = _counts(classes.class_of, classes.count)
    class_of = classes.class_of.copy()
    extra_of: list[int] = []
    for token in wanted:
        klass = int(class_of[token])
        if klass and counts[klass] > 1:
            counts[klass] -= 1
            class_of[token] = classes.count + len(extra_of)
            extra_of.append(klass)
    for s, token in token_of.items():
        allowed[s] = class_of[token] or -1
    return class_of, np.concatenate([like, np.array(extra_of, np.int64)]), allowed


@njit(cache=True, nogil=True)
def _counts(class_of, n):
    """Tokens of each class."""
    counts = np.zeros(n, np.int64)
    for c in class_of:
        counts[c] += 1
    return counts


@njit(cache=True, nogil=True)
def _forced_reachable(target, after):
    """Forced byte states that some token ends on (or the start): the only ones whose own first token matters."""
    hit = np.zeros(after.shape[0], np.bool_)
    hit[0] = True
    for t in target:
        hit[t] = True
    return np.flatnonzero(hit & (after >= 0))
