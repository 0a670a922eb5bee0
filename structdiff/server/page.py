"""The page that watches a canvas: static files, no build step, nothing from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Response

from structdiff.view.kinds import Kind

page = APIRouter(include_in_schema=False)
_FOLDER = files("structdiff.server").joinpath("static")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "json": "application/json"}


def _file(name: str) -> Callable[[], Response]:
    def answer() -> Response:
        kind = _TYPES[name.rsplit(".")[-1]]
        headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
        return Response(_FOLDER.joinpath(name).read_bytes(), media_type=f"{kind}; charset=utf-8", headers=headers)

    return answer


_NAMED = ("page.js", "canvas.js", "request.js", "state.js", "validate.js", "page.css")
FILES = ("/", "/page.json", *(f"/{name}" for name in _NAMED))
"""Paths of the page's own files, which hold nothing that a key protects."""
page.get("/")(_file("page.html"))
for _name in _NAMED:
    page.get(f"/{_name}")(_file(_name))
page.get("/docs")(_file("docs.html"))
page.get("/docs.js")(_file("docs.js"))


@page.get("/page.json")
def data() -> dict[str, Any]:
    """What the page shows beside an answer: the kinds of positions and the examples."""
    kinds = [{"mark": kind.mark, "title": kind.title, "note": kind.note} for kind in Kind]
    return {"kinds": kinds, "examples": json.loads(_FOLDER.joinpath("examples.json").read_text("utf-8"))}
