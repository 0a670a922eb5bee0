"""Free JSON: any value at all, nested to a depth. It is written once in a process and shared by all schemas.

The outer levels are laid out as everything else is. Below them free JSON is brief: it stands on one line, without
exponents, without ``\\u00XX`` and without arrays directly in arrays: what depth costs doubles with every level, and
less so without these.

>>> a = free_json(Layout(), loose=2, depth=4).automaton
>>> [a.accepts(text) for text in (b'[\\n  1e5]', b'[[{"a": [1]}]]', b'[[1e5]]', b'[[[1]]]', b'[[[]]]')]
[True, True, False, False, True]
"""

from __future__ import annotations

from functools import lru_cache

from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import EMPTY, Embedded, Network, Node, literal, optional, sequence, union
from structdiff.frontends.json_schema.layout import Layout
from structdiff.frontends.json_schema.leaves import valid_text
from structdiff.frontends.values.numbers import any_number
from structdiff.frontends.values.strings import brief_string, json_string, plain_string


@lru_cache(maxsize=256)
def free_json(
    layout: Layout, loose: int, depth: int, ascii_only: bool = False, level: int = 0, in_array: bool = False
) -> Embedded:
    """Any JSON value that nests ``depth`` deep, its first ``loose`` levels with the whitespace of the layout.

    ``level`` brackets are open around it (which matters to some layouts only); ``loose`` is negative inside one line.
    """
    brief = loose < 1
    string = json_string(valid_text(), True) if ascii_only else brief_string() if brief else plain_string()
    parts = [string, any_number(brief), *map(literal, ("null", "true", "false", "[]", "{}"))]
    if depth > 0:
        inside = level + 1 if layout.by_level else 0
        member = free_json(layout, loose - 1, depth - 1, ascii_only, inside, False)
        parts.append(_container(b"{}", sequence(string, layout.colon, member), layout, loose, level))
        if loose > 0 or not in_array:
            item = free_json(layout, loose - 1, depth - 1, ascii_only, inside, True)
            parts.append(_container(b"[]", item, layout, loose, level))
    return Embedded(compile_tree(union(*parts)))


def _container(brackets: bytes, member: Node, layout: Layout, loose: int, level: int) -> Node:
    """One ``member`` or more between brackets."""
    if loose > 0 or layout.by_level:
        first = gap = layout.gap(level + 1)
        last = layout.gap(level)
    else:
        first, gap, last = EMPTY, optional(literal(" ")) if layout.name == "json" else EMPTY, EMPTY
    edges = (
        (0, sequence(literal(brackets[:1]), first), 1),
        (1, member, 2),
        (2, sequence(literal(","), gap), 1),
        (2, sequence(last, literal(brackets[1:])), 3),
    )
    return Network(4, edges, 0, (3,))
