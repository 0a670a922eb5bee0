"""Values taken from the text: the language is that of an enumeration of all spans; every value stands in its text."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

import jsonschema
import numpy as np
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import structdiff
from structdiff.automata.slots import Template
from structdiff.automata.spans import Passage, Reading, span_automaton
from structdiff.core.errors import InvalidSchema, NothingToQuote, UnsupportedSchema
from structdiff.decode.cursor import Cursor
from structdiff.decode.engine import Task
from structdiff.decode.loop import run
from structdiff.decode.policy import Policy
from structdiff.frontends.verbatim import Verbatim
from structdiff.lattice.lattice import Lattice
from structdiff.testing.scripted import Scripted
from structdiff.testing.tiny import tiny_vocabulary
from structdiff.tokens.automaton import TokenAutomaton, build_token_automaton

PIECES = [bytes([b]) for b in range(0x20, 0x7F)] + [bytes([b]) for b in range(0x80, 0x100)]
PIECES += ['{"', '":', '": "', '": ', '":"', '"}', '",', '", "', '","', 'a"', 'n",', "An", "nn", " L", " Lee", "Ann",
           'ee"}', "\\n", '\\"', 'e"', 'a",', '"a"', '"A', ' "An', '": "A', 'a", "b": "', 'a", "b": "a', "ull", "null",
           "an", "é", " b", "b a"]  # fmt: skip
VOCABULARY = tiny_vocabulary([piece.encode() if isinstance(piece, str) else piece for piece in PIECES])
TEXT = "Ann Lee,\n an  old\tnurse (Ann's mother)"


def spans_by_hand(text: str, most: int | None = None) -> set[str]:
    """All spans of an ASCII text from their definition."""
    found = set()
    for i in range(len(text)):
        for j in range(i + 1, len(text) + 1):
            inside = text[i:j]
            cuts = [re.match(r"\w\w", text[at - 1 : at + 1]) for at in (i, j) if 0 < at < len(text)]
            if inside == inside.strip() and not any(cuts):
                value = " ".join(inside.split())
                if most is None or len(value.split()) <= most:
                    found.add(value)
    return found


def tokens_of(a: TokenAutomaton, state: int) -> dict[int, int]:
    edges = range(a.edge_at[state], a.edge_at[state + 1])
    return {int(t): int(a.edge_to[k]) for k in edges for t in a.tokens_of_label(a.edge_label[k])}


def assert_same_language(one: TokenAutomaton, other: TokenAutomaton) -> None:
    """The same token strings, by walking both automata side by side."""
    seen, pending = {(0, 0)}, [(0, 0)]
    while pending:
        s, t = pending.pop()
        here, there = tokens_of(one, s), tokens_of(other, t)
        assert here.keys() == there.keys(), [VOCABULARY.piece(x) for x in here.keys() ^ there.keys()]
        assert (one.accepting[s], one.distance[s]) == (other.accepting[t], other.distance[t])
        for token, target in here.items():
            if (target, there[token]) not in seen:
                seen.add((target, there[token]))
                pending.append((target, there[token]))


def enumerated(schema: Any, text: str) -> Any:
    """The schema with the spans of the text written out, in place of x-verbatim."""
    if isinstance(schema, list):
        return [enumerated(one, text) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: enumerated(value, text) for key, value in schema.items() if key != "x-verbatim"}
    if "x-verbatim" not in schema:
        return found
    asked = schema["x-verbatim"]
    spans = sorted(spans_by_hand(text, None if asked is True else asked.get("max_words")))
    return {"allOf": [found, {"enum": [*spans, *([None] if "null" in schema["type"] else [])]}]}


TAKEN = {"type": "string", "x-verbatim": True}
SCHEMAS = {
    "two": {"type": "object", "properties": {"a": TAKEN, "b": {"type": ["string", "null"], "x-verbatim": True}},
            "required": ["a"]},
    "beside a free string": {"type": "object", "properties": {"a": TAKEN, "b": {"type": "string"}, "c": TAKEN},
                             "required": ["a", "b", "c"]},
    "items": {"type": "array", "items": TAKEN},
    "or a constant": {"anyOf": [TAKEN, {"const": "unknown"}, {"const": "Ann"}, {"type": "null"}]},
    "with conditions": {"type": "object", "properties": {
        "a": {**TAKEN, "minLength": 2, "maxLength": 8}, "b": {**TAKEN, "pattern": "^[An]"},
        "c": {"type": "string", "x-verbatim": {"max_words": 2}}}, "required": ["a"]},
    "an enum": {"type": "object", "properties": {"a": {**TAKEN, "enum": ["Ann", "nurse", "zebra"]}, "b": TAKEN}},
}  # fmt: skip
TEXTS = [TEXT, "Ann", "a", "Ann Ann Ann", "a a b a a b", "null unknown Ann", 'Ann said "hi" \\o/ {"a": "b"}']


@pytest.mark.parametrize("whitespace", ["json", "compact"])
@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_token_strings_are_those_of_an_enumeration(schema: dict, whitespace: Any) -> None:
    for canonical in (True, False):
        constraint = structdiff.compile(schema, VOCABULARY, whitespace=whitespace, canonical=canonical)
        for text in TEXTS:
            options: Any = {"whitespace": whitespace, "canonical": canonical}
            try:
                wanted = structdiff.compile(enumerated(schema, text), VOCABULARY, **options)
            except structdiff.Unsatisfiable:
                with pytest.raises(NothingToQuote):
                    constraint.for_text(text)
                continue
            assert_same_language(constraint.for_text(text).automaton, wanted.automaton)


@settings(max_examples=60, deadline=None)
@given(text=st.text('abA \n",.é\\', min_size=1, max_size=12), canonical=st.booleans(), case=st.booleans())
def test_random_texts_equal_the_automaton_compiled_as_a_whole(text: str, canonical: bool, case: bool) -> None:
    taken = {"type": "string", "x-verbatim": {"case": "ignore" if case else "exact"}}
    schema = {"type": "object", "properties": {"a": taken, "b": taken}, "required": ["a"]}
    constraint = structdiff.compile(schema, VOCABULARY, canonical=canonical)
    template = constraint.laying.template
    contents = template.contents(text)
    if contents[0].is_empty:
        with pytest.raises(NothingToQuote, match="/a"):
            constraint.for_text(text)
        return
    whole = build_token_automaton(template.filled(contents), VOCABULARY, canonical=canonical)
    assert_same_language(constraint.for_text(text).automaton, whole)


def test_both_decoders_see_the_enumeration() -> None:
    schema = SCHEMAS["two"]
    one = structdiff.compile(schema, VOCABULARY, whitespace="compact").for_text("Ann Lee, a nurse").automaton
    other = structdiff.compile(enumerated(schema, "Ann Lee, a nurse"), VOCABULARY, whitespace="compact").automaton
    logits = np.random.default_rng(0).normal(size=(24, VOCABULARY.size)).astype(np.float32) * 3
    posterior, wanted = (Lattice(a, 24).posterior(logits) for a in (one, other))
    assert posterior.log_z == pytest.approx(wanted.log_z, abs=1e-9)
    assert posterior.maximum[0].tolist() == wanted.maximum[0].tolist()
    tokens = posterior.maximum[0]
    assert posterior.probabilities(tokens) == pytest.approx(wanted.probabilities(tokens), abs=1e-9)
    cursors, states = [Cursor(a, VOCABULARY.end_ids) for a in (one, other)], [0, 0]
    for left in range(24, 0, -1):
        (first, _), (second, _) = (c.legal(s, left) for c, s in zip(cursors, states, strict=True))
        assert sorted(first) == sorted(second)
        row = logits[24 - left]
        best = [c.best(row, s, left) for c, s in zip(cursors, states, strict=True)]
        assert best[0][0] == best[1][0]
        states = [state for _, state in best]


@pytest.mark.parametrize("text", [TEXT, "a.b  c", "x_1 2-3"])
@pytest.mark.parametrize("most", [None, 1, 3])
def test_spans_are_those_of_the_definition(text: str, most: int | None) -> None:
    spans = span_automaton(Passage(text, Reading(max_words=most)))
    wanted = spans_by_hand(text, most)
    for value in wanted:
        assert spans.accepts(json.dumps(value)[1:-1].encode()), value
        assert Passage(text).find(value)
    every = {text[i:j] for i in range(len(text)) for j in range(i, len(text) + 1)} - wanted
    assert not [value for value in every if spans.accepts(json.dumps(value)[1:-1].encode())]


@pytest.mark.parametrize(
    ("text", "value", "is_span"),
    [
        ("Zürich, Genève", "Genève", True),
        ("Zürich", "Zu\u0308rich", False),
        ("Zu\u0308rich ist", "Zu\u0308rich", True),
        ("Zu\u0308rich ist", "Zu", False),
        ("株式会社東京は", "東京", True),
        ("서울에서 왔다", "서울", True),
        ("a \U0001f469\u200d\U0001f4bb b", "\U0001f469", False),
        ("a \U0001f469\u200d\U0001f4bb b", "\U0001f469\u200d\U0001f4bb", True),
        ("tab\there", "tab here", True),
        ("bell\u0007 rings", "bell\u0007", True),
        ("no\u00a0break", "no break", True),
        ("lone \ud800 half", "lone", True),
        ("lone \ud800 half", "lone  half", False),
        ("<|end|> of <eos>", "<eos>", True),
        ("O'Brien paid $4.50", "$4.50", True),
        ("O'Brien paid $4.50", "O'Brien", True),
    ],
)
def test_unicode_and_signs(text: str, value: str, is_span: bool) -> None:
    for ascii_only in (False, True):
        spans = span_automaton(Passage(text), ascii_only)
        assert spans.accepts(json.dumps(value, ensure_ascii=ascii_only)[1:-1].encode()) == is_span
    assert bool(Passage(text).find(value)) == is_span


def test_options_of_the_reading() -> None:
    text = "Ann  LEE\nof Ulm"
    inside, exact = Verbatim(words=False).reading(), Verbatim(blanks="exact").reading()
    folded = Verbatim(case="ignore").reading()
    assert span_automaton(Passage(text, inside)).accepts(b"nn L")
    assert span_automaton(Passage(text, exact)).accepts(rb"Ann  LEE\nof")
    assert not span_automaton(Passage(text, exact)).accepts(b"Ann LEE")
    assert span_automaton(Passage(text, folded)).accepts(b"aNN lee")
    assert Passage(text, folded).spelt("aNN lee") == "Ann LEE"
    assert Passage(text, exact).find("LEE\nof") == [(5, 11)]
    for wrong in ({"cases": 1}, {"case": "any"}, {"max_words": 0}, {"words": 1}, "yes", 1):
        with pytest.raises(InvalidSchema, match=r"at /properties/a: x-verbatim"):
            structdiff.compile({"properties": {"a": {"type": "string", "x-verbatim": wrong}}}, VOCABULARY)


@pytest.mark.parametrize(
    "schema",
    [
        {"not": TAKEN, "type": "string"},
        {"anyOf": [TAKEN, {"type": "string", "pattern": "^x"}]},
        {"allOf": [TAKEN, {"type": "string", "x-verbatim": {"case": "ignore"}}]},
        {"anyOf": [
            {"type": "object", "properties": {"a": TAKEN, "b": {"const": 1}}, "required": ["a", "b"]},
            {"type": "object", "properties": {"a": {"type": "string", "minLength": 3}}, "required": ["a"]},
        ]},
        {"type": "object", "propertyNames": TAKEN, "additionalProperties": {"type": "integer"}},
    ],
)  # fmt: skip
def test_what_cannot_be_taken_from_the_text_is_refused_by_name(schema: dict) -> None:
    with pytest.raises(UnsupportedSchema, match="x-verbatim"):
        structdiff.compile(schema, VOCABULARY)


def test_a_required_string_without_a_span_is_an_error_that_names_it() -> None:
    place = {"type": "object", "properties": {"zip": {**TAKEN, "pattern": r"^\d{5}$"}}, "required": ["zip"]}
    schema = {"type": "object", "properties": {"who": {"type": ["string", "null"], "x-verbatim": True},
              "at": {"type": "array", "items": place, "minItems": 1}}, "required": ["who", "at"]}  # fmt: skip
    constraint = structdiff.compile(schema, VOCABULARY)
    with pytest.raises(NothingToQuote, match="the value of /at/0/zip must stand in the text"):
        constraint.for_text("Ann of Ulm")
    assert constraint.for_text("89073 Ulm").matches('{"who": "Ulm", "at": [{"zip": "89073"}]}')
    nobody = structdiff.compile({"type": ["string", "null"], "x-verbatim": True}, VOCABULARY).for_text(" \n")
    assert nobody.matches("null") and not nobody.matches('""')


def random_outputs(constraint: structdiff.Constraint, count: int, seed: int) -> list[str]:
    denoiser = Scripted.random(canvas_length=48, vocab_size=VOCABULARY.size, seed=seed)
    policy = Policy(max_steps=2, t_min=0.8, t_max=0.8)

    def spell(tokens: list[int]) -> str:
        return VOCABULARY.bytes_of(tokens).decode()

    tasks = [Task([1], constraint.automaton, 96, number, VOCABULARY.end_ids, spell) for number in range(count)]
    return [spell(outcome.tokens) for outcome in run(denoiser, tasks, policy)]


@pytest.mark.parametrize(
    "text",
    [
        'She said: "Löwe\\Bär" <|end_of_turn|>,\n\tthen\r\n  left </s> for 東京.',
        "Ann Lee, 31, nurse, lives in Ulm; her brother Tom Lee lives in New\n York.",
    ],
)
def test_outputs_of_random_logits_stand_in_their_text(text: str) -> None:
    schema = {"type": "object", "properties": {"a": TAKEN, "b": {"type": ["string", "null"], "x-verbatim": True},
              "n": {"type": "integer"}, "c": {"type": "array", "items": TAKEN, "maxItems": 3}},
              "required": ["a", "b", "c"]}  # fmt: skip
    bound = structdiff.compile(schema, VOCABULARY).for_text(text)
    plain = " ".join(text.split())
    outputs = random_outputs(bound, 150, seed=len(text))
    assert len(outputs) == 150 and len(set(outputs)) > 100
    for output in outputs:
        value = json.loads(output)
        jsonschema.validate(value, schema)
        spans = bound.spans(output, text)
        strings = {"/a": value["a"], "/b": value["b"], **{f"/c/{i}": one for i, one in enumerate(value["c"])}}
        for pointer, one in strings.items():
            if one is not None:
                assert one and one in plain
                assert all(" ".join(text[a:b].split()) == one for a, b in spans[pointer])
        assert set(spans) == {pointer for pointer, one in strings.items() if one is not None}


@pytest.fixture(scope="module")
def model() -> structdiff.Model:
    return structdiff.load("tiny")


class Person(pydantic.BaseModel):
    name: Annotated[str, Verbatim()]
    city: Annotated[str, Verbatim(case="ignore")] | None = None
    age: int | None = None


def test_a_class_gets_spans_of_each_rows_own_text(model: structdiff.Model) -> None:
    texts = ["Ann Lee lives in ULM and is 31.", "Zoltan Quux moved to\n Zurich; he is 4."]
    results = model.batch(texts, Person, fields=True)
    for text, result in zip(texts, results, strict=True):
        assert isinstance(result.value, Person) and result.value.name in " ".join(text.split())
        assert result.spans["/name"] and set(result.spans) <= {"/name", "/city"}
        for pointer, places in result.spans.items():
            wanted = result.data[pointer[1:]]
            assert all(" ".join(text[a:b].split()) == wanted for a, b in places)
            assert result.fields[pointer].span == places[0] or len(places) > 1
        assert "/age" not in result.spans
    again = model.batch(texts[::-1], Person)
    assert [one.text for one in again] == [one.text for one in results][::-1]


def test_ignoring_case_the_value_is_spelt_as_in_the_text() -> None:
    vocabulary = VOCABULARY
    constraint = structdiff.compile(Person, vocabulary).for_text("Ann of ULM")
    assert constraint.matches('{"name": "Ann", "city": "Ulm"}') and not constraint.matches('{"name": "ann"}')
    assert constraint.spelt('{"name": "Ann", "city": "Ulm"}') == '{"name": "Ann", "city": "ULM"}'


def test_the_option_takes_free_strings_alone(model: structdiff.Model) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"enum": ["x", "y"]},
              "c": {"type": "string", "format": "date"}, "d": {"type": "string", "maxLength": 40}},
              "required": ["a", "b", "c", "d"]}  # fmt: skip
    bound = structdiff.compile(schema, VOCABULARY, verbatim=True).for_text("Ann is here")
    assert bound.matches('{"a": "Ann", "b": "x", "c": "2020-01-31", "d": "is here"}')
    assert not bound.matches('{"a": "Bob", "b": "x", "c": "2020-01-31", "d": "is here"}')
    assert not bound.matches('{"a": "Ann", "b": "x", "c": "2020-01-31", "d": "no"}')
    result = model.generate("Ann is here", schema, verbatim=True)
    assert {"/a", "/d"} == set(result.spans)


def test_pinned_values_must_stand_in_the_text(model: structdiff.Model) -> None:
    result = model.generate("Ann and Tom live in Ulm.", Person, pinned={"name": "Tom"})
    assert result.value.name == "Tom" and result.spans["/name"] == [(8, 11)]
    with pytest.raises(NothingToQuote, match="/name"):
        model.generate("Ann lives in Ulm.", Person, pinned={"name": "Zoe"})


def test_a_text_in_pieces_has_the_places_of_the_whole(model: structdiff.Model) -> None:
    text = " ".join(f"Room {n} is empty today and nobody knows why." for n in range(14)) + " Ann Lee lives in Ulm."
    model.text_tokens, before = 90, model.text_tokens
    try:
        result = model.generate(text, {"type": "object", "properties": {"name": TAKEN}, "required": ["name"]},
                                long_text="split")  # fmt: skip
    finally:
        model.text_tokens = before
    assert result.spans["/name"] == Passage(text).find(result.value["name"]) != []


def test_a_constraint_without_its_text_generates_nothing(model: structdiff.Model) -> None:
    constraint = model.compile(Person)
    assert constraint.key is None  # engines hand automata over by it, and would lose the slots
    assert constraint.needs_text and constraint.matches('{"name": "anything at all"}')
    with pytest.raises(structdiff.GenerationError, match="for_text"):
        model.row([1], constraint, 64, 0)
    assert model.compile({"type": "integer"}).for_text("7").needs_text is False


def test_two_slots_that_meet_share_nothing_but_the_content() -> None:
    constraint = structdiff.compile(SCHEMAS["two"], VOCABULARY)
    assert isinstance(constraint.laying.template, Template)
    assert len(constraint.laying.template.places) == 2 and len(constraint.laying.template.slots) == 1
