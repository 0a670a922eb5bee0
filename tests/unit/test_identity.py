"""A constraint is its content: what it says, its options, its registry and its vocabulary, and nothing else."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from pydantic import BaseModel, field_validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

import structdiff
from structdiff.constraint.compile import Compiler
from structdiff.core.errors import Restricted, ValidationFailed, VocabularyMismatch
from structdiff.decode.policy import Policy
from structdiff.model import Model
from structdiff.testing.scripted import Scripted
from structdiff.testing.tiny import tiny_vocabulary

LETTERS = [bytes([b]) for b in range(32, 127)]
VOCABULARY = tiny_vocabulary(LETTERS)
OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    monkeypatch.setenv("STRUCTDIFF_CACHE", str(tmp_path))
    return Compiler(VOCABULARY)


def make_model(pieces: list[bytes] = LETTERS) -> Model:
    vocabulary = tiny_vocabulary(pieces)
    denoiser = Scripted.random(canvas_length=12, vocab_size=vocabulary.size)
    model = Model(denoiser, vocabulary, Policy(max_steps=2), vocabulary.end_ids, "scripted")
    model.encode_chat = lambda messages: [0] * len(messages[0]["content"])
    return model


@pytest.mark.parametrize("as_registry", [False, True])
def test_another_registry_is_another_constraint(compiler: Compiler, as_registry: bool) -> None:
    def registry(schema: dict) -> object:
        if not as_registry:
            return {"urn:x": schema}
        return Registry().with_resource("urn:x", Resource(schema, DRAFT202012))

    one = compiler.compile({"$ref": "urn:x"}, registry=registry({"const": 1}))
    other = compiler.compile({"$ref": "urn:x"}, registry=registry({"const": 2}))
    again = compiler.compile({"$ref": "urn:x"}, registry=registry({"const": 1}))
    assert one.matches("1") and not one.matches("2") and other.matches("2") and not other.matches("1")
    assert again.automaton is one.automaton and one.key != other.key


def test_a_registry_that_fetches_is_never_remembered(compiler: Compiler) -> None:
    answers = iter([{"const": 1}, {"const": 2}])
    for expected in ("1", "2"):
        registry: Registry = Registry(retrieve=lambda uri: Resource(next(answers), DRAFT202012))  # type: ignore[call-arg]
        constraint = compiler.compile({"$ref": "urn:x"}, registry=registry)
        assert constraint.matches(expected) and constraint.key is None


def test_an_edited_schema_file_is_read_again(compiler: Compiler, tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text('{"const": 1}')
    assert compiler.compile(path).matches("1")
    path.write_text('{"const": 2}')
    assert compiler.compile(path).matches("2") and compiler.compile(str(path)).matches("2")


def test_a_changed_dict_is_another_constraint(compiler: Compiler) -> None:
    schema: dict = {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}
    first = compiler.compile(schema)
    schema["properties"]["a"]["const"] = 2
    assert compiler.compile(schema).matches('{"a":2}') and first.matches('{"a":1}')


def test_equal_pins_share_an_automaton() -> None:
    model = make_model()
    kept = [model.compile(structdiff.Pinned(OBJECT, {"a": 7})).automaton for _ in range(3)]
    assert kept[0] is kept[1] is kept[2]
    assert model.compile(structdiff.Pinned(OBJECT, {"a": 8})).automaton is not kept[0]
    assert len(model.compiler) == 2


def test_one_automaton_serves_two_classes_and_each_gets_its_own_instances(compiler: Compiler) -> None:
    def make() -> type[BaseModel]:
        class Thing(BaseModel):
            a: int

        return Thing

    one, other = make(), make()
    first, second = compiler.compile(one), compiler.compile(other)
    assert first.automaton is second.automaton
    assert type(first.value('{"a":1}')) is one and type(second.value('{"a":1}')) is other


def test_numbers_and_booleans_that_python_calls_equal_are_told_apart(compiler: Compiler) -> None:
    texts = {"1": {"const": 1}, "true": {"const": True}}
    for text, schema in texts.items():
        constraint = compiler.compile(schema)
        assert [other for other in texts if constraint.matches(other)] == [text]


def test_a_constraint_takes_no_options_and_knows_its_vocabulary() -> None:
    model = make_model()
    constraint = model.compile(OBJECT)
    assert model.compile(constraint) is constraint
    with pytest.raises(TypeError, match=r"compiled already and takes no options \(whitespace\)"):
        model.compile(constraint, whitespace="compact")
    with pytest.raises(TypeError, match="compiled already"):
        model.generate("text", constraint, whitespace="compact")
    other = make_model([LETTERS[1], LETTERS[0], *LETTERS[2:]])  # the same V, other tokens
    assert other.vocabulary.size == model.vocabulary.size
    with pytest.raises(VocabularyMismatch, match="compiled for another tokenizer"):
        other.generate("text", constraint)
    with pytest.raises(VocabularyMismatch):
        structdiff.compile(constraint, tiny_vocabulary(LETTERS, ends=(3,)))


def test_a_wrong_option_is_an_error_without_and_with_a_source() -> None:
    model = make_model()
    for source in (None, OBJECT, structdiff.Regex("a")):
        with pytest.raises(TypeError, match="'max_token'; did you mean 'max_tokens'"):
            model.generate("text", source, max_token=5)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="'max_token'"):
            next(model.stream("text", source, max_token=5))  # type: ignore[call-overload]


def test_restrictions_are_told_once_and_refused_when_strict(compiler: Compiler) -> None:
    node = {"$defs": {"n": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"}
    with pytest.warns(structdiff.RestrictionWarning, match="recursion"):
        constraint = compiler.compile(node, max_depth=1)
    assert {restriction.keyword for restriction in constraint.restrictions} == {"$ref"}
    assert not constraint.matches('{"n":{"n":{"n":{}}}}')
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiler.compile(node, max_depth=1).restrictions == constraint.restrictions
    with pytest.raises(Restricted, match=r"\$ref: recursion"):
        compiler.compile(node, max_depth=1, strict=True)
    assert compiler.compile(OBJECT, strict=True).restrictions == ()


def test_restrictions_come_back_from_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from structdiff.constraint import disk_cache

    monkeypatch.setenv("STRUCTDIFF_CACHE", str(tmp_path))
    monkeypatch.setattr(disk_cache, "WORTH_KEEPING", -1.0)
    node = {"$defs": {"n": {"type": "object", "properties": {"m": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"}
    with pytest.warns(structdiff.RestrictionWarning):
        first = Compiler(VOCABULARY).compile(node)
    assert first.restrictions and Compiler(VOCABULARY).compile(node).restrictions == first.restrictions
    assert len(list(tmp_path.glob("constraint-*.npz"))) == 1


class Picky(BaseModel):
    a: int

    @field_validator("a")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value


def test_one_rejected_row_costs_no_other() -> None:
    """The logits write {"a":1} for one text and {"a":2} for the other."""
    texts, vocabulary = ["one", "three"], tiny_vocabulary(LETTERS)
    written = {3: b'{"a":1}', 5: b'{"a":2}'}

    def logits(prefix: list[int], canvas: torch.Tensor) -> torch.Tensor:
        out = torch.zeros(12, vocabulary.size)
        for i, byte in enumerate(written[prefix[-1]]):
            out[i, LETTERS.index(bytes([byte]))] = 30.0
        return out

    model = Model(Scripted(12, vocabulary.size, logits), vocabulary, Policy(max_steps=4), vocabulary.end_ids, "picky")
    model.encode_chat = lambda messages: [0, len(messages[0]["content"].rsplit("\n", 1)[-1])]
    failed, fine = model.batch(texts, Picky, max_tokens=12, errors="return")
    assert isinstance(failed, structdiff.Failure) and failed.text == "one"
    assert isinstance(failed.error, ValidationFailed) and failed.error.text == '{"a":1}'
    [(pointer, message)] = failed.error.errors
    assert pointer == "/a" and "must be even" in message
    assert isinstance(fine, structdiff.Result) and fine.value == Picky(a=2)
    with pytest.raises(ValidationFailed, match="at /a: .*must be even") as raised:
        model.batch(texts, Picky, max_tokens=12)
    assert raised.value.results is not None and raised.value.results[1].value == Picky(a=2)


def test_a_row_that_cannot_begin_costs_no_other() -> None:
    model = make_model()
    empty, fine = model.batch([" ", "text"], [OBJECT, OBJECT], errors="return")
    assert isinstance(empty, structdiff.Failure) and "empty" in str(empty.error)
    assert json.loads(fine.text).keys() == {"a"}


def test_fields_are_measured_when_asked_for() -> None:
    model = make_model()
    with pytest.raises(structdiff.GenerationError, match="fields=True"):
        _ = model.generate("text", OBJECT).fields
    assert set(model.generate("text", OBJECT, fields=True).fields) == {"/a"}
    assert model.generate("text", fields=True, max_tokens=12).fields == {}


def test_marginal_restrictions_are_listed_and_stop_nobody(compiler: Compiler) -> None:
    """A general address literal is an e-mail to some validators; nobody is warned of it at every start."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        constraint = compiler.compile({"type": "string", "format": "email"}, strict=True)
    assert [one.keyword for one in constraint.restrictions] == ["format"] and constraint.restrictions[0].is_marginal
