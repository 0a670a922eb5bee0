"""How families of models write the call of a tool: JSON between tags, JSON alone, or each argument between tags.

>>> FORMS["llama"].head("add"), FORMS["qwen"].head("add")
('{"name": "add", "parameters": ', '<tool_call>\\n<function=add>\\n')
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import ByteSet, Embedded, Network, Node, literal, sequence
from structdiff.core.errors import Unsatisfiable, UnsupportedSchema
from structdiff.core.limits import Limits
from structdiff.core.restrictions import Restriction
from structdiff.frontends.json_schema.frontend import json_source
from structdiff.frontends.marked_json import MARK, marked, read_marked
from structdiff.frontends.protocol import Grammar
from structdiff.frontends.regex.parser import parse_regex

_NOTES = frozenset(
    ("title", "description", "$schema", "$comment", "default", "examples", "$defs", "definitions", "type")
)


@dataclass(frozen=True)
class Flat:
    """Arguments one by one: a name between ``before`` and ``opens``, then the value up to ``closes``.

    A string is written as it is, any other value as JSON. A value matches none of the patterns ``never``; a string none
    of ``not_text`` as a whole.
    """

    before: str
    opens: str
    closes: str
    between: str
    never: str
    not_text: str = ""
    names: str = r"[^<>\s]+"


@dataclass(frozen=True)
class CallForm:
    """A call is ``before`` with the name in it, the arguments, ``after``; several stand with ``between`` in between.

    ``opening`` is how a call begins. Where arguments stand one by one (``flat``) or with marks in place of quotes
    (``marks``) the name is as it is, else it is JSON.
    """

    opening: str
    before: str
    after: str
    between: str = "\n"
    flat: Flat | None = None
    marks: bool = False

    def head(self, name: str) -> str:
        """What stands before the arguments of a call."""
        return self.before.replace("NAME", name if self.flat or self.marks else json.dumps(name))

    def shown(self) -> str:
        """A call as a person is told of it."""
        arguments = f"{{ARGUMENT:{MARK}VALUE{MARK}}}" if self.marks else "ARGUMENTS"
        if self.flat is not None:
            arguments = f"{self.flat.before}ARGUMENT{self.flat.opens}VALUE{self.flat.closes}"
        return self.head("NAME") + arguments + self.after

    def arguments(self, parameters: Any, name: str, limits: Limits) -> Grammar:
        """The language of a tool's arguments by their JSON Schema."""
        if self.flat is not None:
            return _flat(self.flat, parameters, limits)
        if self.marks:
            return _with_marks(parameters, name, limits)
        return json_source(parameters, name, json.loads, {}).build(limits)

    def read(self, text: str, at: int, parameters: Any) -> tuple[str, int]:
        """The arguments that are written at a place, as JSON text, and where they end."""
        if self.marks:
            value, end = read_marked(text, at)
            return json.dumps(value, ensure_ascii=False), end
        if self.flat is None:
            _, end = json.JSONDecoder().raw_decode(text, at)
            return text[at:end], end
        flat = self.flat
        found: dict[str, Any] = {}
        while not text.startswith(self.after, at):
            at += len(flat.between) * bool(found) + len(flat.before)
            name, start = text[at : (opens := text.index(flat.opens, at))], opens + len(flat.opens)
            end = text.index(flat.closes, start)
            is_text = _values(json.dumps(_property(parameters, name)))[1]
            found[name] = text[start:end] if is_text else json.loads(text[start:end])
            at = end + len(flat.closes)
        return json.dumps(found, ensure_ascii=False), at


def tagged(tags: tuple[str, str]) -> CallForm:
    """The form of Hermes and Qwen: JSON between two tags."""
    return CallForm(tags[0], f'{tags[0]}{{"name": NAME, "arguments": ', f"}}{tags[1]}")


FORMS = {
    "hermes": tagged(("<tool_call>", "</tool_call>")),
    "llama": CallForm('{"name": ', '{"name": NAME, "parameters": ', "}", "; "),
    "python_tag": CallForm("<|python_tag|>", '<|python_tag|>{"name": NAME, "parameters": ', "}", "; "),
    "qwen": CallForm(
        "<tool_call>",
        "<tool_call>\n<function=NAME>\n",
        "</function>\n</tool_call>",
        flat=Flat("<parameter=", ">\n", "\n</parameter>\n", "", r"<\s*/?\s*(parameter|function|tool_call|think)|<\|"),
    ),
    "gemma": CallForm(
        "<start_function_call>",
        "<start_function_call>call:NAME{",
        "}<end_function_call>",
        "",
        flat=Flat(
            "", ":<escape>", "<escape>", ",", r"<escape>|<(start|end)_function",
            r"\s*([-\d\[{\"]|true\s*$|false\s*$|null\s*$|NaN\s*$|Infinity\s*$).*", r"\w+",
        ),
    ),
    "gemma4": CallForm("<|tool_call>", "<|tool_call>call:NAME", "<tool_call|>", "", marks=True),
}  # fmt: skip
"""``llama``: Llama 3 with JSON, ``python_tag``: its earlier form, ``qwen``: Qwen3-Coder, ``gemma``: FunctionGemma,
``gemma4``: Gemma 4 and DiffusionGemma."""


