"""A core schema as a JSON Schema that says all that Pydantic checks.

Pydantic's own generator walks the core schema, in the order and with the names that users know; where its answer says
less than the validator checks, `Reader` says it: with the named texts of `texts`, or by refusing, with the place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any

from pydantic import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema, WithJsonSchema
from pydantic_core import PydanticOmit, SchemaError, SchemaValidator, ValidationError, to_jsonable_python

from structdiff.core.errors import Unsatisfiable, UnsupportedSchema
from structdiff.core.json_spans import pointer_of
from structdiff.core.restrictions import Restriction
from structdiff.frontends.json_schema.leaves import KEYWORD
from structdiff.frontends.python_types import functions, scalars, texts
from structdiff.frontends.python_types.aliases import write_fields

Schema = dict[str, Any]
Core = Mapping[str, Any]
_HOOKS = ("pydantic_js_functions", "pydantic_js_annotation_functions")
_SAID = ("title", "description", "examples", "deprecated", "default", "readOnly", "writeOnly")
"""Keywords that assert nothing."""
_CHANGES_INPUT = ("function-before", "function-wrap", "function-plain")
_NO_CONTAINERS = frozenset(("int", "float", "bool", "none", "default", "nullable"))
_ENCODED = ("EncodedBytes.decode", "EncodedStr.decode_str")
MANY = 8
"""A repeated part in the middle of a tuple is written at most so often."""


class Reader(GenerateJsonSchema):
    """One use reads one core schema: ``Reader().generate(core_schema)``; then ``notes`` are what is not written."""

    def __init__(self) -> None:
        super().__init__(by_alias=True)
        self.notes: list[Restriction] = []
        self._at = [""]
        self._configs: list[Core] = [{}]

    # ---------------------------------------------------------------------------------------------- place and config

    @contextmanager
    def inside(self, *steps: str) -> Iterator[None]:
        """What is read now stands below here in the JSON Schema."""
        pointer = self._at[-1]
        for step in steps:
            pointer = pointer_of(pointer, step)
        self._at.append(pointer)
        try:
            yield
        finally:
            self._at.pop()

    def refuse(self, what: str, reason: str) -> UnsupportedSchema:
        return UnsupportedSchema(self._at[-1], what, reason)

    def note(self, keyword: str, reason: str) -> None:
        self.notes.append(Restriction(self._at[-1], keyword, reason))

    def config(self, name: str, schema: Core, default: Any = None, own: str = "") -> Any:
        """A setting: of the schema itself (as ``own``), else of the class around it."""
        found = schema.get(own or name)
        return self._configs[-1].get(name, default) if found is None else found

    # ------------------------------------------------------------------------------------------------- generate, hooks

    def generate(self, schema: Any, mode: Any = "validation") -> Schema:
        found = super().generate(schema, mode)
        _write_out(found, found)
        return found

    def generate_inner(self, schema: Any) -> Schema:
        """One node: as it is checked, then what the user's own hooks say of it."""
        metadata = schema.get("metadata") or {}
        user = [name for name in _HOOKS if any(not _own_hook(hook) for hook in metadata.get(name, ()))]
        said = {key: value for key, value in metadata.get("pydantic_js_updates", {}).items() if key in _SAID}
        extra = metadata.get("pydantic_js_extra")
        if not any(name in metadata for name in (*_HOOKS, "pydantic_js_updates", "pydantic_js_extra")):
            return super().generate_inner(schema)
        checked: Any = {key: value for key, value in metadata.items() if key not in (*_HOOKS, "pydantic_js_extra")}
        checked["pydantic_js_updates"] = said
        if not user and extra is None:
            return super().generate_inner({**schema, "metadata": checked})
        hooked = {**checked, **({"pydantic_js_extra": extra} if extra is not None else {})}
        hooked |= {name: [hook for hook in metadata[name] if not _own_hook(hook)] for name in user}
        if "ref" in schema or any(_has(schema, kind) for kind in _CHANGES_INPUT):
            return super().generate_inner({**schema, "metadata": hooked})
        try:
            read = super().generate_inner({**schema, "metadata": checked})
        except PydanticInvalidForJsonSchema:
            return super().generate_inner({**schema, "metadata": hooked})
        return _narrowed(dict(read), super().generate_inner({**schema, "metadata": hooked}))

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Schema:
        raise self.refuse(str(schema["type"]), f"no JSON value is one ({error_info})")

    def _update_class_schema(self, json_schema: Schema, cls: type[Any], config: Any) -> None:
        before = dict(json_schema)
        super()._update_class_schema(json_schema, cls, config)
        narrowed = _narrowed(before, dict(json_schema))
        json_schema.clear()
        json_schema.update(narrowed)

    # --------------------------------------------------------------------------------------------------------- scalars

    def int_schema(self, schema: Any) -> Schema:
        return _finite_limits(super().int_schema(schema))

    def float_schema(self, schema: Any) -> Schema:
        read = _finite_limits(super().float_schema(schema))
        if self.config("allow_inf_nan", schema) is False:
            read = {"minimum": -scalars.FINITE, "maximum": scalars.FINITE, **read}
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
        judge = _validator(schema)
        written = [value for value in map(_as_json, values) if _accepts(judge, value)]
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

    # ------------------------------------------------------------------------------------------------------- functions

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
        if any(_has(inner, kind) for kind in (*_CHANGES_INPUT, "function-after")):
            outermost = _function(inner)
            if outermost is None or not functions.is_of_pydantic(outermost):
                return read  # what a user's function makes of the value is not known here
            known = functions.name_of(outermost)
            if known == "ByteSize._validate" and "Length" not in "".join(limit):
                return {"type": "integer", "minimum": 0, **limit}
            if known in _ENCODED and any("Length" in name for name in limit):
                return self._as_string(self._encoded(outermost, limit), inner["schema"])
            if known not in ("EmailStr._validate", *functions.LIMITS, "sequence_validator"):
                raise self.refuse(name, f"a limit on what {known} makes of the text")
        elif not _measurable(inner):
            raise self.refuse(name, "a limit on a type that has no such limit in JSON")
        if any(not isinstance(value, int | float) for value in limit.values()):
            raise self.refuse(name, f"the limit {limit} is no number")
        return {**read, "allOf": [*read.get("allOf", ()), limit]} if "$ref" not in read else {"allOf": [read, limit]}

    def chain_schema(self, schema: Any) -> Schema:
        first, *others = schema["steps"]
        for step in others:
            if step["type"] == "is-instance" and step["cls"].__name__ == "Hashable" and first["type"] == "any":
                return {"type": ["string", "number", "boolean", "null"]}
            if step["type"] not in ("any", *_CHANGES_INPUT):
                raise self.refuse("chain", f"a second step of the kind {step['type']}")
            if step["type"] in _CHANGES_INPUT:
                self._check_known(step["function"]["function"])
        return self.generate_inner(first)

    def lax_or_strict_schema(self, schema: Any) -> Schema:
        strict = self.config("strict", schema, False)
        return self.generate_inner(schema["strict_schema" if strict else "lax_schema"])

    # ------------------------------------------------------------------------------------------------------ containers

    def list_schema(self, schema: Any) -> Schema:
        with self.inside("items"):
            return super().list_schema(schema)

    def tuple_schema(self, schema: Any) -> Schema:
        items, variadic = schema["items_schema"], schema.get("variadic_item_index")
        if variadic is None or variadic + 1 == len(items):
            with self.inside("prefixItems"):
                read = super().tuple_schema(schema)
            read["minItems"] = max(read.get("minItems", 0), len(read.get("prefixItems", ())))
            return read
        self.note("tuple", f"the part in the middle is written at most {MANY} times")
        forms = []
        for count in range(MANY + 1):
            shape = [*items[:variadic], *[items[variadic]] * count, *items[variadic + 1 :]]
            low, high = schema.get("min_length", 0), schema.get("max_length")
            if low <= len(shape) and (high is None or len(shape) <= high):
                forms.append(super().tuple_schema({"type": "tuple", "items_schema": shape}))
        return {"anyOf": forms}

    def _common_set_schema(self, schema: Any) -> Schema:
        items = schema.get("items_schema") or {"type": "any"}
        with self.inside("items"):
            read = super()._common_set_schema({**schema, "items_schema": items})
            if _has_unhashable(items):
                if any(kind not in ("any", "nullable", "union") for kind in _kinds(items)):
                    raise self.refuse("set", "items of this type cannot be hashed")
                read["items"] = {"type": ["string", "number", "boolean", "null"]}
        if "enum" in read["items"]:  # True and 1 are one member of a set
            read["items"] = {**read["items"], "enum": list(dict.fromkeys(read["items"]["enum"]))}
        if not scalars.is_finite(read["items"]):
            read.pop("uniqueItems")
            if schema.get("min_length", 0) > 1:
                if not scalars.is_distinct(items):
                    raise self.refuse("set", f"{schema['min_length']} items that differ cannot be told by their texts")
                read["uniqueItems"] = True
        return read

    def _common_dict_schema(self, schema: Any) -> Schema:
        read: Schema = {"type": "object"}
        keys = schema.get("keys_schema") or {"type": "any"}
        with self.inside("propertyNames"):
            names = self._names(keys)
        if names != {"type": "string"}:
            read["propertyNames"] = names
        with self.inside("additionalProperties"):
            values = dict(self.generate_inner(schema["values_schema"])) if "values_schema" in schema else {}
        values.pop("title", None)
        read["additionalProperties"] = values or True
        self.update_with_validations(read, schema, self.ValidationsMapping.object)
        if "enum" in names and schema.get("min_length", 0) > len(names["enum"]):
            raise Unsatisfiable(f"{schema['min_length']} keys are asked for; there are {names['enum']}", self._at[-1])
        if schema.get("min_length", 0) > 1 and not scalars.is_distinct(keys):
            raise self.refuse("dict", f"{schema['min_length']} keys that differ cannot be told by their texts")
        return read

    dict_schema = _common_dict_schema

    def _names(self, keys: Core) -> Schema:
        """The object keys that are read as keys of a type."""
        kind = keys["type"]
        if kind in ("any", "str"):
            read = {"type": "string"} if kind == "any" else self.generate_inner(keys)
        elif kind in ("int", "float", "bool", "decimal"):
            read = scalars.names(keys)
        elif kind in ("literal", "enum"):
            read = {"type": "string", "enum": self._finite_names(keys)}
        elif kind == "function-after" and functions.is_of_pydantic(keys["function"]["function"]):
            read = self.generate_inner(keys)
        elif kind in ("nullable", "default", "function-after", "custom-error", "json-or-python", "lax-or-strict"):
            read = self._names(keys.get("schema") or keys.get("json_schema") or keys["lax_schema"])
        elif kind == "union":
            read = {
                "anyOf": [self._names(choice[0] if isinstance(choice, tuple) else choice) for choice in keys["choices"]]
            }
        else:
            read = self.generate_inner(keys)
        read = {key: value for key, value in read.items() if key != "title"}
        if "anyOf" in read:
            read["anyOf"] = [one for one in read["anyOf"] if scalars.is_textual(one, self.definitions)]
        if not scalars.is_textual(read, self.definitions):
            raise self.refuse("dict", f"keys of the type {kind} cannot be written in JSON")
        return read

    def _finite_names(self, keys: Core) -> list[str]:
        members = keys["expected"] if keys["type"] == "literal" else [member.value for member in keys["members"]]
        judge = _validator({"type": "dict", "keys_schema": keys})
        names = [_as_json(member.value if isinstance(member, Enum) else member) for member in members]
        written = [name for name in names if isinstance(name, str) and _accepts(judge, {name: None})]
        if not written:
            raise self.refuse("dict", f"none of the keys can be written in JSON: {members!r}")
        if len(written) < len(members):
            self.note("propertyNames", f"{len(members) - len(written)} of the keys cannot be written in JSON")
        return written

    # -------------------------------------------------------------------------------------------------------- classes

    def model_schema(self, schema: Any) -> Schema:
        return self._class(schema, super().model_schema)

    def dataclass_schema(self, schema: Any) -> Schema:
        return self._class(schema, super().dataclass_schema)

    def typed_dict_schema(self, schema: Any) -> Schema:
        return self._class(schema, super().typed_dict_schema)

    def _class(self, schema: Core, generate: Callable[[Any], Schema]) -> Schema:
        self._configs.append(schema.get("config") or {})
        try:
            return generate(schema)
        finally:
            self._configs.pop()

    def dataclass_args_schema(self, schema: Any) -> Schema:
        fields = [field for field in schema["fields"] if field.get("init", True) is not False]
        return super().dataclass_args_schema({**schema, "fields": fields})

    def _named_required_fields_schema(self, named_required_fields: Sequence[tuple[str, bool, Any]]) -> Schema:
        return write_fields(self, named_required_fields, self._configs[-1])

    def union_schema(self, schema: Any) -> Schema:
        members = _members(schema)
        if any(_has(member, "generator") for member in members):
            members = self._beside_a_generator(members)
        return self.get_union_of_schemas([read for _, read in self._choices(list(enumerate(members)))])

    def _beside_a_generator(self, members: list[Any]) -> list[Any]:
        """A generator reads its items late: it takes all arrays, strings and objects from the members beside it."""
        kept = [member for member in members if _has(member, "generator") or set(_kinds(member)) <= _NO_CONTAINERS]
        generators = [member for member in kept if _has(member, "generator")]
        if len(kept) < len(members) or len(generators) > 1:
            self.note("union", "beside an Iterable no strings, arrays and objects are written")
        return [member for member in kept if member not in generators[1:]]

    def _choices(self, choices: list[tuple[Any, Any]]) -> list[tuple[Any, Schema]]:
        """The choices that can be written; those that cannot are noted, and if none can, refused."""
        read, refused = [], []
        for key, choice in choices:
            try:
                read.append((key, self.generate_inner(choice)))
            except PydanticOmit:
                continue
            except UnsupportedSchema as error:
                refused.append(error)
        if not read and refused:
            raise refused[0]
        for error in refused:
            self.note("union", f"a member is left out: {error.keyword}: {error.reason}")
        return read

    def tagged_union_schema(self, schema: Any) -> Schema:
        """The choice that the tag names decides alone: a union of choices that hold their tags."""
        tags: dict[int, list[Any]] = {}
        by_identity = {}
        for key, choice in schema["choices"].items():
            tags.setdefault(id(choice), []).append(_as_json(key.value if isinstance(key, Enum) else key))
            by_identity[id(choice)] = choice
        read = self._choices([(tags[number], choice) for number, choice in by_identity.items()])
        discriminator = schema["discriminator"]
        if callable(discriminator):
            return self.get_union_of_schemas([choice for _, choice in read])
        return self.get_union_of_schemas([self._tagged(choice, keys, discriminator) for keys, choice in read])

    def _tagged(self, choice: Schema, keys: list[Any], discriminator: Any) -> Schema:
        paths = [[discriminator]] if isinstance(discriminator, str) else discriminator
        paths = [path if isinstance(path, list) else [path] for path in paths]
        names = [path[0] for path in paths if len(path) == 1 and isinstance(path[0], str)]
        if not names:
            raise self.refuse("discriminator", f"its place {discriminator!r} is not one key")
        try:
            properties = self.resolve_ref_schema(choice).get("properties", {})
        except RuntimeError:
            properties = {}
        name = next((name for name in names if name in properties), names[-1])
        tag = {"properties": {name: {"enum": keys}}, "required": [name]}
        if "$ref" in choice:
            return {**choice, **tag}
        return {**choice, "allOf": [*choice.get("allOf", ()), tag]}


