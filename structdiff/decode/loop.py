"""The denoising loop: rows with their own constraints, budgets and random streams share the model's forward passes.

A row is a session (`structdiff.decode.session`) with its prefix in the model; the loop adds the model's passes, what
verifies a canvas and the events.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import Any, cast

import numpy as np
import torch

from structdiff.core.errors import GenerationError, StructdiffError
from structdiff.core.threads import THREADS
from structdiff.decode.canvas import SamplerType, Step
from structdiff.decode.constrained import joint
from structdiff.decode.cursor import Cursor
from structdiff.decode.engine import Commit, Outcome, RowEngine, Task, check_fits
from structdiff.decode.policy import Policy
from structdiff.decode.session import CanvasSession
from structdiff.decode.trace import CanvasCommitted, CanvasStarted, Event, Finished, StepDone
from structdiff.decode.verify import Verified, verify_by_passes
from structdiff.lattice.lattice import Lattice
from structdiff.models.protocol import CausalScorer, Denoiser, Noise


class Row:
    """A row's session and what it means for the model and the listeners."""

    def __init__(
        self,
        task: Task,
        model: Denoiser,
        policy: Policy,
        emit: Callable[[Event], None],
        sampler: SamplerType,
        piecewise: bool = False,
    ) -> None:
        self.task, self.model, self.emit, self.piecewise = task, model, emit, piecewise
        self.session = CanvasSession(
            task.automaton, task.end_ids, task.max_tokens, model.spec, device=model.device, policy=policy,
            seed=task.seed, rules=task.rules, think=task.think, sampler=sampler,
        )  # fmt: skip
        check_fits(model, len(task.prompt), task.max_tokens, task.think)
        self.scorer = self._scorer()
        self.prefix, self.behind = model.open(task.prompt), len(task.prompt)
        self.steps = 0
        self.canvas_tokens: list[int] = []
        self.outcome: Outcome | None = None
        self.verifying: Generator[None, None, Verified] | None = None
        if self.session.finished:
            self._finish()
        else:
            self._start_canvas()

    def _scorer(self) -> CausalScorer | None:
        """What verifies the row's canvases, where they are verified."""
        task = self.task
        if not self.session.policy.verify or not task.verify or task.rules is not None or task.automaton is None:
            return None
        if not hasattr(self.model, "read"):
            raise GenerationError(
                f"Policy.verify asks a model to read from left to right, which {type(self.model).__name__} cannot; "
                "set verify=False"
            )
        return cast(CausalScorer, self.model)

    def _start_canvas(self) -> None:
        self.step = 0
        self.feedback: torch.Tensor | None = None
        self.decided = _Decided(self.session.spec.noise) if self.task.on_commit else None
        self.session.start(self.session.spec.length_behind(self.behind))
        self.emit(CanvasStarted(self.task.number, self._number, len(self.session.written), self.session.open.length))

    @property
    def _number(self) -> int:
        """The number of the open canvas, or of the one committed last."""
        return self.session.canvases - 1

    def advance(self, logits: torch.Tensor) -> None:
        """Take one step from float32[L, V] logits."""
        self.step += 1
        self.steps += 1
        step = self.session.observe(logits)
        self.feedback = step.feedback
        if self.decided is not None:
            self.decided.take(logits, step)
        self._report(
            step.candidate.tolist(), step.committed.tolist(), step.accepted.tolist(), step.entropy.tolist(), step.live
        )
        if step.done or self.step == self._draft_steps:
            self._commit(step)

    @property
    def _draft_steps(self) -> int:
        """After how many steps a draft that is read over from left to right need not have settled; 0: it must."""
        return self.session.policy.draft_steps if self.scorer is not None and not self.session.thinking else 0

    def _report(
        self, tokens: list[int], committed: list[int], accepted: list[bool], entropy: list[float], live: int
    ) -> None:
        self.emit(
            StepDone(
                self.task.number, self._number, self.step, self.session.policy.max_steps - self.step, tokens, committed,
                accepted, self.session.anchors.tolist(), entropy, live,
            )
        )  # fmt: skip

    def _commit(self, step: Step) -> None:
        """Write the open canvas, or begin to verify it."""
        if self.scorer is None or self.session.lattice is None:
            self._write(None)
            return
        self.verifying = self._verified(step, self.session.lattice, self.scorer)
        while self.verifying is not None and not self.piecewise:
            self.verify_on()

    def verify_on(self) -> None:
        """One pass that verifies the open canvas; the last one writes it."""
        assert self.verifying is not None
        try:
            next(self.verifying)
        except StopIteration as done:
            self.verifying = None
            self._write(done.value)

    def _write(self, found: Verified | None) -> None:
        session, lattice = self.session, self.session.lattice
        decided: torch.Tensor | np.ndarray | None = None if self.decided is None else self.decided.logits
        if found is not None:
            if decided is not None:
                decided = found.logits[[min(i, len(found.logits) - 1) for i in range(session.open.length)]]
            done = session.commit(found.tokens, found.log_probability)
        else:
            done = session.commit()
        if done.thought:
            self._tell(done.tokens, thought=True)
        else:
            if decided is not None:
                commit = Commit(lattice, decided, done.text, done.left, done.finished)
                for listen in self.task.on_commit:
                    listen(commit)
            self.canvas_tokens += done.tokens
            if done.text:
                self._tell(done.text)
        if done.finished:
            self._finish()
        else:
            self.model.extend(self.prefix, done.tokens)
            self.behind += len(done.tokens)
            self._start_canvas()

    def _tell(self, tokens: list[int], thought: bool = False) -> None:
        self.emit(CanvasCommitted(self.task.number, self._number, tokens, self.task.spell(tokens), thought))

    def _verified(self, step: Step, lattice: Lattice, scorer: CausalScorer) -> Generator[None, None, Verified]:
        """The canvas read from left to right by the model, pass by pass."""
        session, length = self.session, self.session.open.length
        draft = step.committed[: step.live + 1].tolist()

        def report(draft: list[int], verified: int) -> None:
            self.step, self.steps = self.step + 1, self.steps + 1
            shown = (draft + [int(step.committed[-1])] * length)[:length]
            self._report(shown, shown, [i < verified for i in range(length)], [0.0] * length, len(draft))

        def read(ahead: list[int]) -> np.ndarray:
            found = scorer.read(self.prefix, ahead).cpu().numpy()
            if not (bad := (found < np.inf).all(1)).all():  # nor NaN
                raise GenerationError(
                    f"the encoder's logits behind {int(bad.argmin())} tokens of the canvas contain NaN or +inf; "
                    "nothing can be read from them"
                )
            return found

        cursor = Cursor(lattice.automaton, self.task.end_ids)
        return verify_by_passes(read, cursor, session.state, draft, lattice.frame.length, session.left, report)

    def _finish(self) -> None:
        session, spell = self.session, self.task.spell
        self.outcome = Outcome(
            self.task, session.written, session.reason, self.steps, session.canvases, session.log_probability,
            self.canvas_tokens, session.thought, self.scorer is not None,
        )  # fmt: skip
        self.emit(Finished(self.task.number, spell(session.written), session.reason))


