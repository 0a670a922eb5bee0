"""Canvas sessions driven by an engine of their own: no loop of ours, no private name."""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from structdiff.core.errors import BudgetTooSmall, GenerationError, StructdiffError
from structdiff.decode.acceptance import Acceptance, Blocks, Count, EntropyBound, Offer, Threshold, shares
from structdiff.decode.canvas import Step
from structdiff.decode.engine import Commit, Task
from structdiff.decode.loop import run
from structdiff.decode.policy import Policy
from structdiff.decode.session import CanvasSession
from structdiff.decode.trace import StepDone
from structdiff.frontends.regex.parser import parse_regex
from structdiff.lattice import reference
from structdiff.lattice.lattice import Lattice
from structdiff.models.protocol import CausalScorer, DenoiserSpec, Noise
from structdiff.testing.scripted import Scripted
from structdiff.testing.tiny import tiny, tiny_vocabulary
from structdiff.tokens.automaton import TokenAutomaton

VOCABULARY = tiny_vocabulary([b"a", b"b", b"ab", None, None], ends=(3,))
V, ENDS, MASK = 5, (3,), 4
SPELLED = ["a", "b", "ab", "", "?"]
NOISES = {"uniform": Noise(), "mask": Noise(MASK)}
PATTERNS = ("ab|b|abb", "(ab){1,4}", "b(a|b)*ab", "a{5}", "(a|b)*")


def language(pattern: str) -> TokenAutomaton:
    return tiny(parse_regex(pattern), VOCABULARY)


def spelled(tokens: list[int]) -> str:
    return "".join(SPELLED[token] for token in tokens)


class Engine:
    """A scheduler of its own: at most ``slots`` rows a round, first come first served, one model call a round.

    At the rounds ``preempt`` the rows lose their session and prefix; they are built anew from what was written.
    """

    def __init__(self, model: Scripted, slots: int = 2, preempt: tuple[int, ...] = ()) -> None:
        self.model, self.slots, self.preempt = model, slots, preempt
        self.waiting: deque[tuple[int, Callable[[], CanvasSession], list[int]]] = deque()
        self.written: dict[int, list[int]] = {}
        self.reasons: dict[int, str] = {}
        self.failed: dict[int, StructdiffError] = {}
        self.steps: dict[int, list[Step]] = {}

    def add(self, number: int, build: Callable[[], CanvasSession], prompt: list[int]) -> None:
        self.waiting.append((number, build, prompt))

    def run(self) -> dict[int, list[int]]:
        rows: list[tuple[int, Callable[[], CanvasSession], list[int], CanvasSession, list[int]]] = []
        for turn in itertools.count():
            if turn in self.preempt:
                self.waiting.extendleft((number, build, prompt) for number, build, prompt, *_ in reversed(rows))
                rows = []
            while self.waiting and len(rows) < self.slots:
                number, build, prompt = self.waiting.popleft()
                session = build()
                session.resume(self.written.get(number, []), think=session.think)
                session.start()
                rows.append((number, build, prompt, session, self.model.open(prompt + session.written)))
            if not rows:
                return self.written
            canvases = torch.stack([session.canvas for *_, session, _ in rows])
            logits = self.model.denoise([prefix for *_, prefix in rows], canvases, None, torch.zeros(len(rows)))
            rows = [row for row, one in zip(rows, logits, strict=True) if self.advance(row[0], row[3], row[4], one)]

    def advance(self, number: int, session: CanvasSession, prefix: list[int], logits: torch.Tensor) -> bool:
        """One step of a row: does it go on?"""
        try:
            step = session.observe(logits)
        except StructdiffError as error:
            self.failed[number] = error
            return False
        self.steps.setdefault(number, []).append(step)
        if step.done:
            done = session.commit()
            self.written[number] = list(session.written)
            self.reasons[number] = done.reason
            if done.finished:
                return False
            self.model.extend(prefix, done.tokens)
            session.start()
        return True


def spec(length: int, noise: str = "uniform", self_conditioning: bool = True) -> DenoiserSpec:
    return DenoiserSpec(length, V, 1 << 20, NOISES[noise], self_conditioning)


