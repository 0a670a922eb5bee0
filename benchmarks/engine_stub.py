"""vLLM's real sampler and states under a runner that has no model: logits come from a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from vllm.model_executor.models.diffusion_gemma import DiffusionGemmaRequestStates, DiffusionSampler

from structdiff.engines.ranks import Alone, FollowedRow, Ranks
from structdiff.engines.row import EngineRow
from structdiff.engines.vllm.sampler import ConstrainedSampler
from structdiff.engines.worker import Worker

HIDDEN = 8
GENERATION = {
    "sampler_config": {"entropy_bound": 0.1}, "t_min": 0.4, "t_max": 0.8, "stability_threshold": 1,
    "confidence_threshold": 0.005,
}  # fmt: skip


def on_host() -> None:
    """What vLLM's own worker does to torch where there is no accelerator, and buffers without pinned memory."""
    import vllm.v1.worker.cpu.shm

    vllm.v1.worker.gpu.buffer_utils.is_uva_available = lambda: False


@dataclass
class Request:
    """A request as the stub's scheduler holds it; ``asked`` None is a free one."""

    name: str
    max_tokens: int
    asked: dict[str, Any] | None = None
    prompt: int = 5
    tokens: list[int] = field(default_factory=list)
    reason: str = ""
    slot: int = -1
    begun: bool = False
    steps: int = 0
    top_k: int = 0


class _Sampling:
    """The part of vLLM's sampling states that its diffusion sampler asks."""

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size, self.top_k = vocab_size, dict[int, int]()

    def get_top_k_top_p(self, rows: Any, slots: Any, *size: int) -> tuple[Any, ...]:
        """vLLM 0.33 names the vocabulary's size, and wants to know too whether a row has top_p alone."""
        alone = (False,) if size else ()
        if not self.top_k:
            return None, None, *alone
        kept = torch.tensor([self.top_k.get(int(slot), self.vocab_size) for slot in rows], dtype=torch.int32)
        return kept, None, *alone

    def max_num_logprobs(self, slots: Any) -> int:
        return -1

    def add_request(self, slot: int, params: Any) -> None:
        self.top_k.pop(slot, None)
        if params.top_k > 0:
            self.top_k[slot] = params.top_k


class Runner:
    """At most ``slots`` requests at a time; ``logits(request, n)`` float32[n, V] is the model."""

    def __init__(
        self,
        worker: Worker | None,
        logits: Callable[[Request, int], torch.Tensor],
        end_ids: tuple[int, ...],
        *,
        length: int,
        vocab_size: int,
        slots: int = 4,
        max_steps: int = 48,
        context: int = 10**6,
        device: torch.device | str = "cpu",
        hidden: int = HIDDEN,
        ranks: Ranks | None = None,
    ) -> None:
        self.worker, self.logits, self.end_ids, self.length, self.context = worker, logits, end_ids, length, context
        self.device = device = torch.device(device)
        if device.type == "cpu":
            on_host()
        self.states = DiffusionGemmaRequestStates(slots, length, vocab_size, max_steps, device, hidden, 2)
        self.draft = torch.zeros(slots, length, dtype=torch.int64, device=device)
        self.sampling = _Sampling(vocab_size)
        stub = SimpleNamespace(
            sampling_states=self.sampling, req_states=SimpleNamespace(draft_tokens=self.draft),
            logprob_token_ids_state=SimpleNamespace(add_request=lambda *_: None, max_num_token_ids=lambda _: 0),
            logprobs_mode="raw_logprobs",
        )  # fmt: skip
        self.inner = DiffusionSampler(
            stub, SimpleNamespace(canvas_length=length), vocab_size, self.states, confidence_threshold=0.005,
            t_min=0.4, t_max=0.8, entropy_bound=0.1, normalizer=torch.tensor(1.0, device=device),
            embed_weight=torch.randn(vocab_size, hidden, generator=torch.Generator().manual_seed(1)).to(device),
        )  # fmt: skip
        self.rows: dict[int, Any] = {}
        self.seen: list[Any] = []
        self.ranks = ranks or Alone()
        self.sampler = self.inner if worker is None else ConstrainedSampler(self.inner, self.rows, self.ranks)
        self.free = list(range(slots))
        self.running: list[Request] = []
        self.waiting: list[Request] = []
        self.steps = 0

    def add(self, request: Request) -> Request:
        """Let a request wait, a new one or one that was preempted."""
        request.slot = -1
        self.waiting.append(request)
        return request

    def admit(self) -> None:
        """Give free slots to those that wait."""
        while self.waiting and self.free:
            request = self.waiting.pop(0)
            request.slot, request.begun = self.free.pop(0), False
            self.states.add_request(request.slot)
            if request.asked is not None:
                self.rows[request.slot] = self._row(request)
                self.seen.append(self.rows[request.slot])
                self.states.max_steps[request.slot].fill_(2**30)
            params = SimpleNamespace(
                top_k=request.top_k, top_p=1.0, extra_args={}, repetition_penalty=1.0, frequency_penalty=0.0,
                presence_penalty=0.0,
            )  # fmt: skip
            self.sampler.add_request(request.slot, params)
            self.running.append(request)

    def _row(self, request: Request) -> EngineRow | FollowedRow:
        if self.ranks.rank:
            return FollowedRow(request.name, length=self.length, end=self.end_ids[0])
        assert self.worker is not None and request.asked is not None
        return self.worker.row(request.name, request.asked, request.max_tokens, list(request.tokens))

    def release(self, request: Request) -> None:
        """Finish, preempt or abort a request."""
        self.running.remove(request)
        self.states.remove_request(request.slot)
        self.rows.pop(request.slot, None)
        self.free.append(request.slot)

    def step(self) -> None:
        """One step of the engine over all running requests."""
        self.admit()
        self.steps += 1
        batch = self.running
        counts = [min(self.length, self.context - r.prompt - len(r.tokens)) if r.begun else 0 for r in batch]
        scheduled = np.array([n or r.prompt + len(r.tokens) for n, r in zip(counts, batch, strict=True)])
        logits = torch.cat(
            [self.logits(r, n) for n, r in zip(counts, batch, strict=True) if n] or [torch.zeros(0, 1)]
        ).to(self.device)
        slots = np.array([r.slot for r in batch])
        starts = np.concatenate(([0], np.cumsum(scheduled)))
        prefill = np.array([r.prompt + len(r.tokens) for r in batch])
        output = self.sampler(logits, SimpleNamespace(
            num_reqs=len(batch), num_draft_tokens=sum(counts), idx_mapping=torch.from_numpy(slots).to(self.device),
            idx_mapping_np=slots, cu_num_logits_np=np.concatenate(([0], np.cumsum(counts))),
            num_computed_prefill_tokens_np=np.where(np.array(counts) > 0, prefill, 0),
            num_scheduled_tokens=scheduled, prefill_len_np=prefill,
            query_start_loc=torch.from_numpy(starts).to(self.device), query_start_loc_np=starts,
        ))  # fmt: skip
        for i, request in enumerate(list(batch)):
            request.steps += counts[i] > 0
            request.begun = True
            for token in output.sampled_token_ids[i, : int(output.num_sampled[i])].tolist():
                request.tokens.append(token)
                if token in self.end_ids:
                    request.reason = "stop"
                elif len(request.tokens) == request.max_tokens:
                    request.reason = "length"
                if request.reason:
                    self.release(request)
                    break

    def run(self, most: int = 3000) -> None:
        """Step until all requests are finished."""
        most += self.steps
        while self.running or self.waiting:
            assert self.steps < most
            self.step()
