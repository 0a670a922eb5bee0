"""Token likelihoods against brute force, and through the loop of a real row."""

import numpy as np
import pytest
import torch

from structdiff.confidence.likelihood import TokenMeter
from structdiff.decode.engine import Commit, Task
from structdiff.decode.loop import run
from structdiff.decode.policy import Policy
from structdiff.lattice.lattice import Lattice
from structdiff.testing.scripted import Scripted
from structdiff.testing.tiny import tiny, tiny_vocabulary
from tests.unit.test_lattice import CASES, brute, logits_for


@pytest.mark.parametrize("case", CASES)
def test_a_tokens_likelihood_is_its_posterior_marginal(case: str) -> None:
    words, vocabulary, n, left = CASES[case]
    automaton = tiny(words, vocabulary)
    logits = logits_for(3, n, vocabulary.size)
    marginal, *_, parts = brute(automaton, vocabulary, logits, left)
    text = [token for token in max(parts, key=lambda one: parts[one]) if token not in vocabulary.end_ids]
    meter = TokenMeter(top=vocabulary.size)
    meter(Commit(Lattice(automaton, n, left), logits, text, left, left == 0))
    assert [one.token for one in meter.tokens] == text
    for i, one in enumerate(meter.tokens):
        assert np.exp(one.log) == pytest.approx(marginal[i, one.token], abs=1e-9)
        found = dict(one.top)
        assert [found[t] for t in found] == sorted(found.values(), reverse=True)
        dense = np.array([np.exp(found.get(t, -np.inf)) for t in range(vocabulary.size)])
        assert dense == pytest.approx(marginal[i], abs=1e-9)


def test_free_rows_have_the_models_own_likelihoods() -> None:
    logits = torch.from_numpy(logits_for(1, 4, 4))
    logits[:, 3] = -20.0  # the end token
    meter = TokenMeter(top=1)
    task = Task([0], None, 8, end_ids=(3,), on_commit=(meter,))
    outcome = run(Scripted(4, 4, lambda prefix, canvas: logits), [task], Policy(max_steps=2))[0]
    own = torch.log_softmax(logits.double(), -1)
    assert [one.token for one in meter.tokens] == outcome.tokens and len(outcome.tokens) == 8
    for i, one in enumerate(meter.tokens):
        assert one.log == pytest.approx(float(own[i % 4, one.token]))
        assert one.top == ((one.token, pytest.approx(one.log)),)


def test_thought_is_not_measured() -> None:
    meter = TokenMeter()
    vocabulary = tiny_vocabulary("a b ab")
    task = Task([0], tiny("ab|b", vocabulary), 4, end_ids=vocabulary.end_ids, think=2, on_commit=(meter,))
    outcome = run(Scripted.random(canvas_length=4, vocab_size=4), [task], Policy(max_steps=2))[0]
    assert len(outcome.thought) == 8 and 3 not in outcome.thought
    assert [one.token for one in meter.tokens] == outcome.tokens and all(one.top == () for one in meter.tokens)
