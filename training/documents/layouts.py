"""How lists, tables and forms are laid out in plain text."""

from __future__ import annotations

import random

from training.documents.facts import Fact, Group, Many
from training.documents.scenarios import EMPTY, Members, Scenario, World, expand, fill

AND = {"en": " and ", "de": " und ", "fr": " et ", "es": " y ", "it": " e ", "pt": " e ", "nl": " en ", "pl": " i ",
       "sv": " och ", "da": " og ", "tr": " ve "}  # fmt: skip
BLANKS = ("", "-", "n/a", "--", "", "N/A", "unknown", "?", "not given", "(blank)")


def humanise(key: str) -> str:
    """
    >>> humanise("due_date")
    'Due date'
    """
    words = key.replace("_", " ")
    return words[:1].upper() + words[1:]


def label_of(r: random.Random, fact: Fact | Many | Group, language: str) -> str | None:
    """A label for a form or a column; None where none is known in the language."""
    if labels := getattr(fact, "labels", ()):
        return r.choice(labels)
    if language != "en" or not fact.names:
        return None
    label = humanise(r.choice(fact.names))
    x = r.random()
    return label if x < 0.7 else label.title() if x < 0.85 else label.upper() if x < 0.93 else label.lower()


def short(fact: Fact) -> str:
    """What stands behind a label."""
    return fact.extra.get("short", fact.shown)


def leaves(members: Members, prefix: str = "") -> list[tuple[str, Fact]]:
    """The facts that a text can state and that are no lists, by path."""
    found: list[tuple[str, Fact]] = []
    for name, one in members.items():
        if isinstance(one, Fact):
            if one.kind == "derived":
                continue
            found.append((prefix + name, one))
        elif isinstance(one, Group):
            found += leaves(one.members, f"{prefix}{name}.")
    return found


