"""How large a tree may become, and what gives way where a schema is too large.

Two things make a tree large. *Nesting*: recursion and free JSON, cut at a depth, and alternatives that break another
schema. *Counting*: maxima, which take states for every item and every character. Both give way, each on its own
account: the bounds of nesting are those under which the schema is of a comfortable size with short maxima, and then
maxima are counted as far as the limits allow, the largest giving way first. So a field's maximum is as stated unless
the whole is too large, and only fields that take more than a share of the whole are cut.

Nothing here looks at the clock, except to give up: the same schema gives the same tree on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from structdiff.automata.compiling import Work, compile_tree
from structdiff.automata.slots import Slot
from structdiff.automata.tree import NEVER, Embedded, Node
from structdiff.core.errors import CompileLimit, Unsatisfiable
from structdiff.core.limits import Limits, enforced
from structdiff.core.restrictions import Restriction
from structdiff.frontends.json_schema.algebra import Algebra
from structdiff.frontends.json_schema.bounds import FORKS, LADDER, Bounds, Counting
from structdiff.frontends.json_schema.emit import Allowance, Emitter, Style
from structdiff.frontends.json_schema.shapes import Demand

COMFORTABLE_NODES, COMFORTABLE_STATES = 800_000, 60_000
"""Trees and automata up to this size compile in one or two seconds."""
LARGE_STATES = 100_000
"""Automata beyond this size, with short maxima, are written under tighter bounds."""
MOST_COUNTED = 350_000
"""Maxima are counted in automata up to this size: larger ones may have more edges than limits allow."""
COMFORTABLE_WORK = 400_000_000
"""Edges followed in a few seconds."""
ROOMY = range(6_000, 30_000)
"""Trees of these sizes hold free JSON of one of the `DEEP` bounds if that makes them at most 2.3 times as large;
smaller ones would become slow for what they are, larger ones slow."""
SHALLOW_STATES = 40_000
"""Trees under tight bounds up to this size hold free JSON as deep as others do, if that makes them at most 2.3 times
as large or comfortable."""
DEEP: tuple[dict[str, Any], ...] = (
    {"free_depth": 5, "root_depth": 8},
    {"free_depth": 4, "root_depth": 8},
    {"free_depth": 4, "root_depth": 7},
)
LEAST_ROOM = 1_000
"""States for one maximum: with less, bounds of nesting give way before maxima are cut further."""


@dataclass(frozen=True)
class Written:
    """A tree, the bounds it was written under, and what the schema allows and the tree leaves out."""

    node: Node
    emitter: Emitter
    room: int

    @property
    def bounds(self) -> Bounds:
        return self.emitter.bounds

    @property
    def size(self) -> int:
        """The nondeterministic states of the tree."""
        return self.emitter.size(self.node)

    @property
    def restrictions(self) -> tuple[Restriction, ...]:
        return self.emitter.restrictions

    @property
    def slots(self) -> tuple[Slot, ...]:
        """What is taken from the text."""
        return self.emitter.slots


class Fitting:
    """Writes one schema as well as the limits allow."""

    def __init__(
        self, algebra: Algebra, root: Demand, style: Style, bounds: Bounds, horizon: int | None, limits: Limits
    ) -> None:
        self.algebra, self.root, self.style = algebra, root, style
        self.bounds, self.horizon, self.limits = bounds, horizon, limits

    def emitter(self, bounds: Bounds, room: int, allowance: Allowance | None = None) -> Emitter:
        """A fresh emitter; a maximum may take ``room`` states where it stands."""
        allowance = allowance or Allowance(self.limits, nodes=self.limits.nodes)
        self._latest = Emitter(self.algebra, self.style, Counting(bounds, room, self.horizon), allowance)
        return self._latest

    def fit(self) -> Written:
        """The tree under the given bounds; if that is large, under tighter ones, to `LADDER`'s last with a value."""
        *spacious, last = dict.fromkeys(self.bounds.within(rung) for rung in (self.bounds, *LADDER))
        crowded: list[Bounds] = []
        for bounds in spacious:
            if crowded and bounds == replace(crowded[-1], excluded=False) and not self._latest.planner.excluded:
                continue  # these bounds would change nothing
            try:
                return self._comfortable(bounds)
            except CompileLimit as error:
                self.limits.check_time(error.pointer)
                if not self._latest.nested:
                    return self._forked(bounds)
                crowded.append(bounds)
            except Unsatisfiable:
                break
        try:
            return self._at_last(last if crowded else next(iter((*spacious, last))))
        except Unsatisfiable:
            for bounds in reversed(crowded):  # not comfortable, but something
                if (written := self._unless(Unsatisfiable, self._at_last, bounds)) is not None:
                    return written
            raise

    def _forked(self, bounds: Bounds) -> Written:
        """The tree where bounds of nesting would change nothing: with fewer arrays deep inside, or as it is."""
        for rung in FORKS if self._latest.forks else ():
            if (written := self._unless(CompileLimit, self._comfortable, bounds.within(rung))) is not None:
                return written
        return self._at_last(bounds)

    def _comfortable(self, bounds: Bounds) -> Written:
        """The tree if it is comfortable with short maxima; raises `CompileLimit`."""
        states, nodes = min(COMFORTABLE_STATES, self.limits.states), min(COMFORTABLE_NODES, self.limits.nodes)
        allowance = Allowance(replace(self.limits, states=states), Work(COMFORTABLE_WORK), nodes, locate=False)
        short = self._deeper(self._write(bounds, 0, allowance), allowance)
        short = self._tried(short, min(LARGE_STATES, self.limits.states), allowance.work)
        return short if not short.emitter.counting.countable else self._counted(short)

    def _at_last(self, bounds: Bounds) -> Written:
        """The tree under bounds that are not made tighter any more; too large a one is an error when it is compiled."""
        allowance = Allowance(self.limits, nodes=self.limits.nodes)
        short = self._deeper(self._write(bounds, 0, allowance), allowance)
        if not short.emitter.counting.countable:
            return short
        return self._unless(CompileLimit, self._counted, short) or short

    def _counted(self, short: Written) -> Written:
        """The same with maxima as stated, or the largest cut as little as the limits ask; raises `CompileLimit`."""
        room = min(self.limits.states, MOST_COUNTED) * 15 // 16
        while room >= LEAST_ROOM:
            allowance = Allowance(self.limits, Work(COMFORTABLE_WORK), self.limits.nodes, locate=False)
            if (written := self._unless(CompileLimit, self._sized, short.bounds, room, allowance)) is not None:
                return written
            room = room * 4 // 5
        raise CompileLimit("", f"{self.limits.states} states")

    def _sized(self, bounds: Bounds, room: int, allowance: Allowance) -> Written:
        written = self._write(bounds, room, allowance)
        states = min(self.limits.states, MOST_COUNTED)
        if written.size > 4 * states // 3:  # hardly worth a try
            raise CompileLimit("", f"{states} states")
        return self._tried(written, states, allowance.work)

    def _tried(self, written: Written, states: int, work: Work | None) -> Written:
        """A large tree as its automaton, which may still turn out to be too large."""
        if written.size < ROOMY.stop:
            return written
        automaton = compile_tree(written.node, replace(self.limits, states=states), pointer="", work=work)
        return replace(written, node=NEVER if automaton.is_empty else Embedded(automaton))

    def _deeper(self, written: Written, allowance: Allowance) -> Written:
        """The same with deeper free JSON, where there is room for it and the caller gave no bounds."""
        large, bounds, given = written.size, written.bounds, Bounds()
        if self.bounds != given or not written.emitter.free:
            return written
        if bounds == given and large in ROOMY:
            wishes, nodes, enough = [replace(bounds, **deep) for deep in DEEP], 23 * large // 10, 23 * large // 10
        elif bounds != given and large < SHALLOW_STATES:
            wishes = [replace(bounds, free_depth=given.free_depth, root_depth=given.root_depth)]
            nodes, enough = COMFORTABLE_NODES, max(23 * large // 10, COMFORTABLE_STATES)
        else:
            return written
        states = min(LARGE_STATES, self.limits.states)
        allowance = Allowance(replace(self.limits, states=states), Work(COMFORTABLE_WORK), nodes, locate=False)
        for wish in wishes:
            deeper = self._unless(CompileLimit, self._write, wish, written.room, allowance)
            if deeper is not None and deeper.size <= enough:
                return deeper
        return written

    def _unless(self, failure: type[Exception], make: Callable[..., Written], *args: Any) -> Written | None:
        """What ``make`` returns, or None where it fails so; time that is up is no such failure."""
        try:
            return make(*args)
        except failure:
            self.limits.check_time()
            return None

    def _write(self, bounds: Bounds, room: int, allowance: Allowance) -> Written:
        emitter = self.emitter(bounds, room, allowance)
        with enforced(self.limits):
            node = emitter.write(self.root)
        if node == NEVER:
            raise Unsatisfiable("no value satisfies this schema")
        return Written(node, emitter, room)
