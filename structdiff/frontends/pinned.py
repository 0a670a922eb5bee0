"""Pinned fields: a source whose output holds given values at given places, the rest filled around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from structdiff.core.errors import InvalidSchema, Unsatisfiable
from structdiff.core.json_spans import pointer_of
from structdiff.core.limits import Limits
from structdiff.frontends.json_schema.document import draft_of
from structdiff.frontends.json_schema.frontend import json_source
from structdiff.frontends.json_schema.places import listed_names, reference_tokens, subschemas
from structdiff.frontends.protocol import Grammar, Source
from structdiff.frontends.registry import read_source


@dataclass(frozen=True, eq=False)
class Pinned:
    """A JSON source with values fixed by property name or JSON Pointer; ``options`` are those of `json_schema_tree`.

    The values become ``const`` and ``required`` in the schema, so that the language, its anchors and the posterior are
    exactly those of the outputs that hold them.

    >>> schema = {"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer"}}}
    >>> Pinned(schema, {"n": 3}).as_source().parse('{"n": 3}')
    {'n': 3}

    `as_source` raises `InvalidSchema` where the source is no JSON or has no such place; compiling raises
    `Unsatisfiable` where the schema does not allow the values.
    """

    source: Any
    values: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)

    def as_source(self) -> Source:
        base = self.source if isinstance(self.source, Source) else read_source(self.source, **self.options)
        if not base.traits.json:
            raise InvalidSchema(f"values can be pinned in JSON only, not in {base.name}")
        schema = base.schema if isinstance(base.schema, dict) else {"allOf": [base.schema]}
        draft = draft_of(schema, self.options.get("draft", "2020-12"))
        if "$ref" in schema and draft in ("4", "6", "7"):
            raise InvalidSchema(f"in draft {draft} nothing may stand beside a $ref at the root; put it into allOf")
        pins = [_pin(schema, _pointer(name), value, draft) for name, value in self.values.items()]
        pinned = {**schema, "allOf": [*(schema.get("allOf") or []), *pins]}

        def told(whole: Source) -> Source:
            def build(limits: Limits) -> Grammar:
                try:
                    return whole.build(limits)
                except Unsatisfiable as error:
                    values = dict(self.values)
                    raise Unsatisfiable(f"the schema does not allow the values {values!r}: {error}") from error

            within = whole.within
            assert within is not None
            return replace(base, build=build, key=whole.key, within=lambda horizon: told(within(horizon)))

        return told(json_source(pinned, base.name, base.parse, self.options))


def _pointer(name: str) -> str:
    return name if name.startswith("/") else pointer_of("", name)


def _pin(schema: Any, pointer: str, value: Any, draft: str) -> dict[str, Any]:
    """The schema that says: ``value`` is what stands at ``pointer``."""
    pin: dict[str, Any] = {"enum": [value]}
    if isinstance(value, int) and not isinstance(value, bool):
        pin = {"type": "integer", "minimum": value, "maximum": value}  # an enum would allow 7.0 for 7
    first_items = "prefixItems" if draft == "2020-12" else "items"
    tokens = reference_tokens(pointer)
    for depth in range(len(tokens), 0, -1):
        parent = "".join(pointer_of("", token) for token in tokens[: depth - 1])
        token, parts = tokens[depth - 1], subschemas(schema, parent)
        listed = token in listed_names(schema, parent)
        if not listed and token.isdigit() and any("items" in part or "prefixItems" in part for part in parts):
            pin = {"type": "array", first_items: [*[{}] * int(token), pin], "minItems": int(token) + 1}
        elif listed or any(isinstance(part.get("additionalProperties"), dict) for part in parts):
            pin = {"type": "object", "properties": {token: pin}, "required": [token]}
        else:
            known = ", ".join(listed_names(schema, parent)) or "nothing"
            raise InvalidSchema(f"the schema lists no {token!r} here, but {known}", pointer=parent)
    return pin
