"""The page that watches a canvas: static files, no build step, nothing from outside."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response

page = APIRouter(include_in_schema=False)
_FOLDER = files("structdiff.server").joinpath("static")
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"  # noqa: E501


@page.get("/")
def index() -> Response:
    """The page."""
    html = _FOLDER.joinpath("page.html").read_bytes()
    return Response(html, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": POLICY})


@page.get("/page.js")
def script() -> Response:
    """Its script."""
    return Response(_FOLDER.joinpath("page.js").read_bytes(), media_type="text/javascript; charset=utf-8")


@page.get("/page.css")
def style() -> Response:
    """Its style."""
    return Response(_FOLDER.joinpath("page.css").read_bytes(), media_type="text/css; charset=utf-8")
