"""The service on Ray Serve: replicas of the same app behind one address, on this machine or on a cluster.

A replica is a process with a model of its own. Serve's proxy sends a request to a replica whose health check passes;
one that dies is started anew, and what it was answering fails with status 500, which OpenAI's clients send again.
"""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from structdiff.core.errors import StructdiffError
from structdiff.server.settings import Settings, keys_of_environment

if TYPE_CHECKING:
    from fastapi import FastAPI

NAME = "structdiff"


class ReplicaError(StructdiffError):
    """The replicas cannot be started."""


def build_app(model: str | None, device: str | None, dtype: str | None, settings: Settings, keys: bool) -> FastAPI:
    """The service's app, built inside a replica; ``keys`` are read there, so that none travels through the cluster.

    Raises `ReplicaError` where keys are demanded and the replica's environment has none.
    """
    import structdiff
    from structdiff.server.app import Service

    found = keys_of_environment()
    if keys and not found:
        raise ReplicaError("the replica's environment has no STRUCTDIFF_API_KEYS, and the service must ask for a key")
    service = Service(structdiff.load(model, device=device, dtype=dtype), replace(settings, api_keys=found))
    service.app.state.service = service
    return service.app


def application(args: dict[str, Any]) -> Any:
    """The Serve application; what a configuration file names as ``structdiff.server.replicas:application``.

    ``args``: ``replicas`` (1), ``model``, ``device``, ``dtype`` as of `structdiff.load`, ``keys`` (whether the
    environment of a replica must hold API keys), and any field of `Settings` but the keys themselves.
    """
    from ray import serve

    given: dict[str, Any] = dict(args) | {"origins": tuple(args.get("origins", ()))}
    replicas, keys = given.pop("replicas", 1), given.pop("keys", False)
    loading = [given.pop(name, None) for name in ("model", "device", "dtype")]
    try:
        settings = Settings(**given)
    except TypeError as error:
        raise ReplicaError(
            f"{error}; known are replicas, model, device, dtype, keys and the fields of Settings"
        ) from None
    if settings.api_keys:
        raise ReplicaError("API keys do not travel through the cluster: set STRUCTDIFF_API_KEYS where replicas run")

    def build() -> FastAPI:
        return build_app(loading[0], loading[1], loading[2], settings, keys)

    @serve.ingress(build)
    class Replica:
        """One process of the service."""

        app: Any

        def check_health(self) -> None:
            if not self.app.state.service.worker.alive:
                raise RuntimeError("the model's thread has ended")

    deployed: Any = serve.deployment(
        name=NAME,
        num_replicas=replicas,
        # Above what the service queues itself: its own 429, with Retry-After, is the answer to too many.
        max_ongoing_requests=2 * (settings.max_batch + settings.max_queue),
        health_check_period_s=2,
        health_check_timeout_s=10,
        graceful_shutdown_timeout_s=60,
        ray_actor_options={"num_gpus": 1} if (loading[1] or "").startswith("cuda") else {},
    )(Replica)
    return deployed.bind()


def run_replicas(args: dict[str, Any], host: str, port: int, address: str | None = None) -> None:
    """Serve until SIGINT or SIGTERM, then finish what runs. ``address`` is that of a Ray cluster (None: one of this
    machine, made for the purpose). Raises `ReplicaError` where Ray is missing or does not start."""
    try:
        import ray
        from ray import serve
    except ImportError as error:
        raise ReplicaError("replicas need Ray Serve: pip install 'structdiff[ray]'") from error
    bound = application(args)  # a mistake in the arguments is told before anything starts
    try:
        # Serve gives each replica a core and waits for it; on a machine with fewer they share what there is.
        made = {} if address else {"num_cpus": max(os.cpu_count() or 1, args.get("replicas", 1) + 1)}
        ray.init(address=address or "local", log_to_driver=False, include_dashboard=False, **made)
        serve.start(http_options={"host": host, "port": port}, proxy_location="HeadOnly")
        serve.run(bound, name=NAME, logging_config={"log_level": "WARNING"})
    except Exception as error:  # Ray's own are many and share no base
        raise ReplicaError(f"the replicas did not start: {error}") from error
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    print(f"{args.get('replicas', 1)} replicas listen on http://{host}:{port} (process {os.getpid()})", flush=True)
    ended.wait()
    serve.delete(NAME)  # replicas answer what they have begun; then the proxy may go
    serve.shutdown()  # type: ignore[no-untyped-call]
    ray.shutdown()
