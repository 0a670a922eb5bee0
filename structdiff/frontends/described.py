"""The front end of objects that describe themselves: tables, templates, edits, pinned values."""

from __future__ import annotations

from typing import Any

from structdiff.core.errors import InvalidSchema
from structdiff.frontends.protocol import Options, Source, no_options


class DescribedFrontEnd:
    """Reads every object with a method ``as_source()`` that gives a `Source`."""

    name = "object"

    def accepts(self, source: Any) -> bool:
        return hasattr(source, "as_source") and not isinstance(source, type)

    def read(self, source: Any, options: Options) -> Source:
        no_options(options, f"a {type(source).__name__}")
        read: Source = source.as_source()
        return read

    def from_text(self, text: str) -> Any:
        raise InvalidSchema("such a source is made in Python; a text names none")