class Lists:
    """Renders the lists of one document."""

    def __init__(self, w: World, scenario: Scenario, above: str = "") -> None:
        self.w, self.scenario, self.above = w, scenario, above

    def __call__(self, path: str, many: Many, alone: bool) -> str:
        r = self.w.r
        path = self.above + path
        if not many.items:
            return expand(r, r.choice(self.scenario.none[path]))
        rows = self.scenario.rows.get(path, [])
        if many.scalar and not rows:
            rows = [f"<{next(iter(many.like.members))}>"]
        if alone and (not rows or (r.random() < 0.4 and not many.scalar)):
            table = self.table(many)
            if table:
                return table
        form = r.choice(rows) if rows else self._row_of_labels(many)
        inner = Lists(self.w, self.scenario, path + ".")
        lines = [inner.row(form if r.random() < 0.8 or not rows else r.choice(rows), item) for item in many.items]
        return self.block(lines) if alone else self.inline(lines)

    def row(self, form: str, item: Group) -> str:
        text, stated = fill(expand(self.w.r, form.replace("¶", "\n")), item.members, self)
        settle(item.members, stated)
        return text.replace(EMPTY, "") if "¶" in form else text.replace(EMPTY, "").replace("\n", " ")

    def _row_of_labels(self, many: Many) -> str:
        names = [path for path, _ in leaves(many.like.members)]
        return self.w.r.choice([", ", " - ", " / ", "; "]).join(f"<{name}>" for name in names)

    def block(self, lines: list[str]) -> str:
        r = self.w.r
        x = r.random()
        if any("\n" in line for line in lines):
            return r.choice(["\n", "\n\n", "\n\n"]).join(lines)
        if x < 0.3:
            mark = r.choice(["- ", "* ", "• ", "  - ", "– "])
            return "\n".join(mark + line for line in lines)
        if x < 0.5:
            mark = r.choice(["{}. ", "{}) ", "({}) ", "#{} "])
            return "\n".join(mark.format(i) + line for i, line in enumerate(lines, 1))
        if x < 0.92:
            return "\n".join(lines)
        return r.choice(["; ", " | "]).join(lines)

    def inline(self, lines: list[str]) -> str:
        r = self.w.r
        if len(lines) == 1:
            return lines[0]
        busy = any("," in line for line in lines)
        if r.random() < 0.7 and not busy:
            return ", ".join(lines[:-1]) + AND[self.w.language] + lines[-1]
        return r.choice(["; ", "; ", " / "] if busy else [", ", ", ", "; "]).join(lines)

    def table(self, many: Many) -> str:
        """The rows as a table with a header, or "" where a column has no label; empty cells are missing facts."""
        r, language = self.w.r, self.w.language
        columns = [path for path, _ in leaves(many.like.members)]
        if len(columns) < 2 or any(isinstance(one, Many) for one in many.like.members.values()):
            return ""
        by_path = [dict(leaves(item.members)) for item in many.items]
        shown_at = dict(leaves(many.like.members))
        heads = [label_of(r, shown_at[path], language) for path in columns]
        if None in heads or len(set(heads)) < len(heads):
            return ""
        blank = r.choice(BLANKS)
        cells = [[short(row[path]) for path in columns] for row in by_path]
        for i, row in enumerate(by_path):
            for j, path in enumerate(columns):
                missing = j > 0 and r.random() < 0.06
                row[path].missing = missing
                if missing:
                    cells[i][j] = blank
        order = list(range(len(columns)))
        if r.random() < 0.5:
            r.shuffle(order)
        grid = [[str(row[j]) for j in order] for row in ([heads, *cells])]
        numbered = r.random() < 0.15
        if numbered:
            grid = [[r.choice(["#", "No", "Pos."]) if i == 0 else str(i), *row] for i, row in enumerate(grid)]
        return self.spaced(grid)

    def spaced(self, grid: list[list[str]]) -> str:
        r = self.w.r
        x = r.random()
        if x < 0.3:
            lines = [f"| {' | '.join(row)} |" for row in grid]
            lines.insert(1, "|" + "|".join("---" for _ in grid[0]) + "|")
            return "\n".join(lines)
        if x < 0.45:
            return "\n".join(" | ".join(row) for row in grid)
        if x < 0.55:
            return "\n".join("\t".join(row) for row in grid)
        if x < 0.75:
            mark = ";" if any("," in cell for row in grid for cell in row) or r.random() < 0.3 else ","
            return "\n".join(mark.join(f'"{cell}"' if mark in cell else cell for cell in row) for row in grid)
        widths = [max(len(row[j]) for row in grid) for j in range(len(grid[0]))]
        lines = ["  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in grid]
        if r.random() < 0.4:
            lines.insert(1, "-" * len(max(lines, key=len)))
        return "\n".join(lines)


def settle(members: Members, stated: set[str]) -> None:
    """Mark what a template does not state as missing, and take out what it states in another form alone."""
    for path, fact in leaves(members):
        if path in stated:
            fact.missing = False
        elif path + "?" in stated:
            drop(members, path)
        else:
            fact.missing = True
    for name, one in members.items():
        if isinstance(one, Many):
            one.missing = name not in stated
        elif isinstance(one, Group):
            for inner, many in one.members.items():
                if isinstance(many, Many):
                    many.missing = f"{name}.{inner}" not in stated


def drop(members: Members, path: str) -> None:
    first, _, rest = path.partition(".")
    if not rest:
        members.pop(first, None)
        return
    group = members[first]
    assert isinstance(group, Group)
    drop(group.members, rest)


FORMS = (
    "{k}: {v}", "{k}: {v}", "{k}: {v}", "{k}: {v}", "{k} : {v}", "{k} - {v}", "{k} = {v}", "- {k}: {v}", "* {k}: {v}",
    "{k}\n{v}", "{k}\t{v}", "{k}: {v};", "**{k}**: {v}", "| {k} | {v} |", "[{k}] {v}", "{k} .... {v}", "{k}:\n  {v}",
    "<{k}>{v}</{k}>", "{k} => {v}",
)  # fmt: skip


def form(w: World, scenario: Scenario, members: Members) -> str | None:
    """All members as lines of labels and values, a part of them left out or blank; None where labels are lacking."""
    r = w.r
    line = r.choice(FORMS)
    blank = r.choice(BLANKS)
    share = r.choice([0.0, 0.0, 0.1, 0.25])
    blocks: list[list[str]] = []
    stated: set[str] = set()
    single: list[str] = []
    used: set[str] = set()

    def put(path: str, fact: Fact, into: list[str]) -> bool:
        label = label_of(r, fact, w.language)
        if label is None:
            return False
        if label.lower() in used:
            return True  # not stated
        used.add(label.lower())
        if r.random() < share:
            if r.random() < 0.5:
                into.append(line.replace("{k}", label).replace("{v}", blank).rstrip())
            return True
        stated.add(path)
        into.append(line.replace("{k}", label).replace("{v}", short(fact)))
        return True

    for name, one in members.items():
        if isinstance(one, Fact):
            if one.kind != "derived" and not put(name, one, single):
                return None
        elif isinstance(one, Group):
            head = label_of(r, one, w.language) or humanise(name)
            lines: list[str] = [r.choice([f"{head}:", f"[{head}]", f"# {head}", head.upper(), f"-- {head} --"])]
            used_before = set(used)
            used.clear()
            for path, fact in leaves(one.members, f"{name}."):
                if not put(path, fact, lines):
                    return None
            used.clear()
            used.update(used_before)
            blocks.append(lines)
        elif one.items or name in scenario.none:
            label = label_of(r, one, w.language)
            if label is None:
                return None
            stated.add(name)
            rendered = Lists(w, scenario)(name, one, not one.scalar)
            blocks.append(
                [line.replace("{k}", label).replace("{v}", rendered)] if one.scalar else [f"{label}:", rendered]
            )
    if r.random() < 0.5:
        r.shuffle(single)
    if r.random() < 0.5:
        r.shuffle(blocks)
    parts = ["\n".join(single), *("\n".join(block) for block in blocks)]
    if len(parts) > 1 and r.random() < 0.3:
        parts = [*parts[1:], parts[0]]
    gap = r.choice(["\n\n", "\n\n", "\n"])
    settle(members, stated)
    flat = r.random() < 0.08 and not blocks and "\n" not in line
    text = gap.join(part for part in parts if part)
    return text.replace("\n", r.choice([" ", " | ", ", "])) if flat else text
