"""Which parts of a JSON Schema speak about a place of the value, found by JSON Pointer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def reference_tokens(pointer: str) -> list[str]:
    """The reference tokens of a JSON Pointer.

    >>> reference_tokens("/a~1b/0")
    ['a/b', '0']
    """
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def subschemas(schema: Any, pointer: str) -> list[dict[str, Any]]:
    """Every schema object that describes the value at ``pointer``: through references, allOf, anyOf, oneOf and if.

    >>> subschemas({"properties": {"a": {"items": {"$ref": "#/$defs/n"}}}, "$defs": {"n": {"type": "null"}}}, "/a/0")
    [{'$ref': '#/$defs/n'}, {'type': 'null'}]
    """
    here = list(_expand(schema, schema, ()))
    for token in reference_tokens(pointer):
        here = [found for part in here for child in _children(part, token) for found in _expand(child, schema, ())]
    return here


def listed_names(schema: Any, pointer: str) -> dict[str, bool]:
    """The property names that the schema lists for the object at ``pointer``, in its order: is each one required?

    >>> listed_names({"properties": {"a": {}, "b": {}}, "required": ["b"]}, "")
    {'a': False, 'b': True}
    """
    names: dict[str, bool] = {}
    for part in subschemas(schema, pointer):
        properties = part.get("properties")
        for name in properties if isinstance(properties, dict) else ():
            names[name] = names.get(name, False) or name in (part.get("required") or ())
    return names


def _expand(part: Any, root: Any, seen: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    if not isinstance(part, dict):
        return
    yield part
    ref = part.get("$ref")
    if isinstance(ref, str) and ref.startswith("#") and ref not in seen:
        yield from _expand(lookup(root, ref[1:]), root, (*seen, ref))
    for keyword in ("allOf", "anyOf", "oneOf"):
        for option in part.get(keyword) or ():
            yield from _expand(option, root, seen)
    for keyword in ("if", "then", "else"):
        yield from _expand(part.get(keyword), root, seen)


def lookup(root: Any, pointer: str) -> Any:
    for token in reference_tokens(pointer):
        if isinstance(root, dict):
            root = root.get(token)
        elif isinstance(root, list) and token.isdigit() and int(token) < len(root):
            root = root[int(token)]
        else:
            return None
    return root


def _children(part: dict[str, Any], token: str) -> Iterator[Any]:
    properties = part.get("properties")
    if isinstance(properties, dict) and token in properties:
        yield properties[token]
    elif isinstance(part.get("additionalProperties"), dict):
        yield part["additionalProperties"]
    if token.isdigit():
        first = part.get("prefixItems") or []
        if int(token) < len(first):
            yield first[int(token)]
        elif isinstance(part.get("items"), dict):
            yield part["items"]
