"""vLLM's real sampler with constrained rows, under a runner without a model."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

pytest.importorskip("vllm", reason="vLLM is not installed here; make engines-test builds an environment that has it")

from vllm.model_executor.models import diffusion_gemma
from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p_pytorch

import structdiff
from benchmarks.engine_stub import GENERATION, Request, Runner
from structdiff.core.errors import GenerationError
from structdiff.engines.asked import Asked
from structdiff.engines.ranks import FollowedRow, Group
from structdiff.engines.vllm.facts import policy_of
from structdiff.engines.walk import Walk
from structdiff.engines.worker import Worker
from structdiff.tokens.vocabulary import Vocabulary

EMBEDDED = Path(structdiff.__file__).parent / "models" / "embedded"
LENGTH = 48
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
}
LIST = {"type": "array", "items": {"type": "string", "minLength": 12, "maxLength": 20}, "minItems": 6, "maxItems": 9}
ASKED = {
    "person": Asked("json", PERSON),
    "list": Asked("json", LIST),
    "regex": Asked("regex", r"[A-Z]{2}-[0-9]{4}"),
    "choice": Asked("choice", ["red", "green", "blue"]),
    "pinned": Asked("json", PERSON, {"whitespace": "compact"}, {"age": 41}),
}


def made_worker() -> Worker:
    vocabulary = Vocabulary.of(EMBEDDED)
    made = Worker(vocabulary, LENGTH, 2048, policy_of(GENERATION, 48))
    made.warm_up(torch.device("cpu"))
    return made


@pytest.fixture(scope="session")
def worker() -> Worker:
    return made_worker()


def noise(worker: Worker, seed: int = 0, scale: float = 4.0):
    """Random logits, other ones for each request and step but the same in every run."""

    def logits(request: Request, n: int) -> torch.Tensor:
        drawn = torch.Generator().manual_seed(zlib.crc32(f"{seed} {request.name} {request.steps}".encode()))
        return torch.randn(n, worker.vocabulary.size, generator=drawn) * scale

    return logits


def runner(worker: Worker | None, base: Worker, **options) -> Runner:
    logits = options.pop("logits", None) or noise(base)
    return Runner(worker, logits, base.vocabulary.end_ids, length=LENGTH, vocab_size=base.vocabulary.size, **options)


def text_of(worker: Worker, request: Request) -> str:
    """The text of an output that the front end would hand on."""
    want = Asked.from_dict(request.asked)
    walk = Walk(worker.constraint(want).automaton, worker.vocabulary.end_ids, request.max_tokens)
    walk.add(request.tokens)
    walk.close()
    return worker.vocabulary.bytes_of(request.tokens).decode()


def judge(kind: str, text: str) -> None:
    """By libraries that know nothing of structdiff."""
    if kind == "regex":
        assert re.fullmatch(r"[A-Z]{2}-[0-9]{4}", text)
    elif kind == "choice":
        assert text in ("red", "green", "blue")
    else:
        value = json.loads(text)
        jsonschema.validate(value, LIST if kind == "list" else PERSON)
        if kind == "pinned":
            assert value["age"] == 41 and " " not in text.split('"age"')[1]


def test_mixed_rows_are_valid_and_end_by_themselves(worker: Worker) -> None:
    engine = runner(worker, worker, slots=6)
    made = [(kind, engine.add(Request(f"{kind}{i}", 300, ASKED[kind].to_dict()))) for i in range(3) for kind in ASKED]
    free = [engine.add(Request(f"free{i}", 60)) for i in range(2)]
    engine.run()
    for kind, request in made:
        assert request.reason == "stop"
        judge(kind, text_of(worker, request))
    assert {len(request.tokens) > LENGTH for kind, request in made if kind == "list"} == {True}
    assert all(request.reason for request in free)


@pytest.mark.parametrize("room", [0, 1, 7])
def test_the_end_fits_whatever_the_budget(worker: Worker, room: int) -> None:
    for kind, asked in ASKED.items():
        least = worker.constraint(asked).min_tokens
        engine = runner(worker, worker)
        request = engine.add(Request(kind, least + 1 + room, asked.to_dict()))
        engine.run()
        assert request.reason == "stop" and len(request.tokens) <= least + 1 + room
        judge(kind, text_of(worker, request))


def test_a_text_that_fills_its_canvas_ends_on_the_next(worker: Worker) -> None:
    engine = runner(worker, worker)
    request = engine.add(Request("full", 200, Asked("regex", f"([xy][0-9]){{{LENGTH}}}").to_dict()))
    engine.run()
    assert request.reason == "stop" and len(request.tokens) > LENGTH
    assert re.fullmatch(rf"([xy][0-9]){{{LENGTH}}}", text_of(worker, request))


def test_free_rows_draw_what_they_draw_without_the_plug_in(worker: Worker) -> None:
    def tokens(plugged: Worker | None) -> list[list[int]]:
        torch.manual_seed(3)
        engine = runner(plugged, worker)
        made = [engine.add(Request(f"free{i}", 96)) for i in range(5)]
        engine.run()
        return [request.tokens for request in made]

    assert tokens(worker) == tokens(None)


def test_a_constrained_neighbour_takes_no_random_number(worker: Worker) -> None:
    """Beside a free neighbour in its place the first canvas of a free row is the same."""

    def first(asked: dict | None) -> list[int]:
        torch.manual_seed(3)
        engine = runner(worker, worker)
        engine.add(Request("beside", 300, asked))
        request = engine.add(Request("free", 40))
        for _ in range(9):
            engine.step()
        return engine.states.canvas[request.slot].tolist()

    assert first(ASKED["list"].to_dict()) == first(None)


def test_top_k_of_a_neighbour_changes_nothing(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM filters the logits of the whole batch in place; its PyTorch form does so without a device."""

    def filtered(logits: torch.Tensor, k: Any, p: Any, **_: bool) -> torch.Tensor:
        return apply_top_k_top_p_pytorch(logits, k, p)

    monkeypatch.setattr(diffusion_gemma, "apply_top_k_top_p", filtered)

    def tokens(top_k: int) -> list[int]:
        engine = runner(worker, worker)
        request = engine.add(Request("mine", 300, ASKED["person"].to_dict()))
        engine.add(Request("free", 60, top_k=top_k))
        engine.run()
        return request.tokens

    assert tokens(2) == tokens(0)


