"""structdiff schema: what of a schema is enforced, and what is refused."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from structdiff.core.errors import InvalidSchema

from ._shared import BAD_SCHEMA, print_json, read_schema


@click.group()
def schema() -> None:
    """Look at schemas."""


@schema.command()
@click.argument("schemas", metavar="S...", nargs=-1, required=True)
@click.pass_context
def check(ctx: click.Context, schemas: tuple[str, ...]) -> None:
    """Say for each schema which keywords are refused, and where.

    S is a JSON Schema file, JSON in place, or a class as package.module:Class. Exits with 3 when a schema is invalid or
    asks for something that cannot be enforced.
    """
    reports = [check_one(name) for name in schemas]
    for report in reports:
        for problem in report["problems"]:
            click.echo(f"{report['schema']}: {problem_line(**problem)}", err=True)
    print_json(reports)
    ctx.exit(0 if all(report["ok"] for report in reports) else BAD_SCHEMA)


def problem_line(pointer: str, keyword: str, reason: str) -> str:
    """One problem as a line; a reason without a keyword names its place itself.

    >>> problem_line("/properties/a", "uniqueItems", "items range over an infinite set")
    'at /properties/a: uniqueItems: items range over an infinite set'
    """
    return f"at {pointer or '/'}: {keyword}: {reason}" if keyword else reason


def check_one(name: str) -> dict[str, Any]:
    """The report on one schema as JSON data; a schema that cannot be read as one is a report with one problem."""
    import structdiff

    try:
        source = read_schema(name)
        if not isinstance(source, dict | bool):
            from pydantic import TypeAdapter

            source = TypeAdapter(source).json_schema()
        report = asdict(structdiff.check(source))
    except InvalidSchema as error:
        report = {"problems": [{"pointer": error.pointer, "keyword": "", "reason": str(error)}]}
    return {"schema": name, "ok": not report["problems"], **report}
