"""The requests of OpenAI's Responses API that the service understands, and how one is said as a chat completion."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from structdiff.server.api import EFFORT, MOST_LIKELY, ChatRequest, Extension, StreamOptions
from structdiff.server.errors import ApiError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class InputText(_Strict):
    """A text that a person or, in an earlier turn, the model wrote."""

    type: Literal["input_text", "output_text", "text"]
    text: str
    annotations: list[JsonValue] | None = None
    logprobs: list[JsonValue] | None = None


class InputRefusal(_Strict):
    type: Literal["refusal"]
    refusal: str


class InputImage(_Strict):
    """An image, as a data URL."""

    type: Literal["input_image"]
    image_url: str
    detail: Literal["auto", "low", "high"] | None = None
    file_id: None = None


class InputMessage(_Strict):
    """A turn; what an earlier response gave as output may be sent back as it is."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[InputText | InputRefusal | InputImage]
    id: str | None = None
    status: str | None = None
    phase: str | None = None

    @property
    def parts(self) -> str | list[dict[str, Any]]:
        """The content of the chat message that says the same."""
        return self.content if isinstance(self.content, str) else [_part(part) for part in self.content]


def _part(part: InputText | InputRefusal | InputImage) -> dict[str, Any]:
    if isinstance(part, InputImage):
        return {"type": "image_url", "image_url": {"url": part.image_url, "detail": part.detail}}
    return {"type": "text", "text": part.text if isinstance(part, InputText) else part.refusal}


class FunctionCall(_Strict):
    """A call that an earlier response made."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: str | None = None


class FunctionOutput(_Strict):
    """What a call gave."""

    type: Literal["function_call_output"]
    call_id: str
    output: str | list[InputText]
    id: str | None = None
    status: str | None = None

    @property
    def text(self) -> str:
        return self.output if isinstance(self.output, str) else "\n".join(part.text for part in self.output)


class ReasoningItem(BaseModel):
    """Thought of an earlier response; it is not read again."""

    type: Literal["reasoning"]


class FunctionTool(_Strict):
    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, JsonValue] | None = None
    strict: bool | None = None


class FunctionChoice(_Strict):
    type: Literal["function"]
    name: str


class AllowedChoice(_Strict):
    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[FunctionChoice] = Field(min_length=1)


class TextFormat(_Strict):
    """What the text must be."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema_: dict[str, JsonValue] | bool | None = Field(None, alias="schema")
    description: str | None = None
    strict: bool | None = None


class TextConfig(_Strict):
    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(_Strict):
    effort: Literal["none", "minimal", "low", "medium", "high"] | None = None
    summary: str | None = None
    generate_summary: str | None = None


Item = InputMessage | FunctionCall | FunctionOutput | ReasoningItem


class ResponsesRequest(_Strict):
    """``POST /v1/responses``. Nothing is kept: there is no earlier response to go on from."""

    model: str
    input: str | list[Item]
    instructions: str | None = None
    text: TextConfig | None = None
    tools: list[FunctionTool] | None = Field(None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | FunctionChoice | AllowedChoice | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    reasoning: Reasoning | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    seed: int | None = Field(None, ge=0, lt=2**63)
    structdiff: Extension = Extension()
    # Accepted because they change no answer.
    user: str | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    store: bool | None = None
    include: list[Literal["reasoning.encrypted_content", "message.output_text.logprobs"]] | None = None
    # Accepted where they are neutral.
    top_p: Literal[1] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_LIKELY)] | None = None
    truncation: Literal["disabled"] | None = None
    background: Literal[False] | None = None
    previous_response_id: None = None
    conversation: None = None
    prompt: None = None
    max_tool_calls: None = None

    @model_validator(mode="after")
    def _honoured(self) -> ResponsesRequest:
        if self.top_logprobs:
            raise ValueError("top_logprobs are given by chat completions alone")
        if self.include and "message.output_text.logprobs" in self.include:
            raise ValueError("log probabilities are given by chat completions alone")
        if self.structdiff.trace or self.structdiff.fields:
            raise ValueError("structdiff.trace and structdiff.fields are given by chat completions alone")
        return self