def test_preempted_rows_go_on(worker: Worker) -> None:
    engine = runner(worker, worker)
    request = engine.add(Request("list", 300, ASKED["list"].to_dict()))
    taken = 0
    while not request.reason:
        engine.step()
        if not request.reason and engine.steps in (1, 9, 70, 95):
            taken += 1
            engine.release(request)
            engine.add(request)
    assert taken == 4 and len(request.tokens) > LENGTH
    judge("list", text_of(worker, request))


def test_canvases_cut_short_by_the_context(worker: Worker) -> None:
    """The engine has room for fewer positions on the last canvas."""
    least = worker.constraint(ASKED["list"]).min_tokens + 1
    engine = runner(worker, worker, context=5 + least + 3)
    request = engine.add(Request("list", least + 3, ASKED["list"].to_dict()))
    engine.run()
    assert request.reason == "stop"
    judge("list", text_of(worker, request))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_bad_logits_end_their_own_row(worker: Worker, bad: float) -> None:
    good = noise(worker)

    def logits(request: Request, n: int) -> torch.Tensor:
        out = good(request, n)
        if request.name == "bad" and request.steps == 2:
            out[3] = bad
        return out

    def others(with_bad: bool) -> list[list[int]]:
        engine = runner(worker, worker, logits=logits)
        if with_bad:
            failing = engine.add(Request("bad", 300, ASKED["list"].to_dict()))
        made = [engine.add(Request(kind, 300, ASKED[kind].to_dict())) for kind in ("person", "regex")]
        engine.run()
        if with_bad:
            assert failing.reason == "stop" and len(failing.tokens) == 2
            with pytest.raises(GenerationError, match="failed"):
                text_of(worker, failing)
        return [request.tokens for request in made]

    assert others(True) == others(False)


def test_a_fault_in_a_row_is_no_fault_of_the_engine(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = runner(worker, worker)
    request = engine.add(Request("mine", 300, ASKED["person"].to_dict()))
    for _ in range(3):
        engine.step()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(engine.rows[request.slot].session, "observe", broken)
    engine.run()
    with pytest.raises(GenerationError):
        text_of(worker, request)


def test_seeds_and_temperature_zero(worker: Worker) -> None:
    """The stub's logits do not depend on the canvas: seeds show in what the model would be shown."""

    def shown(**changes) -> list[list[int]]:
        engine = runner(worker, worker)
        request = engine.add(Request("r", 300, Asked("json", PERSON, **changes).to_dict()))
        canvases = []
        for _ in range(6):
            engine.step()
            canvases.append(engine.draft[request.slot].tolist())
        engine.run()
        judge("person", text_of(worker, request))
        return canvases

    assert shown(seed=1) == shown(seed=1) != shown(seed=2)
    assert shown(temperature=0.0, seed=1) != shown(seed=1)


def ranked(rank: int, store: str, out: Any) -> None:
    """An engine's process number ``rank`` of two; each has other logits."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    base = made_worker()
    ranks = Group(torch.distributed.group.WORLD, rank, 0)
    engine = runner(base, base, logits=noise(base, seed=rank), slots=3, ranks=ranks)
    made = {kind: engine.add(Request(kind, 300, asked.to_dict())) for kind, asked in ASKED.items()}
    engine.run()
    followed = sum(isinstance(row, FollowedRow) for row in engine.seen)
    out.put((rank, followed, {kind: (one.tokens, one.reason) for kind, one in made.items()}))
    torch.distributed.destroy_process_group()


def test_two_processes_of_one_model_write_what_rank_0_decides(worker: Worker, tmp_path: Path) -> None:
    context = get_context("spawn")
    out = context.Queue()
    processes = [context.Process(target=ranked, args=(rank, str(tmp_path / "store"), out)) for rank in range(2)]
    for one in processes:
        one.start()
    found = {rank: rest for rank, *rest in (out.get(timeout=200) for _ in processes)}
    for one in processes:
        one.join(60)
    assert (found[0][0], found[1][0]) == (0, len(ASKED))
    assert found[0][1] == found[1][1]
    for kind, (tokens, reason) in found[1][1].items():
        assert reason == "stop"
        judge(kind, text_of(worker, Request(kind, 300, ASKED[kind].to_dict(), tokens=tokens)))


def test_two_thousand_rows(worker: Worker) -> None:
    """Every one valid, none cut off."""
    kinds = [kind for kind in ASKED if kind != "list"]
    quick = Worker(worker.vocabulary, LENGTH, 2048, replace(worker.policy, max_steps=6))
    engine = runner(quick, worker, slots=64)
    made = [
        (kinds[i % len(kinds)], engine.add(Request(f"row{i}", 40 + i % 9, ASKED[kinds[i % len(kinds)]].to_dict())))
        for i in range(2000)
    ]
    engine.run()
    for kind, request in made:
        assert request.reason == "stop"
        judge(kind, text_of(worker, request))
