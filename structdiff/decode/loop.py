"""The denoising loop: rows with their own constraints, budgets and random streams share the model's forward passes.

One row at a time this is transformers' DiffusionGemma sampler, token for token under the same seed. A constrained row
puts the exact posterior before acceptance: entropies of the posterior accept, the candidate is a joint draw, the joint
maximum is committed, and what is fed back to the model is the policy's choice (docs/algorithm.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

from structdiff.core.errors import BudgetTooSmall, GenerationError, StructdiffError
from structdiff.core.threads import THREADS, row_pool
from structdiff.decode.policy import Policy
from structdiff.decode.trace import CanvasCommitted, CanvasStarted, Event, Finished, StepDone
from structdiff.decode.verify import Cursor, verify
from structdiff.lattice.device import classes_on, reduce_logits
from structdiff.lattice.lattice import Lattice, Posterior
from structdiff.models.protocol import Denoiser
from structdiff.tokens.automaton import TokenAutomaton


class Rules(Protocol):
    """What an output must obey beyond its grammar: `refine` gives a posterior that does, of the canvas that follows the
    tokens ``written`` so far (structdiff.frontends.grid.refine)."""

    def refine(self, posterior: Posterior, gamma: float, written: Sequence[int]) -> Any: ...


@dataclass(frozen=True, eq=False)
class Commit:
    """A canvas at its commit: its lattice (None: no constraint), the last float32[L, V] logits, its text tokens, the
    budget behind it, and whether the text ends here."""

    lattice: Lattice | None
    logits: np.ndarray
    tokens: list[int]
    left: int
    last: bool


@dataclass
class Task:
    """One row to generate: prompt ids, a token automaton (None: no constraint), a budget of text tokens and a seed.

    ``spell`` turns token ids into text for the events; ``end_ids`` end an unconstrained row; ``policy`` replaces the
    policy of the rows around it; ``rules`` hold beyond the automaton; ``on_commit`` are told of each canvas of the
    output at its commit; ``think`` canvases are written freely first, without end tokens, beyond the budget. ``verify``
    is False where what stands to the right of a place decides it, so that reading from left to right would mislead.
    """

    prompt: list[int]
    automaton: TokenAutomaton | None
    max_tokens: int
    seed: int = 0
    end_ids: tuple[int, ...] = ()
    spell: Callable[[list[int]], str] = lambda ids: ""
    number: int = 0
    policy: Policy | None = None
    rules: Rules | None = None
    on_commit: tuple[Callable[[Commit], None], ...] = ()
    think: int = 0
    verify: bool = True


@dataclass
class Outcome:
    """A finished row: its text tokens (no end token), why it finished, what it cost, what it wrote freely first, and
    whether its canvases were verified."""

    task: Task
    tokens: list[int]
    reason: str
    steps: int
    canvases: int
    log_probability: float = 0.0
    canvas_tokens: list[int] = field(default_factory=list)
    thought: list[int] = field(default_factory=list)
    verified: bool = False


def check_fits(model: Denoiser, prompt: int, max_tokens: int, think: int = 0) -> None:
    """Raises `GenerationError` where a prompt, ``think`` canvases of thought and those of the output exceed the model's
    context."""
    canvases = math.ceil(max_tokens / model.canvas_length) + think
    if prompt + canvases * model.canvas_length > model.context_length:
        raise GenerationError(
            f"the prompt has {prompt} tokens and the output may take {canvases} canvases of {model.canvas_length}, "
            f"but the model's context holds {model.context_length}; shorten the text or lower max_tokens"
        )


@dataclass(frozen=True, eq=False)
class Considered:
    """What a constrained step makes of the logits: their reduction, the posterior, its maximum (tokens, the state
    behind them, log probability) and the tokens of the candidate."""

    reduction: Any
    posterior: Any
    maximum: tuple[np.ndarray, int, float]
    candidate: np.ndarray


class Row:
    """The state of one row between steps. Another decoder overrides `constrained_step` (benchmarks/baselines.py)."""

    considers: ClassVar[bool] = True
    """Whether `constrained_step` asks for what `consider` finds."""

    def __init__(self, task: Task, model: Denoiser, policy: Policy, emit: Callable[[Event], None]) -> None:
        self.task, self.model, self.policy, self.emit = task, model, policy, emit
        self.L, self.V = model.canvas_length, model.vocab_size
        automaton = task.automaton
        if automaton is not None and len(automaton.class_of) != self.V:
            raise GenerationError(
                f"the constraint was compiled for {len(automaton.class_of)} token ids but the model has {self.V}; "
                "compile it with the model's own tokenizer and vocab_size"
            )
        if automaton is not None and automaton.distance[0] > task.max_tokens:
            raise BudgetTooSmall(int(automaton.distance[0]), task.max_tokens)
        if task.max_tokens < 1:
            raise BudgetTooSmall(1, task.max_tokens)
        check_fits(model, len(task.prompt), task.max_tokens, task.think)
        self.verified = policy.verify and task.verify and task.rules is None and automaton is not None
        self.generator = torch.Generator(model.device).manual_seed(task.seed)
        self.rng = np.random.default_rng(task.seed)
        self.classes: Any = None if automaton is None else classes_on(automaton, model.device)
        self.prefix = model.open(task.prompt)
        self.state, self.left = 0, task.max_tokens
        self.thinking, self.thought = task.think, list[int]()
        self.tokens: list[int] = []
        self.canvas_tokens: list[int] = []
        self.steps = self.canvases = 0
        self.log_probability = 0.0
        self.outcome: Outcome | None = None
        if automaton is not None and automaton.final(0):
            self._finish("stop")
        else:
            self._start_canvas()

    def _start_canvas(self) -> None:
        self.step = 0
        self.feedback: torch.Tensor | None = None
        self.history: list[Any] = []
        self.last: Any = None
        self.unchanged = 0
        self.lattice: Lattice | None = None
        self.considered: Callable[[], Considered] | None = None
        self.anchors = np.zeros(self.L, bool)
        self.canvas = self._noise()
        if self.task.automaton is not None and not self.thinking:
            length = min(self.L, self.left)
            self.lattice = Lattice(self.task.automaton, length, self.left - length, self.state)
            self.anchors[:length] = self.lattice.anchors
            if self.policy.anchored_start:
                self._place_anchors()
        self.canvases += 1
        self.emit(CanvasStarted(self.task.number, self.canvases - 1, len(self.tokens), self.L))

    def _noise(self) -> torch.Tensor:
        return torch.randint(0, self.V, (1, self.L), generator=self.generator, device=self.model.device)

    def _place_anchors(self) -> None:
        assert self.lattice is not None
        f, a = self.lattice.frame, self.lattice.automaton
        for i in np.flatnonzero(self.anchors):
            label = f.labels[f.labels_at[f.block[i]]]
            self.canvas[0, i] = int(a.tokens_of_label(label)[0])

    def advance(self, logits: torch.Tensor) -> None:
        """Take one step from float32[L, V] logits."""
        self.step += 1
        self.steps += 1
        if self.lattice is None:
            done, committed = self._free_step(logits[None])
        else:
            done, committed = self.constrained_step(logits, self.lattice)
        if done or self.step == self._last_step:
            self._commit(committed, logits)

    @property
    def _last_step(self) -> int:
        """A draft that is read over from left to right need not have settled."""
        draft = self.policy.draft_steps if self.verified and not self.thinking else 0
        return min(draft, self.policy.max_steps) if draft else self.policy.max_steps

    # --- no constraint: exactly the sampler of transformers ---

    def _free_step(self, logits: torch.Tensor) -> tuple[bool, Any]:
        policy = self.policy
        left = torch.tensor(policy.max_steps - self.step + 1, device=logits.device, dtype=torch.int32)
        if self.thinking:
            logits = logits.clone()
            logits[..., list(self.task.end_ids)] = -1e30
        processed = logits / (policy.t_min + ((policy.t_max - policy.t_min) * (left / policy.max_steps)))
        probs = torch.softmax(processed, dim=-1, dtype=torch.float32)
        candidate = torch.multinomial(probs.view(-1, self.V), 1, generator=self.generator).view(1, self.L)
        best = processed.argmax(dim=-1)
        entropy = torch.distributions.Categorical(logits=processed).entropy()
        accepted = accept(entropy, policy.entropy_bound)
        self.canvas = torch.where(accepted, candidate, self._noise())
        stable = self._stable(tuple(best[0].tolist()))
        self.feedback = processed[0]
        self._report(candidate[0].tolist(), best[0].tolist(), accepted[0].tolist(), entropy[0].tolist(), self.L)
        return stable and bool(entropy.mean() < policy.confidence), best[0].tolist()

    # --- constrained ---

    def consider_ahead(self, logits: torch.Tensor) -> None:
        """Begin on another thread what the next step will make of these logits; rules may not be shared by threads."""
        if self.considers and self.lattice is not None and self.task.rules is None:
            self.considered = row_pool().submit(self.consider, logits, self.step + 1).result

    @torch.no_grad()
    def consider(self, logits: torch.Tensor, step: int) -> Considered:
        """What step ``step`` makes of the logits: all that other rows and the canvas's noise have no part in."""
        assert self.lattice is not None
        policy, n = self.policy, self.lattice.frame.length
        gamma = policy.gamma(step)
        reduction = reduce_logits(logits, policy.temperature(step), self.classes)
        own = reduction.head(n) if n < self.L else reduction
        posterior: Any = self.lattice.posterior_of(own, gamma, ahead=True)
        if self.task.rules is not None:
            posterior = self.task.rules.refine(posterior, gamma, self.tokens)
        uniform = self.rng.random((self.L, 3))
        drawn = None if policy.candidate == "maximum" else posterior.draw(uniform[:n])[0]
        maximum = posterior.maximum
        return Considered(reduction, posterior, maximum, maximum[0] if drawn is None else drawn)

    def constrained_step(self, logits: torch.Tensor, lattice: Lattice) -> tuple[bool, Any]:
        """(is the canvas finished, (tokens, how many are text, the state behind them, their log probability))."""
        policy, n = self.policy, lattice.frame.length
        temperature = policy.temperature(self.step)
        found = self.consider(logits, self.step) if self.considered is None else self.considered()
        self.considered = None
        reduction, posterior, (best, state, score), drawn = (
            found.reduction, found.posterior, found.maximum, found.candidate
        )  # fmt: skip
        entropy = reduction.entropy.copy()
        entropy[:n] = posterior.entropy
        candidate, committed = reduction.argmax.astype(np.int64), reduction.argmax.astype(np.int64)
        candidate[:n], committed[:n] = drawn, best
        by = entropy if policy.accept_by == "posterior" else reduction.entropy
        accepted = accept(torch.from_numpy(by)[None], policy.entropy_bound)
        accepted |= torch.from_numpy(self.anchors)[None]
        self.canvas = torch.where(
            accepted.to(self.model.device), torch.from_numpy(candidate)[None].to(self.model.device), self._noise()
        )
        complete = state == lattice.automaton.states
        ends = np.flatnonzero(np.isin(committed[:n], self.task.end_ids) & complete)
        live = int(ends[0]) if len(ends) else n
        text = (*committed[:live].tolist(), state)
        wished = reduction.argmax[:live].tolist()
        self.unchanged = self.unchanged + 1 if (text, wished) == self.last else 0
        self.last = text, wished
        settled = 0 < policy.patience <= self.unchanged
        stable = self._stable(text)
        confidence = entropy if policy.stop_by == "posterior" else reduction.entropy
        self.feedback = self._mixed(logits / temperature, posterior, n)
        self._report(candidate.tolist(), committed.tolist(), accepted[0].tolist(), entropy.tolist(), live)
        done = settled or (stable and bool(confidence.mean() < policy.confidence))
        return done, (committed, live, state, score)

    def _mixed(self, own: torch.Tensor, posterior: Any, n: int) -> torch.Tensor:
        """The logits fed to self-conditioning: own, posterior or the mean of both distributions, finite everywhere."""
        if self.policy.feedback == "own":
            return own

        def change(factor: np.ndarray) -> torch.Tensor:
            mean = self.policy.feedback == "mean"
            ratio = np.logaddexp(0.0, factor) - math.log(2.0) if mean else np.maximum(factor, -1e30)
            return torch.from_numpy(ratio.astype(np.float32)).to(own.device)

        out = own.clone()
        out[:n] += change(posterior.factor)[:, self.classes.of]
        if self.task.rules is not None:
            positions, tokens, factor = posterior.cells
            at = np.ix_(positions, tokens)
            out[at] = own[at] + change(factor)
        return out

    def _stable(self, value: Any) -> bool:
        stable = len(self.history) >= self.policy.stability and all(old == value for old in self.history)
        self.history = [*self.history, value][-self.policy.stability :] if self.policy.stability else []
        return stable

    def _report(
        self, tokens: list[int], committed: list[int], accepted: list[bool], entropy: list[float], live: int
    ) -> None:
        self.emit(
            StepDone(
                self.task.number, self.canvases - 1, self.step, self.policy.max_steps - self.step, tokens, committed,
                accepted, self.anchors.tolist(), entropy, live,
            )
        )  # fmt: skip

    def _commit(self, committed: Any, logits: torch.Tensor) -> None:
        if self.thinking:
            self._commit_thought(committed)
            return
        if self.lattice is None:
            canvas = committed
            ends = [i for i, token in enumerate(canvas) if token in self.task.end_ids]
            text = canvas[: ends[0]] if ends else canvas
            self.left -= self.L
            reason = "stop" if ends else "length" if self.left <= 0 else ""
        else:
            if self.verified:
                committed, logits = self._verify(committed, self.lattice)
            tokens, live, state, score = committed
            canvas, text = tokens.tolist(), tokens[:live].tolist()
            self.log_probability += score
            self.left -= self.lattice.frame.length
            automaton = self.lattice.automaton
            ended = automaton.final(state) or self.left <= 0
            reason, self.state = "stop" if ended else "", state
        if self.task.on_commit:
            commit = Commit(self.lattice, logits.float().cpu().numpy(), text, self.left, bool(reason))
            for listen in self.task.on_commit:
                listen(commit)
        self.tokens += text
        self.canvas_tokens += canvas
        if len(text):
            self.emit(CanvasCommitted(self.task.number, self.canvases - 1, text, self.task.spell(text)))
        if reason:
            self._finish(reason)
        else:
            self._go_on(canvas)

    def _verify(self, committed: Any, lattice: Lattice) -> tuple[Any, torch.Tensor]:
        """The canvas read from left to right by the encoder: (what `constrained_step` commits, the logits [L, V])."""
        tokens, live, _, _ = committed
        n, ends = lattice.frame.length, tokens[live : live + 1].tolist()

        def report(draft: list[int], verified: int) -> None:
            self.step, self.steps = self.step + 1, self.steps + 1
            shown = (draft + [int(tokens[-1])] * self.L)[: self.L]
            sure = [i < verified for i in range(self.L)]
            self._report(shown, shown, sure, [0.0] * self.L, len(draft))

        def read(ahead: list[int]) -> np.ndarray:
            found = self.model.read(self.prefix, ahead).cpu().numpy()
            if not (bad := (found < np.inf).all(1)).all():  # nor NaN
                raise GenerationError(
                    f"the encoder's logits behind {int(bad.argmin())} tokens of the canvas contain NaN or +inf; "
                    "nothing can be read from them"
                )
            return found

        done = verify(
            read,
            Cursor(lattice.automaton, self.task.end_ids),
            self.state, [*tokens[:live].tolist(), *ends], n, self.left, report,
        )  # fmt: skip
        text = np.array(done.tokens, np.int64)
        end = self.task.end_ids[0] if self.task.end_ids else 0
        canvas = np.concatenate([text, np.full(self.L - len(text), end)])
        logits = np.concatenate([done.logits, np.repeat(done.logits[-1:], self.L, 0)])[: self.L]
        return (canvas, len(text), done.state, done.log_probability), torch.from_numpy(logits)

    def _commit_thought(self, canvas: list[int]) -> None:
        self.thinking -= 1
        self.thought += canvas
        self.emit(CanvasCommitted(self.task.number, self.canvases - 1, canvas, self.task.spell(canvas), thought=True))
        self._go_on(canvas)

    def _go_on(self, canvas: list[int]) -> None:
        self.model.extend(self.prefix, canvas)
        self._start_canvas()

    def _finish(self, reason: str) -> None:
        self.outcome = Outcome(
            self.task, self.tokens, reason, self.steps, self.canvases, self.log_probability, self.canvas_tokens,
            self.thought, self.verified,
        )  # fmt: skip
        self.emit(Finished(self.task.number, self.task.spell(self.tokens), reason))


