"""The front end of tool use: an answer, or calls of tools between the tags of the model's template, as one language."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import EMPTY, Embedded, Node, Repeat, literal, sequence, union
from structdiff.automata.unicode import code_points
from structdiff.core.errors import InvalidSchema, StructdiffError
from structdiff.core.json_values import json_value
from structdiff.core.limits import Limits
from structdiff.core.restrictions import Restriction
from structdiff.frontends.form import MOST, render_form
from structdiff.frontends.json_schema.frontend import json_source
from structdiff.frontends.protocol import Grammar, Source, Traits, content_key

TAGS = (("<tool_call>", "</tool_call>"), ("<|tool_call>", "<tool_call|>"))
"""How templates enclose a call; the first is the most common, and stands in for a template that says nothing."""
FREE = "text"
"""The answer beside calls is any text that does not begin as a call does."""
_CHARACTER = code_points(((0x9, 0xA), (0xD, 0xD), (0x20, 0xD7FF), (0xE000, 0x10FFFF)))
_TEXT: Node = Repeat(_CHARACTER, 1, None)


@dataclass(frozen=True)
class Call:
    """A call as the model wrote it: ``arguments`` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True)
class ToolForm:
    """A tool: its name, the JSON Schema of its arguments, and what it is for."""

    name: str
    parameters: Any
    description: str = ""


@dataclass(frozen=True, eq=False)
class ToolUse:
    """Calls of ``tools`` between ``tags``, or the answer: ``"text"``, a JSON Schema, or None for calls alone.

    ``several`` allows more than one call. ``told`` says that the template describes the tools, so that the prompt need
    not; ``answer_options`` are those of the answer's schema.

    >>> use = ToolUse((ToolForm("add", {"type": "object", "properties": {"n": {"type": "integer"}}}),))
    >>> use.calls('<tool_call>{"name": "add", "arguments": {"n": 3}}</tool_call>')
    [Call(name='add', arguments='{"n": 3}')]
    >>> use.calls("Three.") is None
    True

    Using it raises `InvalidSchema` where two tools have the same name or there is none.
    """

    tools: tuple[ToolForm, ...]
    tags: tuple[str, str] = TAGS[0]
    answer: Any = FREE
    several: bool = True
    told: bool = False
    answer_options: tuple[tuple[str, Any], ...] = ()

    def as_source(self) -> Source:
        names = [tool.name for tool in self.tools]
        if not names or len(set(names)) < len(names):
            raise InvalidSchema("tools need names of their own, and there must be one")
        parts = [json_source(tool.parameters, tool.name, json.loads, {}) for tool in self.tools]
        answer = (
            None
            if self.answer in (None, FREE)
            else json_source(self.answer, "answer", json.loads, dict(self.answer_options))
        )

        def build(limits: Limits) -> Grammar:
            restrictions: list[Restriction] = []
            calls = []
            for tool, part in zip(self.tools, parts, strict=True):
                grammar = _within(tool.name, part, limits)
                calls.append(sequence(literal(_head(tool.name)), grammar.whole(), literal("}")))
                restrictions += [replace(one, pointer=f"/{tool.name}{one.pointer}") for one in grammar.restrictions]
            opening, closing = map(literal, self.tags)
            call = sequence(opening, union(*calls), closing)
            more = Repeat(sequence(literal("\n"), call), 0, None) if self.several else EMPTY
            either = sequence(call, more)
            if answer is not None:
                grammar = answer.build(limits)
                restrictions += grammar.restrictions
                either = union(either, grammar.whole())
            elif self.answer == FREE:
                beginning = sequence(opening, Repeat(_CHARACTER, 0, None))
                either = union(either, Embedded(compile_tree(_TEXT, limits) - compile_tree(beginning, limits)))
            return Grammar(either, tuple(restrictions))

        keys = [one.key for one in (*parts, *([answer] if answer else []))]
        said = json.dumps([names, self.tags, self.answer == FREE, answer is not None, self.several])
        key = None if None in keys else content_key("tools", said, *map(str, keys))
        return Source("tools", key, build, self._value, self._prompt, Traits())

    def calls(self, text: str) -> list[Call] | None:
        """The calls that an output makes; None where it is the answer."""
        opening, closing = self.tags
        if not text.startswith(opening):
            return None
        found, at = [], 0
        while at < len(text):
            at += len(opening)
            name, _ = json.JSONDecoder().raw_decode(text, at + len('{"name": '))
            start = at + len(_head(name))
            _, end = json.JSONDecoder().raw_decode(text, start)
            found.append(Call(name, text[start:end]))
            at = end + len("}" + closing + "\n")
        return found

    def _value(self, text: str) -> Any:
        calls = self.calls(text)
        if calls is not None:
            return [{"name": call.name, "arguments": json_value(call.arguments)} for call in calls]
        return text if self.answer == FREE else json_value(text)

    def _prompt(self, text: str, instructions: str) -> str:
        head = f"{instructions.strip()}\n\n" if instructions.strip() else ""
        opening, closing = self.tags
        answer = ""
        if self.answer == FREE:
            answer = "Answer in your own words, or call tools.\n"
        elif self.answer is not None:
            answer = f"Answer with JSON of this form, or call tools:\n{render_form(self.answer)}\n"
        if not self.told:
            listed = "\n".join(_listed(self.tools))
            answer += f"A call is written as {opening}{_head('NAME')}ARGUMENTS}}{closing}. The tools:\n{listed}\n"
        return f"{head}{answer}\nText:\n{text}" if answer else f"{head}{text}"


def _head(name: str) -> str:
    return f'{{"name": {json.dumps(name)}, "arguments": '


def _within(name: str, part: Source, limits: Limits) -> Grammar:
    try:
        return part.build(limits)
    except StructdiffError as error:
        error.args = (f"in the parameters of {name}: {error}",)
        raise


def _listed(tools: Sequence[ToolForm]) -> list[str]:
    """A line for each tool; beyond the bound of a form the arguments are not shown."""
    lines, left = [], MOST
    for tool in tools:
        form = render_form(tool.parameters)
        left -= len(form) + len(tool.description)
        about = f": {' '.join(tool.description.split())}" if tool.description and left >= 0 else ""
        lines.append(f"{tool.name}{about} ARGUMENTS: {form if left >= 0 else 'not shown'}")
    return lines


def tags_of(template: str | Mapping[str, str] | None) -> tuple[str, str]:
    """The tags in which a chat template encloses a call.

    >>> tags_of("{% if tools %}<|tool_call>...<tool_call|>{% endif %}")
    ('<|tool_call>', '<tool_call|>')
    """
    text = template if isinstance(template, str) else "".join((template or {}).values())
    return next((tags for tags in reversed(TAGS) if all(tag in text for tag in tags)), TAGS[0])
