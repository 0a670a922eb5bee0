"""What every engine shares: rows that an engine drives, what travels between processes, the last look at an output."""

from __future__ import annotations

import http.server
import json
import re
import threading
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch

import structdiff
from structdiff.constraint import disk_cache
from structdiff.core.errors import GenerationError, InvalidSchema, Unsatisfiable, UnsupportedTokenizer
from structdiff.decode.acceptance import Threshold
from structdiff.decode.policy import Policy
from structdiff.decode.session import CanvasSession
from structdiff.engines.asked import Asked, extension
from structdiff.engines.row import EngineRow, failed
from structdiff.engines.vllm.plugin import untested
from structdiff.engines.walk import Walk
from structdiff.engines.worker import Worker, hand_over, marker_of, vocabulary_of
from structdiff.frontends.regex.parser import parse_regex
from structdiff.models.protocol import DenoiserSpec, Noise
from structdiff.testing.tiny import tiny, tiny_vocabulary
from structdiff.tokens.vocabulary import Vocabulary

VOCABULARY = tiny_vocabulary([b"a", b"b", b"ab", None, None], ends=(3,))
V, END, MARKER = 5, 3, 4
EMBEDDED = Path(structdiff.__file__).parent / "models" / "embedded"


def row(pattern: str, budget: int, *, length: int = 4, written: tuple[int, ...] = (), seed: int = 0) -> EngineRow:
    spec = DenoiserSpec(length, V, 99, self_conditioning=False)
    automaton = tiny(parse_regex(pattern), VOCABULARY)
    return EngineRow(
        "r", lambda: CanvasSession(automaton, (END,), budget, spec, policy=Policy(max_steps=6), seed=seed),
        length=length, end=END, marker=MARKER, written=written,
    )  # fmt: skip


def emitted(row: EngineRow, seed: int = 0, cut: tuple[int, ...] = ()) -> list[int]:
    """The tokens of a row as an engine emits them: whole canvases, up to the first end token.

    At the commits numbered in ``cut`` the engine has room for half of the canvas alone.
    """
    drawn = torch.Generator().manual_seed(seed)
    out: list[int] = []
    for commit in range(50):
        steps = 0
        while not row.done:
            steps += 1
            assert steps < 20
            row.observe(torch.randn(row.length, V, generator=drawn) * 3)
        count = row.length // 2 if commit in cut else row.length
        out += row.shown[:count].tolist()
        if END in out:
            return out[: out.index(END) + 1]
        row.committed(count)
    raise AssertionError("the row never ends")


def spelled(tokens: list[int]) -> str:
    return b"".join(VOCABULARY.table.token_bytes[token] or b"" for token in tokens).decode()


@pytest.mark.parametrize("pattern", ["ab|b", "(ab){1,4}", "b(a|b)*ab", "a{5}", "(a|b){4}", "(a|b){8}"])
def test_rows_write_their_language_and_an_end(pattern: str) -> None:
    automaton = tiny(parse_regex(pattern), VOCABULARY)
    for seed in range(12):
        budget = int(automaton.distance[0]) + seed % 4
        tokens = emitted(row(pattern, budget, seed=seed), seed, cut=(0,) if seed % 3 == 2 else ())
        assert tokens[-1] == END and len(tokens) <= budget + 1
        assert re.fullmatch(pattern, spelled(tokens))
        walk = Walk(automaton, (END,), budget + 1)
        walk.add(tokens)
        walk.close()


def test_a_preempted_row_goes_on_behind_what_was_written() -> None:
    first = row("(a|b){9}", 9)
    while not first.done:
        first.observe(torch.eye(V)[[0, 0, 0, 0]] * 9)
    head = first.shown.tolist()
    tokens = emitted(row("(a|b){9}", 9, written=tuple(head)))
    assert re.fullmatch("(a|b){9}", spelled(head + tokens))


def test_a_row_with_nothing_left_to_write_ends() -> None:
    assert emitted(row("ab", 2, written=(2,))) == [END]


@pytest.mark.parametrize("fault", [float("nan"), float("inf")])
def test_a_failed_row_writes_a_token_that_is_no_text(fault: float) -> None:
    failing = row("(a|b)*", 9)
    failing.observe(torch.full((4, V), fault))
    assert failing.done and failing.shown.tolist() == [MARKER, END, END, END]
    assert isinstance(failing.error, GenerationError)
    walk = Walk(tiny(parse_regex("(a|b)*"), VOCABULARY), (END,), 10)
    with pytest.raises(GenerationError, match="had failed"):
        walk.add(failing.shown.tolist())


def test_a_row_that_cannot_begin_fails_alone() -> None:
    assert row("aaaa", 2).shown.tolist()[0] == MARKER
    assert row("ab", 2, written=(1, 1)).error is not None
    off = failed("r", "off", 3)
    off.committed(3)
    off.observe(torch.zeros(3, V))
    assert off.done and str(off.error) == "off"