def texts_of(pattern: str, budget: int) -> set[str]:
    """Every text of a pattern that fits the budget, by enumeration."""
    texts = ("".join(text) for n in range(2 * budget + 1) for text in itertools.product("ab", repeat=n))
    return {text for text in texts if re.fullmatch(pattern, text)}


RULES: list[Acceptance | None] = [
    None, EntropyBound(2.0), Threshold(0.6), Count(), Count(2, by="entropy"), Blocks(2, Threshold(0.6, None), 4, True),
    Count(by="margin", schedule="floored"), Count(1, by="place"),
]  # fmt: skip


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("keep", [True, False])
def test_an_engine_writes_texts_of_the_language(noise: str, rule: Acceptance | None, keep: bool) -> None:
    """Random logits, canvases of several lengths, the tightest budgets; the judges are `re` and enumeration."""
    policy = Policy(max_steps=3, acceptance=rule, keep_accepted=keep)
    for pattern, length in itertools.product(PATTERNS, (2, 3, 5)):
        automaton = language(pattern)
        budget = max(1, int(automaton.distance[0])) + length % 3
        model = Scripted.random(length, V, seed=length, spread=3.0, noise=NOISES[noise])
        engine = Engine(model, slots=3)
        for number in range(8):
            build = partial(CanvasSession, automaton, ENDS, budget, model.spec, policy=policy, seed=number)
            engine.add(number, build, [0])
        written = engine.run()
        allowed = texts_of(pattern, budget)
        assert len(written) == 8 and set(engine.reasons.values()) == {"stop"}
        for tokens in written.values():
            assert len(tokens) <= budget and spelled(tokens) in allowed


def test_masks_replaced_one_by_one_give_the_joint_distribution() -> None:
    """In an order that does not look at the tokens, the draws given what stands multiply up to a joint draw."""
    from scipy.stats import chisquare

    automaton = language("(a|b){1,3}")
    logits = torch.randn(4, V, generator=torch.Generator().manual_seed(2))
    visible = logits.numpy().copy()
    visible[:, MASK] = -1e30
    own = reference.log_softmax(visible, 1.0)
    shares: dict[tuple[int, ...], float] = {}
    for tokens, length, _ in reference.outputs(automaton, ENDS, 4, 0):
        text = tuple(token for token in tokens[:length] if token not in ENDS)
        shares[text] = shares.get(text, 0.0) + float(np.exp(sum(own[i, token] for i, token in enumerate(tokens))))
    policy = Policy(
        max_steps=9, t_min=1.0, t_max=1.0, gamma_first=1.0, acceptance=Count(1, by="entropy"), anchored_start=False
    )
    session = CanvasSession(automaton, ENDS, 4, spec(4, "mask"), policy=policy, seed=1)
    counts = dict.fromkeys(shares, 0)
    for _ in range(1000):
        session.resume([])
        session.start()
        while not session.observe(logits).done:
            pass
        counts[tuple(session.commit().text)] += 1
    expected = np.array(list(shares.values())) / sum(shares.values()) * 1000
    observed = np.array(list(counts.values()), float)
    often = expected >= 5
    expected, observed = (np.append(x[often], x[~often].sum()) for x in (expected, observed))
    assert chisquare(observed, expected).pvalue > 1e-3


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_accepted_tokens_stay_and_an_output_always_has_them(rule: Acceptance | None, pattern: str) -> None:
    """Models of masks: what is not accepted is a mask; the enumeration of outputs has one with all accepted tokens."""
    automaton = language(pattern)
    length, budget = 4, max(4, int(automaton.distance[0]))
    left = budget - length
    every = np.array([tokens for tokens, _, _ in reference.outputs(automaton, ENDS, length, left)])
    partly = 0
    for seed in range(6):
        session = CanvasSession(
            automaton, ENDS, budget, spec(length, "mask"), policy=Policy(max_steps=6, acceptance=rule), seed=seed
        )
        shown = session.start()
        assert (shown == MASK).tolist() == (~session.anchors).tolist()
        before = np.where(session.anchors, shown.numpy(), -1)
        generator = torch.Generator().manual_seed(seed)
        done = False
        while not done:
            logits = torch.randn(length, V, generator=generator) * 2
            logits[:, MASK] = 50.0  # the model would like masks best of all
            step = session.observe(logits)
            now = np.where(step.accepted, step.canvas.numpy(), -1)
            assert (step.canvas.numpy()[~step.accepted] == MASK).all()
            assert (now[before >= 0] == before[before >= 0]).all()
            assert (now >= 0).sum() > (before >= 0).sum() or step.done
            assert MASK not in step.committed and MASK not in step.candidate
            assert ((every == now) | (now < 0)).all(1).any()
            partly += 0 < (now >= 0).sum() < length
            before, done = now, step.done
        committed = session.commit()
        assert spelled(committed.text) == spelled([t for t in committed.text if t not in ENDS])
        if committed.finished:
            assert re.fullmatch(pattern, spelled(committed.text))
    assert partly or rule == EntropyBound(2.0) or pattern == "a{5}"


