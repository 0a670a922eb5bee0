"""Structural tags: free text outside, exact parts inside; `re`, `json` and `jsonschema` read the outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import structdiff
from benchmarks.tags import CASES, CITY, judged
from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.core.errors import InvalidSchema, StructdiffError, Unsatisfiable, UnsupportedSchema
from structdiff.core.limits import Limits
from structdiff.frontends.registry import named, read_source
from structdiff.tokens.vocabulary import Vocabulary

EMBEDDED = Path(structdiff.__file__).parent / "models" / "embedded"
NUMBER = {"type": "json_schema", "json_schema": {"type": "integer"}}
TAG = {"type": "tag", "begin": "<n>", "content": NUMBER, "end": "</n>"}


def automaton_of(tag: Any) -> tuple[ByteAutomaton, list[str]]:
    grammar = read_source(structdiff.StructuralTag(tag)).build(Limits())
    return compile_tree(grammar.tree), [str(one) for one in grammar.restrictions]


def triggered(**more: Any) -> dict[str, Any]:
    return {"type": "triggered_tags", "triggers": ["<n"], "tags": [TAG], **more}


@pytest.mark.parametrize(
    ("part", "good", "bad"),
    [
        ({"type": "const_string", "value": "a{"}, ["a{"], ["a", ""]),
        (NUMBER, ["-3"], ["x", '"3"']),
        ({"type": "regex", "pattern": "[ab]+"}, ["abba"], ["", "abc"]),
        ({"type": "grammar", "grammar": 'root ::= "(" root ")" | "x"'}, ["((x))"], ["((x)"]),
        ({"type": "any_text"}, ["", "a\n\u00e9"], ["\x00"]),
        ({"type": "any_text", "excludes": ["ab", "c"]}, ["a b", "ba"], ["xaby", "c"]),
        (TAG, ["<n>3</n>"], ["<n>3", "3", "<n>x</n>", " <n>3</n>"]),
        ({**TAG, "end": ["</n>", "\n"]}, ["<n>3</n>", "<n>3\n"], ["<n>3"]),
        ({**TAG, "content": {"type": "any_text"}}, ["<n></n>", "<n>a</m></n>"], ["<n></n></n>"]),
        ({"type": "sequence", "elements": [TAG, {"type": "const_string", "value": "!"}]}, ["<n>3</n>!"], ["<n>3</n>"]),
        ({"type": "or", "elements": [TAG, {"type": "const_string", "value": "!"}]}, ["<n>3</n>", "!"], ["<n>3</n>!"]),
        ({"type": "optional", "content": NUMBER}, ["", "3"], ["3 3"]),
        ({"type": "star", "content": TAG}, ["", "<n>1</n><n>2</n>"], ["<n>1</n> <n>2</n>"]),
        ({"type": "plus", "content": TAG}, ["<n>1</n>"], [""]),
        ({"type": "repeat", "content": TAG, "min": 1, "max": 2}, ["<n>1</n><n>1</n>"], ["", "<n>1</n>" * 3]),
        ({"type": "repeat", "content": TAG, "min": 2, "max": -1}, ["<n>1</n>" * 5], ["<n>1</n>"]),
        (triggered(), ["", "a < n", "a<n>3</n>b<<n>4</n>", "<<n>3</n>"], ["<n", "a<n>x</n>", "<n>3</n><n"]),
        (triggered(at_least_one=True), ["<n>3</n>", "<n>3</n>a<n>4</n>"], ["", "a<n>3</n>"]),
        (triggered(stop_after_first=True), ["a<n>3</n>", "<n>3</n>"], ["", "a", "<n>3</n>b"]),
        (triggered(at_least_one=True, stop_after_first=True), ["<n>3</n>"], ["", "a<n>3</n>", "<n>3</n>b"]),
        (triggered(excludes=["x"]), ["a<n>3</n>b"], ["x", "a<n>3</n>x"]),
        (
            {"type": "tags_with_separator", "tags": [TAG], "separator": ", "},
            ["", "<n>1</n>, <n>2</n>"],
            ["<n>1</n>,", "a"],
        ),
        ({"type": "tags_with_separator", "tags": [TAG], "separator": ",", "at_least_one": True}, ["<n>1</n>"], [""]),
        (
            {"type": "tags_with_separator", "tags": [TAG], "separator": ",", "stop_after_first": True},
            ["", "<n>1</n>"],
            ["<n>1</n>,<n>1</n>"],
        ),
    ],
)
def test_parts(part: dict[str, Any], good: list[str], bad: list[str]) -> None:
    automaton, _ = automaton_of({"type": "structural_tag", "format": part})
    assert {text: automaton.accepts(text.encode()) for text in [*good, *bad]} == dict.fromkeys(
        good, True
    ) | dict.fromkeys(bad, False)


def test_a_trigger_that_overlaps_itself_stands_first_where_its_tag_does() -> None:
    """Free text "ab" before "abab": the first "abab" of the whole would begin too early."""
    tag = {"type": "tag", "begin": "abab", "content": NUMBER, "end": "."}
    automaton, _ = automaton_of({"format": {"type": "triggered_tags", "triggers": ["abab"], "tags": [tag]}})
    found = {text: automaton.accepts(text.encode()) for text in ("abab1.", "aabab1.", "ababab1.", "ab abab1.ab")}
    assert found == {"abab1.": True, "aabab1.": True, "ababab1.": False, "ab abab1.ab": True}


def test_both_forms_are_the_same_language() -> None:
    old = {
        "type": "structural_tag",
        "triggers": ["<n"],
        "structures": [{"begin": "<n>", "schema": '{"type": "integer"}', "end": "</n>"}],
    }
    assert automaton_of(old)[0] == automaton_of({"type": "structural_tag", "format": triggered()})[0]
    assert automaton_of(json.dumps(old))[0] == automaton_of(old)[0]


def test_the_end_of_a_tag_does_not_stand_inside() -> None:
    content = {"type": "json_schema", "json_schema": {"type": "string"}}
    automaton, restrictions = automaton_of({"format": {**TAG, "content": content, "end": "\n</n>"}})
    assert automaton.accepts(b'<n>"a</m>"\n</n>') and not automaton.accepts(b'<n>"a</n>"\n</n>')
    assert restrictions == ["at /format/content: tag: no text that holds '</n>' is written inside"]
    automaton, restrictions = automaton_of({"format": {**TAG, "begin": '{"x": ', "content": content, "end": "}"}})
    assert automaton.accepts(b'{"x": "}"}') and restrictions == []


@pytest.mark.parametrize(
    ("tag", "kind", "told"),
    [
        ("{", InvalidSchema, "not JSON"), ("[]", InvalidSchema, "is an object"),
        ({}, InvalidSchema, "either format, or structures"),
        ({"format": TAG, "structures": []}, InvalidSchema, "either format, or structures"),
        ({"format": {"type": "token", "token": 3}}, UnsupportedSchema, "at /format: token"),
        ({"format": {"type": "any_text", "max_tokens": 3}}, UnsupportedSchema, "at /format/max_tokens"),
        ({"format": {**NUMBER, "style": "qwen_xml"}}, UnsupportedSchema, "at /format/style: qwen_xml"),
        ({"format": {"type": "tag", "begin": "a"}}, InvalidSchema, "at /format: tag needs content"),
        ({"format": {**TAG, "begin": 3}}, InvalidSchema, "begin is a str, not int"),
        ({"format": triggered(triggers=["<m"])}, InvalidSchema, "at /format/tags/0/begin: 0 triggers"),
        ({"format": triggered(triggers=["<n", "<"])}, InvalidSchema, "2 triggers"),
        ({"format": triggered(tags=[])}, InvalidSchema, "there must be a trigger"),
        ({"format": {"type": "sequence", "elements": []}}, InvalidSchema, "there must be an element"),
        ({"format": {"type": "repeat", "content": TAG, "min": 3, "max": 2}}, InvalidSchema, "from min"),
        ({"structures": [{"begin": "<n>"}], "triggers": ["<n"]}, InvalidSchema, "at /structures/0"),
        ({"structures": [{"begin": "<n>", "schema": True, "end": "</n>"}]}, InvalidSchema, "triggers is a list"),
        ({"format": {**NUMBER, "json_schema": {"type": "strin"}}}, InvalidSchema, "in /format/json_schema"),
        ({"format": {**TAG, "content": {"type": "regex", "pattern": "a</n>"}}}, Unsatisfiable, "every content"),
    ],
)  # fmt: skip
def test_mistakes(tag: Any, kind: type[StructdiffError], told: str) -> None:
    with pytest.raises(kind, match=re.escape(told)):
        automaton_of(tag)


def test_it_is_a_front_end_of_its_own() -> None:
    tag = json.dumps({"format": TAG})
    read = read_source(named("structural_tag").from_text(tag))
    assert read.key == read_source(structdiff.StructuralTag(json.loads(tag))).key
    assert '"begin": "<n>"' in read.prompt("Count.", "Be brief.") and read.parse("<n>3</n>") == "<n>3</n>"
    with pytest.raises(TypeError, match="no options"):
        read_source(structdiff.StructuralTag(tag), max_depth=3)
    assert automaton_of({"format": {"type": "json_schema", "json_schema": CITY}})[0].accepts(b'{"city": "Bonn"}')


@pytest.mark.parametrize("name", CASES)
def test_random_logits(name: str) -> None:
    """50 outputs each, read by a reader of its own; `python -m benchmarks.tags` does 500."""
    outputs = list(judged(name, Vocabulary.of(EMBEDDED), 50, seed=1))
    assert [(text, wrong) for text, wrong, _ in outputs if wrong] == []
    assert sum(parts for _, _, parts in outputs) > 10
