"""Does a plug-in know the engine that it finds? Versions, and the names that it uses of it."""

from __future__ import annotations

import importlib
import logging
import os
import re
from collections.abc import Mapping, Sequence


def untested(engine: str, version: str, first: tuple[int, ...], last: tuple[int, ...]) -> str | None:
    """Why a version of an engine is not used; None for those from ``first`` to ``last``.

    >>> untested("vLLM", "0.32.1.dev3+cpu", (0, 32), (0, 33)), untested("vLLM", "0.34.0", (0, 32), (0, 33))
    (None, 'it knows vLLM 0.32 to 0.33, and this is 0.34.0')
    """
    found = re.match(r"\.".join([r"(\d+)"] * len(first)), version)
    if found and first <= tuple(map(int, found.groups())) <= last:
        return None
    known = list(dict.fromkeys(".".join(map(str, one)) for one in (first, last)))
    return f"it knows {engine} {' to '.join(known)}, and this is {version}"


def missing(engine: str, needed: Mapping[str, Sequence[str]]) -> str | None:
    """What an engine lacks of ``needed``, "module" or "module:attribute" with names in it; None where nothing.

    >>> missing("Python", {"json": ["loads"]}), missing("Python", {"json:JSONEncoder": ["encode", "paint"]})
    (None, 'json:JSONEncoder of this Python has no paint')
    """
    for place, names in needed.items():
        module, _, attribute = place.partition(":")
        try:
            found = importlib.import_module(module)
            found = getattr(found, attribute) if attribute else found
        except (ImportError, AttributeError) as error:
            return f"this {engine} has no {place} ({error})"
        if lacking := [name for name in names if not hasattr(found, name)]:
            return f"{place} of this {engine} has no {', '.join(lacking)}"
    return None


def say_once(logger: logging.Logger, variable: str, text: str) -> None:
    """Log a warning once for all processes of an engine: they inherit the environment ``variable``."""
    if not os.environ.get(variable):
        os.environ[variable] = "1"
        logger.warning("%s", text)
