"""The command line on the real engine: random logits and a small tokenizer stand in for a trained model."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import torch
from click.testing import CliRunner
from structdiff_cli.main import cli
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import structdiff
from structdiff.decode.policy import Policy
from structdiff.model import Model
from structdiff.testing.scripted import Scripted

ROOT = Path(__file__).parents[2]
CASES = sorted(path.stem for path in (ROOT / "schemas").glob("*.json") if ".expected" not in path.name)


@pytest.fixture(scope="module")
def tokenizer():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([path.read_text(encoding="utf-8") for path in ROOT.glob("schemas/*.*")], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>")


@pytest.fixture
def denoiser(monkeypatch, tokenizer):
    denoiser = Scripted.random(canvas_length=48, vocab_size=len(tokenizer))
    denoiser.context_length = 2000
    loaded = Model(denoiser, tokenizer, Policy(max_steps=4), (tokenizer.eos_token_id,), "random")
    monkeypatch.setitem(vars(structdiff), "load", lambda *args, **options: loaded)
    return denoiser


@pytest.fixture
def folder(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def run(*args, **options):
    return CliRunner().invoke(cli, [str(arg) for arg in args], **options)


def failed(result, code, *words):
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    assert result.stdout == "" and len(result.stderr.strip().splitlines()) == 1, result.output
    assert all(word in result.stderr for word in words), result.stderr


@pytest.mark.parametrize("name", CASES)
def test_worked_cases_are_valid_whatever_the_model_says(denoiser, name):
    path = ROOT / "schemas" / f"{name}.json"
    result = run("generate", path.with_suffix(".txt"), "--schema", path, "--max-tokens", 130, "--seed", 3)
    assert result.exit_code == 0, (result.output, result.exception)
    schema = json.loads(path.read_text(encoding="utf-8"))
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(schema, format_checker=checker).validate(json.loads(result.stdout))


@pytest.mark.parametrize("name", CASES)
def test_expected_outputs_are_in_the_language(tokenizer, name):
    path = ROOT / "schemas" / f"{name}.json"
    constraint = structdiff.compile(path, tokenizer)
    expected = json.loads(path.with_suffix(".expected.json").read_text(encoding="utf-8"))
    assert constraint.matches(json.dumps(expected)) and constraint.matches(json.dumps(expected, indent=2))
    assert not constraint.matches(json.dumps(expected | {"surprise": 1}))


def test_regex_and_choice(denoiser):
    assert json.loads(run("generate", "--regex", "[0-9]{3}", input="x").stdout).isdigit()
    assert json.loads(run("generate", "--choice", "bug", "--choice", "42", input="x").stdout) in ("bug", "42")


def test_watch_trace_and_full(denoiser, tmp_path):
    arguments = ["--schema", ROOT / "schemas" / "event.json", "--watch", "--trace", tmp_path / "t.html", "--full"]
    result = run("generate", *arguments, "--max-tokens", 60, input="x")
    report = json.loads(result.stdout)
    assert report["usage"]["canvases"] >= 1 and report["text"] and "Text:\nx" in report["prompt"]
    assert "canvas 1" in result.stderr
    data = (tmp_path / "t.html").read_text(encoding="utf-8")
    assert '"canvas":0' in data and f'"reason":"{report["finish_reason"]}"' in data


def test_same_seed_same_answer(monkeypatch, tokenizer):
    def answer(seed):
        denoiser = Scripted.random(canvas_length=48, vocab_size=len(tokenizer))
        loaded = Model(denoiser, tokenizer, Policy(max_steps=4), (tokenizer.eos_token_id,), "random")
        monkeypatch.setitem(vars(structdiff), "load", lambda *args, **options: loaded)
        return run("generate", "--schema", ROOT / "schemas" / "event.json", "--seed", seed, input="x").stdout

    assert answer(5) == answer(5)


def test_plan(folder):
    event = ROOT / "schemas" / "event.json"
    result = run("plan", "--schema", event, "--whitespace", "compact", "--tokenizer", folder, "--max-tokens", 80)
    assert result.exit_code == 0, (result.output, result.exception)
    plan = json.loads(result.stdout)
    assert plan["min_tokens"] > 5 and len(plan["allowed"]) == 80
    assert plan["anchors"] and all(plan["allowed"][int(position)] == 1 for position in plan["anchors"])
    assert "forced" in result.stderr


def test_model_info(denoiser):
    info = json.loads(run("model", "info").stdout)
    assert (info["name"], info["canvas_length"], info["policy"]["max_steps"]) == ("random", 48, 4)


def test_schema_check_of_files_and_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "from pydantic import BaseModel\nclass Person(BaseModel):\n    name: str\n    age: int\n"
    Path("people_for_cli.py").write_text(code, encoding="utf-8")
    cases = [ROOT / "schemas" / f"{name}.json" for name in CASES]
    result = run("schema", "check", *cases, "people_for_cli:Person")
    assert result.exit_code == 0, result.output
    result = run("schema", "check", '{"type": "strin"}', '{"properties": {"n": {"minimum": 3, "maximum": 2}}}')
    assert result.exit_code == 3
    assert "strin" in result.stderr.splitlines()[0]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("{nonsense", ["not JSON"]),
        ('{"type": "strin"}', ["strin"]),
        ('{"type": "object", "properties": {"a": {"contains": {}, "uniqueItems": true}}}', ["uniqueItems", "/a"]),
        ('{"type": "integer", "minimum": 3, "maximum": 2}', []),
        ("false", []),
        ('{"type": "string", "pattern": "("}', ["pattern"]),
        ('{"$ref": "#/$defs/nowhere"}', ["nowhere"]),
    ],
)
def test_bad_schemas(denoiser, schema, words):
    failed(run("generate", "--schema", schema, input="x"), 3, *words)


def test_bad_requests(denoiser):
    event = ROOT / "schemas" / "event.json"
    failed(run("generate", "--schema", event, "--max-tokens", 3, input="x"), 4, "needs", "3")
    failed(run("generate", "--schema", event, input=" \n"), 1, "empty")
    failed(run("generate", "--schema", event, input="word " * 5000), 1, "context")
    denoiser.script = lambda prefix, canvas: torch.full((48, denoiser.vocab_size), float("nan"))
    failed(run("generate", "--schema", event, input="x"), 1)
    assert denoiser.calls == 1


def test_bad_regex_and_tokenizer(denoiser, tmp_path):
    failed(run("generate", "--regex", "(", input="x"), 3)
    pieces = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    pieces.save(str(tmp_path / "tokenizer.json"))
    failed(run("plan", "--choice", "a", "--tokenizer", tmp_path), 1, "WordPiece")


def test_model_that_is_not_there():
    failed(run("generate", "--choice", "a", "--model", "/no/such/folder", input="x"), 2, "/no/such/folder")


def test_a_first_use_says_that_kernels_are_compiled(tmp_path, monkeypatch, capsys):
    from structdiff_cli import _models

    from structdiff.automata import kernels as automata
    from structdiff.lattice import kernels as lattice

    for kernel in (lattice.forward, automata.product):
        monkeypatch.setattr(kernel, "_cache", type("Cache", (), {"cache_path": str(tmp_path)})())
    monkeypatch.setattr("structdiff.constraint.compile.load_kernels", lambda: None)

    def told(denoising=False):
        _models.ready_kernels(denoising)
        return capsys.readouterr().err.count("compiling kernels")

    assert told() == told(denoising=True) == 1
    (tmp_path / "kernels.product-135.py311.nbi").touch()
    assert told() == 0 and told(denoising=True) == 1  # a model that writes from left to right has no use of the others
    (tmp_path / "kernels.forward-135.py311.nbi").touch()
    assert told(denoising=True) == 0


def test_the_first_command_prints_json_and_not_a_word_else():
    command = [
        sys.executable,
        "-c",
        "from structdiff_cli.main import cli; cli()",
        "generate",
        str(ROOT / "schemas/contact.txt"),
    ]
    done = subprocess.run([*command, "--schema", str(ROOT / "schemas/contact.json")], capture_output=True, text=True)
    schema = json.loads((ROOT / "schemas/contact.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(done.stdout), schema)
    assert (done.returncode, done.stderr) == (0, "")
