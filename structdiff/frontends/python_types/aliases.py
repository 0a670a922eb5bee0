"""Fields under the names by which a class is filled: aliases, choices of aliases, paths into nested values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticOmit

if TYPE_CHECKING:
    from structdiff.frontends.python_types.base import BaseReader

Schema = dict[str, Any]
Path = tuple[str | int, ...]


@dataclass
class _Place:
    """A value that some path leads to, or through."""

    schema: Schema | None = None
    below: dict[str | int, _Place] = field(default_factory=dict)
    required: bool = False


def write_fields(reader: BaseReader, fields: Sequence[tuple[str, bool, Any]], config: Mapping[str, Any]) -> Schema:
    """The object schema of named fields; each is written under the first of its names that is a plain one."""
    root = _Place()
    taken: set[str | int] = set()
    others: set[str | int] = set()
    for name, required, core in fields:
        paths = _paths(name, core, config)
        try:
            with reader.inside("properties", name):
                schema = dict(reader.generate_inner(core))
                shown = next((path[0] for path in paths if len(path) == 1), name)
                if "title" not in schema and reader.field_title_should_be_set(core):
                    schema["title"] = reader.get_title_from_name(str(shown))
                schema = reader.handle_ref_overrides(schema)
                path = next((path for path in sorted(paths, key=len) if _put(root, path, schema, required)), None)
                if path is None:
                    raise reader.refuse("alias", f"no name of {name!r} is free: another field is written there")
        except PydanticOmit:
            continue
        if len(path) > 1 and not required:
            reader.note("alias", f"{name!r} stands wherever {path[0]!r} does")
        taken.add(path[0])
        others.update(other[0] for other in paths)
    written = _written(root)
    if others - taken:  # under another name of a field, an added key would be read as the field
        written["propertyNames"] = {"not": {"enum": sorted(map(str, others - taken))}}
    return written


def _paths(name: str, core: Mapping[str, Any], config: Mapping[str, Any]) -> list[Path]:
    """All ways to give a value to a field."""
    alias = core.get("validation_alias")
    paths: list[Path] = []
    if alias is not None and config.get("validate_by_alias") is not False:
        several = not isinstance(alias, str) and all(isinstance(path, list) for path in alias)
        paths += [tuple(path) for path in alias] if several else [(alias,) if isinstance(alias, str) else tuple(alias)]
    by_name = config.get("validate_by_name") or config.get("populate_by_name")
    return [*paths, (name,)] if by_name or not paths else paths


def _put(place: _Place, path: Path, schema: Schema, required: bool) -> bool:
    """Let ``schema`` stand at the end of ``path``; False where something else stands in the way."""
    at = place
    for step in path:
        negative = isinstance(step, int) and step < 0
        if negative or at.schema is not None or any(type(step) is not type(other) for other in at.below):
            return False
        at = at.below.get(step) or _Place()
    if at.schema is not None or at.below:
        return False
    for number, step in enumerate(path):
        place = place.below.setdefault(step, _Place())
        place.required |= required or number > 0  # a key that leads to no field is one too many
    place.schema = schema
    return True


def _written(place: _Place) -> Schema:
    if place.schema is not None:
        return place.schema
    if any(isinstance(step, int) for step in place.below):
        last = max(int(step) for step in place.below)
        items = [_written(place.below[step]) if step in place.below else {"type": "null"} for step in range(last + 1)]
        needed = max((int(step) + 1 for step, below in place.below.items() if below.required), default=0)
        return {"type": "array", "prefixItems": items, "minItems": needed, "maxItems": len(items)}
    schema: Schema = {
        "type": "object",
        "properties": {str(step): _written(below) for step, below in place.below.items()},
    }
    required = [str(step) for step, below in place.below.items() if below.required]
    return {**schema, "required": required} if required else schema
