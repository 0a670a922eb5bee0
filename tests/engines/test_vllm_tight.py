"""The asynchronous scheduler, and so few blocks of the cache that requests are preempted."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed here; make engines-test builds an environment that has it")

import httpx

from tests.engines.served import Server, mixed, started


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from started(tmp_path_factory.mktemp("tight"), "--max-model-len", "640", "--num-gpu-blocks-override", "40",
        STRUCTDIFF_TEST_ASYNC="1",
    )  # fmt: skip


def test_preemption_under_the_asynchronous_scheduler(tight: Server) -> None:
    assert len(mixed(tight, 18)) == 18
    assert "the asynchronous scheduler is in use" in tight.log.read_text()
    metrics = httpx.get(str(tight.client.base_url.join("/metrics"))).text
    counted = re.search(r"^vllm:num_preemptions_total\{.*\} (\S+)$", metrics, re.M)
    assert counted and float(counted[1]) > 0
