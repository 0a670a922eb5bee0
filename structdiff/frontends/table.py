"""The source `Table`: rows of typed cells as CSV, TSV, an aligned Markdown table or a box."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import NEVER, Embedded, Network, Node, Repeat, literal, sequence, union
from structdiff.automata.unicode import Ranges, code_points, of_chars, subtract
from structdiff.core.errors import InvalidSchema, Unsatisfiable, UnsupportedSchema
from structdiff.core.limits import Limits
from structdiff.frontends.json_schema import json_schema_tree
from structdiff.frontends.prompt import build_table_prompt
from structdiff.frontends.protocol import Grammar, Source, content_key

CHARACTERS: Ranges = ((0x20, 0x7E), (0xA1, 0xAC), (0xAE, 0x24F))
"""What text cells may hold: printable Latin, every character one column wide."""
NOT_IN = {"csv": '",', "tsv": '"\t', "markdown": "|\\", "box": "│"}
"""Characters that need quoting (csv) or cannot be written in a cell (the others)."""
MAX_WIDTHS = 4096
_TEXT_KEYS = {"type", "enum", "minLength", "maxLength", "title", "description"}


@dataclass(frozen=True, eq=False)
class Table:
    """A table with a header and ``rows`` = (fewest, most) rows; the value is a list of dicts with typed values.

    ``columns`` maps names to ``str``, ``int``, ``float``, ``bool`` or the JSON Schema of a scalar. Text cells have 1 to
    12 characters unless minLength and maxLength say otherwise. In the styles "markdown" and "box" every column is as
    wide as its widest cell or header (at least 3); ``align`` maps names to "left" or "right" (numbers: right).

    >>> Table({"item": str, "n": int}, rows=(0, 2), style="csv").parse("item,n\\nlamp,2\\n")
    [{'item': 'lamp', 'n': 2}]
    """

    columns: Mapping[str, Any]
    rows: tuple[int, int] = (1, 8)
    style: Literal["markdown", "csv", "tsv", "box"] = "markdown"
    align: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if self.style not in NOT_IN:
            raise InvalidSchema(f"there is no table style {self.style!r}; the styles are {', '.join(NOT_IN)}")
        low, high = self.rows
        if not self.columns or not 0 <= low <= high:
            raise InvalidSchema(f"a table needs a column, and rows (fewest, most), not {self.rows}")
        for name in self.columns:
            if not name or name != name.strip():
                raise InvalidSchema(f"the column name {name!r} is empty or begins or ends with a blank")
            self._writable(name, f"the column name {name!r}")
        for name, side in (self.align or {}).items():
            if name not in self.columns or side not in ("left", "right"):
                raise InvalidSchema(f"align says {side!r} for {name!r}; it maps columns to 'left' or 'right'")
        for name in self.columns:
            self._check_column(name, self.schemas[name])

    @property
    def schemas(self) -> dict[str, Any]:
        """The JSON Schema of every column."""
        from pydantic import TypeAdapter

        return {name: c if isinstance(c, dict) else TypeAdapter(c).json_schema() for name, c in self.columns.items()}

    def _writable(self, text: str, what: str) -> None:
        bad = [c for c in text if not any(a <= ord(c) <= b for a, b in CHARACTERS)]
        if self.style != "csv":
            bad += [c for c in text if c in NOT_IN[self.style]]
        if bad:
            raise InvalidSchema(f"{what} holds {bad[0]!r}, which a cell of style {self.style} cannot")

    def _check_column(self, name: str, schema: Any) -> None:
        place = f"/{name}"
        if "enum" in schema:
            if not schema["enum"] or not all(isinstance(v, str) and v and v == v.strip() for v in schema["enum"]):
                raise InvalidSchema("an enum column lists non-empty strings without outer blanks", place)
            for value in schema["enum"]:
                self._writable(value, f"the value {value!r} of column {name!r}")
        elif schema.get("type") == "string":
            pass
        elif schema.get("type") in ("integer", "number", "boolean"):
            return
        else:
            raise UnsupportedSchema(place, "type", "a cell is a string, an enum of strings, a number or a boolean")
        if more := sorted(set(schema) - _TEXT_KEYS):
            raise UnsupportedSchema(f"{place}/{more[0]}", more[0], "text cells know enum, minLength and maxLength")
        if not 1 <= self._lengths(schema)[0] <= self._lengths(schema)[1]:
            raise Unsatisfiable("text cells need 1 <= minLength <= maxLength", place)

    @staticmethod
    def _lengths(schema: Any) -> tuple[int, int]:
        low = schema.get("minLength", 1)
        return low, schema.get("maxLength", max(12, low))

    def _right(self, name: str) -> bool:
        side = (self.align or {}).get(name)
        return side == "right" if side else self.schemas[name].get("type") in ("integer", "number")

    # --- text to rows ---

    def parse(self, text: str) -> list[dict[str, Any]]:
        """The rows of an output text, with typed values."""
        if self.style == "csv":
            cells = list(csv.reader(io.StringIO(text, newline="")))[1:]
        else:
            table = text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")
            if self.style == "tsv":
                cells = [line.split("\t") for line in table[1:]]
            else:
                bar = "|" if self.style == "markdown" else "│"
                body = table[2:] if self.style == "markdown" else table[3:-1]
                cells = [[cell.strip() for cell in line.split(bar)[1:-1]] for line in body]
        plain = {name: "enum" in s or s["type"] == "string" for name, s in self.schemas.items()}
        return [
            {name: value if plain[name] else json.loads(value) for name, value in zip(plain, row, strict=True)}
            for row in cells
        ]

    # --- the grammar ---

    def as_source(self) -> Source:
        """What `structdiff.compile` reads."""
        return Source(
            f"{self.style} table",
            content_key("table", repr(self.schemas), repr(self.rows), self.style, repr(self.align)),
            lambda limits: Grammar(self.tree(limits)),
            self.parse,
            lambda text, instructions: build_table_prompt(text, self.schemas, self.style, instructions=instructions),
        )

    def tree(self, limits: Limits) -> Node:
        """The grammar tree: delimited styles row by row, aligned ones for every choice of widths."""
        if self.style in ("csv", "tsv"):
            comma = "," if self.style == "csv" else "\t"
            parts: list[Node] = []
            for name in self.columns:
                parts += [literal(comma), self._delimited(name, limits)]
            header = comma.join(_quoted(n) if self.style == "csv" else n for n in self.columns)
            row = sequence(*parts[1:], literal("\n"))
            return sequence(literal(header + "\n"), Repeat(row, *self.rows))
        spans = [self._widths(name, limits) for name in self.columns]
        count = 1
        for span in spans:
            count *= len(span)
        if count > MAX_WIDTHS:
            raise UnsupportedSchema(
                "", "style", f"the columns have {count} combinations of widths (at most {MAX_WIDTHS}); lower maxLength"
            )  # fmt: skip
        built = {
            (name, width): self._padded(name, width, limits)
            for name, span in zip(self.columns, spans, strict=True)
            for width in span
        }
        return union(*(self._aligned(widths, built) for widths in product(*spans)))

    def _delimited(self, name: str, limits: Limits) -> Node:
        schema = self.schemas[name]
        if "enum" in schema:
            return union(*(literal(_quoted(v) if self.style == "csv" else v) for v in schema["enum"]))
        if schema["type"] != "string":
            return json_schema_tree(schema, whitespace="compact", limits=limits)
        low, high = self._lengths(schema)
        plain = code_points(subtract(CHARACTERS, of_chars(NOT_IN[self.style])))
        if self.style == "tsv":
            return Repeat(plain, low, high)
        wide = code_points(subtract((*((0xA, 0xA),), *CHARACTERS), of_chars('"')))
        quote = literal('"')
        any_quoted = sequence(quote, Repeat(union(wide, literal('""')), low, high), quote)
        needless = sequence(quote, Repeat(plain, low, high), quote)
        return union(
            Repeat(plain, low, high), Embedded(compile_tree(any_quoted, limits) - compile_tree(needless, limits))
        )

    def _value(self, name: str, limits: Limits) -> Node:
        """The values of a column in an aligned style, at least one character and no outer blanks."""
        schema = self.schemas[name]
        if "enum" in schema:
            return union(*(literal(v) for v in schema["enum"]))
        if schema["type"] != "string":
            return json_schema_tree(schema, whitespace="compact", limits=limits)
        letters = subtract(CHARACTERS, of_chars(NOT_IN[self.style]))
        inner, outer = code_points(letters), code_points(subtract(letters, of_chars(" ")))
        low, high = self._lengths(schema)
        longer = sequence(outer, Repeat(inner, max(low - 2, 0), high - 2), outer) if high > 1 else NEVER
        return union(outer, longer) if low == 1 else longer

    def _widths(self, name: str, limits: Limits) -> list[int]:
        least = max(len(name), 3)
        schema = self.schemas[name]
        if "enum" in schema:
            return sorted({max(len(v), least) for v in schema["enum"]} | {least})
        most = self._lengths(schema)[1] if schema["type"] == "string" else 5 if schema["type"] == "boolean" else 10
        return list(range(least, max(most, least) + 1))

    def _padded(self, name: str, width: int, limits: Limits) -> tuple[Node, Node]:
        """(cells whose value fills ``width``, cells with a shorter value and padding); NEVER where there are none."""
        value = compile_tree(self._value(name, limits), limits)
        any_char = code_points(CHARACTERS)
        full = value & compile_tree(Repeat(any_char, width, width), limits)
        blanks = Repeat(literal(" "), 1, width)
        padded = sequence(blanks, Embedded(value)) if self._right(name) else sequence(Embedded(value), blanks)
        short = compile_tree(padded, limits) & compile_tree(Repeat(any_char, width, width), limits)
        return tuple(NEVER if a.is_empty else Embedded(a) for a in (full, short))  # type: ignore[return-value]

    def _aligned(self, widths: tuple[int, ...], built: dict[tuple[str, int], tuple[Node, Node]]) -> Node:
        names = list(self.columns)
        head = [n.rjust(w) if self._right(n) else n.ljust(w) for n, w in zip(names, widths, strict=True)]
        bar, tail = ("|", "") if self.style == "markdown" else ("│", "\n" + _rule("└", "┴", "┘", widths))
        if self.style == "markdown":
            marks = ["-" * (w - 1) + ":" if self._right(n) else "-" * w for n, w in zip(names, widths, strict=True)]
            top = f"| {' | '.join(head)} |\n| {' | '.join(marks)} |"
        else:
            top = f"{_rule('┌', '┬', '┐', widths)}\n│ {' │ '.join(head)} │\n{_rule('├', '┼', '┤', widths)}"
        wanted = frozenset(i for i, n in enumerate(names) if widths[i] > max(len(n), 3))
        number: dict[Any, int] = {}
        edges: list[tuple[int, Node | None, int]] = []
        finals: list[int] = []

        def state(*key: Any) -> int:
            return number.setdefault(key, len(number))

        start = state(0, 0, wanted)
        for source in _walk(number):
            row, column, missing = source
            here = state(*source)
            if column == 0:
                if row >= self.rows[0] and not missing:
                    finals.append(here)
                if row == self.rows[1]:
                    continue
            for node, left in zip(built[names[column], widths[column]], (missing - {column}, missing), strict=True):
                if node != NEVER:
                    last = column + 1 == len(names)
                    opened = sequence(literal(f"\n{bar} " if column == 0 else f" {bar} "), node)
                    edge = sequence(opened, literal(f" {bar}")) if last else opened
                    edges.append((here, edge, state(row + 1, 0, left) if last else state(row, column + 1, left)))
        return sequence(literal(top), Network(len(number), tuple(edges), start, tuple(finals)), literal(tail))


def _walk(number: dict[Any, int]) -> Iterator[Any]:
    """The keys of ``number`` in order, those added on the way as well."""
    done = 0
    while done < len(number):
        yield list(number)[done]
        done += 1


def _rule(left: str, middle: str, right: str, widths: tuple[int, ...]) -> str:
    return left + middle.join("─" * (w + 2) for w in widths) + right


def _quoted(text: str) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([text])
    return out.getvalue()
