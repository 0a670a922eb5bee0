"""The plug-in for SGLang on SGLang's real classes, under a runner without a server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

pytest.importorskip("sglang", reason="SGLang is not installed here; make sglang-test builds an environment that has it")

import sglang.version
from sglang.srt.dllm.algorithm import algo_name_to_cls
from sglang.srt.entrypoints.openai.protocol import ChatCompletionRequest
from sglang.srt.managers.schedule_batch import FINISH_ABORT, FINISH_LENGTH, FINISH_MATCHED_TOKEN, Req
from sglang.srt.plugins.hook_registry import HookRegistry
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

import structdiff
from structdiff.engines.sglang import admission, plugin, start
from structdiff.engines.sglang.algorithm import Constrained

PLAIN = dict(algo_name_to_cls)
plugin.register()
HookRegistry.apply_hooks()

from tests.engines.sglang_stub import MASK, VOCAB, Runner, backend_of, config  # noqa: E402

EMBEDDED = Path(structdiff.__file__).parent / "models" / "embedded"
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
}
LIST = {"type": "array", "items": {"type": "string", "minLength": 12, "maxLength": 20}, "minItems": 6, "maxItems": 9}
FIELDS = {
    "person": {"json_schema": json.dumps(PERSON)},
    "list": {"json_schema": json.dumps(LIST)},
    "regex": {"regex": "[A-Z]{2}-[0-9]{4}"},
    "yes": {"regex": "yes|no"},
}
CASES = [
    ("Gemma4Renoise", 48, False), ("Gemma4Renoise", 48, True), ("LowConfidence", 32, False),
    ("LowConfidence", 32, True), ("LowConfidence", 4, False), ("LowConfidence", 4, True),
    ("JointThreshold", 32, False), ("JointThreshold", 4, True),
    ("JointThresholdInDel", 32, True),
]  # fmt: skip
FAMILIES = [("Gemma4Renoise", 48), ("LowConfidence", 32)]


@cache
def tokenizer() -> Any:
    found = AutoTokenizer.from_pretrained(EMBEDDED)
    found.additional_stop_token_ids = None  # SGLang's own wrapper sets it
    return found


@cache
def made(algorithm: str, block: int, fdfo: bool, threshold: float | None) -> tuple[Any, Any]:
    options: dict[str, Any] = {"max_denoising_steps": 12} if algorithm == "Gemma4Renoise" else {}
    if threshold is not None:
        options["threshold"] = threshold
    dllm = config(algorithm, block, fdfo=fdfo, **options)
    return dllm, backend_of(dllm, tokenizer())


def runner(
    algorithm: str, block: int, fdfo: bool = False, logits: Any = None, threshold: float | None = None, **named: int
) -> Runner:
    dllm, found = made(algorithm, block, fdfo, threshold)
    return Runner(dllm, logits or noise, found, tokenizer(), **named)


def noise(req: Req, block: torch.Tensor, _: torch.Tensor, scale: float = 4.0) -> torch.Tensor:
    """Random logits, other ones for each request and step but the same in every run."""
    drawn = torch.Generator().manual_seed(zlib.crc32(f"{req.rid} {req.steps}".encode()))
    return torch.randn(len(block), VOCAB, generator=drawn) * scale


def text_of(req: Req) -> str:
    """What SGLang's detokenizer gives the client: the text up to the end token."""
    assert isinstance(req.finished_reason, FINISH_MATCHED_TOKEN), req.finished_reason
    tokens = list(req.output_ids_through_stop)
    assert tokens[-1] in (1, 4) and len(tokens) <= req.sampling_params.max_new_tokens
    return tokenizer().decode(tokens[:-1])


def judge(kind: str, req: Req) -> None:
    """By libraries that know nothing of structdiff."""
    text = text_of(req)
    if kind in ("person", "list"):
        jsonschema.validate(json.loads(text), PERSON if kind == "person" else LIST)
    else:
        assert re.fullmatch(FIELDS[kind]["regex"], text), text


@pytest.mark.parametrize(("algorithm", "block", "fdfo"), CASES)
def test_mixed_rows_are_valid_and_end_by_themselves(algorithm: str, block: int, fdfo: bool) -> None:
    engine = runner(algorithm, block, fdfo)
    rows = [(kind, engine.add(f"{kind}{i}", prompt=3 + 17 * i, **FIELDS[kind])) for i in range(2) for kind in FIELDS]
    free = engine.add("free", 40)
    engine.run()
    for kind, req in rows:
        judge(kind, req)
    assert len(rows[1][1].output_ids) > 48 and free.finished()


