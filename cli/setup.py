"""structdiff setup: what a first use would have to wait for."""

from __future__ import annotations

import time

import click

from ._models import kernels_compiled, load_model


@click.command()
def setup() -> None:
    """Compile the kernels and try the embedded model, so that no first use has to.

    The compiled kernels lie beside the package, or in the user's cache where that cannot be written.
    """
    began, there = time.monotonic(), kernels_compiled()
    model = load_model(None, None, None)
    model("Ann is 31.", {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]})
    click.echo(f"ready{'' if there else ', kernels compiled'}: {time.monotonic() - began:.1f} s", err=True)
