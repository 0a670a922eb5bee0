"""A JSON Schema document: its draft, its validity, and what its references mean. Nothing is ever fetched.

>>> document = Document({"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n"})
>>> document.draft, document.pointer(document.root["$defs"]["n"])
('2020-12', '/$defs/n')
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jsonschema_rs
from jsonschema_specifications import REGISTRY as SPECIFICATIONS
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import specification_with

from structdiff.core.errors import InvalidSchema, UnsupportedSchema
from structdiff.frontends.json_schema.contents import SCALARS, Contents

DRAFTS = {
    "4": ("http://json-schema.org/draft-04/schema", "Draft4Validator"),
    "6": ("http://json-schema.org/draft-06/schema", "Draft6Validator"),
    "7": ("http://json-schema.org/draft-07/schema", "Draft7Validator"),
    "2019-09": ("https://json-schema.org/draft/2019-09/schema", "Draft201909Validator"),
    "2020-12": ("https://json-schema.org/draft/2020-12/schema", "Draft202012Validator"),
}
BY_URI = {uri: name for name, (uri, _) in DRAFTS.items()}
DIALECTS = {"https://spec.openapis.org/oas/3.1/dialect/base": "2020-12"}
"""Dialects of others by the draft that they add annotations to."""
ORDER = {name: i for i, name in enumerate(DRAFTS)}
_NESTED = (
    *("items", "prefixItems", "additionalItems", "unevaluatedItems", "contains", "additionalProperties"),
    *("unevaluatedProperties", "propertyNames", "allOf", "anyOf", "oneOf", "not", "if", "then", "else"),
)
_KEYED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")


def escape(token: str | int) -> str:
    """A JSON Pointer step.

    >>> escape("a/b~c")
    'a~1b~0c'
    """
    return str(token).replace("~", "~0").replace("/", "~1")


def draft_of(schema: Any, default: str = "2020-12") -> str:
    """The draft that ``$schema`` names.

    >>> draft_of({"$schema": "http://json-schema.org/draft-07/schema#"}), draft_of({})
    ('7', '2020-12')
    """
    if not isinstance(schema, Mapping) or not isinstance(schema.get("$schema"), str):
        return default
    uri = schema["$schema"].rstrip("#").replace("https://json-schema.org/draft-0", "http://json-schema.org/draft-0")
    if uri.replace("http://json-schema.org/draft/", "https://json-schema.org/draft/") in BY_URI:
        return BY_URI[uri.replace("http://json-schema.org/draft/", "https://json-schema.org/draft/")]
    if uri in ("http://json-schema.org/schema", "https://json-schema.org/schema"):
        return default
    if uri in DIALECTS:
        return DIALECTS[uri]
    raise UnsupportedSchema("", "$schema", f"{schema['$schema']!r} is not draft 4, 6, 7, 2019-09 or 2020-12")


class Document:
    """A schema with everything needed to follow its references."""

    def __init__(self, schema: Any, registry: Registry | Mapping[str, Any] | None = None, default: str = "2020-12"):
        if not isinstance(schema, Mapping | bool):
            raise InvalidSchema(f"a JSON Schema is an object or true or false, not {type(schema).__name__}")
        self.root = _apart(schema)
        schema = self.root
        self.draft = draft_of(schema, default)
        self.notes: list[str] = []
        self._validate()
        self.registry = _registry(registry, self.draft)
        self.specification = specification_with(DRAFTS[self.draft][0])
        resource = self.specification.create_resource(schema)
        self._resolver = self.registry.resolver_with_root(resource)
        self._pointers: dict[int, str] = {}
        self._resolvers: dict[int, Any] = {}
        self._drafts: dict[int, str] = {}
        self._kept: list[Any] = []
        self._is_schema: dict[int, bool] = {}
        self._contents = Contents()
        self.index(schema, "", self._resolver, self.draft)
        self._of_root = frozenset(self._pointers)
        self._remote = registry is not None

    def _validate(self) -> None:
        """The schema against its metaschema. Without ``$schema`` an older draft is tried before giving up."""
        first = _first_error(self.root, self.draft)
        if first is None:
            return
        if isinstance(self.root, Mapping) and "$schema" not in self.root:
            for draft in ("7", "4"):
                if _first_error(self.root, draft) is None:
                    self.notes.append(f"no $schema, and not valid under {self.draft}: read as draft {draft}")
                    self.draft = draft
                    return
        raise InvalidSchema(first[1], first[0])

    def index(self, schema: Any, pointer: str, resolver: Any, draft: str) -> None:
        """Remember pointer, draft and resolver of every object below (also of those that no keyword reaches)."""
        pending: list[tuple[Any, str, Any, str, bool]] = [(schema, pointer, resolver, draft, True)]
        while pending:
            part, at, resolver, draft, is_schema = pending.pop()
            if isinstance(part, Mapping):
                if id(part) in self._pointers:
                    continue
                _refuse_unwritable(part, at)
                self._kept.append(part)
                self._is_schema[id(part)] = is_schema
                if is_schema and part is not schema:
                    if isinstance(part.get("$schema"), str):
                        draft = draft_of(part, draft)
                    identifier = part.get("id" if draft == "4" else "$id")
                    if isinstance(identifier, str) and not (ORDER[draft] < ORDER["2019-09"] and "$ref" in part):
                        sub = specification_with(DRAFTS[draft][0]).create_resource(part)
                        resolver = resolver.in_subresource(sub)
                self._pointers[id(part)], self._resolvers[id(part)], self._drafts[id(part)] = at, resolver, draft
                for key, value in part.items():
                    if is_schema and key in _KEYED and isinstance(value, Mapping):  # a table of schemas by name
                        self._pointers[id(value)] = f"{at}/{escape(key)}"
                        for name, inner in value.items():
                            pending.append((inner, f"{at}/{escape(key)}/{escape(name)}", resolver, draft, True))
                    elif type(value) not in SCALARS:
                        pending.append((value, f"{at}/{escape(key)}", resolver, draft, is_schema and key in _NESTED))
            elif isinstance(part, list):
                for i, value in enumerate(part):
                    if type(value) not in SCALARS:
                        pending.append((value, f"{at}/{i}", resolver, draft, is_schema))

    def schemas(self) -> list[Any]:
        """Every object of the document that stands where a schema is expected."""
        return [part for part in self._kept if self._is_schema[id(part)]]

    def has(self, pointer: str) -> bool:
        """Does a pointer lead to something in the document?"""
        part = self.root
        for token in pointer.split("/")[1:]:
            if isinstance(part, Mapping):
                key = token.replace("~1", "/").replace("~0", "~")
                if key not in part:
                    return False
                part = part[key]
            elif isinstance(part, list) and token.isdigit() and int(token) < len(part):
                part = part[int(token)]
            else:
                return False
        return True

    def pointer(self, schema: Any) -> str:
        return self._pointers.get(id(schema), "")

    def draft_at(self, schema: Any) -> str:
        return self._drafts.get(id(schema), self.draft)

    def meaning(self, schema: Mapping[str, Any]) -> tuple[int, int, str]:
        """Equal for schemas that say the same: word for word, from where the same references lead to the same places.

        >>> document = Document({"properties": {"a": {"type": "null"}, "b": {"type": "null"}}})
        >>> a, b = document.root["properties"].values()
        >>> document.meaning(a) == document.meaning(b) != document.meaning(document.root)
        True
        """
        resolver = self._resolvers.get(id(schema), self._resolver)
        return self._contents.number(schema), id(resolver), self.draft_at(schema)

    def follow(self, schema: Any) -> Any:
        """The first schema on a chain of references that says more than ``$ref``."""
        seen = set()
        while isinstance(schema, Mapping) and len(schema) == 1 and "$ref" in schema and id(schema) not in seen:
            seen.add(id(schema))
            schema = self.resolve(schema, "$ref")
        return schema

    def _is_static(self, schema: Any, reference: str) -> bool:
        """Does a dynamic reference mean the same wherever the value came from? True if its anchor is the only one."""
        if self._remote or id(schema) not in self._of_root:
            return False
        name = reference.rpartition("#")[2]
        anchors = [part.get("$dynamicAnchor") for part in self._kept]
        return anchors.count(name) <= 1 and not any("$recursiveAnchor" in part for part in self._kept)

    def resolve(self, schema: Mapping[str, Any], keyword: str) -> Any:
        """The schema that ``schema[keyword]`` refers to."""
        reference = schema[keyword]
        if keyword != "$ref" and not self._is_static(schema, reference):
            raise UnsupportedSchema(
                self.pointer(schema), keyword, "what it refers to depends on the way that leads there; use $ref"
            )
        resolver = self._resolvers.get(id(schema), self._resolver)
        try:
            found = resolver.lookup(reference)
        except (Unresolvable, ValueError, AttributeError, KeyError, TypeError, IndexError):
            raise UnsupportedSchema(
                self.pointer(schema), keyword,
                f"{reference!r} leads nowhere in this document or in the registry handed in; nothing is fetched",
            ) from None  # fmt: skip
        contents = found.contents
        if not isinstance(contents, Mapping | bool):
            raise InvalidSchema(f"{reference!r} does not lead to a schema", self.pointer(schema))
        if isinstance(contents, Mapping) and id(contents) not in self._pointers:
            draft = draft_of(contents, self.draft_at(schema))
            self.index(contents, reference, found.resolver, draft)
        return contents


MANY_COPIES = 100_000
"""Schemas whose shared parts make more than so many are left as they are."""


def _apart(schema: Any) -> Any:
    """The schema with no part in two places: a place is known by its part. One from JSON text is returned as it is.

    >>> text = {"type": "string"}
    >>> schema = _apart({"properties": {"a": text, "b": text}})
    >>> schema["properties"]["a"] is schema["properties"]["b"], schema["properties"]["b"]
    (False, {'type': 'string'})
    """
    seen: set[int] = set()
    pending = [schema]
    shared = False
    while pending and not shared:
        part = pending.pop()
        if type(part) not in SCALARS and isinstance(part, Mapping | list):
            shared = id(part) in seen
            seen.add(id(part))
            pending.extend(part.values() if isinstance(part, Mapping) else part)
    if not shared:
        return schema
    top: list[Any] = [None]
    copies: list[tuple[Any, Any, Any]] = [(top, 0, schema)]  # where to, under which key, what
    for made, (into, key, part) in enumerate(copies):
        if made > MANY_COPIES:
            return schema
        into[key] = part
        if isinstance(part, Mapping):
            into[key] = dict.fromkeys(part)
            copies.extend((into[key], name, value) for name, value in part.items())
        elif isinstance(part, list):
            into[key] = [None] * len(part)
            copies.extend((into[key], i, value) for i, value in enumerate(part))
    return top[0]


def _registry(given: Registry | Mapping[str, Any] | None, draft: str) -> Registry:
    if isinstance(given, Registry):
        return given.combine(SPECIFICATIONS)
    specification = specification_with(DRAFTS[draft][0])
    pairs = [
        (uri, Resource.from_contents(contents, default_specification=specification))
        for uri, contents in (given or {}).items()
    ]
    known: Registry = SPECIFICATIONS.with_resources(pairs)
    return known


_NUMBERS = ("const", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")


def _refuse_unwritable(schema: Mapping[str, Any], pointer: str) -> None:
    """Raises `InvalidSchema` where a keyword holds a number that JSON cannot write: infinite or not a number."""
    for keyword in _NUMBERS:
        pending = [(schema[keyword], f"{pointer}/{keyword}")] if keyword in schema else []
        while pending:
            value, at = pending.pop()
            if isinstance(value, float) and not math.isfinite(value):
                raise InvalidSchema(f"{value} is no number that JSON can write (1e400 is read as inf)", at)
            if isinstance(value, Mapping):
                pending += [(inner, f"{at}/{escape(key)}") for key, inner in value.items()]
            elif isinstance(value, list | tuple):
                pending += [(inner, f"{at}/{i}") for i, inner in enumerate(value)]


SAFE_LEVELS = 300
"""jsonschema-rs recurses on the machine's stack; deeper schemas are left to jsonschema."""