@pytest.mark.parametrize(("algorithm", "block"), FAMILIES)
def test_without_the_plug_in_nothing_is_enforced(algorithm: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """SGLang's own class refuses the schema of one family, and takes that of the other to ignore it."""
    engine = runner(algorithm, block)
    monkeypatch.setitem(algo_name_to_cls, algorithm, PLAIN[algorithm])
    engine.algorithm = PLAIN[algorithm](engine.dllm_config)
    if algorithm == "Gemma4Renoise":
        with pytest.raises(ValueError, match="does not support request-level json_schema"):
            engine.add("r", **FIELDS["person"])
        return
    req = engine.add("r", **FIELDS["person"])
    engine.compiled()
    req.grammar = None  # nor does the plug-in look at the output
    engine.run()
    with pytest.raises(ValueError):
        json.loads(tokenizer().decode(list(req.output_ids_through_stop)))


@pytest.mark.parametrize("room", [0, 1, 6])
@pytest.mark.parametrize(("algorithm", "block"), [*FAMILIES, ("LowConfidence", 4)])
def test_the_end_fits_whatever_the_budget(algorithm: str, block: int, room: int) -> None:
    engine = runner(algorithm, block)
    for kind, fields in FIELDS.items():
        probe = engine.add(f"probe{kind}", **fields)
        engine.compiled()
        least = probe.grammar.constraint.min_tokens + 1
        req = engine.add(kind, least + room, **fields)
        short = engine.add(f"short{kind}", least - 1, **fields)
        engine.run()
        judge(kind, req)
        assert isinstance(short.to_finish, FINISH_ABORT) and "allow at least" in short.to_finish.message
        assert short.to_finish.status_code == 400


@pytest.mark.parametrize(("algorithm", "block"), FAMILIES)
def test_the_end_fits_whatever_the_context(algorithm: str, block: int) -> None:
    """SGLang cuts a request whose next block does not fit the context."""
    engine = runner(algorithm, block, context=3 * block + 10)
    req = engine.add("list", 1000, 7, **FIELDS["list"])
    tight = engine.add("tight", 1000, 2 * block + 7, json_schema=json.dumps(LIST | {"minItems": 50, "maxItems": 50}))
    engine.run()
    judge("list", req)
    assert isinstance(tight.to_finish, FINISH_ABORT)


@pytest.mark.parametrize(("algorithm", "block"), [*FAMILIES, ("LowConfidence", 4)])
def test_a_text_that_fills_its_block_ends_on_the_next(algorithm: str, block: int) -> None:
    engine = runner(algorithm, block)
    prompt = 8 * block
    req = engine.add("full", 200, prompt, regex=f"([xy][0-9]){{{block}}}")
    engine.run()
    assert re.fullmatch(rf"([xy][0-9]){{{block}}}", text_of(req))


@pytest.mark.parametrize(("algorithm", "block", "fdfo"), [(*one, fdfo) for one in FAMILIES for fdfo in (False, True)])
def test_free_rows_are_those_without_the_plug_in(
    algorithm: str, block: int, fdfo: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tokens(plugged: bool, beside: bool) -> list[list[int]]:
        engine = runner(algorithm, block, fdfo)
        if not plugged:
            engine.algorithm = PLAIN[algorithm](engine.dllm_config)
        rows = [engine.add(f"free{i}", 96) for i in range(3)]
        if beside:
            engine.add("list", **FIELDS["list"])
        engine.run()
        return [list(req.output_ids) for req in rows]

    assert isinstance(runner(algorithm, block, fdfo).algorithm, Constrained)
    assert tokens(True, True) == tokens(True, False) == tokens(False, False)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize(("algorithm", "block", "fdfo"), [(*one, fdfo) for one in FAMILIES for fdfo in (False, True)])
def test_bad_logits_end_their_own_row(algorithm: str, block: int, fdfo: bool, bad: float) -> None:
    """With status 500 and no token of it; the rows beside it are what they are without it."""

    def logits(req: Req, block: torch.Tensor, embeds: torch.Tensor) -> torch.Tensor:
        out = noise(req, block, embeds)
        if req.rid == "bad" and req.steps == 2:
            out[-1] = bad
        return out

    def others(with_bad: bool) -> list[list[int]]:
        engine = runner(algorithm, block, fdfo, logits)
        if with_bad:
            failing = engine.add("bad", **FIELDS["list"])
        rows = [engine.add(kind, **FIELDS[kind]) for kind in ("person", "regex")]
        engine.run()
        if with_bad:
            reason = failing.finished_reason
            assert isinstance(reason, FINISH_ABORT) and reason.status_code == 500
            assert "structured output failed" in reason.message and not failing.output_ids_through_stop
        return [list(req.output_ids_through_stop) for req in rows]

    assert others(True) == others(False)


def test_a_fault_in_a_row_is_no_fault_of_the_engine() -> None:
    engine = runner("LowConfidence", 4, True)
    req, beside = engine.add("mine", **FIELDS["list"]), engine.add("beside", **FIELDS["person"])
    engine.compiled()
    engine.running, engine.waiting = engine.waiting, []
    for _ in range(3):
        engine.step()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    req.grammar.row.session.observe = broken
    engine.run()
    assert req.finished_reason.status_code == 500
    judge("person", beside)


def test_an_aborted_request_that_comes_again_goes_on() -> None:
    """A row whose block begins anew, behind what was written: SGLang has taken the request off and on again."""
    engine = runner("LowConfidence", 32, True)
    req = engine.add("list", **FIELDS["list"])
    engine.compiled()
    engine.running, engine.waiting = engine.waiting, []
    taken = 0
    while engine.running:
        engine.step()
        if engine.forwards in (3, 40) and engine.running:
            req.dllm_incomplete_ids, req.dllm_algo_state = [], None
            taken += 1
    assert taken == 2
    judge("list", req)


def test_seeds_and_temperature_zero() -> None:
    """The stub's logits do not depend on the canvas: seeds show in what the model is shown."""

    def shown(**fields: Any) -> list[list[int]]:
        seen: list[list[int]] = []

        def logits(req: Req, block: torch.Tensor, embeds: torch.Tensor) -> torch.Tensor:
            seen.append(block.tolist())
            return noise(req, block, embeds)

        engine = runner("Gemma4Renoise", 48, False, logits)
        req = engine.add("r", **FIELDS["person"], **fields)
        engine.run()
        judge("person", req)
        return seen

    assert shown(sampling_seed=1) == shown(sampling_seed=1) != shown(sampling_seed=2)
    assert shown(sampling_seed=1, temperature=0.0) != shown(sampling_seed=1)


def test_self_conditioning_goes_on_where_sglang_would_have_stopped() -> None:
    """SGLang's rule, with no stability asked for, ends each block at once; ours goes on and feeds the model."""
    dllm = config("Gemma4Renoise", 48, stopping_config={"stability_threshold": 0, "confidence_threshold": 1e9})
    fed: list[float] = []

    def logits(req: Req, block: torch.Tensor, embeds: torch.Tensor) -> torch.Tensor:
        fed.append(float((embeds - engine.embedding.weight[block]).abs().sum()))
        return noise(req, block, embeds)

    found = backend_of(dllm, tokenizer())
    found.worker.policy = made("Gemma4Renoise", 48, False, None)[1].worker.policy
    engine = Runner(dllm, logits, found, tokenizer())
    req = engine.add("person", **FIELDS["person"])
    engine.run()
    judge("person", req)
    assert len(fed) > 2 and fed[0] == 0 and all(one > 0 for one in fed[1 : len(fed) // 2])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"stop": ["x"]}, "stop cannot be honoured"),
        ({"stop_token_ids": [7]}, "stop_token_ids cannot be honoured"),
        ({"ignore_eos": True}, "ignore_eos cannot be honoured"),
        ({"no_stop_trim": True}, "no_stop_trim cannot be honoured"),
        ({"min_p": 0.1}, "min_p cannot be honoured"),
        ({"repetition_penalty": 1.1}, "repetition_penalty cannot be honoured"),
        ({"frequency_penalty": 0.5}, "frequency_penalty cannot be honoured"),
        ({"logit_bias": {"5": 1.0}}, "logit_bias cannot be honoured"),
        ({"min_new_tokens": 3}, "min_new_tokens cannot be honoured"),
        ({"custom_params": {"structdiff": 3}}, "custom_params.structdiff is int"),
    ],
)
@pytest.mark.parametrize(("algorithm", "block"), FAMILIES)
def test_what_cannot_be_honoured_is_refused_by_name(algorithm: str, block: int, fields: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        runner(algorithm, block).add("r", **FIELDS["yes"], **fields)


def test_a_source_is_needed_and_thinking_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = runner("LowConfidence", 32)
    with pytest.raises(ValueError, match="names no source"):
        engine.add("r", custom_params={"structdiff": "{}"})
    req = engine.add("r", **FIELDS["yes"])
    req.require_reasoning = True
    assert "while the model thinks" in str(admission.refused(req))
    monkeypatch.setattr(admission, "_serving", False)
    with pytest.raises(ValueError, match="--grammar-backend structdiff"):
        engine.add("r", **FIELDS["yes"])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"json_schema": '{"type": "strin"}'}, "strin"),
        ({"json_schema": "{"}, "json"),
        ({"json_schema": '{"type": "integer", "minimum": 3, "maximum": 2}'}, "no "),
        ({"regex": "(a"}, "regex"),
        ({"json_schema": "{}", "custom_params": {"structdiff": '{"pined": {}}'}}, "no field 'pined'"),
        ({"json_schema": "{}", "custom_params": {"structdiff": '{"regex": "a"}'}}, "is one already"),
    ],
)
def test_bad_constraints_are_refused_now_and_later(fields: dict[str, Any], said: str) -> None:
    engine = runner("LowConfidence", 32)
    for _ in range(2):  # the second time from SGLang's cache
        req = engine.add("r", **fields)
        engine.compiled()
        assert isinstance(req.to_finish, FINISH_ABORT) and req.to_finish.status_code == 400
        assert said in req.to_finish.message


