"""What can be told of a core schema by looking at it, and by asking Pydantic."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pydantic_core import SchemaError, SchemaValidator, ValidationError, to_jsonable_python

from structdiff.frontends.python_types import functions

Schema = dict[str, Any]
Core = Mapping[str, Any]
CHANGES_INPUT = ("function-before", "function-wrap", "function-plain")
"""Validators that see the value before the types inside them do."""


def members_of(schema: Core) -> list[Any]:
    return [choice[0] if isinstance(choice, tuple) else choice for choice in schema["choices"]]


def nodes_of(schema: Any, definitions: Mapping[str, Core] = MappingProxyType({})) -> Iterator[Core]:
    """The schema and those that it checks the same value with, through references to ``definitions`` too."""
    yield schema
    for key in ("schema", "json_schema", "lax_schema"):
        if isinstance(schema.get(key), Mapping) and schema["type"] not in ("json", "model", "dataclass"):
            yield from nodes_of(schema[key], definitions)
    if schema["type"] == "union":
        for choice in members_of(schema):
            yield from nodes_of(choice, definitions)
    if schema["type"] == "definition-ref" and schema["schema_ref"] in definitions:
        others = {name: one for name, one in definitions.items() if name != schema["schema_ref"]}
        yield from nodes_of(definitions[schema["schema_ref"]], others)


def kinds_of(schema: Core, definitions: Mapping[str, Core] = MappingProxyType({})) -> list[str]:
    return [node["type"] for node in nodes_of(schema, definitions)]


def has_kind(schema: Core, kind: str) -> bool:
    return kind in kinds_of(schema)


def function_of(schema: Core) -> Any:
    """The function of the outermost validator."""
    for node in nodes_of(schema):
        if isinstance(node.get("function"), Mapping):
            return node["function"]["function"]
    return None


_NUMERIC = frozenset(("int", "float", "bool"))
_SIZED = frozenset(("str", "list", "dict", "tuple", "deque", "ordered-dict", "counter"))
_AROUND = frozenset(("union", "json-or-python", "default", "lax-or-strict", "custom-error"))


def is_measurable(schema: Core, by_length: bool) -> bool:
    """Is every value that is limited as long, or as large, as its JSON value?"""
    nodes = list(nodes_of(schema))
    kinds = {node["type"] for node in nodes} - _AROUND
    return kinds <= (_SIZED if by_length else _NUMERIC) and not any(node.get("strip_whitespace") for node in nodes)


def has_unhashable(schema: Core, definitions: Mapping[str, Core]) -> bool:
    """Can a value be one that no set holds, and no dictionary has as a key?"""
    unhashable = {"list", "dict", "set", "model", "typed-dict", "deque", "counter", "ordered-dict", "any", "generator"}
    return any(
        node["type"] in unhashable
        or (node["type"] == "json" and has_unhashable(node.get("schema") or {"type": "any"}, definitions))
        or (node["type"] == "tuple" and any(has_unhashable(item, definitions) for item in node["items_schema"]))
        or (node["type"] == "dataclass" and not node.get("frozen"))
        or (
            node["type"] == "function-after"
            and functions.name_of(node["function"]["function"]) == "NameEmail._validate"
        )
        for node in nodes_of(schema, definitions)
        if not (node["type"] == "model" and node["cls"].model_config.get("frozen"))
    )


def as_json(value: Any) -> Any:
    try:
        found = to_jsonable_python(value)
        json.dumps(found, allow_nan=False)
    except (ValueError, TypeError):
        return None if value is None else ...
    return found


def validator_of(schema: Core) -> SchemaValidator | None:
    try:
        return SchemaValidator({key: value for key, value in schema.items() if key not in ("ref", "metadata")})
    except SchemaError:
        return None


def accepts(judge: SchemaValidator | None, value: Any) -> bool:
    if value is ...:
        return False
    if judge is None:
        return True
    try:
        judge.validate_json(json.dumps(value))
    except ValidationError:
        return False
    return True
