"""structdiff model: what a model is."""

from __future__ import annotations

import click

from ._models import check, device_options, load_model
from ._shared import print_json
from .groups import Group


@click.group(cls=Group)
def model() -> None:
    """Look at models."""


@model.command()
@click.argument("name", metavar="[M]", required=False)
@device_options
def info(name: str | None, device: str | None, dtype: str | None) -> None:
    """Print a model's size, canvas, vocabulary and context as JSON.

    M is qwen-0.5b, qwen, smollm2, tiny, a folder or a hub id; without it, the model that answers by default.
    """
    check(None, name, device, dtype, None)
    print_json(load_model(name, device, dtype).info())