# ------------------------------------------------------------------------------------------------------------- helpers


def _own_hook(hook: Any) -> bool:
    """Does Pydantic itself say this of a type of its own?"""
    return functions.is_of_pydantic(hook) and not isinstance(getattr(hook, "__self__", None), WithJsonSchema)


def _narrowed(read: Schema, hooked: Schema) -> Schema:
    """What a hook made of a schema, with what it left out of what is checked."""
    lost = {key: value for key, value in read.items() if key not in _SAID and hooked.get(key) != value}
    if "$ref" in hooked and "$ref" not in read:
        return {"allOf": [read, hooked]}
    return {**hooked, "allOf": [*hooked.get("allOf", ()), lost]} if lost else hooked


def _finite_limits(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if not (isinstance(value, float) and math.isinf(value))}


def _members(schema: Core) -> list[Any]:
    return [choice[0] if isinstance(choice, tuple) else choice for choice in schema["choices"]]


def _nodes(schema: Any) -> Iterator[Core]:
    """The schema and those that it checks the same value with."""
    yield schema
    for key in ("schema", "json_schema", "lax_schema"):
        if isinstance(schema.get(key), Mapping) and schema["type"] not in ("json", "model", "dataclass"):
            yield from _nodes(schema[key])
    if schema["type"] == "union":
        for choice in _members(schema):
            yield from _nodes(choice)


