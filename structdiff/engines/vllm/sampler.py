"""vLLM's sampler with constrained rows: vLLM samples the whole batch, then the constrained rows are overwritten.

Free rows are vLLM's own to the last random number. Of constrained rows vLLM keeps what its model needs beside them
(the soft embeddings of self-conditioning, the emission of committed canvases).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from vllm.utils.torch_utils import async_tensor_h2d

from structdiff.engines.ranks import Alone, FollowedRow, Ranks, told
from structdiff.engines.row import EngineRow


@dataclass(frozen=True)
class Mine:
    """A constrained row of a batch: its slot in vLLM's states, and its rows of the logits.

    While it prefills it has none; ``begins`` says that its prompt ends with this step.
    """

    slot: int
    row: EngineRow | FollowedRow
    first: int
    count: int
    begins: bool

    def logits(self, logits: torch.Tensor) -> torch.Tensor:
        return logits[self.first : self.first + self.count]


class ConstrainedSampler:
    """Wraps vLLM's `DiffusionSampler`; ``rows`` holds the constrained request of each slot.

    Of several ``ranks`` the first decides the rows; on the others they are followed.
    """

    def __init__(self, inner: Any, rows: dict[int, EngineRow | FollowedRow], ranks: Ranks | None = None) -> None:
        self.inner, self.rows, self.ranks = inner, rows, ranks or Alone()
        self.states = inner.diffusion_states
        self._filtered: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["inner"], name)

    def add_request(self, req_idx: int, sampling_params: Any) -> None:
        """vLLM's own, which may lower a slot's steps; ours ends its canvases itself."""
        self.inner.add_request(req_idx, sampling_params)
        filters = 0 < sampling_params.top_k < self.inner.vocab_size or sampling_params.top_p < 1
        (self._filtered.add if filters else self._filtered.discard)(req_idx)

    def __call__(self, logits: torch.Tensor, input_batch: Any, draft_logits: torch.Tensor | None = None) -> Any:
        mine = self._mine(input_batch)
        if not mine:
            return self.inner(logits, input_batch, draft_logits)
        denoising = [one for one in mine if one.count and not one.row.done]
        committing = [one for one in mine if one.count and one.row.done]
        # vLLM counts the canvases it has seen before it lets a row converge: these never have enough.
        if denoising:
            self.states.accepted_canvas_history_len[self._slots(denoising)] = -self.states.stability_threshold
        ahead = self._filtered.isdisjoint(input_batch.idx_mapping_np[: input_batch.num_reqs].tolist())
        if ahead:  # nobody changes the logits in place: the rows are decided while vLLM samples
            for one in denoising:
                one.row.consider_ahead(one.logits(logits))
        else:
            self._observe(denoising, logits)
        output = self.inner(logits, input_batch, draft_logits)
        if ahead:
            self._observe(denoising, logits)
        for one in committing:
            one.row.committed(one.count)
        if changed := [one for one in mine if one.count or one.begins]:
            self._write(changed)
        return output

    def _mine(self, input_batch: Any) -> list[Mine]:
        """The constrained rows of a batch."""
        if not self.rows:
            return []
        count = input_batch.num_reqs
        bounds = input_batch.cu_num_logits_np
        read = input_batch.num_computed_prefill_tokens_np[:count] + input_batch.num_scheduled_tokens[:count]
        found = []
        for i, slot in enumerate(input_batch.idx_mapping_np[:count].tolist()):
            if slot in self.rows:
                logits = int(bounds[i + 1] - bounds[i]) if input_batch.num_draft_tokens else 0
                begins = logits == 0 and bool(read[i] >= input_batch.prefill_len_np[i])
                found.append(Mine(slot, self.rows[slot], int(bounds[i]), logits, begins))
        return found

    def _observe(self, rows: Sequence[Mine], logits: torch.Tensor) -> None:
        for one in rows:
            one.row.observe(one.logits(logits))

    def _slots(self, rows: Sequence[Mine]) -> torch.Tensor:
        slots: torch.Tensor = async_tensor_h2d([one.slot for one in rows], dtype=torch.int64, device=self.states.device)
        return slots

    def _write(self, rows: Sequence[Mine]) -> None:
        """Lay the rows' canvases, as rank 0 decided them, into vLLM's states, in one transfer."""
        states = self.states
        width = self.inner.canvas_length
        decided = self.ranks.share(np.stack([told(one.row, width) for one in rows]))
        for line, one in zip(decided, rows, strict=True):
            if isinstance(one.row, FollowedRow):
                one.row.follow(line)
        placed = async_tensor_h2d(np.column_stack([[one.slot for one in rows], decided]), device=states.device)
        slots, done, shown = placed[:, 0], placed[:, 1] > 0, placed[:, 2:]
        states.canvas[slots] = shown
        states.argmax_canvas[slots] = shown
        states.is_encoder_phase[slots] = done
        soft = states.self_conditioning_embeds
        soft[slots] = soft[slots].masked_fill(done[:, None, None], 0.0)
        self.inner.req_states.draft_tokens[slots, :width] = shown.to(self.inner.req_states.draft_tokens.dtype)
