"""The front ends that are known, and the one door through which sources are read."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from structdiff.core.errors import InvalidSchema
from structdiff.frontends.protocol import FrontEnd, Source

GROUP = "structdiff.frontends"
"""The entry points by which installed packages bring front ends of their own."""

_known: dict[str, FrontEnd] = {}
_plug_ins_loaded = False


def register(front_end: FrontEnd) -> FrontEnd:
    """Make a front end known to Python, the command line and the service; the last one of a name counts.

    Front ends are asked in reverse order of registration, so that a new one may take over a kind of source.
    """
    _known.pop(front_end.name, None)
    _known[front_end.name] = front_end
    return front_end


def unregister(name: str) -> None:
    """Forget the front end called ``name``."""
    _known.pop(name, None)


def front_ends() -> dict[str, FrontEnd]:
    """All front ends by name, those of installed packages included."""
    global _plug_ins_loaded
    if not _plug_ins_loaded:
        _plug_ins_loaded = True
        for entry in entry_points(group=GROUP):
            register(entry.load()())
    return dict(_known)


def named(name: str) -> FrontEnd:
    """The front end called ``name``. Raises `InvalidSchema` where there is none."""
    known = front_ends()
    if name not in known:
        raise InvalidSchema(f"there is no front end {name!r}; known are {', '.join(sorted(known))}")
    return known[name]


def read_source(source: Any, **options: Any) -> Source:
    """Read any source that a front end accepts; ``options`` go to it.

    >>> from structdiff.frontends.choice import Choice
    >>> read_source(Choice(["yes", "no"])).parse("yes")
    'yes'
    """
    for front_end in reversed(front_ends().values()):
        if front_end.accepts(source):
            return front_end.read(source, options)
    raise InvalidSchema(f"{source!r} is not a schema, a Regex, a Choice or a type that Pydantic understands")
