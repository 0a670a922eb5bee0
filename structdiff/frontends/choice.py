"""The front end of choices: one of a few texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from structdiff.automata.tree import literal, union
from structdiff.core.errors import InvalidSchema, Unsatisfiable
from structdiff.frontends.prompt import build_choice_prompt
from structdiff.frontends.protocol import Grammar, Options, Source, content_key, no_options


@dataclass(frozen=True)
class Choice:
    """One of a few texts; the output is the text itself, not JSON.

    >>> Choice(["bug", "feature"]).options
    ('bug', 'feature')
    """

    options: tuple[str, ...]

    def __init__(self, options: Sequence[str]) -> None:
        if not options or isinstance(options, str) or not all(isinstance(option, str) for option in options):
            raise InvalidSchema("a Choice needs a list of at least one string")
        object.__setattr__(self, "options", tuple(dict.fromkeys(options)))


def choice_source(values: Sequence[str], name: str, parse: Callable[[str], Any]) -> Source:
    """The source of one of ``values``. Raises `Unsatisfiable` for an empty text, which cannot be told from nothing."""
    if any(not value for value in values):
        raise Unsatisfiable("an empty choice cannot be told from no answer; give it a name")
    options = list(values)
    return Source(
        name,
        content_key("choice", json.dumps(options)),
        lambda limits: Grammar(union(*(literal(value) for value in options))),
        parse,
        lambda text, instructions: build_choice_prompt(text, options, instructions=instructions),
    )


class ChoiceFrontEnd:
    """Reads `Choice`; as text, a JSON array of strings or one choice a line."""

    name = "choice"

    def accepts(self, source: Any) -> bool:
        return isinstance(source, Choice)

    def read(self, source: Choice, options: Options) -> Source:
        no_options(options, "a Choice")
        return choice_source(source.options, "choice", str)

    def from_text(self, text: str) -> Choice:
        if text.lstrip().startswith("["):
            try:
                return Choice(json.loads(text))
            except json.JSONDecodeError as error:
                raise InvalidSchema(f"the choices are not a JSON array: {error}") from None
        return Choice([line for line in text.splitlines() if line.strip()])
