"""Sources of constraints: JSON Schemas, Python types, regexes, choices; and how an output text becomes a value."""

from __future__ import annotations

import enum
import inspect
import json
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from structdiff.automata.tree import Node, literal, union
from structdiff.core.errors import InvalidSchema, Unsatisfiable
from structdiff.core.limits import Limits
from structdiff.frontends.json_schema import json_schema_tree
from structdiff.frontends.regex.parser import parse_regex

if TYPE_CHECKING:
    from structdiff.tokens.vocabulary import Vocabulary


@dataclass(frozen=True)
class Regex:
    """Text that matches ``pattern`` as `re.fullmatch` reads it; the output is the text itself, not JSON.

    >>> Regex(r"[A-Z]{3}-\\d{4}").pattern
    '[A-Z]{3}-\\\\d{4}'
    """

    pattern: str


@dataclass(frozen=True)
class Choice:
    """One of a few texts; the output is the text itself, not JSON.

    >>> Choice(["bug", "feature"]).options
    ('bug', 'feature')
    """

    options: tuple[str, ...]

    def __init__(self, options: Sequence[str]) -> None:
        if not options or not all(isinstance(option, str) for option in options):
            raise InvalidSchema("a Choice needs a list of at least one string")
        object.__setattr__(self, "options", tuple(dict.fromkeys(options)))


@dataclass(frozen=True, eq=False)
class Source:
    """A source read: how to build its grammar tree, its kind, its JSON Schema (kind "json"), and the way back from text
    to value.

    ``detail`` is the pattern of kind "regex" and the options of kind "choice". Sources of the same ``key`` have the
    same language; None says that this cannot be told. ``restrict`` narrows the vocabulary to the tokens that may be
    used; ``rules`` binds what the loop has to obey beyond the grammar (`structdiff.decode.loop.Rules`); ``options``
    are those it was read with; ``prompt`` makes the user message of a text and instructions, where the kind alone does
    not say how.
    """

    build: Callable[[Limits], Node] = field(repr=False)
    kind: str
    name: str
    parse: Callable[[str], Any] = field(repr=False)
    schema: Any = field(default=None, repr=False)
    detail: Any = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    restrict: Callable[[Vocabulary], Vocabulary] | None = field(default=None, repr=False)
    rules: Callable[[Vocabulary], Any] | None = field(default=None, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    prompt: Callable[[str, str], str] | None = field(default=None, repr=False)


def read_source(source: Any, **options: Any) -> Source:
    """Read any source that `structdiff.compile` accepts; ``options`` go to `json_schema_tree`.

    >>> read_source(Choice(["yes", "no"])).parse("yes")
    'yes'
    """
    if isinstance(source, Regex):
        _no_options(options, "a Regex")
        pattern = source.pattern
        return Source(
            lambda limits: parse_regex(pattern, "python"), "regex", pattern, str, detail=pattern, key=f"regex {pattern}"
        )
    if isinstance(source, Choice):
        _no_options(options, "a Choice")
        return _choice(source.options, "choice", str)
    if hasattr(source, "as_source") and not isinstance(source, type):  # Grid, Table
        _no_options(options, f"a {type(source).__name__}")
        return source.as_source()
    if isinstance(source, bytes):
        source = source.decode()
    if isinstance(source, Path) or (isinstance(source, str) and not source.lstrip().startswith(("{", "true", "false"))):
        path = Path(source)
        if not path.is_file():
            raise InvalidSchema(f"{source}: no such file; pass a schema file, JSON text or a Python type")
        source = path.read_text(encoding="utf-8")
    if isinstance(source, str):
        try:
            source = json.loads(source)
        except json.JSONDecodeError as error:
            raise InvalidSchema(f"the schema is not JSON: {error}") from None
    if isinstance(source, dict | bool):
        name = source.get("title", "schema") if isinstance(source, dict) else "schema"
        return _json(source, str(name), json.loads, options)
    return _python_type(source, options)


def _python_type(source: Any, options: dict[str, Any]) -> Source:
    if isinstance(source, type) and issubclass(source, enum.Enum):
        members = {member.value: member for member in source}
        if members and all(isinstance(value, str) for value in members):
            return _choice(tuple(members), source.__name__, members.__getitem__)
    if typing.get_origin(source) is typing.Literal:
        values = typing.get_args(source)
        if all(isinstance(value, str) for value in values):
            return _choice(values, "Literal", str)
    from pydantic import PydanticUserError, TypeAdapter
    from pydantic.errors import PydanticInvalidForJsonSchema

    try:
        adapter = TypeAdapter(source)
        schema = adapter.json_schema()
    except (PydanticUserError, PydanticInvalidForJsonSchema, AttributeError) as error:
        raise InvalidSchema(
            f"{source!r} is not a schema, a Regex, a Choice or a type Pydantic understands: {error}"
        ) from None
    name = getattr(source, "__name__", str(source))
    return _json(schema, name, adapter.validate_json, options)


_JSON_OPTIONS = sorted(set(inspect.signature(json_schema_tree).parameters) - {"schema", "limits"})


def _json(schema: Any, name: str, parse: Callable[[str], Any], options: dict[str, Any]) -> Source:
    unknown = sorted(set(options) - set(_JSON_OPTIONS))
    if unknown:
        raise TypeError(f"unknown options: {', '.join(unknown)}; a JSON Schema takes {', '.join(_JSON_OPTIONS)}")
    try:
        key = None if options.get("registry") else f"json {json.dumps(schema)} {sorted(options.items())!r}"
    except (TypeError, ValueError, RecursionError):  # not JSON, or too deep: for the compiler to say
        key = None
    return Source(
        lambda limits: json_schema_tree(schema, limits=limits, **options),
        "json",
        name,
        parse,
        schema,
        key=key,
        options=options,
    )


def _choice(values: Sequence[str], name: str, parse: Callable[[str], Any]) -> Source:
    if any(not value for value in values):
        raise Unsatisfiable("an empty choice cannot be told from no answer; give it a name")
    return Source(
        lambda limits: union(*(literal(value) for value in values)), "choice", name, parse, detail=tuple(values),
        key=f"choice {list(values)!r}",
    )  # fmt: skip


def _no_options(options: dict[str, Any], what: str) -> None:
    if options:
        raise TypeError(f"{what} takes no options, got {', '.join(sorted(options))}")
