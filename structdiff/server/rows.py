"""From a request to rows: which prompt, which budget, which policy."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from structdiff.confidence.likelihood import TokenMeter
from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import BudgetTooSmall, GenerationError, StructdiffError
from structdiff.decode.engine import Task
from structdiff.decode.policy import Policy
from structdiff.frontends.prompt import IN_IMAGE
from structdiff.model import Model
from structdiff.server.api import ChatRequest, CompletionRequest, Message
from structdiff.server.errors import ApiError
from structdiff.server.images import images_of
from structdiff.server.settings import Settings
from structdiff.server.wanted import native_tools, tool_tags
from structdiff.server.worker import step_cost

RESULTS = "The results of the tools are above."
"""What the last turn says where the template shows results and there is more to be told."""


def chat_prompt(
    model: Model, request: ChatRequest, constraint: Constraint | None, note: str, settings: Settings
) -> list[int]:
    """The prompt's token ids. The last message is the text; system messages are instructions; earlier turns stay turns
    of the chat template, calls of tools and their results among them."""
    images = images_of(model, request.messages, settings)
    told = "\n".join(m.text for m in request.messages if m.role in ("system", "developer"))
    instructions = "\n".join(filter(None, (told, note)))
    shown = [(m, images[i]) for i, m in enumerate(request.messages) if m.role not in ("system", "developer")]
    turns = [m for m, _ in shown]
    if not turns or turns[-1].role == "assistant" or not (turns[-1].text.strip() or shown[-1][1]):
        raise ApiError(400, "the last message must be a user's (or a tool's) and hold a text", param="messages")
    _fits(model, request, "messages")
    native = native_tools(model)
    said = _turns(turns, native, tool_tags(model))
    for turn, (_, seen) in zip(said, shown, strict=True):
        turn["images"] = seen
    if said[-1]["role"] == "tool":
        message = model.prompt(RESULTS, constraint, instructions)
        if message != RESULTS:
            said.append({"role": "user", "content": message})
    else:
        text = said[-1]["content"] if turns[-1].text.strip() else IN_IMAGE
        said[-1] |= {"role": "user", "content": model.prompt(text, constraint, instructions)}
    tools = [tool.model_dump(exclude_none=True) for tool in request.tools or []]
    try:
        return model.encode_chat(said, **({"tools": tools} if native and tools else {}))
    except StructdiffError as error:
        raise ApiError(400, str(error), param="messages") from None


def _turns(turns: list[Message], native: bool, tags: tuple[str, str]) -> list[dict[str, Any]]:
    """Turns for the chat template. One that does not know tools gets calls and results as texts."""
    names = {call.id: call.function.name for m in turns for call in m.tool_calls or []}
    said: list[dict[str, Any]] = []
    for m in turns:
        if m.role == "tool":
            name = names.get(m.tool_call_id or "")
            if name is None:
                raise ApiError(400, f"messages: {m.tool_call_id!r} is the id of no earlier call", param="messages")
            text = m.text if native else f"Result of {name}:\n{m.text}"
            more = {"name": name, "tool_call_id": m.tool_call_id} if native else {}
            said.append({"role": "tool" if native else "user", "content": text} | more)
        elif m.tool_calls and native:
            said.append({"role": "assistant", "content": m.text, "tool_calls": [
                {"id": c.id, "type": "function", "function": {"name": c.function.name, "arguments": _parsed(c)}}
                for c in m.tool_calls
            ]})  # fmt: skip
        elif m.tool_calls:
            calls = [
                f'{tags[0]}{{"name": {json.dumps(c.function.name)}, "arguments": {c.function.arguments}}}{tags[1]}'
                for c in m.tool_calls
            ]
            said.append({"role": "assistant", "content": "\n".join(filter(None, [m.text, *calls]))})
        else:
            said.append({"role": "assistant" if m.role == "assistant" else "user", "content": m.text})
    return said


def _parsed(call: Any) -> Any:
    """A call's arguments as templates take them."""
    try:
        return json.loads(call.function.arguments)
    except ValueError:
        return call.function.arguments


