"""The wide training documents: every answer is what its schema asks and its text states."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from typing import Any

import pytest

pytest.importorskip("faker")
pytest.importorskip("mimesis")

from jsonschema import Draft202012Validator, FormatChecker

from structdiff.frontends.prompt import build_prompt
from training.documents import LANGUAGES, make_document, make_document_example
from training.documents.facts import Fact
from training.documents.scenarios import all_scenarios, expand, read_scenarios
from training.evaluate import leaves
from training.mixture import make_training_example, spelt_in, unspelt

COUNT = 300


@pytest.fixture(scope="module")
def examples() -> list[dict[str, Any]]:
    return [make_document_example(random.Random(f"test {i}")) for i in range(COUNT)]


def test_examples_are_a_function_of_their_seed() -> None:
    for i in range(20):
        assert make_training_example(random.Random(i)) == make_training_example(random.Random(i))


def test_every_answer_satisfies_its_schema_and_is_its_value_as_json(examples: list[dict[str, Any]]) -> None:
    for one in examples:
        Draft202012Validator(one["schema"], format_checker=FormatChecker()).validate(one["value"])
        assert json.loads(one["answer"]) == one["value"]
        assert build_prompt(one["text"], one["schema"]) in one["prompt"]


def test_keys_stand_in_the_order_of_the_schema(examples: list[dict[str, Any]]) -> None:
    def ordered(schema: Any, value: Any) -> bool:
        if isinstance(value, dict):
            options = [s for s in schema.get("anyOf", [schema]) if "properties" in s]
            keys = [key for key in options[0]["properties"] if key in value]
            return keys == list(value) and all(ordered(options[0]["properties"][k], v) for k, v in value.items())
        if isinstance(value, list):
            return all(ordered(schema.get("items", {}), v) for v in value)
        return True

    assert all(ordered(one["schema"], one["value"]) for one in examples)


def test_strings_without_a_format_stand_in_the_text(examples: list[dict[str, Any]]) -> None:
    for one in examples:
        assert unspelt(one["text"], one["schema"], one["value"]) == []
    mixed = [make_training_example(random.Random(f"mixed {i}")) for i in range(COUNT)]
    assert all(spelt_in(m["text"], m["schema"], m["value"]) for m in mixed if m["kind"] in ("object", "document"))
    assert {m["kind"] for m in mixed} >= {"object", "label"}


def test_numbers_stand_in_the_text(examples: list[dict[str, Any]]) -> None:
    """Those of four digits and more, without their separators; smaller ones may be spelt in words."""
    for one in examples:
        digits = "".join(c for c in one["text"] if c.isdigit())
        for value in leaves(one["value"]).values():
            if isinstance(value, int | float) and not isinstance(value, bool) and value >= 1000:
                shown = f"{value:.2f}".replace(".", "")
                assert shown.removesuffix("00") in digits or shown in digits, (value, one["text"])


def test_lengths_languages_and_shapes_are_spread(examples: list[dict[str, Any]]) -> None:
    words = sorted(len(one["text"].split()) for one in examples)
    assert words[COUNT // 10] < 90 and words[-1] > 450
    assert sum(150 < n <= 600 for n in words) > COUNT * 0.33 and sum(n > 300 for n in words) > COUNT * 0.08
    fields = Counter(len(leaves(one["value"])) for one in examples)
    assert min(fields) <= 2 and max(fields) >= 20
    texts = [json.dumps(one["schema"]) for one in examples]
    assert sum('"array"' in t for t in texts) > COUNT * 0.35
    assert sum('"null"' in t for t in texts) > COUNT * 0.2
    assert sum('"description"' in t for t in texts) > COUNT * 0.3
    assert sum('"format"' in t for t in texts) > COUNT * 0.2
    lengths = {len(v) for one in examples for v in _lists(one["value"])}
    assert {0, 1, 2, 3, 4, 5, 6, 7, 8} <= lengths
    languages = Counter(make_document(random.Random(f"language {i}")).language for i in range(COUNT))
    assert 0.18 < 1 - languages["en"] / COUNT < 0.38 and len(languages) >= 10
    kinds = Counter(one.language for one in all_scenarios())
    assert all(kinds[language] >= 2 for language in LANGUAGES)


def _lists(value: Any) -> list[list[Any]]:
    if isinstance(value, dict):
        return [found for member in value.values() for found in _lists(member)]
    if isinstance(value, list):
        return [value, *(found for member in value for found in _lists(member))]
    return []


def test_every_scenario_makes_documents_from_each_of_its_bodies() -> None:
    from training.documents.layouts import Lists, settle
    from training.documents.scenarios import fill, make_members
    from training.documents.values import World

    for scenario in all_scenarios():
        for body in scenario.bodies:
            for seed in range(3):
                r = random.Random(seed)
                w = World(r, scenario.language)
                members = make_members(w, scenario)
                text, stated = fill(expand(r, body), members, Lists(w, scenario))
                settle(members, stated)
                assert not re.search(r"[{}\0]|<[a-z_.0-9:]+>", text), (scenario.name, text)
                for path in stated:
                    fact = members.get(path)
                    assert not isinstance(fact, Fact) or fact.missing or fact.shown in text


def test_a_place_that_is_not_chosen_makes_a_missing_fact() -> None:
    from training.documents import write_document

    (scenario,) = read_scenarios("== note en\nday date 1-5 | day\nwho person | who\n--\n{|On <day> }<who> called.")
    seen = set()
    for seed in range(20):
        document = write_document(random.Random(seed), scenario)
        day = document.facts["day"]
        assert isinstance(day, Fact)
        seen.add(day.missing)
        assert day.missing == (day.shown not in document.text)
    assert seen == {True, False}


def test_a_line_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match="line 2"):
        read_scenarios("== note en\nday\n--\nx")
