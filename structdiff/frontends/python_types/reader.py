"""A core schema as a JSON Schema that says all that Pydantic checks.

Pydantic's own generator walks the core schema, in the order and with the names that users know; where its answer says
less than the validator checks, `Reader` says it: with the named texts of `texts`, or by refusing, with the place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import Any

from structdiff.frontends.json_schema.leaves import KEYWORD
from structdiff.frontends.python_types import scalars, texts
from structdiff.frontends.python_types.classes import ClassReader
from structdiff.frontends.python_types.containers import ContainerReader
from structdiff.frontends.python_types.questions import Core, Schema, accepts, as_json, validator_of
from structdiff.frontends.python_types.validators import ValidatorReader


class Reader(ValidatorReader, ContainerReader, ClassReader):
    """One use reads one core schema: ``Reader().generate(core_schema)``; then ``notes`` are what is not written."""

    def int_schema(self, schema: Any) -> Schema:
        return _finite_limits(super().int_schema(schema))

    def float_schema(self, schema: Any) -> Schema:
        read = _finite_limits(super().float_schema(schema))
        if self.config("allow_inf_nan", schema) is False:
            read = {"minimum": -scalars.FINITE, "maximum": scalars.FINITE, **read}
        if schema.get("multiple_of") is not None:
            furthest = scalars.furthest_multiple(schema["multiple_of"])
            self.note("multipleOf", f"multiples are written from {-furthest} to {furthest}: beyond, doubles miss them")
            read = {**read, "allOf": [{"minimum": -furthest, "maximum": furthest}]}
        return read

    def str_schema(self, schema: Any) -> Schema:
        return scalars.string(super().str_schema(schema), schema, self.config)

    def bytes_schema(self, schema: Any) -> Schema:
        return scalars.bytes_(schema, self.config("val_json_bytes", schema, "utf8"))

    def decimal_schema(self, schema: Any) -> Schema:
        return scalars.decimal(schema, self.note)

    def fraction_schema(self, schema: Any) -> Schema:
        return scalars.fraction(schema, self.note)

    def complex_schema(self, schema: Any) -> Schema:
        return texts.of_type("complex")

    def uuid_schema(self, schema: Any) -> Schema:
        version = schema.get("version")
        return {"type": "string", "format": "uuid"} if version is None else texts.of_type("uuid", version=version)

    def date_schema(self, schema: Any) -> Schema:
        return scalars.date(schema, self.note)

    def time_schema(self, schema: Any) -> Schema:
        return scalars.time(schema, self.note)

    def datetime_schema(self, schema: Any) -> Schema:
        return scalars.datetime(schema, self.note)

    def timedelta_schema(self, schema: Any) -> Schema:
        return scalars.timedelta(schema, self.note)

    def url_schema(self, schema: Any) -> Schema:
        return self._url(schema, 1)

    def multi_host_url_schema(self, schema: Any) -> Schema:
        return self._url(schema, 3)

    def _url(self, schema: Core, hosts: int) -> Schema:
        required = schema.get("host_required") or False
        read = texts.of_type(
            "url", "url", schemes=schema.get("allowed_schemes"), host_required=required, hosts=hosts
        )  # fmt: skip
        if schema.get("max_length") is not None:
            read["maxLength"] = schema["max_length"]
        return read

    def json_schema(self, schema: Any) -> Schema:
        """A string that holds the JSON of something; `_write_out` puts what that is into the name of the texts."""
        with self.inside("contentSchema"):
            inner = self.generate_inner(schema.get("schema") or {"type": "any"})
        return {"type": "string", "contentSchema": inner, KEYWORD: texts.asked("json", "JSON")}

    def literal_schema(self, schema: Any) -> Schema:
        values = [value.value if isinstance(value, Enum) else value for value in schema["expected"]]
        return self._finite(schema, super().literal_schema, values)

    def enum_schema(self, schema: Any) -> Schema:
        return self._finite(schema, super().enum_schema, [member.value for member in schema["members"]])

    def _finite(self, schema: Core, generate: Callable[[Any], Schema], values: list[Any]) -> Schema:
        """Of a finite type the values that Pydantic itself takes from JSON."""
        judge = validator_of(schema)
        written = [value for value in map(as_json, values) if accepts(judge, value)]
        if not written:
            raise self.refuse(str(schema["type"]), f"none of its values can be written in JSON: {values!r}")
        if len(written) < len(values):
            self.note("enum", f"{len(values) - len(written)} of its values cannot be written in JSON")
        plain = all(isinstance(value, str | int | float | None) for value in values)
        read = generate(schema) if plain else {}
        read.pop("const", None)
        read.pop("enum", None)
        if len(written) < len(values) or not plain:
            read.pop("type", None)
        return {**read, **({"const": written[0]} if len(written) == 1 else {"enum": written})}

    def is_subclass_schema(self, schema: Any) -> Schema:
        return self.handle_invalid_for_json_schema(schema, f"a class below {schema['cls'].__name__}")


def _finite_limits(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if not (isinstance(value, float) and math.isinf(value))}
