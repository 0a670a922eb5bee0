"""Groups of commands."""

from __future__ import annotations

import click

from ._errors import near


class Group(click.Group):
    """A group that says which command was meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and not name.startswith("-") and self.get_command(ctx, name) is None:
            known = self.list_commands(ctx)
            ctx.fail(f"there is no command {name!r}{near(name, known) or '; there are ' + ', '.join(known)}")
        return super().resolve_command(ctx, args)