def form_of(template: str) -> str:
    """The name of the form that a chat template shows.

    >>> form_of("... <function= ... <parameter= ..."), form_of("... <tool_call> ..."), form_of("")
    ('qwen', 'hermes', 'hermes')
    """
    if "<|tool_call>call:" in template:
        return "gemma4"
    if "<function=" in template and "<parameter=" in template:
        return "qwen"
    if "<start_function_call>" in template:
        return "gemma"
    if "<|python_tag|>" in template:
        return "llama"
    return "hermes"


def _property(parameters: Mapping[str, Any], name: str) -> Any:
    """The schema of one argument, with the definitions that it may refer to."""
    shared = {key: parameters[key] for key in ("$schema", "$defs", "definitions") if key in parameters}
    found = parameters["properties"][name]
    return {**shared, "allOf": [found]} if shared and isinstance(found, dict) else found


@lru_cache(maxsize=512)
def _values(schema: str) -> tuple[ByteAutomaton, bool, tuple[Restriction, ...]]:
    """The texts of a value, whether they are strings without their quotes, and what is never written."""
    grammar = json_source(json.loads(schema), "argument", json.loads, {"whitespace": "compact"}).build(Limits())
    whole = compile_tree(grammar.whole())
    strings = whole & compile_tree(sequence(literal('"'), parse_regex("(?s:.)*")))
    if strings.is_empty:
        return whole, False, grammar.restrictions
    if strings != whole:
        raise UnsupportedSchema("", "type", "a value is a string or it is not; where both may be, no reader could tell")
    return _unquoted(whole), True, grammar.restrictions


def _unquoted(literals: ByteAutomaton) -> ByteAutomaton:
    """The strings that are spelled as they are, without the quotes around them."""
    start, moves = literals.walk(b'"'), literals.moves
    plain = ~(1 << ord('"') | 1 << ord("\\"))
    edges = [
        (source, ByteSet(moves.masks[mask] & plain), target)
        for source, mask, target in zip(moves.source.tolist(), moves.mask.tolist(), moves.target.tolist(), strict=True)
        if moves.masks[mask] & plain
    ]
    finals = [
        state for state in range(literals.states)
        if (end := literals.walk(b'"', state)) >= 0 and literals.accepting[end] and state
    ]  # fmt: skip
    return compile_tree(Network(literals.states, tuple(edges), start, tuple(finals)))


def _with_marks(parameters: Any, name: str, limits: Limits) -> Grammar:
    grammar = json_source(parameters, name, json.loads, {"whitespace": "compact"}).build(limits)
    texts = marked(compile_tree(grammar.whole(), limits), limits)
    if texts.is_empty:
        raise Unsatisfiable("the form can write no value of the arguments: names need letters, digits or _.$-")
    reason = "strings hold neither <| nor |>, names are letters, digits and _.$-"
    return Grammar(Embedded(texts), (*grammar.restrictions, Restriction("", "call", reason)))


def _flat(flat: Flat, parameters: Any, limits: Limits) -> Grammar:
    properties = parameters.get("properties", {}) if isinstance(parameters, dict) else None
    if properties is None or parameters.get("type", "object") != "object":
        raise UnsupportedSchema("", "type", "arguments one by one are those of an object")
    for key in sorted(set(parameters) - _NOTES - {"properties", "required", "additionalProperties"}):
        raise UnsupportedSchema(f"/{key}", key, "arguments one by one are checked one by one")
    required = parameters.get("required", [])
    if missing := [name for name in required if name not in properties]:
        raise UnsupportedSchema("/required", missing[0], "an argument needs a property of its own")
    edges: list[tuple[int, Node | None, int]] = []
    restrictions: list[Restriction] = []
    for number, name in enumerate(properties):
        node, more = _argument(flat, parameters, name)
        restrictions += more
        here, after = 2 * number, 2 * number + 2  # odd states: an argument stands before
        edges.append((here, node, after + 1))
        edges.append((here + 1, sequence(literal(flat.between), node), after + 1))
        if name not in required:
            edges += [(here, None, after), (here + 1, None, after + 1)]
    last = 2 * len(properties)
    return Grammar(Network(last + 2, tuple(edges), 0, (last, last + 1)), tuple(restrictions))


def _argument(flat: Flat, parameters: Any, name: str) -> tuple[Node, list[Restriction]]:
    pointer = f"/properties/{name}"
    if not re.fullmatch(flat.names, name):
        raise UnsupportedSchema(pointer, "properties", f"the form has no place for the name {name!r}")
    try:
        texts, is_text, left_out = _values(json.dumps(_property(parameters, name)))
    except UnsupportedSchema as error:
        raise UnsupportedSchema(pointer + error.pointer, error.keyword, error.reason) from None
    kept = texts - compile_tree(parse_regex(f"(?s:.*({flat.never}).*)"))
    if is_text and flat.not_text:
        kept = kept - compile_tree(parse_regex(f"(?s:{flat.not_text})"))
    if kept.is_empty:
        raise Unsatisfiable("the form can write no value of it", pointer)
    reason = "no quote, backslash or line break is written" if is_text else "no tag is written inside"
    node = sequence(literal(flat.before + name + flat.opens), Embedded(kept), literal(flat.closes))
    return node, [*left_out, *([Restriction(pointer, "call", reason)] if is_text or kept != texts else [])]
