"""The entry point: a JSON Schema and the options of a constraint in, a grammar tree out.

>>> from structdiff.automata.compiling import compile_tree
>>> a = compile_tree(json_schema_tree({"type": "object", "properties": {"n": {"type": "integer"}}}))
>>> [a.accepts(text) for text in (b'{}', b'{"n": 7}', b'{"n": 7.5}', b'{"m": 7}')]
[True, True, False, False]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from referencing import Registry

from structdiff.automata.tree import NEVER, Node
from structdiff.core.errors import StructdiffError, Unsatisfiable, UnsupportedSchema
from structdiff.core.limits import Limits, active, enforced
from structdiff.core.restrictions import Restriction
from structdiff.frontends.json_schema.algebra import Algebra
from structdiff.frontends.json_schema.bounds import Bounds
from structdiff.frontends.json_schema.document import DRAFTS, Document
from structdiff.frontends.json_schema.emit import Style
from structdiff.frontends.json_schema.fitting import Fitting, Written
from structdiff.frontends.json_schema.layout import Layout
from structdiff.frontends.json_schema.shapes import Demand
from structdiff.frontends.protocol import Grammar


@dataclass(frozen=True)
class SchemaOptions:
    """How the texts of a schema are written.

    ``extra_properties="forbid"``: an object that lists keys holds no others, unless a schema is given for them;
    ``"schema"``: exactly as the schema says, added keys holding any JSON nested as deep as ``bounds`` say.
    ``key_order="any"``: the keys that an object lists in any order (of more than eight, each before those listed up to
    four places ahead of it), then added ones.
    ``verbatim``: strings without format, pattern, enum and const are taken from the text, as ``x-verbatim`` says it.
    ``draft`` is that of a schema without ``$schema``. No output will be longer than ``horizon`` bytes, where that is
    known: a maximum beyond it need not be counted.
    """

    whitespace: str = "json"
    indent: int = 2
    extra_properties: str = "forbid"
    key_order: str = "schema"
    ascii_only: bool = False
    verbatim: bool = False
    draft: str = "2020-12"
    bounds: Bounds = field(default_factory=Bounds)
    horizon: int | None = None

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
        self.options = options
        self._written: Written | None = None
        with enforced(self.limits):
            self.document = Document(schema, registry, options.draft)
            self.algebra = Algebra(self.document)
            self.root: Demand = self.algebra.demand(self.document.root)
        layout, closed = Layout(options.whitespace, options.indent), options.extra_properties == "forbid"
        style = Style(layout, closed, options.key_order == "any", options.ascii_only, options.verbatim)
        self._fitting = Fitting(self.algebra, self.root, style, options.bounds, options.horizon, self.limits)

    def tree(self) -> Node:
        """The tree of the schema, under tighter bounds where it is large under the given ones.

        Raises `UnsupportedSchema` where strings are taken from the text: `written` has a tree with slots.
        """
        return Grammar(self.written.node, (), self.written.slots).whole()

    @property
    def written(self) -> Written:
        """The tree with the bounds it was written under. Raises `Unsatisfiable` with the place of the contradiction."""
        if self._written is None:
            try:
                self._written = self._fitting.fit()
            except Unsatisfiable as error:
                if error.pointer or not (places := self.contradictions()):
                    raise
                raise Unsatisfiable("no value satisfies this schema, and so none the whole", places[0]) from None
        return self._written

    def contradictions(self) -> list[str]:
        """The pointers of the innermost schemas that no value satisfies; ``false`` is none of them, nor is the root.

        >>> low = {"type": "integer", "minimum": 5, "maximum": 3}
        >>> CompiledSchema({"properties": {"n": low}, "required": ["n"]}, SchemaOptions()).contradictions()
        ['/properties/n']
        """
        emitter = self._fitting.emitter(self.options.bounds, room=0)
        empty = set()
        for schema in self.document.schemas():
            if self.document.follow(schema) is not schema:
                continue  # a mere reference: the place is what it refers to
            try:
                with enforced(self.limits):
                    if emitter.write(self.algebra.demand(schema)) == NEVER:
                        empty.add(self.document.pointer(schema))
            except StructdiffError:
                continue  # refused or too large on its own: the place of another error
        return sorted(at for at in empty - {""} if not any(other.startswith(f"{at}/") for other in empty))

    @property
    def restrictions(self) -> tuple[Restriction, ...]:
        """Everything that the schema and the options allow and that is never written, ordered by place."""
        return self.written.restrictions

    def each_alone(self) -> list[tuple[str, str, str]]:
        """(pointer, keyword, reason) of every schema in the document that is refused on its own."""
        found = []
        emitter = self._fitting.emitter(self.options.bounds, room=self.limits.states)
        for schema in self.document.schemas():
            try:
                with enforced(self.limits):
                    emitter.plans(self.algebra.demand(schema))
            except UnsupportedSchema as error:
                found += [(at, error.keyword, error.reason) for at in self.algebra.everywhere(error.pointer)]
            except Unsatisfiable:
                continue
        return list(dict.fromkeys(found))


def options_of(
    whitespace: str = "json",
    indent: int = 2,
    extra_properties: str = "forbid",
    key_order: str = "schema",
    max_depth: int | None = None,
    ascii_only: bool = False,
    verbatim: bool = False,
    draft: str = "2020-12",
    bounds: Bounds | None = None,
    horizon: int | None = None,
) -> SchemaOptions:
    """The keyword arguments of `json_schema_tree` as one value."""
    bounds = bounds or Bounds()
    if max_depth is not None:
        bounds = replace(bounds, recursion=max_depth)
    layout = whitespace, indent, extra_properties, key_order, ascii_only
    return SchemaOptions(*layout, verbatim, draft, bounds, horizon)


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
    verbatim: bool = False,
    draft: str = "2020-12",
    bounds: Bounds | None = None,
    horizon: int | None = None,
    limits: Limits | None = None,
) -> Node:
    """The grammar tree of all JSON texts that satisfy ``schema``, laid out as the options say.

    ``horizon``: the most bytes that any output can have, where that is known; the tree is then exact for outputs of
    no more. What the schema allows and the tree leaves out is told by `compile_schema`.

    Raises `InvalidSchema`, `UnsupportedSchema` or `Unsatisfiable`, each with the JSON Pointer of the place.
    """
    options = options_of(
        whitespace, indent, extra_properties, key_order, max_depth, ascii_only, verbatim, draft, bounds, horizon
    )
    return CompiledSchema(schema, options, registry, limits).tree()


def compile_schema(
    schema: Any,
    *,
    limits: Limits | None = None,
    registry: Registry | Mapping[str, Any] | None = None,
    **options: Any,
) -> tuple[Node, tuple[Restriction, ...]]:
    """The tree that `json_schema_tree` makes with the same options, and everything that is left out of it.

    A value that satisfies the schema is written by the tree unless a restriction speaks of it. What an option rules
    out (keys that a closed object does not list, another order of keys, another layout) is no restriction. Raises what
    `json_schema_tree` raises.

    >>> node, restrictions = compile_schema({"type": "array", "items": {"$ref": "#"}})
    >>> [str(one) for one in restrictions]
    ['at /: $ref: recursion ends after 3 rounds and 16 nested values']
    """
    compiled = CompiledSchema(schema, options_of(**options), registry, limits)
    return compiled.tree(), compiled.restrictions
