"""structdiff schema: what of a schema is enforced, and what is refused."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from structdiff.core.errors import StructdiffError

from ._models import kernels_compiled, ready_kernels
from ._shared import BAD_SCHEMA, USAGE, Failure, print_json, read_schema
from .groups import Group


@click.group(cls=Group)
def schema() -> None:
    """Look at schemas."""


@schema.command()
@click.argument("schemas", metavar="S...", nargs=-1, required=True)
@click.pass_context
def check(ctx: click.Context, schemas: tuple[str, ...]) -> None:
    """Say for each schema which keywords are refused, and where.

    S is a JSON Schema file, JSON in place, a class as package.module:Class, or fields such as 'name, age int'. Exits
    with 3 when a schema is invalid or asks for something that cannot be enforced, with 2 when one cannot be read.
    """
    if not kernels_compiled():
        ready_kernels()  # before the clock of the limits starts
    reports = [check_one(name) for name in schemas]
    for report in reports:
        for problem in report["problems"]:
            click.echo(f"{report['schema']}: {problem_line(**problem)}", err=True)
    codes = [report.pop("code") for report in reports]
    print_json(reports)
    ctx.exit(BAD_SCHEMA if BAD_SCHEMA in codes else max(codes))


def problem_line(pointer: str, keyword: str, reason: str) -> str:
    """One problem as a line; a reason without a keyword names its place itself.

    >>> problem_line("/properties/a", "uniqueItems", "items range over an infinite set")
    'at /properties/a: uniqueItems: items range over an infinite set'
    """
    return f"at {pointer or '/'}: {keyword}: {reason}" if keyword else reason


def check_one(name: str) -> dict[str, Any]:
    """The report on one schema as JSON data, with its exit code; one that cannot be read is a report too."""
    import structdiff
    from structdiff.frontends import read_source

    code = BAD_SCHEMA
    try:
        source = read_schema(name)
        if not isinstance(source, dict | bool):
            source = read_source(source).schema
        report = asdict(structdiff.check(source))
    except StructdiffError as error:
        report = {"problems": [{"pointer": getattr(error, "pointer", ""), "keyword": "", "reason": str(error)}]}
    except Failure as error:
        report, code = {"problems": [{"pointer": "", "keyword": "", "reason": error.message}]}, USAGE
    return {"schema": name, "ok": not report["problems"], "code": code if report["problems"] else 0, **report}
