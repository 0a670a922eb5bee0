"""What the commands share: the options that name a constraint or a model, reading texts, and exit codes."""

from __future__ import annotations

import functools
import importlib
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from structdiff.core import errors

GENERATION_FAILED, USAGE, BAD_SCHEMA, SMALL_BUDGET = 1, 2, 3, 4


class Failure(click.ClickException):
    """An error a user can meet: one line on standard error, and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(" ".join(message.split()))
        setattr(self, "exit_code", exit_code)  # noqa: B010 - click declares it per class

    @classmethod
    def of(cls, error: errors.StructdiffError) -> Failure:
        """The failure that reports a library error.

        >>> Failure.of(errors.BudgetTooSmall(needed=12, given=8)).exit_code
        4
        """
        match error:
            case errors.BudgetTooSmall():
                return cls(str(error), SMALL_BUDGET)
            case errors.InvalidSchema() | errors.UnsupportedSchema() | errors.CompileLimit() | errors.Restricted():
                return cls(str(error), BAD_SCHEMA)
        return cls(str(error), GENERATION_FAILED)


@dataclass(frozen=True)
class Asked:
    """The constraint that a command line names, and how it is compiled."""

    schema: str | None
    regex: str | None
    choices: tuple[str, ...]
    named: tuple[str, str] | None
    whitespace: str | None
    strict: bool

    @functools.cached_property
    def source(self) -> Any:
        """The source of the constraint that exactly one of the options names."""
        given = (self.schema is not None, self.regex is not None, bool(self.choices), self.named is not None)
        if sum(given) != 1:
            raise click.UsageError("give exactly one of --schema, --regex, --choice and --source")
        import structdiff
        from structdiff.frontends import named

        if self.named is not None:
            name, text = self.named
            return named(name).from_text(_read(Path(text)) if _is_file(text) else text)
        if self.schema is not None:
            return read_schema(self.schema)
        return structdiff.Regex(self.regex) if self.regex is not None else structdiff.Choice(list(self.choices))

    @property
    def options(self) -> dict[str, Any]:
        """The options of `structdiff.compile`."""
        layout = {"whitespace": self.whitespace} if self.whitespace else {}
        return {**layout, "strict": True} if self.strict else layout


def _is_file(name: str) -> bool:
    return len(name) < 4096 and Path(name).is_file()


def constraint_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that name a constraint; the command gets them as one `Asked`, called ``asked``."""

    @functools.wraps(command)
    def run(
        *args: Any,
        schema: str | None,
        regex: str | None,
        choices: tuple[str, ...],
        named: tuple[str, str] | None,
        whitespace: str | None,
        strict: bool,
        **others: Any,
    ) -> Any:
        return command(*args, asked=Asked(schema, regex, choices, named, whitespace, strict), **others)

    for option in (
        click.option("--strict", is_flag=True, help="Refuse a schema of which not everything can be written."),
        click.option(
            "--whitespace",
            type=click.Choice(["json", "compact", "pretty"]),
            help="How the JSON is laid out: free within bounds, none, or indented.  [default: json]",
        ),
        click.option(
            "--source",
            "named",
            metavar="NAME TEXT",
            nargs=2,
            type=str,
            help="What another front end reads: its name, and a file or the text itself.",
        ),
        click.option("--choice", "choices", metavar="TEXT", multiple=True, help="An answer to choose from; repeat it."),
        click.option("--regex", metavar="PATTERN", help="A regular expression the whole answer matches."),
        click.option(
            "--schema",
            metavar="S",
            help="A JSON Schema: a file, JSON in place, or a class as package.module:Class.",
        ),
    ):
        run = option(run)
    return run


def tell_restrictions(constraint: Any) -> None:
    """One line on standard error for each part of the source that is never written."""
    for restriction in constraint.restrictions:
        click.echo(f"note: never written: {restriction}", err=True)


def read_schema(name: str) -> Any:
    """A schema as Python data, or a class: ``name`` is JSON, a file, or ``package.module:Class``."""
    if name.lstrip().startswith(("{", "[")) or name.strip() in ("true", "false"):
        return _parse(name, "the schema")
    if _is_file(name):
        return _parse(_read(Path(name)), name)
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", name):
        return _import(name)
    raise Failure(f"there is no schema file {name[:100]!r}", USAGE)


def _parse(text: str, where: str) -> Any:
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise errors.InvalidSchema(f"{where} is not JSON: {error}") from error
    if not isinstance(schema, dict | bool):
        raise errors.InvalidSchema(f"{where} is not a JSON Schema: it has to be an object or a boolean")
    return schema


def _import(name: str) -> Any:
    module, _, path = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise Failure(f"cannot import {name}: {error}", USAGE) from error
    return found


def read_text(name: str) -> str:
    """The text in the file ``name``, or on standard input for ``-``."""
    if name == "-":
        try:
            return sys.stdin.buffer.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Failure("standard input is not UTF-8 text", USAGE) from error
    return _read(Path(name))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Failure(f"{path} is not UTF-8 text", USAGE) from error
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}", USAGE) from error


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--device`` and ``--dtype``; `load_model` takes what they give."""
    for option in (
        click.option("--dtype", metavar="TYPE", help="Number type of the weights, such as bfloat16 or float32."),
        click.option("--device", metavar="DEVICE", help="Where the model runs, such as cpu or cuda."),
    ):
        command = option(command)
    return command


def load_model(model: str | None, device: str | None, dtype: str | None) -> Any:
    """The model ``model`` (a folder or a hub id), or the embedded one."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    import structdiff

    if not kernels_compiled():
        click.echo("first use: compiling kernels, up to a minute (later starts find them compiled)", err=True)
    if model is None:
        from transformers.utils import logging

        logging.disable_progress_bar()
    return structdiff.load(model, device=device, dtype=dtype)


def kernels_compiled() -> bool:
    """Whether Numba's cache on disk holds the kernels of an earlier run."""
    from structdiff.lattice import kernels

    folder = Path(getattr(kernels.forward, "_cache").cache_path)  # noqa: B009 (numba's own type has no such name)
    return any(folder.glob("kernels.forward-*.nbi"))


def print_json(value: Any) -> None:
    """``value`` on standard output; dataclasses become objects."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)
