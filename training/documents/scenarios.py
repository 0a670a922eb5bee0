"""Scenarios: kinds of documents, declared in text files; what they state and the bodies that state it.

A file holds scenarios, each with a heading, declarations and bodies::

    == rental_ad en | ads listings
    rent money 300-2500 | monthly_rent rent | ? what the flat costs a month | ~ price amount | = Monthly rent
    rooms list 1-4 | rooms | ? the rooms
    rooms.name pick kitchen/bedroom | name room
    rooms.size decimal 8-40.1 | size_m2 | ? in square metres
    rooms < <name> (<size> m2)
    rooms 0 no rooms are listed
    --
    {To let|For rent}: <rent> a month{|, bills included}. Rooms: <rooms>.

A declaration is a path, a kind of value with its argument, and columns: keys, notes (``?``), keys that need a note to
be understood (``~``), labels for forms (``=``). Besides the kinds of `training.documents.values` there are ``pick``,
``enum``, ``bool``, ``list`` and the rules of `training.documents.derived`. ``<`` lines are forms of a list's row (¶ is
a line break in it), a ``0`` line what is said of an empty list. In bodies ``{a|b}`` is a choice and ``<rent>`` a value
as it is spelt; a fact whose place was not chosen is missing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from training.documents.derived import RULES, waiting
from training.documents.facts import Fact, Group, Many
from training.documents.values import MAKERS, World, bounds, make_value

PLACE = re.compile(r"<([a-z_0-9]+(?:\.[a-z_0-9]+)*)(?::([a-z]+))?>")
EMPTY = "\0"
YES_NO = {
    "en": ("yes/Yes/Y/true/x", "no/No/N/false/-"), "de": ("ja/Ja/x", "nein/Nein"), "fr": ("oui/Oui", "non/Non"),
    "es": ("sí/Sí", "no/No"), "it": ("sì/Sì", "no/No"), "pt": ("sim/Sim", "não/Não"), "nl": ("ja/Ja", "nee/Nee"),
    "pl": ("tak/Tak", "nie/Nie"), "sv": ("ja/Ja", "nej/Nej"), "da": ("ja/Ja", "nej/Nej"),
    "tr": ("evet/Evet/var", "hayır/Hayır/yok"),
}  # fmt: skip


@dataclass(frozen=True)
class Declared:
    """One declaration; ``scalar`` and ``count`` of lists alone."""

    path: str
    kind: str
    arg: str
    names: tuple[str, ...]
    notes: tuple[str, ...]
    vague: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass
class Scenario:
    """``plural``: keys of a list of such documents; ``rows`` and ``none`` by the list's path."""

    name: str
    language: str
    plural: tuple[str, ...]
    declared: list[Declared] = field(default_factory=list)
    rows: dict[str, list[str]] = field(default_factory=dict)
    none: dict[str, list[str]] = field(default_factory=dict)
    bodies: list[str] = field(default_factory=list)


def read_scenarios(source: str) -> list[Scenario]:
    """The scenarios of a file; raises `ValueError` naming the line that cannot be read."""
    found: list[Scenario] = []
    in_body = False
    for number, line in enumerate(source.splitlines(), 1):
        if line.startswith("== "):
            head, _, plural = line[3:].partition("|")
            name, language = head.split()
            found.append(Scenario(name, language, tuple(plural.split()) or ("records", "entries", "documents")))
            in_body = False
        elif line == "--":
            found[-1].bodies.append("")
            in_body = True
        elif in_body:
            found[-1].bodies[-1] += line + "\n"
        elif line.strip() and not line.startswith("#"):
            try:
                _declare(found[-1], line)
            except (ValueError, IndexError) as error:
                raise ValueError(f"line {number}, {line!r}: {error}") from error
    for one in found:
        one.bodies = [body.strip("\n") for body in one.bodies]
    return found


