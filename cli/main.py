"""The command group ``structdiff``: subcommands are imported when they are used, and errors become one line."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import click

from ._errors import TABLE, reader_may_leave, report
from .groups import Group

# Read when torch is imported: threads that wait in a loop take the core from those they wait for.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

COMMANDS = {
    "generate": ("generate:generate", "Fill a schema from a text and print the JSON."),
    "extract": ("extract:extract", "Fill a schema from every text of a file and write a row for each."),
    "view": ("view:view", "Show the texts and answers of extract as one HTML page."),
    "plan": ("plan:plan", "Show what a constraint fixes before denoising starts."),
    "schema": ("schema:schema", "Look at schemas."),
    "model": ("model:model", "Look at models."),
    "puzzle": ("puzzle:puzzle", "Make puzzles with one solution, solve them, compare the arms."),
    "serve": ("serve:serve", "Serve structured outputs over HTTP."),
    "setup": ("setup:setup", "Prepare what a first use would have to wait for."),
}
"""Command name -> where the click command is in this package, and what it does in a line."""


class LazyGroup(Group):
    """A group that imports a subcommand when it is asked for, and turns every error into a line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(f".{module}", __package__), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with a line each; none of them is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in COMMANDS.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        given = list(sys.argv[1:] if args is None else args)
        end = given.index("--") if "--" in given else len(given)
        debug = "--debug" in given[:end] or bool(os.environ.get("STRUCTDIFF_DEBUG"))
        given = [one for one in given[:end] if one != "--debug"] + given[end:]
        try:
            code = super().main(given, prog_name or "structdiff", complete_var, standalone_mode=False, **extra)
            if sys.stdout is not None:
                sys.stdout.flush()
        except Exception as error:
            code = report(error, debug)
        except KeyboardInterrupt as error:
            code = report(error, debug)
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else 0)
        return code

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with reader_may_leave():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        from structdiff.core.restrictions import RestrictionWarning

        with warnings.catch_warnings(), reader_may_leave():
            warnings.simplefilter("ignore", RestrictionWarning)  # the commands say it in a line of their own
            warnings.showwarning = _Notes(warnings.showwarning)
            return super().invoke(ctx)


class _Notes:
    """Shows the first warning of a long text as a note, and all other warnings as before."""

    def __init__(self, show: Callable[..., None]) -> None:
        self.show, self.told = show, False

    def __call__(self, message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if category.__name__ != "LongTextWarning":
            self.show(message, category, *rest, **more)
        elif not self.told:
            self.told = True
            click.echo(f"note: {message}".replace('long_text="split"', "--long-text split"), err=True)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=f"""Exact structured output for diffusion language models.

    JSON goes to standard output, everything else to standard error. An error is one line; --debug, anywhere in the
    command line, shows where it comes from.

    {TABLE}""",
)
@click.version_option(None, "-V", "--version", package_name="structdiff", prog_name="structdiff")
def cli() -> None:
    pass
