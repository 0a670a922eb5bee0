"""Verifying a draft from left to right: the text is that of greedy decoding one token at a time, whatever the draft."""

from __future__ import annotations

import numpy as np
import pytest

from structdiff.decode.cursor import Cursor
from structdiff.decode.verify import verify
from structdiff.frontends.regex.parser import parse_regex
from structdiff.testing.tiny import tiny
from structdiff.tokens.automaton import TokenAutomaton

V, END = 4, 3
PATTERNS = ("ab|b", "(a|b)*ab", "a(a|b)*", "(ab)*", "aab|abb", "b(ab?)*")


def causal(seed: int):
    """A causal model: random next-token logits that depend on all tokens before."""

    def after(tokens: tuple[int, ...]) -> np.ndarray:
        return np.random.default_rng([seed, *tokens, len(tokens)]).normal(size=V).astype(np.float32) * 2

    return after


def greedy(after, automaton: TokenAutomaton, state: int, length: int, left: int) -> tuple[list[int], int, float]:
    """The reference: the legal token of highest logit, one at a time, by enumeration of the automaton's steps."""
    out: list[int] = []
    total = 0.0
    while len(out) < length:
        logits = after(tuple(out)).astype(np.float64)
        legal = {}
        for token in range(V):
            if token == END:
                if automaton.accepting[state]:
                    legal[token] = automaton.states
            elif (to := automaton.step(state, token)) >= 0 and automaton.distance[to] <= left - len(out) - 1:
                legal[token] = to
        token = max(legal, key=lambda one: logits[one])
        total += logits[token] - np.log(np.exp(logits).sum())
        state = legal[token]
        if state == automaton.states:
            break
        out.append(token)
        if automaton.accepting[state] and all(automaton.step(state, t) < 0 for t in range(END)):
            break
    return out, state, total


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_text_is_the_greedy_one_whatever_the_draft(pattern: str) -> None:
    automaton = tiny(parse_regex(pattern))
    r = np.random.default_rng(5)
    saved = 0
    for seed in range(40):
        after = causal(seed)
        left = max(1, int(automaton.distance[0]) + int(r.integers(0, 5)))
        length = int(r.integers(1, left + 1))
        wanted, state, score = greedy(after, automaton, 0, length, left)
        drafts = [r.integers(0, V, r.integers(0, length + 1)).tolist(), [*wanted, END], wanted[:-1], wanted[1:]]
        for draft in drafts:
            calls = 0

            def read(tokens: list[int]) -> np.ndarray:
                nonlocal calls
                calls += 1
                return np.stack([after(tuple(tokens[:i])) for i in range(len(tokens) + 1)])  # noqa: B023

            done = verify(read, Cursor(automaton, (END,)), 0, draft, length, left)
            assert (done.tokens, done.state) == (wanted, state)
            assert done.log_probability == pytest.approx(score, abs=1e-5)
            assert done.passes == calls <= length + 1
            for i in range(len(wanted)):
                assert np.array_equal(done.logits[i], after(tuple(wanted[:i])))
            if draft == [*wanted, END]:
                assert calls == 1
                saved += len(wanted)
    assert saved > 40


def test_tokens_too_many_wrong_and_missing_cost_one_pass_each() -> None:
    automaton = tiny(parse_regex("ab{1,9}a"))
    text = [0, 1, 1, 1, 0]

    def read(tokens: list[int]) -> np.ndarray:
        rows = np.zeros((len(tokens) + 1, V), np.float32)
        for i in range(len(rows)):  # what follows is told by the place alone
            rows[i, text[i] if i < len(text) else END] = 5
        return rows

    for draft in ([0, 1, 1, 1, 1, 0, END], [0, 1, 1, 0, END], [0, 1, 1, 2, 0, END]):
        done = verify(read, Cursor(automaton, (END,)), 0, draft, 20, 20)
        assert done.tokens == text
        assert done.passes <= 2


