"""What the references of a JSON Schema lead to, and which definitions are used more than once.

>>> part = {"$ref": "#/$defs/P"}
>>> schema = {"prefixItems": [part, {"$ref": "#/$defs/P"}], "$defs": {"P": {"type": "string"}}}
>>> list(Shared(schema).names.values())
['P']
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from structdiff.core.errors import StructdiffError
from structdiff.frontends.json_schema.document import Document


class Shared:
    """What the references of a schema lead to, and which of it is used more than once."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._document = Document(root) if refers(root) else None
        self.names: dict[int, str] = {}
        self._count()

    def target(self, schema: Mapping[str, Any]) -> Any:
        """What a schema refers to; None where that is not in this document."""
        if self._document is None or not isinstance(schema["$ref"], str):
            return None
        try:
            return self._document.resolve(schema, "$ref")
        except StructdiffError:  # compiling says so, or has the registry that knows it
            return None

    def _count(self) -> None:
        met: Counter[int] = Counter()
        refs: dict[int, str] = {}
        places: dict[int, Any] = {}
        pending: list[Any] = [self.root]
        while pending:
            schema = pending.pop()
            if not isinstance(schema, Mapping):
                continue
            met[id(schema)] += 1
            if id(schema) in refs and met[id(schema)] > 1:
                continue
            places[id(schema)] = schema
            if "$ref" in schema:
                target = self.target(schema)
                if isinstance(target, Mapping):
                    seen = id(target) in places
                    refs.setdefault(id(target), schema["$ref"])
                    places[id(target)] = target
                    if seen:
                        met[id(target)] += 1
                    else:
                        pending.append(target)
            else:
                pending.extend(_parts(schema))
        taken: set[str] = set()
        for number, ref in refs.items():
            if met[number] > 1:
                self.names[number] = name = _free_name(ref, places[number], taken)
                taken.add(name)


def _parts(schema: Mapping[str, Any]) -> Iterable[Any]:
    """The schemas that are written inside the form of this one."""
    if "const" in schema or "enum" in schema:
        return
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            yield from schema[keyword]
            return
    if "allOf" in schema and len(schema["allOf"]) == 1 and "properties" not in schema:
        yield schema["allOf"][0]
        return
    properties = schema.get("properties") or {}
    yield from properties.values()
    if not properties:
        yield schema.get("additionalProperties")
    yield from schema.get("prefixItems", ())
    items = schema.get("items")
    if isinstance(items, list):
        yield from items
        yield schema.get("additionalItems")
    else:
        yield items


def _free_name(ref: str, target: Any, taken: set[str]) -> str:
    last = ref.rsplit("/", 1)[-1].rsplit("#", 1)[-1].replace("~1", "/").replace("~0", "~")
    if not last:
        title = target.get("title")
        last = title if isinstance(title, str) and title.isidentifier() else "root"
    if not re.fullmatch(r"[\w.\-]{1,60}", last):
        last = spelled(last[:60])
    name, number = last, 2
    while name in taken:
        name, number = f"{last}_{number}", number + 1
    return name


def spelled(value: Any) -> str:
    """A value as JSON writes it."""
    return json.dumps(value, ensure_ascii=False)


def walk(schema: Any) -> Iterable[Mapping[str, Any]]:
    """Every object inside, in no particular order."""
    pending = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, Mapping):
            yield part
            pending.extend(part.values())
        elif isinstance(part, list):
            pending.extend(part)


def refers(schema: Any) -> bool:
    """Does the schema hold a reference?"""
    return any("$ref" in part for part in walk(schema))
