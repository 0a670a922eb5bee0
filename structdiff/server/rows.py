"""From a request to rows: which constraint, which prompt, which budget."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from structdiff.confidence.likelihood import TokenMeter
from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import BudgetTooSmall, GenerationError, StructdiffError
from structdiff.decode.engine import Task
from structdiff.decode.policy import Policy
from structdiff.frontends import named
from structdiff.frontends.choice import Choice
from structdiff.frontends.pinned import Pinned
from structdiff.frontends.regex.frontend import Regex
from structdiff.model import Model
from structdiff.server.api import ChatRequest, CompletionRequest, Message, NamedTool, Tool
from structdiff.server.errors import ApiError

ANY_OBJECT = {"type": "object"}
COLDEST = 0.01
"""Stands in for temperature 0, by which logits cannot be divided."""


@dataclass(frozen=True)
class Wanted:
    """What the answer must be: a source with options for `Model.compile` (None: free text), the field that said so, and
    how the text becomes tool calls (None: it is the content)."""

    source: Any = None
    options: tuple[tuple[str, Any], ...] = ()
    param: str = ""
    tool_calls: Callable[[str], list[tuple[str, str]]] | None = None
    note: str = ""


def wanted(request: ChatRequest | CompletionRequest) -> Wanted:
    """The constraint that a request asks for, whichever way it does. Raises `ApiError` for two at once."""
    found = []
    if request.structured_outputs is not None:
        found.append(_structured(request))
    if isinstance(request, ChatRequest):
        form = request.response_format
        if form is not None and form.json_schema is not None:
            found.append(Wanted(form.json_schema.schema_, (), "response_format.json_schema.schema"))
        elif form is not None and form.schema_ is not None:
            found.append(Wanted(form.schema_, (), "response_format.schema"))
        elif form is not None and form.type == "json_object":
            found.append(Wanted(ANY_OBJECT, (("extra_properties", "schema"),), "response_format"))
        tool = _tool(request)
        if tool is not None:
            found.append(tool)
    if len(found) > 1:
        raise ApiError(400, f"{found[0].param} and {found[1].param} both say what the answer is; give one",
                       param=found[1].param)  # fmt: skip
    want = found[0] if found else Wanted()
    if request.structdiff.strict:
        want = replace(want, options=(*want.options, ("strict", True)))
    if request.structdiff.pinned is None:
        return want
    if want.source is None:
        raise ApiError(400, "values are pinned in an answer under a schema; give one", param="structdiff.pinned")
    compiling = dict(want.options)
    own = {name: compiling.pop(name) for name in ("strict",) if name in compiling}
    pinned = Pinned(want.source, request.structdiff.pinned, compiling)
    return replace(want, source=pinned, options=tuple(own.items()))


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
        except json.JSONDecodeError as error:
            raise ApiError(400, f"the schema is not JSON: {error}", param="structured_outputs.json") from None
        if not isinstance(schema, dict | bool):
            raise ApiError(400, "the schema is neither an object nor a boolean", param="structured_outputs.json")
    return Wanted(schema, (), "structured_outputs.json")


def _tool(request: ChatRequest) -> Wanted | None:
    if not request.tools:
        if request.tool_choice not in (None, "none"):
            raise ApiError(400, "tool_choice needs tools", param="tool_choice")
        return None
    if request.tool_choice == "none":
        return None
    if request.tool_choice is None:
        raise ApiError(
            400, "whether to call a tool is not left to the model: tool_choice must be 'required', 'none' or a "
            "function's name", param="tool_choice",
        )  # fmt: skip
    tools = request.tools
    if isinstance(request.tool_choice, NamedTool):
        name = request.tool_choice.function.name
        tools = [tool for tool in tools if tool.function.name == name]
        if not tools:
            raise ApiError(400, f"tool_choice names {name!r}, which is not among the tools", param="tool_choice")
    if len(tools) == 1:
        name = tools[0].function.name
        return Wanted(_parameters(tools[0]), (), "tools", lambda text: [(name, text)], _describe(tools))
    if len({tool.function.name for tool in tools}) < len(tools):
        raise ApiError(400, "two tools have the same name", param="tools")
    return Wanted(_one_of(tools), (), "tools", _split_call, _describe(tools))


def _parameters(tool: Tool) -> Any:
    return tool.function.parameters if tool.function.parameters is not None else {"type": "object"}


def _one_of(tools: list[Tool]) -> dict[str, Any]:
    """The schema of a call: the name, then arguments by the schema of that name's tool. ``$ref`` stays inside its own
    schema, which becomes a resource of its own."""
    calls = []
    for tool in tools:
        arguments = _parameters(tool)
        if "$id" not in arguments:
            arguments = {"$id": f"tool:{tool.function.name}", **arguments}
        calls.append({
            "type": "object",
            "properties": {"name": {"const": tool.function.name}, "arguments": arguments},
            "required": ["name", "arguments"],
        })  # fmt: skip
    return {"anyOf": calls}


def _split_call(text: str) -> list[tuple[str, str]]:
    call = json.loads(text)
    return [(call["name"], json.dumps(call["arguments"], ensure_ascii=False))]


def _describe(tools: list[Tool]) -> str:
    lines = [f"{t.function.name}: {t.function.description}" for t in tools if t.function.description]
    return "\n".join(["Give the arguments of the call.", *lines])


def chat_prompt(model: Model, request: ChatRequest, constraint: Constraint | None, note: str) -> list[int]:
    """The prompt's token ids. The last user message is the text; system messages are instructions; earlier turns stay
    turns of the chat template."""
    instructions = "\n".join(m.text for m in request.messages if m.role in ("system", "developer"))
    turns = [m for m in request.messages if m.role not in ("system", "developer")]
    if not turns or turns[-1].role == "assistant" or not turns[-1].text.strip():
        raise ApiError(400, "the last message must be a user's (or a tool's) and hold a text", param="messages")
    message = model.prompt(turns[-1].text, constraint, "\n".join(filter(None, (instructions, note))))
    history = [{"role": _role(m), "content": m.text} for m in turns[:-1]]
    try:
        return model.encode_chat([*history, {"role": "user", "content": message}])
    except StructdiffError as error:
        raise ApiError(400, str(error), param="messages") from None


def _role(message: Message) -> str:
    return "assistant" if message.role == "assistant" else "user"


def tasks(
    model: Model, request: ChatRequest | CompletionRequest, constraint: Constraint | None, note: str, seed: int
) -> list[Task]:
    """One row per choice, seeds counting up. Raises `ApiError` for what cannot be honoured."""
    if request.stops and constraint is not None:
        raise ApiError(400, "stop cannot be honoured with a constraint: it would cut a valid answer", param="stop")
    if isinstance(request, ChatRequest):
        prompt = chat_prompt(model, request, constraint, note)
    else:
        prompt = model.plain.framed(request.prompt)
    try:
        task = model.row(prompt, constraint, request.budget, seed, request.think, request.structdiff.fields)
    except BudgetTooSmall as error:
        raise ApiError.of(error) from None
    except GenerationError as error:
        raise ApiError(400, str(error), code="context_length_exceeded") from None
    task = replace(task, policy=_policy(model.policy, request.temperature))
    if request.structdiff.fields and not task.on_commit:
        raise ApiError(400, "only the fields of an answer under a constraint are measured", param="structdiff.fields")
    if request.wants_logprobs and request.stops:
        raise ApiError(400, "logprobs are of whole canvases, which stop would cut; give one", param="logprobs")
    rows = [task, *(_again(model, request, constraint, task) for _ in range(request.n - 1))]
    return [replace(row, seed=seed + i, on_commit=_meters(request, row)) for i, row in enumerate(rows)]


def _again(model: Model, request: ChatRequest | CompletionRequest, constraint: Constraint | None, task: Task) -> Task:
    """The same row once more, with listeners of its own."""
    row = model.row(task.prompt, constraint, request.budget, task.seed, request.think, request.structdiff.fields)
    return replace(row, policy=task.policy)


def _meters(request: ChatRequest | CompletionRequest, row: Task) -> tuple[Any, ...]:
    return (*row.on_commit, TokenMeter(request.top)) if request.wants_logprobs else row.on_commit


def _policy(policy: Policy, temperature: float | None) -> Policy | None:
    if temperature is None or temperature == 1:
        return None
    scale = max(temperature, COLDEST)
    colder = replace(policy, t_min=policy.t_min * scale, t_max=policy.t_max * scale)
    return replace(colder, candidate="maximum") if temperature == 0 else colder
