"""The written training documents: every answer fits its schema and its text, in every variation."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("faker")
pytest.importorskip("mimesis")

from jsonschema import Draft202012Validator

from structdiff.evaluation.overlaps import overlaps
from structdiff.frontends.prompt import build_prompt
from training.documents.variations import Variation, Varied, as_asked, held_out, make_written_example
from training.documents.written import DECIDES, all_written, faults, plain, read_documents
from training.mixture import make_training_example, unspelt
from training.overlaps import FILES, texts_of

NOTE = """=== note on a door | en
Back at 3 or so, or 4 if it rains. Ida, for Jon and Bo
--- ask
who: str = Ida
hour: int = 3 // !without rain
away?: bool = true // whether anybody is out
visitors: {name: str 'as signed', known: bool?}[]
  ["Jon", null]
  ["Bo", true]
place: {
  room?: str = -
  floor: int? = null
}
tags: str[] = []
mood: enum(calm|cross) = calm
"""


def lines(*changed: str) -> str:
    """A document with one question of these lines."""
    return "\n".join(["=== note | en", "Back at 3 or so, Ida", "--- ask", *changed])


def test_a_file_says_schema_and_value_at_once() -> None:
    [one], errors = read_documents(NOTE)
    assert not errors and faults(one) == []
    [ask] = one.asks
    assert ask.value == {
        "who": "Ida", "hour": 3, "away": True, "place": {"floor": None}, "tags": [], "mood": "calm",
        "visitors": [{"name": "Jon", "known": None}, {"name": "Bo", "known": True}],
    }  # fmt: skip
    assert ask.schema["required"] == ["who", "hour", "visitors", "place", "tags", "mood"]
    assert ask.schema["properties"]["hour"] == {"type": "integer", "description": "without rain", DECIDES: True}
    assert plain(ask.schema)["properties"]["hour"] == {"type": "integer", "description": "without rain"}
    columns = plain(ask.schema)["properties"]["visitors"]["items"]["properties"]
    assert columns["name"] == {"type": "string", "description": "as signed"}
    assert columns["known"] == {"anyOf": [{"type": "boolean"}, {"type": "null"}]}


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("who: string = Ida", "a type"),
        ("who str = Ida", "'key: type = value'"),
        ("who: str", "'= value' is missing"),
        ("who: str = Ida\nwho: str = Ida", "stands twice"),
        ("hour: int = three", "not JSON"),
        ("mood: enum(calm) = calm", "two different labels"),
        ("at: {a: int, b: int}[]\n  [1]", "has 1 cells, not 2"),
        ("at: {\nhour: int = 3", "not closed"),
        ("at: {a: int}[]", "'= []'"),
    ],
)
def test_a_line_that_cannot_be_read_is_told(line: str, wanted: str) -> None:
    _, [(_, what)] = read_documents(lines(*line.split("\n")))
    assert wanted in what


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("who: str = Ada", "does not spell 'Ada'"),
        ("hour: int = 3.5", "is not of type 'integer'"),
        ("day: date = 3 May", "is not a 'date'"),
        ("mood: enum(calm|cross) = sad", "is not one of"),
    ],
)
def test_an_answer_that_does_not_fit_is_told(line: str, wanted: str) -> None:
    [one], errors = read_documents(lines(line))
    assert not errors
    [(_, what)] = faults(one)
    assert wanted in what


def test_the_documents_are_without_faults() -> None:
    assert len(all_written()) > 100
    found = [(one.kind, fault) for one in all_written() for fault in faults(one)]
    assert found == []
    texts = [one.text for one in all_written()]
    assert len(set(texts)) == len(texts)


@pytest.fixture(scope="module")
def examples() -> list[dict[str, Any]]:
    return [make_written_example(random.Random(f"test {i}")) for i in range(400)]


def test_variations_fit_their_schemas_and_their_texts(examples: list[dict[str, Any]]) -> None:
    judge = Draft202012Validator.FORMAT_CHECKER
    for one in examples:
        Draft202012Validator(one["schema"], format_checker=judge).validate(one["value"])
        assert json.loads(one["answer"]) == one["value"]
        assert unspelt(one["text"], one["schema"], one["value"]) == []
        assert build_prompt(one["text"], one["schema"]) in one["prompt"]


def test_as_many_booleans_are_true_as_false(examples: list[dict[str, Any]]) -> None:
    def booleans(value: Any) -> Iterator[bool]:
        if isinstance(value, bool):
            yield value
        elif isinstance(value, dict | list):
            for one in value.values() if isinstance(value, dict) else value:
                yield from booleans(one)

    told = [one for example in examples for one in booleans(example["value"])]
    asked = [one for document in all_written() for ask in document.asks for one in booleans(ask.value)]
    assert 0.46 < sum(told) / len(told) < 0.54 and sum(asked) / len(asked) < 0.46


def test_false_members_alone_are_denied() -> None:
    schema = {
        "type": "object",
        "required": [],
        "properties": {
            "yes": {"type": "boolean"},
            "no": {"type": "boolean"},
            "missing": {"type": "string"},
            "n": {"type": "integer"},
        },
    }
    how = Variation("snake", 1.0, 0.0, False, 0.0, 0.0, False, denied=1.0)
    made, values = Varied(random.Random(1), how).object(schema, [{"yes": True, "no": False, "n": 0}])
    assert list(made["properties"]) == ["yes", "missing", "n"] and values == [{"yes": True, "n": 0}]
    assert list(Varied(random.Random(1), how).object(schema, [])[0]["properties"]) == ["yes", "no", "missing", "n"]


def test_variations_are_a_function_of_their_seed_and_differ() -> None:
    [one], _ = read_documents(NOTE)
    made = [json.dumps(Varied(random.Random(i), Variation("camel", 0.5, 0.5, True, 0.5, 0.5, False)).object(
        one.asks[0].schema, [one.asks[0].value], top=True)) for i in (*range(40), *range(40))]  # fmt: skip
    assert made[:40] == made[40:] and len(set(made)) > 30


def notes_of(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(note := schema.get("description"), str):
            yield note
        for one in schema.values():
            yield from notes_of(one)
    elif isinstance(schema, list):
        for one in schema:
            yield from notes_of(one)


def test_a_description_that_decides_is_always_shown() -> None:
    [one], _ = read_documents(NOTE)
    bare = Variation("snake", 0.0, 0.0, False, 0.0, 0.0, False)
    schema, _ = Varied(random.Random(1), bare).object(one.asks[0].schema, [one.asks[0].value], top=True)
    assert list(notes_of(schema)) == ["without rain"]
    schema, value = as_asked(one, one.asks[0])
    assert list(notes_of(schema)) == ["without rain", "whether anybody is out", "as signed"]
    assert value == one.asks[0].value


def test_held_out_documents_are_not_trained_on(examples: list[dict[str, Any]]) -> None:
    held = {one.text for one in all_written() if held_out(one)}
    assert 0.02 < len(held) / len(all_written()) < 0.12
    assert not held & {one["text"] for one in examples}
    assert {make_written_example(random.Random(i), held=True)["text"] for i in range(50)} <= held
    seen = [make_training_example(random.Random(i), held_out=True)["text"] for i in range(60)]
    assert not set(seen) & ({one.text for one in all_written()} - held)
    assert len(set(seen) & held) > 10


def test_the_documents_share_no_five_words_with_the_texts_that_judge() -> None:
    judging = [text for path in FILES for text in texts_of(path)]
    assert overlaps(judging, [one.text for one in all_written()]) == []
    assert overlaps(judging, [judging[3]]) != []
