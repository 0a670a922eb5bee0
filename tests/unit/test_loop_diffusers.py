"""Constraints in diffusers' own pipelines, with each of their schedulers (`make loops-test` has both packages)."""

from __future__ import annotations

import importlib
import re
import warnings
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from structdiff import BudgetTooSmall, Constraint, Failure, GenerationError
from structdiff.decode.cursor import Cursor
from tests.unit import test_loop_transformers as shared
from tests.unit.test_loop_transformers import CANVAS, END, LONG, OTHER_END, PATTERNS, SHORT, VOCABULARY, WORDS, V

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed; make loops-test has it")
ours = importlib.import_module("structdiff.integrations.diffusers")
ConstrainedScheduler, UnfitVersions, unfit_versions = ours.ConstrainedScheduler, ours.UnfitVersions, ours.unfit_versions
check, compiled, gemma, prompts = shared.check, shared.compiled, shared.gemma, shared.prompts

MASK = V - 1
MAKERS = {
    "entropy": lambda: diffusers.EntropyBoundScheduler(),
    "blocks": lambda: diffusers.BlockRefinementScheduler(),
    "editing": lambda: diffusers.BlockRefinementScheduler(editing_threshold=0.1),
    "ddim": lambda: diffusers.DiscreteDDIMScheduler(),
    "corrected": lambda: diffusers.DiscreteDDIMScheduler(corrector_steps=1, corrector_k=3),
}
needs_fit = pytest.mark.skipif(unfit_versions() is not None, reason=str(unfit_versions()))


class Tokens:
    """A processor whose prompts are token ids."""

    eos_token_id = END

    def apply_chat_template(self, messages: Any, **_: Any) -> Any:
        ids = torch.cat([row[0]["content"] for row in messages])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def batch_decode(self, rows: Any, **_: Any) -> list[str]:
        return [VOCABULARY.bytes_of(row.tolist()).decode("utf-8", "replace") for row in rows]


def run(scheduler: Any, rows: int, length: int = 3 * CANVAS, steps: int = 5, **options: Any) -> Any:
    pipe = diffusers.DiffusionGemmaPipeline(gemma(), scheduler, Tokens())
    pipe.set_progress_bar_config(disable=True)
    given = [one[None] for one in prompts(rows)]
    return pipe(given, gen_length=length, num_inference_steps=steps, **options)


@needs_fit
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("kind", MAKERS)
def test_rows_of_a_mixed_batch_are_valid_over_several_canvases(kind: str, temperature: float) -> None:
    constrained = [compiled(pattern) for pattern in PATTERNS]
    scheduler = ConstrainedScheduler(MAKERS[kind](), constrained, max_new_tokens=3 * CANVAS, end_id=END)
    for seed in range(2):  # the same scheduler again
        torch.manual_seed(seed)
        out = run(scheduler, 4, temperature=temperature)
        results = scheduler.parse(out)
        check(results, PATTERNS)
        assert results[0].usage.completion_tokens > CANVAS and results[0].usage.canvases >= 2
        assert [text for text, p in zip(out.texts, PATTERNS, strict=True) if p] == [
            result.text for result, p in zip(results, PATTERNS, strict=True) if p
        ]


@needs_fit
@pytest.mark.parametrize("kind", MAKERS)
def test_a_free_row_draws_what_it_draws_without_us(kind: str) -> None:
    """In the first canvas, with as many steps."""
    options: dict[str, Any] = {"length": CANVAS, "steps": 5, "confidence_threshold": None}
    free = run(MAKERS[kind](), 3, generator=torch.Generator().manual_seed(3), **options).sequences
    rows = [compiled(SHORT), None, compiled("[a-c]{3}")]
    scheduler = ConstrainedScheduler(MAKERS[kind](), rows, max_new_tokens=CANVAS, end_id=END)
    mixed = run(scheduler, 3, generator=torch.Generator().manual_seed(3), **options).sequences
    assert torch.equal(free[1], mixed[1]) and not torch.equal(free[0], mixed[0])


@needs_fit
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", MAKERS)
def test_random_logits_of_every_type_give_valid_rows(
    kind: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)

    def forward(decoder_input_ids: torch.Tensor, **_: Any) -> Any:
        return SimpleNamespace(logits=(torch.randn(*decoder_input_ids.shape, V, generator=generator) * 9).to(dtype))

    patterns = (LONG, SHORT, "|".join(WORDS), "(a|b)*") * 3
    scheduler = ConstrainedScheduler(MAKERS[kind](), [compiled(p) for p in patterns], max_new_tokens=45, end_id=END)
    monkeypatch.setattr(gemma(), "forward", forward)
    out = run(scheduler, len(patterns), steps=3)
    check(scheduler.parse(out), patterns)


