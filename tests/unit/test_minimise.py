"""Minimisation of byte automata against Moore's rounds."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from structdiff.automata import minimise as kernels


def moore(table, accepting, alive):
    """The blocks of equivalent states, as a set of sets of states, by rounds over whole rows."""
    block = {int(s): bool(accepting[s]) for s in np.flatnonzero(alive)}
    while True:
        rows = {s: (block[s], *(block[int(t)] if t >= 0 else None for t in table[s])) for s in block}
        names = {row: i for i, row in enumerate(dict.fromkeys(rows.values()))}
        refined = {s: names[row] for s, row in rows.items()}
        if len(names) == len(set(block.values())):
            return frozenset(frozenset(s for s in block if refined[s] == i) for i in names.values())
        block = refined


@st.composite
def automata(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    states, classes = draw(st.integers(1, 80)), draw(st.integers(1, 5))
    lowest, copies = draw(st.sampled_from([-1, -1, 0])), draw(st.integers(1, 4))
    table = rng.integers(lowest, states, (states, classes)).astype(np.int32)
    accepting = rng.random(states) < draw(st.sampled_from([0.1, 0.5, 1.0]))
    accepting[-1] = True
    # copies of one automaton, whose transitions go to any copy: each state has an equal in each
    rows = [np.where(table < 0, -1, table + states * rng.integers(0, copies, table.shape)) for _ in range(copies)]
    return np.concatenate(rows).astype(np.int32), np.tile(accepting, copies)


def as_sets(block, alive):
    return frozenset(frozenset(np.flatnonzero(block == b).tolist()) for b in set(block[alive].tolist()))


@settings(max_examples=300, deadline=None)
@given(automata())
def test_blocks_are_moores(automaton) -> None:
    table, accepting = automaton
    alive = kernels.trim(table, accepting)
    assume(alive[0])  # else the language is empty, and nothing is minimised
    block, blocks = kernels.minimise(table, accepting, alive)
    assert as_sets(block, alive) == moore(table, accepting, alive)
    assert blocks == len(set(block[alive].tolist())) and set(block[alive].tolist()) == set(range(blocks))
    assert (block[~alive] == -1).all()


def test_unequal_states_with_equal_signatures_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    # a line of 5 states, the last accepting: no two are equal
    table = np.array([[1], [2], [3], [4], [-1]], np.int32)
    accepting = np.array([False] * 4 + [True])
    alive = np.ones(5, bool)
    refined, salts = kernels._refined, []

    def collide(table, accepting, states, number, salt):
        salts.append(salt)
        if salt == 0:  # as if 0 and 1 had one signature for good
            return np.array([0, 0, 1, 2, 3], np.int32), 4
        return refined(table, accepting, states, number, salt)

    monkeypatch.setattr(kernels, "_refined", collide)
    block, blocks = kernels.minimise.py_func(table, accepting, alive)
    assert salts == [0, 1] and blocks == 5 and len(set(block.tolist())) == 5
    assert (kernels._factors(3, 0) != kernels._factors(3, 1)).all()
