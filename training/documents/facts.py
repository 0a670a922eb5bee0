"""What a document states: facts, groups of facts and lists of groups; how each may be asked for and how it is spelt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Fact:
    """One value. ``shown`` is its spelling in the text, ``value`` what it means (ISO dates, numbers, labels, booleans).

    ``kind`` is "text", "date", "datetime", "email", "url", "integer", "number", "boolean", "enum" or "clock". ``names``
    are keys that decide by themselves, ``vague`` those that need a description (one of ``notes``). ``missing``: the
    text does not state it. A date without a year has the value None.
    """

    kind: str
    names: tuple[str, ...]
    value: Any
    shown: str
    notes: tuple[str, ...] = ()
    vague: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    missing: bool = False
    extra: dict[str, str] = field(default_factory=dict)
    """Other forms for templates alone, such as a person's first name."""


@dataclass
class Group:
    """Facts that belong together, an object in the answer."""

    names: tuple[str, ...]
    members: dict[str, Fact | Group | Many]
    notes: tuple[str, ...] = ()


@dataclass
class Many:
    """A list of groups with the same members, or of single facts; ``like`` shows what an item is where there is none.

    ``scalar``: each item has one member, and is that member's value in the answer.
    """

    names: tuple[str, ...]
    items: list[Group]
    like: Group
    notes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    missing: bool = False
    scalar: bool = False


@dataclass
class Document:
    """A text, what it states and the language it is in."""

    text: str
    facts: dict[str, Fact | Group | Many]
    language: str
