"""Lark grammars, read by the package ``lark`` itself: rules, terminals, and what may be ignored."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.core.errors import InvalidSchema, StructdiffError, UnsupportedSchema
from structdiff.frontends.regex.leftmost import taken

MISSING = "Lark grammars need the package lark: pip install 'structdiff[grammar]'"
_RELATIVE = re.compile(r"^\s*%import\s+\.", re.M)
_PLACE = re.compile(r"at line (\d+),? col(?:umn)? (\d+)")
_NAMED = re.compile(r"'(\w+)'")


@dataclass(frozen=True, eq=False)
class Terminal:
    """A terminal: what Lark's lexer takes for it, and what decides between two that fit."""

    name: str
    regexp: str
    text: str | None
    """What it is where it is a plain string."""
    order: tuple[int, int, int, str]
    """Lark tries terminals in this order."""
    narrowed: bool = field(default=False, init=False)

    @cached_property
    def automaton(self) -> ByteAutomaton:
        try:
            found = taken(self.regexp)
        except UnsupportedSchema as error:
            raise UnsupportedSchema(self.name, "terminal", error.reason) from None
        except StructdiffError as error:
            error.args = (f"at {self.name}: {error}",)
            raise
        if found.texts.is_empty:
            reason = "what it matches depends on what stands around it (\\b, look-around or an anchor)"
            raise UnsupportedSchema(self.name, "terminal", reason)
        object.__setattr__(self, "narrowed", found.narrowed)
        return found.texts


@dataclass(frozen=True)
class LarkRules:
    """A grammar as Lark has read it: alternatives of rules (names of rules and terminals), and terminals by name."""

    start: str
    rules: dict[str, list[tuple[str, ...]]]
    terminals: dict[str, Terminal]
    ignored: tuple[str, ...]


def read_lark(text: str, start: str, path: Path | None = None) -> LarkRules:
    """The rules of a grammar in Lark's language; ``path`` is where it comes from, for ``%import .other``.

    Raises `InvalidSchema` with line and column, and `UnsupportedSchema` for terminals that are declared alone.
    """
    read = parser_of(text, start, path)
    rules: dict[str, list[tuple[str, ...]]] = {}
    for rule in read.rules:
        rules.setdefault(str(rule.origin.name), []).append(tuple(str(part.name) for part in rule.expansion))
    terminals = {one.name: _terminal(one) for one in read.terminals}
    for name, alternatives in rules.items():
        for part in (part for parts in alternatives for part in parts):
            if part not in rules and part not in terminals:
                raise UnsupportedSchema(name, f"%declare {part}", "only a lexer of your own knows what it is")
    return LarkRules(start, rules, terminals, tuple(read.ignore_tokens))


def parser_of(text: str, start: str, path: Path | None = None) -> Any:
    """Lark's own parser of a grammar, as its defaults make it. Raises `InvalidSchema` with line and column."""
    try:
        import lark
    except ImportError:
        raise InvalidSchema(MISSING) from None
    if path is None and (relative := _RELATIVE.search(text)) is not None:
        line = text.count("\n", 0, relative.end()) + 1
        raise InvalidSchema(f"line {line}: %import of a file beside the grammar needs the grammar as a file")
    try:
        return lark.Lark(text, start=start, source_path=None if path is None else str(path))
    except lark.exceptions.LarkError as error:
        raise InvalidSchema(_told(str(error), text, start)) from None
    except RecursionError:
        raise InvalidSchema("the grammar is nested too deeply") from None
    except Exception as error:
        # subtle: for expressions Lark also asks the package regex, if it is there, whose error is of another class
        if not isinstance(error, FileNotFoundError) and type(error).__name__ not in ("error", "PatternError"):
            raise
        raise InvalidSchema(f"the grammar cannot be read: {error}") from None


def _terminal(one: Any) -> Terminal:
    pattern = one.pattern
    order = (-one.priority, -pattern.max_width, -len(pattern.value), one.name)
    return Terminal(one.name, pattern.to_regexp(), pattern.value if pattern.type == "str" else None, order)


def _told(message: str, text: str, start: str) -> str:
    """Lark's message in a line, with line and column."""
    first = message.strip().split("\n")[0].rstrip(": ")
    if f"'{start}'" in first and "undefined rule" in first:
        return f"the grammar has no rule {start!r} to start from"
    if _PLACE.search(first) is None and "used but not defined" in first:
        name = _NAMED.search(first)
        place = name and _place(text, name[1], lambda line: line.partition(":")[2] if ":" in line else line)
        first += f", at line {place[0]} column {place[1]}" if place else ""
    return f"the grammar cannot be read: {first}"


def _place(text: str, name: str, part: Callable[[str], str]) -> tuple[int, int] | None:
    """Where a name is used first: line and column, counted from 1."""
    for number, line in enumerate(text.splitlines(), 1):
        plain = re.sub(r"\"(\\.|[^\"\\])*\"", lambda quoted: " " * len(quoted[0]), line).split("//")[0]
        used = part(plain)
        found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", used)
        if found:
            return number, len(plain) - len(used) + found.start() + 1
    return None
