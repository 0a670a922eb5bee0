"""How long schemas of many alternatives and of awkward bounds take to compile.

    python -m benchmarks.unions [--extra forbid|schema] [--repeat N]

Each schema becomes a byte automaton with the options given. CPU seconds are the least of N runs after one run of other
schemas of the kind, so that kernels and tables are warm. States are those of the automaton; "less" says how many
restrictions there are.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from rich.console import Console
from rich.table import Table

from structdiff.automata.compiling import compile_tree
from structdiff.core.errors import StructdiffError
from structdiff.frontends.json_schema.compiler import CompiledSchema, options_of

TEXT, NUMBER = {"type": "string"}, {"type": "integer"}


def needs(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def nested(levels: int) -> dict[str, Any]:
    """Either key, and inside it the same again, written out."""
    a, b = (TEXT, NUMBER) if levels == 1 else (nested(levels - 1), nested(levels - 1))
    return {"oneOf": [needs(a=a), needs(b=b)]}


def forked(levels: int) -> dict[str, Any]:
    """An object or an array, and inside it the same again, written out."""
    inner = {"type": ["string", "integer"]} if levels == 1 else forked(levels - 1)
    return {"oneOf": [needs(x=inner), {"type": "array", "items": inner, "minItems": 1}]}


def untagged(count: int, keyword: str) -> dict[str, Any]:
    return {keyword: [needs(**{f"k{i}": TEXT}) for i in range(count)]}


def required(count: int, keyword: str) -> dict[str, Any]:
    properties = {f"k{i}": TEXT for i in range(count)}
    return {"type": "object", "properties": properties, keyword: [{"required": [key]} for key in properties]}


def pattern(text: str) -> dict[str, Any]:
    return {"type": "string", "pattern": text}


def unique(items: Any, **others: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, "uniqueItems": True, **others}


SCHEMAS = {
    "50 words": pattern(r"^(\S+\s+){0,49}\S+$"),
    "30 words": pattern(r"^(\w+\W+){0,29}\w+$"),
    "password of four classes": pattern(r"^(?=.*[a-z])(?=.*[A-Z])(?=.*\d)(?=.*[^\w\s]).{8,16}$"),
    "oneOf, 6 deep": nested(6),
    "oneOf, 12 deep": nested(12),
    "objects or arrays, 8 deep": forked(8),
    "objects or arrays, 12 deep": forked(12),
    "oneOf of 20 untagged": untagged(20, "oneOf"),
    "anyOf of 20 untagged": untagged(20, "anyOf"),
    "anyOf over 14 keys": required(14, "anyOf"),
    "oneOf over 14 keys": required(14, "oneOf"),
    "unique strings": unique(TEXT),
    "unique numbers": unique({"type": "number"}),
    "unique objects": unique(needs(a=TEXT, b=NUMBER)),
    "6 added keys": {"type": "object", "additionalProperties": NUMBER, "minProperties": 6},
    "a URI of up to 2,083": {"type": "string", "format": "uri", "maxLength": 2083, "minLength": 1},
}
WARM = (
    nested(2),
    untagged(3, "oneOf"),
    pattern(r"^(?=.*\W)\S\d\w$"),
    unique(TEXT),
    {},
    {"type": "string", "format": "uri"},
)


def measured(schema: Any, extra: str) -> tuple[float, str, str]:
    """CPU seconds, states and restrictions, or what was in the way."""
    begun = time.process_time()
    try:
        compiled = CompiledSchema(schema, options_of(extra_properties=extra))
        automaton = compile_tree(compiled.tree())
    except StructdiffError as error:
        return time.process_time() - begun, str(error)[:60], ""
    return time.process_time() - begun, str(automaton.states), str(len(compiled.restrictions))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", choices=("forbid", "schema"), default="forbid")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    for schema in WARM:
        measured(schema, arguments.extra)
    table = Table("schema", "CPU s", "states", "less")
    for name, schema in SCHEMAS.items():
        runs = [measured(schema, arguments.extra) for _ in range(arguments.repeat)]
        table.add_row(name, f"{min(run[0] for run in runs):.2f}", *runs[0][1:])
    Console().print(table)


if __name__ == "__main__":
    main()
