"""structdiff puzzle: make, solve and bench puzzles on grids."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from ._errors import USAGE, near
from ._models import check, check_writable, device_options, load_model
from ._shared import Failure, print_json, read_text
from .groups import Group

KINDS = (
    "sudoku-4x4", "sudoku-6x6", "sudoku-9x9", "latin-square", "futoshiki", "binary-puzzle", "nonogram", "kakuro",
    "word-square", "table", "zebra", "countdown",
)  # fmt: skip
"""The kinds as they are named on a command line: without blanks."""
MODEL = "tiny"
"""It fills any cell at any time; the default model writes from left to right."""
ARMS = ("free", "shape", "rules", "shuffled", "solver")


class Kind(click.ParamType[str]):
    """A kind of puzzle, with blanks or hyphens in its name."""

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = str(value).lower().replace(" ", "-")
        if name not in KINDS:
            self.fail(f"there is no kind {value!r}{near(name, KINDS) or '; there are ' + ', '.join(KINDS)}", param, ctx)
        return name.replace("-", " ")

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in KINDS if name.startswith(incomplete)]


@click.group(
    cls=Group,
    help=f"""Make puzzles with one solution, solve them with a model, compare the arms.

    The tiny model answers: it fills cells in any order. KIND is one of {", ".join(KINDS)}.""",
    short_help="Make puzzles with one solution, solve them, compare the arms.",
)
def puzzle() -> None:
    pass


@puzzle.command()
@click.argument("kind", type=Kind())
@click.option("--n", default=10, show_default=True, type=click.IntRange(min=1), help="How many puzzles.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same puzzles.")
@click.option("--size", type=click.IntRange(min=2, max=9), help="Rows and columns.  [default: that of the kind]")
@click.option("--blanks", type=click.IntRange(min=1), help="At most so many empty cells.  [default: no bound]")
def make(kind: str, n: int, seed: int, size: int | None, blanks: int | None) -> None:
    """Write puzzles of KIND as JSON lines: kind, puzzle, solution, clues."""
    from structdiff.puzzles.instances import make as make_one

    for number in range(n):
        made = make_one(kind, seed + number, size, blanks)
        click.echo(json.dumps(asdict(made), ensure_ascii=False))


@puzzle.command()
@click.argument("kind", type=Kind())
@click.option("--input", "path", default="-", help="JSON lines with a puzzle each; 0 or . marks an empty cell.")
@click.option("--arm", type=click.Choice(ARMS), default="rules", show_default=True, help="How it is answered.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same answers.")
@click.option("--show", is_flag=True, help="Print each grid before, during and after (on standard error).")
@click.option("--picture", type=click.Path(file_okay=False, path_type=Path), help="Draw these as N.png into a folder.")
@device_options
def solve(
    kind: str, path: str, arm: str, seed: int, show: bool, picture: Path | None, device: str | None, dtype: str | None
) -> None:
    """Answer each puzzle of KIND as one JSON line."""
    from structdiff.puzzles.arms import attempt
    from structdiff.puzzles.texts import TEXT_KINDS

    if (show or picture) and (kind in TEXT_KINDS or arm in ("free", "solver")):
        raise Failure("--show and --picture draw grids of the arms shape, rules and shuffled", USAGE)
    puzzles = _read(path, kind)
    check(None, MODEL, device, dtype, None)
    model = load_model(MODEL, device, dtype)
    for number, one in enumerate(puzzles, 1):
        film = _film(one, model) if show or picture else None
        done = attempt(model, one, arm, seed=seed, on_event=film)
        click.echo(json.dumps(asdict(done), ensure_ascii=False))
        if film is not None:
            _draw(film, done.answer, one.solution, show, picture and picture / f"{number}.png")


def _film(one: Any, model: Any) -> Any:
    from structdiff.puzzles.film import Film

    return Film(one.grid(), model.vocabulary.piece, model.denoiser.spec.canvas_length)


def _draw(film: Any, answer: str, solution: str, show: bool, path: Path | None) -> None:
    from structdiff.puzzles import picture

    three = picture.panels(film.grid, film.moments, answer, solution)
    if show:
        from rich.console import Console

        Console(stderr=True).print(picture.show(three))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.draw(three, path)


@puzzle.command()
@click.argument("kind", type=Kind())
@click.option("--input", "path", help="JSON lines with a puzzle each.  [default: puzzles made from the seed]")
@click.option("--arms", default="free,shape,rules,shuffled,solver", show_default=True, help="Arms, by commas.")
@click.option("--n", default=10, show_default=True, type=click.IntRange(min=1), help="How many puzzles.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same answers.")
@click.option("--max-steps", type=click.IntRange(min=1), help="Denoising steps at most.  [default: the model's own]")
@click.option(
    "--bounds", help="Entropy bounds of acceptance, by commas: every arm with each.  [default: the model's own]"
)
@click.option(
    "--report",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write report.md, report.html and plots into a folder.",
)
@click.option("--plot", type=click.Path(dir_okay=False), help="Draw the arms against difficulty (PNG).")
@click.option("--json", "as_json", is_flag=True, help="Print every attempt and the summary as JSON.")
@device_options
def bench(
    kind: str, path: str | None, arms: str, n: int, seed: int, max_steps: int | None, bounds: str | None,
    folder: Path | None, plot: str | None, as_json: bool, device: str | None, dtype: str | None,
) -> None:  # fmt: skip
    """Compare the arms on the same puzzles and print a Markdown table."""
    from dataclasses import replace

    from structdiff.puzzles.arms import attempt, report, summary
    from structdiff.puzzles.instances import make as make_one
    from structdiff.puzzles.texts import TEXT_KINDS

    wrong = [arm for arm in arms.split(",") if arm not in ARMS]
    if wrong:
        raise Failure(f"there is no arm {wrong[0]!r}{near(wrong[0], ARMS) or '; there are ' + ', '.join(ARMS)}", USAGE)
    bound_list = _numbers(bounds) if bounds else None
    if plot:
        check_writable(plot)
    check(None, MODEL, device, dtype, None)
    puzzles = _read(path, kind)[:n] if path else [make_one(kind, seed + number) for number in range(n)]
    model = load_model(MODEL, device, dtype)
    policy = replace(model.policy, max_steps=max_steps) if max_steps else model.policy
    policies = [replace(policy, entropy_bound=bound) for bound in bound_list] if bound_list else [policy]
    filmed = folder is not None and kind not in TEXT_KINDS
    done, settling = [], []
    for arm, own, one in itertools.product(arms.split(","), policies, puzzles):
        if arm == "solver" and own is not policies[0]:
            continue
        film = _film(one, model) if filmed and arm == "shape" else None
        done.append(attempt(model, one, arm, seed=seed, policy=own, on_event=film))
        settling += _settling(film) if film is not None else []
    if plot:
        from structdiff.puzzles.plot import draw

        draw(done, plot)
    if folder is not None:
        from structdiff.puzzles.report import write

        for written in write(done, folder, f"{kind}: {len(puzzles)} puzzles", settling):
            click.echo(f"wrote {written}", err=True)
    if as_json:
        print_json({"attempts": done, "summary": summary(done)})
    else:
        click.echo(report(done))


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise Failure(f"--bounds takes numbers by commas, not {text!r}", USAGE) from error


def _settling(film: Any) -> list[tuple[int, int]]:
    from structdiff.puzzles.film import candidates, settled

    tight = candidates(film.grid)
    return [(tight[cell], step) for cell, step in settled(film.moments, list(tight)).items()]


def _read(path: str, kind: str) -> list[Any]:
    """Puzzles from JSON lines: our own form, or {"input", "output"} with 0 for empty cells, as published."""
    from structdiff.puzzles.kinds import Puzzle
    from structdiff.puzzles.texts import TEXT_KINDS

    out = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            if "input" in data:
                blank = data["input"] if kind in TEXT_KINDS else data["input"].replace("0", ".")
                out.append(Puzzle(kind, blank, data["output"]))
            else:
                out.append(Puzzle(data.get("kind", kind), data["puzzle"], data["solution"], data.get("clues", {})))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Failure(f"line {number} of {path} is not a puzzle: {error!r}", USAGE) from error
    if not out:
        raise Failure(f"{path} holds no puzzles", USAGE)
    return out
