"""What the commands share: the options that name a constraint, and reading and printing."""

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

from ._errors import (
    BAD_SCHEMA,
    GENERATION_FAILED,
    INTERRUPTED,
    MACHINE,
    SMALL_BUDGET,
    SOME_ERRORS,
    USAGE,
    Failure,
    near,
)

__all__ = [
    "BAD_SCHEMA", "GENERATION_FAILED", "INTERRUPTED", "MACHINE", "SMALL_BUDGET", "SOME_ERRORS", "USAGE", "Asked",
    "Failure", "constraint_options", "encoding_option", "instruction_options", "long_text_option", "print_json",
    "read_schema", "read_text", "tell_restrictions",
]  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """The constraint that a command line names, and how it is compiled."""

    schema: str | None
    regex: str | None
    choices: tuple[str, ...]
    named: tuple[str, str] | None
    whitespace: str | None
    strict: bool
    many: bool = False
    verbatim: bool = False

    @functools.cached_property
    def source(self) -> Any:
        """The source of the constraint that exactly one of the options names."""
        given = (self.schema is not None, self.regex is not None, bool(self.choices), self.named is not None)
        if sum(given) != 1:
            raise click.UsageError("give exactly one of --schema, --regex, --choice and --source")
        if self.many and self.schema is None:
            raise click.UsageError("--many is for the records of a --schema")
        if self.verbatim and self.schema is None:
            raise click.UsageError("--verbatim is for the strings of a --schema")
        if self.named is not None:
            from structdiff.frontends import named

            name, text = self.named
            return named(name).from_text(_read(Path(text)) if _is_file(text) else text)
        if self.schema is not None:
            found = read_schema(self.schema)
            return many_of(found) if self.many else found
        import structdiff

        return structdiff.Regex(self.regex) if self.regex is not None else structdiff.Choice(list(self.choices))

    @property
    def options(self) -> dict[str, Any]:
        """The options of `structdiff.compile`."""
        given = {"whitespace": self.whitespace, "strict": self.strict, "verbatim": self.verbatim}
        return {name: value for name, value in given.items() if value}


def many_of(source: Any) -> Any:
    """The source of a list of a source's values.

    >>> many_of({"type": "integer"})
    {'type': 'array', 'items': {'type': 'integer'}}
    """
    if not isinstance(source, dict | bool):
        return list[source]
    if isinstance(source, bool):
        return {"type": "array", "items": source}
    if '"$ref": "#"' in json.dumps(source):
        raise Failure("--many cannot repeat a schema that refers to itself as #; name it in $defs", BAD_SCHEMA)
    shared = {name: source[name] for name in ("$schema", "$defs", "definitions") if name in source}
    return {**shared, "type": "array", "items": {name: part for name, part in source.items() if name not in shared}}


def _is_file(name: str) -> bool:
    return len(name) < 4096 and "\0" not in name and Path(name).is_file()


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
        many: bool,
        verbatim: bool,
        **others: Any,
    ) -> Any:
        asked = Asked(schema, regex, choices, named, whitespace, strict, many, verbatim)
        return command(*args, asked=asked, **others)

    for option in (
        click.option("--strict", is_flag=True, help="Refuse a schema of which not everything can be written."),
        click.option(
            "--verbatim",
            is_flag=True,
            help="Take strings without format, pattern and enum from the text, word by word.",
        ),
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
        click.option("--many", is_flag=True, help="A list of records instead of one."),
        click.option(
            "--schema",
            metavar="S",
            help="A JSON Schema: a file, JSON in place, a class as package.module:Class, or fields: 'name, age int'.",
        ),
    ):
        run = option(run)
    return run


def instruction_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--instructions``, ``--examples``, given as (text, value) pairs, and ``--retries``."""

    def pairs(ctx: click.Context, parameter: click.Parameter, name: str | None) -> list[tuple[str, Any]]:
        return [] if name is None else _examples(name)

    for option in (
        click.option(
            "--retries",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="How often an answer that a validator of the class rejects is tried again.",
        ),
        click.option(
            "--examples", metavar="FILE", callback=pairs, help="Worked examples: JSON lines with text and value."
        ),
        click.option("--instructions", metavar="TEXT", default="", help="What the model is told beside the schema."),
    ):
        command = option(command)
    return command


def _examples(name: str) -> list[tuple[str, Any]]:
    found = []
    for number, line in enumerate(_read(Path(name)).splitlines(), 1):
        if line.strip():
            try:
                one = json.loads(line)
                found.append((str(one["text"]), one["value"]))
            except (ValueError, KeyError, TypeError):
                raise Failure(f"line {number} of {name} is no object with text and value", USAGE) from None
    return found


def long_text_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--long-text``."""
    return click.option(
        "--long-text",
        type=click.Choice(["refuse", "split"]),
        default="refuse",
        show_default=True,
        help="Read a long text in one, or refuse it beyond the context; or in pieces whose results are merged.",
    )(command)


