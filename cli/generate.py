"""structdiff generate: a text and a constraint in, JSON out."""

from __future__ import annotations

import json
from contextlib import ExitStack
from enum import Enum
from typing import Any

import click

from ._shared import (
    constraint_options,
    constraint_source,
    load_model,
    model_options,
    print_json,
    read_text,
)


@click.command()
@click.argument("text_file", metavar="[TEXT_FILE|-]", default="-")
@constraint_options
@click.option("--model", "model_name", metavar="M", help="A folder or a hub id.  [default: the embedded model]")
@model_options
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    help="The answer's budget.  [default: 256, or the least that the constraint needs]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same answer.")
@click.option("--watch", is_flag=True, help="Show the canvas settling on standard error.")
@click.option("--trace", type=click.Path(dir_okay=False, writable=True), help="Write the denoising steps as HTML.")
@click.option("--full", is_flag=True, help="Print the prompt, schema, text and usage as well, as one JSON object.")
def generate(
    text_file: str,
    schema: str | None,
    regex: str | None,
    choices: tuple[str, ...],
    whitespace: str | None,
    model_name: str | None,
    device: str | None,
    dtype: str | None,
    max_tokens: int | None,
    seed: int,
    watch: bool,
    trace: str | None,
    full: bool,
) -> None:
    """Fill a schema from a text and print the JSON.

    The text comes from TEXT_FILE or from standard input. The answer is valid against the schema, or the command fails
    and says why.

    \b
    structdiff generate schemas/contact.txt --schema schemas/contact.json
    echo "The app crashes." | structdiff generate --choice bug --choice question
    """
    source = constraint_source(schema, regex, choices)
    text = read_text(text_file)
    model = load_model(model_name, device, dtype)
    events: list[Any] = []
    with ExitStack() as stack:
        listeners = [events.append] if trace else []
        if watch:
            from structdiff.view.terminal import Watcher

            listeners.append(stack.enter_context(Watcher(model.vocabulary.piece, pace=0.08)))
        result = model.generate(
            text,
            source,
            max_tokens=max_tokens,
            seed=seed,
            **({"whitespace": whitespace} if whitespace else {}),
            on_event=(lambda event: [listener(event) for listener in listeners]) if listeners else None,
        )
    if trace:
        from structdiff.view.trace_html import write_trace

        write_trace(trace, events, model.vocabulary.piece)
    value = json_value(result)
    print_json(value if not full else full_report(result, value, source))


def json_value(result: Any) -> Any:
    """The answer as JSON data: what the text says, or the value where the text is not JSON (of a regex or a choice)."""
    return result.value if isinstance(result.value, str | Enum) else json.loads(result.text)


def full_report(result: Any, value: Any, source: Any) -> dict[str, Any]:
    """All there is to know about a result, for ``--full``."""
    return {
        "value": value,
        "text": result.text,
        "finish_reason": result.finish_reason,
        "usage": result.usage,
        "prompt": result.prompt,
        "schema": source if isinstance(source, dict | bool) else None,
    }
