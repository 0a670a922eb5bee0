"""What a request wants: which constraint, and how the text becomes content or calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from structdiff.core.errors import StructdiffError
from structdiff.frontends import named
from structdiff.frontends.choice import Choice
from structdiff.frontends.json_schema.document import draft_of
from structdiff.frontends.pinned import Pinned
from structdiff.frontends.regex.frontend import Regex
from structdiff.frontends.tools import FREE, Call, ToolForm, ToolUse, tags_of
from structdiff.model import Model
from structdiff.server.api import ChatRequest, CompletionRequest, NamedTool, Tool, ToolSubset
from structdiff.server.errors import ApiError

ANY_OBJECT = {"type": "object"}
NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}


@dataclass(frozen=True)
class Wanted:
    """What the answer must be: a source with options for `Model.compile` (None: free text), the field that said so, and
    how the text becomes tool calls (``calls`` gives None where it is the content).

    ``forced`` says that the caller named the function, ``beginning`` is how a text begins that makes calls, and
    ``answers`` says that the text may be an answer in place of calls.
    """

    source: Any = None
    options: tuple[tuple[str, Any], ...] = ()
    param: str = ""
    calls: Callable[[str], list[Call] | None] | None = None
    note: str = ""
    forced: bool = False
    beginning: str = ""
    answers: bool = False


def native_tools(model: Model) -> bool:
    """Does the model's chat template know tools?"""
    return "tool_calls" in _template(model)


def _template(model: Model) -> str:
    template = getattr(model.tokenizer, "chat_template", None) or ""
    return template if isinstance(template, str) else "".join(template.values())


def tool_tags(model: Model) -> tuple[str, str]:
    """The tags in which the model's template encloses a call."""
    return tags_of(_template(model))


def wanted(request: ChatRequest | CompletionRequest, model: Model) -> Wanted:
    """The constraint that a request asks for, whichever way it does. Raises `ApiError` for two at once."""
    found = []
    if request.structured_outputs is not None:
        found.append(_structured(request))
    if isinstance(request, ChatRequest):
        form = _format(request)
        tool = _tool(request, model, form)
        with_answer = tool is not None and tool.answers
        found += [one for one in (None if with_answer else form, tool) if one is not None]
    if len(found) > 1:
        raise ApiError(400, f"{found[0].param} and {found[1].param} both say what the answer is; give one",
                       param=found[1].param)  # fmt: skip
    want = found[0] if found else Wanted()
    if request.structdiff.strict:
        want = replace(want, options=(*want.options, ("strict", True)))
    if request.structdiff.verbatim:
        if not isinstance(want.source, dict | bool):
            raise ApiError(400, "verbatim is for the strings of an answer under a schema", param="structdiff.verbatim")
        want = replace(want, options=(*want.options, ("verbatim", True)))
    if request.structdiff.pinned is None:
        return want
    if want.source is None:
        raise ApiError(400, "values are pinned in an answer under a schema; give one", param="structdiff.pinned")
    compiling = dict(want.options)
    own = {name: compiling.pop(name) for name in ("strict",) if name in compiling}
    pinned = Pinned(want.source, request.structdiff.pinned, compiling)
    return replace(want, source=pinned, options=tuple(own.items()))


def _format(request: ChatRequest) -> Wanted | None:
    form = request.response_format
    if form is None or form.type == "text":
        return None
    if form.json_schema is not None and form.json_schema.schema_ is not None:
        return Wanted(form.json_schema.schema_, (), "response_format.json_schema.schema")
    if form.schema_ is not None:
        return Wanted(form.schema_, (), "response_format.schema")
    return Wanted(ANY_OBJECT, (("extra_properties", "schema"),), "response_format")


def _structured(request: ChatRequest | CompletionRequest) -> Wanted:
    asked = request.structured_outputs
    assert asked is not None
    if asked.named is not None:
        name, text = asked.named
        try:
            return Wanted(named(name).from_text(text), (), f"structured_outputs.{name}")
        except StructdiffError as error:
            raise ApiError.of(error, f"structured_outputs.{name}") from None
    if asked.regex is not None:
        return Wanted(Regex(asked.regex), (), "structured_outputs.regex")
    if asked.choice is not None:
        try:
            return Wanted(Choice(asked.choice), (), "structured_outputs.choice")
        except StructdiffError as error:
            raise ApiError.of(error, "structured_outputs.choice") from None
    schema = asked.json_
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ApiError(400, f"the schema is not JSON: {error}", param="structured_outputs.json") from None
        if not isinstance(schema, dict | bool):
            raise ApiError(400, "the schema is neither an object nor a boolean", param="structured_outputs.json")
    return Wanted(schema, (), "structured_outputs.json")


