"""Numbers that JSON cannot write are refused when a schema is compiled, with their place."""

from __future__ import annotations

import json
from typing import Any

import pytest

import structdiff
from structdiff.core.errors import InvalidSchema, StructdiffError
from structdiff.core.limits import Limits
from structdiff.frontends.registry import read_source


def build(source: Any) -> Any:
    return read_source(source).build(Limits())


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ('{"const": 1e400}', "/const"),
        ('{"const": NaN}', "/const"),
        ('{"enum": [1, -1e400]}', "/enum/1"),
        ('{"enum": [{"a/b": [NaN]}]}', "/enum/0/a~1b/0"),
        ('{"type": "number", "minimum": -Infinity}', "/minimum"),
        ('{"type": "number", "maximum": 1e999}', "/maximum"),
        ('{"type": "number", "exclusiveMaximum": NaN}', "/exclusiveMaximum"),
        ('{"type": "number", "multipleOf": 1e400}', "/multipleOf"),
        ('{"properties": {"a": {"anyOf": [{"const": 1e400}, {"type": "null"}]}}}', "/properties/a/anyOf/0/const"),
        ('{"$ref": "#/$defs/x", "$defs": {"x": {"enum": [1e400]}}}', "/$defs/x/enum/0"),
    ],
)
def test_refused_with_the_place(schema: str, place: str) -> None:
    with pytest.raises(InvalidSchema, match="no number that JSON can write") as caught:
        build(schema)
    assert caught.value.pointer == place


def test_python_sources_are_refused_too() -> None:
    number = {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]}
    with pytest.raises(StructdiffError, match="no number that JSON can write"):
        build(structdiff.Pinned(number, {"n": float("inf")}))


def test_an_infinite_default_is_only_a_note() -> None:
    assert build(json.loads('{"type": "number", "default": Infinity}')).tree
