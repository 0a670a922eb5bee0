"""Other people's decoders on the same model, grammar and number of model calls, written from their papers.

Each is a `Row` with another `constrained_step`; the loop, the budget and the canvases are structdiff's own.

- `IndependentRow`: every position masked on its own to the tokens that some output has there (per-position masks, no
  coupling), then DiffusionGemma's sampler as it is. What it writes need not be valid.
- `FrontierRow`: a validated prefix grows from the left, in the manner of Dgrammar: as far as the model's accepted
  tokens are legal it takes them; at the first that is not, it masks the illegal tokens of that position and takes the
  best legal one. Here "legal" already means "can be finished within the budget", which is more than the original knows.
- `LaveRow`: lookahead-then-verify (Zhang et al., arXiv 2602.00612): accepted tokens are tried in order of confidence,
  and one is kept only if some of a few fillings of the gaps before it, drawn from the step's distributions, make a
  legal prefix; kept tokens stay. Where nothing can be kept, the first open position gets its best legal token.
- `left_to_right`: greedy decoding with the same weights, the encoder in its causal mode and the tied head, one call a
  token.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from structdiff.decode.loop import Row, accept
from structdiff.decode.verify import Cursor
from structdiff.lattice.lattice import Lattice
from structdiff.tokens.automaton import TokenAutomaton

LOOKAHEADS = 10
"""Fillings a candidate is tried with; the paper's N."""


