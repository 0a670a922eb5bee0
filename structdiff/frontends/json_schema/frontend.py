"""The front end of JSON Schema: dicts, booleans, JSON text and schema files."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from referencing import Registry

from structdiff.core.errors import InvalidSchema
from structdiff.core.limits import Limits
from structdiff.frontends.json_schema.compiler import CompiledSchema, json_schema_tree, options_of
from structdiff.frontends.prompt import build_prompt
from structdiff.frontends.protocol import Grammar, Options, Source, Traits, content_key

OPTIONS = tuple(sorted(set(inspect.signature(json_schema_tree).parameters) - {"schema", "limits"}))
"""The options of a constraint that a JSON Schema takes."""


def json_source(schema: Any, name: str, parse: Callable[[str], Any], options: Options) -> Source:
    """The source of a JSON Schema given as Python data. Raises `TypeError` for unknown options."""
    if unknown := sorted(set(options) - set(OPTIONS)):
        raise TypeError(f"unknown options: {', '.join(unknown)}; a JSON Schema takes {', '.join(OPTIONS)}")

    def build(limits: Limits) -> Grammar:
        given = dict(options)
        registry = given.pop("registry", None)
        written = CompiledSchema(schema, options_of(**given), registry, limits).written
        return Grammar(written.node, written.restrictions, written.slots)

    return Source(
        name,
        schema_key(schema, options),
        build,
        parse,
        lambda text, instructions: build_prompt(text, schema, instructions=instructions),
        Traits(json=True, ordered_keys=options.get("key_order", "schema") == "schema"),
        schema,
        within=lambda horizon: json_source(schema, name, parse, {**options, "horizon": horizon}),
    )


def schema_key(schema: Any, options: Options) -> str | None:
    """The content key of a schema with its options; None where the schema is no JSON or a registry fetches documents.

    >>> schema_key({"const": 1}, {}) == schema_key({"const": 1.0}, {}), schema_key({1, 2}, {})
    (False, None)
    """
    registry = _registry_content(options.get("registry"))
    plain = sorted((name, value) for name, value in options.items() if name != "registry")
    try:
        return None if registry is None else content_key("json", json.dumps(schema), repr(plain), json.dumps(registry))
    except (TypeError, ValueError, RecursionError):  # no JSON, or too deep: the compiler says so, with the place
        return None


def _registry_content(registry: Registry[Any] | Mapping[str, Any] | None) -> dict[str, Any] | None:
    if registry is None:
        return {}
    if not isinstance(registry, Registry):
        return dict(registry)
    if getattr(registry, "_retrieve", None) is not getattr(Registry(), "_retrieve", None):
        return None  # what it will fetch is not known
    return {uri: registry.contents(uri) for uri in registry}


def read_schema_text(text: str) -> Any:
    """JSON text as a schema. Raises `InvalidSchema` where it is no JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidSchema(f"the schema is not JSON: {error}") from None


class JsonSchemaFrontEnd:
    """Reads a dict, a boolean, JSON text, bytes or a path; as text, JSON."""

    name = "json"

    def accepts(self, source: Any) -> bool:
        return isinstance(source, dict | bool | str | bytes | Path)

    def read(self, source: Any, options: Options) -> Source:
        if isinstance(source, bytes):
            source = source.decode()
        inline = isinstance(source, str) and source.lstrip().startswith(("{", "true", "false"))
        if isinstance(source, Path) or (isinstance(source, str) and not inline):
            path = Path(source)
            if not path.is_file():
                raise InvalidSchema(f"{source}: no such file; pass a schema file, JSON text or a Python type")
            source = path.read_text(encoding="utf-8")
        if isinstance(source, str):
            source = read_schema_text(source)
        name = str(source.get("title", "schema")) if isinstance(source, dict) else "schema"
        return json_source(source, name, json.loads, options)

    def from_text(self, text: str) -> Any:
        return read_schema_text(text)
