"""structdiff model: what a model is."""

from __future__ import annotations

import click

from ._shared import load_model, model_options, print_json


@click.group()
def model() -> None:
    """Look at models."""


@model.command()
@click.argument("name", metavar="[M]", required=False)
@model_options
def info(name: str | None, device: str | None, dtype: str | None) -> None:
    """Print a model's size, canvas, vocabulary and context as JSON.

    M is a folder or a hub id; without it, the embedded model.
    """
    print_json(load_model(name, device, dtype).info())
