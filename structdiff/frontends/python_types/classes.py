"""Classes and their fields, unions and their tags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, cast

from pydantic_core import PydanticOmit

from structdiff.core.errors import UnsupportedSchema
from structdiff.frontends.python_types import functions
from structdiff.frontends.python_types.aliases import write_fields
from structdiff.frontends.python_types.base import BaseReader
from structdiff.frontends.python_types.questions import Core, Schema, as_json, has_kind, kinds_of, members_of

_NO_CONTAINERS = frozenset(("int", "float", "bool", "none", "default", "nullable"))


class ClassReader(BaseReader):
    """Reads the schemas of classes and unions."""

    def model_schema(self, schema: Any) -> Schema:
        return self._class(schema, super().model_schema)

    def dataclass_schema(self, schema: Any) -> Schema:
        return self._class(schema, super().dataclass_schema)

    def typed_dict_schema(self, schema: Any) -> Schema:
        return self._class(schema, super().typed_dict_schema)

    def _class(self, schema: Core, generate: Callable[[Any], Schema]) -> Schema:
        self._configs.append(schema.get("config") or {})
        try:
            return generate(schema)
        finally:
            self._configs.pop()

    def dataclass_args_schema(self, schema: Any) -> Schema:
        fields = [field for field in schema["fields"] if field.get("init", True) is not False]
        return super().dataclass_args_schema(cast(Any, {**schema, "fields": fields}))

    def _named_required_fields_schema(self, named_required_fields: Sequence[tuple[str, bool, Any]]) -> Schema:
        return write_fields(self, named_required_fields, self._configs[-1])

    def union_schema(self, schema: Any) -> Schema:
        members = members_of(schema)
        if any(has_kind(member, "generator") for member in members):
            members = self._beside_a_generator(members)
        return self.get_union_of_schemas([read for _, read in self._choices(list(enumerate(members)))])

    def _beside_a_generator(self, members: list[Any]) -> list[Any]:
        """A generator reads its items late: it takes all arrays, strings and objects from the members beside it."""
        generators = [member for member in members if has_kind(member, "generator")]
        kept = [one for one in members if one in generators or set(kinds_of(one)) <= _NO_CONTAINERS]
        for member in members:
            if member not in kept:
                self.generate_inner(member)
        if len(kept) < len(members) or len(generators) > 1:
            self.note("union", "beside an Iterable no strings, arrays and objects are written")
        return [member for member in kept if member not in generators[1:]]

    def _choices(self, choices: list[tuple[Any, Any]]) -> list[tuple[Any, Schema]]:
        """The choices that can be written; those that cannot are noted, and if none can, refused."""
        read: list[tuple[Any, Schema]] = []
        refused: list[UnsupportedSchema] = []
        for key, choice in choices:
            try:
                read.append((key, self.generate_inner(choice)))
            except PydanticOmit:
                continue
            except UnsupportedSchema as error:
                if error.keyword in functions.LIMITS:
                    raise  # what such a limit cannot be compared with ends the whole union
                refused.append(error)
        if not read and refused:
            raise refused[0]
        for one in refused:
            self.note("union", f"a member is left out: {one.keyword}: {one.reason}")
        return read

    def tagged_union_schema(self, schema: Any) -> Schema:
        """The choice that the tag names decides alone: a union of choices that hold their tags."""
        tags: dict[int, list[Any]] = {}
        by_identity = {}
        for key, choice in schema["choices"].items():
            tags.setdefault(id(choice), []).append(as_json(key.value if isinstance(key, Enum) else key))
            by_identity[id(choice)] = choice
        read = self._choices([(tags[number], choice) for number, choice in by_identity.items()])
        discriminator = schema["discriminator"]
        if callable(discriminator):
            return self.get_union_of_schemas([choice for _, choice in read])
        return self.get_union_of_schemas([self._tagged(choice, keys, discriminator) for keys, choice in read])

    def _tagged(self, choice: Schema, keys: list[Any], discriminator: Any) -> Schema:
        paths = [[discriminator]] if isinstance(discriminator, str) else discriminator
        paths = [path if isinstance(path, list) else [path] for path in paths]
        names = [path[0] for path in paths if len(path) == 1 and isinstance(path[0], str)]
        if not names:
            raise self.refuse("discriminator", f"its place {discriminator!r} is not one key")
        try:
            properties = self.resolve_ref_schema(choice).get("properties", {})
        except RuntimeError:
            properties = {}
        name = next((name for name in names if name in properties), names[-1])
        tag = {"properties": {name: {"enum": keys}}, "required": [name]}
        if "$ref" in choice:
            return {**choice, **tag}
        return {**choice, "allOf": [*choice.get("allOf", ()), tag]}
