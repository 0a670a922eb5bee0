"""A JSON Schema as a short, TypeScript-like form: ``{"name": string, "tags"?: [string, ...]}``.

The form guides the model; it is the constraint, not the form, that guarantees validity. A definition that is used more
than once, by others or by itself, is written once and by its name elsewhere, so that a form is as long as its schema. A
form that would be too long says where it leaves something out.

>>> node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}, "required": ["next"]}
>>> print(render_form({"$ref": "#/$defs/Node", "$defs": {"Node": node}}))
Node
Node = {"next": Node}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from structdiff.core.recent import Recent
from structdiff.frontends.shared import Shared, spelled, walk

ONE_LINE = 88
"""Forms up to this many characters, and without descriptions, are written on one line."""
MOST = 24_000
"""The most characters of a form; beyond it parts are not shown."""
SHORT = 40
"""A definition of at most this many characters is written out at every use: its name would say less."""
_DEEPEST = 100
_LEAF = 200
"""The most characters of a leaf, a key or a note in a form that is shortened."""
_MEMBERS = 20
"""The most members or options of one part of a form that is shortened to its upper levels."""
_TAIL = 60
"""Characters kept for the line that says how many definitions are not shown."""
_DEPTHS = (8, 5, 3, 2, 1)
_KEPT_BYTES = 8 << 20


@dataclass(frozen=True)
class Form:
    """The text of a form, and whether it leaves parts of the schema out."""

    text: str
    shortened: bool = False


_kept: Recent[Form] = Recent(_KEPT_BYTES)


def render_form(schema: Any) -> str:
    """The form of a schema given as Python data."""
    return form_of(schema).text


def form_of(schema: Any) -> Form:
    """The form of a schema, remembered by content.

    >>> form_of({"type": "object", "properties": {"a": {"type": "integer"}}})
    Form(text='{"a"?: integer}', shortened=False)
    """
    try:
        key = hashlib.sha256(json.dumps(schema).encode()).digest()
    except (TypeError, ValueError, RecursionError):  # no JSON, or nested too deep to be a key
        return _form(schema)
    found = _kept.get(key)
    if found is None:
        found = _form(schema)
        _kept.put(key, found, 2 * len(found.text) + 500)
    return found


def _form(schema: Any) -> Form:
    shared = Shared(schema)
    for depth, members in ((_DEEPEST, None), *((depth, _MEMBERS) for depth in _DEPTHS)):
        try:
            form = _Writer(shared, depth, members).form(schema)
        except _TooLong:
            continue
        return form
    return _Writer(shared, _DEPTHS[-1], _MEMBERS, patient=True).form(schema)


class _TooLong(Exception):
    """The form exceeds its bound of characters."""


class _Writer:
    """Writes a form down to ``depth`` levels, with at most ``members`` members of each part (None: all).

    It raises `_TooLong` beyond `MOST` characters, unless it is ``patient``: then definitions beyond are not shown.
    """

    def __init__(self, shared: Shared, depth: int, members: int | None, patient: bool = False) -> None:
        self.shared, self.depth, self.members, self.patient = shared, depth, members, patient
        self.wanted: dict[int, Any] = {}
        self.order: list[int] = []
        self.shortened = False
        self._short: dict[int, str | None] = {}

    def form(self, schema: Any) -> Form:
        root = {id(schema): schema} if id(schema) in self.shared.names else {}
        text = self.name(id(schema), schema) if root else self.piece(schema, MOST - _TAIL)
        at = 0
        while at < len(self.order):  # definitions ask for further ones
            number = self.order[at]
            head = f"\n{self.shared.names[number]} = "
            try:
                text += head + self.piece(self.wanted[number], MOST - _TAIL - len(text) - len(head))
            except _TooLong:
                if not self.patient:
                    raise
                self.shortened = True
                return Form(f"{text}\n{len(self.order) - at} or more definitions not shown", True)
            at += 1
        return Form(text, self.shortened)

    def piece(self, schema: Any, most: int) -> str:
        """A form or a definition: on one line where it is short and holds no descriptions."""
        described = not self.shared.names and _has_description(schema)
        asked, shortened = len(self.order), self.shortened
        if not described:
            try:
                line = _Piece(self, None, min(ONE_LINE, most))
                text = line.write(schema)
                if len(text) <= ONE_LINE and not (self.shared.names and line.described):
                    return text
            except _TooLong:
                pass
        for number in self.order[asked:]:
            del self.wanted[number]
        del self.order[asked:]
        self.shortened = shortened
        text = _Piece(self, 2, most).write(schema)
        if len(text) > most:
            raise _TooLong
        return text

    def name(self, number: int, target: Any) -> str:
        """The name of a shared definition, or the definition itself where it is short."""
        if number not in self._short:
            self._short[number] = self._at_most(target, SHORT)
        short = self._short[number]
        if short is not None:
            return short
        if number not in self.wanted:
            self.wanted[number] = target
            self.order.append(number)
        return self.shared.names[number]

    def _at_most(self, target: Any, most: int) -> str | None:
        piece = _Piece(self, None, most, alone=True)
        shortened = self.shortened
        try:
            text = piece.write(target)
        except _TooLong:
            text = ""
        fits = bool(text) and len(text) <= most and not piece.described and self.shortened == shortened
        self.shortened = shortened
        return text if fits else None


class _Piece:
    """One form or definition, on one line (``indent`` None) or indented, of at most ``most`` characters; ``alone``
    refuses references."""

    def __init__(self, writer: _Writer, indent: int | None, most: int, alone: bool = False) -> None:
        self.writer, self.indent, self.left, self.alone = writer, indent, most, alone
        self.depth = 0
        self.described = False

    def write(self, schema: Any) -> str:
        """The text of what a name stands for, or of the whole form."""
        return self.inner(schema, 0)

    def spent(self, text: str) -> str:
        self.left -= len(text)
        if self.left < 0:
            raise _TooLong
        return text

    def leaf(self, text: str) -> str:
        if self.writer.members is not None and len(text) > _LEAF:
            self.writer.shortened = True
            text = f"{text[:_LEAF]}... ({len(text) - _LEAF} characters not shown)"
        return self.spent(text)

    def render(self, schema: Any, level: int = 0) -> str:
        if isinstance(schema, Mapping) and id(schema) in self.writer.shared.names:
            if self.alone:
                raise _TooLong
            return self.spent(self.writer.name(id(schema), schema))
        return self.inner(schema, level)

    def inner(self, schema: Any, level: int) -> str:
        if schema is True or schema == {}:
            return self.spent("any")
        if not isinstance(schema, Mapping):
            return self.spent("nothing")
        if "$ref" in schema:
            target = self.writer.shared.target(schema)
            return self.leaf(_plain_name(schema["$ref"])) if target is None else self.render(target, level)
        if "const" in schema:
            return self.leaf(spelled(schema["const"]))
        if "enum" in schema:
            return self.options([self.leaf(spelled(value)) for value in self.sample(schema["enum"])], schema["enum"])
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                shown = dict.fromkeys(self.deeper(option, level) for option in self.first(schema[keyword]))
                return self.options(list(shown), schema[keyword])
        if "allOf" in schema and len(schema["allOf"]) == 1 and "properties" not in schema:
            return self.deeper(schema["allOf"][0], level)
        kinds = schema.get("type")
        if isinstance(kinds, list):
            return " | ".join(self.inner({**schema, "type": kind}, level) for kind in kinds)
        if kinds == "object" or (kinds is None and "properties" in schema):
            return self._object(schema, level)
        if kinds == "array" or (kinds is None and ("items" in schema or "prefixItems" in schema)):
            return self._array(schema, level)
        if kinds == "string" or (kinds is None and ("pattern" in schema or "format" in schema)):
            return self.leaf("string" + _string_note(schema))
        return self.leaf(f"{kinds}{_range_note(schema)}" if kinds else "any")

    def deeper(self, schema: Any, level: int) -> str:
        self.depth += 1
        try:
            return self.render(schema, level)
        finally:
            self.depth -= 1

    def first(self, items: Any) -> Any:
        most = self.writer.members
        return items if most is None or len(items) <= most else items[:most]

    def sample(self, values: Any) -> list[Any]:
        """As many values from all over a long list: the first, the last, and evenly between them."""
        most = self.writer.members
        if most is None or len(values) <= most:
            return list(values)
        return [values[i * (len(values) - 1) // max(most - 1, 1)] for i in range(most)]

    def options(self, shown: list[str], options: Any) -> str:
        self.spent(" | " * (len(shown) - 1))
        return " | ".join([*shown, *self.rest(options, "more not shown")])

    def rest(self, items: Any, what: str) -> list[str]:
        """What is said of the items beyond the first ones."""
        left = len(items) - len(self.first(items))
        if not left:
            return []
        self.writer.shortened = True
        return [self.spent(f"{left} {what}")]

    def hidden(self, opening: str, closing: str) -> str | None:
        """What stands for a part that lies too deep to be shown."""
        if self.depth < self.writer.depth:
            return None
        self.writer.shortened = True
        return self.spent(f"{opening}not shown{closing}")

    def _object(self, schema: Mapping[str, Any], level: int) -> str:
        properties = schema.get("properties") or {}
        extra = schema.get("additionalProperties")
        more = isinstance(extra, Mapping) and not properties
        if (properties or more) and (hidden := self.hidden("{", "}")) is not None:
            return hidden
        required = set(schema.get("required", ()))
        members = []
        names = list(properties)
        for name in self.first(names):
            key = self.leaf(spelled(name) + ("" if name in required else "?") + ": ")
            members.append((key + self.deeper(properties[name], level + 1), self.note(properties[name])))
        members += [(text, "") for text in self.rest(names, "more members not shown")]
        if more:
            members.append((f"string: {self.deeper(extra, level + 1)}, ...", ""))
        return self._bracket("{", "}", members, level)

    def note(self, schema: Any) -> str:
        note = _description(schema)
        self.described |= bool(note)
        return self.leaf(note) if note and self.indent is not None else ""

    def _array(self, schema: Mapping[str, Any], level: int) -> str:
        first = schema.get("prefixItems", ())
        items = schema.get("items", not first)
        if isinstance(items, list):
            first, items = items, schema.get("additionalItems", False)
        if (first or isinstance(items, Mapping)) and (hidden := self.hidden("[", "]")) is not None:
            return hidden
        members = [self.deeper(item, level) for item in self.first(first)] + self.rest(first, "more items not shown")
        if items is not False:
            low, high = schema.get("minItems", 0), schema.get("maxItems")
            count = f" ({low})" if high is not None and high == low else ""
            members.append(f"{self.deeper(items, level)}, ...{count}")
        self.spent(", " * (len(members) - 1))
        return "[" + ", ".join(members) + "]"

    def _bracket(self, opening: str, closing: str, members: list[tuple[str, str]], level: int) -> str:
        if not members:
            return self.spent(opening + closing)
        if self.indent is None:
            self.spent(", " * (len(members) - 1))
            return opening + ", ".join(member for member, _ in members) + closing
        pad = " " * self.indent * (level + 1)
        self.spent((pad + ",\n") * (len(members) + 1) + "  // " * sum(bool(note) for _, note in members))
        lines = [
            f"{pad}{member}{',' if i + 1 < len(members) else ''}{f'  // {note}' if note else ''}"
            for i, (member, note) in enumerate(members)
        ]
        return opening + "\n" + "\n".join(lines) + "\n" + " " * self.indent * level + closing


def _plain_name(ref: Any) -> str:
    return str(ref).rsplit("/", 1)[-1] or "root"


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


def has_optional(schema: Any) -> bool:
    """May a listed property be left out anywhere?"""
    return any(
        isinstance(part.get("properties"), Mapping) and set(part["properties"]) - set(part.get("required", ()))
        for part in walk(schema)
    )


def _has_description(schema: Any) -> bool:
    return any(
        isinstance(part.get("properties"), Mapping)
        and any(_description(value) for value in part["properties"].values())
        for part in walk(schema)
    )
