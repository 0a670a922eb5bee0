"""Shapes to a grammar tree: the bytes of every JSON text whose value meets a demand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from structdiff.automata.apart import Step, listed
from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import Work, compile_tree
from structdiff.automata.recursion import Depth, Recursion
from structdiff.automata.size import size
from structdiff.automata.slots import Slot, holds_marks
from structdiff.automata.tree import (
    NEVER,
    Embedded,
    Labelled,
    Network,
    Node,
    Union,
    either,
    literal,
    sequence,
    union,
)
from structdiff.core.errors import CompileLimit, UnsupportedSchema
from structdiff.core.limits import Limits
from structdiff.core.restrictions import Restriction
from structdiff.frontends.json_schema.algebra import Algebra
from structdiff.frontends.json_schema.bounds import Counting
from structdiff.frontends.json_schema.compact import compact
from structdiff.frontends.json_schema.containers import Planner
from structdiff.frontends.json_schema.document import escape
from structdiff.frontends.json_schema.free import free_json
from structdiff.frontends.json_schema.layout import Layout
from structdiff.frontends.json_schema.leaves import NumberShape, StringShape
from structdiff.frontends.json_schema.left_out import LeftOut, Place
from structdiff.frontends.json_schema.numerals import left_out, write_number
from structdiff.frontends.json_schema.plans import Edge, Key, Plan
from structdiff.frontends.json_schema.quoted import Quoted
from structdiff.frontends.json_schema.shapes import ALL, ANYTHING, Demand, Shapes
from structdiff.frontends.json_schema.texts import counted_text, differences
from structdiff.frontends.values.numbers import BRIEF_DIGITS
from structdiff.frontends.values.strings import constant_string, json_string, plain_string

SMALL = 100
"""Values with fewer nondeterministic states are left as they are."""
_Container = tuple[Plan, bytes, list[Node]]
"""A plan, its brackets, and the value of each of its edges."""
_Leaf = tuple[Node, tuple[tuple[str, str], ...]]
"""A scalar, and what is left out of it: keywords and reasons."""


@dataclass(frozen=True)
class Style:
    """How values are written: the layout, whether objects that list keys hold others, in which order, and in ASCII.
    ``verbatim``: strings about which a schema says no more than their length are taken from the text."""

    layout: Layout
    closed: bool
    any_order: bool = False
    ascii_only: bool = False
    verbatim: bool = False


@dataclass(frozen=True)
class Allowance:
    """How large the parts of a tree may become: the ``states`` of an automaton that is made on the way, all the
    ``work`` of making them, and the ``nodes`` of the whole. ``locate``: name the smallest part that is too large."""

    limits: Limits
    work: Work | None = None
    nodes: int = 4_000_000
    locate: bool = True


class Emitter:
    """Writes demands as grammar nodes; equal demands share one node."""

    def __init__(self, algebra: Algebra, style: Style, counting: Counting, allowance: Allowance) -> None:
        self.algebra, self.style, self.counting, self.allowance = algebra, style, counting, allowance
        self.layout, self.bounds = style.layout, counting.bounds
        self.planner = Planner(algebra, counting, style.closed, style.any_order)
        self.recursion = Recursion[Demand](self._below, self.bounds.recursion, self.bounds.steps)
        self._left_out = LeftOut(algebra)
        self._sizes: dict[int, tuple[int, Node]] = {}
        self._plans: dict[Demand, tuple[list[Plan], list[Plan]]] = {}
        self._demand_of: dict[Shapes, Demand] = {ALL: ANYTHING}
        self.forks = False
        self._nodes: dict[tuple[Demand, int, Depth, bool], Node] = {}
        self._settled: dict[tuple[Demand, int, tuple[int, ...], bool], tuple[Node, list[_Container]]] = {}
        self._leaves: dict[StringShape | NumberShape, _Leaf] = {}
        self._keys: dict[int, tuple[Key, Node]] = {}
        self._noted: set[tuple[Demand, str | int, int]] = set()
        self._free: dict[tuple[Demand, str, str], int] = {}
        self._quoted = Quoted(self._string, style.ascii_only)

    def write(self, demand: Demand) -> Node:
        """The texts of all values that meet ``demand``."""
        demand = self._canonical(demand)
        if demand == ANYTHING:
            self._note_free(demand, 0, "type")
        else:
            self.recursion.follow(demand)
        return self._value(demand, 0, self.recursion.full)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """What is taken from the text, in what was written."""
        return tuple(self._quoted.slots)

    def size(self, node: Node) -> int:
        """The nondeterministic states of a tree of this emitter; what is known of its parts is not counted again."""
        return size(node, self._sizes)

    @property
    def free(self) -> bool:
        """Is there free JSON in what was written?"""
        return bool(self._free)

    @property
    def nested(self) -> bool:
        """Do the bounds of nesting matter to what was written, as far as it was written?"""
        return self.free or self.recursion.loops or self.planner.crowded or self.planner.excluded

    @property
    def restrictions(self) -> tuple[Restriction, ...]:
        """What the schema allows and the tree that was written leaves out."""
        for demand in self.recursion.cut:
            rounds, steps = self.recursion.full
            reason = f"recursion ends after {rounds} rounds and {steps} nested values"
            self._left_out.place(demand).note("$ref", reason)
        for (demand, keyword, below), depth in self._free.items():
            reason = (
                f"values without a schema nest {depth} levels deep; below {min(self.bounds.loose, depth)} of them "
                f"they hold no array directly in an array, no control character, no number with a point behind more "
                f"than {BRIEF_DIGITS} digits"
            )
            self._left_out.place(demand).note(keyword, reason, below)
        return self._left_out.restrictions

    # ---------------------------------------------------------------------------------------------------------- plans

    def plans(self, demand: Demand) -> tuple[list[Plan], list[Plan]]:
        """The plans of the arrays and of the objects that meet a demand."""
        known = self._plans.get(demand)
        if known is None:
            shapes, place = self.algebra.evaluate(demand), self._left_out.place(demand)
            simplest, planner = self.planner.simplest, self.planner
            arrays = [plan for shape in simplest(shapes.arrays, place) for plan in planner.array(shape, place)]
            objects = [plan for shape in simplest(shapes.objects, place) for plan in planner.object(shape, place)]
            known = compact([*map(self._shared, arrays)]), compact([*map(self._shared, objects)])
            self._plans[demand] = known
        return known

    def _shared(self, plan: Plan) -> Plan:
        return replace(plan, edges=tuple(replace(edge, demand=self._canonical(edge.demand)) for edge in plan.edges))

    def _canonical(self, demand: Demand) -> Demand:
        """One demand for all that hold the same values: ``{"$ref": ...}`` here and there."""
        written = self._demand_of.setdefault(self.algebra.evaluate(demand), demand)
        self._left_out.same(written, demand)
        return written

    def _below(self, demand: Demand) -> Iterable[Demand]:
        arrays, objects = self.plans(demand)
        found = dict.fromkeys(edge.demand for plan in (*arrays, *objects) for edge in plan.edges)
        return [inner for inner in found if inner != ANYTHING]

    # --------------------------------------------------------------------------------------------------------- values

    def _value(self, demand: Demand, level: int, depth: Depth) -> Node:
        if demand == ANYTHING:
            return self._checked(self._free_json(level), "")
        place = level if self.layout.by_level else min(level, 1)
        deep = level > self.bounds.branching
        key = (demand, place, self.recursion.felt(demand, depth), deep)
        node = self._nodes.get(key)
        if node is None:
            self.allowance.limits.check_time(self.algebra.pointer(demand))
            arrays, objects = self.plans(demand)
            containers = [
                (plan, brackets, [self._inner(demand, edge, level + 1, depth) for edge in plan.edges])
                for brackets, plans in ((b"[]", arrays), (b"{}", objects))
                for plan in plans
            ]
            # A depth that no inner value feels makes no other node. (Keeping the values keeps their ids unique.)
            parts = (demand, place, tuple(id(value) for _, _, values in containers for value in values), deep)
            known = self._settled.get(parts)
            if known is None:
                node = self._write(demand, level, containers)
                if node != NEVER:
                    node = Labelled(node, self.algebra.pointer(demand))
                known = self._settled[parts] = (self._settle(node, self.algebra.pointer(demand)), containers)
            node = known[0]
            self._nodes[key] = node
        return node

    def _write(self, demand: Demand, level: int, containers: list[_Container]) -> Node:
        place = self._left_out.place(demand)
        written: dict[bytes, list[Node]] = {b"[]": [], b"{}": []}
        for plan, brackets, values in containers:
            if plan.modulus:
                written[brackets].append(self._apart(plan, brackets, level, values, place))
            else:
                written[brackets].append(self._container(plan, brackets, level, values))
        arrays, objects = either(*written[b"[]"]), either(*written[b"{}"])
        if arrays != NEVER and objects != NEVER:
            self.forks |= level > 1
            if level > self.bounds.branching:
                place.note("alternatives", f"below {self.bounds.branching} levels only objects are written, no arrays")
                arrays = NEVER
        return either(self._scalars(self.algebra.evaluate(demand), place), arrays, objects)

    def _settle(self, node: Node, pointer: str) -> Node:
        """Alternatives that overlap are made deterministic here, once, and not wherever the value stands."""
        large = self.size(self._checked(node, pointer))
        inner = node.item if isinstance(node, Labelled) else node
        if large < SMALL or not isinstance(inner, Union):
            return node
        allowance = self.allowance
        automaton = compile_tree(
            node, allowance.limits, pointer=None if allowance.locate else pointer, work=allowance.work
        )
        return Labelled(Embedded(automaton), pointer) if not automaton.is_empty else NEVER

    def _checked(self, node: Node, pointer: str) -> Node:
        if self.size(node) > self.allowance.nodes:
            raise CompileLimit(pointer, f"{self.allowance.nodes} grammar nodes")
        return node

    def _free_depth(self, level: int) -> int:
        """How deep free JSON is: deeper in the root value itself, which is one place, than further inside."""
        return max(self.bounds.root_depth - level if level <= 1 else 0, self.bounds.free_depth)

    def _free_json(self, level: int) -> Node:
        depth = self._free_depth(level)
        level = level if self.layout.by_level else 0
        return free_json(self.layout, min(self.bounds.loose, depth), depth, self.style.ascii_only, level)

    def _note_free(self, demand: Demand, level: int, keyword: str, below: str = "") -> None:
        key = demand, keyword, below
        self._free[key] = min(self._free_depth(level), self._free.get(key, 1 << 30))

    def _inner(self, outer: Demand, edge: Edge, level: int, depth: Depth) -> Node:
        if edge.demand == ANYTHING:
            self._note_edge(outer, edge, level)
            return self._value(ANYTHING, level, self.recursion.full)
        left = self.recursion.inside(outer, edge.demand, depth)
        return NEVER if left is None else self._value(edge.demand, level, left)

    def _note_edge(self, outer: Demand, edge: Edge, level: int) -> None:
        """A member or an item may be anything: note it where the schema says so."""
        seen = outer, edge.key if isinstance(edge.key, str) else id(edge.key), self._free_depth(level)
        if seen in self._noted:
            return
        self._noted.add(seen)
        if isinstance(edge.key, str):
            below = f"/properties/{escape(edge.key)}"
            listed = self.algebra.document.has(self.algebra.pointer(outer) + below)
            self._note_free(outer, level, "type" if listed else "required", below if listed else "")
        else:
            self._note_free(outer, level, "items" if edge.key is None else "additionalProperties")

    def _apart(self, plan: Plan, brackets: bytes, level: int, values: list[Node], place: Place) -> Node:
        """Items that differ by their checksums."""
        items: dict[int, ByteAutomaton] = {}
        for value in values:
            if id(value) not in items:
                items[id(value)] = compile_tree(value, self.allowance.limits, work=self.allowance.work)
                if holds_marks(items[id(value)]):
                    reason = "whether items that are taken from the text differ is not known before"
                    raise UnsupportedSchema(place.pointer, "uniqueItems", reason)
        steps = [
            Step(edge.source, items[id(value)], plan.modulus, edge.residue or 0, edge.target, plan.additive)
            for edge, value in zip(plan.edges, values, strict=True)
        ]
        gap, end = self.layout.gap(level + 1), sequence(self.layout.gap(level), literal(brackets[1:]))
        comma, opening = sequence(literal(","), gap), sequence(literal(brackets[:1]), gap)
        automaton = listed(steps, plan.finals, opening, comma, end, literal(brackets), self.allowance.limits)
        return NEVER if automaton.is_empty else Embedded(automaton)

    def _container(self, plan: Plan, brackets: bytes, level: int, values: list[Node]) -> Node:
        opening, closing = literal(brackets[:1]), literal(brackets[1:])
        gap, end = self.layout.gap(level + 1), sequence(self.layout.gap(level), closing)
        comma = sequence(literal(","), gap)
        edges: list[tuple[int, Node | None, int]] = [(source, None, target) for source, target in plan.silent]
        size = plan.size + 1
        meeting: dict[tuple[Any, ...], int] = {}
        keys: dict[tuple[Demand, int], set[Any]] = {}
        for edge in plan.edges:
            keys.setdefault((edge.demand, edge.target), set()).add(_identity(edge.key))
        for edge, value in zip(plan.edges, values, strict=True):
            # equal members on the way to one state are written once, equal values behind different keys too
            if value == NEVER:
                continue
            same = (_identity(edge.key), edge.demand, edge.target)
            if same not in meeting:
                meeting[same], size = size, size + 1
                if edge.key is None:
                    edges.append((meeting[same], value, edge.target))
                elif len(keys[same[1:]]) == 1:
                    member = sequence(self._key(edge.key), self.layout.colon, value)
                    edges.append((meeting[same], member, edge.target))
                else:
                    if same[1:] not in meeting:
                        meeting[same[1:]], size = size, size + 1
                        edges.append((meeting[same[1:]], value, edge.target))
                    edges.append((meeting[same], sequence(self._key(edge.key), self.layout.colon), meeting[same[1:]]))
            edges.append((edge.source, comma if edge.source in plan.begun else gap, meeting[same]))
        edges += [(final, end if final in plan.begun else closing, plan.size) for final in plan.finals]
        edges = _useful(edges, plan.size)
        if not edges:
            return NEVER
        return sequence(opening, Network(size, tuple(edges), 0, (plan.size,)))

    def _key(self, key: Key) -> Node:
        if isinstance(key, str):
            return constant_string(key, self.style.ascii_only)
        known = self._keys.get(id(key))
        if known is None:
            known = self._keys[id(key)] = (key, json_string(key, self.style.ascii_only))
        return known[1]

    # -------------------------------------------------------------------------------------------------------- scalars

    def _scalars(self, shapes: Shapes, place: Place) -> Node:
        return union(
            literal("null") if shapes.null else NEVER,
            *(literal("true" if value else "false") for value in sorted(shapes.booleans)),
            *(self._leaf(shape, place) for shape in shapes.numbers),
            *self._strings(shapes.strings, place),
        )

    def _strings(self, shapes: tuple[StringShape, ...], place: Place) -> Iterable[Node]:
        taken = [shape for shape in shapes if shape.verbatim or (self.style.verbatim and shape.is_free)]
        if not taken:
            return [self._leaf(shape, place) for shape in shapes]
        node, notes = self._quoted.slot(taken, [shape for shape in shapes if shape not in taken], place.pointer)
        for keyword, reason in notes:
            place.note(keyword, reason)
        return [node]

    def _leaf(self, shape: StringShape | NumberShape, place: Place) -> Node:
        if shape not in self._leaves:
            self._leaves[shape] = (
                self._string(shape) if isinstance(shape, StringShape) else (write_number(shape), left_out(shape))
            )
        node, notes = self._leaves[shape]
        for keyword, reason in notes:
            place.note(keyword, reason)
        return node

    def _string(self, shape: StringShape) -> _Leaf:
        ascii_only = self.style.ascii_only
        if shape.only is not None:
            return union(*(constant_string(text, ascii_only) for text in sorted(shape.only))), ()
        notes = [(leaf.keyword, reason) for leaf, reason in differences(shape)]
        if shape.is_plain and not ascii_only:
            high = self.counting.characters(shape.high, shape.low)
            node = plain_string(shape.low, high)
        else:
            content, high = counted_text(shape, self.counting)
            node = json_string(content, ascii_only)
        if high is not None and shape.high is not None and high < shape.high:
            notes.append(("maxLength", f"no string of more than {high} characters is written"))
        return node, tuple(notes)


def _identity(key: Key | None) -> str | int | None:
    """Equal for the same key."""
    return key if key is None or isinstance(key, str) else id(key)


def _useful(edges: list[tuple[int, Node | None, int]], final: int) -> list[tuple[int, Node | None, int]]:
    """The edges on a way from state 0 to ``final``."""

    def reach(start: int, step: dict[int, list[int]]) -> set[int]:
        seen, pending = {start}, [start]
        while pending:
            for state in step.get(pending.pop(), ()):
                if state not in seen:
                    seen.add(state)
                    pending.append(state)
        return seen

    onward: dict[int, list[int]] = {}
    back: dict[int, list[int]] = {}
    for source, _, target in edges:
        onward.setdefault(source, []).append(target)
        back.setdefault(target, []).append(source)
    alive = reach(0, onward) & reach(final, back)
    return [edge for edge in edges if edge[0] in alive and edge[2] in alive]
