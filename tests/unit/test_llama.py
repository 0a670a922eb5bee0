"""Our reading of Llama against that of transformers, and rows that are read together against rows alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, Qwen2Config, Qwen3Config

import structdiff
from structdiff.decode.engine import Outcome, Task
from structdiff.decode.left_to_right import LeftToRight
from structdiff.decode.policy import Policy
from structdiff.models.causal_lm import CausalLM
from structdiff.models.llama import Cache, Llama, LlamaShape, as_settings, weights_of
from structdiff.testing.tiny import tiny_vocabulary
from tests.networks import random_llama, random_qwen2

PIECES = [bytes([b]) for b in range(32, 127)] + [b'{"', b'": ', b'", "', b'"}', b"true", b"false", b"an", b"na", b"ana"]
VOCABULARY = tiny_vocabulary(PIECES)
V, END = VOCABULARY.size, VOCABULARY.end_ids
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "ok": {"type": "boolean"}, "n": {"type": "integer"}},
    "required": ["name", "ok", "n"],
}


def ours(network: torch.nn.Module) -> Llama:
    shape = LlamaShape.of(network.config)
    assert shape is not None
    return Llama(LlamaShape(**as_settings(shape)), weights_of(network))


@pytest.mark.parametrize("made", [random_llama, random_qwen2])
@pytest.mark.parametrize(("tied", "kv_heads"), [(True, 2), (False, 4), (True, 1)])
def test_states_and_logits_are_those_of_transformers(tied: bool, kv_heads: int, made: Any) -> None:
    theirs = made(tied=tied, num_key_value_heads=kv_heads)
    mine, cache = ours(theirs), None
    ids = random.Random(1).choices(range(97), k=300)
    with torch.no_grad():
        wanted = theirs(torch.tensor([ids])).logits[0]
    cache, found = mine.begin(), []
    for start, end in ((0, 1), (1, 150), (150, 151), (151, 300)):  # the cache grows, single tokens and runs
        found += mine.encode([(cache, ids[start:end])])
    torch.testing.assert_close(mine.logits(torch.cat(found)), wanted, atol=2e-4, rtol=1e-4)
    cache.crop(120)
    [again] = mine.encode([(cache, ids[180:200])])
    torch.testing.assert_close(mine.logits(again), wanted[180:200], atol=2e-4, rtol=1e-4)


def test_rows_of_any_lengths_are_read_in_one_pass_as_alone() -> None:
    mine, r = ours(random_llama()), random.Random(2)
    rows = [(before, r.choices(range(97), k=n)) for before, n in ((0, 7), (33, 1), (5, 12), (0, 1), (140, 3))]

    def begun(before: int) -> Cache:
        cache = mine.begin()
        if before:
            mine.encode([(cache, [1 + i % 90 for i in range(before)])])
        return cache

    alone = [mine.encode([(begun(before), tokens)])[0] for before, tokens in rows]
    caches = [begun(before) for before, _ in rows]
    together = mine.encode([(cache, tokens) for cache, (_, tokens) in zip(caches, rows, strict=True)])
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert [cache.length for cache in caches] == [before + len(tokens) for before, tokens in rows]


def test_what_this_network_does_not_do_is_told_from_the_configuration() -> None:
    assert LlamaShape.of(LlamaConfig()) is not None and LlamaShape.of(Qwen2Config()) is not None
    for other in (
        LlamaConfig(attention_bias=True), LlamaConfig(mlp_bias=True), LlamaConfig(hidden_act="gelu"),
        LlamaConfig(rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}),
        Qwen2Config(use_sliding_window=True), Qwen3Config(),
    ):  # fmt: skip
        assert LlamaShape.of(other) is None


class Counting(Llama):
    """Counts passes, and the rows of each."""

    def encode(self, rows: Sequence[tuple[Cache, list[int]]]) -> list[torch.Tensor]:
        self.passes = [*getattr(self, "passes", []), len(rows)]
        return super().encode(rows)


def outcomes(model: CausalLM, tasks: list[Task], together: bool, lookup: int) -> list[Outcome]:
    done: list[Outcome] = []
    engine = LeftToRight(model, Policy(lookup=lookup))
    for task in tasks:
        engine.add(task)
        done += engine.step() if together else engine.run()  # rows join while others are half written
    return sorted(done + engine.run(), key=lambda one: one.task.number)


@pytest.mark.parametrize("lookup", [0, 16])
def test_rows_written_together_are_those_written_alone(lookup: int) -> None:
    constraint = structdiff.compile(SCHEMA, VOCABULARY, whitespace="compact")
    network = random_llama(V, seed=3)
    texts = ['{"name":"banana","ok":true', "a man, a plan: 12 and 12", "x", "canal " * 20, "{}" * 9, "an ana na"]
    tasks = [
        Task(VOCABULARY.encode(text.encode()) or [], constraint.automaton, 30 + 9 * n, end_ids=END, number=n)
        for n, text in enumerate(texts)
    ]
    reader = Counting(LlamaShape.of(network.config), weights_of(network))
    alone = outcomes(CausalLM(ours(network)), tasks, False, lookup)
    together = outcomes(CausalLM(reader), tasks, True, lookup)
    assert [(one.tokens, one.steps, one.reason) for one in together] == [
        (one.tokens, one.steps, one.reason) for one in alone
    ]
    assert [one.log_probability for one in together] == pytest.approx([one.log_probability for one in alone], abs=1e-3)
    assert len({tuple(one.tokens) for one in alone}) > 3
    passes = len(reader.passes) - len(tasks)  # a prompt is one pass, of one row
    assert max(one.steps for one in alone) <= passes <= max(n + one.steps for n, one in enumerate(alone))
    assert sum(one.steps for one in alone) > 2 * passes


def test_prompts_that_begin_alike_are_encoded_once() -> None:
    network = random_llama()
    reader = Counting(LlamaShape.of(network.config), weights_of(network))
    fed: list[int] = []
    encode = reader.encode
    reader.encode = lambda rows: (fed.extend(len(tokens) for _, tokens in rows), encode(rows))[1]  # type: ignore[method-assign]
    model, head = CausalLM(reader), [1 + i % 90 for i in range(200)]
    for last in (95, 96, 3):
        prefix = model.open([*head, last])
        alone = CausalLM(ours(network))
        assert torch.allclose(model.read(prefix, [3, 4]), alone.read(alone.open([*head, last]), [3, 4]), atol=1e-4)
    assert fed == [201, 2, 1, 2, 1, 2]


def test_the_prompts_kept_are_bounded_in_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("structdiff.models.causal_lm.SHARED_TOKENS", 100)
    model = CausalLM(ours(random_llama()))
    for first in range(9):
        model.open([first, *range(10, 50)])
    assert sum(len(one.tokens) for one in model._opened.values()) <= 100
    model.open(list(range(90)) * 3)
    assert [len(one.tokens) for one in model._opened.values()] == [270]
