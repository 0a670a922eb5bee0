"""Wide training data: documents of many kinds and languages, schemas that ask for parts of them, and the answers.

>>> sorted(make_document_example(random.Random(1)))
['answer', 'kind', 'prompt', 'schema', 'text', 'value']
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

from structdiff.frontends.prompt import build_prompt
from training.data import Example, as_example
from training.documents.asking import ask
from training.documents.derived import derive
from training.documents.facts import Document, Fact, Group, Many
from training.documents.layouts import Lists, form, leaves, settle
from training.documents.noise import INSTRUCTIONS, foot, head, lengthened
from training.documents.scenarios import EMPTY, Scenario, all_scenarios, expand, fill, make_members
from training.documents.values import World

LANGUAGES = ("de", "fr", "es", "it", "pt", "nl", "pl", "sv", "da", "tr")
LANGUAGE_WEIGHTS = (20, 17, 17, 10, 8, 9, 8, 4, 3, 4)
NOT_ENGLISH = 0.27


def pick_scenario(r: random.Random, language: str = "") -> Scenario:
    """A scenario of a language; without one, English mostly."""
    if not language:
        language = r.choices(LANGUAGES, LANGUAGE_WEIGHTS)[0] if r.random() < NOT_ENGLISH else "en"
    return r.choice([s for s in all_scenarios() if s.language == language] or list(all_scenarios()))


def write_document(r: random.Random, scenario: Scenario, world: World | None = None) -> Document:
    """A document of a scenario: one of its bodies, or a form."""
    w = world or World(r, scenario.language)
    members = make_members(w, scenario)
    if not scenario.bodies or r.random() < 0.15:
        text = form(w, scenario, members)
        if text:
            title = r.choice(["", "", scenario.name.replace("_", " ").upper() + "\n\n"]) if w.language == "en" else ""
            derive(members)
            return Document(title + text, members, w.language)
    full = r.choice([0.0, 0.3, 0.6, 0.85, 1.0])
    text, stated = fill(expand(r, r.choice(scenario.bodies), full), members, Lists(w, scenario))
    settle(members, stated)
    derive(members)
    return Document(text.replace(EMPTY, ""), members, w.language)


def write_records(r: random.Random, scenario: Scenario) -> Document | None:
    """Several documents of a scenario in one text, asked for as a list; None where a scenario has lists itself."""
    w = World(r, scenario.language)
    count = r.choice([1, 2, 2, 3, 3, 4, 5, 6, 8])
    members = make_members(w, scenario)
    if any(isinstance(one, Many) for one in members.values()) or not members:
        return None
    many = Many(scenario.plural, [], Group(("item",), members))
    if r.random() < 0.3 and 2 <= len(leaves(members)) <= 8:
        many.items = [Group(("item",), make_members(w, scenario)) for _ in range(max(2, count))]
        text = Lists(w, scenario).table(many)
    else:
        parts = [write_document(r, scenario, w) for _ in range(count)]
        many.items = [Group(("item",), part.facts) for part in parts]
        gap = r.choice(["\n\n", "\n\n---\n\n", "\n\n", "\n", "\n\n* * *\n\n"])
        text = gap.join(part.text for part in parts)
    if not text:
        return None
    derive({"records": many})
    if r.random() < 0.6:
        for item in [*many.items, many.like]:
            item.members = _flat(item.members)
    facts: dict[str, Fact | Group | Many] = {"records": many}
    if r.random() < 0.2:
        names = tuple(f"{name}_count" for name in scenario.plural)
        notes = (f"how many {scenario.plural[0]} there are", "counted")
        facts["count"] = Fact("integer", (*names, "count"), len(many.items), "", notes)
    return Document(text, facts, w.language)


def _flat(members: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, one in members.items():
        if isinstance(one, Group):
            for inner, fact in leaves(one.members):
                names = tuple(f"{h}_{n}" for h in one.names for n in fact.names if not n.startswith(h))
                found[f"{name}.{inner}"] = replace(fact, names=names or fact.names, vague=())
        else:
            found[name] = one
    return found


def beside_another(r: random.Random, document: Document, scenario: Scenario) -> Document:
    """The document with one of another kind before or behind it, about which nothing is asked."""
    other = pick_scenario(r, document.language)
    if other.name == scenario.name:
        return document
    beside = write_document(r, other)
    parts = [document.text, beside.text]
    r.shuffle(parts)
    gap = r.choice(["\n\n", "\n\n---\n\n", "\n\n==========\n\n", "\n\n\n"])
    taken = {n for d in other.declared for n in d.names}
    kept = {
        name: one
        for name, one in document.facts.items()
        if not getattr(one, "missing", False) and not set(one.names) & taken
    }
    return Document(gap.join(parts), kept, document.language) if len(kept) > 1 else document


def dossier(r: random.Random, scenario: Scenario) -> Document:
    """Two to four documents of different kinds in one text, each of which is an object of the answer."""
    kinds = {scenario.name: scenario}
    for _ in range(r.choice([1, 1, 2, 3])):
        other = pick_scenario(r, scenario.language)
        kinds[other.name] = other
    w = World(r, scenario.language)
    parts = [(kind, write_document(r, kind, w)) for kind in kinds.values()]
    groups: dict[str, Fact | Group | Many] = {
        kind.name: Group((kind.name, kind.plural[0].removesuffix("s")), part.facts) for kind, part in parts
    }
    gap = r.choice(["\n\n", "\n\n---\n\n", "\n\n\n"])
    return Document(gap.join(part.text for _, part in parts), groups, scenario.language)


LENGTHS = (0, 0, 0, 0, 0, 60, 100, 150, 180, 220, 260, 320, 380, 450, 520)
"""Words that a text has at least; 0: as many as it has by itself."""


def make_document(r: random.Random) -> Document:
    """A document with its surroundings."""
    scenario = pick_scenario(r)
    x = r.random()
    document = write_records(r, scenario) if x < 0.14 else dossier(r, scenario) if x < 0.27 else None
    wanted = r.choice(LENGTHS)
    if document is None:
        document = write_document(r, scenario)
        if r.random() < 0.2:
            document = beside_another(r, document, scenario)
        for _ in range(2):
            if wanted - len(document.text.split()) > 80 and r.random() < 0.7:
                document = beside_another(r, document, scenario)
    w = World(r, document.language)
    text = document.text
    lacking = min(26, (wanted - len(text.split())) // 13)
    count = lacking if lacking > 3 else r.choice([0, 0, 0, 1, 2, 3, 5])
    if count:
        text = lengthened(w, text, count)
    if r.random() < 0.12:
        text = head(r, document.language) + text
    if r.random() < 0.15:
        text += foot(r, document.language)
    return Document(text, document.facts, document.language)


def make_document_example(r: random.Random) -> Example:
    """A document, a schema of two fields or more, and the answer."""
    while True:
        document = make_document(r)
        schema, value = ask(r, document)
        if not schema["properties"]:
            continue
        value = tidy(value)
        instructions = r.choice(INSTRUCTIONS) if r.random() < 0.06 else ""
        prompt = build_prompt(document.text, schema, instructions=instructions)
        return as_example("object", prompt, schema, document.text, value, json.dumps(value, ensure_ascii=False))


def tidy(value: Any) -> Any:
    """Whole numbers without a fraction.

    >>> tidy({"a": [3.0, 2.5, True]})
    {'a': [3, 2.5, True]}
    """
    if isinstance(value, dict):
        return {key: tidy(one) for key, one in value.items()}
    if isinstance(value, list):
        return [tidy(one) for one in value]
    return int(value) if isinstance(value, float) and value == int(value) else value


__all__ = ["Document", "Fact", "make_document", "make_document_example", "tidy"]
