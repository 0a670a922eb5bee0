"""The front end of the plug-in on vLLM's real classes, without a server."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed here; make engines-test builds an environment that has it")

import vllm
from vllm import SamplingParams
from vllm.exceptions import VLLMServerError, VLLMValidationError
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.v1.engine.async_llm import AsyncLLM, InputStreamError
from vllm.v1.engine.output_processor import RequestOutputCollector

import structdiff
from structdiff.core.errors import GenerationError, Unsatisfiable
from structdiff.engines.vllm import admission, plugin
from structdiff.engines.vllm.admission import Admission, asked_of, refused, watched
from structdiff.engines.walk import Walk
from structdiff.tokens.vocabulary import Vocabulary

EMBEDDED = Path(structdiff.__file__).parent / "models" / "embedded"
END = 4


def params(**named: Any) -> SamplingParams:
    structured = named.pop("structured", {"json": {"type": "integer"}})
    return SamplingParams(structured_outputs=StructuredOutputsParams(**structured) if structured else None, **named)


@pytest.mark.parametrize(
    ("structured", "kind", "options"),
    [
        ({"json": {"type": "integer"}}, "json", {}),
        ({"json": '{"type": "integer"}', "disable_any_whitespace": True}, "json", {"whitespace": "compact"}),
        ({"json_object": True}, "json", {"extra_properties": "schema"}),
        ({"regex": "a+"}, "regex", {}),
        ({"choice": ["a", "b"]}, "choice", {}),
    ],
)
def test_vllm_s_fields_are_read(structured: dict[str, Any], kind: str, options: dict[str, Any]) -> None:
    asked, param = asked_of(params(structured=structured, seed=3, temperature=0.0))
    assert (asked.kind, dict(asked.options), asked.seed, asked.temperature) == (kind, options, 3, 0.0)
    assert param == f"structured_outputs.{kind}"
    structdiff.compile(asked.compilable()[0], EMBEDDED, **asked.compilable()[1])


def test_free_requests_are_left_alone() -> None:
    assert asked_of(params(structured=None)) is None
    assert asked_of(params(structured=None, extra_args={"other": 1})) is None


@pytest.mark.parametrize(
    ("named", "param"),
    [
        ({"structured": {"regex": "a", "whitespace_pattern": " "}}, "whitespace_pattern"),
        ({"stop": ["x"]}, "stop"),
        ({"stop_token_ids": [7]}, "stop_token_ids"),
        ({"ignore_eos": True}, "ignore_eos"),
        ({"logprobs": 0}, "logprobs"),
        ({"min_p": 0.1}, "min_p"),
        ({"bad_words": ["x"]}, "bad_words"),
        ({"extra_args": {"diffusion_read_only": 1}}, "diffusion_read_only"),
        ({"extra_args": {"structdiff": {"regex": "a"}}}, "vllm_xargs.structdiff"),
        ({"extra_args": {"structdiff": "{"}}, "vllm_xargs.structdiff"),
        ({"structured": None, "extra_args": {"structdiff": {"pinned": {}}}}, "vllm_xargs.structdiff"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(named: dict[str, Any], param: str) -> None:
    with pytest.raises(VLLMValidationError) as caught:
        asked_of(params(**named))
    assert caught.value.parameter == param


def test_faults_of_ours_are_no_faults_of_the_caller() -> None:
    assert isinstance(refused(GenerationError("x"), "p"), VLLMServerError)
    assert isinstance(refused(Unsatisfiable("x"), "p"), VLLMValidationError)


def admitting(**parallel: int) -> Admission:
    """The admission of an engine that is not running."""
    model = SimpleNamespace(
        is_diffusion=True, architectures=["DiffusionGemmaForBlockDiffusion"], max_model_len=64,
        get_vocab_size=lambda: 1024, try_get_generation_config=lambda: {"eos_token_id": [1, END]},
    )  # fmt: skip
    config = SimpleNamespace(
        model_config=model, structured_outputs_config=SimpleNamespace(disable_any_whitespace=False),
        parallel_config=SimpleNamespace(
            tensor_parallel_size=parallel.get("tensor", 1), pipeline_parallel_size=parallel.get("pipeline", 1),
            enable_batch_sharded_sampling=bool(parallel.get("sharded")),
        ),
    )  # fmt: skip
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    return Admission(SimpleNamespace(vllm_config=config, get_tokenizer=lambda: tokenizer))


def test_the_engine_sees_a_request_that_it_takes() -> None:
    """What is admitted passes vLLM's own checks of diffusion models; the caller's parameters stay as they are."""

    async def admit() -> None:
        one = admitting()
        prompt = {"type": "token", "prompt_token_ids": [1, 2, 3]}
        given = params(seed=4, temperature=0.0, max_tokens=20)
        sent, walk = await one.admit(prompt, given, None)
        assert given.structured_outputs is not None and given.seed == 4
        sent._validate_diffusion(one.model_config)
        assert sent.structured_outputs is None and sent.extra_args["structdiff"]["seed"] == 4
        assert isinstance(walk(), Walk) and walk().left == 20
        unbounded, _ = await one.admit(prompt, params(max_tokens=None), None)
        assert unbounded.max_tokens == 61
        assert await one.admit(prompt, params(structured=None), None) is None
        for bad, param in (
            (params(max_tokens=1), "max_tokens"),
            (params(structured={"json": {"type": "strin"}}), "structured_outputs.json"),
            (params(structured={"regex": "("}), "structured_outputs.regex"),
            (params(structured={"choice": ["a"]}, extra_args={"structdiff": {"whitespace": "compact"}}),
             "vllm_xargs.structdiff"),
        ):  # fmt: skip
            with pytest.raises(VLLMValidationError) as caught:
                await one.admit(prompt, bad, None)
            assert caught.value.parameter == param
        with pytest.raises(VLLMValidationError, match="thinks"):
            await one.admit(prompt, given, False)
        with pytest.raises(VLLMValidationError, match="replicas"):
            await admitting(pipeline=2).admit(prompt, given, None)
        with pytest.raises(VLLMValidationError, match="enable_batch_sharded_sampling"):
            await admitting(tensor=2, sharded=1).admit(prompt, given, None)
        parallel = admitting(tensor=2)
        await parallel.admit(prompt, given, None)
        for each in (one, parallel):
            each._compilers.stop()

    asyncio.run(admit())


def output(tokens: list[int], reason: str | None, index: int = 0) -> RequestOutput:
    one = CompletionOutput(index=index, text="", token_ids=tokens, cumulative_logprob=None, logprobs=None)
    one.finish_reason = reason
    return RequestOutput("r", None, None, None, [one], reason is not None)


@pytest.mark.parametrize("kind", [RequestOutputKind.DELTA, RequestOutputKind.CUMULATIVE, RequestOutputKind.FINAL_ONLY])
def test_every_token_is_walked_before_it_leaves(kind: RequestOutputKind) -> None:
    vocabulary = Vocabulary.of(EMBEDDED)
    automaton = structdiff.compile(structdiff.Regex("(yes){3}"), vocabulary).automaton
    good = [*vocabulary.encode(b"yesyesyes"), vocabulary.end_ids[0]]

    async def drained(parts: list[tuple[list[int], str | None]]) -> list[int]:
        queue = watched(RequestOutputCollector(kind, "r"), functools.partial(Walk, automaton, vocabulary.end_ids, 30))
        got: list[int] = []
        for tokens, reason in parts:
            if kind != RequestOutputKind.FINAL_ONLY or reason:
                queue.put(output(tokens, reason))
                out = queue.get_nowait() or await queue.get()
                got = [*got, *out.outputs[0].token_ids] if queue.aggregate else list(out.outputs[0].token_ids)
        return got

    def parts(tokens: list[int], reason: str) -> list[tuple[list[int], str | None]]:
        head = tokens[:1]
        return [(head, None), (tokens[1:] if kind == RequestOutputKind.DELTA else tokens, reason)]

    assert asyncio.run(drained(parts(good, "stop"))) == good
    assert asyncio.run(drained(parts(good[:2], "abort"))) == good[:2]
    for wrong in (good[:2], [*good[:1], 0, good[-1]], [*good[:2], good[-1]]):
        with pytest.raises(InputStreamError) as caught:
            asyncio.run(drained(parts(wrong, "stop")))
        assert isinstance(caught.value.cause, VLLMServerError) and "structured output failed" in str(caught.value.cause)


def test_several_outputs_of_a_request_are_walked_apart() -> None:
    vocabulary = Vocabulary.of(EMBEDDED)
    automaton = structdiff.compile(structdiff.Choice(["yes", "no"]), vocabulary).automaton
    ends = vocabulary.end_ids
    queue = watched(RequestOutputCollector(RequestOutputKind.DELTA, "r"), functools.partial(Walk, automaton, ends, 9))
    queue.put(output([*vocabulary.encode(b"yes"), ends[0]], "stop", 0))
    queue.put(output([*vocabulary.encode(b"no"), ends[0]], "stop", 1))
    assert len(queue.get_nowait().outputs) == 2


def test_installing_twice_wraps_once(monkeypatch: pytest.MonkeyPatch) -> None:
    original = getattr(AsyncLLM.add_request, "structdiff_original", AsyncLLM.add_request)
    monkeypatch.setattr(AsyncLLM, "add_request", original)
    admission.install()
    admission.install()
    assert AsyncLLM.add_request.structdiff_original is original


def test_an_unknown_vllm_is_left_alone_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("_STRUCTDIFF_VLLM_TOLD", raising=False)
    monkeypatch.setattr(vllm, "__version__", "0.41.0")
    told: list[str] = []
    monkeypatch.setattr(plugin.logger, "warning", lambda text, *rest: told.append(text % rest))
    original = getattr(AsyncLLM.add_request, "structdiff_original", AsyncLLM.add_request)
    monkeypatch.setattr(AsyncLLM, "add_request", original)
    plugin.register()
    plugin.register()
    assert len(told) == 1 and "0.41.0" in told[0] and AsyncLLM.add_request is original
    monkeypatch.delenv("_STRUCTDIFF_VLLM_TOLD", raising=False)


def test_a_vllm_without_what_is_needed_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plugin.unknown() is None
    monkeypatch.delattr(SamplingParams, "clone")
    assert "clone" in str(plugin.unknown())
