"""The requests of OpenAI's API that the service understands. A field it cannot honour is refused by name."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from structdiff.frontends import front_ends

MOST_THOUGHT = 16
"""Canvases that a request may ask to be written before its answer."""
MOST_LIKELY = 20
"""Likeliest tokens that a request may ask for at each position."""
EFFORT = {"none": 0, "minimal": 1, "low": 1, "medium": 2, "high": 4}
"""Canvases of thought by OpenAI's names of reasoning effort."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TextPart(_Strict):
    """A part of a message's content that is text."""

    type: Literal["text"]
    text: str


class RefusalPart(_Strict):
    """A part of an assistant's earlier message in which it refused."""

    type: Literal["refusal"]
    refusal: str

    @property
    def text(self) -> str:
        return self.refusal


class ImageUrl(_Strict):
    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(_Strict):
    """An image in a user's message, as a data URL; a model that reads none refuses it by its name."""

    type: Literal["image_url"]
    image_url: ImageUrl


class CalledFunction(_Strict):
    name: str
    arguments: str


class ToolCall(_Strict):
    """A call in an assistant's earlier message."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(_Strict):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart | RefusalPart | ImagePart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    # What clients send back of an earlier answer.
    reasoning: str | None = None
    reasoning_content: str | None = None
    annotations: list[JsonValue] | None = None
    provider_specific_fields: dict[str, JsonValue] | None = None
    audio: None = None
    function_call: None = None

    @model_validator(mode="after")
    def _whole(self) -> Message:
        if self.tool_calls and self.role != "assistant":
            raise ValueError("tool_calls belong to a message of the assistant")
        if (self.role == "tool") != (self.tool_call_id is not None):
            raise ValueError("tool_call_id belongs to a message of the role 'tool', which needs one")
        return self

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        said = [part.text for part in self.content or [] if not isinstance(part, ImagePart)]
        return "\n".join(said) or self.refusal or ""


class JsonSchema(_Strict):
    """A named schema, any object without one; ``strict`` changes nothing, since every answer is valid anyway."""

    name: str
    schema_: dict[str, JsonValue] | bool | None = Field(None, alias="schema")
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(_Strict):
    """What the answer must be. ``schema`` beside the type "json_object" is how instructor and others ask for it.

    The type "structural_tag" is vLLM's: ``format``, or ``structures`` and ``triggers``.
    """

    type: Literal["text", "json_object", "json_schema", "structural_tag"]
    json_schema: JsonSchema | None = None
    schema_: dict[str, JsonValue] | bool | None = Field(None, alias="schema")
    format: dict[str, JsonValue] | None = None
    structures: list[dict[str, JsonValue]] | None = None
    triggers: list[str] | None = None

    @model_validator(mode="after")
    def _complete(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema belongs to the type 'json_schema', and only there")
        if self.schema_ is not None and self.type != "json_object":
            raise ValueError("schema belongs to the type 'json_object', and only there")
        tags = {"format": self.format, "structures": self.structures, "triggers": self.triggers}
        for name in [name for name, value in tags.items() if value is not None and self.type != "structural_tag"]:
            raise ValueError(f"{name} belongs to the type 'structural_tag', and only there")
        return self


class StructuredOutputs(BaseModel):
    """The constraint as vLLM's clients write it: one of json, regex, choice, grammar, structural_tag, or the name
    of another front end. ``grammar`` is in Lark's language, or in EBNF or GBNF."""

    model_config = ConfigDict(extra="allow")

    json_: dict[str, JsonValue] | bool | str | None = Field(None, alias="json")
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    structural_tag: dict[str, JsonValue] | str | None = None

    @model_validator(mode="after")
    def _one(self) -> StructuredOutputs:
        others = self.model_extra or {}
        for name, text in others.items():
            if name not in front_ends():
                raise ValueError(f"there is no front end {name!r}; known are {', '.join(sorted(front_ends()))}")
            if not isinstance(text, str):
                raise ValueError(f"{name} takes a text, not {type(text).__name__}")
        own = (self.json_, self.regex, self.choice, self.grammar, self.structural_tag)
        if sum(value is not None for value in (*own, *others.values())) != 1:
            names = ", ".join(dict.fromkeys(["json", "regex", "choice", "grammar", "structural_tag", *others]))
            raise ValueError(f"give exactly one of {names}")
        return self

    @property
    def named(self) -> tuple[str, str] | None:
        """(the name of another front end, the text of its source), if that is what was given."""
        if self.grammar is not None:
            return "grammar", self.grammar
        if self.structural_tag is not None:
            tag = self.structural_tag
            return "structural_tag", tag if isinstance(tag, str) else json.dumps(tag)
        return next(iter((self.model_extra or {}).items()), None)


