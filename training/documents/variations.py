"""Training examples from the written documents: each question asked in another way each time.

>>> sorted(make_written_example(random.Random(1)))
['answer', 'kind', 'prompt', 'schema', 'text', 'value']
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Set
from dataclasses import dataclass
from functools import cache
from typing import Any

from structdiff.frontends.prompt import build_prompt
from training.data import Example, as_example
from training.documents.asking import cased
from training.documents.noise import INSTRUCTIONS
from training.documents.written import DECIDES, NULL, Ask, Written, all_written

HELD_OUT = 16
"""One document in so many is held out of training, by the digest of its text."""
DENIED = 0.33
"""As often as that a member that is false is not asked for. Else three of five booleans are false, and a model that is
not sure says so."""
CASES, CASE_WEIGHTS = ("snake", "camel", "pascal", "kebab", "words", "upper"), (74, 14, 3, 3, 4, 2)


@dataclass(frozen=True)
class Variation:
    """How a question is asked this time; shares are of 0 to 1."""

    case: str
    described: float
    """Share of the descriptions that are shown, those that decide besides."""
    dropped: float
    """Share of the members that are not asked for."""
    shuffled: bool
    nulls: float
    """Share of the members that are declared as if they could be null."""
    optional: float
    """Share of the members that are declared as if they could be missing."""
    any_of: bool
    denied: float = 0.0
    """Share of the members that are dropped where they are false."""


def draw_variation(r: random.Random) -> Variation:
    return Variation(
        case=r.choices(CASES, CASE_WEIGHTS)[0],
        described=r.choice([0.0, 0.5, 1.0, 1.0]),
        dropped=r.choice([0.0, 0.0, 0.2, 0.5]),
        shuffled=r.random() < 0.3,
        nulls=r.choice([0.0, 0.0, 0.0, 0.2, 0.6]),
        optional=r.choice([0.0, 0.0, 0.0, 0.0, 0.3]),
        any_of=r.random() < 0.4,
        denied=DENIED,
    )


def held_out(document: Written) -> bool:
    """Whether training does not see the document."""
    return int.from_bytes(hashlib.sha256(document.text.encode()).digest()[:4], "big") % HELD_OUT == 0


@cache
def _shares() -> tuple[tuple[Written, ...], tuple[Written, ...]]:
    held = tuple(one for one in all_written() if held_out(one))
    return tuple(one for one in all_written() if not held_out(one)), held


def make_written_example(r: random.Random, held: bool = False) -> Example:
    """An example of a document that training sees, or of one that it does not."""
    document = r.choice(_shares()[held])
    return vary(r, document, merged(r, document))


def merged(r: random.Random, document: Written) -> Ask:
    """One question of a document, or at times two as one."""
    asks = list(document.asks)
    r.shuffle(asks)
    first, *others = asks
    if not others or r.random() > 0.15 or set(first.schema["properties"]) & set(others[0].schema["properties"]):
        return first
    second = others[0]
    schema = {
        "type": "object",
        "properties": first.schema["properties"] | second.schema["properties"],
        "required": first.schema["required"] + second.schema["required"],
    }
    return Ask(first.line, schema, first.value | second.value)


def vary(r: random.Random, document: Written, ask: Ask) -> Example:
    """A question in a variation of its own."""
    schema, value = Varied(r, draw_variation(r)).object(ask.schema, [ask.value], top=True)
    instructions = r.choice(INSTRUCTIONS) if r.random() < 0.06 else ""
    prompt = build_prompt(document.text, schema, instructions=instructions)
    answer = json.dumps(value[0], ensure_ascii=False)
    return as_example("object", prompt, schema, document.text, value[0], answer)


def as_asked(document: Written, ask: Ask) -> tuple[dict[str, Any], Any]:
    """(schema, value) of a question as it is written, all descriptions shown."""
    r = random.Random(0)
    schema, (value,) = Varied(r, Variation("as it is", 1.0, 0.0, False, 0.0, 0.0, True)).object(
        ask.schema, [ask.value], top=True
    )
    return schema, value


class Varied:
    """Makes schemas and values of a variation.

    Values come as a list, one for each element of an array that has the schema; all are asked for in the same way.
    """

    def __init__(self, r: random.Random, how: Variation) -> None:
        self.r, self.how = r, how

    def object(self, schema: dict[str, Any], values: list[Any], top: bool = False) -> tuple[dict[str, Any], list[Any]]:
        """The object with some of its members, and the values with the same ones."""
        made: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
        golds: list[dict[str, Any]] = [{} for _ in values]
        told = {name: [one[name] for one in values if name in one] for name in schema["properties"]}
        denied = {name for name, found in told.items() if found and all(one is False for one in found)}
        for name in self.chosen(list(schema["properties"]), 2 if top else 1, denied):
            key = cased(name, self.how.case) if name == name.lower() else name
            if key in made["properties"]:
                continue
            member, found = self.member(schema["properties"][name], told[name])
            made["properties"][key] = member
            if name in schema["required"] and self.r.random() >= self.how.optional:
                made["required"].append(key)
            left = iter(found)
            for gold, one in zip(golds, values, strict=True):
                if name in one:
                    gold[key] = next(left)
        return made, list(golds)

    def chosen(self, names: list[str], least: int, denied: Set[str]) -> list[str]:
        share = 1 - self.how.dropped
        kept = [
            name for name in names if self.r.random() < share * (1 - self.how.denied if name in denied else 1)
        ]  # fmt: skip
        if len(kept) < min(least, len(names)):
            kept = names
        if self.how.shuffled:
            self.r.shuffle(kept)
        return kept

    def member(self, schema: dict[str, Any], values: list[Any]) -> tuple[dict[str, Any], list[Any]]:
        """A member's schema with its description and its null, and its values."""
        stated = [one for one in values if one is not None]
        made, found = self.bare(schema, stated)
        left = iter(found)
        golds = [None if one is None else next(left) for one in values]
        shown = DECIDES in schema or self.r.random() < self.how.described
        note = {"description": schema["description"]} if "description" in schema and shown else {}
        if NULL in schema or (schema["type"] != "array" and self.r.random() < self.how.nulls):
            return self.nullable(made) | note, golds
        return made | note, golds

    def bare(self, schema: dict[str, Any], values: list[Any]) -> tuple[dict[str, Any], list[Any]]:
        """A schema without description and null, and its values."""
        if schema["type"] == "object":
            return self.object(schema, values)
        if schema["type"] == "array":
            items, found = self.member(schema["items"], [item for one in values for item in one])
            left = iter(found)
            return {"type": "array", "items": items}, [[next(left) for _ in one] for one in values]
        made = {key: one for key, one in schema.items() if key not in (NULL, DECIDES, "description")}
        if "enum" in made:
            labels = list(made["enum"])
            if self.r.random() < 0.5:
                self.r.shuffle(labels)
            return ({"enum": labels} if self.r.random() < 0.5 else {"type": "string", "enum": labels}), values
        if made == {"type": "integer"} and self.r.random() < 0.05:
            return {"type": "number"}, values
        return made, values

    def nullable(self, schema: dict[str, Any]) -> dict[str, Any]:
        if self.how.any_of or "enum" in schema or "properties" in schema:
            return {"anyOf": [schema, {"type": "null"}]}
        return {**schema, "type": [schema["type"], "null"]}


__all__ = ["HELD_OUT", "as_asked", "held_out", "make_written_example", "vary"]