@needs_fit
def test_callbacks_and_progress_bars_go_on_working(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[int, int]] = []

    def callback(pipe: Any, step: int, timestep: int, tensors: dict[str, Any]) -> dict[str, Any]:
        assert tensors["canvas"].shape == (1, CANVAS) and tensors["logits"].shape == (1, CANVAS, V)
        seen.append((step, timestep))
        return tensors

    scheduler = ConstrainedScheduler(MAKERS["entropy"](), compiled(SHORT), max_new_tokens=CANVAS)
    pipe = diffusers.DiffusionGemmaPipeline(gemma(), scheduler, Tokens())
    out = pipe(
        [prompts(1)], gen_length=CANVAS, num_inference_steps=4, confidence_threshold=None,
        callback_on_step_end=callback, callback_on_step_end_tensor_inputs=["canvas", "logits"],
    )  # fmt: skip
    check(scheduler.parse(out), [SHORT])
    assert seen == [(i, i) for i in range(4)] and "4/4" in capsys.readouterr().err


class Masked(torch.nn.Module):
    """A random masked model: its logits depend on what it is shown."""

    def __init__(self, seed: int, spread: float = 4.0, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.table = torch.nn.Parameter(torch.randn(V, V, generator=generator) * spread)
        self.generator, self.spread, self.dtype = generator, spread, dtype
        self.device = torch.device("cpu")

    def forward(self, x: torch.Tensor, attention_mask: torch.Tensor, position_ids: torch.Tensor) -> Any:
        assert x.shape == attention_mask.shape == position_ids.shape
        own = self.table[x].cumsum(1) / 3
        noise = torch.randn(own.shape, generator=self.generator) * self.spread
        return SimpleNamespace(logits=(own + noise).to(self.dtype))


@cache
def pipeline(seed: int, dtype: torch.dtype = torch.float32) -> Any:
    pipe = diffusers.LLaDA2Pipeline(Masked(seed, dtype=dtype), MAKERS["blocks"](), None)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("editing", [None, 0.05])
@pytest.mark.parametrize("steps", [1, 3, 8])
@pytest.mark.parametrize("block", [4, 32])
@pytest.mark.parametrize("prompt", [1, 6, 33])
def test_a_masked_model_is_valid_in_llada2s_pipeline(
    prompt: int, block: int, steps: int, editing: float | None
) -> None:
    """Blocks that begin with the prompt's last tokens, too few steps, editing, samples: all valid."""
    budget = 45
    for seed, options in enumerate(({"sampling_method": "greedy"}, {"temperature": 1.0}, {"eos_early_stop": False})):
        pipe = pipeline(seed)
        constrained = [compiled(pattern) for pattern in PATTERNS]
        pipe.scheduler = ConstrainedScheduler(MAKERS["blocks"](), constrained, max_new_tokens=budget, end_id=END)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # where DiffusionGemmaPipeline does not run, this one does
            out = pipe(
                input_ids=prompts(4, prompt, seed), gen_length=budget, block_length=block, num_inference_steps=steps,
                editing_threshold=editing, eos_token_id=END, mask_token_id=MASK, output_type="seq", **options,
            )  # fmt: skip
        check(pipe.scheduler.parse(out), PATTERNS)
        for row, pattern in zip(out.sequences.tolist(), PATTERNS, strict=True):
            assert not pattern or MASK not in row[: row.index(END)] if END in row else MASK not in row or not pattern


def test_an_edit_is_made_as_a_whole_or_not_at_all() -> None:
    """A block without masks whose joint maximum has become another: all of its tokens change, or none."""
    scheduler = ConstrainedScheduler(MAKERS["blocks"](), compiled("aa|bb"), max_new_tokens=4, end_id=END)
    letters = {letter: VOCABULARY.encode(letter.encode())[0] for letter in "ab"}  # type: ignore[index]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        scheduler.set_timesteps(4, block_length=3)

    def step(number: int, sample: list[int], favoured: str, threshold: float, by: tuple[float, float]) -> Any:
        logits = torch.zeros(1, 3, V)
        logits[0, [0, 1], [letters[favoured]] * 2] = torch.tensor(by)
        logits[0, 2, END] = 9.0
        return scheduler.step(
            logits, number, torch.tensor([sample]), mask_token_id=MASK, editing_threshold=threshold, threshold=0.9
        )

    first = step(0, [MASK] * 3, "a", 0.5, (20.0, 20.0)).prev_sample[0].tolist()
    assert first == [letters["a"], letters["a"], END]
    for by, edited in (((20.0, 20.0), True), ((20.0, 1.0), False)):
        out = step(1, first, "b", 0.9, by)
        assert out.prev_sample[0].tolist() == ([letters["b"]] * 2 + [END] if edited else first)
        assert out.editing_transfer_index[0].tolist() == [edited, edited, False]


@needs_fit
def test_what_is_saved_is_the_scheduler_inside(tmp_path: Path) -> None:
    inside = diffusers.EntropyBoundScheduler(entropy_bound=0.3)
    scheduler = ConstrainedScheduler(inside, compiled(SHORT))
    assert scheduler.config.entropy_bound == 0.3 and scheduler.num_inference_steps == 32
    scheduler.save_pretrained(tmp_path / "scheduler")
    for found in (
        diffusers.EntropyBoundScheduler.from_pretrained(tmp_path, subfolder="scheduler"),
        ConstrainedScheduler.from_pretrained(tmp_path, subfolder="scheduler"),
    ):
        assert type(found) is diffusers.EntropyBoundScheduler and found.config.entropy_bound == 0.3


def test_the_scheduler_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BudgetTooSmall, match="needs 26 tokens but max_tokens is 8"):
        ConstrainedScheduler(MAKERS["entropy"](), compiled(LONG), max_new_tokens=8)
    with pytest.raises(GenerationError, match="a DDIMScheduler cannot be constrained; EntropyBoundScheduler"):
        ConstrainedScheduler(diffusers.DDIMScheduler(), compiled(SHORT))
    with pytest.raises(ValueError, match="end_id is 7, no end token"):
        ConstrainedScheduler(MAKERS["entropy"](), compiled(SHORT), end_id=7)
    with pytest.raises(ValueError, match="all rows are free"):
        ConstrainedScheduler(MAKERS["entropy"](), [None, None])
    monkeypatch.setattr(ours, "unfit_versions", lambda: "install transformers==5.20.2 with diffusers==0.42.1")
    with pytest.raises(UnfitVersions, match="transformers==5.20.2"):
        ConstrainedScheduler(MAKERS["entropy"](), compiled(SHORT)).set_timesteps(4)
    with pytest.warns(UserWarning, match="transformers==5.20.2"):
        ConstrainedScheduler(MAKERS["blocks"](), compiled(SHORT)).set_timesteps(4)


