"""structdiff extract: a file of texts in, a row of JSON for each of them out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from ._models import check, load_model, model_options
from ._shared import (
    GENERATION_FAILED,
    INTERRUPTED,
    SOME_ERRORS,
    Asked,
    Failure,
    constraint_options,
    encoding_option,
    instruction_options,
    long_text_option,
    tell_restrictions,
)

if TYPE_CHECKING:
    from structdiff.pipelines.answers import Answer
    from structdiff.pipelines.extractor import Factory
    from structdiff.pipelines.journal import Journal
    from structdiff.pipelines.records import Record
    from structdiff.pipelines.run import Chosen, Printed
    from structdiff.pipelines.targets import Target

EVERY = 30.0
"""Seconds between two lines of progress where standard error is no terminal."""


@dataclass(frozen=True)
class Wanted:
    """What a command line asks of a run, beside the constraint and the options of an answer."""

    name: str
    output: str
    text_field: str
    id_field: str | None
    encoding: str
    keep: tuple[str, ...] | None
    resume: bool
    retry: bool
    max_errors: int | None
    batch_size: int
    engine: str
    workers: int
    limit: int | None
    sample: int | None
    seed: int
    model: str | None
    device: str | None
    dtype: str | None


@click.command()
@click.argument("name", metavar="IN")
@click.option("-o", "--output", required=True, metavar="OUT", help="The file to write, or - for standard output.")
@constraint_options
@click.option("--text-field", default="text", show_default=True, help="Where a record's text is.")
@click.option("--id-field", help="Where a record's id is.  [default: the number of the line or row]")
@click.option("--keep", metavar="NAMES", multiple=True, help="Columns of IN to keep, by commas.  [default: all]")
@click.option("--no-keep", is_flag=True, help="Keep no column of IN.")
@click.option("--confidence", is_flag=True, help="A column of how sure the model is of each field.")
@click.option("--spans", is_flag=True, help="A column of where in its text each value stands, found by search.")
@click.option("--resume", is_flag=True, help="Go on with the rows that are missing, after a kill or with new texts.")
@click.option("--retry-errors", "retry", is_flag=True, help="As --resume, and do the rows that are errors again.")
@click.option("--max-errors", type=click.IntRange(min=0), help="Stop when more rows than this are errors.")
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
@long_text_option
@instruction_options
@encoding_option
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same rows.")
@model_options
def extract(
    asked: Asked, name: str, keep: tuple[str, ...], no_keep: bool, model_name: str | None,
    confidence: bool, spans: bool, max_tokens: int | None, min_confidence: float | None, long_text: str,
    instructions: str, examples: Any, retries: int, seed: int, **rest: Any,
) -> None:  # fmt: skip
    """Fill a schema from every text of IN and write a row for each.

    IN is a .jsonl, .csv, .tsv or .parquet file, a folder of .txt files, or - for JSON lines on standard input. OUT is
    a .jsonl, .csv, .tsv or .parquet file, or - for JSON lines. All but Parquet may end in .gz, and both may be remote
    paths such as s3://bucket/texts.jsonl.

    A row has an id, the columns of IN, and those of the answer. A text that fails gives a row with error, error_type
    and, where a validator rejected an output, raw; it stops no other. The exit code is 0 when every row has a value,
    5 when some are errors.

    OUT appears when all rows are done; until then they are in OUT.partial, where --resume finds them. What OUT was
    made from is in OUT.run.json: --resume goes on where texts were added to IN or --limit was raised, and refuses
    another schema, model or option. --engine ray uses the cluster of RAY_ADDRESS, or makes one here.
    """
    named = [one.strip() for part in keep for one in part.split(",") if one.strip()]
    if no_keep and named:
        raise click.UsageError("--keep names columns to keep and --no-keep keeps none; give one of them")
    wanted = Wanted(
        name=name, model=model_name, seed=seed, keep=() if no_keep else tuple(named) or None, **rest
    )  # fmt: skip
    settings = {
        "max_tokens": max_tokens, "seed": seed, "min_confidence": min_confidence, "long_text": long_text,
        "instructions": instructions, "examples": examples,
        "retries": retries, "confidence": confidence, "spans": spans,
    }  # fmt: skip
    _run(asked, wanted, settings)


def _run(asked: Asked, wanted: Wanted, settings: dict[str, Any]) -> None:
    from structdiff.pipelines import run as runs
    from structdiff.pipelines.targets import check_target

    resume = wanted.resume or wanted.retry
    check_target(wanted.output)
    runs.check_output(wanted.output, resume)
    _ = asked.source
    chosen = _chosen(wanted)
    check(asked, wanted.model, wanted.device, wanted.dtype, settings["max_tokens"])
    from structdiff.pipelines.extractor import Extractor, Factory
    from structdiff.place import chosen_model

    model = load_model(wanted.model, wanted.device, wanted.dtype)
    options = settings | asked.options | {"keep": wanted.keep}
    extractor = Extractor(model, asked.source, **options)
    tell_restrictions(extractor.constraint)
    target = _target(wanted, extractor, asked.source, chosen)
    header = _header(wanted, asked, settings, extractor)
    rows = runs.Printed() if target.is_standard else runs.open_rows(target, chosen, header)
    factory = Factory(asked.source, chosen_model(wanted.model)[0], wanted.device, wanted.dtype, options=options)

    def work(chunks: Iterator[list[Record]]) -> Iterator[list[Answer]]:
        done = _on_ray(factory, chunks, wanted.workers) if wanted.engine == "ray" else map(extractor, chunks)
        return ([target.fit(answer) for answer in answers] for answers in done)

    progress = Progress()
    current = not any(runs.missing(rows, len(chosen), wanted.batch_size, wanted.retry))
    try:
        with progress:
            runs.run(
                chosen, rows, work, wanted.batch_size,
                retry=wanted.retry, max_errors=wanted.max_errors, progress=progress,
            )  # fmt: skip
        if isinstance(rows, runs.Printed):
            pass
        elif current and rows.reopened:
            rows.remove()
        else:
            runs.finish(rows, target, header, extractor.columns.kept(dict.fromkeys(chosen.columns)))
    except KeyboardInterrupt:
        raise Failure(f"interrupted; {_where(rows)}", INTERRUPTED) from None
    except runs.TooManyErrors as error:
        raise Failure(f"stopped: {error}; {_where(rows)}", GENERATION_FAILED) from None
    where = "standard output" if target.is_standard else target.name
    click.echo(progress.summary(rows, len(chosen), where, model.name), err=True)
    if rows.failed:
        raise click.exceptions.Exit(SOME_ERRORS)


def _where(rows: Journal | Printed) -> str:
    path = getattr(rows, "path", None)
    return f"the finished rows are in {path}, go on with --resume" if path else "the finished rows are printed"


def _chosen(wanted: Wanted) -> Chosen:
    """The texts to do. Raises where the input cannot be read or a column to keep is not there."""
    from structdiff.pipelines.places import STANDARD, InputError, spooled
    from structdiff.pipelines.records import Table
    from structdiff.pipelines.run import Chosen

    name = spooled() if wanted.name == STANDARD else wanted.name
    table = Table(name, wanted.text_field, wanted.id_field, wanted.encoding)
    chosen = Chosen.of(table, wanted.limit, wanted.sample, wanted.seed)
    for one in wanted.keep or ():
        if one not in chosen.columns and one != wanted.id_field:
            raise InputError(f"no record has the column {one!r} of --keep; there are {', '.join(chosen.columns)}")
    return chosen


def _target(wanted: Wanted, extractor: Any, source: Any, chosen: Chosen) -> Target:
    from structdiff.pipelines.parquet import fields_of
    from structdiff.pipelines.places import ending
    from structdiff.pipelines.targets import Target
    from structdiff.results.arrow_types import typed_schema

    both = ending(wanted.output)[0] == ending(wanted.name)[0] == ".parquet"
    schema = typed_schema(source, extractor.schema)
    target = Target(wanted.output, extractor.columns, schema, fields_of(wanted.name) if both else None)
    for name in chosen.columns:
        kept = target.columns.kept({name: None})
        if kept and name not in kept:
            click.echo(f"note: the column {name} of the input is called {next(iter(kept))} in the rows", err=True)
    return target


def _header(wanted: Wanted, asked: Asked, settings: dict[str, Any], extractor: Any) -> dict[str, Any]:
    """What decides the rows of a run, by the names under which a person knows it."""
    source, model = extractor.constraint.source, extractor.model
    return {
        "schema": source.schema if source.traits.json else source.key,
        "model": model.name,
        "weights": model.denoiser.fingerprint,
        "batch size": wanted.batch_size,
        "text field": wanted.text_field,
        "id field": wanted.id_field,
        "sample": wanted.sample,
        "columns to keep": wanted.keep,
        "whitespace": asked.whitespace,
        **({"verbatim": True} if asked.verbatim else {}),
        "device": wanted.device,
        "dtype": wanted.dtype,
        **{name.replace("_", " "): value for name, value in settings.items()},
    }


def _on_ray(factory: Factory, chunks: Iterator[list[Record]], workers: int) -> Iterator[list[Answer]]:
    import torch

    from structdiff.pipelines.ray import extract_chunks

    return extract_chunks(replace(factory, threads=torch.get_num_threads()), chunks, workers=workers)


class Progress:
    """Rows done, their rate and the time left on standard error: a bar on a terminal, else a line every 30 seconds."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = [BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn()]
        self.terminal = Console(stderr=True).is_terminal
        self.bar = Bar(*columns, console=Console(stderr=True), disable=not self.terminal)
        self.task = self.bar.add_task("", total=None, note="")
        self.began = self.told = time.monotonic()
        self.done = 0

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def __call__(self, done: int, total: int, errors: int) -> None:
        now, self.done = time.monotonic(), done
        if done == 0:
            self.began = self.told = now
        rate = done / max(now - self.began, 1e-9)
        self.bar.update(self.task, completed=done, total=total, note=f"{rate:.1f} rows/s, {errors} errors")
        if not self.terminal and now - self.told >= EVERY:
            self.told = now
            left = f"{(total - done) / rate / 60:.0f} min left" if rate else ""
            click.echo(f"{done} of {total} rows, {errors} errors, {rate:.1f} rows/s, {left}", err=True)

    def summary(self, rows: Any, count: int, where: str, model: str) -> str:
        """What a run did, in one line."""
        kinds = ", ".join(f"{kind} {number}" for kind, number in rows.errors().most_common())
        errors = f"{len(rows.failed)} errors ({kinds})" if rows.failed else "no errors"
        if not self.done:
            return f"{where} is up to date: {count} rows, {errors}"
        rate = self.done / max(time.monotonic() - self.began, 1e-9)
        return (
            f"{count} rows in {where}: {count - len(rows.failed)} values, {errors}; {self.done} done now, "
            f"{rate:.1f} rows/s; {rows.tokens} tokens, {rows.steps} model calls by {model}"
        )
