"""Which keywords assert something, and in which drafts."""

from __future__ import annotations

from structdiff.frontends.json_schema.document import ORDER
from structdiff.frontends.json_schema.leaves import KEYWORD
from structdiff.frontends.verbatim import KEYWORD as VERBATIM

ASSERTIONS: dict[str, tuple[str, str]] = {}
"""Keywords that assert something, with the first and the last draft that knows them."""
for _span, _words in {
    ("4", "2020-12"): "type enum allOf anyOf oneOf not properties patternProperties additionalProperties required "
    "minProperties maxProperties items minItems maxItems uniqueItems minimum maximum exclusiveMinimum "
    f"exclusiveMaximum multipleOf minLength maxLength pattern format $ref {KEYWORD} {VERBATIM}",
    ("6", "2020-12"): "const contains propertyNames",
    ("7", "2020-12"): "if then else",
    ("2019-09", "2020-12"): "dependentRequired dependentSchemas minContains maxContains unevaluatedProperties "
    "unevaluatedItems",
    ("2020-12", "2020-12"): "prefixItems $dynamicRef",
    ("4", "2019-09"): "additionalItems",
    ("4", "7"): "dependencies",
    ("2019-09", "2019-09"): "$recursiveRef",
}.items():
    ASSERTIONS.update(dict.fromkeys(_words.split(), _span))


def is_assertion(keyword: str, draft: str) -> bool:
    """Does a keyword assert something in a draft?"""
    first, last = ASSERTIONS.get(keyword, ("9", ""))
    return bool(last) and ORDER[first] <= ORDER[draft] <= ORDER[last]