def test_masked_text_is_committed_as_it_was_accepted_with_its_probability() -> None:
    """A text is as likely as its tokens were, each at the step that accepted it."""
    policy = Policy(max_steps=9, acceptance=Count(1), anchored_start=False)
    session = CanvasSession(language("(a|b){4}"), ENDS, 5, spec(5, "mask"), policy=policy, seed=3)
    session.start()
    generator = torch.Generator().manual_seed(0)
    total, accepted = np.zeros(5), np.zeros(5, bool)
    done = False
    while not done:
        logits = torch.randn(5, V, generator=generator) * 2
        step = session.observe(logits)
        seen = logits.clone()
        seen[:, MASK] = -1e30
        own = torch.log_softmax(seen.double() / policy.temperature(session.open.step), -1)
        for i in np.flatnonzero(step.accepted & ~accepted):
            total[i] = own[i, step.canvas[i]]
        accepted, done = step.accepted, step.done
    shown = session.canvas.tolist()
    committed = session.commit()
    assert committed.text == shown[: len(committed.text)]
    assert session.log_probability == pytest.approx(total[: len(committed.text) + 1].sum(), abs=1e-6)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("preempt", [(), (1,), (2, 3, 5, 8), tuple(range(4, 30, 4))])
def test_preempted_rows_go_on_where_they_were(noise: str, preempt: tuple[int, ...]) -> None:
    automaton = language("(ab){6,8}")
    model = Scripted.random(3, V, noise=NOISES[noise])
    engine = Engine(model, slots=2, preempt=preempt)
    for number in range(5):
        build = partial(CanvasSession, automaton, ENDS, 13, model.spec, policy=Policy(max_steps=2), seed=number)
        engine.add(number, build, [0])
    written = engine.run()
    assert len(written) == 5
    assert all(re.fullmatch("(ab){6,8}", spelled(tokens)) and len(tokens) <= 13 for tokens in written.values())


def test_resuming_stands_where_writing_stood() -> None:
    """State, budget and what follows are those of a session that was never interrupted."""
    automaton = language("(ab){3,5}b")
    for seed in range(10):
        session = CanvasSession(automaton, ENDS, 11, spec(3), policy=Policy(max_steps=2), seed=seed)
        while not session.finished:
            again = CanvasSession(automaton, ENDS, 11, spec(3))
            again.resume(session.written)
            assert (again.state, again.left) == (session.state, session.left)
            assert again.written == session.written and not again.finished
            session.start()
            while not session.observe(torch.randn(3, V, generator=torch.Generator().manual_seed(seed))).done:
                pass
            session.commit()
        again.resume([*session.written, ENDS[0]])
        assert again.finished and again.written == session.written
    with pytest.raises(GenerationError, match="token 1 cannot be number 0"):
        again.resume([1])
    free = CanvasSession(None, ENDS, 6, spec(3))
    free.resume([0, 1, 2])
    assert (free.left, free.finished) == (3, False)
    free.resume([0, 3, 2])
    assert free.written == [0] and free.reason == "stop"


