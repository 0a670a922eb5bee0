"""The prompt: what the model is told about the task, in a form a person can read too.

>>> print(build_prompt("Ann is 31.", {"type": "object", "properties": {"name": {"type": "string"},
...     "age": {"type": "integer"}}, "required": ["name"]}))
Answer with JSON of this form ("?" marks what may be left out):
{"name": string, "age"?: integer}
<BLANKLINE>
Text:
Ann is 31.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

ONE_LINE = 88
"""Forms up to this many characters, and without descriptions, are written on one line."""


def build_prompt(text: str, schema: Any, *, instructions: str = "") -> str:
    """The user message for filling ``schema`` (a JSON Schema as Python data) from ``text``."""
    optional = ' ("?" marks what may be left out)' if _has_optional(schema) else ""
    return _assemble(f"Answer with JSON of this form{optional}:\n{render_form(schema)}", text, instructions)


def build_choice_prompt(text: str, choices: list[str], *, instructions: str = "") -> str:
    """The user message for picking one of ``choices`` as the label of ``text``."""
    return _assemble("Answer with one of: " + ", ".join(choices), text, instructions)


def build_regex_prompt(text: str, pattern: str, *, instructions: str = "") -> str:
    """The user message for an answer that matches ``pattern``."""
    return _assemble(f"Answer with text that matches the pattern: {pattern}", text, instructions)


def build_grid_prompt(puzzle: str, kind: str, *, instructions: str = "") -> str:
    """The user message for completing ``puzzle``, a grid in lines with "." for empty cells.

    >>> print(build_grid_prompt("1.\\n.1", "latin square"))
    Answer with the completed grid (latin square).
    <BLANKLINE>
    Text:
    1.
    .1
    """
    return _assemble(f"Answer with the completed grid ({kind}).", puzzle, instructions)


def build_table_prompt(text: str, columns: Mapping[str, Any], style: str, *, instructions: str = "") -> str:
    """The user message for a table in ``style`` ("markdown", "csv", ...) whose columns have these JSON Schemas.

    >>> print(build_table_prompt("2 lamps", {"item": {"type": "string"}, "n": {"type": "integer"}}, "csv"))
    Answer with a csv table of the columns: item (string), n (integer)
    <BLANKLINE>
    Text:
    2 lamps
    """
    forms = ", ".join(f"{name} ({render_form(schema)})" for name, schema in columns.items())
    return _assemble(f"Answer with a {style} table of the columns: {forms}", text, instructions)


def _assemble(task: str, text: str, instructions: str) -> str:
    head = f"{instructions.strip()}\n\n" if instructions.strip() else ""
    return f"{head}{task}\n\nText:\n{text}"


def render_form(schema: Any) -> str:
    """A JSON Schema as a short, TypeScript-like form: ``{"name": string, "tags"?: [string, ...]}``.

    The form guides the model; it is the constraint, not the form, that guarantees validity. References are written
    out once; a reference back into itself is written by its name.
    """
    line = _Renderer(schema, indent=None).render(schema)
    if len(line) <= ONE_LINE and not _has_description(schema):
        return line
    return _Renderer(schema, indent=2).render(schema)


class _Renderer:
    def __init__(self, root: Any, indent: int | None) -> None:
        self.root, self.indent = root, indent
        self.open_refs: list[str] = []

    def render(self, schema: Any, level: int = 0) -> str:
        if schema is True or schema == {}:
            return "any"
        if not isinstance(schema, Mapping):
            return "nothing"
        if "$ref" in schema:
            return self._reference(schema["$ref"], level)
        if "const" in schema:
            return _json(schema["const"])
        if "enum" in schema:
            return " | ".join(_json(value) for value in schema["enum"])
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return " | ".join(dict.fromkeys(self.render(option, level) for option in schema[keyword]))
        if "allOf" in schema and len(schema["allOf"]) == 1 and "properties" not in schema:
            return self.render(schema["allOf"][0], level)
        kinds = schema.get("type")
        if isinstance(kinds, list):
            return " | ".join(self.render({**schema, "type": kind}, level) for kind in kinds)
        if kinds == "object" or (kinds is None and "properties" in schema):
            return self._object(schema, level)
        if kinds == "array" or (kinds is None and ("items" in schema or "prefixItems" in schema)):
            return self._array(schema, level)
        if kinds == "string" or (kinds is None and ("pattern" in schema or "format" in schema)):
            return "string" + _string_note(schema)
        return f"{kinds}{_range_note(schema)}" if kinds else "any"

    def _reference(self, ref: str, level: int) -> str:
        name = ref.rsplit("/", 1)[-1] or "root"
        if ref in self.open_refs or not ref.startswith("#"):
            return name
        target = self.root
        for part in ref[1:].split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            if isinstance(target, Mapping) and part in target:
                target = target[part]
            elif isinstance(target, list) and part.isdigit() and int(part) < len(target):
                target = target[int(part)]
            else:
                return name
        self.open_refs.append(ref)
        try:
            return self.render(target, level)
        finally:
            self.open_refs.pop()

    def _object(self, schema: Mapping[str, Any], level: int) -> str:
        properties = schema.get("properties") or {}
        required = set(schema.get("required", ()))
        members = []
        for name, value in properties.items():
            member = f"{_json(name)}{'' if name in required else '?'}: {self.render(value, level + 1)}"
            members.append((member, _description(value)))
        extra = schema.get("additionalProperties")
        if isinstance(extra, Mapping) and not properties:
            members.append((f"string: {self.render(extra, level + 1)}, ...", ""))
        return self._bracket("{", "}", members, level)

    def _array(self, schema: Mapping[str, Any], level: int) -> str:
        members = [self.render(item, level) for item in schema.get("prefixItems", ())]
        items = schema.get("items", not members)
        if isinstance(items, list):
            members, items = [self.render(item, level) for item in items], schema.get("additionalItems", False)
        if items is not False:
            low, high = schema.get("minItems", 0), schema.get("maxItems")
            if high is not None and high == low:
                members.append(f"{self.render(items, level)}, ... ({low})")
            else:
                members.append(f"{self.render(items, level)}, ...")
        return "[" + ", ".join(members) + "]"

    def _bracket(self, opening: str, closing: str, members: list[tuple[str, str]], level: int) -> str:
        if not members:
            return opening + closing
        if self.indent is None:
            return opening + ", ".join(member for member, _ in members) + closing
        pad = " " * self.indent * (level + 1)
        lines = [
            f"{pad}{member}{',' if i + 1 < len(members) else ''}{f'  // {note}' if note else ''}"
            for i, (member, note) in enumerate(members)
        ]
        return opening + "\n" + "\n".join(lines) + "\n" + " " * self.indent * level + closing


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _description(schema: Any) -> str:
    return " ".join(str(schema.get("description", "")).split()) if isinstance(schema, Mapping) else ""


def _string_note(schema: Mapping[str, Any]) -> str:
    if isinstance(asked := schema.get("x-structdiff"), Mapping) and asked.get("shown"):
        return f" ({asked['shown']})"
    if "format" in schema:
        return f" ({schema['format']})"
    return f" (/{schema['pattern']}/)" if "pattern" in schema else ""


def _range_note(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" ({low} to {high})"
    return f" (at least {low})" if low is not None else f" (at most {high})" if high is not None else ""


def _walk(schema: Any) -> Any:
    if isinstance(schema, Mapping):
        yield schema
        for value in schema.values():
            yield from _walk(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _walk(value)


def _has_optional(schema: Any) -> bool:
    return any(
        isinstance(part.get("properties"), Mapping) and set(part["properties"]) - set(part.get("required", ()))
        for part in _walk(schema)
    )


def _has_description(schema: Any) -> bool:
    return any(
        isinstance(part.get("properties"), Mapping)
        and any(_description(value) for value in part["properties"].values())
        for part in _walk(schema)
    )