def _stock(row: Row, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """DiffusionGemma's own step: (tempered logits [L, V], drawn [L], entropy [L], accepted [L])."""
    tempered = logits / row.policy.temperature(row.step)
    distribution = torch.distributions.Categorical(logits=tempered)
    drawn = torch.multinomial(distribution.probs, 1, generator=row.generator)[:, 0]
    entropy = distribution.entropy()
    return tempered, drawn, entropy, accept(entropy[None], row.policy.entropy_bound)[0]


def _result(row: Row, cursor: Cursor, tokens: np.ndarray, lattice: Lattice) -> tuple[np.ndarray, int, int, float]:
    """What a step commits; an illegal canvas ends the text where it stands."""
    n, state, left = lattice.frame.length, row.state, row.left
    for i in range(n):
        after = cursor.step(state, int(tokens[i]), left - i)
        if after == lattice.automaton.states:
            return tokens[:n], i, after, 0.0
        if after < 0:
            return tokens[:n], n, lattice.automaton.states, 0.0
        state = after
    return tokens[:n], n, state, 0.0


def _cursor(row: Row) -> Cursor:
    assert row.task.automaton is not None
    if not hasattr(row, "cursor"):
        row.cursor = Cursor(row.task.automaton, row.task.end_ids)  # type: ignore[attr-defined]
    return row.cursor  # type: ignore[attr-defined, no-any-return]


class Baseline(Row):
    """A row that reads the logits in a way of its own."""

    considers = False


class IndependentRow(Baseline):
    """Per-position masks."""

    def constrained_step(self, logits: torch.Tensor, lattice: Lattice) -> tuple[bool, Any]:
        f, a = lattice.frame, lattice.automaton
        masked = logits.clone()
        for i in range(f.length):
            labels = f.labels[f.labels_at[f.block[i]] : f.labels_at[f.block[i] + 1]]
            allowed = np.zeros(a.classes, bool)
            for label in labels:
                held = (
                    [a.classes - 1] if label >= a.labels else a.label_class[a.label_at[label] : a.label_at[label + 1]]
                )
                allowed[held] = True
            masked[i, ~torch.from_numpy(allowed[a.class_of])] = -torch.inf
        tempered, drawn, entropy, accepted = _stock(self, masked)
        best = tempered.argmax(-1)
        self.canvas = torch.where(accepted[None], drawn[None], self._noise())
        self.feedback = logits / self.policy.temperature(self.step)
        done = self._stable(tuple(best.tolist())) and bool(entropy.mean() < self.policy.confidence)
        return done, _result(self, _cursor(self), best.numpy(), lattice)


class FrontierRow(Baseline):
    """A validated prefix that grows from the left (Dgrammar's manner)."""

    def constrained_step(self, logits: torch.Tensor, lattice: Lattice) -> tuple[bool, Any]:
        n, cursor = lattice.frame.length, _cursor(self)
        if self.step == 1:
            self.kept: list[int] = []
            self.at = self.state
        tempered, drawn, _, accepted = _stock(self, logits)
        plain = tempered.numpy()
        moved = False
        while len(self.kept) < n and self.at != lattice.automaton.states:
            i = len(self.kept)
            after = cursor.step(self.at, int(drawn[i]), self.left - i) if accepted[i] else -1
            token = int(drawn[i])
            if after < 0:
                if moved:
                    break
                token, after = cursor.best(plain[i], self.at, self.left - i)
            moved = True
            self.kept.append(token)
            self.at = after
        i = len(self.kept)
        self.canvas = torch.where(accepted[None], drawn[None], self._noise())
        self.canvas[0, :i] = torch.tensor(self.kept)
        self.feedback = tempered
        done = i == n or self.at == lattice.automaton.states
        return done, self._finished(cursor, plain, lattice)

    def _finished(self, cursor: Cursor, logits: np.ndarray, lattice: Lattice) -> tuple[np.ndarray, int, int, float]:
        tokens, state, n = list(self.kept), self.at, lattice.frame.length
        while len(tokens) < n and state != lattice.automaton.states:
            token, state = cursor.best(logits[len(tokens)], state, self.left - len(tokens))
            tokens.append(token)
        tokens += [self.task.end_ids[0]] * (n - len(tokens))
        return _result(self, cursor, np.array(tokens), lattice)


class LaveRow(Baseline):
    """Lookahead, then verify."""

    def constrained_step(self, logits: torch.Tensor, lattice: Lattice) -> tuple[bool, Any]:
        n, cursor = lattice.frame.length, _cursor(self)
        if self.step == 1:
            self.fixed = np.full(n, -1)
        tempered, drawn, entropy, accepted = _stock(self, logits)
        probabilities = torch.softmax(tempered[:n], -1)
        fillings = torch.multinomial(probabilities, LOOKAHEADS, replacement=True, generator=self.generator).numpy().T
        candidates = drawn[:n].numpy()
        kept = 0
        for i in np.argsort(entropy[:n].numpy(), kind="stable"):
            if self.fixed[i] < 0 and accepted[i] and self._verified(cursor, i, int(candidates[i]), fillings):
                self.fixed[i] = candidates[i]
                kept += 1
        plain = tempered.numpy()
        if not kept:
            self._repair(cursor, plain, fillings)
        self.canvas = self._noise()
        held = self.fixed >= 0
        self.canvas[0, :n][torch.from_numpy(held)] = torch.from_numpy(self.fixed[held])
        self.feedback = tempered
        prefix, state = self._prefix(cursor)
        done = prefix == n or state == lattice.automaton.states
        return done, self._finished(cursor, plain, lattice)

    def _verified(self, cursor: Cursor, i: int, token: int, fillings: np.ndarray) -> bool:
        trial = self.fixed.copy()
        trial[i] = token
        last = int(np.flatnonzero(trial >= 0)[-1])
        for filling in fillings:
            state = self.state
            for j in range(last + 1):
                state = cursor.step(state, int(trial[j] if trial[j] >= 0 else filling[j]), self.left - j)
                if state < 0:
                    break
            if state >= 0:
                return True
        return False

    def _prefix(self, cursor: Cursor) -> tuple[int, int]:
        """(length of the fixed and legal prefix, the state behind it)."""
        state = self.state
        for j, token in enumerate(self.fixed):
            after = cursor.step(state, int(token), self.left - j) if token >= 0 else -1
            if after < 0 or state == cursor.automaton.states:
                return j, state
            state = after
        return len(self.fixed), state

    def _repair(self, cursor: Cursor, logits: np.ndarray, fillings: np.ndarray) -> None:
        """The first open position gets its best legal token; what stands behind it and no longer fits is dropped."""
        at, state = self._prefix(cursor)
        if at == len(self.fixed) or state == cursor.automaton.states:
            return
        self.fixed[at], _ = cursor.best(logits[at], state, self.left - at)
        held = np.flatnonzero(self.fixed >= 0)
        while len(held) > at + 1 and not self._verified(cursor, at, int(self.fixed[at]), fillings):
            self.fixed[held[-1]] = -1
            held = held[:-1]

    def _finished(self, cursor: Cursor, logits: np.ndarray, lattice: Lattice) -> tuple[np.ndarray, int, int, float]:
        tokens, state, n = [], self.state, lattice.frame.length
        for j in range(n):
            after = cursor.step(state, int(self.fixed[j]), self.left - j) if self.fixed[j] >= 0 else -1
            token = int(self.fixed[j])
            if after < 0:
                token, after = cursor.best(logits[j], state, self.left - j)
            tokens.append(token)
            state = after
            if state == lattice.automaton.states:
                break
        tokens += [self.task.end_ids[0]] * (n - len(tokens))
        return _result(self, cursor, np.array(tokens), lattice)


@torch.no_grad()
def left_to_right(
    network: Any, prompt: list[int], automaton: TokenAutomaton, max_tokens: int, end_ids: tuple[int, ...]
) -> list[int]:
    """Greedy text tokens under the grammar, one model call each."""
    from transformers import DynamicCache

    cache = DynamicCache(config=network.config.get_text_config(decoder=True))
    cursor, state, out = Cursor(automaton, end_ids), 0, []
    feed, place = list(prompt), 0
    while len(out) < max_tokens:
        ids, at = torch.tensor([feed]), torch.arange(place, place + len(feed))[None]
        hidden = network.model.encoder(input_ids=ids, cache=cache, position_ids=at).last_hidden_state
        place += len(feed)
        token, state = cursor.best(network.lm_head(hidden[0, -1]).numpy(), state, max_tokens - len(out))
        if state == automaton.states:
            break
        out.append(token)
        feed = [token]
    return out
