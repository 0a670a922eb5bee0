"""structdiff serve: the OpenAI-compatible service."""

from __future__ import annotations

import os

import click

from ._shared import Failure, load_model, model_options


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="The port; 0 picks a free one."
)
@click.option("--model", "model_name", metavar="M", help="A folder or a hub id.  [default: the embedded model]")
@model_options
@click.option("--max-batch", type=click.IntRange(1), default=16, show_default=True, help="Rows that share a step.")
@click.option("--max-queue", type=click.IntRange(0), default=64, show_default=True, help="Rows that may wait.")
@click.option("--deadline", type=float, default=300.0, show_default=True, help="Seconds for an answer.")
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
    origins: tuple[str, ...],
) -> None:
    """Serve structured outputs over HTTP, as OpenAI's clients ask for them.

    API keys come from the environment: STRUCTDIFF_API_KEYS, separated by commas. Without it no key is asked for.
    """
    try:
        import uvicorn

        from structdiff.server.app import Service
    except ImportError as error:
        raise Failure(f"the service needs {error.name}: pip install 'structdiff[server]'", 2) from error
    from structdiff.server.settings import Settings

    keys = tuple(key.strip() for key in os.environ.get("STRUCTDIFF_API_KEYS", "").split(",") if key.strip())
    settings = Settings(
        max_batch=max_batch, max_queue=max_queue, deadline=deadline, api_keys=keys, origins=tuple(origins)
    )
    service = Service(load_model(model_name, device, dtype), settings)
    uvicorn.run(service.app, host=host, port=port, log_level="info", access_log=False, timeout_graceful_shutdown=60)