def test_what_only_structdiff_has() -> None:
    engine = runner("LowConfidence", 32)
    extra = {"structdiff": json.dumps({"pinned": {"age": 41}, "whitespace": "compact"})}
    req = engine.add("r", **FIELDS["person"], custom_params=extra)
    any_object = engine.add("any", json_schema='{"type": "object"}')
    grammar = engine.add("lark", ebnf='root ::= "a" | "bc"')
    engine.run()
    judge("person", req)
    assert '","age":41}' in text_of(req)
    assert isinstance(json.loads(text_of(any_object)), dict)
    assert text_of(grammar) in ("a", "bc")


def test_what_openai_s_client_sends() -> None:
    """A body as OpenAI's client writes it, read by SGLang's own class."""
    engine = runner("LowConfidence", 32)

    def asked(**fields: Any) -> Req:
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 200, "seed": 5, **fields}
        named = ChatCompletionRequest(**body).to_sampling_params(stop=[], model_generation_config={})
        req = engine.add(f"r{len(engine.waiting)}", named.pop("max_new_tokens"), **named)
        engine.run()
        return req

    schema = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    judge("person", asked(response_format=schema))
    judge("person", asked(response_format=schema, temperature=0))
    assert isinstance(json.loads(text_of(asked(response_format={"type": "json_object"}))), dict)
    part = {"begin": "<a>", "schema": {"type": "integer"}, "end": "</a>"}
    tag = {"type": "structural_tag", "structures": [part], "triggers": ["<a>"]}
    for inside in re.findall("<a>(.*?)</a>", text_of(asked(response_format=tag, temperature=0))):
        assert isinstance(json.loads(inside), int)


