"""What the default model's adapters are trained on: documents that were written one by one, generated documents, and
the short texts of `training.data`."""

from __future__ import annotations

import random
from typing import Any

from training.data import Example, make_example
from training.documents import make_document_example
from training.documents.variations import make_written_example

WRITTEN = 0.75
"""Share of the written documents."""
SHORT = 0.22
"""Share of the short texts in the others."""


def make_training_example(r: random.Random, held_out: bool = False) -> Example:
    """One example; strings without a format or a pattern are spelt as in the text in all of them.

    With ``held_out`` a written document is one that training does not see.
    """
    if r.random() < WRITTEN:
        return make_written_example(r, held_out)
    if r.random() >= SHORT:
        return make_document_example(r)
    while True:
        one = make_example(r)
        if one["kind"] != "grid" and (one["kind"] == "table" or spelt_in(one["text"], one["schema"], one["value"])):
            return one


def spelt_in(text: str, schema: Any, value: Any) -> bool:
    """Whether every string of ``value`` whose schema has no format, pattern, enum or const stands in ``text``.

    >>> spelt_in("on June 9", {"type": "object", "properties": {"day": {"type": "string"}}}, {"day": "2023-06-09"})
    False
    """
    return not list(unspelt(text, schema, value))


def unspelt(text: str, schema: Any, value: Any) -> list[str]:
    """The strings of ``value`` that should stand in ``text`` and do not; a line break may be written as one blank.

    >>> schema = {"properties": {"who": {"type": "string"}, "at": {}}}
    >>> unspelt("Ann\\nRay of Ulm", schema, {"who": "Ann Ray", "at": "Bonn"})
    ['Bonn']
    """
    if isinstance(schema, dict) and "anyOf" in schema:
        found = [unspelt(text, option, value) for option in schema["anyOf"]]
        return min(found, key=len)
    if isinstance(value, dict):
        inside = schema.get("properties", {})
        return [s for key, member in value.items() for s in unspelt(text, inside.get(key, {}), member)]
    if isinstance(value, list):
        return [s for member in value for s in unspelt(text, schema.get("items", {}), member)]
    if isinstance(value, str) and not {"format", "pattern", "enum", "const"} & set(schema):
        return [] if value in text or value in " ".join(text.split()) else [value]
    return []
