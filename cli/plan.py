"""structdiff plan: the forced tokens and masks of a constraint, before any model is loaded."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ._models import ready_kernels
from ._shared import USAGE, Asked, Failure, constraint_options, print_json, tell_restrictions


@click.command()
@constraint_options
@click.option("--max-tokens", type=click.IntRange(min=1), default=64, show_default=True, help="The answer's budget.")
@click.option("--tokenizer", metavar="T", help="A folder, file or hub id.  [default: the embedded model's]")
def plan(
    asked: Asked,
    max_tokens: int,
    tokenizer: str | None,
) -> None:
    """Show what a constraint fixes before denoising starts; no model is loaded.

    A forced token is the only one that can stand at its position; at every other position the number of tokens that can
    stand there is given. The drawing goes to standard error, the plan as JSON to standard output.
    """
    import structdiff

    source, folder = asked.source, tokenizer_folder(tokenizer)
    ready_kernels()
    constraint = structdiff.compile(source, folder, **asked.options)
    tell_restrictions(constraint)
    piece = constraint.vocabulary.piece
    made = constraint.plan(max_tokens=max_tokens)
    click.echo(made.render(piece), err=True)
    print_json(
        {
            "states": constraint.states,
            "edges": constraint.edges,
            "classes": constraint.classes,
            "min_tokens": constraint.min_tokens,
            "restrictions": [asdict(one) for one in constraint.restrictions],
            "anchors": {str(at): {"token": token, "text": piece(token)} for at, token in made.anchors.items()},
            "allowed": [len(made.allowed(position)) for position in range(made.length)],
        }
    )


def tokenizer_folder(name: str | None) -> Path:
    """Where the tokenizer ``name`` lies: a path as it is, a hub id after fetching the two files that matter."""
    if name is None:
        import structdiff

        return Path(structdiff.__file__).parent / "models" / "embedded"
    if Path(name).exists():
        return Path(name)
    from structdiff.place import check_model

    check_model(name)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["tokenizer.json", "generation_config.json"]))
    except Exception as error:  # the hub's client raises many kinds
        raise Failure(f"there is no tokenizer {name!r}, neither here nor on the hub", USAGE) from error
