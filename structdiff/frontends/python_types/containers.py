"""Tuples, sets and dictionaries, with their keys."""

from __future__ import annotations

from enum import Enum
from typing import Any, cast

from structdiff.core.errors import Unsatisfiable
from structdiff.frontends.python_types import functions, scalars
from structdiff.frontends.python_types.base import BaseReader
from structdiff.frontends.python_types.questions import (
    Core,
    Schema,
    accepts,
    as_json,
    has_unhashable,
    kinds_of,
    validator_of,
)

_AS_ANY = frozenset(("any", "nullable", "union", "definition-ref", "json-or-python"))
"""Schemas of which a set holds the texts, numbers, booleans and null."""
MANY = 8
"""A repeated part in the middle of a tuple is written at most so often."""


class ContainerReader(BaseReader):
    """Reads the schemas of containers."""

    def definitions_schema(self, schema: Any) -> Schema:
        self.referred |= {one["ref"]: one for one in schema["definitions"]}
        return super().definitions_schema(schema)

    def list_schema(self, schema: Any) -> Schema:
        with self.inside("items"):
            return super().list_schema(schema)

    def tuple_schema(self, schema: Any) -> Schema:
        items, variadic = schema["items_schema"], schema.get("variadic_item_index")
        if variadic is None or variadic + 1 == len(items):
            with self.inside("prefixItems"):
                read = super().tuple_schema(schema)
            read["minItems"] = max(read.get("minItems", 0), len(read.get("prefixItems", ())))
            return read
        self.note("tuple", f"the part in the middle is written at most {MANY} times")
        forms = []
        for count in range(MANY + 1):
            shape = [*items[:variadic], *[items[variadic]] * count, *items[variadic + 1 :]]
            low, high = schema.get("min_length", 0), schema.get("max_length")
            if low <= len(shape) and (high is None or len(shape) <= high):
                forms.append(super().tuple_schema({"type": "tuple", "items_schema": shape}))
        return {"anyOf": forms}

    def _common_set_schema(self, schema: Any) -> Schema:
        items = schema.get("items_schema") or {"type": "any"}
        with self.inside("items"):
            read = super()._common_set_schema(cast(Any, {**schema, "items_schema": items}))
            if has_unhashable(items, self.referred):
                if not _AS_ANY.issuperset(kinds_of(items, self.referred)):
                    raise self.refuse("set", "items of this type cannot be hashed")
                read["items"] = {"type": ["string", "number", "boolean", "null"]}
        if "enum" in read["items"]:  # True and 1 are one member of a set
            read["items"] = {**read["items"], "enum": list(dict.fromkeys(read["items"]["enum"]))}
        if not scalars.is_finite(read["items"]):
            read.pop("uniqueItems")
            if schema.get("min_length", 0) > 1:
                if not scalars.is_distinct(items):
                    raise self.refuse("set", f"{schema['min_length']} items that differ cannot be told by their texts")
                read["uniqueItems"] = True
        return read

    def _common_dict_schema(self, schema: Any) -> Schema:
        read: Schema = {"type": "object"}
        keys = schema.get("keys_schema") or {"type": "any"}
        with self.inside("propertyNames"):
            if keys["type"] != "any" and has_unhashable(keys, self.referred):
                raise self.refuse("dict", "keys of this type cannot be hashed")
            names = self._names(keys)
        if names != {"type": "string"}:
            read["propertyNames"] = names
        with self.inside("additionalProperties"):
            values = dict(self.generate_inner(schema["values_schema"])) if "values_schema" in schema else {}
        values.pop("title", None)
        read["additionalProperties"] = values or True
        self.update_with_validations(read, schema, self.ValidationsMapping.object)
        if "enum" in names and schema.get("min_length", 0) > len(names["enum"]):
            raise Unsatisfiable(f"{schema['min_length']} keys are asked for; there are {names['enum']}", self._at[-1])
        if schema.get("min_length", 0) > 1 and not scalars.is_distinct(keys):
            raise self.refuse("dict", f"{schema['min_length']} keys that differ cannot be told by their texts")
        return read

    dict_schema = _common_dict_schema

    def _names(self, keys: Core) -> Schema:
        """The object keys that are read as keys of a type."""
        kind = keys["type"]
        read: Schema
        if kind in ("any", "str"):
            read = {"type": "string"} if kind == "any" else self.generate_inner(keys)
        elif kind in ("int", "float", "bool", "decimal"):
            read = scalars.names(keys)
        elif kind in ("literal", "enum"):
            read = {"type": "string", "enum": self._finite_names(keys)}
        elif kind == "function-after" and functions.is_of_pydantic(keys["function"]["function"]):
            read = self.generate_inner(keys)
        elif kind in ("nullable", "default", "function-after", "custom-error", "json-or-python", "lax-or-strict"):
            read = self._names(keys.get("schema") or keys.get("json_schema") or keys["lax_schema"])
        elif kind == "union":
            read = {
                "anyOf": [self._names(choice[0] if isinstance(choice, tuple) else choice) for choice in keys["choices"]]
            }
        else:
            read = self.generate_inner(keys)
        read = {key: value for key, value in read.items() if key != "title"}
        if "anyOf" in read:
            branches: Any = read["anyOf"]
            read |= {"anyOf": [one for one in branches if scalars.is_textual(one, self.definitions)]}
        if not scalars.is_textual(read, self.definitions):
            raise self.refuse("dict", f"keys of the type {kind} cannot be written in JSON")
        return read

    def _finite_names(self, keys: Core) -> list[str]:
        members = keys["expected"] if keys["type"] == "literal" else [member.value for member in keys["members"]]
        judge = validator_of({"type": "dict", "keys_schema": keys})
        names = [as_json(member.value if isinstance(member, Enum) else member) for member in members]
        written = [name for name in names if isinstance(name, str) and accepts(judge, {name: None})]
        if not written:
            raise self.refuse("dict", f"none of the keys can be written in JSON: {members!r}")
        if len(written) < len(members):
            self.note("propertyNames", f"{len(members) - len(written)} of the keys cannot be written in JSON")
        return written