def test_a_canvas_of_another_width_is_begun_anew() -> None:
    narrow = row("(a|b){6}", 6)
    narrow.observe(torch.randn(2, V, generator=torch.Generator().manual_seed(1)))
    while not narrow.done:
        narrow.observe(torch.randn(2, V, generator=torch.Generator().manual_seed(1)))
    assert set(narrow.shown[:2].tolist()) <= {0, 1, 2} and narrow.shown[2:].tolist() == [MARKER, MARKER]


@pytest.mark.parametrize("pattern", ["ab|b", "(ab){1,4}", "a{5}", "(a|b){8}"])
@pytest.mark.parametrize("first", [1, 3, 4])
def test_rows_of_masks_in_aligned_blocks(pattern: str, first: int) -> None:
    """What is shown is masks and tokens that stay; the first block has fewer positions than those that follow."""
    automaton = tiny(parse_regex(pattern), VOCABULARY)
    budget = int(automaton.distance[0]) + 2
    spec = DenoiserSpec(4, V, 99, Noise(MARKER), self_conditioning=False)
    policy = Policy(max_steps=4, candidate="maximum", acceptance=Threshold(0.9))
    made = EngineRow(
        "r", lambda: CanvasSession(automaton, (END,), budget, spec, policy=policy), length=first, end=END, marker=1
    )
    drawn = torch.Generator().manual_seed(first)
    out: list[int] = []
    while END not in out:
        before = made.shown.copy()
        while not made.done:
            made.observe(torch.randn(made.length, V, generator=drawn) * 3)
            stays = before != MARKER
            assert (made.shown[stays] == before[stays]).all()
            before = made.shown.copy()
        out += made.shown.tolist()
        made.committed(made.length, 4)
    assert made.error is None and re.fullmatch(pattern, spelled(out[: out.index(END)]))
    assert out.index(END) <= budget


def test_the_marker_is_not_the_mask() -> None:
    vocabulary = tiny_vocabulary([b"a", None, None, None], ends=(3,))
    assert (marker_of(vocabulary), marker_of(vocabulary, mask=1)) == (1, 2)


def test_walks_refuse_what_is_no_output() -> None:
    automaton = tiny(parse_regex("ab"), VOCABULARY)

    def walked(tokens: list[int], budget: int = 3) -> None:
        walk = Walk(automaton, (END,), budget)
        for token in tokens:
            walk.add([token])
        walk.close()

    walked([2, END])
    walked([0, 1, END])
    walked([2])  # ended by the budget, and complete
    for wrong in ([0, END], [0], [MARKER, END], [2, END, 0], [1]):
        with pytest.raises(GenerationError):
            walked(wrong)


def test_what_travels_is_json_and_says_the_same() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    asked = Asked("json", schema, {"whitespace": "compact", "strict": True}, {"a": 3}, 7, 0.5, 2)
    again = Asked.from_dict(json.loads(json.dumps(asked.to_dict())))
    source, options = again.compilable()
    constraint = structdiff.compile(source, EMBEDDED, **options)
    assert constraint.matches('{"a":3}') and not constraint.matches('{"a": 3}') and not constraint.matches('{"a":4}')
    assert Asked("json", json.dumps(schema)).compilable()[0] == schema
    with pytest.raises(InvalidSchema, match="give a text"):
        Asked("regex", ["a"]).compilable()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{", "is not JSON"),
        ([1], "must be a JSON object"),
        ({"pined": {}}, "no field 'pined'"),
        ({"json": {}, "regex": "a"}, "give one"),
        ({"pinned": [1]}, "pinned is list"),
        ({"registry": {}}, "no field 'registry'"),
    ],
)
def test_extensions_that_are_wrong_say_what(given: object, said: str) -> None:
    with pytest.raises(InvalidSchema, match=said):
        extension(given)


def test_any_registered_front_end_may_be_named() -> None:
    """Front ends of other packages come for free."""
    assert extension({"shorthand": "name, age int"})[0] == ("shorthand", "name, age int")


@pytest.fixture(scope="module")
def worker() -> Worker:
    made = Worker(vocabulary_of(EMBEDDED, [1, 4, None], 1024), 48, 2048, Policy(max_steps=8))
    made.warm_up(torch.device("cpu"))
    return made


