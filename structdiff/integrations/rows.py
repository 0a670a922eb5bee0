"""What the loops of other packages share: rows whose logits are shaped, and finished sequences that are read.

Such a loop draws, accepts and commits by itself. A row gives it logits whose argmax is the joint maximum, so that
whatever the loop does with them, what it commits is an output of the constraint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import BudgetTooSmall, GenerationError, StructdiffError
from structdiff.decode.cursor import Cursor
from structdiff.decode.policy import Policy
from structdiff.decode.session import CanvasSession
from structdiff.models.protocol import DenoiserSpec
from structdiff.results.result import Failure, Result, Usage
from structdiff.tokens.vocabulary import Vocabulary

LEAST = 1e-3
"""By how much a raised logit exceeds the others at least: more than rounding takes away, less than a person sees."""


def one_a_row(given: Any) -> list[Any]:
    """What was given for the rows of a batch: a list has one for each, anything else holds for all of them."""
    if isinstance(given, list | tuple):
        if not given:
            raise ValueError("the list of constraints is empty; give one for each row, None for a free one")
        return list(given)
    return [given]


def wrong_batch(rows: int, given: int) -> GenerationError:
    return GenerationError(
        f"the batch has {rows} rows, but {given} constraints were given; give one for each row, or one for all"
    )


def check_budget(constraints: Sequence[Constraint | None], budget: int) -> None:
    """Raises `BudgetTooSmall` where an output cannot be complete within the budget, before anything is denoised."""
    least = max((one.min_tokens for one in constraints if one is not None), default=1)
    if max(least, 1) > budget:
        raise BudgetTooSmall(max(least, 1), budget)


def raised(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """float[L, V]: the same logits, but ``tokens`` int64[L] are the argmax of their positions.

    A token that leads already stays as it is. The lead survives a division and the rounding of the logits' own type.

    >>> raised(torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 0.0]]), torch.tensor([2, 1])).argmax(-1).tolist()
    [2, 1]
    """
    at = tokens[:, None].to(logits.device)
    others = logits.float().scatter(-1, at, -torch.inf).amax(-1, keepdim=True)
    lead = (2 * torch.finfo(logits.dtype).eps * others.abs()).clamp_min(LEAST)
    value = torch.maximum(logits.gather(-1, at).float(), others + lead)
    return logits.scatter(-1, at, torch.where(value.isfinite(), value, 0.0).to(logits.dtype))


@dataclass(frozen=True, eq=False)
class Draft:
    """A row's joint maximum and logits float[L, V] of which it is the argmax: int64[L], the text, an end token, and
    what the model itself has behind them."""

    tokens: torch.Tensor
    logits: torch.Tensor


class LoopRow:
    """One row of another loop: `start` a canvas, `draft` from the logits of each step, `commit` what the loop wrote.

    ``end_id`` is the end token that the loop looks for; None: it knows all of the constraint's.
    """

    def __init__(
        self,
        constraint: Constraint,
        spec: DenoiserSpec,
        budget: int,
        policy: Policy,
        end_id: int | None,
        device: torch.device | str,
    ) -> None:
        constraint.require_text()
        self.constraint, self.end_id, self.steps = constraint, end_id, 0
        self.session = CanvasSession(
            constraint.automaton, constraint.vocabulary.end_ids, budget, spec, device=device, policy=policy,
            rules=constraint.rules,
        )  # fmt: skip

    def start(self, length: int) -> None:
        """Begin a canvas of ``length`` positions, where the output is not complete."""
        self.length = length
        if not self.session.finished:
            self.session.start(length)

    def draft(self, logits: torch.Tensor, shown: torch.Tensor | None = None) -> Draft:
        """The joint maximum by float[L, V] logits; ``shown`` int64[L] is the canvas where masks decide what stands."""
        session = self.session
        if session.finished:
            return self._ended(logits.argmax(-1), logits, 0)
        if shown is not None:
            session.show(shown)
        step = session.observe(logits)
        self.steps += 1
        tokens = torch.from_numpy(step.committed.copy()).to(logits.device)
        shaped = logits
        if step.feedback is not None:
            shaped = (step.feedback * session.open.temperature).to(logits.dtype)
        return self._ended(tokens, shaped, step.live)

    def _ended(self, tokens: torch.Tensor, logits: torch.Tensor, live: int) -> Draft:
        """The draft whose text ends before position ``live``, unless the canvas is full.

        Another end token than the loop's changes places with it, so that the model is as sure as it was.
        """
        if live < len(tokens):
            own, ends = int(tokens[live]), self.session.end_ids
            end = own if self.end_id is None and own in ends else self.end()
            if own in ends and own != end:
                logits = logits.clone()
                logits[live, [own, end]] = logits[live, [end, own]]
            tokens[live] = end
        return Draft(tokens, raised(logits, tokens))

    def end(self) -> int:
        """The end token that is written where the model prefers none."""
        return self.session.end_ids[0] if self.end_id is None else self.end_id

    def commit(self, tokens: Sequence[int]) -> None:
        """The loop wrote these tokens. Raises `GenerationError` where they are no part of an output."""
        session = self.session
        if session.finished:
            return
        assert session.lattice is not None
        try:
            session.commit(tokens[: session.lattice.frame.length])
        except GenerationError as error:
            raise GenerationError(
                f"the loop wrote other tokens than its logits say ({error}); put the constraint behind all other "
                "processors, and let no callback change the canvas"
            ) from error


def read_row(
    constraint: Constraint | None, vocabulary: Vocabulary, tokens: list[int], budget: int, usage: Usage
) -> Result[Any]:
    """The `Result` of a finished row's tokens, walked through the constraint anew.

    Raises `GenerationError` where they are no complete output, `ValidationFailed` where a validator rejects it.
    """
    ends = vocabulary.end_ids
    if constraint is None:
        live = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
        reason = "stop" if live < len(tokens) else "length"
    else:
        live, state = Cursor(constraint.automaton, ends).after(0, tokens, budget)
        reason = "stop"
        if state != constraint.automaton.states and not constraint.automaton.accepting[state]:
            raise GenerationError(
                f"the output was cut off behind {live} tokens, but the constraint may need {budget}; let the loop "
                "write that many (max_new_tokens or gen_length), or give the constraint its number"
            )
    text = vocabulary.bytes_of(tokens[:live]).decode("utf-8", "replace")
    spent = Usage(usage.prompt_tokens, live, usage.steps, usage.canvases)
    if constraint is None:
        return Result(text, text, reason, spent, "", tuple(tokens[:live]))
    return Result(
        constraint.value(text), text, reason, spent, "", tuple(tokens[:live]), restrictions=constraint.restrictions,
        is_json=constraint.source.traits.json, schema=constraint.source.schema,
    )  # fmt: skip


def read_rows(
    constraints: Sequence[Constraint | None],
    vocabulary: Vocabulary,
    rows: list[list[int]],
    budget: int,
    usages: Sequence[Usage],
    errors: Literal["raise", "return"],
) -> list[Any]:
    """The results of all rows; ``errors="return"`` puts a `Failure` in the place of one that has none."""
    if errors not in ("raise", "return"):
        raise ValueError(f"errors is {errors!r}; it must be 'raise' or 'return'")
    found: list[Any] = []
    for number, (constraint, tokens, usage) in enumerate(zip(constraints, rows, usages, strict=True)):
        try:
            found.append(read_row(constraint, vocabulary, tokens, budget, usage))
        except StructdiffError as error:
            if isinstance(error, GenerationError):
                error = GenerationError(f"row {number}: {error}")
            if errors == "raise":
                raise error from None
            found.append(Failure(error, ""))
    return found
