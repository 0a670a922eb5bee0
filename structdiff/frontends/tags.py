"""Structural tags: free text with exact parts, as vLLM and xgrammar describe them.

Two forms are read: ``structures`` with ``triggers``, and the newer ``format``, a tree of parts. Each part becomes a
node, so that a tag, the free text before it and what follows are one language.

>>> tag = {"type": "structural_tag", "triggers": ["<n>"], "structures": [
...     {"begin": "<n>", "schema": {"type": "integer"}, "end": "</n>"}]}
>>> from structdiff.automata.compiling import compile_tree
>>> from structdiff.core.limits import Limits
>>> automaton = compile_tree(StructuralTag(tag).as_source().build(Limits()).tree)
>>> [automaton.accepts(text) for text in (b"It is <n>3</n>.", b"It is three.", b"It is <n>three</n>.")]
[True, True, False]
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import (
    EMPTY,
    ByteSet,
    Embedded,
    Network,
    Node,
    Repeat,
    literal,
    optional,
    sequence,
    union,
)
from structdiff.automata.unicode import code_points
from structdiff.core.errors import InvalidSchema, StructdiffError, Unsatisfiable, UnsupportedSchema
from structdiff.core.limits import Limits
from structdiff.core.restrictions import Restriction
from structdiff.frontends.grammar.source import any_grammar
from structdiff.frontends.prompt import build_tag_prompt
from structdiff.frontends.protocol import Grammar, Options, Source, content_key, no_options
from structdiff.frontends.regex.frontend import Regex
from structdiff.frontends.registry import read_source

CHARACTER = code_points(((0x9, 0xA), (0xD, 0xD), (0x20, 0xD7FF), (0xE000, 0x10FFFF)))
"""One character of free text: any but most control characters."""
TEXT: Node = Repeat(CHARACTER)
_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "const_string": ({"value"}, set()),
    "json_schema": ({"json_schema"}, {"style"}),
    "regex": ({"pattern"}, set()),
    "grammar": ({"grammar"}, set()),
    "any_text": (set(), {"excludes"}),
    "sequence": ({"elements"}, set()),
    "or": ({"elements"}, set()),
    "optional": ({"content"}, set()),
    "star": ({"content"}, set()),
    "plus": ({"content"}, set()),
    "repeat": ({"content", "min", "max"}, set()),
    "tag": ({"begin", "content", "end"}, set()),
    "triggered_tags": ({"triggers", "tags"}, {"at_least_one", "stop_after_first", "excludes"}),
    "tags_with_separator": ({"tags", "separator"}, {"at_least_one", "stop_after_first"}),
}
"""For each kind of part what it must say, and what it may."""
_SHAPES: dict[str, type | tuple[type, ...]] = {
    "value": str, "json_schema": (dict, bool), "pattern": str, "grammar": str, "excludes": list, "elements": list,
    "content": dict, "min": int, "max": int, "begin": str, "end": (str, list), "triggers": list, "tags": list,
    "at_least_one": bool, "stop_after_first": bool, "separator": str, "style": str,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class StructuralTag:
    """Free text with exact parts: a dict or JSON text with ``structures`` and ``triggers``, or with ``format``.

    The value is the text. What a part may be: const_string, json_schema, regex, grammar, any_text, sequence, or,
    optional, star, plus, repeat, tag, triggered_tags, tags_with_separator.

    >>> StructuralTag({"format": {"type": "const_string", "value": "yes"}}).as_source().parse("yes")
    'yes'

    Using it raises `InvalidSchema` with the pointer of what is wrong, and `UnsupportedSchema` for other parts.
    """

    tag: Mapping[str, Any] | str

    def as_source(self) -> Source:
        tag = self.tag
        if isinstance(tag, str):
            try:
                tag = json.loads(tag)
            except (ValueError, RecursionError) as error:
                raise InvalidSchema(f"the structural tag is not JSON: {error}") from None
        if not isinstance(tag, Mapping):
            raise InvalidSchema("a structural tag is an object")
        part, pointer = _form(tag)
        shown = json.dumps(tag, ensure_ascii=False)

        def build(limits: Limits) -> Grammar:
            reader = _Reader(limits)
            node = reader.part(part, pointer)
            return Grammar(node, tuple(sorted(reader.restrictions)))

        return Source(
            "structural tag",
            content_key("structural_tag", json.dumps(tag)),
            build,
            str,
            lambda text, instructions: build_tag_prompt(text, shown, instructions=instructions),
        )


class StructuralTagFrontEnd:
    """Reads `StructuralTag`; as text, its JSON."""

    name = "structural_tag"

    def accepts(self, source: Any) -> bool:
        return isinstance(source, StructuralTag)

    def read(self, source: StructuralTag, options: Options) -> Source:
        no_options(options, "a structural tag")
        return source.as_source()

    def from_text(self, text: str) -> StructuralTag:
        source = StructuralTag(text)
        source.as_source()
        return source


def _form(tag: Mapping[str, Any]) -> tuple[Any, str]:
    """The part that a structural tag consists of, and its pointer. The older form is tags with triggers."""
    others = set(tag) - {"type", "format", "structures", "triggers"}
    if tag.get("type", "structural_tag") != "structural_tag" or others or ("format" in tag) == ("structures" in tag):
        raise InvalidSchema(
            "a structural tag has the type 'structural_tag', and either format, or structures and triggers"
        )
    if "format" in tag:
        if "triggers" in tag:
            raise InvalidSchema("triggers belong to structures, or into the format", "/triggers")
        return tag["format"], "/format"
    tags = []
    structures = tag["structures"]
    for number, one in enumerate(structures if isinstance(structures, list) else []):
        if not isinstance(one, Mapping) or set(one) != {"begin", "schema", "end"}:
            raise InvalidSchema("a structure has begin, schema and end", f"/structures/{number}")
        schema = one["schema"]
        if isinstance(schema, str):
            try:
                schema = json.loads(schema)
            except ValueError as error:
                raise InvalidSchema(f"the schema is not JSON: {error}", f"/structures/{number}/schema") from None
        content = {"type": "json_schema", "json_schema": schema}
        tags.append({"type": "tag", "begin": one["begin"], "content": content, "end": one["end"]})
    return {"type": "triggered_tags", "triggers": tag.get("triggers"), "tags": tags}, ""


class _Reader:
    """Reads parts, and notes what of them is never written."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.restrictions: list[Restriction] = []

    def part(self, part: Any, at: str, end: tuple[str, ...] = ()) -> Node:
        """The node of a part; inside a tag free text does not hold the tag's ``end``."""
        kind = checked(part, at)
        if kind in ("optional", "star", "plus", "repeat"):
            return self._repeated(kind, part, at, end)
        node: Node = getattr(self, f"_{kind}")(part, at, end)
        return node

    def _const_string(self, part: Any, at: str, end: tuple[str, ...]) -> Node:
        return literal(part["value"])

    def _json_schema(self, part: Any, at: str, end: tuple[str, ...]) -> Node:
        if part.get("style", "json") != "json":
            raise UnsupportedSchema(f"{at}/style", str(part["style"]), "arguments are written as JSON alone")
        return self._without(self._inner(part["json_schema"], f"{at}/json_schema"), end, at)

    def _regex(self, part: Any, at: str, end: tuple[str, ...]) -> Node:
        return self._without(self._inner(Regex(part["pattern"]), f"{at}/pattern"), end, at)

    def _grammar(self, part: Any, at: str, end: tuple[str, ...]) -> Node:
        return self._without(self._inner(any_grammar(part["grammar"]), f"{at}/grammar"), end, at)

    def _any_text(self, part: Any, at: str, end: tuple[str, ...]) -> Node:
        excluded = _texts(part.get("excludes", []), f"{at}/excludes")
        return Embedded(self._free((*end, *excluded)))

    def _sequence(self, part: Any, at: str, end: tuple[str, ...]) -> Node:
        return sequence(*self._elements(part, at, end))

    def _or(self, part: Any, at: str, end: tuple[str, ...]) -> Node:
        return union(*self._elements(part, at, end))

    def _elements(self, part: Any, at: str, end: tuple[str, ...]) -> list[Node]:
        if not part["elements"]:
            raise InvalidSchema("there must be an element", f"{at}/elements")
        return [self.part(one, f"{at}/elements/{number}", end) for number, one in enumerate(part["elements"])]

    def _repeated(self, kind: str, part: Any, at: str, end: tuple[str, ...]) -> Node:
        inner = self.part(part["content"], f"{at}/content", end)
        low, high = {"optional": (0, 1), "star": (0, -1), "plus": (1, -1)}.get(kind) or (part["min"], part["max"])
        if low < 0 or high < -1 or (high >= 0 and high < low):
            raise InvalidSchema("a repeat goes from min, 0 or more, to max, which is -1 where there is none", at)
        return EMPTY if high == 0 else Repeat(inner, low, None if high == -1 else high)

    def _tag(self, part: Any, at: str, end: tuple[str, ...]) -> Node:
        ends = _texts([part["end"]] if isinstance(part["end"], str) else part["end"], f"{at}/end", empty=True)
        if not ends:
            raise InvalidSchema("a tag needs an end, which may be empty", f"{at}/end")
        inner = tuple(one for one in ends if one) or end
        content = self.part(part["content"], f"{at}/content", inner)
        return sequence(literal(part["begin"]), content, union(*map(literal, ends)))

    def _triggered_tags(self, part: Any, at: str, end: tuple[str, ...]) -> Node:
        triggers = _texts(part["triggers"], f"{at}/triggers")
        if not triggers or not part["tags"]:
            raise InvalidSchema("there must be a trigger and a tag", at)
        no_trigger = (*triggers, *_texts(part.get("excludes", []), f"{at}/excludes"), *end)
        free = self._free(no_trigger)
        by_trigger: dict[str, list[Node]] = {}
        for number, tag in enumerate(part["tags"]):
            place = f"{at}/tags/{number}"
            node = self._tag_of(tag, place, end)
            found = [one for one in triggers if tag["begin"].startswith(one)]
            if len(found) != 1:
                raise InvalidSchema(f"{len(found)} triggers begin the tag; it must be exactly one", f"{place}/begin")
            by_trigger.setdefault(found[0], []).append(node)
        first = union(*(node for nodes in by_trigger.values() for node in nodes))
        later = union(*(sequence(Embedded(_before(free, one)), union(*nodes)) for one, nodes in by_trigger.items()))
        if part.get("stop_after_first", False):
            return first if part.get("at_least_one", False) else later
        more = sequence(Repeat(later), Embedded(free))
        return sequence(first, more) if part.get("at_least_one", False) else more

    def _tags_with_separator(self, part: Any, at: str, end: tuple[str, ...]) -> Node:
        if not part["tags"]:
            raise InvalidSchema("there must be a tag", f"{at}/tags")
        one = union(*(self._tag_of(tag, f"{at}/tags/{n}", end) for n, tag in enumerate(part["tags"])))
        more = EMPTY if part.get("stop_after_first", False) else Repeat(sequence(literal(part["separator"]), one))
        tags = sequence(one, more)
        return tags if part.get("at_least_one", False) else optional(tags)

    def _tag_of(self, tag: Any, at: str, end: tuple[str, ...]) -> Node:
        if isinstance(tag, Mapping):
            tag = {"type": "tag", **tag}
        if checked(tag, at) != "tag":
            raise InvalidSchema("only tags stand here", at)
        return self._tag(tag, at, end)

    def _inner(self, source: Any, at: str) -> Node:
        try:
            grammar = read_source(source).build(self.limits)
        except StructdiffError as error:
            error.args = (f"in {at}: {error}",)
            raise
        self.restrictions += [replace(one, pointer=at + one.pointer) for one in grammar.restrictions]
        return grammar.whole()

    def _without(self, node: Node, end: tuple[str, ...], at: str) -> Node:
        """A content in which no end of its tag stands, as far as these hold a ``<``: who reads it looks for them."""
        marks = [one[one.index("<") :] for one in end if "<" in one]
        if not marks:
            return node
        whole = compile_tree(node, self.limits)
        kept = whole - holding(marks, self.limits)
        if kept.is_empty and not whole.is_empty:
            raise Unsatisfiable("every content holds the end of its tag", at)
        if kept != whole:
            told = " or ".join(map(repr, marks))
            self.restrictions.append(Restriction(at, "tag", f"no text that holds {told} is written inside"))
        return Embedded(kept)

    def _free(self, excluded: Iterable[str]) -> ByteAutomaton:
        texts = tuple(dict.fromkeys(excluded))
        free = compile_tree(TEXT, self.limits)
        return free - holding(texts, self.limits) if texts else free