def test_a_row_of_broken_logits_leaves_alone() -> None:
    """With a constraint and without one; the rows beside it write what they write alone."""

    def script(prefix: list[int], canvas: torch.Tensor) -> torch.Tensor:
        if prefix[0] == 2:
            return torch.full((4, V), float("nan"))
        generator = torch.Generator().manual_seed(len(prefix) + int(canvas.sum()))
        return torch.randn(4, V, generator=generator)

    for noise in NOISES:
        model = Scripted(4, V, script, NOISES[noise])
        automata = [language("b(a|b)*ab"), None, language("ab|b|abb"), None, language("(ab){1,4}")]
        prompts = [[0], [1], [2], [2], [0, 1]]

        builds = [
            partial(CanvasSession, one, ENDS, 8, model.spec, policy=Policy(max_steps=3), seed=number)
            for number, one in enumerate(automata)
        ]
        engine = Engine(model, slots=5)
        for number in range(5):
            engine.add(number, builds[number], prompts[number])
        written = engine.run()
        assert set(engine.failed) == {2, 3} and set(written) == {0, 1, 4}
        assert all(isinstance(error, GenerationError) for error in engine.failed.values())
        for number in written:
            alone = Engine(model)
            alone.add(number, builds[number], prompts[number])
            assert alone.run()[number] == written[number]


