"""How a core schema is walked: the place in it, the settings around it, and what the hooks of a user say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema, WithJsonSchema

from structdiff.core.errors import UnsupportedSchema
from structdiff.core.json_spans import pointer_of
from structdiff.core.restrictions import Restriction
from structdiff.frontends.json_schema.leaves import KEYWORD
from structdiff.frontends.python_types import functions
from structdiff.frontends.python_types.questions import CHANGES_INPUT, Core, Schema, has_kind

_HOOKS = ("pydantic_js_functions", "pydantic_js_annotation_functions")
_SAID = ("title", "description", "examples", "deprecated", "default", "readOnly", "writeOnly")
"""Keywords that assert nothing."""


class BaseReader(GenerateJsonSchema):
    """One use reads one core schema: ``Reader().generate(core_schema)``; then ``notes`` are what is not written."""

    def __init__(self) -> None:
        super().__init__(by_alias=True)
        self.notes: list[Restriction] = []
        self.referred: dict[str, Core] = {}
        self._at = [""]
        self._configs: list[Core] = [{}]

    # ---------------------------------------------------------------------------------------------- place and config

    @contextmanager
    def inside(self, *steps: str) -> Iterator[None]:
        """What is read now stands below here in the JSON Schema."""
        pointer = self._at[-1]
        for step in steps:
            pointer = pointer_of(pointer, step)
        self._at.append(pointer)
        try:
            yield
        finally:
            self._at.pop()

    def refuse(self, what: str, reason: str) -> UnsupportedSchema:
        return UnsupportedSchema(self._at[-1], what, reason)

    def note(self, keyword: str, reason: str) -> None:
        self.notes.append(Restriction(self._at[-1], keyword, reason))

    def config(self, name: str, schema: Core, default: Any = None, own: str = "") -> Any:
        """A setting: of the schema itself (as ``own``), else of the class around it."""
        found = schema.get(own or name)
        return self._configs[-1].get(name, default) if found is None else found

    # ------------------------------------------------------------------------------------------------- generate, hooks

    def generate(self, schema: Any, mode: Any = "validation") -> Schema:
        found = super().generate(schema, mode)
        _write_out(found, found)
        return found

    def generate_inner(self, schema: Any) -> Schema:
        """One node: as it is checked, then what the user's own hooks say of it."""
        metadata = schema.get("metadata") or {}
        user = [name for name in _HOOKS if any(not _own_hook(hook) for hook in metadata.get(name, ()))]
        said = {key: value for key, value in metadata.get("pydantic_js_updates", {}).items() if key in _SAID}
        extra = metadata.get("pydantic_js_extra")
        if not any(name in metadata for name in (*_HOOKS, "pydantic_js_updates", "pydantic_js_extra")):
            return super().generate_inner(schema)
        checked: Any = {key: value for key, value in metadata.items() if key not in (*_HOOKS, "pydantic_js_extra")}
        checked["pydantic_js_updates"] = said
        if not user and extra is None:
            return super().generate_inner({**schema, "metadata": checked})
        hooked = {**checked, **({"pydantic_js_extra": extra} if extra is not None else {})}
        hooked |= {name: [hook for hook in metadata[name] if not _own_hook(hook)] for name in user}
        if "ref" in schema or any(has_kind(schema, kind) for kind in CHANGES_INPUT):
            return super().generate_inner({**schema, "metadata": hooked})
        try:
            read = super().generate_inner({**schema, "metadata": checked})
        except PydanticInvalidForJsonSchema:
            return super().generate_inner({**schema, "metadata": hooked})
        return _narrowed(dict(read), super().generate_inner({**schema, "metadata": hooked}))

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Schema:
        raise self.refuse(str(schema["type"]), f"no JSON value is one ({error_info})")

    def _update_class_schema(self, json_schema: Schema, cls: type[Any], config: Any) -> None:
        before = dict(json_schema)
        super()._update_class_schema(json_schema, cls, config)
        kept = _narrowed(before, dict(json_schema))
        json_schema.clear()
        json_schema.update(kept)


def _own_hook(hook: Any) -> bool:
    """Does Pydantic itself say this of a type of its own?"""
    return functions.is_of_pydantic(hook) and not isinstance(getattr(hook, "__self__", None), WithJsonSchema)


def _narrowed(read: Schema, hooked: Schema) -> Schema:
    """What a hook made of a schema, with what it left out of what is checked."""
    lost = {key: value for key, value in read.items() if key not in _SAID and hooked.get(key) != value}
    if "$ref" in hooked and "$ref" not in read:
        return {"allOf": [read, hooked]}
    return {**hooked, "allOf": [*hooked.get("allOf", ()), lost]} if lost else hooked


def _write_out(part: Any, root: Schema) -> None:
    """Name, inside out, the schemas that JSON inside strings has to satisfy."""
    if isinstance(part, list):
        for item in part:
            _write_out(item, root)
    if not isinstance(part, dict):
        return
    for value in list(part.values()):
        _write_out(value, root)
    asked = part.get(KEYWORD)
    if isinstance(asked, dict) and asked["text"] == [["json", ""]]:
        inner = part.pop("contentSchema")
        definitions = {"$defs": root["$defs"]} if "$defs" in root else {}
        asked["text"] = [["json", json.dumps({"allOf": [inner], **definitions} if definitions else inner)]]
