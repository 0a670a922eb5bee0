"""Answers beside their texts as one HTML file: each value is marked where it stands, and shaded by confidence.

The file holds the page (``evidence.html`` beside this module) with the rows as JSON in it; it loads nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from structdiff.core.errors import StructdiffError
from structdiff.results.evidence import find_spans

OWN = ("id", "error", "error_type", "raw", "confidence", "spans", "problems")


class NoTexts(StructdiffError):
    """The rows hold no texts, so that nothing can be shown beside them."""


def write_evidence(
    path: str | Path,
    rows: Iterable[Mapping[str, Any]],
    *,
    text_field: str = "text",
    keep: Iterable[str] = (),
    title: str = "structdiff evidence",
) -> int:
    """Write rows of `structdiff extract` as a page; the number of rows.

    The text of a row is its column ``text_field``; ``keep`` are columns of the input, which are shown and not marked.
    Raises `NoTexts` where no row has a text.
    """
    shown = [evidence(row, text_field, set(keep)) for row in rows]
    if not any(one["text"] for one in shown):
        raise NoTexts(f"no row has a text in the column {text_field!r}; extract keeps it unless --no-keep is given")
    data = json.dumps({"title": title, "rows": shown}, ensure_ascii=False, separators=(",", ":"))
    page = files("structdiff.view").joinpath("evidence.html").read_text(encoding="utf-8")
    # subtle: "<" may only occur escaped, or a text with "</script>" would end the data.
    Path(path).write_text(page.replace("/*DATA*/null", data.replace("<", "\\u003c")), encoding="utf-8")
    return len(shown)


def evidence(row: Mapping[str, Any], text_field: str, keep: set[str]) -> dict[str, Any]:
    """What the page shows of a row: text, fields with value, span and confidence, what was kept, error and problems.

    >>> evidence({"id": 1, "text": "Ann is here.", "name": "Ann"}, "text", set())["fields"]
    [{'name': '/name', 'value': 'Ann', 'span': [0, 3], 'confidence': None}]
    """
    text = row.get(text_field)
    text = text if isinstance(text, str) else ""
    answer = {name: value for name, value in row.items() if name not in {*OWN, *keep, text_field}}
    spans = row.get("spans") or {}
    if not spans:
        spans = {name: list(span) for name, span in find_spans(answer, text).items()}
    confidence = row.get("confidence") or {}
    fields = [
        {"name": name, "value": value, "span": spans.get(name), "confidence": confidence.get(name)}
        for name, value in _leaves(answer)
    ]
    kept = {name: row[name] for name in keep if name in row and name != text_field}
    told = {name: row[name] for name in ("error", "error_type", "raw", "problems") if row.get(name)}
    return {"id": row.get("id"), "text": text, "fields": fields, "kept": kept, **told}


def _leaves(value: Any, pointer: str = "") -> Iterable[tuple[str, Any]]:
    from structdiff.core.json_spans import pointer_of

    if isinstance(value, dict | list) and value:
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(part, pointer_of(pointer, name))
    elif pointer:
        yield pointer, value
