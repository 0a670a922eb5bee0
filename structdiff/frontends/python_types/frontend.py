"""The front end of Python types: Pydantic classes, dataclasses, enums, literals and whatever Pydantic understands."""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from structdiff.core.errors import InvalidSchema, ValidationFailed
from structdiff.core.limits import Limits
from structdiff.frontends.choice import choice_source
from structdiff.frontends.json_schema.frontend import json_source
from structdiff.frontends.protocol import Grammar, Options, Source, no_options
from structdiff.frontends.python_types.faults import faults_of


class PythonTypeFrontEnd:
    """Reads types; the value of an output is an instance. A text names none."""

    name = "python"

    def accepts(self, source: Any) -> bool:
        named = callable(source) or hasattr(source, "__value__")  # classes, NewType, type aliases
        return named or typing.get_origin(source) is not None

    def read(self, source: Any, options: Options) -> Source:
        choices = _choices(source)
        if choices is not None:
            no_options(options, "a type whose values are texts")
            return choice_source(*choices)
        from pydantic import PydanticUserError, TypeAdapter, ValidationError
        from pydantic.errors import PydanticInvalidForJsonSchema

        from structdiff.frontends.python_types.reader import Reader

        reader = Reader()
        try:
            adapter = TypeAdapter(source)
            schema = reader.generate(adapter.core_schema)
        except (PydanticUserError, PydanticInvalidForJsonSchema, AttributeError) as error:
            raise InvalidSchema(
                f"{source!r} is not a schema, a Regex, a Choice or a type Pydantic understands: {error}"
            ) from None

        def parse(text: str) -> Any:
            try:
                return adapter.validate_json(text)
            except ValidationError as error:
                raise ValidationFailed(text, faults_of(text, error.errors(include_url=False))) from error
            except Exception as error:  # a validator that fails in another way than by saying no
                raise ValidationFailed(text, [("", f"{type(error).__name__}: {error}")]) from error

        def noted(read: Source) -> Source:
            def build(limits: Limits) -> Grammar:
                grammar = read.build(limits)
                return replace(grammar, restrictions=tuple(sorted({*grammar.restrictions, *reader.notes})))

            within = read.within
            assert within is not None
            return replace(read, build=build, kind=source, within=lambda horizon: noted(within(horizon)))

        return noted(json_source(schema, getattr(source, "__name__", str(source)), parse, options))

    def from_text(self, text: str) -> Any:
        raise InvalidSchema("a Python type is no text; give its JSON Schema")


def _choices(source: Any) -> tuple[tuple[str, ...], str, Callable[[str], Any]] | None:
    """(texts, name, text to value) of a type whose values are texts."""
    if isinstance(source, type) and issubclass(source, enum.Enum):
        members = {member.value: member for member in source}
        if members and all(isinstance(value, str) for value in members):
            return tuple(members), source.__name__, members.__getitem__
    if typing.get_origin(source) is typing.Literal:
        values = typing.get_args(source)
        if all(isinstance(value, str) for value in values):
            return values, "Literal", str
    return None
