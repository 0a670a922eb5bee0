"""The token automaton: a byte automaton seen through a vocabulary.

States are the byte states that a token boundary can fall on; edges carry *labels*, sets of token classes that lead from
the same source to the same target. Built from the token classes by a walk from the start state that applies the
canonical skeleton, then trimmed to states from which acceptance is reachable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.kernels import by_row
from structdiff.core.errors import CompileLimit, Unsatisfiable
from structdiff.core.limits import Limits
from structdiff.tokens.classes import TokenClasses, token_classes
from structdiff.tokens.kernels import (
    by_source,
    class_sizes,
    distances,
    edges,
    forced_reachable,
    forced_runs,
    numbered,
    reach,
    runs_from,
)
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
    after, forced = forced_bytes(automaton)
    states = forced_reachable(classes.target, after) if canonical else np.zeros(0, np.int64)
    own = own_tokens(vocabulary, states, after, forced)
    limits.check_time()
    return of_classes(automaton, vocabulary, classes, after, own, limits)


def of_classes(
    automaton: ByteAutomaton, vocabulary: Vocabulary, classes: TokenClasses, after: np.ndarray, own: np.ndarray,
    limits: Limits,
) -> TokenAutomaton:  # fmt: skip
    """The token automaton of the classes that tokens have in a byte automaton; ``after`` is where its forced bytes
    lead, ``own`` the tokenizer's own first token of the forced run from each state, or -1."""
    class_of, like, allowed = _canonical(classes, own)
    at, klass, to = by_source(classes.at, classes.source, classes.target, like, automaton.states)
    queue, order, keep = reach(at, klass, to, allowed, allowed, after, automaton.accepting)
    # Restrict to reached states, then to those from which acceptance can be reached by whole tokens.
    edge_at, edge_to, edge_label, label_at, label_class = edges(queue, order, keep, at, klass, to)
    if len(edge_to) > limits.edges:
        raise CompileLimit("", f"{limits.edges} edges")
    accepting = automaton.accepting[queue]
    distance = distances(edge_at, edge_to, accepting)
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
    class_of = numbered(token_class, class_number)
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


def forced_bytes(automaton: ByteAutomaton) -> tuple[np.ndarray, np.ndarray]:
    """int32[S] each: where each state's only byte leads, and that byte; -1 where there is a choice or an end."""
    byte_of_class = np.zeros(automaton.transitions.shape[1], np.int32)
    byte_of_class[automaton.byte_class[::-1]] = np.arange(256)[::-1]
    in_class = np.bincount(automaton.byte_class, minlength=len(byte_of_class))
    after, forced = forced_runs(automaton.transitions, automaton.accepting, in_class, byte_of_class)
    return after, forced


def own_tokens(vocabulary: Vocabulary, states: np.ndarray, after: np.ndarray, forced: np.ndarray) -> np.ndarray:
    """int32[S]: the tokenizer's own first token of the forced run from each of some states, -1 elsewhere."""
    own = np.full(len(after), -1, np.int32)
    runs, lengths = runs_from(states, after, forced, FORCED_BYTES)
    packed, width = runs.tobytes(), runs.shape[1]
    run_of = [packed[i * width : i * width + length] for i, length in enumerate(lengths.tolist())]
    first = {run: vocabulary.first_token(run) for run in set(run_of)}
    tokens = (first[run] for run in run_of)
    own[states] = np.fromiter((-1 if token is None else token for token in tokens), np.int32, len(states))
    return own


def _canonical(classes: TokenClasses, own: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give each forced state's own first token its own class.

    Returns the class of each token, the class of ``classes`` that each class acts like, and the class of the own first
    token per state or -1.
    """
    like = np.arange(classes.count)
    allowed = np.full(len(own), -1, np.int32)
    states = np.flatnonzero(own >= 0)
    if not len(states):
        return classes.class_of, like, allowed
    wanted = np.unique(own[states]).tolist()
    counts = class_sizes(classes.class_of, classes.count)
    class_of = classes.class_of.copy()
    extra_of: list[int] = []
    for token in wanted:
        klass = int(class_of[token])
        if klass and counts[klass] > 1:
            counts[klass] -= 1
            class_of[token] = classes.count + len(extra_of)
            extra_of.append(klass)
    allowed[states] = class_of[own[states]]
    allowed[allowed == 0] = -1
    return class_of, np.concatenate([like, np.array(extra_of, np.int64)]), allowed