_FIELDS = {"input": "messages", "text.format": "response_format", "max_output_tokens": "max_tokens"}
"""What a field of this API is called in chat completions."""


def as_chat(request: ResponsesRequest) -> ChatRequest:
    """The chat completion that asks for the same. Raises `ApiError`."""
    messages, _ = _messages(request)
    if not messages:
        raise ApiError(400, "input: it holds no message", param="input")
    effort = request.reasoning.effort if request.reasoning is not None else None
    extension = request.structdiff
    if effort is not None and extension.think is None:
        extension = extension.model_copy(update={"think": EFFORT[effort]})
    return ChatRequest.model_validate({
        "model": request.model, "messages": messages, "seed": request.seed, "stream": bool(request.stream),
        "max_tokens": request.max_output_tokens, "temperature": request.temperature, "structdiff": extension,
        "response_format": _format(request.text.format if request.text is not None else None),
        "tools": [_tool(tool) for tool in request.tools] if request.tools else None,
        "tool_choice": _choice(request.tool_choice), "parallel_tool_calls": request.parallel_tool_calls,
    })  # fmt: skip


def _messages(request: ResponsesRequest) -> tuple[list[dict[str, Any]], list[int]]:
    """The messages of the chat, and for each the place of the item of ``input`` that says it (instructions: -1)."""
    messages: list[dict[str, Any]] = []
    places: list[int] = []
    if request.instructions:
        messages.append({"role": "system", "content": request.instructions})
        places.append(-1)
    items = request.input if isinstance(request.input, list) else [InputMessage(role="user", content=request.input)]
    for place, item in enumerate(items):
        if isinstance(item, InputMessage):
            messages.append({"role": item.role, "content": item.parts})
        elif isinstance(item, FunctionCall):
            call = {"id": item.call_id, "function": {"name": item.name, "arguments": item.arguments}}
            if messages and messages[-1]["role"] == "assistant":
                messages[-1].setdefault("tool_calls", []).append(call)
            else:
                messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        elif isinstance(item, FunctionOutput):
            messages.append({"role": "tool", "content": item.text, "tool_call_id": item.call_id})
        places += [place] * (len(messages) - len(places))
    return messages, places


def _tool(tool: FunctionTool) -> dict[str, Any]:
    return {"type": "function", "function": tool.model_dump(exclude={"type"})}


def _choice(choice: Any) -> Any:
    if isinstance(choice, FunctionChoice):
        return {"type": "function", "function": {"name": choice.name}}
    if isinstance(choice, AllowedChoice):
        tools = [{"type": "function", "function": {"name": one.name}} for one in choice.tools]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}
    return choice


def _format(form: TextFormat | None) -> Any:
    if form is None or form.type != "json_schema":
        return None if form is None else {"type": form.type}
    return {"type": "json_schema", "json_schema": {"name": form.name or "answer", "schema": form.schema_}}


def in_these_terms(error: ApiError, request: ResponsesRequest | None = None) -> ApiError:
    """An error about a chat completion, told of the response that was asked for.

    >>> in_these_terms(ApiError(400, "empty", param="messages")).body["error"]["param"]
    'input'
    """
    told = error.body["error"]
    param, message = told["param"], told["message"]
    at = re.match(r"messages\.(\d+)", param or "")
    if at is not None and request is not None:
        there = f"messages.{_messages(request)[1][int(at[1])]}{param[at.end() :]}"
        if message.startswith(param):
            told["message"] = f"input{there.removeprefix('messages')}{message.removeprefix(param)}"
        param = there
    for own, other in _FIELDS.items():
        if param is not None and (param == other or param.startswith(other + ".")):
            rest = param.removeprefix(other).removeprefix(".json_schema")
            told["param"] = own + rest
    return error
