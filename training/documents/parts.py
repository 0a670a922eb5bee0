"""Parts of facts that may be asked for in their place: a surname, the year of a date, the digits of a code.

What a part is called or its description decides; a part that is a string stands in the text as it is.

>>> fact = Fact("text", ("sender",), "Ana Ruiz", "Ana Ruiz", extra={"first": "Ana", "last": "Ruiz"})
>>> sorted(part.shown for part in parts_of(fact, "en"))
['Ana', 'Ruiz']
"""

from __future__ import annotations

import random
import re
from dataclasses import replace

from training.documents.facts import Fact
from training.documents.spelling import MONTHS

NUMBER = r"\d[\d.,'\u202f\u00a0 ]*\d|\d"
CURRENCY = r"[^\d\s.,'-]+\$?"


def parts_of(fact: Fact, language: str) -> list[Fact]:
    """The parts of a fact, each with keys (an underscore before one: put behind the fact's own key) and notes."""
    if fact.kind == "text":
        return [*_of_name(fact), *_of_code(fact)]
    if fact.kind == "date" and fact.value:
        return _of_date(fact, language)
    if fact.kind == "number" and "money" in fact.extra:
        return _of_amount(fact)
    if fact.kind == "clock":
        return [_part(fact, "integer", int(fact.value[:2]), "_hour", "the hour alone, 0 to 23")]
    if fact.kind == "email":
        user, _, host = fact.shown.partition("@")
        return [
            _part(fact, "text", host, "_domain", "what stands behind the @ / the domain of the address"),
            _part(fact, "text", user, "_user", "what stands before the @"),
        ]
    if fact.kind == "url":
        host = fact.shown.split("/")[2]
        return [_part(fact, "text", host, "_host _domain", "the host alone / without https:// and the path")]
    return []


def some_part(r: random.Random, fact: Fact, language: str) -> Fact | None:
    """One of the parts, under a key of its own or under the fact's key with a note that decides."""
    found = parts_of(fact, language)
    if not found:
        return None
    part = r.choice(found)
    behind = [f"{key}{end}" for key in fact.names for end in part.names if end.startswith("_")]
    own = [end for end in part.names if not end.startswith("_")]
    keep = part.kind == "text" and "currency" not in part.names and r.random() < 0.45
    names = tuple(fact.names) if keep else tuple([*own, *behind] if len(fact.names) == 1 else behind or own)
    notes = part.notes
    if fact.notes and r.random() < 0.5:
        notes = tuple(f"{fact.notes[0]}: {note}" for note in part.notes)
    return replace(part, names=names, notes=notes, vague=fact.names if keep else ())


def _part(fact: Fact, kind: str, value: str | int, names: str, notes: str) -> Fact:
    shown = str(value) if kind == "text" else ""
    return Fact(kind, tuple(names.split()), value, shown, tuple(notes.split(" / ")), missing=fact.missing)


def _of_name(fact: Fact) -> list[Fact]:
    first, last = fact.extra.get("first"), fact.extra.get("last")
    if not first or not last or first not in fact.shown or last not in fact.shown:
        return []
    found = [
        _part(fact, "text", first, "_first_name _given_name first_name", "first name only / the given name alone"),
        _part(fact, "text", last, "_surname _last_name surname",
              "surname / surname only / family name, without the first name / last name only"),
    ]  # fmt: skip
    plain = f"{first} {last}"
    if plain != fact.shown and plain in fact.shown:
        found.append(_part(fact, "text", plain, "_name", "without title / first name and surname, without a title"))
    return found


def _of_code(fact: Fact) -> list[Fact]:
    if " " in fact.shown or not re.search(r"\d", fact.shown) or "code" not in fact.extra:
        return []
    digits, letters = re.findall(r"\d+", fact.shown), re.findall(r"[A-Za-z]+", fact.shown)
    found = []
    if len(digits) == 1 and digits[0] != fact.shown:
        found.append(_part(fact, "text", digits[0], "_digits", "digits only / the digits alone, without letters"))
    if len(letters) == 1 and len(letters[0]) > 1:
        found.append(_part(fact, "text", letters[0], "_prefix", "the letters alone / letters only"))
    if len(digits) > 1:
        found.append(_part(fact, "text", digits[-1], "_suffix", "the last group of digits / only the last digits"))
    return found


def _of_date(fact: Fact, language: str) -> list[Fact]:
    year, _, day = fact.value.split("-")
    found = [_part(fact, "integer", int(year), "_year year", "the year alone / year only / four digits")]
    if not re.search(rf"\b{year}\b", fact.shown):
        found = []
    names = [name for month in MONTHS[language] for name in (month, month[:3])]
    month = next((name for name in names if re.search(rf"\b{re.escape(name)}\b", fact.shown)), None)
    if month:
        found.append(_part(fact, "text", month, "_month month", "the month alone, as written / month only / one word"))
        found.append(_part(fact, "integer", int(day), "_day", "the day of the month alone, as a number"))
        both = re.search(rf"\b{re.escape(month)}(?: de|,)? {year}\b", fact.shown)
        if both:
            found.append(_part(fact, "text", both[0], "_month", "month and year / month and year, as written"))
    return found


def _of_amount(fact: Fact) -> list[Fact]:
    number = re.search(NUMBER, fact.shown)
    mark = re.search(CURRENCY, fact.shown)
    if number is None or mark is None:
        return []
    return [
        _part(fact, "text", mark[0], "currency", "the currency as written / the currency, sign or code"),
        _part(fact, "text", number[0], "_text", "the figure as it is written, without the currency"),
        _part(fact, "text", fact.shown, "_text", "with the currency, as written / amount and currency as in the text"),
    ]


__all__ = ["parts_of", "some_part"]
