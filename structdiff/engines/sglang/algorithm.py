"""SGLang's diffusion algorithms with constrained rows: SGLang takes the step of the batch, ours are overwritten.

Free rows are SGLang's own to the last random number. Where SGLang keeps the cache of a block that was denoised, a row
is reported as done only behind a forward pass that saw its final tokens, as SGLang asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from structdiff.engines.row import EngineRow
from structdiff.engines.sglang import admission
from structdiff.engines.sglang.backend import Grammar


@dataclass(eq=False)
class Block:
    """A constrained row's block: SGLang's own state of it, and how many of its positions are the prompt's.

    ``row`` is None until the block's first forward pass.
    """

    own: Any
    grammar: Grammar
    first: int
    row: EngineRow | None = None


def own_of(states: Sequence[Any]) -> list[Any]:
    """SGLang's own states."""
    return [state.own if isinstance(state, Block) else state for state in states]


class Constrained:
    """Comes before one of SGLang's algorithms among the bases of a class (`constrained`)."""

    block_size: int
    mask_id: int
    requires_separate_context_encoding: bool

    @classmethod
    def validate_request(cls, req: Any) -> str | None:
        """Why a request is refused; None for one that is taken."""
        if not admission.asks(req.sampling_params):
            found: str | None = super().validate_request(req)  # type: ignore[misc]
            return found
        return admission.refused(req)

    def init_step_state(self, forward_batch: Any) -> list[Any]:
        """SGLang's states of blocks that begin, those of constrained rows in a `Block`."""
        states: list[Any] = super().init_step_state(forward_batch)  # type: ignore[misc]
        sampling = getattr(forward_batch, "sampling_info", None)
        grammars = getattr(sampling, "grammars", None) or []
        if not any(isinstance(grammar, Grammar) for grammar in grammars):
            return states
        firsts = self._block_start_list(forward_batch)  # type: ignore[attr-defined]
        return [
            Block(state, grammar, first) if isinstance(grammar, Grammar) and first < self.block_size else state
            for state, grammar, first in zip(states, grammars, firsts, strict=True)
        ]

    def prepare_inputs(self, model_runner: Any, forward_batch: Any, states: list[Any]) -> None:
        """Before a forward pass: lay the first canvas of blocks that begin."""
        for i, state in enumerate(states):
            if isinstance(state, Block) and state.row is None:
                state.row = state.grammar.begin(self.block_size - state.first)
                self._lay(forward_batch, i, state, state.row)
        super().prepare_inputs(model_runner, forward_batch, own_of(states))  # type: ignore[misc]

    @torch.no_grad()
    def step(self, forward_batch: Any, full_logits: torch.Tensor, states: list[Any]) -> list[bool]:
        """A step of the batch; which blocks may be emitted."""
        logits = full_logits.view(len(states), self.block_size, -1)
        mine = [(i, state, state.row) for i, state in enumerate(states) if isinstance(state, Block) and state.row]
        open_ = [(i, block, row) for i, block, row in mine if not row.done]
        seen = {i: row.shown.copy() for i, _, row in open_}
        changes = getattr(self, "penalty_lambda", 0) > 0  # SGLang changes the logits in place
        temperatures = {i: self._temperature_of(block) for i, block, _ in open_}
        for i, block, row in open_:
            if changes:
                row.observe(logits[i, block.first :])
            else:  # the rows are decided while SGLang takes its step
                row.consider_ahead(logits[i, block.first :])
            if isinstance(block.own, dict) and "history" in block.own:
                block.own["history"] = []  # SGLang's own rule never ends the block
        done = list(super().step(forward_batch, full_logits, own_of(states)))  # type: ignore[misc]
        for i, block, row in open_:
            if not changes:
                row.observe(logits[i, block.first :])
            emits = self.requires_separate_context_encoding or bool((row.shown == seen[i]).all())
            done[i] = row.done and emits
            self._lay(forward_batch, i, block, row)
            self._condition(block, row, logits[i], temperatures[i])
        for i, block, row in mine:
            if i not in seen:
                done[i] = True
                self._lay(forward_batch, i, block, row)
        return done

    def _lay(self, forward_batch: Any, i: int, block: Block, row: EngineRow) -> None:
        """Let the next forward pass read the row's canvas."""
        ids = forward_batch.input_ids.view(-1, self.block_size)
        shown = torch.tensor(row.shown, device=ids.device)
        ids[i, block.first :] = shown
        if self.mask_id < 0:
            block.own["current"] = block.own["argmax"] = shown
            block.own["finished"] = row.done

    def _temperature_of(self, block: Block) -> float:
        return self._temperature(block.own["step"]) if self.mask_id < 0 else 1.0  # type: ignore[attr-defined]

    def _condition(self, block: Block, row: EngineRow, logits: torch.Tensor, temperature: float) -> None:
        """The soft embeddings that go with the next canvas: none behind the last one, else those of SGLang's step."""
        if self.mask_id >= 0:
            return
        if row.done:
            block.own["self_conditioning"] = None
        elif block.own["self_conditioning"] is None:  # SGLang's own rule took the block for finished
            soft = torch.softmax(logits.float() / temperature, dim=-1)
            block.own["self_conditioning"] = self._soft_embeddings(soft)  # type: ignore[attr-defined]


_made: dict[type, type] = {}


def constrained(algorithm: type) -> type:
    """The same algorithm with constrained rows; one class for each."""
    if issubclass(algorithm, Constrained):
        return algorithm
    if algorithm not in _made:
        _made[algorithm] = type(algorithm.__name__, (Constrained, algorithm), {"__module__": algorithm.__module__})
    return _made[algorithm]
