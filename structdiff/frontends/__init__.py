"""Front ends: what people write, read into grammars. `register` makes a new one known everywhere.

protocol.py   what a front end is, and what it gives
registry.py   the front ends that are known
json_schema/  regex/  grid/  choice.py  table.py  template.py  pinned.py  python_types.py  shorthand.py
values/       the bytes of strings, numbers and formats, which several front ends share
prompt.py     how a source is described to the model
"""

from __future__ import annotations

from structdiff.frontends.choice import ChoiceFrontEnd
from structdiff.frontends.described import DescribedFrontEnd
from structdiff.frontends.grid.frontend import GridFrontEnd
from structdiff.frontends.json_schema.frontend import JsonSchemaFrontEnd
from structdiff.frontends.protocol import FrontEnd, Grammar, Options, Source, Traits, content_key
from structdiff.frontends.python_types import PythonTypeFrontEnd
from structdiff.frontends.regex.frontend import RegexFrontEnd
from structdiff.frontends.registry import front_ends, named, read_source, register, unregister
from structdiff.frontends.shorthand import ShorthandFrontEnd

__all__ = [
    "FrontEnd",
    "Grammar",
    "Options",
    "Source",
    "Traits",
    "content_key",
    "front_ends",
    "named",
    "read_source",
    "register",
    "unregister",
]

for _front_end in (
    PythonTypeFrontEnd(), JsonSchemaFrontEnd(), RegexFrontEnd(), ChoiceFrontEnd(), GridFrontEnd(), DescribedFrontEnd(),
    ShorthandFrontEnd(),
):  # fmt: skip
    register(_front_end)