class _Decided:
    """The logits that decided each position of a canvas: the last ones, or where tokens take the place of masks those
    of the step that accepted the token."""

    def __init__(self, noise: Noise) -> None:
        self.noise = noise
        self.logits: torch.Tensor | None = None
        self.accepted = np.zeros(0, bool)

    def take(self, logits: torch.Tensor, step: Step) -> None:
        if self.noise.mask is None or self.logits is None:
            self.logits = self.noise.hide(logits)
        else:
            kept = torch.from_numpy(self.accepted & step.accepted).to(logits.device)
            self.logits = torch.where(kept[:, None], self.logits, self.noise.hide(logits))
        self.accepted = step.accepted


class Denoising(RowEngine[Row]):
    """Rows that share forward passes. Rows join at any step with `add`, and leave when they are finished.

    >>> from structdiff.testing.tiny import tiny
    >>> from structdiff.testing.scripted import Scripted
    >>> engine = Denoising(Scripted.random(canvas_length=4, vocab_size=4), Policy(max_steps=3))
    >>> engine.add(Task(prompt=[0], automaton=tiny("ab|b"), max_tokens=2, end_ids=(3,)))
    >>> engine.run()[0].reason
    'stop'

    ``sampler`` makes the samplers of constrained canvases (another decoder: benchmarks/baselines.py). A row that fails
    (NaN logits, for example) raises, or leaves alone where ``on_error`` is given its task. A canvas is verified within
    the pass that ends it; ``piecewise``, one reading of it a pass, so that no row holds the others up for longer.
    """

    def __init__(
        self,
        model: Denoiser,
        policy: Policy | None = None,
        on_event: Callable[[Event], None] | None = None,
        sampler: SamplerType = joint,
        on_error: Callable[[Task, StructdiffError], None] | None = None,
        piecewise: bool = False,
    ) -> None:
        super().__init__(policy, on_event, on_error)
        self.model, self.sampler, self.piecewise = model, sampler, piecewise

    def join(self, task: Task, policy: Policy) -> Row:
        return Row(task, self.model, policy, self.emit, self.sampler, self.piecewise)

    def shares(self, row: Row) -> bool:
        return row.verifying is None

    def passes(self, rows: list[Row]) -> Iterator[tuple[Row, Callable[[], None]]]:
        """One denoising step of the rows, in one pass of the model for the canvases of each length; those that are
        verified have a pass of their own each."""
        groups: dict[int, list[Row]] = {}
        for row in rows:
            if self.shares(row):
                groups.setdefault(row.session.open.length, []).append(row)
            else:
                yield row, row.verify_on
        for together in groups.values():
            logits = self._denoised(together)
            if len(together) > 1 and THREADS > 1:
                for row, row_logits in zip(together, logits, strict=True):
                    row.session.consider_ahead(row_logits)
            for row, row_logits in zip(together, logits, strict=True):
                yield row, partial(row.advance, row_logits)

    def _denoised(self, rows: list[Row]) -> torch.Tensor:
        """float32[B, L, V]: what the model makes of the rows' canvases."""
        canvas = torch.stack([row.session.canvas for row in rows])
        has = torch.tensor([row.feedback is not None for row in rows])
        feedback = None
        if has.any():
            known = next(row.feedback for row in rows if row.feedback is not None)
            feedback = torch.stack([known if row.feedback is None else row.feedback for row in rows])
        return self.model.denoise([row.prefix for row in rows], canvas, feedback, has)


def run(model: Denoiser, tasks: Iterable[Task], policy: Policy | None = None, **options: Any) -> list[Outcome]:
    """Generate all tasks together; outcomes in the order of the tasks."""
    engine = Denoising(model, policy, **options)
    numbered = list(tasks)
    for number, task in enumerate(numbered):
        task.number = number
        engine.add(task)
    return sorted(engine.run(), key=lambda outcome: outcome.task.number)
