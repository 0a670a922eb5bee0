"""Front ends: what people write, read into grammars. `register` makes a new one known everywhere.

protocol.py   what a front end is, and what it gives
registry.py   the front ends that are known
json_schema/  python_types/  regex/  grammar/  grid/  choice.py  table.py  template.py  tags.py  tools.py  pinned.py
shorthand.py
values/       the bytes of strings, numbers and formats, which several front ends share
prompt.py     how a source is described to the model
"""

from __future__ import annotations

from typing import TypeAlias

from structdiff.frontends.choice import Choice, ChoiceFrontEnd
from structdiff.frontends.described import DescribedFrontEnd
from structdiff.frontends.grammar.source import GBNF, GrammarFrontEnd, Lark
from structdiff.frontends.grid.frontend import GridFrontEnd
from structdiff.frontends.json_schema.frontend import JsonSchemaFrontEnd
from structdiff.frontends.protocol import FrontEnd, Grammar, Options, Source, Traits, content_key
from structdiff.frontends.python_types import PythonTypeFrontEnd
from structdiff.frontends.regex.frontend import Regex, RegexFrontEnd
from structdiff.frontends.registry import front_ends, named, read_source, register, unregister
from structdiff.frontends.shorthand import ShorthandFrontEnd
from structdiff.frontends.tags import StructuralTag, StructuralTagFrontEnd

__all__ = [
    "FrontEnd",
    "Grammar",
    "Options",
    "Source",
    "TextSource",
    "Traits",
    "content_key",
    "front_ends",
    "named",
    "read_source",
    "register",
    "unregister",
]

TextSource: TypeAlias = Regex | Choice | Lark | GBNF | StructuralTag
"""The sources whose value is the text itself."""

for _front_end in (
    PythonTypeFrontEnd(), JsonSchemaFrontEnd(), RegexFrontEnd(), ChoiceFrontEnd(), GridFrontEnd(), DescribedFrontEnd(),
    ShorthandFrontEnd(), GrammarFrontEnd(), StructuralTagFrontEnd(),
):  # fmt: skip
    register(_front_end)
