"""The front end of grids."""

from __future__ import annotations

from typing import Any

from structdiff.automata.tree import Node, literal, sequence, union
from structdiff.core.errors import InvalidSchema
from structdiff.frontends.grid.grid import Grid
from structdiff.frontends.prompt import build_grid_prompt
from structdiff.frontends.protocol import Grammar, Options, Source, Traits, content_key, no_options
from structdiff.tokens.vocabulary import Vocabulary


class GridFrontEnd:
    """Reads `Grid`. Text names no grid, because a puzzle does not say its alphabet."""

    name = "grid"

    def accepts(self, source: Any) -> bool:
        return isinstance(source, Grid)

    def read(self, source: Grid, options: Options) -> Source:
        no_options(options, "a Grid")
        parts = (source.rows, source.cols, source.alphabet, source.givens, source.separator)

        def rules(vocabulary: Vocabulary) -> Any:
            from structdiff.frontends.grid.refine import GridRules  # OR-Tools: an extra

            return GridRules(source, vocabulary)

        return Source(
            f"{source.kind} {source.rows} x {source.cols}",
            content_key("grid", repr(parts)),
            lambda limits: Grammar(_tree(source)),
            source.parse,
            lambda text, instructions: build_grid_prompt(text, source.kind, instructions=instructions),
            Traits(left_to_right=False),
            restrict=source.restrict,
            rules=rules if source.rules else None,
        )

    def from_text(self, text: str) -> Any:
        raise InvalidSchema("a grid is made in Python: structdiff.Grid")


def _tree(grid: Grid) -> Node:
    """The pieces of the grid in order: a given, any letter of the alphabet, or a delimiter."""
    known, letters = dict(grid.givens), union(*map(literal, grid.alphabet))
    return sequence(
        *(literal(p) if isinstance(p, str) else literal(known[p]) if p in known else letters for p in grid.pieces)
    )
