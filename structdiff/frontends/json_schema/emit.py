"""Shapes to a grammar tree: the bytes of every JSON text whose value meets a demand."""

from __future__ import annotations

from dataclasses import replace

from structdiff.automata.byte_automaton import compile_tree
from structdiff.automata.size import size
from structdiff.automata.tree import (
    NEVER,
    ByteSet,
    Embedded,
    Labelled,
    Network,
    Node,
    Union,
    literal,
    sequence,
    union,
)
from structdiff.core.errors import CompileLimit
from structdiff.core.limits import Limits
from structdiff.frontends.json_schema.algebra import Algebra
from structdiff.frontends.json_schema.containers import Bounds, Key, Plan, Planner
from structdiff.frontends.json_schema.free import free_json
from structdiff.frontends.json_schema.layout import Layout
from structdiff.frontends.json_schema.leaves import NumberShape, StringShape
from structdiff.frontends.json_schema.numerals import write_number
from structdiff.frontends.json_schema.shapes import ALL, ANYTHING, Demand, Shapes
from structdiff.frontends.values.strings import constant_string, json_string, plain_string

SMALL = 100
"""Values with fewer nondeterministic states are left as they are."""
Depth = tuple[int, int]
"""How often loops may still be closed, and how many more values may nest in them."""
_Container = tuple[Plan, bytes, list[Node]]
"""A plan, its brackets, and the value of each of its edges."""


