"""The denoising loop: parity with transformers, independence of rows, budgets, canvases, events."""

import re
import threading

import numpy as np
import pytest
import torch

from structdiff.automata.tree import ByteSet, Repeat, literal, sequence
from structdiff.core.errors import BudgetTooSmall, GenerationError
from structdiff.core.threads import THREADS
from structdiff.decode.constrained import JointSampler
from structdiff.decode.engine import Task
from structdiff.decode.loop import Denoising, run
from structdiff.decode.policy import Policy
from structdiff.decode.trace import CanvasCommitted, CanvasStarted, Finished, StepDone
from structdiff.models.diffusion_gemma import DiffusionGemma
from structdiff.testing.scripted import Scripted
from structdiff.testing.tiny import tiny, tiny_vocabulary
from tests.networks import random_network

PROMPT = [2, 5, 6, 7, 8]
ENDS = (1, 96)


@pytest.mark.parametrize("window", [512, 12])
@pytest.mark.parametrize("seed", range(3))
def test_unconstrained_rows_reproduce_transformers(seed: int, window: int) -> None:
    network = random_network(window=window)
    torch.manual_seed(seed)
    expected = network.generate(
        torch.tensor([PROMPT]), max_new_tokens=48, max_denoising_steps=6, eos_token_id=list(ENDS), pad_token_id=0
    ).sequences[0, len(PROMPT) :]
    outcome = run(DiffusionGemma(network), [Task(PROMPT, None, 48, seed, ENDS)], Policy(max_steps=6))[0]
    kept = len(outcome.tokens) + (outcome.reason == "stop")
    assert outcome.canvas_tokens[:kept] == expected[:kept].tolist()
    assert not any(token in ENDS for token in outcome.tokens)
    assert len(expected) == outcome.canvases * network.config.canvas_length


def test_parity_covers_early_stopping() -> None:
    """A confident network stops before the last step, at the same step as transformers."""
    network = random_network()
    network.lm_head.weight.data *= 40
    network.final_logit_softcapping = 300.0
    torch.manual_seed(1)
    streamed: list[torch.Tensor] = []

    class Streamer:
        def put(self, value: torch.Tensor) -> None: ...

        def put_draft(self, value: torch.Tensor) -> None:
            streamed.append(value)

        def end(self) -> None: ...

    network.generate(
        torch.tensor([PROMPT]), max_new_tokens=16, max_denoising_steps=40, eos_token_id=list(ENDS), pad_token_id=0,
        streamer=Streamer(), confidence_threshold=2.0,
    )  # fmt: skip
    outcome = run(DiffusionGemma(network), [Task(PROMPT, None, 16, 1, ENDS)], Policy(max_steps=40, confidence=2.0))[0]
    assert outcome.steps == len(streamed)
    assert outcome.canvas_tokens == streamed[-1][0].tolist()


