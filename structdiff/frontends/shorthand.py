"""The front end of lists of fields: ``name, age int, mail email: where to write`` is a schema in a line.

It is the shorthand of the program `llm`, with a few more types: fields by commas, or by lines where the text has
several; a name, a type where it is not text, and behind a colon what the model is told. A name with ``?`` may be left
out, a type with ``[]`` is a list.
"""

from __future__ import annotations

import difflib
import re
from typing import Any

from structdiff.core.errors import InvalidSchema
from structdiff.frontends.protocol import Options, Source

TYPES: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"},
    "datetime": {"type": "string", "format": "date-time"},
    "email": {"type": "string", "format": "email"},
    "uri": {"type": "string", "format": "uri"},
    "uuid": {"type": "string", "format": "uuid"},
}
_FIELD = re.compile(r"([^\W\d][\w-]*)(\??)(?:\s+(\w+)((?:\[\])?))?")


def is_shorthand(text: str) -> bool:
    """Does a text look like a list of fields? One bare name does not: it may be a file's.

    >>> [is_shorthand(text) for text in ("name, age int", "contact.json", "age int", "my file.json")]
    [True, False, True, False]
    """
    fields = _split(text)
    if len(fields) == 1 and not re.search(r"[\s:]", fields[0]):
        return False
    return all(re.match(r"[^\W\d][\w-]*\??(?:$|[\s:])", field) and "." not in _head(field) for field in fields)


def _split(text: str) -> list[str]:
    parts = text.split("\n") if "\n" in text.strip() else text.split(",")
    return [part.strip() for part in parts if part.strip()]


def _head(field: str) -> str:
    return field.partition(":")[0].strip()


def schema_of(text: str) -> dict[str, Any]:
    """The JSON Schema of a list of fields.

    >>> schema_of("name, age? int: in years")["properties"]
    {'name': {'type': 'string'}, 'age': {'type': 'integer', 'description': 'in years'}}
    >>> schema_of("name, age? int")["required"]
    ['name']

    Raises `InvalidSchema` for a field that cannot be read.
    """
    properties: dict[str, Any] = {}
    required = []
    for field in _split(text):
        match = _FIELD.fullmatch(_head(field))
        if match is None:
            raise InvalidSchema(f"{field!r} is no field; write a name, and a type where it is not text: 'age int'")
        name, optional, kind, many = match.groups()
        if name in properties:
            raise InvalidSchema(f"the field {name!r} is there twice")
        if kind is not None and kind not in TYPES:
            close = difflib.get_close_matches(kind, TYPES, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(TYPES)}"
            raise InvalidSchema(f"the field {name!r} has no type {kind!r}; {hint}")
        found = dict(TYPES[kind or "str"])
        properties[name] = {"type": "array", "items": found} if many else found
        if told := field.partition(":")[2].strip():
            properties[name]["description"] = told
        if not optional:
            required.append(name)
    if not properties:
        raise InvalidSchema("there is no field in the shorthand")
    return {"type": "object", "properties": properties, "required": required}


class ShorthandFrontEnd:
    """Reads no Python value; as text, a list of fields, which is the JSON Schema of these."""

    name = "shorthand"

    def accepts(self, source: Any) -> bool:
        return False

    def read(self, source: Any, options: Options) -> Source:
        raise InvalidSchema("a shorthand is text; `schema_of` gives its JSON Schema")

    def from_text(self, text: str) -> Any:
        return schema_of(text)
