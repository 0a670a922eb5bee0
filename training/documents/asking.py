"""From what a document states to a schema that asks for a part of it, and the answer.

A string without a format is copied as the text spells it; one with a format or a pattern is normalised; numbers are
parsed; labels of enums stand for what the text says; booleans are judged.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from typing import Any

from training.documents.facts import Document, Fact, Group, Many
from training.documents.foreign import KEYS
from training.documents.parts import some_part

CLOCK = "^([01][0-9]|2[0-3]):[0-5][0-9]$"
FORMATS = {"date": "date", "datetime": "date-time", "email": "email", "url": "uri"}
VERBATIM = ("as written", "as in the text", "exactly as it is written", "verbatim", "copied from the text")


@dataclass
class Style:
    """How one schema is written."""

    case: str
    described: float
    vague: float
    absent: str
    """What a fact that may be missing is: "required" (never missing), "null" or "optional"."""
    spread: float
    """Share of the present facts that are declared as if they could be missing."""
    any_of: bool
    foreign: bool
    parts: float
    """Share of the facts of which a part may be asked for."""


def ask(r: random.Random, document: Document) -> tuple[dict[str, Any], Any]:
    """(schema, the value that the document states)."""
    some_missing = any(_missing(one) for one in document.facts.values())
    style = Style(
        case=r.choices(["snake", "camel", "pascal", "kebab", "words", "upper"], [60, 22, 5, 4, 5, 4])[0],
        described=r.choice([0.0, 0.0, 0.5, 1.0]),
        vague=0.6 if r.random() < 0.3 else 0.0,
        absent=r.choice(["null", "optional", "required", "null" if some_missing else "required"]),
        spread=r.choice([0.1, 0.3, 0.6, 1.0]),
        any_of=r.random() < 0.5,
        foreign=document.language != "en" and r.random() < 0.3,
        parts=r.choice([0.0, 0.0, 0.0, 0.15, 0.4]),
    )  # fmt: skip
    target = r.choice([2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8, 9, 10, 12, 14, 16, 20])
    members = dict(document.facts)
    if r.random() < 0.25:
        members = _flattened(members)
    return _Asker(r, style, document.language).object(members, target, top=True)


def _missing(one: Fact | Group | Many) -> bool:
    if isinstance(one, Group):
        return any(_missing(m) for m in one.members.values())
    return one.missing


def _wholly_missing(one: Fact | Group | Many) -> bool:
    if isinstance(one, Group):
        return all(_wholly_missing(m) for m in one.members.values())
    return one.missing


def _flattened(members: dict[str, Any]) -> dict[str, Any]:
    """Groups' facts at the top, their keys put together."""
    flat: dict[str, Any] = {}
    for name, one in members.items():
        if not isinstance(one, Group):
            flat[name] = one
            continue
        for inner, fact in one.members.items():
            if isinstance(fact, Fact):
                names = tuple(f"{head}_{n}" for head in one.names for n in fact.names if not n.startswith(head))
                flat[f"{name}.{inner}"] = Fact(**{**vars(fact), "names": names or fact.names, "vague": ()})
    return flat


def leaf_count(one: Fact | Group | Many) -> int:
    """Fields of a schema that asks for all of it."""
    if isinstance(one, Fact):
        return 1
    inside = one.members if isinstance(one, Group) else one.like.members
    return sum(leaf_count(m) for m in inside.values())


