"""The decoders that structdiff is compared with obey the grammar as their papers promise."""

from __future__ import annotations

import re

import numpy as np
import pytest

from benchmarks.baselines import FrontierGreedy, IndependentMasks, LookaheadVerify
from structdiff.decode.canvas import SamplerType
from structdiff.decode.cursor import Cursor
from structdiff.decode.engine import Task
from structdiff.decode.loop import Denoising
from structdiff.decode.policy import Policy
from structdiff.frontends.regex.parser import parse_regex
from structdiff.testing.scripted import Scripted
from structdiff.testing.tiny import tiny

SPELLED = ["a", "b", "ab", ""]


def texts(sampler: SamplerType, pattern: str, budget: int, count: int) -> list[str]:
    model = Scripted.random(canvas_length=4, vocab_size=4)
    engine = Denoising(model, Policy(max_steps=6), sampler=sampler)
    for seed in range(count):
        engine.add(Task([0], tiny(parse_regex(pattern)), budget, seed, (3,), number=seed))
    return ["".join(SPELLED[t] for t in outcome.tokens) for outcome in engine.run()]


@pytest.mark.parametrize("sampler", [FrontierGreedy, LookaheadVerify])
@pytest.mark.parametrize(("pattern", "budget"), [("(ab){1,4}", 8), ("b(a|b)*ab", 7), ("a{5}", 5)])
def test_prefix_decoders_always_finish_validly(sampler: SamplerType, pattern: str, budget: int) -> None:
    found = texts(sampler, pattern, budget, 40)
    assert len(found) == 40
    assert all(re.fullmatch(pattern, text) for text in found)


def test_independent_masks_break_what_couples_positions() -> None:
    found = texts(IndependentMasks, "aaa|bbb", 3, 60)
    assert all(re.fullmatch("[ab]*", text) for text in found)
    assert any(not re.fullmatch("aaa|bbb", text) for text in found)


def test_a_cursor_offers_what_can_still_be_finished() -> None:
    cursor = Cursor(tiny(parse_regex("b(a|b)*ab")), (3,))
    assert sorted(cursor.legal(0, 2)[0].tolist()) == [1]
    assert cursor.step(0, 0, 5) == -1  # no text starts with "a"
    behind = cursor.step(0, 1, 2)
    assert sorted(cursor.legal(behind, 1)[0].tolist()) == [2]  # "ab" in one token, nothing longer
    assert cursor.best(np.array([5.0, 0.0, 1.0, 0.0]), behind, 1)[0] == 2
