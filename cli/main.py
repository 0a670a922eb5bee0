"""The command group ``structdiff``."""

from __future__ import annotations

import click


@click.group()
@click.version_option(package_name="structdiff")
def cli() -> None:
    """Exact structured output for diffusion language models."""
