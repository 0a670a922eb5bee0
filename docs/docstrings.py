"""Docstrings as the site shows them: doctest examples become code blocks, public names become links."""

from __future__ import annotations

import re
from typing import Any

import griffe

import structdiff

_NAME = re.compile(r"(?<!`)`(structdiff\.)?([A-Za-z]\w*)`(?!`)")


def shown(docstring: str) -> str:
    """The docstring with its doctests fenced and its public names linked.

    >>> shown("Adds.\\n\\n>>> 1 + 1\\n2\\n\\nSee `Model`.").splitlines()[2:]
    ['```pycon', '>>> 1 + 1', '2', '```', '', 'See [`Model`][structdiff.Model].']
    """
    lines: list[str] = []
    inside = False
    for line in [*docstring.splitlines(), ""]:
        if line.startswith(">>> ") and not inside:
            inside = True
            lines.append("```pycon")
        if inside and not line.strip():
            inside = False
            lines.append("```")
        lines.append(line if inside else _NAME.sub(_link, line))
    return "\n".join(lines[:-1])


def _link(found: re.Match[str]) -> str:
    name = found[2]
    return f"[`{found[1] or ''}{name}`][structdiff.{name}]" if name in structdiff.__all__ else found[0]


class Docstrings(griffe.Extension):
    """Rewrites every docstring once it has been read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = shown(obj.docstring.value)
