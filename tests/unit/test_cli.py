"""The command line as a thin skin over a stub library: options, exit codes, where output goes, and documentation."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner
from structdiff_cli import docs
from structdiff_cli.main import COMMANDS, cli

import structdiff
from structdiff.confidence.fields import Field
from structdiff.core import errors
from structdiff.decode.trace import CanvasCommitted, CanvasStarted, Finished, StepDone

ROOT = Path(__file__).parents[2]
CONTACT = str(ROOT / "schemas" / "contact.json")
ANSWER = '{"name": "Zoë", "total": 1.5}'


class Model:
    """A model that answers the same to everything, or fails as it is told."""

    def __init__(self):
        self.calls = []
        self.fails = None

    vocabulary = SimpleNamespace(piece="<{}>".format)
    name = "stub"
    denoiser = object()  # one that writes from left to right

    def info(self):
        return {"parameters": 12, "canvas": 4}

    def generate(self, text, source, *, max_tokens, seed, on_event=None, **options):
        self.calls.append(SimpleNamespace(text=text, source=source, max_tokens=max_tokens, seed=seed, options=options))
        if self.fails:
            raise self.fails
        if on_event:
            on_event(CanvasStarted(0, 0, 0, 2))
            on_event(StepDone(0, 0, 1, 7, [3, 4], [3, 4], [True, False], [False, False], [0.1, 0.2], 2))
            on_event(CanvasCommitted(0, 0, [3, 4], ANSWER))
            on_event(Finished(0, ANSWER, "stop"))
        value = ANSWER if isinstance(source, tuple) else json.loads(ANSWER)
        return SimpleNamespace(
            data=value,
            value=value,
            text=ANSWER,
            finish_reason="stop",
            usage={"steps": 3},
            prompt="Fill:",
            model="stub",
            spans={},
            restrictions=(),
            fields={"/name": Field("Zoë", 0.5)},
        )


@pytest.fixture
def model(monkeypatch):
    stub = Model()
    monkeypatch.setitem(vars(structdiff), "load", lambda *args, **options: stub)
    return stub


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *args, **options: CliRunner().invoke(cli, [str(arg) for arg in args], **options)


def failed(result, code, *words):
    """The command exited with ``code``, printed nothing but one clear line, and the line has ``words`` in it."""
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("Error: "), result.stderr
    assert all(word in lines[0] for word in words), lines[0]


# What it prints


def test_generate_prints_json_alone(run, model):
    result = run("generate", "--schema", CONTACT, input="Zoë paid 1.50")
    assert (result.exit_code, json.loads(result.stdout), result.stderr) == (0, {"name": "Zoë", "total": 1.5}, "")
    assert "Zoë" in result.stdout
    call = model.calls[0]
    assert (call.text, call.max_tokens, call.seed) == ("Zoë paid 1.50", None, 0)
    assert call.source == json.loads(Path(CONTACT).read_text(encoding="utf-8"))


def test_generate_reads_a_file_and_options(run, model):
    Path("in.txt").write_text("\ufeffhello", encoding="utf-8")
    result = run("generate", "in.txt", "--schema", '{"type": "object"}', "--max-tokens", 9, "--seed", 4)
    assert result.exit_code == 0
    call = model.calls[0]
    assert (call.text, call.source, call.max_tokens, call.seed) == ("hello", {"type": "object"}, 9, 4)


def test_full_is_one_json_document(run, model):
    report = json.loads(run("generate", "--schema", "true", "--full", "--whitespace", "compact", input="Zoë 1").stdout)
    asked = model.calls[0].options
    assert asked == {
        "whitespace": "compact",
        "pinned": None,
        "instructions": "",
        "examples": [],
        "fields": True,
        "long_text": "refuse",
        "retries": 0,
    }
    assert report == {
        "model": "stub",
        "value": {"name": "Zoë", "total": 1.5},
        "text": ANSWER,
        "finish_reason": "stop",
        "usage": {"steps": 3},
        "fields": {"/name": {"value": "Zoë", "confidence": 0.5, "probability": 0.5, "present": True}},
        "spans": {"/name": [0, 3]},
        "prompt": "Fill:",
        "schema": True,
    }


def test_instructions_and_examples_are_handed_on(run, model):
    Path("some.jsonl").write_text('{"text": "Ann", "value": {"name": "Ann"}}\n', encoding="utf-8")
    run("generate", "--schema", "true", "--instructions", "Be brief.", "--examples", "some.jsonl", input="x")
    asked = model.calls[0].options
    assert (asked["instructions"], asked["examples"]) == ("Be brief.", [("Ann", {"name": "Ann"})])
    Path("bad.jsonl").write_text('{"text": "Ann"}\n', encoding="utf-8")
    failed(run("generate", "--schema", "true", "--examples", "bad.jsonl", input="x"), 2, "line 1 of bad.jsonl")


def test_fields_as_a_schema(run, model):
    run("generate", "--schema", "name, age? int: in years", input="x")
    assert model.calls[0].source == {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "description": "in years"}},
        "required": ["name"],
    }
    run("generate", "--schema", "name str", "--many", input="x")
    assert model.calls[1].source["type"] == "array" and model.calls[1].source["items"]["required"] == ["name"]
    failed(run("generate", "--schema", "name, age intt", input="x"), 3, "no type 'intt'; did you mean 'int'?")


def test_watch_goes_to_standard_error(run, model):
    result = run("generate", "--schema", "true", "--watch", input="x")
    assert json.loads(result.stdout) == json.loads(ANSWER)
    assert "<3><4>" in result.stderr and "mean entropy" in result.stderr


def test_trace_is_written(run, model):
    assert run("generate", "--schema", "true", "--trace", "out.html", input="x").exit_code == 0
    assert r'"3":"\u003c3>"' in Path("out.html").read_text(encoding="utf-8")


def test_a_trace_may_be_an_animation(run, model):
    assert run("generate", "--schema", "true", "--trace", "out.svg", input="x").exit_code == 0
    assert Path("out.svg").read_text(encoding="utf-8").count("<g id=") == 2
    failed(run("generate", "--schema", "true", "--trace", "out.png", input="x"), 2, "FILE.html or FILE.svg")


def test_class_from_the_current_folder(run, model):
    code = "from pydantic import BaseModel\nclass Point:\n    class Inner(BaseModel):\n        x: int\n"
    Path("shapes_for_cli.py").write_text(code, encoding="utf-8")
    assert run("generate", "--schema", "shapes_for_cli:Point.Inner", input="x").exit_code == 0
    assert model.calls[0].source.__name__ == "Inner"
    assert sys.path[0] != str(Path.cwd())
    run("generate", "--schema", "shapes_for_cli:Point.Inner", "--many", input="x")
    assert model.calls[1].source == list[model.calls[0].source]


@pytest.mark.parametrize("arguments", [["--regex", "[0-9]+"], ["--choice", "1", "--choice", "2"]])
def test_text_is_a_json_string(run, model, arguments):
    assert json.loads(run("generate", *arguments, input="x").stdout) == json.loads(ANSWER)
    assert model.calls[0].source in [structdiff.Regex("[0-9]+"), structdiff.Choice(["1", "2"])]


def test_grammars_are_files_by_their_endings(run, model, tmp_path):
    for name, text, kind in [
        ("g.lark", 'start: "a"', structdiff.Lark), ("g.gbnf", 'root ::= "a"', structdiff.GBNF),
        ("g.ebnf", 'root ::= "a"', structdiff.GBNF),
    ]:  # fmt: skip
        path = tmp_path / name
        path.write_text(text)
        assert run("generate", "--grammar", str(path), input="x").exit_code == 0
        assert model.calls[-1].source == kind(path)
    failed(run("generate", "--grammar", str(tmp_path / "g.txt"), input="x"), 2, "ends in .lark, .gbnf or .ebnf")
    failed(run("generate", "--grammar", str(tmp_path / "h.lark"), input="x"), 2, "no grammar file")


def test_model_info(run, model):
    assert json.loads(run("model", "info").stdout) == {"parameters": 12, "canvas": 4}


# What can go wrong


def test_schema_that_is_not_json(run, model):
    Path("s.json").write_text("{name: string}", encoding="utf-8")
    failed(run("generate", "--schema", "s.json", input="x"), 3, "s.json is not JSON", "line 1")
    failed(run("generate", "--schema", "{name", input="x"), 3, "not JSON")


def test_schema_that_is_no_schema(run, model):
    failed(run("generate", "--schema", "[1]", input="x"), 3, "an object or a boolean")


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (errors.InvalidSchema("'strin' is not a JSON type", "/type"), 3, "/type"),
        (errors.UnsupportedSchema("/properties/tags", "uniqueItems", "a reason"), 3, "uniqueItems"),
        (errors.Unsatisfiable("minimum 3 is above maximum 2", "/properties/n"), 3, "/properties/n"),
        (errors.CompileLimit("/properties/body", "200000 states"), 3, "200000 states"),
        (errors.BudgetTooSmall(needed=12, given=8), 4, "12"),
        (errors.GenerationError("the text is empty"), 1, "empty"),
        (errors.GenerationError("the text has 900 tokens\nbut the context 128"), 1, "900 tokens but"),
        (errors.UnsupportedTokenizer("WordPiece tokenizers cannot be read exactly"), 1, "WordPiece"),
    ],
)
def test_library_errors_are_one_line(run, model, error, code, word):
    model.fails = error
    failed(run("generate", "--schema", "true", input="x"), code, word)


def test_files_that_cannot_be_read(run, model, tmp_path):
    failed(run("generate", "no.txt", "--schema", "true"), 2, "no.txt", "No such file")
    failed(run("generate", tmp_path, "--schema", "true"), 2, "directory")
    failed(run("generate", "--schema", "no.json", input="x"), 2, "no.json")
    failed(run("generate", "--schema", "x" * 5000, input="x"), 2, "no schema file")
    Path("latin.txt").write_bytes(b"caf\xe9")
    failed(run("generate", "latin.txt", "--schema", "true"), 2, "latin.txt", "UTF-8")
    failed(run("generate", "--schema", "true", input=b"caf\xe9"), 2, "UTF-8")
    assert model.calls == []


def test_classes_that_cannot_be_imported(run, model):
    failed(run("generate", "--schema", "no_such_module:Thing", input="x"), 2, "no_such_module")
    failed(run("generate", "--schema", "json:Thing", input="x"), 2, "Thing")


def test_tokenizer_that_is_not_there(run, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    failed(run("plan", "--schema", "true", "--tokenizer", "no/such"), 2, "no/such")


@pytest.mark.parametrize("arguments", [[], ["--schema", "true", "--regex", "a"], ["--regex", "a", "--choice", "b"]])
def test_exactly_one_constraint(run, model, arguments):
    result = run("generate", *arguments, input="x")
    assert result.exit_code == 2
    assert "exactly one of --schema, --regex, --choice, --grammar and --source" in result.stderr


@pytest.mark.parametrize("arguments", [["--max-tokens", "0"], ["--seed", "x"], ["--nonsense"]])
def test_wrong_options(run, model, arguments):
    result = run("generate", "--schema", "true", *arguments, input="x")
    assert (result.exit_code, result.stdout) == (2, "")


# Schemas


@dataclass
class Report:
    problems: list


def test_schema_check(run, monkeypatch):
    problem = {"pointer": "/properties/a", "keyword": "uniqueItems", "reason": "because"}
    monkeypatch.setitem(vars(structdiff), "check", lambda schema: Report([problem] if schema is True else []))
    result = run("schema", "check", CONTACT, "true", "{nonsense")
    assert result.exit_code == 3
    assert [report["ok"] for report in json.loads(result.stdout)] == [True, False, False]
    first, second = result.stderr.strip().splitlines()
    assert first == "true: at /properties/a: uniqueItems: because" and "not JSON" in second
    assert run("schema", "check", CONTACT).exit_code == 0


# Every command


@pytest.mark.parametrize("context", list(docs.commands()), ids=lambda context: context.command_path)
def test_every_command_and_option_has_help(context):
    assert context.command.help
    for parameter in context.command.params:
        assert isinstance(parameter, click.Argument) or parameter.help, parameter.name


def test_every_command_is_there():
    assert {path.split()[1] for path in (context.command_path for context in docs.commands()) if " " in path} == set(
        COMMANDS
    )


def test_documentation_is_current():
    document = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert document == docs.rewrite(document), "run: python -m structdiff_cli.docs docs/cli.md"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from structdiff_cli.main import cli; cli(['--help'], standalone_mode=False);"
        "print([name for name in ('torch', 'transformers', 'numba', 'rich', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]"), done.stdout