def test_a_handed_over_constraint_is_not_compiled_again(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRUCTDIFF_CACHE", str(tmp_path))
    asked = Asked("regex", "[a-f]{3}-[0-9]{2}")
    hand_over(structdiff.compile(asked.compilable()[0], worker.vocabulary))
    monkeypatch.setattr("structdiff.constraint.compile.compile_tree", None)  # compiling would fail
    assert worker.constraint(asked).matches("abc-12")


def test_a_lost_constraint_is_compiled_again(worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTDIFF_CACHE", str(tmp_path))
    monkeypatch.setenv("STRUCTDIFF_CACHE_MB", "0")
    asked = Asked("regex", "[a-f]{3}-[0-9]{3}")
    hand_over(structdiff.compile(asked.compilable()[0], worker.vocabulary))
    assert not list(tmp_path.glob("constraint-*")) and worker.constraint(asked).matches("abc-123")


def test_the_cache_knows_what_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTDIFF_CACHE", str(tmp_path))
    constraint = structdiff.compile(structdiff.Regex("[a-f]{2}"), EMBEDDED)
    assert constraint.key is not None and not disk_cache.holds(constraint.key)
    disk_cache.store(constraint.key, constraint.automaton)
    assert disk_cache.holds(constraint.key)
    monkeypatch.setenv("STRUCTDIFF_CACHE_MB", "0")
    assert not disk_cache.holds(constraint.key)


def test_a_worker_s_rows(worker: Worker) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    asked = Asked("json", schema, temperature=0.0).to_dict()
    made = worker.row("cmpl-1", asked, max_tokens=40)
    drawn = torch.Generator().manual_seed(0)
    while not made.done:
        made.observe(torch.randn(48, 1024, generator=drawn))
    text = made.shown.tolist()
    ends = [i for i, token in enumerate(text) if token in worker.vocabulary.end_ids]
    jsonschema.validate(json.loads(worker.vocabulary.bytes_of(text[: ends[0]])), schema)
    assert worker.row("cmpl-2", {"kind": "nonsense"}, max_tokens=40).error is not None
    assert worker.row("cmpl-3", Asked("json", schema).to_dict(), max_tokens=1).error is not None


def test_names_seed_rows_that_have_no_seed(worker: Worker) -> None:
    asked = Asked("regex", "[ab]{9}").to_dict()
    first, again, other = (worker.row(name, asked, max_tokens=40).shown for name in ("x", "x", "y"))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_rows_take_nothing_of_the_global_random_stream(worker: Worker) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    made = worker.row("x", Asked("regex", "[ab]{9}").to_dict(), max_tokens=40)
    made.observe(torch.zeros(48, 1024))
    assert torch.equal(torch.rand(3), wanted)


def test_vocabularies_that_cannot_serve() -> None:
    with pytest.raises(UnsupportedTokenizer, match="without a tokenizer"):
        vocabulary_of(None, [1], 10)
    with pytest.raises(UnsupportedTokenizer, match="stops at no token"):
        vocabulary_of(EMBEDDED, [None, 5000], 1024)
    text = Vocabulary(tiny_vocabulary([b"a", b"b", None], ends=(2,)).table)
    with pytest.raises(UnsupportedTokenizer, match="every token"):
        vocabulary_of(text, [2], 3)


def test_versions() -> None:
    assert untested("0.32.0") is None and untested("0.33.1+cu129") is None
    assert "0.31.9" in str(untested("0.31.9")) and "1.0" in str(untested("1.0")) and untested("dev") is not None


def test_unsatisfiable_pins_are_told_before_anything_runs() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 2}}}
    source, options = Asked("json", schema, {}, {"n": 3}).compilable()
    with pytest.raises(Unsatisfiable):
        structdiff.compile(source, EMBEDDED, **options)


def test_the_benchmark_s_report_judges_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Against a server that is right when it is constrained and talks when it is not."""
    from benchmarks import engines

    question = {
        "id": "live_simple_0", "question": [[{"role": "user", "content": "Weather in Oslo?"}]],
        "function": [{"name": "weather", "description": "Of a city.", "parameters": {
            "type": "dict", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"]}}],
    }  # fmt: skip
    answer = {"id": "live_simple_0", "ground_truth": [{"weather": {"city": ["Oslo"], "days": ["", 1]}}]}
    (tmp_path / "questions").write_text(json.dumps(question) + "\n")
    (tmp_path / "answers").write_text(json.dumps(answer) + "\n")
    steps = 0

    class Handler(http.server.BaseHTTPRequestHandler):
        def reply(self, said: Any) -> None:
            data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            counted = 'vllm:diffusion_num_{}_total{{engine="0"}} {}\n'
            self.reply({
                "/v1/models": {"data": [{"id": "m"}]}, "/version": {"version": "0.33.0"},
                "/metrics": counted.format("denoising_steps", steps) + counted.format("committed_tokens", 4 * steps),
            }[self.path])  # fmt: skip

        def do_POST(self) -> None:
            nonlocal steps
            steps += 5
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            said = asked["messages"][0]["content"]
            person = re.match(r"Hello, I am (.*) from (.*), (\d+) years", said)
            value = {"name": person[1], "city": person[2], "age": int(person[3])} if person else {"city": "Oslo"}
            text = json.dumps(value) if "response_format" in asked else "Sure!"
            self.reply({"choices": [{"message": {"content": text}}], "usage": {"completion_tokens": 7}})

        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        files = [str(tmp_path / "questions"), str(tmp_path / "answers")]
        engines.main([url, "--clients", "2", "--count", "6", "--bfcl", *files])
        server.shutdown()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    told = {(row[0], row[1]): (row[3], row[4], row[8]) for row in rows if len(row) == 9}
    assert told["messages", "constrained"] == ("6 of 6", "6 of 6", "0.250")
    assert told["messages", "free"] == ("0 of 6", "0 of 6", "0.250")
    assert told["BFCL live simple", "constrained"][:2] == ("1 of 1", "1 of 1")
