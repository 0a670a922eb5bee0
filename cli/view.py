"""structdiff view: the texts and answers of a run as a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ._models import check_writable
from ._shared import USAGE, Failure


@click.command()
@click.argument("rows", metavar="ROWS")
@click.option("-o", "--output", metavar="HTML", help="The page to write.  [default: ROWS with the ending .html]")
@click.option("--text-field", default="text", show_default=True, help="The column that holds the text.")
@click.option("--keep", metavar="NAMES", multiple=True, help="Columns that are no part of the answer, by commas.")
@click.option("--title", help="What the page is called.  [default: the name of ROWS]")
def view(rows: str, output: str | None, text_field: str, keep: tuple[str, ...], title: str | None) -> None:
    """Show the texts and answers of extract as one HTML page.

    ROWS is what extract wrote, in any of its formats. In each text the values are marked where they stand: by the
    column spans where --spans wrote one, else by search. With --confidence the marks are shaded by it. The page can
    show the rows with low confidence alone, the errors, or the values that are not in their text; it is one file and
    loads nothing. Which columns are the input's is read from ROWS.run.json.
    """
    from structdiff.pipelines.columns import Columns
    from structdiff.pipelines.places import ending, exists, local_beside
    from structdiff.pipelines.targets import Target
    from structdiff.view.evidence_html import write_evidence

    if not exists(rows):
        raise Failure(f"cannot read {rows}: there is no such file", USAGE)
    page = output or str(local_beside(rows, ".html"))
    check_writable(page)
    target = Target(rows, Columns(None, (), None))
    known = {one.strip() for part in keep for one in part.split(",") if one.strip()} | _inputs(rows)
    table = ending(rows)[0] in (".csv", ".tsv")
    read = (_typed(row) if table else row for row in target.read())
    try:
        count = write_evidence(page, read, text_field=text_field, keep=known, title=title or Path(rows).name)
    except ValueError as error:
        raise Failure(f"{rows} holds no rows of extract: {error}", USAGE) from error
    click.echo(f"{count} rows in {page}", err=True)


def _inputs(rows: str) -> set[str]:
    """The columns of the input in a file of rows, as its manifest says."""
    from structdiff.pipelines.run import MANIFEST

    path = Path(rows + MANIFEST)
    if not path.is_file():
        return set()
    return set(json.loads(path.read_text(encoding="utf-8")).get("columns of the input", ()))


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    """A row of CSV with the cells that are JSON read as such."""
    found = {}
    for name, value in row.items():
        found[name] = json.loads(value) if name in ("spans", "confidence", "problems") else value
    return found
