"""The entry point: a JSON Schema and the options of a constraint in, a grammar tree out.

>>> from structdiff.automata.byte_automaton import compile_tree
>>> a = compile_tree(json_schema_tree({"type": "object", "properties": {"n": {"type": "integer"}}}))
>>> [a.accepts(text) for text in (b'{}', b'{"n": 7}', b'{"n": 7.5}', b'{"m": 7}')]
[True, True, False, False]
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

from referencing import Registry

from structdiff.automata.byte_automaton import compile_tree
from structdiff.automata.tree import NEVER, Embedded, Node
from structdiff.core.errors import CompileLimit, Unsatisfiable, UnsupportedSchema
from structdiff.core.limits import Limits, active, enforced
from structdiff.frontends.json_schema.algebra import Algebra
from structdiff.frontends.json_schema.containers import Bounds
from structdiff.frontends.json_schema.document import DRAFTS, Document
from structdiff.frontends.json_schema.emit import Emitter
from structdiff.frontends.json_schema.layout import Layout
from structdiff.frontends.json_schema.shapes import Demand

COMFORTABLE_NODES, COMFORTABLE_STATES = 800_000, 60_000
"""Trees and automata up to this size compile in one or two seconds."""
LARGE_STATES = 100_000
"""Automata beyond this size have millions of edges over a large vocabulary."""
ROOMY = range(6_000, 30_000)
"""Trees of these sizes hold free JSON of one of the `DEEP` bounds if that makes them at most 2.3 times as large;
smaller ones would become slow for what they are, larger ones slow."""
SHALLOW_STATES = 40_000
"""Trees under tight bounds up to this size hold free JSON as deep as others do, if that makes them at most 2.3 times
as large or comfortable."""
DEEP = (
    {"free_depth": 5, "root_depth": 8},
    {"free_depth": 4, "root_depth": 8},
    {"free_depth": 4, "root_depth": 7},
)
LADDER = (
    Bounds(2, 2, 128, 16, 16, 24, 8, 5, 1, 256),
    Bounds(1, 2, 64, 8, 8, 8, 4, 4, 0, 255),
    Bounds(0, 1, 48, 4, 4, 4, 3, 3, 0, 128),
    Bounds(0, 0, 48, 4, 4, 1, 3, 0, 0, 128),
)
"""Tighter and tighter bounds for schemas that are large otherwise."""


@dataclass(frozen=True)
class SchemaOptions:
    """How the texts of a schema are written.

    ``extra_properties="forbid"``: an object that lists keys holds no others, unless a schema is given for them;
    ``"schema"``: exactly as the schema says, added keys holding any JSON nested as deep as ``bounds`` say.
    ``key_order="any"``: the keys that an object lists in any order (for at most eight), then added ones.
    ``draft`` is that of a schema without ``$schema``.
    """

    whitespace: str = "json"
    indent: int = 2
    extra_properties: str = "forbid"
    key_order: str = "schema"
    ascii_only: bool = False
    draft: str = "2020-12"
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        if self.extra_properties not in ("forbid", "schema"):
            raise ValueError(f'extra_properties is {self.extra_properties!r}; it must be "forbid" or "schema"')
        if self.draft not in DRAFTS:
            raise ValueError(f"draft is {self.draft!r}; it must be one of {', '.join(DRAFTS)}")
        if self.key_order not in ("schema", "any"):
            raise ValueError(f'key_order is {self.key_order!r}; it must be "schema" or "any"')


class CompiledSchema:
    """A schema on its way to a tree, with what there is to report about it."""

    def __init__(
        self,
        schema: Any,
        options: SchemaOptions,
        registry: Registry | Mapping[str, Any] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or active()
        self.options, self.emitter = options, cast(Emitter, None)
        with enforced(self.limits):
            self.document = Document(schema, registry, options.draft)
            self.algebra = Algebra(self.document)
            self.root: Demand = self.algebra.demand(schema)

    def tree(self) -> Node:
        """The tree under the given bounds; if that is large, under tighter ones, to `LADDER`'s last with a value."""
        rungs = dict.fromkeys(self.options.bounds.within(rung) for rung in (self.options.bounds, *LADDER))
        *spacious, last = rungs
        crowded: list[Bounds] = []
        for bounds in spacious:
            states, nodes = min(COMFORTABLE_STATES, self.limits.states), min(COMFORTABLE_NODES, self.limits.nodes)
            share = replace(self.limits, states=states, seconds=self.limits.seconds / 4).restarted()
            try:
                return self._tried(self._deeper(self._write(bounds, share, nodes), share))
            except CompileLimit as error:
                crowded.append(bounds)
                self.limits.check_time(error.pointer)
            except Unsatisfiable:
                break
        try:
            node = self._write(last if crowded else next(iter(rungs)), self.limits, self.limits.nodes)
            share = replace(self.limits, states=min(LARGE_STATES, self.limits.states), seconds=self.limits.seconds / 4)
            return self._deeper(node, share.restarted())
        except Unsatisfiable:
            for bounds in reversed(crowded):  # not comfortable, but something
                with suppress(Unsatisfiable):
                    return self._write(bounds, self.limits, self.limits.nodes)
            raise

    def _tried(self, node: Node) -> Node:
        """A large tree as its automaton, which may still turn out to be too large."""
        if self.emitter.size(node) < ROOMY.stop:
            return node
        limits = replace(self.limits, states=min(LARGE_STATES, self.limits.states))
        automaton = compile_tree(node, limits, pointer="")
        return NEVER if automaton.is_empty else Embedded(automaton)

    def _deeper(self, node: Node, limits: Limits) -> Node:
        """The same with deeper free JSON, where there is room for it and the caller gave no bounds."""
        large, written = self.emitter.size(node), self.emitter
        bounds = written.bounds
        if self.options.bounds != Bounds():
            return node
        if bounds == Bounds() and large in ROOMY:
            wishes, nodes, enough = [replace(bounds, **deep) for deep in DEEP], 23 * large // 10, 23 * large // 10
        elif bounds != Bounds() and large < SHALLOW_STATES:
            wishes = [replace(bounds, free_depth=Bounds().free_depth, root_depth=Bounds().root_depth)]
            nodes, enough = COMFORTABLE_NODES, max(23 * large // 10, COMFORTABLE_STATES)
        else:
            return node
        for wish in wishes:
            try:
                deeper = self._write(wish, limits, nodes)
                if self.emitter.size(deeper) <= enough:
                    return deeper
            except CompileLimit:
                pass
        self.emitter = written
        return node

    def _write(self, bounds: Bounds, limits: Limits, ceiling: int) -> Node:
        options = self.options
        layout, closed = Layout(options.whitespace, options.indent), options.extra_properties == "forbid"
        self.emitter = Emitter(
            self.algebra, layout, bounds, closed, options.ascii_only, limits, ceiling, options.key_order == "any",
            locate=limits is self.limits,
        )  # fmt: skip
        with enforced(limits):
            node = self.emitter.write(self.root)
        if node == NEVER:
            raise Unsatisfiable("no value satisfies this schema")
        return node

    def each_alone(self) -> list[tuple[str, str, str]]:
        """(pointer, keyword, reason) of every schema in the document that is refused on its own."""
        found = []
        for schema in self.document.schemas():
            try:
                self.emitter.plans(self.algebra.demand(schema))
            except UnsupportedSchema as error:
                found.append((error.pointer, error.keyword, error.reason))
            except Unsatisfiable:
                continue
        return list(dict.fromkeys(found))

    @property
    def restrictions(self) -> dict[tuple[str, str], str]:
        """What the schema allows and is nevertheless never written, by (pointer, keyword)."""
        depth = self.emitter.bounds.recursion
        recursive = {(pointer, "$ref"): f"recursion ends after {depth} rounds" for pointer in self.emitter.recursive}
        return self.emitter.planner.restrictions | recursive


def options_of(
    whitespace: str = "json",
    indent: int = 2,
    extra_properties: str = "forbid",
    key_order: str = "schema",
    max_depth: int | None = None,
    ascii_only: bool = False,
    draft: str = "2020-12",
    bounds: Bounds | None = None,
) -> SchemaOptions:
    """The keyword arguments of `json_schema_tree` as one value."""
    bounds = bounds or Bounds()
    if max_depth is not None:
        bounds = replace(bounds, recursion=max_depth)
    return SchemaOptions(whitespace, indent, extra_properties, key_order, ascii_only, draft, bounds)


def json_schema_tree(
    schema: Any,
    *,
    whitespace: str = "json",
    indent: int = 2,
    extra_properties: str = "forbid",
    key_order: str = "schema",
    max_depth: int | None = None,
    registry: Registry | Mapping[str, Any] | None = None,
    ascii_only: bool = False,
    draft: str = "2020-12",
    bounds: Bounds | None = None,
    limits: Limits | None = None,
) -> Node:
    """The grammar tree of all JSON texts that satisfy ``schema``, laid out as the options say.

    Raises `InvalidSchema`, `UnsupportedSchema` or `Unsatisfiable`, each with the JSON Pointer of the place.
    """
    options = options_of(whitespace, indent, extra_properties, key_order, max_depth, ascii_only, draft, bounds)
    return CompiledSchema(schema, options, registry, limits).tree()