def test_another_tokenizer_or_a_larger_batch_is_an_error() -> None:
    other = Constraint(compiled(SHORT).source, type(VOCABULARY)(VOCABULARY.table), compiled(SHORT).automaton)  # type: ignore[union-attr]
    ConstrainedScheduler(MAKERS["entropy"](), [compiled(SHORT), other])  # an equal vocabulary is the same
    scheduler = ConstrainedScheduler(MAKERS["blocks"](), compiled(SHORT))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        scheduler.set_timesteps(4, block_length=8)
    with pytest.raises(GenerationError, match=f"compiled for {V} token ids but the model has 98"):
        scheduler.step(torch.zeros(1, 8, 98), 0, torch.zeros(1, 8, dtype=torch.int64))
    scheduler = ConstrainedScheduler(MAKERS["blocks"](), [compiled(SHORT)] * 3)
    with pytest.raises(GenerationError, match="the batch has 2 rows, but 3 constraints were given"):
        scheduler.step(torch.zeros(2, 8, V), 0, torch.zeros(2, 8, dtype=torch.int64))


@needs_fit
def test_an_output_that_the_pipeline_cut_off_is_an_error() -> None:
    scheduler = ConstrainedScheduler(MAKERS["entropy"](), [compiled(LONG), compiled(SHORT)], max_new_tokens=45)
    out = run(scheduler, 2, length=CANVAS)
    with pytest.raises(GenerationError, match="row 0: the output was cut off"):
        scheduler.parse(out)
    broken, whole = scheduler.parse(out, errors="return")
    assert isinstance(broken, Failure) and re.fullmatch(SHORT, whole.text)


def test_a_session_that_is_shown_a_canvas_takes_what_stands_as_certain() -> None:
    """The seam that masks go through: `CanvasSession.show`."""
    from structdiff.decode.session import CanvasSession
    from structdiff.models.protocol import DenoiserSpec, Noise

    constraint = compiled("[a-c]{4}")
    assert constraint is not None
    session = CanvasSession(
        constraint.automaton, VOCABULARY.end_ids, 8, DenoiserSpec(8, V, 1 << 20, Noise(MASK)), seed=0
    )
    session.start()
    shown = torch.full((8,), MASK)
    shown[2], shown[5] = VOCABULARY.encode(b"c")[0], OTHER_END  # type: ignore[index]
    session.show(shown)
    step = session.observe(torch.zeros(8, V))
    assert step.committed[2] == shown[2] and step.live <= 5
    text = step.committed[: step.live].tolist()
    assert re.fullmatch("[a-c]{4}", VOCABULARY.bytes_of(text).decode())
    assert Cursor(constraint.automaton, VOCABULARY.end_ids).after(0, text, 8)[0] == step.live


@needs_fit
def test_the_page_of_the_documentation_is_true() -> None:
    page = (Path(__file__).parents[2] / "docs" / "diffusers.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```py\n(.*?)^```", page, re.M | re.S)
    exec(compile(block, "docs/diffusers.md", "exec"), {})
