"""What a type checker makes of the Python interface; checked, never run."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypedDict, assert_type

from pydantic import BaseModel

import structdiff
from structdiff import Choice, Regex, Result
from structdiff.decode.trace import Event


class Person(BaseModel):
    name: str


@dataclass
class Order:
    number: int


class Mood(Enum):
    good = "good"
    bad = "bad"


class Row(TypedDict):
    city: str


model = structdiff.load("embedded")
assert_type(model("text", Person), Person)
assert_type(model("text", Order).number, int)
assert_type(model("text", Mood), Mood)
assert_type(model("text", Row)["city"], str)
assert_type(model("text", int), int)
assert_type(model("text", Choice(["a", "b"])), str)
assert_type(model("text", {"type": "object"}), Any)
assert_type(model.generate("text", Person), Result[Person])
assert_type(model.generate("text", Person, long_text="split").value.name, str)
assert_type(model.generate("text", Regex("[a-z]+")).value, str)
assert_type(model.generate("text").value, str)
assert_type(model.batch(["a", "b"], Person, seed=3)[0].value, Person)
assert_type(model.batch(["a", "b"], [Person, Regex("x")])[0], Result[Any])
assert_type(model.stream("text", Person), Iterator[Event | Result[Person]])
assert_type(model.partials("text", Person, threshold=0.9), Iterator[Person])
assert_type(model.partials("text", Regex("[a-z]+")), Iterator[str])
_ = model("text", Person).nam  # type: ignore[attr-defined]
