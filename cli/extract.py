"""structdiff extract: a file of texts in, a row of JSON for each of them out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._shared import Asked, Failure, constraint_options, load_model, model_options, tell_restrictions

if TYPE_CHECKING:
    from structdiff.pipelines.extractor import Factory
    from structdiff.pipelines.records import Record

INTERRUPTED = 130


@click.command()
@click.argument("texts", type=click.Path(path_type=Path), metavar="IN")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="OUT",
    help="The .jsonl or .parquet to write.",
)
@constraint_options
@click.option("--text-field", default="text", show_default=True, help="Where a record's text is.")
@click.option("--id-field", help="Where a record's id is.  [default: the number of the line or row]")
@click.option("--resume", is_flag=True, help="Go on after a kill; without a run to go on with, begin.")
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True, help="Texts done together.")
@click.option(
    "--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="Where the models run."
)
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Models at a time on Ray.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N texts.")
@click.option("--sample", type=click.IntRange(min=1), help="Only N texts, drawn with --seed.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Each answer's budget.  [default: as in generate]")
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    help="Leave out optional fields less probable than this, name required ones in a column of problems.",
)
@click.option(
    "--long-text",
    type=click.Choice(["refuse", "split"]),
    default="refuse",
    show_default=True,
    help="What becomes of texts beyond the context: an error, or pieces whose results are merged.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same rows.")
@click.option("--model", "model_name", metavar="M", help="A folder or a hub id.  [default: the embedded model]")
@model_options
def extract(
    texts: Path,
    output: Path,
    asked: Asked,
    text_field: str,
    id_field: str | None,
    resume: bool,
    batch_size: int,
    engine: str,
    workers: int,
    limit: int | None,
    sample: int | None,
    max_tokens: int | None,
    min_confidence: float | None,
    long_text: str,
    seed: int,
    model_name: str | None,
    device: str | None,
    dtype: str | None,
) -> None:
    """Fill a schema from every text of IN, a .jsonl, .csv or .parquet file or a folder of .txt files.

    OUT, a .jsonl or .parquet file, gets a row for each text, in their order. A text that fails gives a row {"id",
    "error"} and stops no other; the exit code is then still 0. OUT appears when all rows are done; until then they
    are in OUT.partial, where --resume finds them. --engine ray uses the cluster of RAY_ADDRESS, or makes one here;
    the rows are the same.
    """
    from structdiff.pipelines import parquet
    from structdiff.pipelines.extractor import Extractor, Factory
    from structdiff.pipelines.files import Journal, chosen, run
    from structdiff.pipelines.records import read_records

    source = asked.source
    if output.suffix not in (".jsonl", ".parquet"):
        raise click.UsageError(f"{output} has to end in .jsonl or .parquet")
    if resume and output.exists() and not output.with_name(output.name + ".partial").exists():
        click.echo(f"{output} is finished already; nothing to do", err=True)
        return
    places, count = chosen(lambda: read_records(texts, text_field, id_field), limit, sample, seed)
    model = load_model(model_name, device, dtype)
    settings: dict[str, Any] = {"max_tokens": max_tokens, "seed": seed, "min_confidence": min_confidence}
    settings["long_text"] = long_text
    extractor = Extractor(model, source, **settings, **asked.options)
    tell_restrictions(extractor.constraint)
    detail = extractor.constraint.source
    header: dict[str, Any] = {
        "input": str(texts.resolve()),
        "records": count,
        "schema": detail.schema if detail.traits.json else detail.key,
        "model": model.name,
        "weights": model.denoiser.fingerprint,
        "batch size": batch_size,
    }
    header |= {"text field": text_field, "id field": id_field, "limit": limit, "sample": sample}
    header |= settings | {"whitespace": asked.whitespace, "device": device, "dtype": dtype}
    columns = (extractor.schema, extractor.columns, min_confidence is not None)
    types = parquet.column_types(*columns) if output.suffix == ".parquet" else {}
    journal = Journal(output, header, batch_size, resume)

    def work(chunks: Iterator[list[Record]]) -> Iterator[list[dict[str, Any]]]:
        if engine == "ray":
            options = settings | asked.options
            done = _on_ray(Factory(source, model_name, device, dtype, options=options), chunks, workers)
        else:
            done = map(extractor, chunks)
        return ([parquet.fit(row, types) for row in rows] for rows in done)

    try:
        with _Progress(len(places)) as progress:
            run(lambda: read_records(texts, text_field, id_field), places, work, journal, batch_size, progress)
        journal.finish(partial(parquet.write_rows, types=types) if types else None)
    except KeyboardInterrupt:
        raise Failure(
            f"interrupted; the finished rows are in {journal.path}, go on with --resume", INTERRUPTED
        ) from None
    click.echo(f"{len(places)} rows in {output}, {progress.errors} of this run's are errors", err=True)


def _on_ray(factory: Factory, chunks: Iterator[list[Record]], workers: int) -> Iterator[list[dict[str, Any]]]:
    import torch

    from structdiff.pipelines.ray import extract_chunks

    return extract_chunks(replace(factory, threads=torch.get_num_threads()), chunks, workers=workers)


class _Progress:
    """Rows done, their rate and the time left, on standard error where that is a terminal."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.errors, self.began = 0, False
        columns = [BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn()]
        self.bar = Progress(*columns, console=Console(stderr=True), disable=not Console(stderr=True).is_terminal)
        self.task = self.bar.add_task("", total=total, note="")

    def __enter__(self) -> _Progress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def __call__(self, rows: int, errors: int) -> None:
        if not self.began:
            self.began = True
            self.bar.reset(self.task, completed=rows)
        speed, self.errors = self.bar.tasks[0].speed, errors
        self.bar.update(self.task, completed=rows, note=f"{speed or 0:.1f} rows/s, {errors} errors")