def accept(entropy: torch.Tensor, bound: float) -> torch.Tensor:
    """bool[B, L]: the positions of lowest entropy such that the sum of all but the largest stays within ``bound`` nats.

    Source: Ben-Hamu et al., "Accelerated Sampling from Masked Diffusion Models via Entropy Bounded Unmasking",
    arXiv 2505.24857.

    >>> accept(torch.tensor([[0.0, 2.0, 0.05, 0.3]]), 0.1).tolist()
    [[True, False, True, True]]
    """
    ordered, index = torch.sort(entropy, dim=-1)
    within = torch.cumsum(ordered, dim=-1) - ordered <= bound
    return torch.zeros_like(within).scatter(-1, index, within)


class Denoising:
    """Rows that share forward passes. Rows join at any step with `add`, and leave when they are finished.

    >>> from structdiff.testing.tiny import tiny
    >>> from structdiff.testing.scripted import Scripted
    >>> engine = Denoising(Scripted.random(canvas_length=4, vocab_size=4), Policy(max_steps=3))
    >>> engine.add(Task(prompt=[0], automaton=tiny("ab|b"), max_tokens=2, end_ids=(3,)))
    >>> engine.run()[0].reason
    'stop'

    A row that fails (NaN logits, for example) raises, or leaves alone where ``on_error`` is given its task.
    """

    def __init__(
        self,
        model: Denoiser,
        policy: Policy | None = None,
        on_event: Callable[[Event], None] | None = None,
        row_type: type[Row] = Row,
        on_error: Callable[[Task, StructdiffError], None] | None = None,
    ) -> None:
        self.model, self.policy, self.row_type = model, policy or Policy(), row_type
        self.on_error = on_error
        self.emit = on_event or (lambda event: None)
        self.rows: list[Row] = []
        self.finished: list[Outcome] = []

    def add(self, task: Task) -> None:
        """Let a row join. Raises `BudgetTooSmall` or `GenerationError` before any denoising."""
        row = self.row_type(task, self.model, task.policy or self.policy, self.emit)
        if row.outcome is not None:
            self.finished.append(row.outcome)
        else:
            self.rows.append(row)

    def cancel(self, number: int) -> None:
        """Drop the rows of task ``number``."""
        self.rows = [row for row in self.rows if row.task.number != number]

    @torch.no_grad()
    def step(self) -> list[Outcome]:
        """One denoising step of every row; returns the rows that finished since the last call."""
        if self.rows:
            canvas = torch.cat([row.canvas for row in self.rows])
            has = torch.tensor([row.feedback is not None for row in self.rows])
            feedback = None
            if has.any():
                known = next(row.feedback for row in self.rows if row.feedback is not None)
                feedback = torch.stack([known if row.feedback is None else row.feedback for row in self.rows])
            logits = self.model.denoise([row.prefix for row in self.rows], canvas, feedback, has)
            if len(self.rows) > 1 and THREADS > 1:
                for row, row_logits in zip(self.rows, logits, strict=True):
                    row.consider_ahead(row_logits)
            for row, row_logits in zip(list(self.rows), logits, strict=True):
                try:
                    row.advance(row_logits)
                except StructdiffError as error:
                    if self.on_error is None:
                        raise
                    self.cancel(row.task.number)
                    self.on_error(row.task, error)
            self.finished += [row.outcome for row in self.rows if row.outcome is not None]
            self.rows = [row for row in self.rows if row.outcome is None]
        done, self.finished = self.finished, []
        return done

    def run(self) -> list[Outcome]:
        """Step until every row is finished."""
        done = self.step()
        while self.rows or self.finished:
            done += self.step()
        return done


def run(model: Denoiser, tasks: Iterable[Task], policy: Policy | None = None, **options: Any) -> list[Outcome]:
    """Generate all tasks together; outcomes in the order of the tasks."""
    engine = Denoising(model, policy, **options)
    numbered = list(tasks)
    for number, task in enumerate(numbered):
        task.number = number
        engine.add(task)
    return sorted(engine.run(), key=lambda outcome: outcome.task.number)
