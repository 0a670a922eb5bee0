"""The Arrow type of a JSON Schema: every column typed as its values are, or JSON text where no one type holds them."""

from __future__ import annotations

from typing import Any

from structdiff.core.errors import StructdiffError
from structdiff.results.columns import resolved

DECIMAL = "x-structdiff-decimal"
"""Keyword of `typed_schema`: [digits, decimal places] of a Python Decimal, each null where it is not bounded."""
DIGITS, PLACES = 38, 18
"""What a Decimal without bounds gets: 20 digits before the point and 18 behind it."""
JSON = {b"structdiff": b"json"}
"""Metadata of a column that holds JSON text."""


class MissingLibrary(StructdiffError):
    """An optional library is not installed; the message says how to install it."""


def arrow_library() -> Any:
    """The pyarrow module. Raises `MissingLibrary` where it is not installed."""
    try:
        import pyarrow
    except ImportError as error:
        raise MissingLibrary("Arrow and Parquet need pyarrow: pip install 'structdiff[parquet]'") from error
    return pyarrow


def typed_schema(source: Any, schema: Any) -> Any:
    """The JSON Schema of a source with its decimals marked, which a plain JSON Schema cannot tell from number or text.

    ``schema`` is what other sources than Python types get back.

    >>> from decimal import Decimal
    >>> typed_schema(Decimal, None)[DECIMAL]
    [None, None]
    """
    if isinstance(source, dict | bool | str | bytes) or not (isinstance(source, type) or hasattr(source, "__origin__")):
        return schema
    from pydantic import PydanticUserError, TypeAdapter
    from pydantic.errors import PydanticInvalidForJsonSchema
    from pydantic.json_schema import GenerateJsonSchema

    class Generator(GenerateJsonSchema):
        def decimal_schema(self, schema: Any) -> dict[str, Any]:
            bounds = [schema.get("max_digits"), schema.get("decimal_places")]
            return {**super().decimal_schema(schema), DECIMAL: bounds}

    try:
        return TypeAdapter(source).json_schema(schema_generator=Generator)
    except (PydanticUserError, PydanticInvalidForJsonSchema, AttributeError):
        return schema


def arrow_field(name: str, schema: Any, root: Any) -> Any:
    """The Arrow field of a column with the values of ``schema``, a part of the document ``root``.

    >>> print(arrow_field("day", {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}, {}).type)
    date32[day]
    """
    try:
        return _field(name, schema, root, ())
    except _Recursion:  # a tree has no depth that a type could state
        return arrow_library().field(name, arrow_library().string(), metadata=JSON)


class _Recursion(Exception):
    pass


def _field(name: str, schema: Any, root: Any, open_refs: tuple[str, ...]) -> Any:
    arrow = arrow_library()
    found = _type(schema, root, open_refs)
    return arrow.field(name, arrow.string(), metadata=JSON) if found is None else arrow.field(name, found)


def _type(schema: Any, root: Any, open_refs: tuple[str, ...]) -> Any:
    """The Arrow type, or None for JSON text."""
    if not isinstance(schema, dict):
        return None
    ref = schema.get("$ref")
    if isinstance(ref, str):
        if ref in open_refs:
            raise _Recursion
        open_refs = (*open_refs, ref)
    schema = resolved(schema, root)
    if not isinstance(schema, dict):
        return None
    if DECIMAL in schema:
        return _decimal(*schema[DECIMAL])
    if "const" in schema or "enum" in schema:
        return _listed([schema["const"]] if "const" in schema else schema["enum"])
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return _common([_type(one, root, open_refs) for one in options if not _is_null(one, root)])
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return _common([_type({**schema, "type": kind}, root, open_refs) for kind in kinds if kind != "null"])
    return _of_kind(kinds, schema, root, open_refs)


def _of_kind(kind: Any, schema: dict[str, Any], root: Any, open_refs: tuple[str, ...]) -> Any:
    arrow = arrow_library()
    if kind == "string":
        return _string(schema.get("format"))
    if kind == "object" or (kind is None and "properties" in schema):
        return _object(schema, root, open_refs)
    if kind == "array":
        return _array(schema, root, open_refs)
    plain = {"integer": arrow.int64, "number": arrow.float64, "boolean": arrow.bool_, "null": arrow.null}
    return plain[kind]() if kind in plain else None


def _string(form: Any) -> Any:
    arrow = arrow_library()
    known = {"date": arrow.date32(), "time": arrow.time64("us"), "date-time": arrow.timestamp("us", tz="UTC")}
    return known.get(form, arrow.string())


def _decimal(digits: int | None, places: int | None) -> Any:
    scale = PLACES if places is None else places
    return arrow_library().decimal128(min(DIGITS if digits is None else max(digits, scale), DIGITS), scale)


def _listed(values: list[Any]) -> Any:
    """The type of an enum's values, null aside."""
    arrow, kinds = arrow_library(), {type(value) for value in values if value is not None}
    if kinds == {str}:
        return arrow.dictionary(arrow.int32(), arrow.string())
    known = {bool: arrow.bool_(), int: arrow.int64(), float: arrow.float64()}
    if kinds == {int, float}:
        return arrow.float64()
    return known.get(kinds.pop()) if len(kinds) == 1 else None


def _common(types: list[Any]) -> Any:
    """The one type of several alternatives; integers may be read as numbers."""
    arrow = arrow_library()
    if not types or None in types:
        return None
    numbers = (arrow.int64(), arrow.float64())
    if all(one == types[0] for one in types):
        return types[0]
    return arrow.float64() if all(one in numbers for one in types) else None


def _is_null(schema: Any, root: Any) -> bool:
    found = resolved(schema, root)
    return isinstance(found, dict) and (found.get("type") == "null" or found.get("enum") == [None])


def _object(schema: dict[str, Any], root: Any, open_refs: tuple[str, ...]) -> Any:
    """A struct of listed properties, or a map of free names to one type; None where both, or neither, are there."""
    arrow = arrow_library()
    listed, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    if any(word in schema for word in ("patternProperties", "allOf", "if", "dependentSchemas")):
        return None
    if listed and extra in (None, False):
        return arrow.struct([_field(name, part, root, open_refs) for name, part in listed.items()])
    if not listed and isinstance(extra, dict):
        inner = _type(extra, root, open_refs)
        return None if inner is None else arrow.map_(arrow.string(), inner)
    return None


def _array(schema: dict[str, Any], root: Any, open_refs: tuple[str, ...]) -> Any:
    arrow, first, items = arrow_library(), schema.get("prefixItems") or [], schema.get("items")
    members = [*first, *([items] if isinstance(items, dict) else [])]
    if not members or (items is True or (items is None and "maxItems" not in schema and first)):
        return None
    inner = _common([_type(one, root, open_refs) for one in members])
    return None if inner is None else arrow.list_(inner)
