"""structdiff serve: the OpenAI-compatible service."""

from __future__ import annotations

import errno
import logging
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
@click.option(
    "--deadline",
    type=click.FloatRange(0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds for an answer.",
)  # fmt: skip
@click.option(
    "--max-body",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="MiB of a request; images need more.",
)  # fmt: skip
@click.option("--replicas", type=click.IntRange(1), help="Processes with a model each, on Ray Serve.")
@click.option("--ray-address", metavar="A", help="A Ray cluster for the replicas.  [default: this machine]")
@click.option("--origin", "origins", multiple=True, help="A web origin that may call the service; repeat it.")
@click.option("--allow-host", "hosts", multiple=True, help="A host name to answer to; repeat it.  [default: any]")
def serve(
    host: str,
    port: int,
    model_name: str | None,
    device: str | None,
    dtype: str | None,
    max_batch: int,
    max_queue: int,
    deadline: float,
    max_body: float,
    replicas: int | None,
    ray_address: str | None,
    origins: tuple[str, ...],
    hosts: tuple[str, ...],
) -> None:
    """Serve structured outputs over HTTP, as OpenAI's clients ask for them.

    API keys come from the environment: STRUCTDIFF_API_KEYS, separated by commas. Without it no key is asked for.
    """
    try:
        import uvicorn

        from structdiff.server.app import Service
        from structdiff.server.connections import config, listener
        from structdiff.server.replicas import ReplicaError, run_replicas
    except ImportError as error:
        raise Failure(f"the service needs {error.name}: pip install 'structdiff[server]'", USAGE) from error
    from structdiff.server.settings import Settings, keys_of_environment

    check(None, model_name, device, dtype, None)
    settings = Settings(
        max_batch=max_batch, max_queue=max_queue, deadline=deadline, max_body=max(1, round(max_body * 2**20)),
        origins=tuple(origins), hosts=tuple(hosts), api_keys=keys_of_environment(),
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
    try:
        listening = listener(host, port)  # a port in use is told before the model is loaded
    except OSError as error:
        hint = "; --port picks another" if error.errno == errno.EADDRINUSE else ""
        raise Failure(f"cannot listen on {host} port {port}: {error.strerror or error}{hint}", MACHINE) from error
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("structdiff.access").setLevel(logging.INFO)
    service = Service(load_model(model_name, device, dtype), settings)
    uvicorn.Server(config(service.app, settings, host=host, port=port)).run(sockets=[listening])
