"""SGLang's real algorithms, requests, grammar manager and result processing under a runner without a server.

The stub is a scheduler that batches whatever is ready, and a model: a function of a request and its block.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from concurrent.futures import wait
from types import SimpleNamespace
from typing import Any

import torch
from sglang.srt.constrained.grammar_manager import GrammarManager
from sglang.srt.dllm.algorithm import get_algorithm
from sglang.srt.dllm.config import DllmConfig
from sglang.srt.dllm.mixin import scheduler as mixin
from sglang.srt.managers.schedule_batch import Req
from sglang.srt.runtime_context import get_parallel
from sglang.srt.sampling.sampling_params import SamplingParams

from structdiff.engines.sglang import admission
from structdiff.engines.sglang.backend import Backend, worker_of

HIDDEN = 8
MASK = 1025
"""No token of the embedded model; the stub's vocabulary has two ids more than the tokenizer."""
VOCAB = 1026

Logits = Callable[[Req, torch.Tensor, torch.Tensor], torch.Tensor]
"""(request, int64[B] block, float[B, H] its input embeddings) -> float[B, V]"""


def config(algorithm: str, block: int, *, fdfo: bool = False, **options: Any) -> DllmConfig:
    """SGLang's configuration of a model; Gemma4Renoise is the one of uniform noise."""
    uniform = algorithm == "Gemma4Renoise"
    return DllmConfig(
        algorithm, options, block, -1 if uniform else MASK, max_running_requests=8, first_done_first_out_mode=fdfo,
        requires_separate_context_encoding=uniform, delete_token_id=0, split_token_id=3,
    )  # fmt: skip


class _Embedding:
    """What Gemma4Renoise asks of a model's embedding."""

    def __init__(self) -> None:
        self.weight = torch.randn(VOCAB, HIDDEN, generator=torch.Generator().manual_seed(1))
        self.embed_scale = 1.0


