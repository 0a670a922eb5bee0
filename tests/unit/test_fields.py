"""Field probabilities against their definition: every output of a small vocabulary, enumerated and parsed."""

import itertools
import json
import re

import numpy as np
import pytest
import torch

import structdiff
from structdiff.confidence.fields import Field, FieldMeter
from structdiff.decode.engine import Task
from structdiff.decode.loop import run
from structdiff.decode.policy import Policy
from structdiff.lattice import reference
from structdiff.model import Model, Result
from structdiff.results.unsure import drop_unsure
from structdiff.testing.scripted import Scripted
from structdiff.testing.tiny import tiny_vocabulary

PIECES = [b"{", b"}", b'"a"', b'"b"', b":", b",", b"1", b"2", b'"b":', b"1,", b"null", b' "b"', b"12}", b'{"', b" "]
VOCABULARY = tiny_vocabulary(PIECES)
V = VOCABULARY.size
PAIR = {"type": "object", "properties": {"a": {"enum": [1, 2, 12, None]}, "b": {"enum": [1, 12, 22, None]}}}
SCHEMAS = {
    "first optional": ({**PAIR, "required": ["b"]}, ""),
    "both optional": (PAIR, ""),
    "integer": ({**PAIR, "properties": {**PAIR["properties"], "b": {"type": "integer", "minimum": 0}}}, ""),
    "inside": ({"type": "object", "properties": {"a": PAIR}, "required": ["a"]}, "/a"),
}


def outputs(automaton, logits, temperature):
    """(text, probability) of every token string that ends within the canvas."""
    own, n = reference.log_softmax(logits, temperature), len(logits)

    def walk(state, i, text, log):
        if automaton.accepting[state]:
            yield text, np.exp(log + (own[i, V - 1] if i < n else 0.0))
        for token in range(V - 1 if i < n else 0):
            following = automaton.step(state, token)
            if following >= 0:
                yield from walk(following, i + 1, text + PIECES[token], log + own[i, token])

    return list(walk(0, 0, b"", 0.0))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", SCHEMAS)
def test_values_and_presences_are_those_of_all_outputs(name, seed):
    schema, prefix = SCHEMAS[name]
    constraint = structdiff.compile(schema, VOCABULARY)
    n, temperature = 9, 1.0 + seed % 2
    logits = (np.random.default_rng(seed).normal(size=(n, V)) * 2).astype(np.float32)
    logits[:, V - 1] -= 4
    text, fields = _run(constraint, logits, n, n, seed, temperature)

    def inner(value):
        return value["a"] if prefix else value

    every = [
        (other, inner(json.loads(other)), mass) for other, mass in outputs(constraint.automaton, logits, temperature)
    ]

    def share(event, given):
        among = [(event(other, value), mass) for other, value, mass in every if given(other, value)]
        return sum(mass for hit, mass in among if hit) / sum(mass for _, mass in among)

    value = inner(json.loads(text))
    spans = {m[1].decode(): m for m in re.finditer(rb'"(\w)": ?(\w+)', text)}
    head, skipped = text.rindex(b"{") + 1, set()
    for key in ("a", "b"):
        field = fields[f"{prefix}/{key}"]

        def before(other, found, head=head, skipped=frozenset(skipped)):
            ended = not text[head - 1 : head].isdigit() or not other[head : head + 1].isdigit()
            return other[:head] == text[:head] and ended and not skipped & set(found)

        presence = share(lambda other, found, key=key: key in found, before)
        assert field.presence == pytest.approx(presence, abs=1e-9)
        assert field.present == (key in value)
        if key not in value:
            assert field.value is None and field.probability == pytest.approx(1 - presence, abs=1e-9)
            skipped.add(key)
            continue
        start, head = spans[key].end(1) + 2, spans[key].end(2)
        known = share(
            lambda other, found, key=key: found.get(key, "none") == value[key],
            lambda other, found, start=start: other[:start] == text[:start],
        )
        assert field.value == value[key] and field.probability == pytest.approx(presence * known, abs=1e-9)
        skipped.clear()


def _run(constraint, logits, canvas, budget, seed, temperature=1.0):
    meter = FieldMeter(constraint, temperature)
    model = Scripted(canvas, V, lambda prefix, _: torch.from_numpy(logits))
    task = Task([0], constraint.automaton, budget, seed, VOCABULARY.end_ids, on_commit=(meter,))
    return VOCABULARY.bytes_of(run(model, [task], Policy(max_steps=2))[0].tokens), meter.fields()


@pytest.mark.parametrize("seed", range(4))
def test_what_canvases_cut_is_the_product_of_its_parts(seed):
    vocabulary = tiny_vocabulary("[ ] 1 2")
    numbers = [int("".join(digits)) for digits in itertools.product("12", repeat=4)]
    constraint = structdiff.compile(
        {"type": "array", "items": {"enum": numbers}, "minItems": 1, "maxItems": 1}, vocabulary
    )
    logits = np.random.default_rng(seed).normal(size=(2, 5)).astype(np.float32)
    meter = FieldMeter(constraint)
    model = Scripted(2, 5, lambda prefix, _: torch.from_numpy(logits))
    run(model, [Task([0], constraint.automaton, 6, seed, (4,), on_commit=(meter,))], Policy(max_steps=2))
    own, digits = np.exp(logits.astype(float)), [b"[]12".index(byte) for byte in meter.text[1:5]]  # canvases [1 21 2]
    expected = np.prod([own[i, d] / own[i, 2:4].sum() for i, d in zip((1, 0, 1, 0), digits, strict=True)])
    assert meter.fields()["/0"].probability == pytest.approx(expected, abs=1e-9)
    assert meter.fields()["/0"].value == int(meter.text[1:5])


