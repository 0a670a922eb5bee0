"""structdiff plan: the anchors and masks of a constraint, before any model is loaded."""

from __future__ import annotations

import click

from ._shared import constraint_options, constraint_source, print_json


@click.command()
@constraint_options
@click.option("--max-tokens", type=click.IntRange(min=1), default=64, show_default=True, help="The answer's budget.")
@click.option("--tokenizer", metavar="T", help="A folder, file or hub id.  [default: the embedded model's]")
def plan(
    schema: str | None, regex: str | None, choices: tuple[str, ...], max_tokens: int, tokenizer: str | None
) -> None:
    """Show what a constraint fixes before denoising starts; no model is loaded.

    An anchor is a position where only one token can stand; at every other position the number of tokens that can
    stand there is given. The drawing goes to standard error, the plan as JSON to standard output.
    """
    import structdiff

    constraint = structdiff.compile(constraint_source(schema, regex, choices), tokenizer)
    made = constraint.plan(max_tokens=max_tokens)
    click.echo(made.render(constraint.piece), err=True)
    print_json(
        {
            "states": constraint.states,
            "edges": constraint.edges,
            "classes": constraint.classes,
            "min_tokens": constraint.min_tokens,
            "anchors": {
                str(at): {"token": int(token), "text": constraint.piece(token)} for at, token in made.anchors.items()
            },
            "allowed": [len(made.allowed(position)) for position in range(max_tokens)],
        }
    )