class Runner(mixin.SchedulerDllmMixin):
    """At most ``slots`` requests at a time; ``backend`` None: SGLang without the plug-in's grammar backend."""

    def __init__(self, dllm: DllmConfig, logits: Logits, backend: Backend | None, tokenizer: Any, **named: int) -> None:
        self.dllm_config, self.logits, self.tokenizer = dllm, logits, tokenizer
        self.slots = named.get("slots", 6)
        self.model_config = SimpleNamespace(
            context_len=named.get("context", 4096),
            hf_config=SimpleNamespace(text_config=SimpleNamespace(vocab_size=VOCAB)),
        )
        self.algorithm = get_algorithm(dllm)
        self.embedding = _Embedding()
        self.model = SimpleNamespace(
            get_input_embeddings=lambda: self.embedding, prepare_dllm_input_embeds=self._embedded
        )
        self.manager = object.__new__(GrammarManager)
        self.manager.__dict__.update(
            scheduler=self, grammar_backend=backend, grammar_queue=[], pp_rank=0, pp_size=1, pp_group=None,
            grammar_sync_size=1, SGLANG_GRAMMAR_POLL_INTERVAL=0.005, SGLANG_GRAMMAR_MAX_POLL_ITERATIONS=10**5,
            _enable_strict_thinking=False,
        )  # fmt: skip
        nothing = SimpleNamespace(free_group_begin=lambda: None, free_group_end=lambda: None)
        self.token_to_kv_pool_allocator = nothing
        self.output_streamer = SimpleNamespace(stream_output=lambda *_: None)
        self.metrics_reporter = SimpleNamespace(num_generated_tokens=0, report_prefill_stats=lambda **_: None)
        self.tree_cache = None
        self.waiting: list[Req] = []
        self.running: list[Req] = []
        self.forwards = 0

    def add(self, name: str, max_tokens: int = 300, prompt: int = 5, **fields: Any) -> Req:
        """A request as SGLang's scheduler takes it in; its refusal, if any, is its ``finished_reason``."""
        params = SamplingParams(max_new_tokens=max_tokens, **fields)
        params.normalize(self.tokenizer)
        req = Req(
            name, "", array("q", range(7, 7 + prompt)), params, dllm_config=self.dllm_config,
            eos_token_ids={1, 4}, vocab_size=VOCAB,
        )  # fmt: skip
        req.tokenizer = self.tokenizer
        req.steps = 0
        if said := self.dllm_config.validate_request(req):
            raise ValueError(said)
        if not self.manager.process_req_with_grammar(req):
            self.waiting.append(req)
        return req

    def compiled(self) -> None:
        """Wait for all grammars."""
        wait([req.grammar for req in self.manager.grammar_queue])
        if self.manager.has_waiting_grammars():
            self.waiting += self.manager.get_ready_grammar_requests()

    def run(self) -> None:
        self.compiled()
        while self.waiting or self.running:
            while self.waiting and len(self.running) < self.slots:
                req = self.waiting.pop(0)
                if req.to_finish is None:
                    self.running.append(req)
            if self.running:
                self.step()

    def step(self) -> None:
        """One round of the scheduler: a batch with the next block of each request."""
        reqs, size = list(self.running), self.dllm_config.block_size
        blocks = []
        for req in reqs:
            whole = [*req.origin_input_ids, *req.output_ids]
            begin = len(whole) if self.dllm_config.mask_id < 0 else len(whole) // size * size
            fill = 0 if self.dllm_config.mask_id < 0 else self.dllm_config.mask_id
            block = list(req.dllm_incomplete_ids) or [*whole[begin:], *[fill] * (size - len(whole) + begin)]
            req.full_untruncated_fill_ids = array("q", [*whole[:begin], *block])
            req.extend_end = begin + size
            blocks.append(block)
        grammars = [req.grammar for req in reqs]
        batch = SimpleNamespace(
            batch_size=len(reqs), input_ids=torch.tensor(blocks).view(-1), rids=[req.rid for req in reqs],
            dllm_prompt_mask=None, dllm_input_preparation_state=None, input_embeds=None, reqs=reqs,
            sampling_info=SimpleNamespace(grammars=grammars if any(grammars) else None),
            forward_mode=SimpleNamespace(is_dllm_extend=lambda: True), mark_forward_metadata_ready=lambda **_: None,
        )  # fmt: skip
        model = SimpleNamespace(forward=self._forward, model_config=self.model_config, model=self.model)
        states = [req.dllm_algo_state for req in reqs] if self.algorithm.fdfo else None
        output, tokens, accepted, states, graph = self.algorithm.run(model, batch, states)
        result = SimpleNamespace(
            copy_done=None, logits_output=output, next_token_ids=tokens, accept_length_per_req_cpu=accepted,
            dllm_algo_state=states, can_run_cuda_graph=graph,
        )  # fmt: skip
        done = SimpleNamespace(
            reqs=reqs, forward_mode=batch.forward_mode, batch_size=lambda: len(reqs), return_logprob=False,
            prefill_stats=None, dp_cooperation_info=None,
        )  # fmt: skip
        self.process_batch_result_dllm(done, result)
        self.running = [req for req in self.running if not req.finished()]

    def _forward(self, batch: Any, pp_proxy_tensors: None) -> SimpleNamespace:
        self.forwards += 1
        size = self.dllm_config.block_size
        rows = batch.input_ids.view(-1, size)
        embeds = batch.input_embeds
        out = []
        for i, (req, row) in enumerate(zip(batch.reqs, rows, strict=True)):
            req.steps += 1
            own = self.embedding.weight[row] if embeds is None else embeds.view(len(rows), size, -1)[i]
            out.append(self.logits(req, row, own))
        logits = torch.cat(out)
        return SimpleNamespace(logits_output=SimpleNamespace(full_logits=logits), can_run_graph=False)

    def _embedded(self, ids: torch.Tensor, signal: torch.Tensor | None) -> torch.Tensor:
        embeds = self.embedding.weight[ids]
        return embeds if signal is None else embeds + signal.view_as(embeds)


get_parallel().override_permanently(tp_rank=0)
mixin.release_kv_cache = lambda *_, **__: None  # the stub has no cache of keys and values


def backend_of(dllm: DllmConfig, tokenizer: Any) -> Backend:
    """The plug-in's backend as `structdiff.engines.sglang.start.create` makes it, without a server's arguments."""
    algorithm = get_algorithm(dllm)
    worker = worker_of(algorithm, tokenizer, VOCAB, [1, 4], 4096)
    worker.warm_up(torch.device("cpu"))
    admission.serve()
    return Backend(worker, tokenizer)
