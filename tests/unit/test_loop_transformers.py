"""Constraints in transformers' own generate: of DiffusionGemma and of a causal language model."""

from __future__ import annotations

import itertools
import json
import re
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LogitsProcessor, LogitsProcessorList
from transformers.generation.streamers import BaseStreamer

import structdiff
from structdiff import BudgetTooSmall, Choice, Constraint, Failure, GenerationError, Policy, Regex, VocabularyMismatch
from structdiff.decode.engine import Task
from structdiff.decode.left_to_right import LeftToRight
from structdiff.integrations.rows import raised
from structdiff.integrations.transformers import ConstrainedLogits
from structdiff.models.causal_lm import CausalLM
from structdiff.testing.tiny import tiny_vocabulary
from tests.networks import random_network

V, CANVAS, PAD, END, OTHER_END = 97, 16, 0, 1, 2
LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789{}":, '
PIECES = [None, None, None, *(letter.encode() for letter in LETTERS), b"ab", b"ba", b"abc", b"12", b'":', b'{"']
VOCABULARY = tiny_vocabulary([*PIECES, *[None] * (V - len(PIECES))], ends=(END, OTHER_END))
LONG, SHORT, WORDS = "(ab|c){50,60}x", "[a-c]{2,5}", ("abba", "cab", "b")
PATTERNS: tuple[Any, ...] = (LONG, None, SHORT, "|".join(WORDS))


def compiled(pattern: str | None) -> Constraint | None:
    return None if pattern is None else _compiled(pattern)


@cache
def _compiled(pattern: str) -> Constraint:
    source = Choice(list(WORDS)) if pattern == "|".join(WORDS) else Regex(pattern)
    return structdiff.compile(source, VOCABULARY, canonical=False)


@cache
def gemma() -> Any:
    network = random_network(V, CANVAS)
    network.generation_config.update(eos_token_id=[END, OTHER_END], pad_token_id=PAD, max_denoising_steps=6)
    return network


@cache
def llama() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=V, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=512, eos_token_id=[END, OTHER_END], pad_token_id=PAD, bos_token_id=None,
    )  # fmt: skip
    network = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        network.lm_head.weight *= 40  # sure of itself, so that no two tokens are equal
    return network


