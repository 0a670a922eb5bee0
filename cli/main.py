"""The command group ``structdiff``: subcommands are imported when they are used, and errors become one line."""

from __future__ import annotations

import importlib
import os
import warnings
from typing import Any

import click

# Read when torch is imported: threads that wait in a loop take the core from those they wait for.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

COMMANDS = {
    "generate": "generate:generate",
    "extract": "extract:extract",
    "plan": "plan:plan",
    "schema": "schema:schema",
    "model": "model:model",
    "puzzle": "puzzle:puzzle",
    "serve": "serve:serve",
}
"""Command name -> module in this package and the name of the click command in it."""


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is asked for, and turns every structdiff error into an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        return getattr(importlib.import_module(f".{module}", __package__), name)

    def invoke(self, ctx: click.Context) -> Any:
        from structdiff.core.errors import StructdiffError
        from structdiff.core.restrictions import RestrictionWarning

        from ._shared import Failure

        warnings.simplefilter("ignore", RestrictionWarning)  # the commands say it in a line of their own
        try:
            return super().invoke(ctx)
        except StructdiffError as error:
            raise Failure.of(error) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="structdiff")
def cli() -> None:
    """Exact structured output for diffusion language models.

    JSON goes to standard output, everything else to standard error. Exit codes: 0 done, 1 generation failed, 2 usage,
    3 schema invalid or unsupported, 4 budget too small.
    """