def network(kind: str) -> Any:
    """A random network that sees the prompt, what was written and its whole block."""
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
             "num_key_value_heads": 1, "head_dim": 4, "vocab_size": VOCAB}  # fmt: skip
    torch.manual_seed(0)
    made_ = Qwen3ForCausalLM(Qwen3Config(**sizes)) if kind == "masks" else LlamaForCausalLM(LlamaConfig(**sizes))
    for parameter in made_.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.5)
    return made_.eval()


@pytest.mark.parametrize(
    ("kind", "algorithm", "block"), [("masks", "LowConfidence", 32), ("uniform", "Gemma4Renoise", 48)]
)
def test_networks(kind: str, algorithm: str, block: int) -> None:
    """Of masks by its tokens; of uniform noise by its embeddings with self-conditioning."""
    model = network(kind)

    @torch.no_grad()
    def logits(req: Req, block: torch.Tensor, embeds: torch.Tensor) -> torch.Tensor:
        whole = [*req.origin_input_ids, *req.output_ids]
        behind = whole[: len(whole) // 32 * 32] if kind == "masks" else whole
        before = model.get_input_embeddings()(torch.tensor(behind, dtype=torch.int64))
        own = model.get_input_embeddings()(block) if kind == "masks" else embeds
        every = torch.cat([before, own])[None]
        seen = torch.zeros(1, 1, every.shape[1], every.shape[1])
        return model(inputs_embeds=every, attention_mask=seen).logits[0, -len(block) :].float()

    engine = runner(algorithm, block, False, logits)
    rows = [(kind_, engine.add(f"{kind_}{i}", **FIELDS[kind_])) for i in range(2) for kind_ in ("person", "regex")]
    engine.run()
    for kind_, req in rows:
        judge(kind_, req)


@pytest.mark.parametrize(
    ("algorithm", "block", "count"), [("LowConfidence", 32, 200), ("LowConfidence", 4, 100), ("Gemma4Renoise", 48, 60)]
)
def test_many_rows(algorithm: str, block: int, count: int) -> None:
    """Every one valid, none cut off. STRUCTDIFF_TEST_ROWS asks for more of them."""
    count = int(os.environ.get("STRUCTDIFF_TEST_ROWS", count))
    engine = runner(algorithm, block, threshold=0.3 if algorithm == "LowConfidence" else None, slots=32)
    kinds = ["person", "regex", "yes"]
    rows = [(kinds[i % 3], engine.add(f"row{i}", 30 + i % 9, 1 + i % 40, **FIELDS[kinds[i % 3]])) for i in range(count)]
    engine.run()
    assert not any(isinstance(req.finished_reason, FINISH_LENGTH) for _, req in rows)
    for kind, req in rows:
        judge(kind, req)


def test_an_unknown_sglang_is_left_alone_and_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("_STRUCTDIFF_SGLANG_TOLD", raising=False)
    monkeypatch.setattr(sglang.version, "__version__", "0.6.0")
    told: list[str] = []
    monkeypatch.setattr(plugin.logger, "warning", lambda text, *rest: told.append(text % rest))
    before, hooks = dict(algo_name_to_cls), {place: list(found) for place, found in HookRegistry._hooks.items()}
    plugin.register()
    plugin.register()
    assert len(told) == 1 and "0.6.0" in told[0] and algo_name_to_cls == before
    assert {place: list(found) for place, found in HookRegistry._hooks.items()} == hooks
    monkeypatch.delenv("_STRUCTDIFF_SGLANG_TOLD", raising=False)


def test_an_sglang_without_what_is_needed_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plugin.unknown() is None
    monkeypatch.delattr(Req, "set_finish_with_abort")
    assert "set_finish_with_abort" in str(plugin.unknown())


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"dllm_algorithm": None}, "--dllm-algorithm"),
        ({"tp_size": 2}, "replicas"),
        ({"pp_size": 2}, "replicas"),
        ({"constrained_json_whitespace_pattern": " "}, "whitespace-pattern"),
    ],
)
def test_servers_that_cannot_honour_constraints_do_not_start(named: dict[str, Any], said: str) -> None:
    from types import SimpleNamespace

    fine = {"dllm_algorithm": "LowConfidence", "tp_size": 1, "pp_size": 1, "constrained_json_whitespace_pattern": None}
    start.check_server(SimpleNamespace(**fine))
    admission.check_hooks()
    with pytest.raises(ValueError, match=said):
        start.check_server(SimpleNamespace(**fine | named))


