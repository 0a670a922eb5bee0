"""structdiff generate: a text and a constraint in, JSON out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from structdiff.core.images import is_image

from ._models import check, check_writable, load_model, model_options
from ._shared import (
    Asked,
    Failure,
    constraint_options,
    encoding_option,
    instruction_options,
    long_text_option,
    print_json,
    read_text,
    tell_restrictions,
)


@click.command()
@click.argument("text_file", metavar="[TEXT_FILE|-]", default="-")
@constraint_options
@model_options
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    help="The answer's budget.  [default: 256, or the least that the constraint needs]",
)
@click.option("--pin", "pins", metavar="NAME=JSON", multiple=True, help="A value that is given; repeat it.")
@instruction_options
@long_text_option
@encoding_option
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same answer.")
@click.option("--watch", is_flag=True, help="Show the canvas settling on standard error.")
@click.option(
    "--trace",
    type=click.Path(dir_okay=False),
    help="Write the denoising steps: FILE.html to step through, FILE.svg as an animation.",
)
@click.option(
    "--full", is_flag=True, help="Print one JSON object with the prompt, schema, text, usage, fields and spans too."
)
def generate(
    text_file: str, asked: Asked, model_name: str | None, device: str | None, dtype: str | None,
    max_tokens: int | None, pins: tuple[str, ...], instructions: str, examples: list[tuple[str, Any]], encoding: str,
    long_text: str,
    retries: int,
    seed: int, watch: bool, trace: str | None, full: bool,
) -> None:  # fmt: skip
    """Fill a schema from a text and print the JSON.

    The text comes from TEXT_FILE or from standard input. The answer is valid against the schema, or the command fails
    and says why. A model that reads images takes the file of one.

    \b
    structdiff generate schemas/contact.txt --schema schemas/contact.json
    structdiff generate mail.txt --schema 'name, age int' --many
    echo "The app crashes." | structdiff generate --choice bug --choice question
    """
    source, pinned = asked.source, _pinned(pins)
    if trace:
        check_writable(trace)
        if Path(trace).suffix.lower() not in (".html", ".htm", ".svg"):
            raise click.UsageError(f"--trace writes FILE.html or FILE.svg, not {trace!r}")
    image = Path(text_file) if is_image(Path(text_file)) else None
    text = read_text(text_file, encoding) if image is None else text_file
    if not text.strip() and asked.named is None:  # what another front end reads may need no text
        raise Failure("the text is empty; there is nothing to extract from", 1)
    check(asked, model_name, device, dtype, max_tokens)
    model = load_model(model_name, device, dtype)
    events: list[Any] = []
    with ExitStack() as stack:
        listeners = [events.append] if trace else []
        if watch:
            from structdiff.view.terminal import Watcher

            listeners.append(stack.enter_context(Watcher(model.vocabulary.piece, pace=0.08)))
        result = model.generate(
            image or text,
            source,
            max_tokens=max_tokens,
            seed=seed,
            pinned=pinned,
            instructions=instructions,
            examples=examples,
            fields=full,
            long_text=long_text,
            retries=retries,
            **asked.options,
            on_event=(lambda event: [listener(event) for listener in listeners]) if listeners else None,
        )
    tell_restrictions(result)
    if sys.stderr is not None and sys.stderr.isatty():
        click.echo(f"answered by {result.model}", err=True)
    print_json(full_report(result, source, "" if image else text) if full else result.data)
    if trace:
        write_steps(Path(trace), events, model.vocabulary.piece, text)


def write_steps(path: Path, events: list[Any], piece: Callable[[int], str], text: str) -> None:
    """The denoising steps as the page or the animation that the ending of ``path`` asks for."""
    if path.suffix.lower() == ".svg":
        from structdiff.view.animation import animated_svg

        path.write_text(animated_svg(events, piece, text=text.strip().splitlines()[0][:72]), encoding="utf-8")
    else:
        from structdiff.view.trace_html import write_trace

        write_trace(path, events, piece)


def _pinned(pins: tuple[str, ...]) -> dict[str, Any] | None:
    """The values of ``--pin NAME=JSON``; what is no JSON is taken as a string."""
    found: dict[str, Any] = {}
    for pin in pins:
        name, equals, value = pin.partition("=")
        if not name or not equals:
            raise click.UsageError(f"--pin takes NAME=JSON, not {pin!r}")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found or None


def full_report(result: Any, source: Any, text: str) -> dict[str, Any]:
    """All there is to know about a result, for ``--full``."""
    from structdiff.results.evidence import find_spans

    fields = {
        name: {"value": one.value, "confidence": one.confidence, "probability": one.probability, "present": one.present}
        for name, one in result.fields.items()
    }
    return {
        "value": result.data,
        "model": result.model,
        "text": result.text,
        "finish_reason": result.finish_reason,
        "usage": result.usage,
        "fields": fields,
        "spans": {name: list(span) for name, span in find_spans(result.data, text, result.spans).items()},
        "prompt": result.prompt,
        "schema": source if isinstance(source, dict | bool) else None,
    }
