"""The source `Grid`: lines of cells, one token a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from structdiff.core.errors import InvalidSchema, Unsatisfiable, UnsupportedTokenizer
from structdiff.frontends.grid.rules import Cell, Rule

if TYPE_CHECKING:
    from structdiff.tokens.vocabulary import Vocabulary


@dataclass(frozen=True)
class Grid:
    """A grid of ``rows`` by ``cols`` letters of ``alphabet``; ``givens`` are fixed, ``rules`` hold between cells.

    The text is one line a row, cells joined by ``separator``; every cell is one token. ``kind`` is what the prompt
    calls the grid. The value of an output is its rows as strings. With rules the best grid that obeys all of them is
    committed, which needs the extra ``puzzles`` (OR-Tools).

    >>> grid = Grid(2, 2, "12", {(0, 0): "1"})
    >>> grid.text({(0, 1): "2"})
    '12\\n..'
    """

    rows: int
    cols: int
    alphabet: str
    givens: tuple[tuple[Cell, str], ...] = ()
    rules: tuple[Rule, ...] = ()
    kind: str = "grid"
    separator: str = ""
    blank: str = field(default=".", kw_only=True)

    def __init__(
        self,
        rows: int,
        cols: int,
        alphabet: str,
        givens: Mapping[Cell, str] | Sequence[tuple[Cell, str]] = (),
        rules: Sequence[Rule] = (),
        *,
        kind: str = "grid",
        separator: str = "",
        blank: str = ".",
    ) -> None:
        pairs = tuple(sorted(dict(givens).items()))
        values = {
            "rows": rows, "cols": cols, "alphabet": alphabet, "givens": pairs, "rules": tuple(rules), "kind": kind,
            "separator": separator, "blank": blank,
        }  # fmt: skip
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check()

    @classmethod
    def of(cls, puzzle: str, alphabet: str, rules: Sequence[Rule] = (), *, kind: str = "grid") -> Grid:
        """The grid of a puzzle text, "." for empty cells.

        >>> Grid.of("1.\\n.1", "12").givens
        (((0, 0), '1'), ((1, 1), '1'))
        """
        table = puzzle.split("\n")
        if len({len(row) for row in table}) != 1:
            raise InvalidSchema("the lines of the puzzle are not equally long")
        givens = {(y, x): c for y, row in enumerate(table) for x, c in enumerate(row) if c != "."}
        return cls(len(table), len(table[0]), alphabet, givens, rules, kind=kind)

    def _check(self) -> None:
        if self.rows < 1 or self.cols < 1:
            raise InvalidSchema(f"a grid needs at least one cell, not {self.rows} x {self.cols}")
        if not self.alphabet or len(set(self.alphabet)) != len(self.alphabet):
            raise InvalidSchema(f"the alphabet {self.alphabet!r} is empty or names a letter twice")
        if {"\n", self.blank} & set(self.alphabet):
            raise InvalidSchema(f"the alphabet {self.alphabet!r} may hold neither a line break nor {self.blank!r}")
        for (y, x), letter in self.givens:
            if not (0 <= y < self.rows and 0 <= x < self.cols):
                raise InvalidSchema(f"the given at row {y}, column {x} is outside the {self.rows} x {self.cols} grid")
            if letter not in self.alphabet or len(letter) != 1:
                raise Unsatisfiable(
                    f"the given {letter!r} at row {y}, column {x} is not in the alphabet {self.alphabet!r}"
                )
        for number, rule in enumerate(self.rules):
            for y, x in rule.cells:
                if not (0 <= y < self.rows and 0 <= x < self.cols):
                    raise InvalidSchema(f"rule {number} ({type(rule).__name__}) names row {y}, column {x}: outside")

    @property
    def pieces(self) -> list[Cell | str]:
        """The output in order: a cell, or the text of a delimiter."""
        out: list[Cell | str] = []
        for y in range(self.rows):
            for x in range(self.cols):
                if x and self.separator:
                    out.append(self.separator)
                out.append((y, x))
            if y + 1 < self.rows:
                out.append("\n")
        return out

    def text(self, cells: Mapping[Cell, str] | None = None) -> str:
        """The grid as text: givens, then ``cells``, and the blank for the rest."""
        known = dict(cells or {}) | dict(self.givens)
        return "".join(p if isinstance(p, str) else known.get(p, self.blank) for p in self.pieces)

    def parse(self, text: str) -> list[str]:
        """The rows of an output text."""
        return [line.replace(self.separator, "") if self.separator else line for line in text.split("\n")]

    def shape(self) -> Grid:
        """The same grid without its rules."""
        return replace(self, rules=())

    def restrict(self, vocabulary: Vocabulary) -> Vocabulary:
        """The vocabulary with one token per letter and delimiter only: position i of the text is piece i of the grid.

        Raises `UnsupportedTokenizer` where the tokenizer spells one of them with several tokens.
        """
        from structdiff.tokens.table import TokenTable
        from structdiff.tokens.vocabulary import Vocabulary

        keep = {self.token(vocabulary, text) for text in self._texts()}
        table = vocabulary.table
        tokens = [data if i in keep else None for i, data in enumerate(table.token_bytes)]
        name = f"{table.fingerprint}-only-{'-'.join(map(str, sorted(keep)))}"
        return Vocabulary(TokenTable(tokens, table.end_ids, table.encode, name))

    def _texts(self) -> list[str]:
        return [*self.alphabet, *{p for p in self.pieces if isinstance(p, str)}]

    @staticmethod
    def token(vocabulary: Vocabulary, text: str) -> int:
        """The one token that spells ``text``. Raises `UnsupportedTokenizer` where there is none."""
        ids = vocabulary.encode(text.encode())
        if ids is None or len(ids) != 1:
            how = "not at all" if ids is None else f"with {len(ids)} tokens"
            raise UnsupportedTokenizer(
                f"a grid needs one token a cell, but the tokenizer spells {text!r} {how}; choose other letters"
            )
        return ids[0]
