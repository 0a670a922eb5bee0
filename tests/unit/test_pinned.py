"""Pinned fields: the language is the schema's, restricted to the outputs that hold the values."""

import json

import jsonschema
import pytest

import structdiff
from structdiff.core.errors import InvalidSchema, Unsatisfiable
from structdiff.decode.policy import Policy
from structdiff.model import Model
from structdiff.testing.scripted import Scripted
from structdiff.testing.tiny import tiny_vocabulary

VOCABULARY = tiny_vocabulary([bytes([byte]) for byte in range(32, 127)])
SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "maxLength": 4},
        "b": {"$ref": "#/$defs/inner"},
        "c": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
        "d": {"anyOf": [{"type": "null"}, {"type": "number"}]},
    },
    "required": ["b"],
    "$defs": {"inner": {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "boolean"}}}},
}
VALUES = [
    {"a": "z", "b": {"x": 3, "y": True}, "c": [1, 5], "d": 1.5},
    {"a": "z", "b": {"x": 3, "y": False}, "c": [1], "d": 1.5},
    {"b": {"x": 3}, "c": [1, 5, 2]},
    {"b": {}, "d": None},
    {"a": "q", "b": {"y": True}, "c": [], "d": 1.5},
]


def holds(value, pointer, pinned):
    try:
        for token in pointer.split("/")[1:]:
            value = value[int(token)] if isinstance(value, list) else value[token]
    except (KeyError, IndexError):
        return False
    return value == pinned and isinstance(value, bool) == isinstance(pinned, bool)


@pytest.mark.parametrize(
    "pins", [{"a": "z"}, {"/b/x": 3}, {"/b/y": True, "d": 1.5}, {"/c/1": 5}, {"d": None}, {"c": [1]}, {"b": {}}]
)
def test_the_language_is_that_of_the_outputs_with_the_values(pins):
    constraint = structdiff.compile(structdiff.Pinned(SCHEMA, pins), VOCABULARY)
    for value in VALUES:
        jsonschema.validate(value, SCHEMA)
        expected = all(holds(value, name if name[0] == "/" else f"/{name}", pin) for name, pin in pins.items())
        assert constraint.matches(json.dumps(value)) == expected
    assert sum(constraint.matches(json.dumps(value)) for value in VALUES) > 0
    assert not constraint.matches(json.dumps({**VALUES[0], "other": 1}))


@pytest.mark.parametrize("draft", ["4", "7", "2019-09"])
def test_older_drafts(draft):
    constraint = structdiff.compile(structdiff.Pinned(SCHEMA, {"/c/1": 5}, {"draft": draft}), VOCABULARY)
    assert [constraint.matches(json.dumps(value)) for value in VALUES] == [True, False, True, False, False]


def test_bad_pins_are_refused():
    with pytest.raises(InvalidSchema, match="lists no 'nope' here, but a, b, c, d"):
        structdiff.compile(structdiff.Pinned(SCHEMA, {"nope": 1}), VOCABULARY)
    with pytest.raises(InvalidSchema, match="at /b: the schema lists no 'z' here, but x, y"):
        structdiff.compile(structdiff.Pinned(SCHEMA, {"/b/z": 1}), VOCABULARY)
    with pytest.raises(Unsatisfiable, match="does not allow the values"):
        structdiff.compile(structdiff.Pinned(SCHEMA, {"a": 1}), VOCABULARY)
    with pytest.raises(InvalidSchema, match="JSON only"):
        structdiff.compile(structdiff.Pinned(structdiff.Choice(["a"]), {"a": 1}), VOCABULARY)
    with pytest.raises(InvalidSchema, match="draft 7"):
        old = {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/$defs/x", "$defs": {"x": SCHEMA}}
        structdiff.compile(structdiff.Pinned(old, {"a": "z"}), VOCABULARY)


@pytest.mark.parametrize("seed", range(5))
def test_outputs_hold_the_values_whatever_the_model_says(seed):
    denoiser = Scripted.random(32, VOCABULARY.size, seed=seed)
    model = Model(denoiser, VOCABULARY, Policy(max_steps=2), VOCABULARY.end_ids, "random")
    model.encode_chat = lambda messages: [0] * len(messages[0]["content"])
    result = model.generate("text", SCHEMA, pinned={"d": 1280.5, "/b/x": -7}, seed=seed, max_tokens=90, fields=True)
    jsonschema.validate(result.value, SCHEMA)
    assert result.value["d"] == 1280.5 and result.value["b"]["x"] == -7
    assert result.fields["/b/x"].probability == pytest.approx(1) and result.fields["/b/x"].presence == pytest.approx(1)