def _tool(request: ChatRequest, model: Model, form: Wanted | None) -> Wanted | None:
    choice = request.tool_choice
    if not request.tools:
        if choice not in (None, "none", "auto"):
            raise ApiError(400, "tool_choice needs tools", param="tool_choice")
        return None
    if len({tool.function.name for tool in request.tools}) < len(request.tools):
        raise ApiError(400, "two tools have the same name", param="tools")
    if choice == "none":
        return None
    tools = _chosen(request, choice)
    if isinstance(choice, NamedTool):
        name = tools[0].function.name
        return Wanted(parameters(tools[0]), (), "tools", lambda text: [Call(name, text)], _describe(tools), True)
    mode = choice.allowed_tools.mode if isinstance(choice, ToolSubset) else choice or "auto"
    several = request.parallel_tool_calls is not False
    if mode == "auto":
        if request.structured_outputs is not None:
            raise ApiError(400, "structured_outputs and tools both say what the answer is; give one, or tool_choice",
                           param="tools")  # fmt: skip
        answer = FREE if form is None else form.source
        return _tagged(tools, model, answer, several, () if form is None else form.options)
    if several and request.parallel_tool_calls:
        return _tagged(tools, model, None, True)
    if len(tools) == 1:
        name = tools[0].function.name
        return Wanted(parameters(tools[0]), (), "tools", lambda text: [Call(name, text)], _describe(tools))
    return Wanted(_one_of(tools), (), "tools", _split_call, _describe(tools))


def _tagged(
    tools: list[Tool], model: Model, answer: Any, several: bool, options: tuple[tuple[str, Any], ...] = ()
) -> Wanted:
    forms = tuple(ToolForm(t.function.name, parameters(t), t.function.description or "") for t in tools)
    use = ToolUse(forms, tool_tags(model), answer, several, native_tools(model), options)
    return Wanted(use, (), "tools", use.calls, "", False, use.tags[0], answer is not None)


def _chosen(request: ChatRequest, choice: Any) -> list[Tool]:
    assert request.tools is not None
    if isinstance(choice, NamedTool):
        names = [choice.function.name]
    elif isinstance(choice, ToolSubset):
        names = [one.function.name for one in choice.allowed_tools.tools]
    else:
        return request.tools
    known = {tool.function.name: tool for tool in request.tools}
    for name in names:
        if name not in known:
            raise ApiError(400, f"tool_choice names {name!r}, which is not among the tools", param="tool_choice")
    return [known[name] for name in names]


def parameters(tool: Tool) -> Any:
    """The schema of a tool's arguments; without one it takes none."""
    return tool.function.parameters if tool.function.parameters is not None else NO_ARGUMENTS


def _one_of(tools: list[Tool]) -> dict[str, Any]:
    """The schema of a call: the name, then arguments by the schema of that name's tool. ``$ref`` stays inside its own
    schema, which becomes a resource of its own."""
    calls = []
    for tool in tools:
        calls.append({
            "type": "object",
            "properties": {"name": {"const": tool.function.name}, "arguments": _resource(tool)},
            "required": ["name", "arguments"],
        })  # fmt: skip
    return {"anyOf": calls}


def _resource(tool: Tool) -> Any:
    """A tool's arguments as a schema with an identifier, to which its references are relative."""
    arguments = parameters(tool)
    draft = draft_of(arguments)
    identifier = "id" if draft == "4" else "$id"
    if identifier in arguments:
        return arguments
    if "$ref" in arguments and draft in ("4", "6", "7"):  # beside a $ref nothing counts there but what it leads to
        kept = {key: arguments[key] for key in ("$schema", "definitions", "$defs") if key in arguments}
        arguments = {**kept, "allOf": [{"$ref": arguments["$ref"]}]}
    return {identifier: f"tool:{tool.function.name}", **arguments}


def _split_call(text: str) -> list[Call]:
    call = json.loads(text)
    return [Call(call["name"], json.dumps(call["arguments"], ensure_ascii=False))]


def _describe(tools: list[Tool]) -> str:
    lines = [f"{t.function.name}: {t.function.description}" for t in tools if t.function.description]
    return "\n".join(["Give the arguments of the call.", *lines])
