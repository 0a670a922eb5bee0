"""What clients make of the service, unchanged and in their default mode: an object, a stream, tools, a loop of tools.

    python -m benchmarks.clients [--python VENV/bin/python] [--node FOLDER] [--only NAME ...]

The service is started here, with a model that would write known answers (`structdiff.testing.speaking`): what is tested
are the forms of requests and answers. Each client runs in a process of its own under ``--python``, which must
have it: openai, instructor, langchain-openai, pydantic-ai-slim[openai], litellm, openai-agents,
llama-index-llms-openai-like. ``--node`` is a folder whose node_modules has openai, ai and @ai-sdk/openai. A client that
is not there is "missing" in the table. Exits with 1 where one that is there failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

MODEL, TASKS = "embedded", ("object", "stream", "tools", "loop")
ANN, REPORT = {"name": "Ann", "age": 31}, {"warm": True, "sum": 18}
BONN = [("weather", {"city": "Bonn"})]
TOLD = "It is warm, 9 degrees."


class Person(BaseModel):
    name: str
    age: int


class Report(BaseModel):
    warm: bool
    sum: int


def weather(city: str) -> str:
    """The temperature in a city."""
    return "9"


def add(a: int, b: int) -> str:
    """The sum of two numbers."""
    return str(a + b)


SCHEMAS = {
    "weather": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "add": {
        "type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"],
    },
}  # fmt: skip
TOOLS: Any = [{"type": "function", "function": {"name": n, "parameters": s}} for n, s in SCHEMAS.items()]


def answer(prompt: str) -> str:
    """What the model would write. The loop is: the weather, then a sum, then a report."""
    if "TASK-OBJECT" in prompt:
        return _final(prompt, ANN)
    if "TASK-STREAM" in prompt:
        return TOLD
    done = prompt.count("Result of")
    if "TASK-TOOLS" in prompt or done == 0:
        return _called(prompt, "weather", {"city": "Bonn"})
    return _called(prompt, "add", {"a": 9, "b": 9}) if done == 1 else _final(prompt, REPORT)


def _called(prompt: str, name: str, arguments: Any) -> str:
    call = json.dumps({"name": name, "arguments": arguments})
    if "Give the arguments of the call." not in prompt:
        return f"<tool_call>{call}</tool_call>"
    return call if '"arguments"' in prompt else json.dumps(arguments)  # a call of the only tool has no name


def _final(prompt: str, value: Any) -> str:
    """A value as an answer, or as the call of the tool that some clients make of a type."""
    return _called(prompt, "final_result", value) if "final_result" in prompt else json.dumps(value)


# -------------------------------------------------------------------------------------------------------- the clients


def expect(found: Any, wanted: Any) -> None:
    if found != wanted:
        raise AssertionError(f"{found!r} is not {wanted!r}")


def openai_python(url: str, task: str) -> None:
    import openai

    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    chat = client.chat.completions
    messages: list[Any] = [{"role": "user", "content": f"TASK-{task.upper()}"}]
    if task == "object":
        parsed = chat.parse(model=MODEL, messages=messages, response_format=Person).choices[0].message.parsed
        expect(parsed and parsed.model_dump(), ANN)
    elif task == "stream":
        chunks = chat.create(model=MODEL, messages=messages, stream=True)
        expect("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), TOLD)
    elif task == "tools":
        calls = chat.create(model=MODEL, messages=messages, tools=TOOLS).choices[0].message.tool_calls or []
        expect([(one.function.name, json.loads(one.function.arguments)) for one in calls], BONN)
    else:
        for _ in range(2):
            message = chat.create(model=MODEL, messages=messages, tools=TOOLS).choices[0].message
            messages.append(message)
            for call in message.tool_calls or []:
                made = globals()[call.function.name](**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": made})
        form: Any = {"type": "json_schema", "json_schema": {"name": "report", "schema": Report.model_json_schema()}}
        last = chat.create(model=MODEL, messages=messages, tools=TOOLS, response_format=form).choices[0].message
        expect(json.loads(last.content or "null"), REPORT)


def instructor(url: str, task: str) -> None:
    import instructor as package
    import openai

    client = package.from_openai(openai.OpenAI(base_url=url, api_key="none", max_retries=0))
    messages: list[Any] = [{"role": "user", "content": f"TASK-{task.upper()}"}]
    if task == "object":
        found = client.chat.completions.create(model=MODEL, messages=messages, response_model=Person)
        expect(found.model_dump(), ANN)
    elif task == "stream":
        messages[0]["content"] = "TASK-OBJECT"
        partial = list(client.chat.completions.create_partial(model=MODEL, messages=messages, response_model=Person))
        expect(partial[-1].model_dump(), ANN)
    else:
        raise NotImplementedError("it has no loop of tools")


def langchain(url: str, task: str) -> None:
    from langchain_core.messages import HumanMessage
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    model: Any = ChatOpenAI(base_url=url, api_key="none", model=MODEL, max_retries=0)  # type: ignore[arg-type]
    messages: list[Any] = [HumanMessage(f"TASK-{task.upper()}")]
    made = {one.name: one for one in (tool(weather), tool(add))}
    if task == "object":
        expect(model.with_structured_output(Person).invoke(messages).model_dump(), ANN)
    elif task == "stream":
        expect("".join(chunk.content for chunk in model.stream(messages)), TOLD)
    elif task == "tools":
        calls = model.bind_tools(list(made.values())).invoke(messages).tool_calls
        expect([(one["name"], one["args"]) for one in calls], BONN)
    else:
        bound = model.bind_tools(list(made.values()))
        for _ in range(2):
            messages.append(bound.invoke(messages))
            messages += [made[call["name"]].invoke(call) for call in messages[-1].tool_calls]
        expect(model.with_structured_output(Report).invoke(messages).model_dump(), REPORT)


def pydantic_ai(url: str, task: str) -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=url, api_key="none"))
    said = f"TASK-{task.upper()}"
    if task == "object":
        expect(Agent(model, output_type=Person).run_sync(said).output.model_dump(), ANN)
    elif task == "stream":

        async def stream() -> str:
            async with Agent(model).run_stream(said) as run:
                return str(await run.get_output())

        expect(asyncio.run(stream()), TOLD)
    else:
        agent = Agent(model, output_type=Report, tools=[weather, add])
        run = agent.run_sync("TASK-LOOP")
        expect(run.output.model_dump(), REPORT)
        named = [part.tool_name for m in run.all_messages() for part in m.parts if part.part_kind == "tool-call"]
        expect(named[:2], ["weather", "add"])


def litellm(url: str, task: str) -> None:
    import litellm as package

    def ask(messages: list[Any], **more: Any) -> Any:
        return package.completion(model=f"openai/{MODEL}", api_base=url, api_key="none", messages=messages, **more)

    messages: list[Any] = [{"role": "user", "content": f"TASK-{task.upper()}"}]
    if task == "object":
        expect(json.loads(ask(messages, response_format=Person).choices[0].message.content), ANN)
    elif task == "stream":
        expect("".join(chunk.choices[0].delta.content or "" for chunk in ask(messages, stream=True)), TOLD)
    elif task == "tools":
        calls = ask(messages, tools=TOOLS).choices[0].message.tool_calls
        expect([(one.function.name, json.loads(one.function.arguments)) for one in calls], BONN)
    else:
        for _ in range(2):
            message = ask(messages, tools=TOOLS).choices[0].message
            messages.append(message)
            for call in message.tool_calls:
                made = globals()[call.function.name](**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": made})
        last = ask(messages, tools=TOOLS, response_format=Report).choices[0].message
        expect(json.loads(last.content), REPORT)


def openai_agents(url: str, task: str) -> None:
    from agents import Agent, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)
    model = OpenAIResponsesModel(MODEL, AsyncOpenAI(base_url=url, api_key="none", max_retries=0))
    said, tools = f"TASK-{task.upper()}", [function_tool(weather), function_tool(add)]

    async def go() -> None:
        if task == "object":
            done = await Runner.run(Agent("a", model=model, output_type=Person), said)
            expect(done.final_output.model_dump(), ANN)
        elif task == "stream":
            run = Runner.run_streamed(Agent("a", model=model), said)
            deltas = [
                event.data.delta async for event in run.stream_events()
                if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
            ]  # fmt: skip
            expect(("".join(deltas), run.final_output), (TOLD, TOLD))
        else:
            done = await Runner.run(Agent("a", model=model, tools=tools, output_type=Report), "TASK-LOOP")
            expect(done.final_output.model_dump(), REPORT)
            expect([i.raw_item.name for i in done.new_items if i.type == "tool_call_item"], ["weather", "add"])  # type: ignore[union-attr]

    asyncio.run(go())


def llama_index(url: str, task: str) -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.core.prompts import PromptTemplate
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.openai_like import OpenAILike

    model = OpenAILike(
        model=MODEL, api_base=url, api_key="none", is_chat_model=True, is_function_calling_model=True, max_retries=0
    )
    messages = [ChatMessage(role="user", content=f"TASK-{task.upper()}")]
    tools = [FunctionTool.from_defaults(weather), FunctionTool.from_defaults(add)]
    if task == "object":
        expect(model.structured_predict(Person, PromptTemplate("TASK-OBJECT")).model_dump(), ANN)
    elif task == "stream":
        expect("".join(chunk.delta or "" for chunk in model.stream_chat(messages)), TOLD)
    elif task == "tools":
        calls = model.get_tool_calls_from_response(model.chat_with_tools(tools, chat_history=messages))
        expect([(one.tool_name, one.tool_kwargs) for one in calls], BONN)
    else:
        for _ in range(2):
            response = model.chat_with_tools(tools, chat_history=messages)
            messages.append(response.message)
            for call in model.get_tool_calls_from_response(response):
                made = globals()[call.tool_name](**call.tool_kwargs)
                more = {"tool_call_id": call.tool_id, "name": call.tool_name}
                messages.append(ChatMessage(role="tool", content=made, additional_kwargs=more))
        last = model.as_structured_llm(Report).chat(messages)
        expect(json.loads(last.message.content or "null"), REPORT)


CLIENTS: dict[str, Callable[[str, str], None]] = {
    "openai-python": openai_python, "instructor": instructor, "LangChain": langchain, "pydantic-ai": pydantic_ai,
    "litellm": litellm, "openai-agents": openai_agents, "LlamaIndex": llama_index,
}  # fmt: skip
NODE = ("openai-node", "Vercel AI SDK")


def one(name: str, url: str) -> dict[str, str]:
    """What became of each task of a client."""
    found = {}
    for task in TASKS:
        try:
            CLIENTS[name](url, task)
            found[task] = "yes"
        except ModuleNotFoundError:
            found[task] = "missing"
        except NotImplementedError as error:
            found[task] = f"none: {error}"
        except Exception as error:  # what a client raises is its own
            found[task] = f"NO: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return found


# -------------------------------------------------------------------------------------------------------- the service


def serve() -> tuple[Any, str]:
    """The service in a thread, and its address."""
    import uvicorn

    import structdiff
    from structdiff.server.app import Service
    from structdiff.server.connections import config
    from structdiff.testing.speaking import speaking

    service = Service(speaking(structdiff.load("tiny"), answer))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(config(service.app, service.settings, log_level="warning"))
    threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    return server, f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def told(command: list[str], **options: Any) -> dict[str, str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, **options)
    with contextlib.suppress(ValueError, IndexError):
        found: dict[str, str] = json.loads(done.stdout.strip().splitlines()[-1])
        return found
    return dict.fromkeys(TASKS, f"NO: {(done.stderr or done.stdout).strip()[-300:]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--node", type=Path)
    parser.add_argument("--only", nargs="+", choices=[*CLIENTS, *NODE])
    parser.add_argument("--client", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.client:
        print(json.dumps(one(*chosen.client)))
        return 0
    server, url = serve()
    print(f"| client | {' | '.join(TASKS)} |\n|---|{'---|' * len(TASKS)}")
    failed = False
    for name in chosen.only or [*CLIENTS, *NODE]:
        if name in CLIENTS:
            found = told([chosen.python, str(Path(__file__).resolve()), "--client", name, url])
        elif chosen.node is None or shutil.which("node") is None:
            found = dict.fromkeys(TASKS, "missing")
        else:
            script = Path(__file__).with_name("clients.mjs").read_text(encoding="utf-8")
            command = ["node", "--input-type=module", "-e", script, "--", name, url]
            found = told(command, cwd=chosen.node)
        failed |= any(what.startswith("NO") for what in found.values())
        print(f"| {name} | {' | '.join(found[task].replace('|', '/') for task in TASKS)} |", flush=True)
    server.should_exit = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