def test_the_encoder_reads_ahead_and_the_prefix_stays() -> None:
    torch = pytest.importorskip("torch")
    from structdiff.models.diffusion_gemma import DiffusionGemma
    from tests.networks import random_network

    model = DiffusionGemma(random_network())
    prompt, ahead = [5, 6, 7, 8], [9, 10, 11]
    prefix = model.open(prompt)
    canvas, alone = torch.zeros(1, model.canvas_length, dtype=torch.int64), torch.tensor([False])
    before = model.denoise([prefix], canvas, None, alone)
    got = model.read(prefix, ahead)
    network = model.network
    with torch.no_grad():
        hidden = network.model.encoder(input_ids=torch.tensor([prompt + ahead])).last_hidden_state[0]
        cap = network.final_logit_softcapping
        wanted = torch.tanh(network.lm_head(hidden).float() / cap) * cap
    assert torch.allclose(got, wanted[len(prompt) - 1 :], atol=1e-4)
    assert torch.allclose(model.read(prefix, []), wanted[len(prompt) - 1 : len(prompt)], atol=1e-4)
    assert torch.equal(before, model.denoise([prefix], canvas, None, alone))


def test_a_verified_row_writes_what_greedy_decoding_writes_over_several_canvases() -> None:
    pytest.importorskip("torch")
    from structdiff.decode.engine import Task
    from structdiff.decode.loop import run
    from structdiff.decode.policy import Policy
    from structdiff.testing.scripted import Scripted

    automaton = tiny(parse_regex("(a|b)*ab"))

    def script(prefix: list[int], canvas):
        import torch

        g = torch.Generator().manual_seed(hash(tuple(prefix)) % 1000)
        return torch.randn(4, V, generator=g) * 3

    def after(tokens: tuple[int, ...]) -> np.ndarray:
        return script([2, *tokens], None)[0].numpy()

    for budget in (3, 6, 11):
        model = Scripted(canvas_length=4, vocab_size=V, script=script)
        outcome = run(model, [Task([2], automaton, budget, end_ids=(END,))], Policy(max_steps=3, verify=True))[0]
        wanted, state = [], 0
        while len(wanted) < budget and state != automaton.states:
            part, state, _ = greedy(lambda t: after((*wanted, *t)), automaton, state, 4, budget - len(wanted))  # noqa: B023
            wanted += part
        assert outcome.tokens == wanted and outcome.reason == "stop"


def test_piecewise_a_pass_reads_once_and_writes_the_same() -> None:
    torch = pytest.importorskip("torch")
    from structdiff.decode.engine import Task
    from structdiff.decode.loop import Denoising
    from structdiff.decode.policy import Policy
    from structdiff.testing.scripted import Scripted

    reads: list[int] = []

    class Counted(Scripted):
        def read(self, prefix: list[int], tokens: list[int]):
            reads.append(len(tokens))
            return super().read(prefix, tokens)

    def script(prefix: list[int], canvas):
        return torch.randn(4, V, generator=torch.Generator().manual_seed(hash(tuple(prefix)) % 1000)) * 3

    def written(piecewise: bool) -> tuple[list[list[int]], int]:
        engine = Denoising(Counted(4, V, script), Policy(max_steps=3, verify=True), piecewise=piecewise)
        for number in range(3):
            engine.add(Task([2 + number], tiny(parse_regex("(a|b)*ab")), 11, end_ids=(END,), number=number))
        done, most = [], 0
        while engine.rows:
            reads.clear()
            begun = len(engine.rows)
            done += engine.step()
            most = max(most, len(reads) - begun if piecewise else len(reads))
        return [one.tokens for one in sorted(done, key=lambda one: one.task.number)], most

    whole, together = written(False)
    pieces, beyond = written(True)
    assert pieces == whole and together > 3 and beyond <= 0  # one reading of a row in a pass, many in the other way


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_broken_logits_of_the_encoder_are_an_error(broken: float) -> None:
    torch = pytest.importorskip("torch")
    from structdiff.core.errors import GenerationError
    from structdiff.decode.engine import Task
    from structdiff.decode.loop import run
    from structdiff.decode.policy import Policy
    from structdiff.testing.scripted import Scripted

    class Broken(Scripted):
        def read(self, prefix: list[int], tokens: list[int]):
            logits = super().read(prefix, tokens)
            logits[1, 2] = broken
            return logits

    model = Broken(4, V, lambda prefix, canvas: torch.zeros(4, V))
    task = Task([2], tiny(parse_regex("(a|b)*ab")), 4, end_ids=(END,))
    with pytest.raises(GenerationError, match="behind 1 tokens of the canvas contain NaN"):
        run(model, [task], Policy(max_steps=2, verify=True))
