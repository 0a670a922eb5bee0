"""The front end of regular expressions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from structdiff.frontends.prompt import build_regex_prompt
from structdiff.frontends.protocol import Grammar, Options, Source, content_key, no_options
from structdiff.frontends.regex.parser import parse_regex


@dataclass(frozen=True)
class Regex:
    """Text that matches ``pattern`` as `re.fullmatch` reads it; the output is the text itself, not JSON.

    >>> Regex(r"[A-Z]{3}-\\d{4}").pattern
    '[A-Z]{3}-\\\\d{4}'
    """

    pattern: str


class RegexFrontEnd:
    """Reads `Regex`; as text, the pattern itself."""

    name = "regex"

    def accepts(self, source: Any) -> bool:
        return isinstance(source, Regex)

    def read(self, source: Regex, options: Options) -> Source:
        no_options(options, "a Regex")
        pattern = source.pattern
        return Source(
            pattern,
            content_key("regex", pattern),
            lambda limits: Grammar(parse_regex(pattern, "python")),
            str,
            lambda text, instructions: build_regex_prompt(text, pattern, instructions=instructions),
        )

    def from_text(self, text: str) -> Regex:
        return Regex(text)
