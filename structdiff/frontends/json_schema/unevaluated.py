"""`unevaluatedProperties` and `unevaluatedItems`: which keys and items other keywords have looked at.

A schema is taken apart into *ways* to satisfy it, each with the keys and items that are seen on that way. A value that
satisfies more than one way has seen the keys of all of them, and seeing more only ever allows more: so the union over
ways of "satisfies it, and what it does not see meets the keyword" is exact, and branches need not be told apart.

>>> from structdiff.frontends.json_schema.algebra import Algebra
>>> from structdiff.frontends.json_schema.document import Document
>>> schema = {"properties": {"a": True}, "anyOf": [{"properties": {"b": True}}, True], "unevaluatedProperties": False}
>>> algebra = Algebra(Document(schema))
>>> [sorted(seen.names) for _, seen in ways(algebra, schema)]
[['a', 'b'], ['a']]
>>> algebra.contains(algebra.demand(schema), {"a": 1, "b": 2}), algebra.contains(algebra.demand(schema), {"c": 1})
(True, False)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from structdiff.core.errors import UnsupportedSchema
from structdiff.frontends.json_schema.assertions import is_assertion
from structdiff.frontends.json_schema.demands import Evaluating, outside
from structdiff.frontends.json_schema.document import escape
from structdiff.frontends.json_schema.leaves import Leaf, StringShape
from structdiff.frontends.json_schema.shapes import (
    ALL,
    ANYTHING,
    NONE,
    ArrayShape,
    Demand,
    ObjectShape,
    Shapes,
    array,
    join,
)

MAX_WAYS = 64
"""The most ways to satisfy a schema that are followed."""


@dataclass(frozen=True)
class Seen:
    """The keys and items that some keyword has looked at: ``names`` and keys with ``patterns``, the first ``items``
    and those that are ``contained`` in a demand; or all."""

    names: frozenset[str] = frozenset()
    patterns: frozenset[Leaf] = frozenset()
    all_keys: bool = False
    items: int = 0
    contained: frozenset[Demand] = frozenset()
    all_items: bool = False
    doubtful: bool = False  # validators of draft 2019-09 disagree on whether `contains` looks at items

    def __or__(self, other: Seen) -> Seen:
        return Seen(
            self.names | other.names,
            self.patterns | other.patterns,
            self.all_keys or other.all_keys,
            max(self.items, other.items),
            self.contained | other.contained,
            self.all_items or other.all_items,
            self.doubtful or other.doubtful,
        )


Way = tuple[Shapes, Seen]
_BLIND: Way = (ALL, Seen())


def unevaluated(algebra: Evaluating, schema: Mapping[str, Any], keyword: str) -> Shapes:
    """What the keyword admits among the values that satisfy the rest of ``schema``."""
    wanted = algebra.demand(schema[keyword])
    admitted = []
    for shapes, seen in ways(algebra, schema):
        if keyword == "unevaluatedProperties":
            rest = StringShape(lacking=seen.patterns, without=seen.names)
            rule = ALL if seen.all_keys else replace(ALL, objects=(ObjectShape(rules=(((rest,), wanted),)),))
        else:
            if seen.doubtful:
                reason = "validators of draft 2019-09 disagree on whether contains looks at items"
                raise UnsupportedSchema(algebra.document.pointer(schema), keyword, reason)
            demand = algebra.either([wanted, *sorted(seen.contained, key=sorted)])
            items = array(ArrayShape((ANYTHING,) * seen.items, demand))
            rule = ALL if seen.all_items else replace(ALL, arrays=(items,))
        admitted.append(algebra.meet(shapes, rule))
    return join(admitted)


def ways(algebra: Evaluating, schema: Any, own: bool = True) -> list[Way]:
    """The ways to satisfy the in-place applicators of a schema; not ``own``: as others see it from outside."""
    schema = algebra.document.follow(schema)
    if isinstance(schema, bool):
        return [_BLIND] if schema else []
    document = algebra.document
    draft, pointer = document.draft_at(schema), document.pointer(schema)
    known = {keyword: value for keyword, value in schema.items() if is_assertion(keyword, draft)}
    out = [(ALL, _seen(algebra, known, draft, pointer, own))]

    def inside(branch: Any) -> list[Way]:
        shapes = algebra.evaluate(algebra.demand(branch))
        return [(algebra.meet(shapes, more), seen) for more, seen in ways(algebra, branch, False)]

    def both(a: list[Way], b: list[Way]) -> list[Way]:
        if len(a) * len(b) > MAX_WAYS:
            reason = f"there are more than {MAX_WAYS} ways to satisfy what stands beside it"
            raise UnsupportedSchema(pointer, "unevaluatedProperties", reason)
        grown: dict[Seen, list[Shapes]] = {}
        for shapes, seen in a:
            for more, also in b:
                met = algebra.meet(shapes, more)
                if not met.is_empty():
                    grown.setdefault(seen | also, []).append(met)
        return [(ALL if ALL in parts else join(parts), seen) for seen, parts in grown.items()]

    for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
        if keyword in known:
            out = both(out, ways(algebra, document.resolve(schema, keyword), False))
    for branch in known.get("allOf", ()):
        out = both(out, ways(algebra, branch, False))
    for branch in known.get("anyOf", ()):
        found = inside(branch)
        if any(seen != Seen() for _, seen in found):
            out = both(out, [*found, _BLIND])
    if "oneOf" in known:
        found = [way for branch in known["oneOf"] for way in inside(branch)]
        if any(seen != Seen() for _, seen in found):
            out = both(out, found)
    for key, wanted in known.get("dependentSchemas", {}).items():
        present = replace(NONE, objects=(ObjectShape(((key, ANYTHING, True),)),))
        out = both(out, [*((algebra.meet(present, shapes), seen) for shapes, seen in inside(wanted)), _BLIND])
    if "if" in known:
        otherwise = outside(algebra, algebra.demand(known["if"]))
        no = [(algebra.meet(otherwise, shapes), seen) for shapes, seen in inside(known.get("else", True))]
        out = both(out, [*both(inside(known["if"]), inside(known.get("then", True))), *no])
    return out


def _seen(algebra: Evaluating, known: Mapping[str, Any], draft: str, pointer: str, own: bool) -> Seen:
    """What the keywords of one schema see by themselves; its own `unevaluated...` only for others."""
    patterns = known.get("patternProperties", {})
    tuple_keyword, rest_keyword = ("prefixItems", "items") if draft == "2020-12" else ("items", "additionalItems")
    listed = known.get(tuple_keyword, [])
    is_tuple = isinstance(listed, list)
    contained = {algebra.demand(known["contains"])} if "contains" in known and draft == "2020-12" else set()
    return Seen(
        frozenset(known.get("properties", {})),
        frozenset(Leaf("pattern", text, f"{pointer}/patternProperties/{escape(text)}") for text in patterns),
        "additionalProperties" in known or (not own and "unevaluatedProperties" in known),
        len(listed) if is_tuple else 0,
        frozenset(contained),
        not is_tuple
        or (rest_keyword in known and (draft == "2020-12" or tuple_keyword in known))
        or (not own and "unevaluatedItems" in known),
        "contains" in known and draft == "2019-09",
    )