def _declare(scenario: Scenario, line: str) -> None:
    path, _, rest = line.partition(" ")
    if rest.startswith("< "):
        scenario.rows.setdefault(path, []).append(rest[2:])
        return
    if rest.startswith("0 "):
        scenario.none.setdefault(path, []).extend(alternatives(rest[2:]))
        return
    kinds, *columns = re.split(r"\s+\|\s+", rest)
    kind, _, arg = kinds.strip().partition(" ")
    by_mark: dict[str, list[str]] = {"?": [], "~": [], "=": [], "": []}
    for column in columns:
        mark = column[0] if column[0] in "?~=" else ""
        body = column[1:] if mark else column
        by_mark[mark] += [x.strip() for x in (body.split() if mark in ("", "~") else body.split(" / "))]
    if kind not in {*MAKERS, "pick", "enum", "bool", "list", "group", *RULES}:
        raise ValueError(f"no values of kind {kind!r}")
    names = tuple(by_mark[""]) or (path.rsplit(".", 1)[-1],)
    scenario.declared.append(
        Declared(path, kind, arg.strip(), names, tuple(by_mark["?"]), tuple(by_mark["~"]), tuple(by_mark["="]))
    )


@cache
def all_scenarios() -> tuple[Scenario, ...]:
    """Those of every file beside this module."""
    folder = files("training.documents") / "scenarios"
    found: list[Scenario] = []
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".txt"):
            try:
                found += read_scenarios(entry.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ValueError(f"{entry.name}: {error}") from error
    return tuple(found)


def alternatives(text: str, mark: str = "/") -> list[str]:
    r"""``text`` cut at marks that stand in no choice and behind no backslash.

    >>> alternatives(r"mg\/l/{a|b/c}")
    ['mg/l', '{a|b/c}']
    """
    found, depth, at = [""], 0, 0
    while at < len(text):
        c = text[at]
        if c == "\\" and text[at + 1 : at + 2] == mark:
            at += 1
            found[-1] += mark
        elif c == mark and not depth:
            found.append("")
        else:
            depth += {"{": 1, "}": -1}.get(c, 0)
            found[-1] += c
        at += 1
    return found


def make_fact(w: World, d: Declared) -> Fact:
    """A fact as declared, with a value."""
    if d.kind in RULES:
        fact = waiting(d.kind, d.arg)
    elif d.kind == "pick":
        shown = expand(w.r, w.r.choice(alternatives(d.arg)))
        fact = Fact("text", (), shown, shown)
    elif d.kind in ("enum", "bool"):
        options = {k.strip(): alternatives(v) for k, _, v in (one.partition("=") for one in alternatives(d.arg, ";"))}
        label = w.r.choice(list(options))
        shown = expand(w.r, w.r.choice(options[label])).strip()
        if d.kind == "bool":
            words = w.r.choice(YES_NO[w.language][label == "no"].split("/"))
            fact = Fact("boolean", (), label == "yes", shown, extra={"short": words})
        else:
            short = options[label][0].strip() if "{" not in options[label][0] else label
            fact = Fact("enum", (), label, shown, options=tuple(options), extra={"short": short})
    else:
        fact = make_value(w, d.kind, d.arg)
        if d.kind == "code":
            fact.extra["code"] = "yes"
        if d.kind == "code" and d.arg and not re.search(r"[^A9x#/ .-]", d.arg):
            fact.extra["pattern"] = d.arg
    fact.names, fact.notes, fact.vague, fact.labels = d.names, d.notes, d.vague, d.labels
    return fact


Members = dict[str, Fact | Group | Many]


def make_members(w: World, scenario: Scenario, prefix: str = "") -> Members:
    """All facts below ``prefix``, with values."""
    found: Members = {}
    groups = {d.path: d for d in scenario.declared if d.kind == "group"}
    for d in scenario.declared:
        if not d.path.startswith(prefix) or d.kind == "group":
            continue
        first, *rest = d.path[len(prefix) :].split(".")
        if rest or first in found:
            owner = prefix + first
            if first not in found:
                told = groups.get(owner)
                names, notes = (told.names, told.notes) if told else ((first,), ())
                found[first] = Group(names, make_members(w, scenario, owner + "."), notes)
            continue
        found[first] = _make_list(w, scenario, d) if d.kind == "list" else make_fact(w, d)
    return found


def _make_list(w: World, scenario: Scenario, d: Declared) -> Many:
    span, *options = d.arg.split()
    low, high = bounds(span)
    count = w.r.randint(low, high) if w.r.random() < 0.75 else w.r.randint(low, min(high, low + 3))
    if count == 0 and d.path not in scenario.none:
        count = max(1, low)
    items: list[Group] = []
    seen: set[str] = set()
    for _ in range(count):
        members = make_members(w, scenario, d.path + ".")
        head = next(iter(members.values()))
        if isinstance(head, Fact) and head.kind == "text" and head.shown in seen:
            continue
        if isinstance(head, Fact):
            seen.add(head.shown)
        items.append(Group(("item",), members))
    if "sorted" in options:
        items.sort(key=lambda g: str(next(iter(g.members.values())).value))  # type: ignore[union-attr]
    like = Group(("item",), make_members(w, scenario, d.path + "."))
    return Many(d.names, items, like, d.notes, d.labels, scalar="scalar" in options)


def expand(r: random.Random, template: str, full: float = 0.0) -> str:
    """The template with each ``{a|b}`` replaced by one of its branches; nothing chosen leaves `EMPTY`.

    ``full``: the share of the choices between something and nothing that are for something before they are made.

    >>> sorted({expand(random.Random(seed), "{a|b{c|d}} e") for seed in range(40)})
    ['a e', 'bc e', 'bd e']
    >>> {expand(random.Random(seed), "{a|}", full=1.0) for seed in range(20)}
    {'a'}
    """
    out, at = [], 0
    while at < len(template):
        c = template[at]
        if c == "{":
            branches, at = _branches(template, at + 1)
            if full and r.random() < full:
                branches = [one for one in branches if one] or branches
            chosen = r.choice(branches)
            out.append(expand(r, chosen, full) if chosen else EMPTY)
        elif c == "\\":
            out.append(template[at + 1])
            at += 2
        else:
            out.append(c)
            at += 1
    return "".join(out)


def _branches(template: str, at: int) -> tuple[list[str], int]:
    """(the branches of a choice whose first character is at ``at``, the place behind it)."""
    branches, depth, start = [], 0, at
    while True:
        if at >= len(template):
            raise ValueError(f"a choice is not closed in {template[:60]!r}")
        c = template[at]
        if c == "\\":
            at += 1
        elif c == "{":
            depth += 1
        elif c == "}" and depth:
            depth -= 1
        elif (c == "|" and not depth) or c == "}":
            branches.append(template[start:at])
            start = at + 1
            if c == "}":
                return branches, at + 1
        at += 1


def fill(template: str, members: Members, render_list: Callable[[str, Many, bool], str]) -> tuple[str, set[str]]:
    """(the text of an expanded template, the paths of facts that it states).

    A fact of which only another form is stated (a first name) is in neither state: its path is given with ``?``.
    """
    stated: set[str] = set()

    def put(found: re.Match[str]) -> str:
        path, form = found[1], found[2]
        one: Fact | Group | Many | None = None
        inside: Members = members
        for part in path.split("."):
            one = inside.get(part)
            inside = one.members if isinstance(one, Group) else {}
        if isinstance(one, Many):
            stated.add(path)
            line_start = template.rfind("\n", 0, found.start()) + 1
            line_end = template.find("\n", found.end())
            alone = template[line_start : found.start()].strip(" " + EMPTY) == "" and (
                template[found.end() : line_end if line_end >= 0 else None].strip(" " + EMPTY) == ""
            )
            return render_list(path, one, alone)
        if not isinstance(one, Fact):
            raise ValueError(f"<{path}> is not declared")
        if form:
            stated.add(path + "?")
            return one.extra[form]
        stated.add(path)
        return one.shown

    text = PLACE.sub(put, template)
    lines = [line.replace(EMPTY, "") for line in text.split("\n") if line.strip(" ") == "" or line.strip(" " + EMPTY)]
    text = "\n".join(lines)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n"), stated
