"""Partial values: each is a part of the next, the last is the value, and all are of the class that was asked for."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import itertools
import json
import typing
from typing import Any

import pydantic
import pytest
from typing_extensions import TypedDict

import structdiff
from structdiff.results.partial import data_of, finished, partial_of

TEXT = "Ann Lee (31) lives in Ulm. She speaks German, French and Dutch, and works for Quux Ltd. in Bonn since 2019."
DRAFTS = structdiff.Policy(max_steps=4)


class Home(pydantic.BaseModel):
    city: str
    zip: str | None


class Person(pydantic.BaseModel):
    name: str
    age: int
    home: Home
    languages: list[str]
    employer: str


@dataclasses.dataclass(frozen=True)
class Place:
    city: str
    zip: str | None


@dataclasses.dataclass
class Worker:
    name: str
    age: int
    home: Place
    languages: list[str]
    employer: str


class Card(TypedDict):
    name: str
    age: int
    home: Home
    languages: list[str]
    employer: str


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"}, "age": {"type": "integer"},
        "home": {"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": "string"}},
                 "required": ["city", "zip"]},
        "languages": {"type": "array", "items": {"type": "string"}, "maxItems": 6},
        "employer": {"type": "string"},
    },
    "required": ["name", "age", "home", "languages", "employer"],
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> structdiff.Model:
    return structdiff.load("tiny")


def leaves(value: Any, at: str = "") -> dict[str, Any]:
    """The values that are there by their place, whatever holds them; None counts as not there."""
    if isinstance(value, pydantic.BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    elif dataclasses.is_dataclass(value):
        value = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {place: one for key, part in value.items() for place, one in leaves(part, f"{at}/{key}").items()}
    if isinstance(value, list):
        return {place: one for i, part in enumerate(value) for place, one in leaves(part, f"{at}/{i}").items()}
    return {} if value is None else {at: value}


@pytest.mark.parametrize("source", [Person, Worker, Card, SCHEMA], ids=["pydantic", "dataclass", "typeddict", "schema"])
def test_each_partial_is_part_of_the_next_and_the_last_is_the_value(source: Any, model: structdiff.Model) -> None:
    partials = list(model.partials(TEXT, source, max_tokens=200, policy=DRAFTS, seed=3))
    value = model(TEXT, source, max_tokens=200, policy=DRAFTS, seed=3)
    assert partials[-1] == value and len(partials) > 2
    kind = type(value)
    assert all(type(one) is kind for one in partials)
    settled = [leaves(one) for one in partials]
    for before, after in itertools.pairwise(settled):
        assert before.items() <= after.items()
    assert len(settled[0]) < len(settled[-1])


def test_a_threshold_settles_fields_before_their_canvas_is_committed(model: structdiff.Model) -> None:
    plain = list(model.partials(TEXT, Person, max_tokens=200, seed=3))
    eager = list(model.partials(TEXT, Person, max_tokens=200, seed=3, threshold=0.5))
    strict = list(model.partials(TEXT, Person, max_tokens=200, seed=3, threshold=1.0))
    assert eager[-1] == plain[-1] == strict[-1]
    assert len(eager) > len(plain)
    assert len(leaves(eager[0])) < len(leaves(eager[-1]))
    with pytest.raises(ValueError, match="threshold is 0"):
        next(model.partials(TEXT, Person, threshold=0))


def test_every_prefix_of_a_text_gives_what_it_has_finished() -> None:
    value = {"a": 'x"y\\', "b": {"c": [1, -2.5, {"d": None}], "e": {}}, "f": "é", "g": [], "h": True}
    text = json.dumps(value, ensure_ascii=False, indent=1).encode()
    known: dict[str, Any] = {}
    for end in range(len(text) + 1):
        found = data_of(text[:end], {leaf.pointer for leaf in finished(text[:end])})
        here = {at: one for at, one in _flat(found).items() if found is not None}
        assert known.items() <= here.items() and here.items() <= _flat(value).items()
        known = here
    assert known == _flat(value)


def _flat(value: Any, at: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {place: one for key, part in value.items() for place, one in _flat(part, f"{at}/{key}").items()}
    if isinstance(value, list) and value:
        return {place: one for i, part in enumerate(value) for place, one in _flat(part, f"{at}/{i}").items()}
    return {at: str(value) if isinstance(value, dict | list) else value}


class Cat(pydantic.BaseModel):
    kind: typing.Literal["cat"]
    lives: int


class Dog(pydantic.BaseModel):
    kind: typing.Literal["dog"]
    born: dt.date = pydantic.Field(alias="dateOfBirth")


class Zoo(pydantic.BaseModel):
    pets: list[Cat | Dog] = pydantic.Field(min_length=3)
    opened: dt.date | None = None
    map: dict[str, Home] = {}


class Pair(typing.NamedTuple):
    low: int
    high: int


class Pets(pydantic.RootModel[list[Cat]]):
    pass


def test_unions_aliases_and_containers() -> None:
    zoo = partial_of(Zoo, {"pets": [{"kind": "dog", "dateOfBirth": "2020-02-29"}, {"kind": "cat"}]})
    assert isinstance(zoo, Zoo) and zoo.opened is None and zoo.map is None
    dog, cat = zoo.pets
    assert isinstance(dog, Dog) and dog.born == dt.date(2020, 2, 29)
    assert isinstance(cat, Cat) and cat.lives is None
    assert partial_of(Zoo, {"map": {"a": {"city": "Ulm"}}}).map["a"].city == "Ulm"
    assert partial_of(Pets, [{"lives": 7}]).root[0].lives == 7
    assert partial_of(Pair, [1]) == Pair(1, None)
    assert partial_of(set[dt.date], ["2020-01-01"]) == {dt.date(2020, 1, 1)}
    assert partial_of(Zoo, {"opened": "no date"}).opened is None
    assert partial_of(Place, {"city": "Ulm"}) == Place("Ulm", None)
    assert partial_of(None, {"a": 1}) == {"a": 1}


def test_what_is_no_json_grows_as_a_text(model: structdiff.Model) -> None:
    source = structdiff.Regex(r"[a-z]{60,70}")
    texts = list(model.partials("abc", source, max_tokens=96))
    assert all(isinstance(one, str) for one in texts)
    assert all(after.startswith(before) for before, after in itertools.pairwise(texts))


def test_partials_can_be_awaited(model: structdiff.Model) -> None:
    async def gather() -> list[Any]:
        return [one async for one in model.apartials("Ann lives in Ulm.", Home, seed=1)]

    assert asyncio.run(gather()) == list(model.partials("Ann lives in Ulm.", Home, seed=1))
