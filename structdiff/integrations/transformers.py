"""Constraints in transformers' own ``generate``: of DiffusionGemma, and of any causal language model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList

from structdiff.constraint.compile import Compiler
from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import GenerationError
from structdiff.decode.cursor import Cursor
from structdiff.decode.policy import Policy
from structdiff.integrations.rows import LoopRow, check_budget, one_a_row, read_rows, wrong_batch
from structdiff.models.families import end_ids, policy_of
from structdiff.models.protocol import DenoiserSpec
from structdiff.options import DEFAULT_MAX_TOKENS
from structdiff.results.result import Usage
from structdiff.tokens.vocabulary import Vocabulary

USED = (
    "this processor belongs to another generation; call its reset() between two calls of generate, or make one for each"
)
REORDERED = "the rows of the batch stand in another order than before; a constraint belongs to its row"


class ConstrainedLogits(LogitsProcessor):
    """A logits processor under which ``generate`` writes outputs of a constraint, complete within the budget.

    ``source``: what `structdiff.compile` takes or a `Constraint`, for all rows, or a list with one a row (None: the
    row is free). ``tokenizer`` and ``model`` are those that generate; ``options`` go to `compile`. ``max_new_tokens``
    is the budget of text tokens, and what ``generate`` must be given; `arguments` holds both. It comes last of all
    processors.

    For DiffusionGemma ``policy`` says how the logits are shaped; its schedule is that of the model's configuration.
    Raises `BudgetTooSmall`, `VocabularyMismatch`, and what `compile` raises.
    """

    def __init__(
        self,
        source: Any,
        tokenizer: Any,
        model: Any,
        *,
        max_new_tokens: int = DEFAULT_MAX_TOKENS,
        policy: Policy | None = None,
        **options: Any,
    ) -> None:
        tokenizer = getattr(tokenizer, "tokenizer", tokenizer)  # a processor of text and images has one inside
        ends = end_ids(model.generation_config, tokenizer)
        self.vocabulary = Vocabulary.of(tokenizer, ends, model.config.get_text_config().vocab_size)
        compiler = Compiler(self.vocabulary)
        self.constraints: list[Constraint | None] = []
        for one in one_a_row(source):
            given = {} if isinstance(one, Constraint) else options
            self.constraints.append(None if one is None else compiler.compile(one, **given))
        check_budget(self.constraints, max_new_tokens)
        self.max_new_tokens = max_new_tokens
        self.canvas_length: int | None = getattr(model.config, "canvas_length", None)
        self.policy = policy
        if policy is None and self.canvas_length is not None:
            self.policy = Policy(feedback="mean", candidate="maximum", **policy_of(model.generation_config))
        self.reset()

    @property
    def arguments(self) -> dict[str, Any]:
        """What ``generate`` is given: ``model.generate(**inputs, **processor.arguments)``."""
        return {"logits_processor": LogitsProcessorList([self]), "max_new_tokens": self.max_new_tokens}

    def reset(self) -> None:
        """Forget the rows: another call of ``generate`` begins."""
        self._seen: torch.Tensor | None = None  # the prompts; of a diffusion model also the canvases behind them
        self._prompt_length = 0
        self._of: list[Constraint | None] = []  # of each row
        self._rows: list[LoopRow | None] = []
        self._left = 0
        self._states: dict[tuple[int, ...], int] = {}
        self._cursors: dict[int, Cursor] = {}

    @property
    def __call__(self) -> Callable[..., torch.Tensor]:
        """What transformers calls; it looks at the arguments, which are others in the two loops."""
        return self._write if self.canvas_length is None else self._denoise

    def parse(self, sequences: Any, errors: Literal["raise", "return"] = "raise") -> list[Any]:
        """The `Result` of each row that ``generate`` returned, prompts included; each is walked through its constraint.

        ``errors="return"`` puts a `Failure` in the place of a row that has no value. Raises `GenerationError` where an
        output was cut off, `ValidationFailed` where a validator of the class rejects one.
        """
        ids = getattr(sequences, "sequences", sequences)
        if self._seen is None:
            raise GenerationError("nothing was generated with this processor")
        rows = [row[self._prompt_length :].tolist() for row in ids]
        given = len(self.constraints)
        if len(rows) > len(self._of) or (given > 1 and len(rows) % given):
            raise GenerationError(f"{len(rows)} sequences, but {len(self._of)} rows were generated with this processor")
        each = len(rows) // given  # of several beams or samples
        of = [self.constraints[number // each if given > 1 else 0] for number in range(len(rows))]
        usages = [self._usage(i, len(rows)) for i in range(len(rows))]
        return read_rows(of, self.vocabulary, rows, self.max_new_tokens, usages, errors)

    def _usage(self, number: int, rows: int) -> Usage:
        row = self._rows[number] if len(self._rows) == rows else None
        if row is None:
            return Usage(self._prompt_length, 0, 0, 0)
        return Usage(self._prompt_length, 0, row.steps, row.session.canvases)

    def _begin(self, input_ids: torch.Tensor, copies: bool) -> None:
        """The first call of a generation. ``copies``: it may repeat each prompt (beams, several return sequences)."""
        rows, given = len(input_ids), len(self.constraints)
        each = rows // given if copies and rows % given == 0 else 1
        alike = torch.equal(input_ids, input_ids[torch.arange(rows) // each * each])
        if given > 1 and (rows != given * each or not alike):
            raise wrong_batch(rows, given)
        self._of = self.constraints * rows if given == 1 else [one for one in self.constraints for _ in range(each)]
        self._prompt_length, self._seen = input_ids.shape[1], input_ids.clone()

    def _check_known(self, start: torch.Tensor) -> None:
        """Raises `GenerationError` where rows do not begin as they did."""
        assert self._seen is not None
        if start.shape != self._seen.shape:
            raise GenerationError(USED)
        if not torch.equal(start, self._seen):
            same = sorted(start.tolist()) == sorted(self._seen.tolist())
            raise GenerationError(REORDERED if same else USED)

    @torch.no_grad()
    def _denoise(self, input_ids: torch.Tensor, scores: torch.Tensor, cur_step: Any) -> torch.Tensor:
        """float[B, L, V]: the logits of one denoising step, of which ``cur_step`` are left, this one included."""
        length, left = self.canvas_length, int(cur_step)
        assert length is not None and self.policy is not None
        if self._seen is None:
            self._begin(input_ids, copies=False)
            policy = replace(self.policy, max_steps=left)
            spec = DenoiserSpec(length, scores.shape[-1], 1 << 62)
            given = (spec, self.max_new_tokens, policy, None, scores.device)
            self._rows = [None if one is None else LoopRow(one, *given) for one in self._of]
            self._open(length)
        elif input_ids.shape[1] == self._seen.shape[1] + length:
            self._check_known(input_ids[:, :-length])
            if all(row is not None and row.session.finished for row in self._rows):
                raise GenerationError(USED)
            for number, row in enumerate(self._rows):
                if row is not None:
                    row.commit(input_ids[number, -length:].tolist())
            self._seen = input_ids.clone()
            self._open(length)
        else:
            self._check_known(input_ids)
            if left >= self._left:
                raise GenerationError(USED)
        self._left = left
        out = scores.clone()
        for number, row in enumerate(self._rows):
            if row is not None:
                out[number] = row.draft(scores[number]).logits
        return out

    def _open(self, length: int) -> None:
        for row in self._rows:
            if row is not None:
                row.start(length)

    @torch.no_grad()
    def _write(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """float[B, V]: the scores of the tokens from which each row can still be completed, -inf elsewhere."""
        if scores.ndim != 2:
            raise GenerationError(f"a causal model has scores [rows, V]; these have the shape {list(scores.shape)}")
        if self._seen is None:
            self._begin(input_ids, copies=True)
            if any(one is not None and one.rules is not None for one in self._of):
                raise GenerationError("rules hold between any two cells of a grid; a causal model cannot keep them")
        elif input_ids.shape[1] <= self._prompt_length or len(input_ids) != len(self._seen):
            raise GenerationError(USED)
        else:
            self._check_known(input_ids[:, : self._prompt_length])
        out = torch.full_like(scores, -torch.inf)
        known, self._states = self._states, {}
        texts = input_ids[:, self._prompt_length :].tolist()
        for number, (one, written) in enumerate(zip(self._of, texts, strict=True)):
            if one is None:
                out[number] = scores[number]
                continue
            legal = torch.from_numpy(self._legal(one, tuple(written), known)).to(scores.device)
            out[number, legal] = scores[number, legal]
        return out

    def _legal(self, constraint: Constraint, written: tuple[int, ...], known: dict[tuple[int, ...], int]) -> np.ndarray:
        """The tokens that may follow; none behind what the constraint does not allow (a beam that ran dry)."""
        constraint.require_text()
        key = (id(constraint), *written)
        cursor = self._cursors.setdefault(key[0], Cursor(constraint.automaton, self.vocabulary.end_ids))
        before = known.get(key[:-1]) if written else 0
        state, first = (0, 0) if before is None else (before, max(len(written) - 1, 0))
        for count in range(first, len(written)):
            if state < 0:
                break
            state = cursor.step(state, written[count], self.max_new_tokens - count)
        self._states[key] = state
        if state < 0:
            return np.zeros(0, np.int64)
        left = self.max_new_tokens - len(written)
        if left <= 0:  # the budget is spent, so that the text is complete
            state = constraint.automaton.states
        return cursor.legal(state, left)[0].astype(np.int64)