def test_rows_do_not_depend_on_their_neighbours() -> None:
    """Different prompts, constraints and lengths in one batch give what each gives alone."""
    network = random_network(window=8)
    vocabulary = tiny_vocabulary([bytes([97 + i % 26]) + bytes([97 + i // 26]) * (i >= 26) for i in range(96)])
    assert vocabulary.size == 97
    letters = tiny(Repeat(ByteSet.of(b"abcdef"), 3, 40), vocabulary)
    word = tiny(sequence(literal("ab"), Repeat(ByteSet.of(b"xyz"), 2, 5)), vocabulary)
    tasks = [
        Task([2, 3], letters, 40, 1, vocabulary.end_ids),
        Task(list(range(3, 30)), word, 10, 2, vocabulary.end_ids),
        Task([9] * 11, None, 32, 3, vocabulary.end_ids),
        Task([4], letters, 5, 4, vocabulary.end_ids),
    ]
    model, policy = DiffusionGemma(network), Policy(max_steps=5)
    together = run(model, tasks, policy)
    for task, outcome in zip(tasks, together, strict=True):
        alone = run(model, [task], policy)[0]
        assert alone.tokens == outcome.tokens
        assert alone.steps == outcome.steps


@pytest.mark.skipif(THREADS == 1, reason="one core")
@pytest.mark.parametrize("count", [1, 3])
def test_rows_of_a_batch_are_considered_on_threads(count: int) -> None:
    names = set()

    class Watched(JointSampler):
        def consider(self, logits, step, revealed=None):
            names.add(threading.current_thread().name)
            return super().consider(logits, step, revealed)

    tasks = [Task([0], tiny("ab|b|abb"), 4, seed, (3,)) for seed in range(count)]
    run(Scripted.random(4, 4), tasks, Policy(max_steps=3), sampler=Watched)
    assert all(name.startswith("structdiff-row") == (count > 1) for name in names) and names


def test_a_row_whose_logits_are_bad_leaves_the_others_alone() -> None:
    def logits(prefix: list[int], canvas: torch.Tensor) -> torch.Tensor:
        return torch.full((4, 4), float("nan") if prefix[0] == 1 else 0.0)

    failed = []
    tasks = [Task([i], tiny("ab|b"), 4, i, (3,)) for i in range(3)]
    done = run(
        Scripted(4, 4, logits), tasks, Policy(max_steps=2), on_error=lambda task, error: failed.append(task.number)
    )
    assert failed == [1] and [outcome.task.number for outcome in done] == [0, 2]


def test_a_row_may_join_between_steps() -> None:
    vocabulary = tiny_vocabulary()
    automaton = tiny(Repeat(literal("ab"), 2, 9), vocabulary)
    network = random_network(vocab=4, canvas=4)
    policy = Policy(max_steps=4)
    first, second = (Task([0, 1], automaton, 18, seed, vocabulary.end_ids, number=seed) for seed in (0, 1))
    engine = Denoising(DiffusionGemma(network), policy)
    engine.add(first)
    done = engine.step()
    engine.add(second)
    done += engine.run()
    alone = {t.number: run(DiffusionGemma(network), [Task(**vars(t))], policy)[0] for t in (first, second)}
    for outcome in done:
        number = outcome.task.seed
        assert outcome.tokens == alone[number].tokens


@pytest.mark.parametrize("canvas", [2, 3, 5, 16])
@pytest.mark.parametrize("extra", [0, 1, 7])
def test_outputs_are_complete_within_the_budget(canvas: int, extra: int) -> None:
    vocabulary = tiny_vocabulary("a b ab ,")
    item = sequence(Repeat(ByteSet.of(b"ab"), 1, 4), literal(","))
    automaton = tiny(Repeat(item, 3, 6), vocabulary)
    budget = int(automaton.distance[0]) + extra
    tasks = [Task([0], automaton, budget, seed, vocabulary.end_ids) for seed in range(20)]
    for outcome in run(Scripted.random(canvas, vocabulary.size), tasks, Policy(max_steps=3)):
        text = vocabulary.bytes_of(outcome.tokens).decode()
        assert re.fullmatch(r"(?:[ab]{1,4},){3,6}", text), text
        assert len(outcome.tokens) <= budget
        assert outcome.reason == "stop"


def test_budget_below_the_least_output_is_refused_before_denoising() -> None:
    model = Scripted.random(4, 4)
    with pytest.raises(BudgetTooSmall, match="needs 6 tokens but max_tokens is 5"):
        run(model, [Task([0], tiny(Repeat(literal("b"), 6, 6)), 5, end_ids=(3,))])
    assert model.calls == 0


def test_a_prompt_beyond_the_context_is_refused() -> None:
    model = Scripted.random(4, 4)
    model.context_length = 10
    with pytest.raises(GenerationError, match="prompt has 7 tokens .* context holds 10; shorten"):
        run(model, [Task([0] * 7, tiny("ab"), 4, end_ids=(3,))])


def test_a_vocabulary_of_another_model_is_refused() -> None:
    with pytest.raises(GenerationError, match="compiled for 4 token ids but the model has 5"):
        run(Scripted.random(4, 5), [Task([0], tiny("ab"), 4, end_ids=(3,))])


def test_nan_logits_are_an_error() -> None:
    model = Scripted(4, 4, lambda prefix, canvas: torch.full((4, 4), float("nan")))
    with pytest.raises(GenerationError, match="NaN"):
        run(model, [Task([0], tiny("ab|b"), 4, end_ids=(3,))])


@pytest.mark.parametrize(("feedback", "share"), [("own", 0.0), ("mean", 0.5), ("posterior", 1.0)])
def test_the_feedback_is_the_policy_s_mixture_of_own_and_posterior(feedback: str, share: float) -> None:
    """Self-conditioning logits softmax to the model's own distribution, the posterior, or half of each."""
    seen: list[torch.Tensor] = []
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(3))

    class Spy(Scripted):
        def denoise(self, prefixes, canvas, feedback, has):
            if feedback is not None:
                seen.append(feedback[0].clone())
            return super().denoise(prefixes, canvas, feedback, has)

    from structdiff.lattice import reference

    automaton = tiny("ab|b")
    policy = Policy(max_steps=2, gamma_first=1.0, feedback=feedback)
    run(Spy(3, 4, lambda prefix, canvas: logits), [Task([0], automaton, 3, end_ids=(3,))], policy)
    own = np.exp(reference.log_softmax(logits.numpy(), policy.temperature(1)))
    posterior, _ = reference.posterior(automaton, [3], logits.numpy(), temperature=policy.temperature(1))
    assert np.abs(torch.softmax(seen[0], -1).numpy() - (1 - share) * own - share * posterior).max() < 1e-5


@pytest.mark.parametrize(("patience", "steps"), [(0, 9), (1, 2), (3, 4), (20, 9)])
def test_a_text_that_no_longer_changes_is_committed_after_the_patience(patience: int, steps: int) -> None:
    """Flat logits are never confident, but the joint maximum stays the same; rows without a constraint go on."""
    model = Scripted(4, 4, lambda prefix, canvas: torch.arange(4.0).expand(4, 4) / 10)
    policy = Policy(max_steps=9, patience=patience)
    assert run(model, [Task([0], tiny("ab|b"), 4, end_ids=(3,))], policy)[0].steps == steps
    assert run(model, [Task([0], None, 4, end_ids=(3,))], policy)[0].steps == 9


def test_a_model_that_still_changes_its_mind_is_waited_for() -> None:
    """The text stays the same because the constraint allows no other; the model's own best tokens move until step 6."""
    calls = iter(range(100))

    def script(prefix: list[int], canvas: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.tensor([[1, 2][min(next(calls), 5) % 2]] * 4), 4).float()

    task = Task([0], tiny("a"), 4, end_ids=(3,))
    outcome = run(Scripted(4, 4, script), [task], Policy(max_steps=20, patience=3))[0]
    assert outcome.tokens == [0] and outcome.steps == 6 + 3


def test_events_tell_the_whole_story() -> None:
    vocabulary = tiny_vocabulary("a b ab")
    automaton = tiny(sequence(literal("b"), Repeat(literal("ab"), 3, 9), literal("b")), vocabulary)
    events: list = []
    task = Task([0], automaton, 12, 5, vocabulary.end_ids, lambda ids: vocabulary.bytes_of(ids).decode())
    outcome = run(Scripted.random(4, 4), [task], Policy(max_steps=3), on_event=events.append)[0]
    started = [e for e in events if isinstance(e, CanvasStarted)]
    steps = [e for e in events if isinstance(e, StepDone)]
    committed = [e for e in events if isinstance(e, CanvasCommitted)]
    assert [e.canvas for e in started] == list(range(outcome.canvases))
    assert len(steps) == outcome.steps
    assert [token for e in committed for token in e.tokens] == outcome.tokens
    assert events[-1] == Finished(0, vocabulary.bytes_of(outcome.tokens).decode(), "stop")
    assert steps[0].anchors[0]  # "b" is the only way to begin
    assert all(len(e.tokens) == len(e.entropy) == len(e.accepted) == len(e.anchors) == 4 for e in steps)
    for e in steps:
        assert all(e.accepted[i] and e.entropy[i] < 1e-12 for i in range(4) if e.anchors[i])


def test_the_fingerprint_tells_weights_apart() -> None:
    network = random_network()
    first = DiffusionGemma(network).fingerprint
    assert DiffusionGemma(network).fingerprint == first
    with torch.no_grad():
        next(network.parameters()).flatten()[0] += 1e-3
    assert DiffusionGemma(network).fingerprint != first
