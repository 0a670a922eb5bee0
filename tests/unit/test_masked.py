"""Families of masked diffusion: the loop without a constraint writes what each family's published sampler writes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from structdiff.decode.acceptance import Acceptance, Blocks, Count, Threshold
from structdiff.decode.engine import Task
from structdiff.decode.loop import run
from structdiff.decode.policy import Policy
from structdiff.models.masked import BlockCausal, CausalPrefix, FullAttention, MaskedDenoiser
from structdiff.models.protocol import CausalScorer, Denoiser
from tests import masked_references as published

V, MASK = 40, 39
SHAPE = {"vocab_size": V, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
         "num_key_value_heads": 1, "max_position_embeddings": 512}  # fmt: skip
NETWORKS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=16)),
    "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**SHAPE, head_dim=16, sliding_window=9)),
}


def network(kind: str, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    made = NETWORKS[kind]()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


def prompt_of(length: int, seed: int = 0) -> list[int]:
    return torch.randint(0, MASK, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def written(model: MaskedDenoiser, prompts: list[list[int]], length: int, steps: int, rule: Acceptance,
            **policy: Any) -> list[list[int]]:  # fmt: skip
    """What the loop writes without a constraint, all prompts together: greedy unless the policy says otherwise."""
    chosen = Policy(**{"candidate": "maximum", "t_min": 1.0, "t_max": 1.0, **policy}, max_steps=steps, acceptance=rule)
    return [outcome.tokens for outcome in run(model, [Task(one, None, length) for one in prompts], chosen)]


PROMPTS = [prompt_of(9, 1), prompt_of(5, 2), prompt_of(16, 3)]


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("shifted", [False, True])
def test_a_causal_prefix(kind: str, shifted: bool) -> None:
    made = network(kind)
    model = CausalPrefix(made, 8, MASK, shifted=shifted)
    found = written(model, PROMPTS, 24, 8, Threshold(0.6))
    reading = published.of_network(made, MASK)
    assert found == [published.causal_prefix(reading, one, MASK, 24, 8, 0.6, shifted) for one in PROMPTS]


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("steps", [8, 3])
def test_a2d_in_blocks(kind: str, shifted: bool, steps: int) -> None:
    made = network(kind)
    found = written(BlockCausal(made, 8, MASK, shifted=shifted), PROMPTS, 24, steps, Count(schedule="rounded"))
    reading = published.of_network(made, MASK)
    assert found == [published.a2d_blocks(reading, one, MASK, 24, 8, steps, shifted) for one in PROMPTS]


@pytest.mark.parametrize("kind", NETWORKS)
def test_a2d_as_a_whole(kind: str) -> None:
    made = network(kind)
    found = written(FullAttention(made, 16, MASK), PROMPTS, 16, 10, Blocks(8, Count(schedule="rounded")))
    reading = published.of_network(made, MASK)
    assert found == [published.a2d_whole(reading, one, MASK, 16, 8, 10) for one in PROMPTS]


SDAR: dict[str, Acceptance] = {"static": Count(2), "dynamic": Threshold(0.6, least=2), "sequential": Count(2, "place")}


@pytest.mark.parametrize("order", SDAR)
def test_sdar(order: str) -> None:
    made = network("qwen3")
    model = BlockCausal(made, 4, MASK, aligned=True)
    lengths = [16 - len(one) % 4 for one in PROMPTS]
    reading = published.of_network(made, MASK)
    for one, length in zip(PROMPTS, lengths, strict=True):
        [found] = written(model, [one], length, 2, SDAR[order])
        assert found == published.block_diffusion(reading, one, MASK, length, 4, 2, order, 0.6)


def test_sdar_drawn_at_a_temperature() -> None:
    """The same draws from the same seed."""
    made = network("qwen3")
    model = BlockCausal(made, 4, MASK, aligned=True)
    [found] = written(model, PROMPTS[2:], 24, 4, Threshold(0.85), candidate="draw", t_min=0.7, t_max=0.7)
    reading = published.of_network(made, MASK)
    generator = torch.Generator().manual_seed(0)
    expected = published.block_diffusion(reading, PROMPTS[2], MASK, 24, 4, 4, "dynamic", 0.85, generator, 0.7)
    assert found == expected
    assert expected != published.block_diffusion(reading, PROMPTS[2], MASK, 24, 4, 4, "dynamic", 0.85)


def test_fast_dllm() -> None:
    made = network("qwen2")
    model = BlockCausal(made, 8, MASK, aligned=True, shifted=True)
    reading = published.of_network(made, MASK)
    for one in PROMPTS:
        length = 24 - len(one) % 8
        [found] = written(model, [one], length, 8, Blocks(4, Threshold(0.6), 8, alone=True))
        assert found == published.fast_dllm(reading, one, MASK, length, 8, 4, 0.6)


@pytest.mark.parametrize(("order", "by"), [("maskgit_plus", "probability"), ("topk_margin", "margin"),
                                           ("entropy", "entropy")])  # fmt: skip
@pytest.mark.parametrize("steps", [16, 5])
def test_dream(order: str, by: Any, steps: int) -> None:
    made = network("qwen2")
    found = written(FullAttention(made, 16, MASK, shifted=True), PROMPTS, 16, steps, Count(by=by, schedule="floored"))
    reading = published.of_network(made, MASK)
    assert found == [published.dream(reading, one, MASK, 16, steps, order) for one in PROMPTS]


def test_rows_together_write_what_they_write_alone() -> None:
    for model in (
        CausalPrefix(network("gemma3"), 8, MASK, shifted=True),
        BlockCausal(network("qwen3"), 8, MASK, aligned=True, shifted=True),
        BlockCausal(network("gemma3"), 8, MASK),
        FullAttention(network("llama"), 8, MASK),
    ):
        together = written(model, PROMPTS, 24, 8, Threshold(0.5))
        assert together == [written(model, [one], 24, 8, Threshold(0.5))[0] for one in PROMPTS]


def test_what_the_models_can_do() -> None:
    made = network("llama")
    causal, whole = CausalPrefix(made, 8, MASK), FullAttention(made, 8, MASK)
    assert isinstance(causal, CausalScorer) and isinstance(causal, Denoiser)
    assert isinstance(whole, Denoiser) and not isinstance(whole, CausalScorer)
    assert causal.spec.noise.mask == MASK and not causal.spec.self_conditioning
    assert whole.fingerprint != FullAttention(network("llama", 1), 8, MASK).fingerprint
    with pytest.raises(ValueError, match="the mask token 40 is none of the network's 40 tokens"):
        FullAttention(made, 8, V)
    shifted = FullAttention(made, 8, MASK, shifted=True)
    with pytest.raises(ValueError, match="the prompt has no token"):
        shifted.denoise([[]], torch.full((1, 8), MASK), None, torch.zeros(1))
