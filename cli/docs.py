"""The generated part of docs/cli.md: ``python -m structdiff_cli.docs docs/cli.md`` writes it anew."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from .main import cli

MARK = "<!-- generated below: python -m structdiff_cli.docs docs/cli.md -->"


def commands(command: click.Command = cli, parent: click.Context | None = None) -> Iterator[click.Context]:
    """A context for every command, groups before what is in them."""
    name = "structdiff" if parent is None else command.name
    context = click.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100)
    context.help_option_names = ["-h", "--help"]
    yield context
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from commands(found, context)


def help_texts() -> str:
    """The help of every command as Markdown."""
    return "\n".join(f"## {ctx.command_path}\n\n```\n{ctx.get_help()}\n```\n" for ctx in commands())


def rewrite(document: str) -> str:
    """``document`` with everything below the mark generated anew."""
    return f"{document.split(MARK)[0]}{MARK}\n\n{help_texts()}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(rewrite(path.read_text(encoding="utf-8")), encoding="utf-8")