def prompts(rows: int, length: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.randint(3, V, (rows, length), generator=torch.Generator().manual_seed(seed))


def check(results: list[Any], patterns: Any) -> None:
    """Every constrained row is an output of its pattern, by Python's own engine."""
    for result, pattern in zip(results, patterns, strict=True):
        assert pattern is None or re.fullmatch(pattern, result.text), (pattern, result.text)
        assert pattern is None or result.finish_reason == "stop"


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_a_mixed_batch_are_valid_over_several_canvases(seed: int) -> None:
    processor = ConstrainedLogits([compiled(p) for p in PATTERNS], VOCABULARY, gemma(), max_new_tokens=3 * CANVAS)
    torch.manual_seed(seed)
    out = gemma().generate(prompts(4), **processor.arguments)
    results = processor.parse(out)
    check(results, PATTERNS)
    assert results[0].usage.completion_tokens > CANVAS and results[0].usage.canvases >= 2
    assert results[0].usage.steps > 0 and results[2].usage.prompt_tokens == 5


def test_a_free_row_draws_what_it_draws_without_the_processor() -> None:
    """In the first canvas; behind it the generator has moved on as far as the slowest row took it."""
    ids = prompts(3)
    torch.manual_seed(7)
    free = gemma().generate(ids, max_new_tokens=CANVAS).sequences
    processor = ConstrainedLogits([compiled(SHORT), None, compiled(LONG)], VOCABULARY, gemma(), max_new_tokens=40)
    torch.manual_seed(7)
    mixed = gemma().generate(ids, **processor.arguments).sequences
    end = 5 + CANVAS
    assert torch.equal(free[1, :end], mixed[1, :end]) and not torch.equal(free[0, :end], mixed[0, :end])


class Drafts(BaseStreamer):
    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def put(self, value: torch.Tensor) -> None: ...

    def put_draft(self, value: torch.Tensor) -> None:
        self.seen.append(value[0].tolist())

    def end(self) -> None: ...


def test_every_draft_of_a_streamer_is_an_output() -> None:
    processor, drafts = ConstrainedLogits(compiled(SHORT), VOCABULARY, gemma()), Drafts()
    gemma().generate(prompts(1), streamer=drafts, **processor.arguments)
    assert len(drafts.seen) == 6
    for draft in drafts.seen:
        live = next((i for i, token in enumerate(draft) if token in (END, OTHER_END)), len(draft))
        assert re.fullmatch(SHORT, VOCABULARY.bytes_of(draft[:live]).decode())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("spread", [0.0, 3.0, 30.0])
def test_random_logits_of_every_type_give_valid_rows(
    dtype: torch.dtype, spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 12
    generator = torch.Generator().manual_seed(0)

    def forward(decoder_input_ids: torch.Tensor, **_: Any) -> Any:
        logits = torch.randn(*decoder_input_ids.shape, V, generator=generator) * spread
        logits[0] = -torch.inf
        logits[0, :, 5] = 0.0  # all but one token are impossible, and that one is forbidden
        return SimpleNamespace(logits=logits.to(dtype))

    patterns = list(itertools.islice(itertools.cycle((LONG, SHORT, "|".join(WORDS), "(a|b)*")), rows))
    patterns[0] = LONG
    processor = ConstrainedLogits([compiled(p) for p in patterns], VOCABULARY, gemma(), max_new_tokens=45)
    monkeypatch.setattr(gemma(), "forward", forward)
    out = gemma().generate(prompts(rows), max_denoising_steps=2, **processor.arguments)
    check(processor.parse(out), patterns)


def test_a_raised_token_leads_after_a_division_in_its_own_type() -> None:
    generator = torch.Generator().manual_seed(0)
    for dtype, scale in itertools.product((torch.float32, torch.bfloat16, torch.float16), (0.0, 1e-3, 1.0, 30.0, 1e3)):
        logits = (torch.randn(64, V, generator=generator) * scale).to(dtype)
        tokens = torch.randint(0, V, (64,), generator=generator)
        for temperature in (0.4, 0.77, 0.8, 1.0):
            assert torch.equal((raised(logits, tokens) / temperature).argmax(-1), tokens)
        kept = logits.argmax(-1)
        sure = logits.clone()
        sure[torch.arange(64), kept] += 20 * (1 + scale)
        assert torch.equal(raised(sure, kept), sure)


def test_broken_logits_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.full((1, CANVAS, V), torch.nan)
    monkeypatch.setattr(gemma(), "forward", lambda **_: SimpleNamespace(logits=logits))
    processor = ConstrainedLogits(compiled(SHORT), VOCABULARY, gemma())
    with pytest.raises(GenerationError, match="NaN"):
        gemma().generate(prompts(1), **processor.arguments)


def test_left_padding_changes_no_row_of_a_causal_model_and_all_are_the_products_own() -> None:
    """Greedy texts of a batch of eight are those of the product's own causal decoder, row by row."""
    patterns = [LONG, SHORT, "|".join(WORDS), "(a|b)*"] * 2
    budget, lengths = 45, [9, 3, 5, 7, 9, 4, 8, 6]
    ids, mask = torch.zeros(8, 9, dtype=torch.int64), torch.zeros(8, 9, dtype=torch.int64)
    rows = [prompts(1, length, seed)[0] for seed, length in enumerate(lengths)]
    for number, row in enumerate(rows):
        ids[number, 9 - len(row) :], mask[number, 9 - len(row) :] = row, 1
    processor = ConstrainedLogits([compiled(p) for p in patterns], VOCABULARY, llama(), max_new_tokens=budget)
    out = llama().generate(ids, attention_mask=mask, do_sample=False, **processor.arguments)
    results = processor.parse(out)
    check(results, patterns)
    engine = LeftToRight(CausalLM(llama()))
    for number, (row, pattern) in enumerate(zip(rows, patterns, strict=True)):
        automaton = _compiled(pattern).automaton
        engine.add(Task(row.tolist(), automaton, budget, end_ids=VOCABULARY.end_ids, number=number))
    for outcome in engine.run():
        assert tuple(outcome.tokens) == results[outcome.task.number].tokens


@pytest.mark.parametrize(
    "options",
    [{"do_sample": True, "num_return_sequences": 3}, {"num_beams": 4}, {"num_beams": 4, "num_return_sequences": 3}],
    ids=str,
)
def test_samples_and_beams_of_a_causal_model_are_valid(options: dict[str, Any]) -> None:
    patterns = (LONG, SHORT)
    processor = ConstrainedLogits([compiled(p) for p in patterns], VOCABULARY, llama(), max_new_tokens=45)
    torch.manual_seed(0)
    out = llama().generate(prompts(2), **options, **processor.arguments)
    each = options.get("num_return_sequences", 1)
    results = processor.parse(out)
    check(results, [p for p in patterns for _ in range(each)])
    if each == 3:
        assert len({result.text for result in results[:3]}) > 1


def test_more_beams_than_outputs_are_repeated_or_named() -> None:
    processor = ConstrainedLogits(_compiled("b"), VOCABULARY, llama())
    out = llama().generate(prompts(1), num_beams=3, num_return_sequences=3, **processor.arguments)
    found = processor.parse(out, errors="return")
    texts = [one.text for one in found if not isinstance(one, Failure)]
    assert texts and set(texts) == {"b"}
    assert all("cannot be number" in str(one.error) for one in found if isinstance(one, Failure))


@pytest.mark.parametrize("pattern", ["ab|b|abb", "(ab){1,3}c?", "a{4}"])
def test_masks_are_exact(pattern: str) -> None:
    """After every text, the tokens that are let through are those with which an output within the budget begins."""
    budget, letters = 4, [i for i, data in enumerate(PIECES) if data and set(data) <= set(b"abc")]
    outputs = [
        word
        for size in range(budget + 1)
        for word in itertools.product(letters, repeat=size)
        if re.fullmatch(pattern, VOCABULARY.bytes_of(word).decode())
    ]
    for start in {word[:cut] for word in outputs for cut in range(min(len(word), budget - 1) + 1)}:
        processor = ConstrainedLogits(_compiled(pattern), VOCABULARY, llama(), max_new_tokens=budget)
        scores = torch.zeros(1, V)
        first = processor(torch.tensor([[9]]), scores)
        for cut in range(len(start) + 1):
            found = processor(torch.tensor([[9, *start[:cut]]]), scores) if cut else first
        wanted = {word[len(start)] for word in outputs if word[: len(start)] == start and len(word) > len(start)}
        wanted |= {END, OTHER_END} if start in outputs else set()
        assert set(found[0].isfinite().nonzero()[:, 0].tolist()) == wanted


def test_the_processor_says_what_is_wrong() -> None:
    with pytest.raises(BudgetTooSmall, match="needs 26 tokens but max_tokens is 8"):
        ConstrainedLogits(compiled(LONG), VOCABULARY, gemma(), max_new_tokens=8)
    other = structdiff.compile(Regex("a"), tiny_vocabulary(PIECES[:-1], ends=(END,)))
    with pytest.raises(VocabularyMismatch, match="another tokenizer"):
        ConstrainedLogits(other, VOCABULARY, gemma())
    with pytest.raises(ValueError, match="list of constraints is empty"):
        ConstrainedLogits([], VOCABULARY, gemma())
    with pytest.raises(GenerationError, match="nothing was generated"):
        ConstrainedLogits(compiled(SHORT), VOCABULARY, gemma()).parse(prompts(1))


@pytest.mark.parametrize("network", [gemma, llama])
def test_a_batch_larger_than_the_constraints_is_an_error(network: Any) -> None:
    processor = ConstrainedLogits([compiled(SHORT), compiled(LONG)], VOCABULARY, network(), max_new_tokens=45)
    with pytest.raises(GenerationError, match="the batch has 4 rows, but 2 constraints were given"):
        network().generate(prompts(4), **processor.arguments)


@pytest.mark.parametrize("network", [gemma, llama])
def test_a_processor_is_used_once_or_reset(network: Any) -> None:
    processor = ConstrainedLogits(compiled(SHORT), VOCABULARY, network())
    first = processor.parse(network().generate(prompts(1), **processor.arguments))
    for ids in (prompts(1), prompts(1, seed=1), prompts(1, 3), prompts(2)):
        with pytest.raises(GenerationError, match="belongs to another generation"):
            network().generate(ids, **processor.arguments)
    processor.reset()
    check(processor.parse(network().generate(prompts(1), **processor.arguments)), [SHORT])
    check(first, [SHORT])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_keep_their_type_and_shape(dtype: torch.dtype) -> None:
    """So that what the caller compiled is not compiled again, and logits stay where they are."""
    scores = torch.randn(1, CANVAS, V).to(dtype)
    shaped = ConstrainedLogits(compiled(SHORT), VOCABULARY, gemma())(prompts(1), scores, cur_step=torch.tensor(6))
    masked = ConstrainedLogits(compiled(SHORT), VOCABULARY, llama())(prompts(1), scores[:, 0])
    assert (shaped.dtype, shaped.shape, shaped.device) == (dtype, scores.shape, scores.device)
    assert (masked.dtype, masked.shape) == (dtype, (1, V)) and shaped.isfinite().all()


def test_rows_that_change_places_are_an_error() -> None:
    ids, scores, left = prompts(2), torch.zeros(2, CANVAS, V), torch.tensor(6)
    processor = ConstrainedLogits([compiled(SHORT), compiled(LONG)], VOCABULARY, gemma(), max_new_tokens=45)
    shaped = processor(ids, scores, cur_step=left)
    with pytest.raises(GenerationError, match="another order"):
        processor(ids.flip(0), scores, cur_step=left - 1)
    written = torch.cat([ids, shaped.argmax(-1)], 1)
    with pytest.raises(GenerationError, match="another order"):
        processor(torch.cat([ids.flip(0), shaped.argmax(-1)], 1), scores, cur_step=left)
    with pytest.raises(GenerationError, match="wrote other tokens than its logits say"):
        processor(torch.cat([ids, shaped.argmax(-1).flip(0)], 1), scores, cur_step=left)
    assert written.shape == (2, 5 + CANVAS)
    causal = ConstrainedLogits([compiled(SHORT), compiled(LONG)], VOCABULARY, llama(), max_new_tokens=45)
    first = causal(ids, scores[:, 0]).argmax(-1, keepdim=True)
    with pytest.raises(GenerationError, match="another order"):
        causal(torch.cat([ids.flip(0), first], 1), scores[:, 0])


@pytest.mark.parametrize("network", [gemma, llama])
def test_an_output_that_generate_cut_off_is_an_error(network: Any) -> None:
    processor = ConstrainedLogits([compiled(LONG), compiled(SHORT)], VOCABULARY, network(), max_new_tokens=45)
    arguments = processor.arguments | {"max_new_tokens": 10}
    out = network().generate(prompts(2), **arguments)
    with pytest.raises(GenerationError, match="row 0: the output was cut off"):
        processor.parse(out)
    broken, whole = processor.parse(out, errors="return")
    assert isinstance(broken, Failure) and re.fullmatch(SHORT, whole.text)


class Forbid(LogitsProcessor):
    """Another processor of the caller's, which runs before ours."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        out = scores.clone()
        out[..., LETTERS.index("a") + 3] = -1e4
        return out


@pytest.mark.parametrize("network", [gemma, llama])
def test_other_processors_go_on_working(network: Any) -> None:
    processor = ConstrainedLogits(compiled("[a-c]{3}"), VOCABULARY, network())
    arguments = processor.arguments | {"logits_processor": LogitsProcessorList([Forbid(), processor])}
    (result,) = processor.parse(network().generate(prompts(1), **arguments))
    check([result], ["[a-c]{3}"])
    assert "a" not in VOCABULARY.bytes_of([t for t in result.tokens if VOCABULARY.bytes_of([t]) == b"a"]).decode()


def test_a_class_is_read_from_a_text_by_the_embedded_model() -> None:
    model = structdiff.load("tiny")
    network = model.denoiser.network  # type: ignore[union-attr]
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
    policy = Policy(feedback="own", candidate="maximum", max_steps=48)
    processor = ConstrainedLogits(schema, model.tokenizer, network, max_new_tokens=48, policy=policy)
    message = model.prompt("My name is Ada Lovelace and I am 36 years old.", processor.constraints[0])
    out = network.generate(torch.tensor([model.encode_prompt(message)]), **processor.arguments)
    (result,) = processor.parse(out)
    assert json.loads(result.text) == result.value == {"name": "Ada Lovelace", "age": 36}
