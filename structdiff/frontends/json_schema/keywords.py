"""What each JSON Schema keyword says, as shapes. A keyword is enforced here, listed as an annotation, or refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from structdiff.frontends.json_schema.assertions import ASSERTIONS, is_assertion
from structdiff.frontends.json_schema.demands import Evaluating, outside
from structdiff.frontends.json_schema.document import ORDER, escape
from structdiff.frontends.json_schema.leaves import (
    INTEGERS,
    KEYWORD,
    NUMBERS,
    WHOLE,
    Leaf,
    NumberShape,
    StringShape,
    asked_texts,
    decimal,
    meet_numbers,
)
from structdiff.frontends.json_schema.shapes import (
    ALL,
    ANYTHING,
    NONE,
    NOTHING,
    ArrayShape,
    Demand,
    Holds,
    ObjectShape,
    Selector,
    Shapes,
    array,
    both,
    in_order,
    join,
)
from structdiff.frontends.json_schema.unevaluated import unevaluated
from structdiff.frontends.values.formats import format_node
from structdiff.frontends.verbatim import KEYWORD as VERBATIM
from structdiff.frontends.verbatim import asked_reading

Schema = Mapping[str, Any]
STRUCTURE = frozenset(
    ("$schema", "$id", "id", "$anchor", "$defs", "definitions", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary")
)
TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")


@dataclass(frozen=True)
class Part:
    """One conjunct of a schema: the values it admits, and those it does not."""

    keyword: str
    inside: Callable[[], Shapes]
    outside: Callable[[], Shapes]


def asserts_nothing(algebra: Evaluating, schema: Schema) -> bool:
    """Is every keyword of the schema an annotation?"""
    document = algebra.document
    draft = document.draft_at(schema)
    if any(is_assertion(keyword, draft) for keyword in schema):
        return False
    annotate(algebra, schema, {}, draft, document.pointer(schema))
    return True


def evaluate(algebra: Evaluating, schema: Schema, sign: bool) -> Shapes:
    """The values that satisfy ``schema``, or with ``sign=False`` those that do not."""
    parts = _parts(algebra, schema)
    if not sign:
        return join(part.outside() for part in parts)
    out = ALL
    for part in parts:
        if part.keyword == "oneOf":
            out = exactly_one(algebra, out, [algebra.demand(branch) for branch in schema["oneOf"]])
        else:
            out = algebra.meet(out, part.inside())
    return out


def _parts(algebra: Evaluating, schema: Schema) -> list[Part]:
    document = algebra.document
    draft, pointer = document.draft_at(schema), document.pointer(schema)
    known = {keyword: value for keyword, value in schema.items() if is_assertion(keyword, draft)}
    if "$ref" in schema and ORDER[draft] < ORDER["2019-09"]:
        known = {"$ref": schema["$ref"]}
    annotate(algebra, schema, known, draft, pointer)
    parts: list[Part] = []

    def add(keyword: str, inside: Callable[[], Shapes], outside: Callable[[], Shapes] | None = None) -> None:
        parts.append(Part(keyword, inside, outside or (lambda: algebra.complement(inside()))))

    def add_demand(keyword: str, demand: Demand) -> None:
        add(keyword, lambda: algebra.evaluate(demand), lambda: outside(algebra, demand))

    typed = _typed(algebra, known, draft, pointer)
    if typed != ALL:
        add("type", lambda: typed)
    if "enum" in known:
        add("enum", lambda: algebra.constants(known["enum"], pointer))
    if "const" in known:
        add("const", lambda: algebra.constants([known["const"]], pointer))
    for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
        if keyword in known:
            add_demand(keyword, algebra.demand(document.resolve(schema, keyword)))
    for branch in known.get("allOf", ()):
        add_demand("allOf", algebra.demand(branch))
    for key, wanted in {**known.get("dependencies", {}), **known.get("dependentSchemas", {})}.items():
        if not isinstance(wanted, list):
            _add_dependent(algebra, add, key, algebra.demand(wanted))
    for key, wanted in {**known.get("dependencies", {}), **known.get("dependentRequired", {})}.items():
        if isinstance(wanted, list) and wanted:
            names = dict.fromkeys([key, *wanted])
            present = ObjectShape(tuple((name, ANYTHING, True) for name in names))
            absent = ObjectShape(((key, NOTHING, False),))
            dependent = replace(ALL, objects=(absent, present))
            add("dependentRequired", partial(join, (dependent,)))
    if "anyOf" in known:
        branches = [algebra.demand(branch) for branch in known["anyOf"]]
        add(
            "anyOf",
            lambda: join(algebra.evaluate(branch) for branch in branches),
            lambda: _meet_all(algebra, (outside(algebra, branch) for branch in branches)),
        )
    if "oneOf" in known:
        choices = [algebra.demand(branch) for branch in known["oneOf"]]
        add("oneOf", lambda: exactly_one(algebra, ALL, choices), lambda: _none_or_several(algebra, choices))
    if "not" in known:
        refused = algebra.demand(known["not"])
        add("not", lambda: outside(algebra, refused), lambda: algebra.evaluate(refused))
    if "if" in known and ("then" in known or "else" in known):
        condition = algebra.demand(known["if"])
        then, otherwise = algebra.demand(known.get("then", True)), algebra.demand(known.get("else", True))
        add(
            "if",
            lambda: join(
                (
                    algebra.evaluate(both(condition, then)),
                    algebra.meet(outside(algebra, condition), algebra.evaluate(otherwise)),
                )
            ),
            lambda: join(
                (
                    algebra.meet(algebra.evaluate(condition), outside(algebra, then)),
                    algebra.meet(outside(algebra, condition), outside(algebra, otherwise)),
                )
            ),
        )
    for keyword in ("unevaluatedProperties", "unevaluatedItems"):
        if keyword in known and known[keyword] is not True:
            add(keyword, partial(unevaluated, algebra, schema, keyword))
    return parts


def annotate(algebra: Evaluating, schema: Schema, known: Schema, draft: str, pointer: str) -> None:
    """Take down every keyword that asserts nothing here, and why."""
    for keyword in schema:
        if keyword in known or keyword in STRUCTURE:
            continue
        if keyword not in ASSERTIONS:
            reason = "says nothing about the value"
        elif is_assertion(keyword, draft):
            reason = f"ignored beside $ref, as draft {draft} says"
        else:
            reason = f"not a keyword of draft {draft}"
        algebra.annotations[pointer, keyword] = reason


def _meet_all(algebra: Evaluating, sets: Iterable[Shapes]) -> Shapes:
    out = ALL
    for shapes in sets:
        out = algebra.meet(out, shapes)
    return out


def exactly_one(algebra: Evaluating, base: Shapes, branches: list[Demand]) -> Shapes:
    """The values of ``base`` in exactly one branch; branches that cannot overlap cost nothing.

    The keys of all branches have one order, where the branches agree on one: what is left to say is then the same for
    all of them behind each key, and the union of the branches is no larger than one.
    """
    found = []
    rank: dict[str, int] = {}
    for thing in (*base.objects, *(thing for branch in branches for thing in algebra.evaluate(branch).objects)):
        for key, _, _ in thing.named:
            rank.setdefault(key, len(rank))
    for i, branch in enumerate(branches):
        mine = algebra.meet(base, algebra.evaluate(branch))
        for j, other in enumerate(branches):
            if j != i and not algebra.meet(mine, algebra.evaluate(other)).is_empty():
                mine = algebra.meet(mine, outside(algebra, other))
        found.append(replace(mine, objects=tuple(in_order(thing, rank) for thing in mine.objects)))
    return join(found)


def _none_or_several(algebra: Evaluating, branches: list[Demand]) -> Shapes:
    """The values in no branch or in more than one."""
    none = _meet_all(algebra, (outside(algebra, branch) for branch in branches))
    pairs = itertools.combinations(map(algebra.evaluate, branches), 2)
    return join((none, *(algebra.meet(one, other) for one, other in pairs)))


def _add_dependent(algebra: Evaluating, add: Callable[..., None], key: str, wanted: Demand) -> None:
    absent = replace(ALL, objects=(ObjectShape(((key, NOTHING, False),)),))
    present = replace(NONE, objects=(ObjectShape(((key, ANYTHING, True),)),))
    add(
        "dependentSchemas",
        lambda: join((absent, algebra.meet(present, algebra.evaluate(wanted)))),
        lambda: algebra.meet(present, outside(algebra, wanted)),
    )


def _typed(algebra: Evaluating, known: Schema, draft: str, pointer: str) -> Shapes:
    """`type` with the keywords that speak about one type each."""
    types = known.get("type", list(TYPES))
    types = [types] if isinstance(types, str) else types
    kinds = NUMBERS if "number" in types else _integers(draft) if "integer" in types else frozenset()
    numbers = meet_numbers(_number(known, draft), NumberShape(kinds=kinds))
    return Shapes(
        "null" in types,
        frozenset({True, False} if "boolean" in types else ()),
        () if numbers.is_empty() else (numbers,),
        (_string(algebra, known, pointer),) if "string" in types else (),
        (_array(algebra, known, draft, pointer),) if "array" in types else (),
        (_object(algebra, known, pointer),) if "object" in types else (),
    )


def _integers(draft: str) -> frozenset[str]:
    """How an integer may be written: in draft 4, ``1.0`` is none."""
    return frozenset({WHOLE}) if draft == "4" else INTEGERS


def _number(known: Schema, draft: str) -> NumberShape:
    shape = NumberShape()
    if "multipleOf" in known:
        shape = NumberShape(multiples=frozenset({decimal(known["multipleOf"])}))
    for keyword, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        ends = []
        if keyword in known:
            ends.append((known[keyword], draft == "4" and known.get(exclusive) is True))
        if draft != "4" and exclusive in known:
            ends.append((known[exclusive], True))
        for value, is_open in ends:
            if keyword == "minimum":
                end = NumberShape(low=decimal(value), low_open=is_open)
            else:
                end = NumberShape(high=decimal(value), high_open=is_open)
            shape = meet_numbers(shape, end)
    return shape


def _string(algebra: Evaluating, known: Schema, pointer: str) -> StringShape:
    leaves = []
    if "pattern" in known:
        leaves.append(Leaf("pattern", known["pattern"], f"{pointer}/pattern"))
    if "format" in known:
        if format_node(known["format"]) is None:
            algebra.annotations[pointer, "format"] = f"{known['format']!r} is not a format of the standard"
        else:
            leaves.append(Leaf("format", known["format"], f"{pointer}/format"))
    if KEYWORD in known:
        leaves += asked_texts(known[KEYWORD], pointer)
    if known.get(VERBATIM, False) is not False:
        leaves.append(Leaf(VERBATIM, asked_reading(known[VERBATIM], pointer), f"{pointer}/{VERBATIM}"))
    high = known.get("maxLength")
    return StringShape(
        low=int(known.get("minLength", 0)), high=None if high is None else int(high), having=frozenset(leaves)
    )


def _array(algebra: Evaluating, known: Schema, draft: str, pointer: str) -> ArrayShape:
    if draft == "2020-12":
        prefix, rest = known.get("prefixItems", []), known.get("items", True)
    elif isinstance(known.get("items"), list):
        prefix, rest = known["items"], known.get("additionalItems", True)
    else:
        prefix, rest = [], known.get("items", True)
    holds: tuple[Holds, ...] = ()
    if "contains" in known:
        low, high = int(known.get("minContains", 1)), known.get("maxContains")
        if low or high is not None:
            holds = (Holds(algebra.demand(known["contains"]), 0, low, None if high is None else int(high)),)
    high = known.get("maxItems")
    return array(
        ArrayShape(
            tuple(algebra.demand(item) for item in prefix),
            algebra.demand(rest),
            int(known.get("minItems", 0)),
            None if high is None else int(high),
            holds,
            (pointer or "/") if known.get("uniqueItems") else "",
        )
    )


def _object(algebra: Evaluating, known: Schema, pointer: str) -> ObjectShape:
    rules: list[tuple[Selector, Demand]] = []
    patterns = [
        (Leaf("pattern", text, f"{pointer}/patternProperties/{escape(text)}"), value)
        for text, value in known.get("patternProperties", {}).items()
    ]
    for leaf, value in patterns:
        rules.append(((StringShape(having=frozenset({leaf})),), algebra.demand(value)))
    if "propertyNames" in known:
        bad = outside(algebra, algebra.demand(known["propertyNames"])).strings
        if bad:
            rules.append((bad, NOTHING))
    properties = known.get("properties", {})
    listed = ObjectShape(rules=tuple(rules))
    named = [
        (key, both(algebra.demand(value), listed.demand_of(key)), key in known.get("required", ()))
        for key, value in properties.items()
    ]
    if "additionalProperties" in known:
        others = StringShape(
            lacking=frozenset(leaf for leaf, _ in patterns),
            without=frozenset(properties) if properties else frozenset(),
        )
        demand = algebra.demand(known["additionalProperties"])
        if demand != ANYTHING:
            rules.append(((others,), demand))
    whole = ObjectShape(rules=tuple(rules))
    named += [
        (key, whole.demand_of(key), True) for key in dict.fromkeys(known.get("required", ())) if key not in properties
    ]
    high = known.get("maxProperties")
    return ObjectShape(
        tuple(named),
        tuple(rule for rule in rules if rule[1] != ANYTHING),
        (),
        int(known.get("minProperties", 0)),
        None if high is None else int(high),
    )
