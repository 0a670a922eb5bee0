"""Faults on demand, for the tests of the plug-in inside a real server: vLLM loads this as a plug-in of its own."""

from __future__ import annotations

import os
from typing import Any


def register() -> None:
    """NaN logits for requests named so; the asynchronous scheduler, which vLLM turns off on CPUs."""
    from structdiff.engines.vllm.plugin import untested

    if os.environ.get("STRUCTDIFF_TEST_ASYNC"):
        _keep_async_scheduling()
    import vllm

    if untested(vllm.__version__) is None:
        _nan()


def _keep_async_scheduling() -> None:
    from vllm.platforms.cpu import CpuPlatform

    original = CpuPlatform.check_and_update_config.__func__

    def check_and_update_config(cls: type, vllm_config: object) -> None:
        original(cls, vllm_config)
        vllm_config.scheduler_config.async_scheduling = True  # type: ignore[attr-defined]

    CpuPlatform.check_and_update_config = classmethod(check_and_update_config)
    from vllm.v1.core.sched.diffusion_scheduler import DiffusionAsyncScheduler

    begin = DiffusionAsyncScheduler.__init__

    def init(self: DiffusionAsyncScheduler, *args: Any, **named: Any) -> None:
        begin(self, *args, **named)
        print("the asynchronous scheduler is in use", flush=True)

    DiffusionAsyncScheduler.__init__ = init


def _nan() -> None:
    from structdiff.engines.worker import Worker

    original = Worker.row

    def row(self: Worker, name: str, *args: Any, **named: Any) -> Any:
        made = original(self, name, *args, **named)
        if "nanlogits" in name:
            made.consider_ahead = lambda logits: logits.fill_(float("nan"))  # before vLLM's own sampler sees them
        return made

    Worker.row = row
