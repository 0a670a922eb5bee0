"""Holes and edits: outside them nothing changes, inside each its own language holds."""

import json
import re

import jsonschema
import pytest

import structdiff
from structdiff.core.errors import InvalidSchema, Unsatisfiable
from structdiff.decode.policy import Policy
from structdiff.model import Model
from structdiff.testing.scripted import Scripted
from structdiff.testing.tiny import tiny_vocabulary

VOCABULARY = tiny_vocabulary([*(bytes([byte]) for byte in range(32, 127)), b"\n"])
CODE = "def area(r: float) -> float:\n    return {{expression}}\n\nassert area({{n}}) > 0\n"
HOLES = {"expression": structdiff.Regex(r"[a-z0-9.* ]{1,12}"), "n": {"type": "integer", "minimum": 1, "maximum": 99}}
ORDER = {
    "type": "object",
    "properties": {
        "item": {"type": "string", "maxLength": 8},
        "n": {"type": "integer", "minimum": 1, "maximum": 500},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
        "rush": {"type": "boolean"},
    },
    "required": ["item", "n"],
}


def model(seed, canvas=40):
    denoiser = Scripted.random(canvas, VOCABULARY.size, seed=seed)
    made = Model(denoiser, VOCABULARY, Policy(max_steps=2), VOCABULARY.end_ids, "random")
    made.encode_chat = lambda messages: [0] * len(messages[0]["content"])
    return made


@pytest.mark.parametrize("seed", range(4))
def test_a_template_is_kept_and_its_holes_are_valid(seed):
    result = model(seed).generate("", structdiff.infill(CODE, **HOLES), seed=seed)
    pattern = re.escape(CODE).replace(r"\{\{expression\}\}", "([a-z0-9.* ]{1,12})").replace(r"\{\{n\}\}", r"(\d\d?)")
    found = re.fullmatch(pattern, result.text)
    assert found is not None and result.value == {"expression": found[1], "n": int(found[2])}


def test_holes_side_by_side_are_cut_shortest_first():
    source = structdiff.infill("{{a}}{{b}}!", a=structdiff.Regex("x+"), b=structdiff.Regex("x+y?"))
    assert source.as_source().parse("xxxy!") == {"a": "x", "b": "xxy"}
    constraint = structdiff.compile(source, VOCABULARY)
    assert [constraint.matches(text) for text in ("xx!", "x!", "xxy!", "xxy")] == [True, False, True, False]


@pytest.mark.parametrize(
    ("template", "holes", "message"),
    [
        ("no holes", {}, "no holes"),
        ("{{a}}", {}, "'a' has no source"),
        ("{{a}}", {"a": {"type": "null"}, "b": {"type": "null"}}, "no hole {{b}}"),
        ("{{a}} {{a}}", {"a": {"type": "null"}}, "stands twice"),
    ],
)
def test_templates_and_holes_that_do_not_pair_up(template, holes, message):
    with pytest.raises(InvalidSchema, match=re.escape(message)):
        structdiff.compile(structdiff.infill(template, **holes), VOCABULARY)


TEXT = '{"item":"lamp", "n": 2,"tags": ["a"],\n "rush":false}'


@pytest.mark.parametrize(("pointers", "around"), [
    (["/n"], [b'{"item":"lamp", "n": ', b',"tags": ["a"],\n "rush":false}']),
    (["/rush", "/item"], [b'{"item":', b', "n": 2,"tags": ["a"],\n "rush":', b"}"]),
    (["/tags"], [b'{"item":"lamp", "n": 2,"tags": ', b',\n "rush":false}']),
])  # fmt: skip
@pytest.mark.parametrize("seed", range(3))
def test_an_edit_changes_its_places_alone(pointers, around, seed):
    result = model(seed).generate("Make it more.", structdiff.Edit(ORDER, TEXT, pointers), seed=seed)
    jsonschema.validate(result.value, ORDER)
    places = {pointer[1:] for pointer in pointers}
    assert {k: v for k, v in result.value.items() if k not in places} == {
        k: v for k, v in json.loads(TEXT).items() if k not in places
    }
    text = result.text.encode()
    assert text.startswith(around[0]) and text.endswith(around[-1]) and all(part in text for part in around)


def test_an_edit_stays_within_the_whole_schema():
    constraint = structdiff.compile(structdiff.Edit(ORDER, {"item": "lamp", "n": 2}, ["/n"]), VOCABULARY)
    texts = ['{"item": "lamp", "n": ' + n + "}" for n in ("500", "501", '"x"', '3, "rush": true', "3 ")]
    assert [constraint.matches(text) for text in texts] == [True, False, False, False, False]


def test_bad_edits_are_refused():
    for pointers, message in ((["/colour"], "at /colour"), (["/tags", "/tags/0"], "inside another")):
        with pytest.raises(InvalidSchema, match=message):
            structdiff.compile(structdiff.Edit(ORDER, TEXT, pointers), VOCABULARY)
    with pytest.raises(InvalidSchema, match="not JSON"):
        structdiff.compile(structdiff.Edit(ORDER, "{", ["/n"]), VOCABULARY)
    with pytest.raises(Unsatisfiable, match="no change at /n makes"):
        structdiff.compile(structdiff.Edit(ORDER, {"item": 5, "n": 2}, ["/n"]), VOCABULARY)