class Function(_Strict):
    """A function that the answer may call."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    description: str | None = None
    parameters: dict[str, JsonValue] | None = None
    strict: bool | None = None


class Tool(_Strict):
    type: Literal["function"]
    function: Function


class FunctionName(_Strict):
    name: str


class NamedTool(_Strict):
    type: Literal["function"]
    function: FunctionName


class AllowedTools(_Strict):
    mode: Literal["auto", "required"]
    tools: list[NamedTool] = Field(min_length=1)


class ToolSubset(_Strict):
    """Some of the tools, whichever the request lists."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


class StreamOptions(_Strict):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Extension(_Strict):
    """What only this service has.

    ``verbatim`` takes strings without format, pattern, enum and const from the text of the last message.
    ``trace`` streams every denoising step. ``fields`` tells how sure each field is. ``think`` is a number of canvases
    that the model writes freely before the answer. ``pinned`` fixes values by property name or JSON Pointer. ``strict``
    refuses a schema of which not everything can be written.
    """

    trace: bool = False
    fields: bool = False
    strict: bool = False
    verbatim: bool = False
    pinned: dict[str, JsonValue] | None = None
    think: Annotated[int, Field(ge=0, le=MOST_THOUGHT)] | None = None


StopText = Annotated[str, Field(min_length=1)]


class _Sampling(_Strict):
    """Fields that chat and plain completions share. ``temperature`` scales the checkpoint's own schedule; 0 takes the
    joint maximum at every step."""

    model: str
    n: int = Field(1, ge=1)
    seed: int | None = Field(None, ge=0, lt=2**63)
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    stop: StopText | list[StopText] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    structured_outputs: StructuredOutputs | None = None
    structdiff: Extension = Extension()
    # Accepted because they change no answer.
    user: str | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    # Accepted where they are neutral.
    top_p: Literal[1] | None = None
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None
    logit_bias: dict[str, float] | None = Field(None, max_length=0)
    min_p: Literal[0] | None = None
    top_k: Literal[-1, 0] | None = None
    repetition_penalty: Literal[1] | None = None
    skip_special_tokens: Literal[True] | None = None
    ignore_eos: Literal[False] | None = None

    @model_validator(mode="after")
    def _streamed(self) -> _Sampling:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream: true")
        if self.structdiff.trace and not self.stream:
            raise ValueError("structdiff.trace needs stream: true")
        return self

    @property
    def think(self) -> int:
        return self.structdiff.think or 0

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class ChatRequest(_Sampling):
    """``POST /v1/chat/completions``."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = Field(None, min_length=1, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | NamedTool | ToolSubset | None = None
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MOST_LIKELY)
    store: bool | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    modalities: list[Literal["text"]] | None = None
    prediction: None = None
    audio: None = None
    web_search_options: None = None
    functions: None = None
    function_call: None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = None

    @model_validator(mode="after")
    def _thought(self) -> ChatRequest:
        if self.reasoning_effort is not None and self.structdiff.think is not None:
            raise ValueError("reasoning_effort and structdiff.think say the same; give one")
        return self

    @model_validator(mode="after")
    def _likely(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        if self.logprobs and self.tools and self.tool_choice != "none":
            raise ValueError("logprobs are of the content; a tool call has none")
        return self

    @property
    def wants_logprobs(self) -> bool:
        return bool(self.logprobs)

    @property
    def top(self) -> int:
        return self.top_logprobs or 0

    @property
    def think(self) -> int:
        return EFFORT[self.reasoning_effort] if self.reasoning_effort is not None else super().think

    @property
    def budget(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(_Sampling):
    """``POST /v1/completions``."""

    prompt: str = Field(min_length=1)
    echo: Literal[False] | None = None
    suffix: None = None
    logprobs: int | None = Field(None, ge=0, le=MOST_LIKELY)
    best_of: Literal[1] | None = None

    @property
    def wants_logprobs(self) -> bool:
        return self.logprobs is not None

    @property
    def top(self) -> int:
        return self.logprobs or 0

    @property
    def budget(self) -> int | None:
        return self.max_tokens