def _kinds(schema: Core) -> list[str]:
    return [node["type"] for node in _nodes(schema)]


def _has(schema: Core, kind: str) -> bool:
    return kind in _kinds(schema)


def _function(schema: Core) -> Any:
    """The function of the outermost validator."""
    for node in _nodes(schema):
        if isinstance(node.get("function"), Mapping):
            return node["function"]["function"]
    return None


def _measurable(schema: Core) -> bool:
    """Is the value that is limited as long, or as large, as its JSON value?"""
    simple = {
        "str",
        "list",
        "dict",
        "tuple",
        "deque",
        "int",
        "float",
        "none",
        "bool",
        "generator",
        "ordered-dict",
        "counter",
    }
    around = {"union", "nullable", "json-or-python", "default", "lax-or-strict", "custom-error"}
    nodes = list(_nodes(schema))
    return all(node["type"] in simple | around for node in nodes) and not any(
        node.get("strip_whitespace") for node in nodes
    )


def _has_unhashable(schema: Core) -> bool:
    unhashable = {"list", "dict", "set", "model", "typed-dict", "deque", "counter", "ordered-dict", "any", "generator"}
    return any(
        node["type"] in unhashable
        or (node["type"] == "tuple" and any(_has_unhashable(item) for item in node["items_schema"]))
        or (node["type"] == "dataclass" and not node.get("frozen"))
        or (
            node["type"] == "function-after"
            and functions.name_of(node["function"]["function"]) == "NameEmail._validate"
        )
        for node in _nodes(schema)
        if not (node["type"] == "model" and node["cls"].model_config.get("frozen"))
    )


