"""Tests that need an engine: `make engines-test` builds an environment for them; elsewhere they are skipped."""

from __future__ import annotations

import importlib.util

collect_ignore = []
if importlib.util.find_spec("vllm") is None:
    collect_ignore += ["test_vllm_sampler.py", "test_vllm_server.py", "test_vllm_tight.py", "test_vllm_admission.py"]
if importlib.util.find_spec("sglang") is None:
    collect_ignore += ["test_sglang.py"]
