"""schemathesis over the service's own OpenAPI: whatever is sent, the service never fails."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

schemathesis = pytest.importorskip("schemathesis")

EXAMPLES = int(os.environ.get("STRUCTDIFF_EXAMPLES", "15"))
"""Requests a route; STRUCTDIFF_EXAMPLES=1000 makes it a soak test."""


def test_no_request_makes_the_service_fail(start: Callable[..., Any]) -> None:
    running = start(compile_seconds=1.0, deadline=20.0)
    api = schemathesis.openapi.from_url(f"{running.url}/openapi.json")
    operations = [found.ok() for found in api.get_all_operations()]
    assert len(operations) >= 6
    for operation in operations:

        @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def holds(case: Any) -> None:
            response = case.call(timeout=60)
            assert response.status_code < 500, response.text
            if response.status_code >= 400:
                assert {"message", "type", "param", "code"} <= set(response.json()["error"])

        holds()
