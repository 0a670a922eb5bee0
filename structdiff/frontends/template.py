"""Text with holes: everything outside them stays byte for byte, each hole has a language of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import Embedded, Node, literal, sequence
from structdiff.core.errors import InvalidSchema, Unsatisfiable
from structdiff.core.json_spans import pointer_of, scan
from structdiff.core.limits import Limits
from structdiff.core.restrictions import Restriction
from structdiff.frontends.json_schema import json_schema_tree
from structdiff.frontends.prompt import build_prompt
from structdiff.frontends.protocol import Grammar, Source, Traits, content_key
from structdiff.frontends.registry import read_source

_HOLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
MARK = "[...]"
"""How a hole is shown to the model."""


@dataclass(frozen=True, eq=False)
class Infill:
    """A template with holes ``{{name}}`` and a source (regex, choice, schema, type) for each; made by `infill`."""

    template: str
    holes: Mapping[str, Any]

    def as_source(self) -> Source:
        pieces = _HOLE.split(self.template)  # text, name, text, name, ..., text
        names = pieces[1::2]
        if not names:
            raise InvalidSchema("the template has no holes; write one as {{name}}")
        for name in names:
            if name not in self.holes:
                raise InvalidSchema(f"the hole {name!r} has no source; give {name}=...")
        for name in self.holes:
            if name not in names:
                raise InvalidSchema(f"the template has no hole {{{{{name}}}}}; its holes are {', '.join(names)}")
        if len(set(names)) < len(names):
            raise InvalidSchema("a hole stands twice in the template; give each a name of its own")
        sources = {name: read_source(self.holes[name]) for name in names}

        def build(limits: Limits) -> Grammar:
            nodes: list[Node] = [literal(pieces[0])]
            restrictions: list[Restriction] = []
            for name, text in zip(names, pieces[2::2], strict=True):
                hole = sources[name].build(limits)
                nodes += [hole.whole(), literal(text)]
                restrictions += [replace(one, pointer=pointer_of("", name) + one.pointer) for one in hole.restrictions]
            return Grammar(sequence(*nodes), tuple(restrictions))

        def parse(text: str) -> dict[str, Any]:
            return _values(text, pieces, sources)

        shown = _HOLE.sub(MARK, self.template)

        def prompt(text: str, instructions: str) -> str:
            head = f"{instructions.strip()}\n\n" if instructions.strip() else ""
            tail = f"\n\nText:\n{text}" if text.strip() else ""
            return f"{head}Answer with this text, {MARK} filled in:\n{shown}{tail}"

        keys = [sources[name].key for name in names]
        key = None if None in keys else content_key("infill", self.template, *map(str, keys))
        return Source("infill", key, build, parse, prompt, Traits(left_to_right=False, needs_text=False))


def infill(template: str, **holes: Any) -> Infill:
    """A source whose output is ``template`` with its holes filled; the value maps each hole's name to what it holds.

    >>> from structdiff.frontends.regex.frontend import Regex
    >>> letter = infill("Dear {{name}}, you owe {{amount}} EUR.", name=Regex("[A-Z][a-z]+"), amount={"type": "integer"})
    >>> letter.as_source().parse("Dear Ann, you owe 12 EUR.")
    {'name': 'Ann', 'amount': 12}

    Where a text can be cut in several ways, earlier holes are as short as possible. Using it raises `InvalidSchema`
    where holes and sources do not pair up.
    """
    return Infill(template, holes)


def _values(text: str, pieces: list[str], sources: Mapping[str, Source]) -> dict[str, Any]:
    names, literals = pieces[1::2], pieces[2::2]
    automata = [compile_tree(sources[name].build(Limits()).whole()) for name in names]
    start = len(pieces[0])
    cuts = _cut(text, start, automata, literals)
    if not text.startswith(pieces[0]) or cuts is None:
        raise ValueError(f"{text!r} does not fill the template")
    return {name: sources[name].parse(text[a:b]) for name, (a, b) in zip(names, cuts, strict=True)}


def _cut(text: str, start: int, automata: list[ByteAutomaton], literals: list[str]) -> list[tuple[int, int]] | None:
    """Where the holes begin and end from ``start`` on, earlier ones shortest; None where they cannot."""
    if not automata:
        return [] if start == len(text) else None
    state = 0
    for end in range(start, len(text) + 1):
        if automata[0].accepting[state] and text.startswith(literals[0], end):
            rest = _cut(text, end + len(literals[0]), automata[1:], literals[1:])
            if rest is not None:
                return [(start, end), *rest]
        if end < len(text):
            state = automata[0].walk(text[end].encode("utf-8", "surrogatepass"), state)
            if state < 0:
                return None
    return None


@dataclass(frozen=True, eq=False)
class Edit:
    """An existing JSON value of which only the places at ``pointers`` may change; the rest stays byte for byte.

    ``current`` is JSON text, or a value, which is then written by `json.dumps`. The text given to the model is the
    instruction. The output satisfies the whole schema.

    >>> order = {"type": "object", "properties": {"item": {"type": "string"}, "n": {"type": "integer"}}}
    >>> source = Edit(order, '{"item":"lamp",  "n": 2}', ["/n"]).as_source()
    >>> source.traits.json
    True

    Compiling raises `InvalidSchema` where a pointer names nothing in ``current``, and `Unsatisfiable` where no change
    at the pointers makes it satisfy the schema.
    """

    source: Any
    current: Any
    pointers: list[str]

    def as_source(self) -> Source:
        base = read_source(self.source)
        if not base.traits.json:
            raise InvalidSchema(f"only JSON can be edited by pointer, not {base.name}")
        text = self.current if isinstance(self.current, str) else json.dumps(self.current, ensure_ascii=False)
        parts = _outside(text, self.pointers)

        def build(limits: Limits) -> Grammar:
            anything = compile_tree(json_schema_tree(True, limits=limits), limits)
            nodes: list[Node] = [literal(parts[0])]
            for part in parts[1:]:
                nodes += [Embedded(anything), literal(part)]
            around = compile_tree(sequence(*nodes), limits)
            whole = base.build(limits)
            both = compile_tree(whole.whole(), limits) & around
            if both.is_empty:
                places = ", ".join(self.pointers)
                raise Unsatisfiable(
                    f"no change at {places} makes the object satisfy the schema; let more places change"
                )
            return Grammar(Embedded(both), whole.restrictions)

        def prompt(instruction: str, instructions: str) -> str:
            return build_prompt(f"{instruction}\n\n{text}", base.schema, instructions=instructions)

        key = None if base.key is None else content_key("edit", base.key, text, *sorted(self.pointers))
        return replace(base, build=build, key=key, prompt=prompt)


def _outside(text: str, pointers: list[str]) -> list[bytes]:
    """The bytes before, between and behind the values at the pointers."""
    data = text.encode()
    try:
        json.loads(text)
    except ValueError as error:
        raise InvalidSchema(f"the object to edit is not JSON: {error}") from error
    values = scan(data + b" ").values
    for pointer in pointers:
        if pointer not in values:
            raise InvalidSchema("the object to edit has nothing here", pointer=pointer)
    parts, at = [], 0
    for start, end in sorted(values[pointer] for pointer in set(pointers)):
        if start < at:
            raise InvalidSchema("one of the places that may change lies inside another; name the outer one alone")
        parts.append(data[at:start])
        at = end
    return [*parts, data[at:]]