class _Asker:
    def __init__(self, r: random.Random, style: Style, language: str) -> None:
        self.r, self.style, self.language = r, style, language

    def object(self, members: dict[str, Any], target: int, top: bool = False) -> tuple[dict[str, Any], Any]:
        """A schema of about ``target`` fields out of ``members``, and the value."""
        names = self._chosen(members, target)
        properties: dict[str, Any] = {}
        value: dict[str, Any] = {}
        required: list[str] = []
        spent = 0
        for one in [asked for name in names for asked in self._with_parts(members[name])]:
            share = max(1, target - spent) if not isinstance(one, Fact) else 1
            made = self._member(one, share, set(properties))
            if made is None:
                continue
            key, schema, gold, may_miss, missing = made
            spent += min(share, leaf_count(one))
            properties[key] = schema
            if may_miss == "optional":
                if not missing:
                    value[key] = gold
            else:
                required.append(key)
                value[key] = gold
        return {"type": "object", "properties": properties, "required": required}, value

    def _with_parts(self, one: Fact | Group | Many) -> list[Fact | Group | Many]:
        """What is asked for: the fact, a part of it (a surname, a year), or both."""
        if not isinstance(one, Fact) or self.r.random() >= self.style.parts:
            return [one]
        part = some_part(self.r, one, self.language)
        return [one] if part is None else [part, one] if self.r.random() < 0.4 else [part]

    def _chosen(self, members: dict[str, Any], target: int) -> list[str]:
        r = self.r
        names = [n for n, one in members.items() if not (self.style.absent == "required" and _wholly_missing(one))]
        names = [n for n in names if not (isinstance(members[n], Many) and members[n].missing and r.random() < 0.5)]
        absent = [n for n in names if _wholly_missing(members[n])]
        r.shuffle(absent)
        present = [n for n in names if n not in absent]
        r.shuffle(present)
        lists = [n for n in present if isinstance(members[n], Many)]
        if lists and r.random() < 0.6:  # lists are what most documents are about
            present.remove(lists[0])
            present.insert(0, lists[0])
        chosen: list[str] = []
        count = 0
        while (present or absent) and count < target:
            from_absent = absent and (not present or r.random() < 0.3)
            if from_absent and not present and len([n for n in chosen if n]) > 2:
                break
            name = absent.pop() if from_absent else present.pop(0)
            chosen.append(name)
            count += leaf_count(members[name])
        if r.random() < 0.55:  # in the order of the declaration, else any
            order = list(members)
            chosen.sort(key=order.index)
        return chosen

    def _member(
        self, one: Fact | Group | Many, target: int, taken: set[str]
    ) -> tuple[str, dict[str, Any], Any, str, bool] | None:
        """(key, schema, value, whether it is "required", "null" or "optional", whether it is missing)."""
        missing = _wholly_missing(one)
        absent = self.style.absent
        may_miss = absent if missing or self.r.random() < self.style.spread else "required"
        if isinstance(one, Many) and missing and self.r.random() < 0.5:
            may_miss = "required"  # then it is empty
        if isinstance(one, Many) and may_miss == "null" and not missing:
            may_miss = "required"
        if missing and may_miss == "required" and not isinstance(one, Many):
            return None
        decided = isinstance(one, Fact) and one.vague == one.names  # by its note alone
        vague = isinstance(one, Fact) and bool(one.vague and one.notes) and self.r.random() < self.style.vague
        vague = vague or decided
        key = self._key(one, vague, taken)
        if key is None:
            return None
        schema, gold = self._schema(one, target)
        notes = [self.r.choice(one.notes)] if one.notes and (vague or self.r.random() < self.style.described) else []
        if isinstance(one, Fact) and (hint := self._form(one, schema)):
            notes.append(hint)
        if notes:
            schema = {**schema, "description": "; ".join(notes)}
        if may_miss == "null":
            schema = self._nullable(schema)
            gold = None if missing else gold
        return key, schema, gold, may_miss, missing

    def _form(self, fact: Fact, schema: dict[str, Any]) -> str:
        """A note on how a value is to be spelt, or ""."""
        r = self.r
        if fact.kind == "text" or schema.get("type") != "string" or "pattern" in schema or r.random() < 0.6:
            return ""
        if "format" in schema:
            return r.choice(["YYYY-MM-DD", "ISO 8601", "ISO date"]) if schema["format"] == "date" else ""
        if fact.kind == "integer" and fact.shown.replace("-", "").replace(" ", "").isalpha():
            return r.choice(["in words", "in words, as written", *VERBATIM])
        return r.choice(VERBATIM) if fact.kind in ("integer", "number", "date", "datetime", "clock") else ""

    def _nullable(self, schema: dict[str, Any]) -> dict[str, Any]:
        note = {"description": schema["description"]} if "description" in schema else {}
        bare = {k: v for k, v in schema.items() if k != "description"}
        if "enum" in bare and "type" not in bare:
            if self.style.any_of:
                return {"anyOf": [bare, {"type": "null"}], **note}
            return {"enum": [*bare["enum"], None], **note}
        if self.style.any_of or "enum" in bare or bare.get("type") == "object":
            return {"anyOf": [bare, {"type": "null"}], **note}
        return {**bare, "type": [bare["type"], "null"], **note}

    def _key(self, one: Fact | Group | Many, vague: bool, taken: set[str]) -> str | None:
        names = list(one.vague if vague and isinstance(one, Fact) else one.names)
        self.r.shuffle(names)
        if self.style.foreign:
            known = KEYS.get(self.language, {})
            names = [known[n] for n in names if n in known] + names
        for name in names:
            key = cased(name, self.style.case)
            if key not in taken:
                return key
        return None

    def _schema(self, one: Fact | Group | Many, target: int) -> tuple[dict[str, Any], Any]:
        if isinstance(one, Group):
            return self.object(one.members, target)
        if isinstance(one, Many):
            return self._array(one, target)
        return self._leaf(one)

    def _array(self, one: Many, target: int, whole: bool = False) -> tuple[dict[str, Any], Any]:
        """``whole``: the items are objects even where they have one member."""
        r = self.r
        items_of = [] if one.missing else one.items
        samples = [*items_of, one.like]
        names = self._columns(one, samples, target)
        first = one.like.members[names[0]] if names else None
        alone = len(names) == 1 and not whole and r.random() < 0.5
        if isinstance(first, Fact) and (one.scalar or alone):
            schema, golds = self._cells([item.members[names[0]] for item in samples])
            return {"type": "array", "items": schema}, golds[:-1]
        keys: set[str] = set()
        plan: list[tuple[str, dict[str, Any], str, list[Any]]] = []
        for name in names:
            column = [item.members[name] for item in samples]
            like = column[-1]
            vague = isinstance(like, Fact) and bool(like.vague and like.notes) and r.random() < self.style.vague
            key = self._key(like, vague, keys)
            if key is None:
                continue
            if isinstance(like, Fact):
                schema, golds = self._cells(column)
                missing = [c.missing for c in column[:-1] if isinstance(c, Fact)]
            else:
                schema, golds = self._inner(column, max(2, target - len(names)))
                missing = [False] * len(items_of)
            if like.notes and (vague or r.random() < self.style.described):
                schema = {**schema, "description": r.choice(like.notes)}
            absent = "required"
            spread = isinstance(like, Fact) and self.style.absent != "required" and r.random() < 0.3 * self.style.spread
            if any(missing) or spread:
                absent = self.style.absent if self.style.absent != "required" else r.choice(["null", "optional"])
            if absent == "null":
                schema = self._nullable(schema)
            gone = _MISSING if absent == "optional" else None
            keys.add(key)
            plan.append((key, schema, absent, [gone if m else g for m, g in zip(missing, golds, strict=False)]))
        items = {
            "type": "object",
            "properties": {key: schema for key, schema, _, _ in plan},
            "required": [key for key, _, absent, _ in plan if absent != "optional"],
        }
        value = [{key: rows[i] for key, _, _, rows in plan if rows[i] is not _MISSING} for i in range(len(items_of))]
        return {"type": "array", "items": items}, value

    def _columns(self, one: Many, samples: list[Group], target: int) -> list[str]:
        """The members of a list's items that are asked for."""
        r = self.r
        names = [n for n in one.like.members if all(n in item.members for item in samples)]
        if one.scalar:
            return names[:1]
        if len(names) > 1 and (r.random() < 0.5 or target < len(names)):
            count = r.randint(min(2, len(names)), len(names))
            head = names[:1] if r.random() < 0.8 else []
            rest = [n for n in names if n not in head]
            names = head + r.sample(rest, max(0, min(len(rest), count - len(head))))
            if r.random() < 0.5:
                names.sort(key=list(one.like.members).index)
        return names

    def _cells(self, column: list[Any]) -> tuple[dict[str, Any], list[Any]]:
        """The schema of a column of facts and their values; every fact is asked for in the same way."""
        form, golds = self.r.getstate(), []
        schema: dict[str, Any] = {}
        for fact in column:
            self.r.setstate(form)
            schema, gold = self._leaf(fact)
            golds.append(gold)
        return schema, golds

    def _inner(self, column: list[Any], target: int) -> tuple[dict[str, Any], list[Any]]:
        """The schema of a column of lists or of groups and their values: asked for as one list, which is cut again."""
        like = column[-1]
        if isinstance(like, Group):
            schema, golds = self._array(Many(like.names, column[:-1], like), target, whole=True)
            return schema["items"], golds
        inside = [[] if many.missing else many.items for many in column[:-1]]
        pooled = replace(like, items=[item for items in inside for item in items], missing=False)
        schema, values = self._array(pooled, target)
        found = iter(values)
        return schema, [[next(found) for _ in items] for items in inside]

    def _leaf(self, fact: Fact) -> tuple[dict[str, Any], Any]:
        r = self.r
        x, y = r.random(), r.random()
        if fact.kind == "enum":
            options = list(fact.options)
            if y < 0.5:
                random.Random(f"{options}{y}").shuffle(options)  # the same for every row of a list
            schema: dict[str, Any] = {"enum": options} if x < 0.5 else {"type": "string", "enum": options}
            return schema, fact.value
        if fact.kind == "boolean":
            return {"type": "boolean"}, fact.value
        if fact.kind == "integer":
            if x < 0.06 and fact.shown:  # what is counted is not spelt
                return {"type": "string"}, fact.shown
            if x < 0.12:
                return {"type": "number"}, fact.value
            return {"type": "integer", **({"minimum": 0} if y < 0.12 and fact.value >= 0 else {})}, fact.value
        if fact.kind == "number":
            if x < 0.07:
                return {"type": "string"}, fact.shown
            return {"type": "number", **({"minimum": 0} if y < 0.1 and fact.value >= 0 else {})}, fact.value
        if fact.kind == "clock":
            return ({"type": "string", "pattern": CLOCK}, fact.value) if x < 0.25 else ({"type": "string"}, fact.shown)
        if fact.kind in FORMATS:
            limit = 0.55 if fact.kind in ("date", "datetime") else 0.5
            if x < limit and fact.value is not None:
                return {"type": "string", "format": FORMATS[fact.kind]}, fact.value
            return {"type": "string"}, fact.shown
        if "pattern" in fact.extra and x < 0.15:
            return {"type": "string", "pattern": pattern_of(fact.extra["pattern"])}, fact.shown
        return {"type": "string"}, fact.shown


