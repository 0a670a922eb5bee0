"""The evaluation set that no generator made: every line is sound by judges other than the code that uses it."""

import contextlib
import json
from collections import Counter
from pathlib import Path

import jsonschema
import pytest

import structdiff
from structdiff.core.errors import CompileLimit
from structdiff.evaluation.overlaps import overlaps
from structdiff.evaluation.scoring import compare, count_gold
from structdiff.frontends.json_schema.places import subschemas

PATH = Path(__file__).parents[1] / "data" / "independent.jsonl"
ROWS = [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()]
IDS = [row["id"] for row in ROWS]


def strings(value, pointer=""):
    """Every string of a value with its JSON Pointer."""
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from strings(one, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from strings(one, f"{pointer}/{number}")


def free_strings(row):
    """The strings that no format and no list of values decides; the text spells them."""
    for pointer, value in strings(row["value"]):
        parts = subschemas(row["schema"], pointer)
        assert parts, f"{row['id']}: the schema says nothing of {pointer}"
        if not any({"format", "enum", "const"} & set(part) for part in parts):
            yield pointer, value


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_gold_is_valid_and_spelled_by_the_text(row):
    assert set(row) == {"id", "text", "schema", "value", "style", "language", "words"}
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator.check_schema(row["schema"])
    jsonschema.Draft202012Validator(row["schema"], format_checker=checker).validate(row["value"])
    for pointer, value in free_strings(row):
        assert value == value.strip() != "" and value in row["text"], pointer
    assert row["words"] == len(row["text"].split())
    leaves = compare(row["value"], row["value"], row["schema"])
    assert {leaf.outcome for leaf in leaves} == {"right"}


@pytest.fixture(scope="module")
def kernels():
    """The first schema of a process waits for the kernels, on a busy machine longer than a schema may take."""
    with contextlib.suppress(CompileLimit):
        structdiff.check({"type": "integer"})


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_schema_is_supported(row, kernels):
    assert structdiff.check(row["schema"]).problems == []


def test_formats_are_really_checked():
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    for name, value in (("date", "2023-02-30"), ("email", "nobody"), ("ipv4", "203.0.113")):
        assert not jsonschema.Draft202012Validator({"format": name}, format_checker=checker).is_valid(value)


def test_ids_and_texts_are_unique():
    assert len(set(IDS)) == len(ROWS) >= 160
    assert len({row["text"] for row in ROWS}) == len(ROWS)


def test_lengths_languages_and_breadths_are_spread():
    lengths = Counter("short" if row["words"] <= 60 else "middle" if row["words"] <= 150 else "long" for row in ROWS)
    assert min(lengths.values()) >= 0.3 * len(ROWS) and min(row["words"] for row in ROWS) >= 20
    assert max(row["words"] for row in ROWS) <= 400
    languages = Counter(row["language"] for row in ROWS)
    assert 0.15 < 1 - languages["en"] / len(ROWS) < 0.3 and len(languages) >= 9
    assert len({row["style"] for row in ROWS}) > 100
    breadths = [count_gold(row["value"], row["schema"]) for row in ROWS]
    assert min(breadths) < 7 and max(breadths) > 40


def test_no_answer_is_right_by_its_frequency():
    """A model that always answered true, or always null, would gain nothing."""
    leaves = [leaf for row in ROWS for leaf in compare(row["value"], row["value"], row["schema"])]
    booleans = [leaf.gold for leaf in leaves if leaf.kind == "boolean"]
    assert 0.4 < sum(booleans) / len(booleans) < 0.6
    assert 0.01 < sum(leaf.kind == "null" for leaf in leaves) / len(leaves) < 0.1


def test_no_two_texts_are_made_from_one_template():
    """Ten words in a row are what a shared template leaves; five can be a coincidence of the language."""
    texts = [row["text"] for row in ROWS]
    assert [found for found in overlaps(texts, texts, 10) if found.text < found.other] == []


SHARED = {
    "please return the slip below", "return the slip below by", "i wish to be cremated", "went well the rollback took",
    "what went well the rollback", "stop using it at once", "at 2 05 p m", "i am 42 years old",
}  # fmt: skip
"""What the first 3,000 training texts share with these texts (docs/measurements/independent-texts.md)."""


def test_training_texts_share_no_further_five_words():
    """A sample; `python -m training.overlaps --count 20000` reads as many as one likes."""
    pytest.importorskip("faker")
    pytest.importorskip("mimesis")
    from training.overlaps import FILES, shared, texts_of, training_texts

    texts = [text for path in FILES for text in texts_of(path)]
    assert len(texts) == 214 and {one.words for one in shared(texts, 80)} <= SHARED
    [again] = training_texts(1)
    assert shared([texts[0], again], 1) and all(one.text == 1 for one in shared([texts[0], again], 1))
