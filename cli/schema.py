"""structdiff schema: what of a schema is enforced, and what is refused."""

from __future__ import annotations

from typing import Any

import click

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
            at, keyword, reason = problem["pointer"] or "/", problem["keyword"], problem["reason"]
            click.echo(f"{report['schema']}: at {at}: {f'{keyword}: ' if keyword else ''}{reason}", err=True)
    print_json(reports)
    ctx.exit(0 if all(report["ok"] for report in reports) else BAD_SCHEMA)


def check_one(name: str) -> dict[str, Any]:
    """The report on one schema as JSON data; a schema that cannot be read as one is a report with one problem."""
    import structdiff
    from structdiff.errors import InvalidSchema

    try:
        report = structdiff.check(read_schema(name))
    except InvalidSchema as error:
        return {
            "schema": name,
            "ok": False,
            "problems": [{"pointer": error.pointer, "keyword": "", "reason": str(error)}],
        }
    problems = [
        {"pointer": problem.pointer, "keyword": problem.keyword, "reason": problem.reason}
        for problem in report.problems
    ]
    return {"schema": name, "ok": report.ok, "problems": problems}