_MISSING = object()
"""A member that is left out of an item."""


def pattern_of(form: str) -> str:
    r"""The pattern of codes of a form.

    >>> pattern_of("AA-999")
    '^[A-Z]{2}-[0-9]{3}$'
    """
    classes = {"A": "[A-Z]", "9": "[0-9]", "x": "[0-9a-f]"}
    parts = []
    for run in re.findall(r"A+|9+|x+|.", form):
        if run[0] in classes:
            parts.append(classes[run[0]] + (f"{{{len(run)}}}" if len(run) > 1 else ""))
        else:
            parts.append(re.escape(run) if run in ".#+()" else run)
    return f"^{''.join(parts)}$"


def cased(name: str, case: str) -> str:
    """
    >>> cased("due_date", "camel"), cased("due_date", "kebab"), cased("due_date", "words")
    ('dueDate', 'due-date', 'Due date')
    """
    words = name.split("_")
    if case == "camel":
        return words[0] + "".join(w[:1].upper() + w[1:] for w in words[1:])
    if case == "pascal":
        return "".join(w[:1].upper() + w[1:] for w in words)
    if case == "kebab":
        return "-".join(words)
    if case == "words":
        return " ".join(words)[:1].upper() + " ".join(words)[1:]
    if case == "upper":
        return name.upper()
    return name
