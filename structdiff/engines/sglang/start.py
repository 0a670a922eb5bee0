"""The start of a server with SGLang's option ``--grammar-backend structdiff``."""

from __future__ import annotations

import logging
from typing import Any

import torch
from sglang.srt.configs.model_config import ModelConfig
from sglang.srt.dllm.algorithm import get_algorithm
from sglang.srt.dllm.config import DllmConfig

from structdiff.engines.sglang.admission import check_hooks, serve
from structdiff.engines.sglang.backend import Backend, worker_of

logger = logging.getLogger("sglang.structdiff")


def create(server_args: Any, tokenizer: Any, vocab_size: int, eos_token_ids: Any) -> Backend:
    """The backend of a server, which SGLang calls for ``--grammar-backend structdiff``.

    Raises `ValueError` where the server's model or its options are none that constraints can be honoured with.
    """
    check_server(server_args)
    check_hooks()
    algorithm = get_algorithm(DllmConfig.from_server_args(server_args))
    context = ModelConfig.from_server_args(server_args).context_len
    ends = [*(eos_token_ids or ()), getattr(tokenizer, "eos_token_id", None)]
    ends += getattr(tokenizer, "additional_stop_token_ids", None) or ()
    worker = worker_of(algorithm, tokenizer, vocab_size, ends, context)
    worker.warm_up(torch.device(server_args.device))
    backend = Backend(worker, tokenizer, bool(server_args.constrained_json_disable_any_whitespace))
    serve()
    logger.info("structdiff: structured outputs are on")
    return backend


def check_server(server_args: Any) -> None:
    """Raises `ValueError` for options of a server that constraints cannot be honoured with."""
    if not server_args.dllm_algorithm:
        raise ValueError("--grammar-backend structdiff is for diffusion models; give --dllm-algorithm, or drop it")
    if server_args.tp_size > 1 or server_args.pp_size > 1:
        raise ValueError("--grammar-backend structdiff needs --tp-size and --pp-size 1; run replicas instead")
    if server_args.constrained_json_whitespace_pattern:
        raise ValueError(
            "--grammar-backend structdiff cannot honour --constrained-json-whitespace-pattern; "
            "--constrained-json-disable-any-whitespace it can"
        )