def encoding_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--encoding``."""

    def known(ctx: click.Context, parameter: click.Parameter, name: str) -> str:
        try:
            "".encode(name)
        except LookupError:
            raise click.BadParameter(f"there is no encoding {name!r}; try utf-8, utf-16, cp1252, latin-1") from None
        return name

    return click.option(
        "--encoding", metavar="NAME", default="utf-8", show_default=True, callback=known, help="How texts are encoded."
    )(command)


def tell_restrictions(constraint: Any) -> None:
    """One line on standard error for each part of the source that is never written, marginal ones apart."""
    for restriction in constraint.restrictions:
        if not restriction.is_marginal:
            click.echo(f"note: never written: {restriction}", err=True)


_CLASS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def read_schema(name: str) -> Any:
    """A schema as Python data, or a class: ``name`` is JSON, a file, ``package.module:Class`` or a list of fields."""
    if name.lstrip().startswith(("{", "[")) or name.strip() in ("true", "false"):
        return _parse(name, "the schema")
    if _is_file(name):
        return _parse(_read(Path(name)), name)
    if _CLASS.fullmatch(name):
        return _import(name)
    from structdiff.frontends.shorthand import is_shorthand, schema_of

    if is_shorthand(name):
        return schema_of(name)
    raise Failure(f"there is no schema file {name[:100]!r}{_meant(name)}", USAGE)


def _meant(name: str) -> str:
    """A hint at what a name that is no file may have been meant to be."""
    module, _, last = name.rpartition(".")
    if re.fullmatch(r"[A-Za-z_][\w.]*\.[A-Z]\w*", name):
        return f"; a class is named as {module}:{last}"
    folder = Path(name).parent
    if len(name) < 4096 and folder.is_dir():
        there = [str(path) for path in folder.iterdir() if path.suffix == ".json"]
        return near(str(Path(name)), there)
    return ""


def _parse(text: str, where: str) -> Any:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise errors.InvalidSchema(f"{where} is not JSON: {error}") from error
    if not isinstance(schema, dict | bool):
        raise errors.InvalidSchema(f"{where} is not a JSON Schema: it has to be an object or a boolean")
    return schema


def _import(name: str) -> Any:
    """The class ``package.module:Class``; the current folder is the last to be searched."""
    module, _, path = name.partition(":")
    import pydantic  # noqa: F401 - before the user's folder can shadow what it imports

    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        there = [one.stem for one in Path().glob("*.py")]
        hint = near(module, there) if getattr(error, "name", None) == module else ""
        raise Failure(f"cannot import {name}: {error}{hint}", USAGE) from error
    except Exception as error:  # whatever the module's own code raises
        raise Failure(f"cannot import {name}: {module} raises {type(error).__name__}: {error}", USAGE) from error
    for part in path.split("."):
        if not hasattr(found, part):
            known = [one for one in vars(found) if not one.startswith("_")]
            raise Failure(f"cannot import {name}: there is no {part} in it{near(part, known)}", USAGE)
        found = getattr(found, part)
    if not isinstance(found, type) and not hasattr(found, "__origin__") and not hasattr(found, "__value__"):
        kind = "a function" if callable(found) else f"a {type(found).__name__}"
        if isinstance(found, dict) or hasattr(found, "as_source"):
            return found
        raise Failure(f"{name} is {kind}; a schema is a class, a type or a dict", USAGE)
    return found


def read_text(name: str, encoding: str = "utf-8") -> str:
    """The text in the file ``name``, or on standard input for ``-``."""
    if name == "-":
        if sys.stdin is None:
            raise Failure("standard input is closed; name a file", USAGE)
        try:
            return sys.stdin.buffer.read().decode(_with_mark(encoding))
        except UnicodeError as error:
            raise Failure(f"standard input is not {encoding.upper()} text; --encoding names another", USAGE) from error
    return _read(Path(name), encoding)


def _with_mark(encoding: str) -> str:
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


def _read(path: Path, encoding: str = "utf-8") -> str:
    try:
        return path.read_text(encoding=_with_mark(encoding))
    except UnicodeError as error:
        raise Failure(f"{path} is not {encoding.upper()} text; --encoding names another", USAGE) from error
    except FileNotFoundError as error:
        there = [str(one) for one in path.parent.iterdir()] if path.parent.is_dir() else []
        raise Failure(f"cannot read {path}: {error.strerror}{near(str(path), there)}", USAGE) from error
    except (OSError, ValueError) as error:
        raise Failure(f"cannot read {path}: {getattr(error, 'strerror', None) or error}", USAGE) from error


def print_json(value: Any) -> None:
    """``value`` on standard output; dataclasses become objects."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)