def _as_json(value: Any) -> Any:
    try:
        found = to_jsonable_python(value)
        json.dumps(found, allow_nan=False)
    except (ValueError, TypeError):
        return None if value is None else ...
    return found


def _validator(schema: Core) -> SchemaValidator | None:
    try:
        return SchemaValidator({key: value for key, value in schema.items() if key not in ("ref", "metadata")})  # type: ignore[arg-type]
    except SchemaError:
        return None


def _accepts(judge: SchemaValidator | None, value: Any) -> bool:
    if value is ...:
        return False
    if judge is None:
        return True
    try:
        judge.validate_json(json.dumps(value))
    except ValidationError:
        return False
    return True


def _write_out(part: Any, root: Schema) -> None:
    """Name, inside out, the schemas that JSON inside strings has to satisfy."""
    if isinstance(part, list):
        for item in part:
            _write_out(item, root)
    if not isinstance(part, dict):
        return
    for value in list(part.values()):
        _write_out(value, root)
    asked = part.get(KEYWORD)
    if isinstance(asked, dict) and asked["text"] == [["json", ""]]:
        inner = part.pop("contentSchema")
        definitions = {"$defs": root["$defs"]} if "$defs" in root else {}
        asked["text"] = [["json", json.dumps({"allOf": [inner], **definitions} if definitions else inner)]]