START = """
import sys
from argparse import ArgumentParser
from sglang.srt.plugins import load_plugins
load_plugins()
from sglang.srt.dllm.algorithm import algo_name_to_cls
from sglang.srt.server_args import ServerArgs
from transformers import AutoTokenizer
parser = ArgumentParser()
ServerArgs.add_cli_args(parser)
flags = ["--model-path", sys.argv[1], "--device", "cpu", "--dllm-algorithm", "LowConfidence"]
arguments = ServerArgs.from_cli_args(parser.parse_args([*flags, "--grammar-backend", "structdiff"]))
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
from structdiff.engines.sglang.start import create
made = create(arguments, tokenizer, 151670, {1})
bases = {base.__name__ for algorithm in algo_name_to_cls.values() for base in algorithm.__mro__}
print("Constrained" in bases, made.worker.spec.noise.mask, made.worker.length, made.worker.vocabulary.end_ids)
"""


def test_a_server_s_processes_start_with_it(tmp_path: Path) -> None:
    """SGLang finds the plug-in by its entry point, takes its option and makes its backend, for a model like SDAR."""
    settings = {
        "architectures": ["SDARForCausalLM"], "model_type": "qwen3", "hidden_size": 16, "intermediate_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
        "vocab_size": 151670, "max_position_embeddings": 512, "eos_token_id": 1, "bos_token_id": 2,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(settings))
    tokenizer().save_pretrained(tmp_path)
    done = subprocess.run([sys.executable, "-c", START, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "True 151669 4 (1,)"


def test_no_row_writes_the_mask() -> None:
    assert made("LowConfidence", 32, False, None)[1].worker.vocabulary.table.token_bytes[MASK] is None
