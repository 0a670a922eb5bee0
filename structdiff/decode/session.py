"""One row of a generation with no model inside: grammar state, sampler, budget and random streams.

Whoever runs the model drives it: our own loop (`structdiff.decode.loop`), an engine's scheduler, a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from structdiff.core.errors import BudgetTooSmall, GenerationError
from structdiff.decode.canvas import Canvas, Rules, Sampler, SamplerType, Step
from structdiff.decode.constrained import joint
from structdiff.decode.cursor import Cursor
from structdiff.decode.free import free
from structdiff.decode.policy import Policy
from structdiff.lattice.lattice import Lattice
from structdiff.models.protocol import DenoiserSpec
from structdiff.tokens.automaton import TokenAutomaton


@dataclass(frozen=True)
class Committed:
    """A canvas that was committed: all its token ids, those that are text, the automaton state behind them, the budget
    that is left, and whether the row is finished, with the reason ("stop", or "length" without a constraint).

    ``thought``: the canvas was written freely before the output and has no part in it.
    """

    tokens: list[int]
    text: list[int]
    state: int
    left: int
    finished: bool
    reason: str
    thought: bool = False


class CanvasSession:
    """A row, canvas by canvas: `start`, then `observe` the model's logits until a step is done, then `commit`.

    ``automaton`` None: no constraint. ``max_tokens`` is the budget of text tokens; ``think`` canvases are written
    freely first, beyond it. ``spec`` says what the model is (its context is not looked at here), ``device`` where
    canvases live; ``sampler`` makes the sampler of each constrained canvas. Raises `BudgetTooSmall` or
    `GenerationError` where the constraint does not fit the budget or the model.

    >>> from structdiff.testing.tiny import tiny
    >>> session = CanvasSession(tiny("ab|b"), (3,), max_tokens=2, spec=DenoiserSpec(4, vocab_size=4, context_length=99))
    >>> shown = session.start()                             # vocabulary: a, b, ab, end
    >>> while not (step := session.observe(torch.eye(4)[[0, 1, 3, 3]] * 9)).done:
    ...     shown = step.canvas                             # what the model is to denoise next
    >>> done = session.commit()
    >>> done.text, done.reason, session.left
    ([0, 1], 'stop', 0)
    """

    def __init__(
        self,
        automaton: TokenAutomaton | None,
        end_ids: tuple[int, ...],
        max_tokens: int,
        spec: DenoiserSpec,
        *,
        device: torch.device | str = "cpu",
        policy: Policy | None = None,
        seed: int = 0,
        rules: Rules | None = None,
        think: int = 0,
        sampler: SamplerType = joint,
    ) -> None:
        self.automaton, self.end_ids, self.spec, self.policy = automaton, end_ids, spec, policy or Policy()
        self.rules, self.max_tokens, self.sampler = rules, max_tokens, sampler
        if automaton is not None:
            check_vocabulary(automaton, spec)
        least = 1 if automaton is None else max(1, int(automaton.distance[0]))
        if least > max_tokens:
            raise BudgetTooSmall(least, max_tokens)
        self.state, self.left, self.think = 0, max_tokens, think
        self.written: list[int] = []
        self.thought: list[int] = []
        self.log_probability = 0.0
        self.canvases = 0
        self.reason = "stop" if automaton is not None and automaton.final(0) else ""
        self._generator = torch.Generator(device).manual_seed(seed)
        self._rng = np.random.default_rng(seed)
        self._canvas: Canvas | None = None
        self._sampler: Sampler | None = None
        self._step: Step | None = None

    @property
    def finished(self) -> bool:
        """Is the output complete?"""
        return bool(self.reason)

    @property
    def open(self) -> Canvas:
        """The canvas that is being denoised."""
        if self._canvas is None:
            raise RuntimeError("no canvas is open; call start() first")
        return self._canvas

    @property
    def canvas(self) -> torch.Tensor:
        """int64[L]: what the model is to denoise next."""
        return self.open.tokens

    @property
    def lattice(self) -> Lattice | None:
        """The open canvas's lattice; None without a constraint and while a thought is written."""
        return self.open.lattice

    @property
    def anchors(self) -> np.ndarray:
        """bool[L]: the positions of the open canvas at which text has one token only."""
        return self.open.anchors >= 0

    @property
    def thinking(self) -> bool:
        """Is the open canvas, or the next one, a thought?"""
        return self.think > 0

    def resume(self, tokens: Sequence[int], think: int = 0) -> None:
        """Go on behind text that was written before: ``tokens`` of committed canvases, of a row that was preempted.

        ``think`` canvases of thought are still to come. Raises `GenerationError` where the constraint does not allow
        the tokens.
        """
        self.state, self.left, self.think, self._canvas = 0, self.max_tokens - len(tokens), think, None
        self.written = []
        if self.automaton is None:
            self._wrote_freely(list(tokens))
        else:
            live, self.state = Cursor(self.automaton, self.end_ids).after(0, tokens, self.max_tokens)
            self._wrote(list(tokens)[:live], list(tokens))

    def start(self, length: int | None = None) -> torch.Tensor:
        """Begin the next canvas, of ``length`` positions (None: the model's own), or the open one anew: int64[L]."""
        if self.finished:
            raise RuntimeError("the output is complete; no canvas follows")
        length = self.spec.canvas_length if length is None else length
        lattice = None
        if self.automaton is not None and not self.thinking:
            within = min(length, self.left)
            lattice = Lattice(self.automaton, within, self.left - within, self.state)
        self.canvases += self._canvas is None
        self._canvas = Canvas(
            length, self.spec.vocab_size, self.spec.noise, self.spec.self_conditioning, self.policy, self._generator,
            self._rng, self.end_ids, lattice, self.state, self.left, tuple(self.written), self.rules, self.thinking,
        )  # fmt: skip
        self._sampler = free(self._canvas) if lattice is None else self.sampler(self._canvas)
        self._step = None
        return self._canvas.tokens

    def show(self, tokens: torch.Tensor) -> None:
        """Say what the model was shown, where another loop lays the canvases: int64[L] in place of `canvas`.

        Where the noise is a mask, what is no mask is certain in the steps that follow.
        """
        assert self._sampler is not None
        self._sampler.show(tokens)

    def consider_ahead(self, logits: torch.Tensor) -> None:
        """Begin on another thread what `observe` will make of these logits; observe must be given the same."""
        if self._sampler is not None:
            self._sampler.consider_ahead(logits)

    @torch.no_grad()
    def observe(self, logits: torch.Tensor) -> Step:
        """One denoising step from float[L, V] logits of the model for `canvas`.

        Raises `GenerationError` where they hold NaN or +inf.
        """
        canvas = self.open
        assert self._sampler is not None
        if tuple(logits.shape) != (canvas.length, canvas.vocab_size):
            wanted = [canvas.length, canvas.vocab_size]
            raise ValueError(f"the logits have shape {list(logits.shape)}; the canvas asks for {wanted}")
        canvas.step += 1
        step = self._sampler.observe(logits)
        if canvas.step >= self.policy.max_steps and not step.done:
            step = replace(step, done=True)
        canvas.tokens, self._step = step.canvas, step
        return step

    def commit(self, text: Sequence[int] | None = None, log_probability: float = 0.0) -> Committed:
        """Write the open canvas, as the last step left it, done or not.

        ``text`` takes its place where the caller knows better (a canvas that was verified); it has that log
        probability, and ends the output if it is shorter than the canvas. Raises `GenerationError` where the constraint
        does not allow it.
        """
        canvas, step = self.open, self._step
        if step is None:
            raise RuntimeError("nothing was observed of this canvas; call observe() first")
        tokens = step.committed.tolist()
        if canvas.thinking:
            self.think -= 1
            self.thought += tokens
            done = Committed(tokens, [], self.state, self.left, False, "", thought=True)
        elif canvas.lattice is None:
            if text is not None:
                raise ValueError("the text of a canvas without a constraint cannot be replaced")
            self.left -= canvas.length
            done = self._wrote_freely(tokens)
        else:
            live, state, score = step.live, step.state, step.log_probability
            if text is not None:
                tokens, live, state = self._replaced(text, canvas)
                score = log_probability
            self.log_probability += score
            self.left -= canvas.lattice.frame.length
            self.state = state
            done = self._wrote(tokens[:live], tokens)
        self._canvas = self._sampler = self._step = None
        return done

    def _replaced(self, text: Sequence[int], canvas: Canvas) -> tuple[list[int], int, int]:
        """(all tokens of the canvas, how many are text, the state behind them) of text given from outside."""
        assert self.automaton is not None and canvas.lattice is not None
        room = canvas.lattice.frame.length
        live, state = Cursor(self.automaton, self.end_ids).after(self.state, text, self.left)
        if live > room:
            raise GenerationError(f"the text has {live} tokens, but the canvas has room for {room}")
        if live < room and state != self.automaton.states:
            if not self.automaton.accepting[state]:
                raise GenerationError(f"the text ends behind {live} tokens, where the constraint has no end")
            state = self.automaton.states
        tail = self.end_ids[0] if self.end_ids else 0
        return [*text[:live], *[tail] * (canvas.length - live)], live, state

    def _wrote(self, text: list[int], tokens: list[int]) -> Committed:
        """Text under the constraint was added, which leads to the state."""
        assert self.automaton is not None
        return self._added(text, tokens, "stop" if self.automaton.final(self.state) or self.left <= 0 else "")

    def _wrote_freely(self, tokens: list[int]) -> Committed:
        """Tokens were added without a constraint; the text ends at the first end token."""
        ends = [i for i, token in enumerate(tokens) if token in self.end_ids]
        text = tokens[: ends[0]] if ends else tokens
        return self._added(text, tokens, "stop" if ends else "length" if self.left <= 0 else "")

    def _added(self, text: list[int], tokens: list[int], reason: str) -> Committed:
        self.written += text
        self.reason = reason
        return Committed(tokens, text, self.state, self.left, bool(reason), reason)


def check_vocabulary(automaton: TokenAutomaton, spec: DenoiserSpec) -> None:
    """Raises `GenerationError` where a constraint was compiled for another vocabulary than the model's."""
    if len(automaton.class_of) != spec.vocab_size:
        raise GenerationError(
            f"the constraint was compiled for {len(automaton.class_of)} token ids but the model has {spec.vocab_size}; "
            "compile it with the model's own tokenizer and vocab_size"
        )
    if spec.noise.mask is not None and automaton.class_of[spec.noise.mask] != 0:
        raise GenerationError(
            f"the constraint may write token {spec.noise.mask}, the model's mask; "
            "compile it with a vocabulary in which the mask has no text"
        )