def checked(part: Any, at: str) -> str:
    """The kind of a part whose keys are what they should be. Raises `InvalidSchema` and `UnsupportedSchema`."""
    if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
        raise InvalidSchema("a part is an object with a type", at)
    kind: str = part["type"]
    if kind not in _KEYS:
        raise UnsupportedSchema(at, kind, f"known are {', '.join(_KEYS)}")
    must, may = _KEYS[kind]
    keys = set(part) - {"type"}
    for key in sorted(must - keys):
        raise InvalidSchema(f"{kind} needs {key}", at)
    for key in sorted(keys - must - may):
        raise UnsupportedSchema(f"{at}/{key}", key, f"{kind} knows {', '.join(sorted(must | may)) or 'no options'}")
    for key in sorted(keys):
        shape = _SHAPES[key]
        if not isinstance(part[key], shape) or (shape is int and isinstance(part[key], bool)):
            names = " or ".join(one.__name__ for one in (shape if isinstance(shape, tuple) else (shape,)))
            raise InvalidSchema(f"{key} is a {names}, not {type(part[key]).__name__}", f"{at}/{key}")
    return kind


def _texts(found: Any, at: str, empty: bool = False) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(one, str) and (one or empty) for one in found):
        raise InvalidSchema("this is a list of texts, none of them empty", at)
    return tuple(found)


def holding(texts: Iterable[str], limits: Limits) -> ByteAutomaton:
    """All texts that hold one of some texts."""
    anything = Repeat(code_points(((0, 0x10FFFF),)))
    return compile_tree(sequence(anything, union(*map(literal, texts)), anything), limits)


def _before(free: ByteAutomaton, trigger: str) -> ByteAutomaton:
    """The free texts before a trigger: with it behind them, it is the first that stands there."""
    begun = trigger.encode()[:-1]
    ends = [state for state in range(free.states) if (after := free.walk(begun, state)) >= 0 and free.accepting[after]]
    moves = free.moves
    edges = [
        (source, ByteSet(moves.masks[mask]), target)
        for source, mask, target in zip(moves.source.tolist(), moves.mask.tolist(), moves.target.tolist(), strict=True)
    ]
    return compile_tree(Network(max(free.states, 1), tuple(edges), 0, tuple(ends)))