class Emitter:
    """Writes demands as grammar nodes; equal demands share one node."""

    def __init__(
        self,
        algebra: Algebra,
        layout: Layout,
        bounds: Bounds,
        closed: bool,
        ascii_only: bool,
        limits: Limits,
        ceiling: int = 4_000_000,
        any_order: bool = False,
        locate: bool = True,
    ) -> None:
        self.limits, self.ceiling, self.locate = limits, ceiling, locate
        self._sizes: dict[int, tuple[int, Node]] = {}
        self.algebra, self.layout, self.bounds, self.ascii_only = algebra, layout, bounds, ascii_only
        self.planner = Planner(algebra, bounds, closed, any_order)
        self._plans: dict[Demand, tuple[list[Plan], list[Plan]]] = {}
        self._demand_of: dict[Shapes, Demand] = {ALL: ANYTHING}
        self._back: set[tuple[Demand, Demand]] = set()
        self._looping: set[Demand] = set()
        self._nodes: dict[tuple[Demand, int, Depth], Node] = {}
        self._settled: dict[tuple[Demand, int, tuple[int, ...]], tuple[Node, list[_Container]]] = {}
        self._leaves: dict[StringShape | NumberShape | ByteSet | str, Node] = {}
        self._keys: dict[int, tuple[Key, Node]] = {}

    def write(self, demand: Demand) -> Node:
        """The texts of all values that meet ``demand``."""
        demand = self._demand_of.setdefault(self.algebra.evaluate(demand), demand)
        self._find_loops(demand)
        return self._value(demand, 0, self._full)

    def size(self, node: Node) -> int:
        """The nondeterministic states of a tree of this emitter; what is known of its parts is not counted again."""
        return size(node, self._sizes)

    @property
    def _full(self) -> Depth:
        return self.bounds.recursion, self.bounds.steps

    @property
    def recursive(self) -> list[str]:
        """Pointers of the schemas that contain themselves."""
        return sorted({self.algebra.pointer(target) for _, target in self._back})

    # ------------------------------------------------------------------------------------------------ plans and loops

    def plans(self, demand: Demand) -> tuple[list[Plan], list[Plan]]:
        known = self._plans.get(demand)
        if known is None:
            shapes, pointer = self.algebra.evaluate(demand), self.algebra.pointer(demand)
            simplest, planner = self.planner.simplest, self.planner
            arrays = [plan for shape in simplest(shapes.arrays, pointer) for plan in planner.array(shape, pointer)]
            objects = [plan for shape in simplest(shapes.objects, pointer) for plan in planner.object(shape, pointer)]
            known = self._plans[demand] = [*map(self._canonical, arrays)], [*map(self._canonical, objects)]
        return known

    def _canonical(self, plan: Plan) -> Plan:
        """The plan with one demand for all demands that hold the same values: ``{"$ref": ...}`` here and there."""
        edges = []
        for edge in plan.edges:
            shapes = self.algebra.evaluate(edge.demand)
            edges.append(replace(edge, demand=self._demand_of.setdefault(shapes, edge.demand)))
        return replace(plan, edges=tuple(edges))

    def _below(self, demand: Demand) -> list[Demand]:
        arrays, objects = self.plans(demand)
        found = dict.fromkeys(edge.demand for plan in (*arrays, *objects) for edge in plan.edges)
        return [inner for inner in found if inner != ANYTHING]

    def _find_loops(self, root: Demand) -> None:
        """Depth first: an edge to a demand that is still open closes a loop."""
        if root == ANYTHING:
            return
        is_open, closed = {root}, set()
        stack = [(root, iter(self._below(root)))]
        while stack:
            demand, below = stack[-1]
            inner = next(below, None)
            if inner is None:
                stack.pop()
                is_open.discard(demand)
                closed.add(demand)
                if demand in self._looping and stack:
                    self._looping.add(stack[-1][0])
            elif inner in is_open:
                self._back.add((demand, inner))
                self._looping.add(demand)
            elif inner not in closed:
                is_open.add(inner)
                stack.append((inner, iter(self._below(inner))))
            elif inner in self._looping:
                self._looping.add(demand)

    # --------------------------------------------------------------------------------------------------------- values

    def _value(self, demand: Demand, level: int, depth: Depth) -> Node:
        if demand == ANYTHING:
            return self._checked(self._free_json(level), "")
        place = level if self.layout.by_level else min(level, 1)
        key = (demand, place, depth if demand in self._looping else self._full)
        node = self._nodes.get(key)
        if node is None:
            self.limits.check_time(self.algebra.pointer(demand))
            arrays, objects = self.plans(demand)
            containers = [
                (plan, brackets, [self._inner(demand, edge.demand, level + 1, depth) for edge in plan.edges])
                for brackets, plans in ((b"[]", arrays), (b"{}", objects))
                for plan in plans
            ]
            # A depth that no inner value feels makes no other node. (Keeping the values keeps their ids unique.)
            parts = (demand, place, tuple(id(value) for _, _, values in containers for value in values))
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
        return _either(
            self._scalars(self.algebra.evaluate(demand)),
            *(self._container(plan, brackets, level, values) for plan, brackets, values in containers),
        )

    def _settle(self, node: Node, pointer: str) -> Node:
        """Alternatives that overlap are made deterministic here, once, and not wherever the value stands."""
        large = self.size(self._checked(node, pointer))
        inner = node.item if isinstance(node, Labelled) else node
        if large < SMALL or not isinstance(inner, Union):
            return node
        automaton = compile_tree(node, self.limits, pointer=None if self.locate else pointer)
        return Labelled(Embedded(automaton), pointer) if not automaton.is_empty else NEVER

    def _checked(self, node: Node, pointer: str) -> Node:
        if self.size(node) > self.ceiling:
            raise CompileLimit(pointer, f"{self.ceiling} grammar nodes")
        return node

    def _free_json(self, level: int) -> Node:
        """Any JSON: deeper in the root value itself, which is one place, than further inside, where there are many."""
        bounds = self.bounds
        depth = bounds.root_depth - level if level <= 1 else bounds.free_depth
        depth = max(depth, bounds.free_depth)
        level = level if self.layout.by_level else 0
        return free_json(self.layout, min(bounds.loose, depth), depth, self.ascii_only, level)

    def _inner(self, outer: Demand, inner: Demand, level: int, depth: Depth) -> Node:
        rounds, steps = depth
        if inner == ANYTHING:
            return self._value(inner, level, self._full)
        if inner not in self._looping or outer not in self._looping:
            return self._value(inner, level, self._full)
        rounds -= (outer, inner) in self._back
        return NEVER if rounds < 0 or steps <= 0 else self._value(inner, level, (rounds, steps - 1))

    def _container(self, plan: Plan, brackets: bytes, level: int, values: list[Node]) -> Node:
        opening, closing = literal(brackets[:1]), literal(brackets[1:])
        gap, end = self.layout.gap(level + 1), sequence(self.layout.gap(level), closing)
        comma = sequence(literal(","), gap)
        edges: list[tuple[int, Node | None, int]] = [(source, None, target) for source, target in plan.silent]
        size, meeting = plan.size + 1, {}
        for edge, value in zip(plan.edges, values, strict=True):
            # equal members on the way to one state are written once
            if value == NEVER:
                continue
            same = (id(edge.key) if not isinstance(edge.key, str) else edge.key, edge.demand, edge.target)
            if same not in meeting:
                meeting[same], size = size, size + 1
                member = value if edge.key is None else sequence(self._key(edge.key), self.layout.colon, value)
                edges.append((meeting[same], member, edge.target))
            edges.append((edge.source, comma if edge.source in plan.begun else gap, meeting[same]))
        edges += [(final, end if final in plan.begun else closing, plan.size) for final in plan.finals]
        edges = _useful(edges, plan.size)
        if not edges:
            return NEVER
        return sequence(opening, Network(size, tuple(edges), 0, (plan.size,)))

    def _key(self, key: Key) -> Node:
        if isinstance(key, str):
            return constant_string(key, self.ascii_only)
        known = self._keys.get(id(key))
        if known is None:
            known = self._keys[id(key)] = (key, json_string(key, self.ascii_only))
        return known[1]

    # -------------------------------------------------------------------------------------------------------- scalars

    def _scalars(self, shapes: Shapes) -> Node:
        return union(
            literal("null") if shapes.null else NEVER,
            *(literal("true" if value else "false") for value in sorted(shapes.booleans)),
            *(self._leaf(shape) for shape in shapes.numbers),
            *(self._leaf(shape) for shape in shapes.strings),
        )

    def _leaf(self, shape: StringShape | NumberShape) -> Node:
        if shape not in self._leaves:
            self._leaves[shape] = self._string(shape) if isinstance(shape, StringShape) else write_number(shape)
        return self._leaves[shape]

    def _string(self, shape: StringShape) -> Node:
        if shape.only is not None:
            return union(*(constant_string(text, self.ascii_only) for text in sorted(shape.only)))
        cap = max(self.bounds.string, shape.low)
        plain = shape.is_plain and not self.ascii_only
        longest = max(cap, self.bounds.ascii) if plain else cap
        if shape.high is not None and shape.high > cap:
            beyond = f"; those of more than {cap} characters go on in ASCII" if cap < longest else ""
            self.planner.restrictions["", "maxLength"] = f"no string with a maximum is longer than {longest}{beyond}"
        if plain and shape.high is not None and shape.high > cap:
            return plain_string(shape.low, cap, min(shape.high, longest) - cap)
        if plain:
            return plain_string(shape.low, shape.high)
        return json_string(shape.content(cap), self.ascii_only)


def _either(*nodes: Node) -> Node:
    """`union` that compares nodes by identity: these are large, and equal ones are one object already."""
    parts = tuple({id(node): node for node in nodes if node != NEVER}.values())
    return parts[0] if len(parts) == 1 else Union(parts)


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
