"""structdiff serve: the OpenAI-compatible service."""

from __future__ import annotations

import errno
import socket
from dataclasses import asdict, replace

import click

from ._models import check, load_model, model_options
from ._shared import MACHINE, USAGE, Failure


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="The port; 0 picks a free one."
)
@model_options
@click.option("--max-batch", type=click.IntRange(1), default=16, show_default=True, help="Rows that share a step.")
@click.option("--max-queue", type=click.IntRange(0), default=64, show_default=True, help="Rows that may wait.")
@click.option("--deadline", type=float, default=300.0, show_default=True, help="Seconds for an answer.")
@click.option("--replicas", type=click.IntRange(1), help="Processes with a model each, on Ray Serve.")
@click.option("--ray-address", metavar="A", help="A Ray cluster for the replicas.  [default: this machine]")
@click.option("--origin", "origins", multiple=True, help="A web origin that may call the service; repeat it.")
def serve(
    host: str,
    port: int,
    model_name: str | None,
    device: str | None,
    dtype: str | None,
    max_batch: int,
    max_queue: int,
    deadline: float,
    replicas: int | None,
    ray_address: str | None,
    origins: tuple[str, ...],
) -> None:
    """Serve structured outputs over HTTP, as OpenAI's clients ask for them.

    API keys come from the environment: STRUCTDIFF_API_KEYS, separated by commas. Without it no key is asked for.
    """
    try:
        import uvicorn

        from structdiff.server.app import Service
        from structdiff.server.replicas import ReplicaError, run_replicas
    except ImportError as error:
        raise Failure(f"the service needs {error.name}: pip install 'structdiff[server]'", USAGE) from error
    from structdiff.server.settings import Settings, keys_of_environment

    check(None, model_name, device, dtype, None)
    check_port(host, port)
    settings = Settings(
        max_batch=max_batch, max_queue=max_queue, deadline=deadline, origins=tuple(origins),
        api_keys=keys_of_environment(),
    )  # fmt: skip
    if ray_address is not None and replicas is None:
        raise Failure("--ray-address is where replicas run: give --replicas too", USAGE)
    if replicas is not None:
        loading = {"model": model_name, "device": device, "dtype": dtype, "keys": bool(settings.api_keys)}
        args = asdict(replace(settings, api_keys=())) | loading | {"replicas": replicas}
        try:
            run_replicas(args, host, port, ray_address)
        except ReplicaError as error:
            raise Failure(str(error), USAGE) from error
        return
    service = Service(load_model(model_name, device, dtype), settings)
    uvicorn.run(service.app, host=host, port=port, log_level="info", access_log=False, timeout_graceful_shutdown=60)


def check_port(host: str, port: int) -> None:
    """Raises `Failure` where nothing can listen there, before a model is loaded."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(address)
    except OSError as error:
        hint = "; --port picks another" if error.errno == errno.EADDRINUSE else ""
        raise Failure(f"cannot listen on {host} port {port}: {error.strerror}{hint}", MACHINE) from error