@pytest.mark.parametrize("seed", range(4))
def test_a_key_that_a_canvas_cuts_is_measured_where_it_is_decided(seed):
    characters = [b"{", b"}", b'"', b":", b"1", b"x", b"a", b"b", b" "]
    vocabulary = tiny_vocabulary(characters)
    one = {"type": "object", "properties": {"xa": {"const": 1}, "xb": {"const": 1}}}
    logits = np.random.default_rng(seed).normal(size=(3, 10)).astype(np.float32)

    def fields_of(schema):
        constraint = structdiff.compile(schema, vocabulary, whitespace="compact")
        meter = FieldMeter(constraint)
        model = Scripted(3, 10, lambda prefix, _: torch.from_numpy(logits))  # {"x a": 1}
        run(model, [Task([0], constraint.automaton, 9, seed, (9,), on_commit=(meter,))], Policy(max_steps=2))
        return meter.fields()

    own = np.exp(logits[0].astype(float))
    a, b = own[characters.index(b"a")], own[characters.index(b"b")]
    found = fields_of({**one, "minProperties": 1, "maxProperties": 1})
    assert found["/xa"].presence == pytest.approx(a / (a + b), abs=1e-9)
    assert found["/xa"].present == (a > b) and found["/xa"].probability == pytest.approx(max(a, b) / (a + b), abs=1e-9)
    sure = fields_of({"type": "object", "properties": {"xa": {"const": 1}}, "required": ["xa"]})
    assert sure["/xa"] == Field(1, 1.0)


def test_text_that_is_not_json_is_one_field():
    vocabulary = tiny_vocabulary("a b ab")
    constraint = structdiff.compile(structdiff.Regex("ab?"), vocabulary)
    logits = np.zeros((2, 4), np.float32)  # "a" end, "ab" end, "a" "b": one in 16 each
    meter = FieldMeter(constraint)
    task = Task([0], constraint.automaton, 2, 0, (3,), on_commit=(meter,))
    run(Scripted(2, 4, lambda prefix, _: torch.from_numpy(logits)), [task], Policy(max_steps=2))
    assert meter.fields()[""].probability == pytest.approx(1 / 3 if meter.text == b"a" else 2 / 3)


def _result(text, probabilities):
    fields = {pointer: Field(None, probability) for pointer, probability in probabilities.items()}
    return Result(json.loads(text), text, "stop", None, "", (), fields)


def test_unsure_optional_fields_are_left_out_and_required_ones_are_named():
    inner = {"type": "object", "properties": {"b": {"type": "integer"}, "c": {"type": "integer"}}, "required": ["c"]}
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "o": inner, "x": {"type": "number"}, "y": {"type": "null"}},
        "required": ["a"],
        "dependentRequired": {"o": ["y"]},
    }
    constraint = structdiff.compile(schema, tiny_vocabulary([bytes([byte]) for byte in range(32, 127)]))
    text = '{"a": "z", "o": {"b": 1, "c": 2}, "x": 12.50, "y": null}'
    assert constraint.matches(text)
    all_sure = {"/a": 0.9, "/o": 1.0, "/o/b": 0.9, "/o/c": 0.9, "/x": 0.9, "/y": 0.9}
    cases = {
        "/x": ('{"a": "z", "o": {"b": 1, "c": 2}, "y": null}', []),
        "/o/b": ('{"a": "z", "o": {"c": 2}, "x": 12.50, "y": null}', []),
        "/o": ('{"a": "z", "x": 12.50, "y": null}', []),
        "/a": (text, ["/a"]),
        "/o/c": (text, ["/o/c"]),
        "/y": (text, ["/y"]),  # o needs it
    }
    for pointer, (expected, named) in cases.items():
        result = drop_unsure(_result(text, {**all_sure, pointer: 0.2}), constraint, 0.5)
        assert result.text == expected and result.value == json.loads(expected)
        assert [problem.split(":")[0] for problem in result.problems] == named
        assert constraint.matches(result.text) and (named or not result.fields[pointer].present)
    with pytest.raises(ValueError, match="number from 0 to 1"):
        drop_unsure(_result(text, all_sure), constraint, 80)


def test_min_confidence_through_the_front_door():
    logits = torch.zeros(10, V)
    for i, piece in enumerate([b"{", b'"a"', b":", b"1", b",", b'"b"', b":", b"1", b"}"]):
        logits[i, PIECES.index(piece)] = 5.0
    denoiser = Scripted(10, V, lambda prefix, canvas: logits)
    model = Model(denoiser, VOCABULARY, Policy(max_steps=2), VOCABULARY.end_ids, "sure of a text")
    model.encode_chat = lambda messages: [0] * len(messages[0]["content"])
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}, "b": {"enum": [1, 12]}}, "required": ["b"]}
    [free] = model.batch(["text"], schema, max_tokens=10, fields=True)
    assert free.value == {"a": 1, "b": 1} and 0.5 < free.fields["/a"].probability < 1 and not free.problems
    [sure] = model.batch(["text"], schema, max_tokens=10, min_confidence=1.0)
    assert sure.value == {"b": 1} and sure.problems[0].startswith("/b: ") and not sure.fields["/a"].present