def _fits(model: Model, request: ChatRequest | CompletionRequest, param: str) -> None:
    """Refuse quickly what cannot fit the context, before anything is encoded."""
    texts = [m.text for m in request.messages] if isinstance(request, ChatRequest) else [request.prompt]
    fewest = sum(model.plain.fewest(text) for text in texts)
    if fewest > model.denoiser.spec.context_length:
        raise ApiError(
            400, f"the prompt has at least {fewest} tokens but the model's context holds "
            f"{model.denoiser.spec.context_length}; shorten the text", code="context_length_exceeded",
        )  # fmt: skip


def tasks(
    model: Model,
    request: ChatRequest | CompletionRequest,
    constraint: Constraint | None,
    note: str,
    seed: int,
    settings: Settings,
) -> list[Task]:
    """One row per choice, seeds counting up. Raises `ApiError` for what cannot be honoured."""
    if request.stops and constraint is not None:
        raise ApiError(400, "stop cannot be honoured with a constraint: it would cut a valid answer", param="stop")
    if isinstance(request, ChatRequest):
        prompt = chat_prompt(model, request, constraint, note, settings)
    else:
        _fits(model, request, "prompt")
        prompt = model.plain.framed(request.prompt)
    constraint = _bound(constraint, request)
    try:
        task = model.row(prompt, constraint, request.budget, seed, request.think, request.structdiff.fields)
    except BudgetTooSmall as error:
        raise ApiError.of(error) from None
    except GenerationError as error:
        raise ApiError(400, str(error), code="context_length_exceeded") from None
    if (cost := step_cost(task, model.denoiser.spec.canvas_length)) > settings.max_step:
        raise ApiError(
            400, f"a step of this constraint costs {cost} edges times positions and this service allows "
            f"{settings.max_step}; simplify the constraint", code="schema_too_large",
        )  # fmt: skip
    task = replace(task, policy=_policy(model.policy, request.temperature))
    if request.structdiff.fields and not task.on_commit:
        raise ApiError(400, "only the fields of an answer under a constraint are measured", param="structdiff.fields")
    if request.wants_logprobs and request.stops:
        raise ApiError(400, "logprobs are of whole canvases, which stop would cut; give one", param="logprobs")
    rows = [task, *(_again(model, request, constraint, task) for _ in range(request.n - 1))]
    return [replace(row, seed=seed + i, on_commit=_meters(request, row)) for i, row in enumerate(rows)]


def _bound(constraint: Constraint | None, request: ChatRequest | CompletionRequest) -> Constraint | None:
    """The constraint of the request's text: that of the last message, or the prompt. Raises `ApiError`."""
    if constraint is None or constraint.laying is None:
        return constraint
    if constraint.laying.ignores_case:
        raise ApiError(400, "x-verbatim cannot ignore case here: a text that is streamed is not spelt anew afterwards")
    if isinstance(request, ChatRequest):
        text, param = [m.text for m in request.messages if m.role not in ("system", "developer")][-1], "messages"
    else:
        text, param = request.prompt, "prompt"
    try:
        return constraint.for_text(text)
    except StructdiffError as error:
        raise ApiError(400, str(error), param=param) from None


def _again(model: Model, request: ChatRequest | CompletionRequest, constraint: Constraint | None, task: Task) -> Task:
    """The same row once more, with listeners of its own."""
    row = model.row(task.prompt, constraint, request.budget, task.seed, request.think, request.structdiff.fields)
    return replace(row, policy=task.policy)


def _meters(request: ChatRequest | CompletionRequest, row: Task) -> tuple[Any, ...]:
    return (*row.on_commit, TokenMeter(request.top)) if request.wants_logprobs else row.on_commit


def _policy(policy: Policy, temperature: float | None) -> Policy | None:
    return None if temperature is None or temperature == 1 else policy.scaled(temperature)
