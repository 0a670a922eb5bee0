"""The model that vLLM loads in place of its own DiffusionGemma: the same, with a state that knows constraints."""

from __future__ import annotations

from typing import Any

from vllm.distributed.parallel_state import get_tp_group
from vllm.logger import init_logger
from vllm.model_executor.models.diffusion_gemma import (
    DiffusionGemmaForConditionalGeneration,
    DiffusionGemmaModelState,
    DiffusionGemmaProcessingInfo,
)
from vllm.model_executor.models.gemma4_mm import Gemma4DummyInputsBuilder, Gemma4MultiModalProcessor
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.tokenizers import cached_tokenizer_from_config

from structdiff.core.errors import StructdiffError
from structdiff.engines.asked import KEY
from structdiff.engines.ranks import Alone, FollowedRow, Group, Ranks
from structdiff.engines.row import EngineRow, failed
from structdiff.engines.vllm.facts import policy_of, vocabulary_for
from structdiff.engines.vllm.sampler import ConstrainedSampler
from structdiff.engines.worker import Worker

logger = init_logger("vllm.structdiff")


def tensor_ranks() -> Ranks:
    """The processes that hold the parts of one model."""
    group = get_tp_group()
    if group.world_size == 1:
        return Alone()
    return Group(group.cpu_group, group.rank_in_group, group.ranks[0])


class ConstrainedState(DiffusionGemmaModelState):  # type: ignore[misc]
    """vLLM's state of DiffusionGemma, which makes a row of each request that was admitted with a constraint."""

    def custom_sampler(self, sampler: Any) -> tuple[Any, Any] | None:
        found = super().custom_sampler(sampler)
        assert found is not None
        inner, rejection = found
        self.rows: dict[int, EngineRow | FollowedRow] = {}
        self.ranks = tensor_ranks()
        self._canvas_length = inner.canvas_length
        self.worker: Worker | None = None
        try:
            if self.ranks.rank == 0:
                self.worker = self._worker(inner)
        except StructdiffError as error:  # free requests are served all the same
            logger.error("structdiff: structured outputs are off: %s", error)
        return ConstrainedSampler(inner, self.rows, self.ranks), rejection

    def _worker(self, inner: Any) -> Worker:
        config, states = self.model_config, self.diffusion_states
        tokenizer = cached_tokenizer_from_config(config)
        worker = Worker(
            vocabulary_for(config, tokenizer), inner.canvas_length, config.max_model_len,
            policy_of(self.gen_config, states.max_denoising_steps),
        )  # fmt: skip
        worker.warm_up(states.device)
        logger.info("structdiff: structured outputs are on")
        return worker

    def add_request(self, req_index: int, new_req_data: Any) -> None:
        super().add_request(req_index, new_req_data)
        self.rows.pop(req_index, None)
        params = new_req_data.sampling_params
        asked = (params.extra_args or {}).get(KEY) if params is not None else None
        if asked is None:
            return
        self.rows[req_index] = self._row(new_req_data, asked)
        self.diffusion_states.max_steps[req_index].fill_(2**30)  # its own policy bounds the steps

    def _row(self, new_req_data: Any, asked: dict[str, Any]) -> EngineRow | FollowedRow:
        params, name = new_req_data.sampling_params, new_req_data.req_id
        width = int(params.extra_args.get("diffusion_canvas_length") or self._canvas_length)
        if self.ranks.rank:
            return FollowedRow(name, length=width, end=0)
        if self.worker is None:
            return failed(name, "structured outputs are off", width)
        written = new_req_data.prefill_token_ids[len(new_req_data.prompt_token_ids) :]
        return self.worker.row(name, asked, params.max_tokens, written, width)

    def remove_request(self, req_id: str) -> None:
        slot = self._req_id_to_index.get(req_id)
        super().remove_request(req_id)
        if slot is not None:
            self.rows.pop(slot, None)


@MULTIMODAL_REGISTRY.register_processor(
    Gemma4MultiModalProcessor, info=DiffusionGemmaProcessingInfo, dummy_inputs=Gemma4DummyInputsBuilder
)
class ConstrainedDiffusionGemma(DiffusionGemmaForConditionalGeneration):  # type: ignore[misc]
    """vLLM's DiffusionGemma, whose state brings a sampler that knows constraints."""

    @staticmethod
    def get_model_state_cls() -> type[ConstrainedState]:
        return ConstrainedState
