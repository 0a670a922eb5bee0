"""What of a JSON Schema becomes columns of a table."""

from __future__ import annotations

from typing import Any

from structdiff.frontends.json_schema.places import lookup

_PLAIN = {
    "$schema", "$id", "$defs", "$comment", "title", "description", "type", "properties", "required",
    "additionalProperties", "examples", "default",
}  # fmt: skip


def answer_columns(schema: Any) -> dict[str, Any] | None:
    """The listed properties of a schema whose values are objects of these and no others; None for any other schema.

    >>> answer_columns({"type": "object", "properties": {"name": {}}})
    {'name': {}}
    >>> answer_columns({"type": "string"}) is None
    True
    """
    found = resolved(schema, schema)
    if not isinstance(found, dict) or found.get("type") != "object" or not found.keys() <= _PLAIN:
        return None
    listed = found.get("properties") or {}
    return dict(listed) if listed and found.get("additionalProperties") in (None, False) else None


def resolved(schema: Any, root: Any) -> Any:
    """A schema behind its references, as long as nothing but annotations stands beside them.

    >>> resolved({"$ref": "#/$defs/n", "default": 1}, {"$defs": {"n": {"type": "integer"}}})
    {'type': 'integer'}
    """
    seen: set[str] = set()
    while isinstance(schema, dict):
        ref, parts = schema.get("$ref"), schema.get("allOf")
        if isinstance(ref, str) and ref.startswith("#") and ref not in seen:
            seen.add(ref)
            schema = lookup(root, ref[1:])
        elif isinstance(parts, list) and len(parts) == 1 and "type" not in schema and "properties" not in schema:
            schema = parts[0]
        else:
            return schema
    return schema