def _levels(schema: Any, enough: int) -> int:
    """How many levels of arrays and objects are nested, counted up to ``enough``.

    >>> _levels({"a": [1]}, 10)
    2
    """
    layer, count = [schema], 0
    while layer and count < enough:
        inner = [part for part in layer if type(part) not in SCALARS and isinstance(part, Mapping | list)]
        count += bool(inner)
        layer = [below for part in inner for below in (part.values() if isinstance(part, Mapping) else part)]
    return count


def _first_error(schema: Any, draft: str) -> tuple[str, str] | None:
    """Where and how the schema breaks its metaschema: the deepest of the most relevant errors.

    jsonschema-rs says quickly that a schema is well formed; jsonschema says what is wrong with one that is not.
    """
    if isinstance(schema, bool):
        return None
    if _levels(schema, SAFE_LEVELS) < SAFE_LEVELS:
        try:
            if jsonschema_rs.meta.is_valid({**schema, "$schema": DRAFTS[draft][0]}):
                return None
        except ValueError:
            pass  # not JSON: jsonschema names the place
    import jsonschema  # a second of start-up where all of its formats are installed

    validator = getattr(jsonschema, DRAFTS[draft][1])
    error = jsonschema.exceptions.best_match(validator(validator.META_SCHEMA).iter_errors(schema))
    if error is None:
        return None
    message = error.message if len(error.message) < 300 else error.message[:300] + " …"
    return "".join(f"/{escape(step)}" for step in error.absolute_path), message
