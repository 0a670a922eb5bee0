"""Rows that a validator of the class rejects, tried again."""

from __future__ import annotations

import json

import pytest
import torch
from pydantic import BaseModel, field_validator, model_validator

import structdiff
from structdiff.core.errors import ValidationFailed
from structdiff.decode.policy import Policy
from structdiff.model import Model
from structdiff.retries import what_was_right
from structdiff.testing.scripted import Scripted
from structdiff.testing.tiny import tiny_vocabulary

LETTERS = [bytes([byte]) for byte in b'{}":,abn0123456789 ']


class Pair(BaseModel):
    a: int
    b: int

    @field_validator("b")
    @classmethod
    def is_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value


class Sum(Pair):
    @model_validator(mode="after")
    def is_small(self) -> Sum:
        if self.a + self.b > 9:
            raise ValueError("too large together")
        return self


def make_model(answers: list[bytes], seen: list[int] | None = None) -> Model:
    """A model that writes one answer after the other, one at each new canvas."""
    vocabulary = tiny_vocabulary(LETTERS)
    calls: list[bytes] = []

    def logits(prefix: list[int], canvas: torch.Tensor) -> torch.Tensor:
        out = torch.zeros(16, vocabulary.size)
        for place, byte in enumerate(answers[min(len(calls), len(answers) - 1)]):
            out[place, LETTERS.index(bytes([byte]))] = 30.0
        calls.append(b"")
        return out

    model = Model(Scripted(16, vocabulary.size, logits), vocabulary, Policy(max_steps=1), vocabulary.end_ids, "wilful")
    model.encode_prompt = lambda message, images=(): [0]  # type: ignore[method-assign]
    return model


def options(**more: object) -> dict[str, object]:
    return {"max_tokens": 16, "whitespace": "compact", **more}


def test_without_retries_the_first_answer_counts() -> None:
    with pytest.raises(ValidationFailed, match="at /b: .*must be even"):
        make_model([b'{"a":1,"b":3}', b'{"a":1,"b":4}']).generate("text", Pair, **options())  # type: ignore[arg-type]


def test_another_attempt_keeps_what_was_right() -> None:
    model = make_model([b'{"a":1,"b":3}', b'{"a":7,"b":4}'])
    assert model.generate("text", Pair, **options(retries=1)).value == Pair(a=1, b=4)  # type: ignore[arg-type]


def test_an_error_of_the_whole_frees_everything() -> None:
    model = make_model([b'{"a":9,"b":2}', b'{"a":7,"b":2}'])
    assert model.generate("text", Sum, **options(retries=1)).value == Sum(a=7, b=2)  # type: ignore[arg-type]


def test_attempts_end() -> None:
    model = make_model([b'{"a":1,"b":3}'])
    with pytest.raises(ValidationFailed) as raised:
        model.generate("text", Pair, **options(retries=2))  # type: ignore[arg-type]
    assert raised.value.text == '{"a":1,"b":3}'
    with pytest.raises(ValueError, match="retries is -1"):
        model.generate("text", Pair, retries=-1)


def test_compiled_constraints_and_streams_are_tried_again_too() -> None:
    answers = [b'{"a":1,"b":3}', b'{"a":7,"b":4}']
    model = make_model(answers)
    constraint = model.compile(Pair, whitespace="compact")
    assert model.generate("text", constraint, max_tokens=16, retries=1).value.b == 4
    *_, last = make_model(answers).stream("text", Pair, **options(retries=1))  # type: ignore[arg-type]
    assert isinstance(last, structdiff.Result) and last.value == Pair(a=1, b=4)


def test_only_rejected_rows_are_tried_again() -> None:
    vocabulary = tiny_vocabulary(LETTERS)
    written = {3: [b'{"a":1,"b":2}'], 5: [b'{"a":1,"b":3}', b'{"a":1,"b":8}']}
    calls: dict[int, int] = {}

    def logits(prefix: list[int], canvas: torch.Tensor) -> torch.Tensor:
        row = prefix[-1]
        turn = min(calls.get(row, 0), len(written[row]) - 1)
        calls[row] = calls.get(row, 0) + 1
        out = torch.zeros(16, vocabulary.size)
        for place, byte in enumerate(written[row][turn]):
            out[place, LETTERS.index(bytes([byte]))] = 30.0
        return out

    model = Model(Scripted(16, vocabulary.size, logits), vocabulary, Policy(max_steps=1), vocabulary.end_ids, "two")
    model.encode_prompt = lambda message, images=(): [0, len(message.rsplit("\n", 1)[-1])]  # type: ignore[method-assign]
    first, second = model.batch(["one", "three"], Pair, **options(retries=3))  # type: ignore[arg-type]
    assert (first.value.b, second.value.b) == (2, 8) and calls == {3: 1, 5: 2}


def test_what_was_right_stops_at_lists_and_at_the_whole() -> None:
    text = json.dumps({"a": 1, "list": [1, 2], "in": {"x": 1, "y": {"z": 2}}})
    assert what_was_right(ValidationFailed(text, [("/list/0", "no")])) == {"/a": 1, "/in": {"x": 1, "y": {"z": 2}}}
    assert what_was_right(ValidationFailed(text, [("/in/y", "no")])) == {"/a": 1, "/list": [1, 2], "/in/x": 1}
    assert what_was_right(ValidationFailed(text, [("", "no")])) == {}
