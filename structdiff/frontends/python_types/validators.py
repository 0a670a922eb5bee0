"""Validators that are functions: those of Pydantic say what they check, those of a user say nothing."""

from __future__ import annotations

from typing import Any

from structdiff.frontends.json_schema.leaves import KEYWORD
from structdiff.frontends.python_types import functions, texts
from structdiff.frontends.python_types.base import BaseReader
from structdiff.frontends.python_types.questions import (
    CHANGES_INPUT,
    Core,
    Schema,
    function_of,
    has_kind,
    is_measurable,
)

_ENCODED = ("EncodedBytes.decode", "EncodedStr.decode_str")


class ValidatorReader(BaseReader):
    """Reads the schemas of functions."""

    def function_after_schema(self, schema: Any) -> Schema:
        function = schema["function"]["function"]
        known = functions.accepted_strings(function)
        if known is not None:
            return self._as_string(known, schema["schema"])
        if not functions.is_of_pydantic(function):
            return super().function_after_schema(schema)
        name = functions.name_of(function)
        if name in functions.LIMITS:
            return self._limited(schema, name, getattr(function, "keywords", {}))
        if name == "ByteSize._validate":
            sizes = self._as_string(texts.of_type("byte-size", "size"), schema["schema"]["choices"][0])
            return {"anyOf": [sizes, {"type": "integer", "minimum": 0}]}
        if name in _ENCODED:
            return self._as_string(self._encoded(function), schema["schema"])
        self._check_known(function)
        return super().function_after_schema(schema)

    def _as_string(self, known: Schema, inner: Core) -> Schema:
        """Known texts that are also what is asked of the string before the function sees it."""
        read = {key: value for key, value in self.generate_inner(inner).items() if key != "format"}
        if read.get("type") == "string":
            texts.also(read, known[KEYWORD])
            return read
        return known

    def function_plain_schema(self, schema: Any) -> Schema:
        function = schema["function"]["function"]
        known = functions.accepted_strings(function)
        if known is not None:
            return known
        if functions.is_of_pydantic(function):
            self._check_known(function)
        return super().function_plain_schema(schema)

    def function_wrap_schema(self, schema: Any) -> Schema:
        self._check_known(schema["function"]["function"])
        return super().function_wrap_schema(schema)

    def function_before_schema(self, schema: Any) -> Schema:
        self._check_known(schema["function"]["function"])
        return super().function_before_schema(schema)

    def _check_known(self, function: Any) -> None:
        name = functions.name_of(function)
        if functions.is_of_pydantic(function) and not functions.is_harmless(function):
            raise self.refuse(name, functions.REFUSED.get(name, "what this validator of Pydantic checks is not known"))

    def _encoded(self, function: Any, limit: Core | None = None) -> Schema:
        """Base64 of bytes, or of a text; a ``limit`` on their number is one on what was decoded."""
        if self.config("val_json_bytes", {}, "utf8") != "utf8" and functions.name_of(function) == _ENCODED[0]:
            raise self.refuse("bytes", "an encoding in the class's config and one of the type")
        encoder = getattr(function.__self__.encoder, "__name__", "")
        encodings = {"Base64Encoder": "base64", "Base64UrlEncoder": "base64url"}
        if encoder not in encodings:
            raise self.refuse(encoder or "encoder", "only the encodings base64 and base64url are known")
        is_text = functions.name_of(function) == "EncodedStr.decode_str"
        ends = {"low": (limit or {}).get("minLength"), "high": (limit or {}).get("maxLength")}
        return texts.of_type("bytes", encodings[encoder], encoding=encodings[encoder], text=is_text, **ends)

    def _limited(self, schema: Core, name: str, arguments: Core) -> Schema:
        """A limit on a type that has none of its own: on a union, on `Any`, on what a validator made."""
        inner = schema["schema"]
        limit = functions.LIMITS[name](arguments)
        read = self.generate_inner(inner)
        if any(has_kind(inner, kind) for kind in (*CHANGES_INPUT, "function-after")):
            outermost = function_of(inner)
            if outermost is None or not functions.is_of_pydantic(outermost):
                return read  # what a user's function makes of the value is not known here
            known = functions.name_of(outermost)
            if known == "ByteSize._validate" and "Length" not in "".join(limit):
                return {"type": "integer", "minimum": 0, **limit}
            if known in _ENCODED and any("Length" in name for name in limit):
                return self._as_string(self._encoded(outermost, limit), inner["schema"])
            if known not in ("EmailStr._validate", *functions.LIMITS, "sequence_validator"):
                raise self.refuse(name, f"a limit on what {known} makes of the text")
        elif not is_measurable(inner, any("Length" in key for key in limit)):
            raise self.refuse(name, "a limit on a type that has no such limit in JSON")
        if any(not isinstance(value, int | float) for value in limit.values()):
            raise self.refuse(name, f"the limit {limit} is no number")
        return {**read, "allOf": [*read.get("allOf", ()), limit]} if "$ref" not in read else {"allOf": [read, limit]}

    def chain_schema(self, schema: Any) -> Schema:
        first, *others = schema["steps"]
        for step in others:
            if step["type"] == "is-instance" and step["cls"].__name__ == "Hashable" and first["type"] == "any":
                return {"type": ["string", "number", "boolean", "null"]}
            if step["type"] not in ("any", *CHANGES_INPUT):
                raise self.refuse("chain", f"a second step of the kind {step['type']}")
            if step["type"] in CHANGES_INPUT:
                self._check_known(step["function"]["function"])
        return self.generate_inner(first)

    def lax_or_strict_schema(self, schema: Any) -> Schema:
        strict = self.config("strict", schema, False)
        return self.generate_inner(schema["strict_schema" if strict else "lax_schema"])
