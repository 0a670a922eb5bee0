"""What the service counts, by Prometheus's naming conventions."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)


class Metrics:
    """One registry a service, so that several can live in one process.

    >>> metrics = Metrics()
    >>> metrics.requests.labels("/v1/models", "200").inc()
    >>> metrics.registry.get_sample_value("structdiff_requests_total", {"path": "/v1/models", "status": "200"})
    1.0
    """

    def __init__(
        self,
        waiting: Callable[[], float] = lambda: 0,
        running: Callable[[], float] = lambda: 0,
        oldest: Callable[[], float] = lambda: 0,
        compiling: Callable[[], float] = lambda: 0,
    ) -> None:
        self.registry = r = CollectorRegistry()
        self.requests = Counter("structdiff_requests", "Requests answered.", ["path", "status"], registry=r)
        self.failures = Counter("structdiff_failures", "Requests refused or failed.", ["code"], registry=r)
        self.seconds = Histogram(
            "structdiff_request_duration_seconds", "From request to answer.", ["path"], buckets=_SECONDS, registry=r
        )
        self.prompt_tokens = Counter("structdiff_prompt_tokens", "Tokens read.", registry=r)
        self.completion_tokens = Counter("structdiff_completion_tokens", "Tokens written.", registry=r)
        self.steps = Counter("structdiff_denoising_steps", "Denoising steps of rows.", registry=r)
        self.canvases = Counter("structdiff_canvases", "Canvases begun.", registry=r)
        self.batch = Histogram(
            "structdiff_batch_rows", "Rows of a denoising step.", buckets=(1, 2, 4, 8, 16, 32, 64), registry=r
        )
        self.compile_seconds = Histogram(
            "structdiff_compile_seconds",
            "Compilation of a constraint, refused and failed ones too.",
            buckets=_SECONDS,
            registry=r,
        )
        self.compile_cache = Counter("structdiff_compile_cache", "Lookups of constraints.", ["result"], registry=r)
        for name, text, value in (
            ("structdiff_queue_rows", "Rows that wait.", waiting),
            ("structdiff_running_rows", "Rows that have begun.", running),
            ("structdiff_queue_age_seconds", "How long the oldest row that waits has waited.", oldest),
            ("structdiff_compile_queue", "Constraints that wait to be compiled.", compiling),
        ):
            Gauge(name, text, registry=r).set_function(value)