@pytest.mark.parametrize("noise", NOISES)
def test_an_engine_s_rows_are_those_of_the_loop(noise: str) -> None:
    """Constrained and free rows side by side: the same tokens as from `Denoising`, which drives the same sessions."""

    def script(prefix: list[int], canvas: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(sum(prefix) + 7 * int(canvas.sum()))
        return torch.randn(4, V, generator=generator) * 2

    model = Scripted(4, V, script, NOISES[noise])
    policy = Policy(max_steps=5, confidence=1.5, acceptance=Threshold(0.5))
    automata = [language("b(a|b)*ab"), None, language("(ab){1,4}"), None]
    tasks = [Task([number], one, 10, number, ENDS) for number, one in enumerate(automata)]
    outcomes = run(model, tasks, policy)
    engine = Engine(model, slots=3)
    for number, one in enumerate(automata):
        build = partial(CanvasSession, one, ENDS, 10, model.spec, policy=policy, seed=number)
        engine.add(number, build, [number])
    written = engine.run()
    for outcome in outcomes:
        number = outcome.task.number
        assert outcome.tokens == written[number] and outcome.reason == engine.reasons[number]
        assert outcome.steps == len(engine.steps[number])
        assert MASK not in outcome.tokens or noise == "uniform"


def test_free_rows_of_a_mask_model_fill_every_mask() -> None:
    """Until an end token, or the canvas's end; at the last step what is still open gets the best token."""
    for rule, candidate in itertools.product(RULES, ("draw", "maximum")):
        policy = Policy(max_steps=4, acceptance=rule, candidate=candidate)
        session = CanvasSession(None, ENDS, 6, spec(6, "mask"), policy=policy)
        assert session.start().tolist() == [MASK] * 6
        logits = torch.randn(6, V, generator=torch.Generator().manual_seed(1))
        logits[:, 3] -= 9.0
        logits[:, MASK] = 9.0
        held = torch.zeros(6, dtype=torch.bool)
        while not (step := session.observe(logits)).done:
            assert (step.canvas[held] == session.canvas[held]).all()
            held = step.canvas != MASK
            assert held.tolist() == step.accepted.tolist() and held.any()
        if candidate == "maximum":
            logits[:, MASK] = -9.0
            assert step.committed.tolist() == logits.argmax(-1).tolist()
        done = session.commit()
        assert MASK not in done.tokens and done.reason in ("stop", "length")


def test_what_is_begun_ahead_is_what_a_step_makes() -> None:
    for noise in NOISES:
        ahead, plain = (
            CanvasSession(language("(a|b)*ab"), ENDS, 9, spec(5, noise), policy=Policy(max_steps=4), seed=1)
            for _ in range(2)
        )
        ahead.start(), plain.start()
        generator = torch.Generator().manual_seed(4)
        done = False
        while not done:
            logits = torch.randn(5, V, generator=generator)
            ahead.consider_ahead(logits)
            ahead.consider_ahead(logits)  # asked twice: begun once
            one, other = ahead.observe(logits), plain.observe(logits)
            assert one.canvas.tolist() == other.canvas.tolist()
            assert one.committed.tolist() == other.committed.tolist()
            done = one.done
        assert ahead.commit() == plain.commit()


def test_each_canvas_may_have_its_own_length_and_thoughts_come_first() -> None:
    session = CanvasSession(language("(ab){4}"), ENDS, 9, spec(3), policy=Policy(max_steps=2), think=2)
    thoughts = []
    for length in (3, 2):
        assert session.thinking and len(session.start(length)) == length
        logits = torch.zeros(length, V)
        logits[:, 3] = 9.0  # a thought has no end token
        while not session.observe(logits).done:
            pass
        done = session.commit()
        assert done.thought and len(done.tokens) == length and 3 not in done.tokens
        thoughts += done.tokens
    assert session.thought == thoughts and session.left == 9 and not session.thinking
    for length in (1, 4, 2, 5):
        if session.finished:
            break
        before = session.left
        session.start(length)
        while not session.observe(torch.zeros(length, V)).done:
            pass
        done = session.commit()
        assert done.left == before - min(length, before)
    assert session.finished and spelled(session.written) == "abababab"
    assert session.canvases == 2 + 3 + (len(session.written) > 7)


def test_a_text_from_outside_takes_the_place_of_a_canvas_s_if_it_is_legal() -> None:
    def opened() -> CanvasSession:
        session = CanvasSession(language("(ab){1,4}"), ENDS, 8, spec(4), policy=Policy(max_steps=9))
        session.start()
        session.observe(torch.zeros(4, V))
        return session

    session = opened()
    done = session.commit([0, 1, 2], log_probability=-1.5)
    assert (done.text, done.tokens, done.finished) == ([0, 1, 2], [0, 1, 2, 3], True)
    assert session.log_probability == -1.5
    done = opened().commit([0, 1, 0, 1])
    assert not done.finished and done.left == 4
    with pytest.raises(GenerationError, match="ends behind 1 tokens, where the constraint has no end"):
        opened().commit([0])
    with pytest.raises(GenerationError, match="token 1 cannot be number 0"):
        opened().commit([1])
    with pytest.raises(GenerationError, match="has 5 tokens, but the canvas has room for 4"):
        opened().commit([0, 1, 0, 1, 2])


def test_what_cannot_be_is_refused() -> None:
    automaton = language("(ab){2}")
    with pytest.raises(BudgetTooSmall, match="needs 2 tokens but max_tokens is 1"):
        CanvasSession(automaton, ENDS, 1, spec(4))
    with pytest.raises(GenerationError, match="compiled for 5 token ids but the model has 6"):
        CanvasSession(automaton, ENDS, 4, DenoiserSpec(4, 6, 99))
    with pytest.raises(GenerationError, match="may write token 1, the model's mask"):
        CanvasSession(automaton, ENDS, 4, DenoiserSpec(4, V, 99, Noise(1)))
    with pytest.raises(ValueError, match="acceptance is 0.9; it must be a rule"):
        Policy(acceptance=0.9)
    session = CanvasSession(automaton, ENDS, 4, spec(4))
    with pytest.raises(RuntimeError, match="call start"):
        session.observe(torch.zeros(4, V))
    session.start()
    with pytest.raises(RuntimeError, match="call observe"):
        session.commit()
    with pytest.raises(ValueError, match=r"shape \[3, 5\]; the canvas asks for \[4, 5\]"):
        session.observe(torch.zeros(3, V))
    assert CanvasSession(language("b{0}"), ENDS, 4, spec(4)).finished


def test_a_model_that_cannot_read_is_not_asked_to_verify() -> None:
    class Blind:
        """A Denoiser and nothing more."""

        device, fingerprint = torch.device("cpu"), "blind"
        spec = spec(4)

        def open(self, prompt: list[int]) -> list[int]:
            return list(prompt)

        def extend(self, prefix: list[int], tokens: list[int]) -> None:
            prefix.extend(tokens)

        def denoise(self, prefixes, canvas, feedback, has_feedback):
            return torch.zeros(*canvas.shape, V)

    model = Blind()
    assert not isinstance(model, CausalScorer) and isinstance(Scripted.random(4, V), CausalScorer)
    task = Task([0], language("(ab){1,4}"), 8, 0, ENDS)
    with pytest.raises(GenerationError, match="read from left to right, which Blind cannot; set verify=False"):
        run(model, [task], Policy(max_steps=2, verify=True))
    assert run(model, [task], Policy(max_steps=2))[0].reason == "stop"
    assert run(model, [Task([0], None, 8, 0, ENDS)], Policy(max_steps=2, verify=True))[0].steps == 4


def test_a_model_without_self_conditioning_is_fed_nothing_back() -> None:
    class Spy(Scripted):
        def denoise(self, prefixes, canvas, feedback, has_feedback):
            assert feedback is None and not has_feedback.any()
            return super().denoise(prefixes, canvas, feedback, has_feedback)

    model = Spy(4, V, lambda prefix, canvas: torch.zeros(4, V), self_conditioning=False)
    tasks = [Task([0], language("(ab){1,4}"), 8, 0, ENDS), Task([0], None, 8, 1, ENDS)]
    assert len(run(model, tasks, Policy(max_steps=3, feedback="mean"))) == 2


def test_listeners_see_the_logits_that_decided_each_token() -> None:
    """Models of masks: those of the step that accepted it; others: the last."""
    for noise in NOISES:
        seen: list[torch.Tensor] = []

        def script(prefix: list[int], canvas: torch.Tensor, seen=seen) -> torch.Tensor:
            seen.append(torch.randn(4, V, generator=torch.Generator().manual_seed(len(seen))))
            return seen[-1]

        commits: list[np.ndarray] = []
        events: list = []
        listener = (lambda commit, commits=commits: commits.append(commit.logits),)
        task = Task([0], language("b(a|b)*ab"), 4, 0, ENDS, on_commit=listener)
        model = Scripted(4, V, script, NOISES[noise])
        run(model, [task], Policy(max_steps=6, acceptance=Count(1)), on_event=events.append)
        accepted = [event.accepted for event in events if isinstance(event, StepDone)]
        text = next(event.tokens for event in events if hasattr(event, "tokens") and hasattr(event, "text"))
        assert len(commits) == 1
        for i in range(len(text)):
            first = next(k for k, one in enumerate(accepted) if one[i]) if noise == "mask" else len(seen) - 1
            assert np.array_equal(commits[0][i][:MASK], seen[first][i, :MASK].numpy())


def test_logits_come_to_the_host_when_a_listener_asks() -> None:
    commit = Commit(None, torch.zeros(4, V, device="meta"), [0], 0, True)
    with pytest.raises(NotImplementedError):
        _ = commit.logits
    assert Commit(None, torch.ones(4, V), [0], 0, True).logits.sum() == 4 * V


def test_rules_of_acceptance_keep_what_they_say() -> None:
    entropy = torch.tensor([0.5, 0.0, 0.05, 0.2, 0.06])
    probability = torch.tensor([0.3, 0.99, 0.9, 0.6, 0.9])

    def kept(rule: Acceptance, open: list[int] | None = None, held: int = 0, step: int = 1) -> list[int]:
        may = None if open is None else torch.tensor([i in open for i in range(5)])
        offer = Offer(entropy, lambda: probability, may, held, step, 5, lambda: probability.flip(0))
        return torch.nonzero(rule.select(offer))[:, 0].tolist()

    assert kept(EntropyBound(0.1)) == [1, 2, 4] and kept(EntropyBound(0.1), [0, 3]) == [3]
    assert kept(Threshold(0.9)) == [1, 2, 4] and kept(Threshold(0.9), [0, 3]) == [3]
    assert kept(Threshold(0.95, least=2)) == [1, 2] and kept(Threshold(0.995, least=None)) == [1]
    assert kept(Count(2)) == [1, 2] and kept(Count(2), [0, 3, 4], held=2, step=2) == [3, 4]
    assert kept(Count()) == [1] and kept(Count(), [0, 2, 3, 4], held=1, step=3) == [2, 4]
    assert kept(Count(), [0], held=4, step=5) == [0] and kept(Count(2, by="entropy")) == [1, 2]
    assert kept(Count(2, by="margin")) == [0, 3] and kept(Count(2, by="place"), [1, 3, 4]) == [1, 3]
    assert kept(Blocks(2, Count(1))) == [1] and kept(Blocks(2, Count(2)), [3, 4], held=3, step=2) == [3]
    assert kept(Blocks(2, Count(1), whole=6)) == [0] and kept(Blocks(2, Count(2), 6), [2, 3, 4], 2, 2) == [2]
    assert kept(Blocks(2, Threshold(0.9), whole=8), [2, 4], held=3, step=3) == [2]
    assert kept(Blocks(4, Threshold(0.9), whole=8)) == [0] and kept(Blocks(5, Threshold(0.9), 5, True)) == [0]
    assert kept(Blocks(5, Threshold(0.9), 5, True), [1, 2, 3], held=2, step=2) == [1, 2]
    assert kept(Blocks(5, Threshold(0.9), 10, True)) == [1, 2, 4]
    r = np.random.default_rng(0)
    for _ in range(200):
        entropy, probability = torch.from_numpy(r.random(5)), torch.from_numpy(r.random(5))
        open = np.flatnonzero(r.random(5) < 0.6).tolist() or [2]
        inner = Count(by="margin", schedule="floored")
        rules = (EntropyBound(r.random()), Threshold(r.random()), Count(), Count(int(r.integers(1, 4))), inner)
        for rule in (
            *rules,
            *(Blocks(int(r.integers(1, 6)), one, int(r.integers(4, 9)), bool(r.integers(2))) for one in rules),
        ):
            chosen = kept(rule, open, held=5 - len(open), step=int(r.integers(1, 6)))
            assert chosen and set(chosen) <= set(open)


@pytest.mark.parametrize("schedule", ["even", "rounded", "floored"])
def test_shares_of_the_steps_are_the_whole_canvas(schedule: Any) -> None:
    for count, steps in itertools.product(range(1, 40), range(1, 30)):
        due = shares(count, steps, schedule)
        assert sum(due) == count and min(due) > 0 and len(due) <= steps


def test_the_margin_is_that_of_the_posterior() -> None:
    """Against all outputs, each with its weight."""
    automaton = language("(a|b){1,3}")
    logits = torch.randn(3, V, generator=torch.Generator().manual_seed(4)).numpy() * 2
    posterior = Lattice(automaton, 3, 1).posterior(logits)
    every = list(reference.outputs(automaton, ENDS, 3, 1))
    log = torch.log_softmax(torch.from_numpy(logits).double(), -1).numpy()
    weights = np.array([np.exp(log[np.arange(3), tokens].sum()) for tokens, _, _ in every])
    for place in range(3):
        shares_of = np.zeros(V)
        for (tokens, _, _), weight in zip(every, weights, strict=True):
            shares_of[tokens[place]] += weight
        second, first = np.sort(shares_of / weights.sum())[-2:]
        assert posterior.margins()[place] == pytest.approx(first - second, abs=1e-9)


def test_aligned_canvases_end_at_multiples_of_the_block() -> None:
    """Rows of different prompts in one engine; each prefix is whole blocks at every canvas but a row's first."""
    lengths: list[tuple[int, int]] = []

    def script(prefix: list[int], canvas: torch.Tensor) -> torch.Tensor:
        lengths.append((len(prefix), len(canvas)))
        return torch.zeros(len(canvas), V)

    class Aligned(Scripted):
        @property
        def spec(self) -> DenoiserSpec:
            return replace(super().spec, aligned=True)

    model = Aligned(4, V, script, NOISES["mask"])
    tasks = [Task([0] * prompt, language("(ab){4,6}"), 12, prompt, ENDS) for prompt in (1, 2, 4, 7, 8)]
    outcomes = run(model, tasks, Policy(max_steps=3))
    assert all(re.fullmatch("(ab){4,6}", spelled(outcome.tokens)) for outcome in outcomes)
    assert all((prefix + canvas) % 4 == 0 for prefix, canvas in lengths) and len(set(lengths)) > 6
    assert model.spec.reach(5, 8) == 16 and model.spec.reach(4, 8, think=1) == 16
    with pytest.raises(GenerationError, match="the model's context holds"):
        run(model, [Task([0] * (model.context_length - 3), language("a{4}"), 4, end_ids=ENDS)], Policy())
