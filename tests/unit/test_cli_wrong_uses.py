"""What people do wrong, and what they are told: one line, the documented code, and no waiting for a model."""

import json
import os
import random
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from structdiff_cli import docs
from structdiff_cli._errors import TABLE, Failure
from structdiff_cli.main import cli
from structdiff_cli.puzzle import ARMS, KINDS

import structdiff

ROOT = Path(__file__).parents[2]
CONTACT = str(ROOT / "schemas" / "contact.json")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command in an empty folder; a model that is loaded is an error."""

    def loaded(*args, **options):
        raise AssertionError("the model is loaded before the mistake is found")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(vars(structdiff), "load", loaded)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    before = list(sys.path)
    yield lambda *args, text="hi": CliRunner().invoke(cli, [str(arg) for arg in args], input=text)
    sys.path[:] = before


def told(result, code, *words):
    assert result.exit_code == code, (result.exit_code, result.output)
    lines = [line for line in result.stderr.splitlines() if not line.startswith("note:")]
    assert len(lines) == 1 and lines[0].startswith("Error: ") and result.stdout == "", result.output
    for word in words:
        assert word in lines[0], lines[0]


def test_modules_and_classes(run):
    Path("broken_mod.py").write_text("raise RuntimeError('boom')\n")
    told(run("generate", "--schema", "broken_mod:A"), 2, "broken_mod raises RuntimeError: boom")
    Path("notype_mod.py").write_text("class Person:\n    name: str\n\ndef f():\n    return 1\n")
    told(run("generate", "--schema", "notype_mod:f"), 2, "notype_mod:f is a function")
    told(run("generate", "--schema", "notype_mod:Persn"), 2, "did you mean 'Person'?")
    told(run("generate", "--schema", "notype_mood:Person"), 2, "did you mean 'notype_mod'?")
    told(run("generate", "--schema", "notype_mod.Person"), 2, "a class is named as notype_mod:Person")


def test_devices_and_number_types(run):
    told(run("generate", "--schema", CONTACT, "--device", "gpu"), 2, "no device 'gpu'", "cpu, cuda")
    told(run("generate", "--schema", CONTACT, "--dtype", "int3"), 2, "'int3'", "bfloat16")
    torch = pytest.importorskip("torch")
    if torch.version.cuda is None and torch.version.hip is None:
        told(run("generate", "--schema", CONTACT, "--device", "cuda"), 2, "needs a build of torch for GPUs")


def test_models_that_are_not_there(run):
    Path("emptyd").mkdir()
    told(run("generate", "--schema", CONTACT, "--model", "emptyd"), 2, "no config.json and no tokenizer.json in it")
    told(run("generate", "--schema", CONTACT, "--model", "./nomodel"), 2, "there is no folder ./nomodel")
    told(run("generate", "--schema", CONTACT, "--model", "owner/name"), 2, "not in the cache", "HF_HUB_OFFLINE")
    told(run("model", "info", "./nomodel"), 2, "there is no folder ./nomodel")
    told(run("serve", "--model", "./nomodel"), 2, "there is no folder ./nomodel")


def test_texts_and_outputs(run):
    told(run("generate", "--schema", CONTACT, text=""), 1, "the text is empty")
    told(run("generate", "--schema", CONTACT, "--trace", "/nonexist/run.html"), 6, "/nonexist")
    told(run("generate", "contac.txt", "--schema", CONTACT), 2, "contac.txt")
    Path("contact.txt").write_text("x")
    told(run("generate", "contac.txt", "--schema", CONTACT), 2, "did you mean 'contact.txt'?")
    Path("person.json").write_text("{}")
    told(run("generate", "--schema", "persn.json"), 2, "did you mean 'person.json'?")
    Path("latin.txt").write_bytes(b"caf\xe9")
    told(run("generate", "latin.txt", "--schema", CONTACT), 2, "not UTF-8 text; --encoding names another")
    told(run("generate", "latin.txt", "--schema", CONTACT, "--encoding", "utf9"), 2, "no encoding 'utf9'")


def test_schemas_regexes_and_budgets(run):
    told(run("generate", "--regex", "("), 3, "'('")
    told(run("generate", "--schema", '{"type": "strin"}'), 3, "strin")
    told(run("generate", "--schema", '{"type": "integer", "minimum": 5, "maximum": 3}'), 3, "no value")
    told(run("generate", "--schema", CONTACT, "--max-tokens", "2"), 4, "max_tokens is 2; allow at least")
    told(run("extract", "x.jsonl", "--regex", "(", "-o", "o.jsonl"), 2, "x.jsonl does not exist")


def test_extract_finds_its_mistakes_first(run, monkeypatch):
    Path("in.jsonl").write_text('{"text": "a"}\n{"txt": "b"}\n')
    given = ("extract", "in.jsonl", "--schema", CONTACT)
    told(run(*given, "--text-field", "body", "-o", "o.jsonl"), 2, "in the field 'body'", "text, txt")
    told(run(*given, "-o", "/nonexist/o.jsonl"), 6, "/nonexist/o.jsonl cannot be written")
    told(run(*given, "-o", "o.xlsx"), 2, "o.xlsx has to end in .jsonl, .csv")
    told(run(*given, "-o", "o.jsonl", "--regex", "a"), 2, "exactly one of")
    Path("o.jsonl").write_text("")
    told(run(*given, "-o", "o.jsonl"), 2, "o.jsonl exists already")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    told(run(*given, "-o", "x.parquet"), 2, "pip install 'structdiff[parquet]'")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    told(run(*given, "-o", "s3://box/x.jsonl"), 2, "pip install 'structdiff[remote]'")


def test_schema_check_reports_on_every_file(run):
    result = run("schema", "check", "nofile.json", CONTACT)
    assert result.exit_code == 2 and [one["ok"] for one in json.loads(result.stdout)] == [False, True]
    assert "nofile.json: there is no schema file" in result.stderr
    assert run("schema", "check", "nofile.json", '{"type": "strin"}').exit_code == 3


def test_commands_and_options(run):
    told(run("generat"), 2, "there is no command 'generat'; did you mean 'generate'?")
    told(run("schema", "chek"), 2, "did you mean 'check'?")
    told(run("generate", "--schem", "x"), 2, "--schem", "--schema")
    told(run("puzzle", "make", "sudoku-5x5"), 2, "no kind 'sudoku-5x5'; did you mean 'sudoku-")
    assert len(run("puzzle", "make", "sudoku-4x4", "--n", "2").stdout.splitlines()) == 2
    assert "sudoku-4x4" in run("puzzle", "--help").stdout
    assert re.match(r"structdiff, version \d", run("-V").stdout)


def test_the_kinds_and_arms_of_the_command_line_are_those_of_the_library():
    from structdiff.puzzles import arms, instances

    assert [name.replace(" ", "-") for name in instances.NAMES] == list(KINDS) and arms.ARMS == ARMS


def test_a_port_that_is_taken(run):
    pytest.importorskip("uvicorn")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        told(run("serve", "--port", taken.getsockname()[1]), 6, "in use", "--port picks another")


def test_a_fault_is_a_line_and_its_place_is_behind_debug(run, monkeypatch):
    def fault(*args):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("structdiff_cli.generate.read_text", fault)
    told(run("generate", "--schema", CONTACT), 70, "ZeroDivisionError", "--debug")
    result = run("generate", "--schema", CONTACT, "--debug")
    assert "Traceback" in result.stderr and result.exit_code == 70


def test_every_code_is_in_the_table():
    from structdiff_cli import _errors

    for code in [*_errors._BY_NAME.values(), _errors.SOME_ERRORS, _errors.INTERNAL, _errors.BROKEN_PIPE]:
        assert re.search(rf"\b{code}\b", TABLE), code
    assert Failure.of(OSError(28, "No space left on device")).exit_code == _errors.MACHINE
    assert Failure.of(MemoryError()).exit_code == _errors.MACHINE
    assert Failure.of(KeyboardInterrupt()).exit_code == 130


def shell(command, **options):
    """A command line in a shell, with ``structdiff`` as the command under test."""
    script = f'structdiff() {{ "{sys.executable}" -m structdiff "$@"; }}; {command}'
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, **options)


def test_full_disks_closed_inputs_and_readers_that_leave(tmp_path):
    check = f"structdiff schema check {CONTACT}"
    full = shell(f"{check} > /dev/full")
    assert (full.returncode, full.stderr) == (6, "Error: No space left on device\n")
    closed = shell(f"structdiff generate --schema {CONTACT} <&-")
    assert (closed.returncode, closed.stderr) == (2, "Error: standard input is closed; name a file\n")
    left = shell(f"{check} {CONTACT} {CONTACT} | true; exit ${{PIPESTATUS[0]}}")
    assert (left.returncode, left.stderr) in [(141, ""), (0, "")]  # 0: it was faster than `true`


def test_a_file_of_the_users_does_not_stand_in_for_the_standard_librarys(tmp_path):
    (tmp_path / "email.py").write_text("raise RuntimeError('not this one')\n")
    (tmp_path / "kinds.py").write_text("from typing import Literal\nKind = Literal['a', 'b']\n")
    done = shell("structdiff plan --schema kinds:Kind", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


# 300 random command lines

WORDS = [
    "", "-", "x", "0", "-1", "5", "1e9", "nan", "ü", "--", "in.jsonl", "out.jsonl", "out.csv", "gone.json", ".", "/",
    "true", "false", "{}", "[]", '{"type": "integer"}', '{"type": "strin"}', "name, age int", "a:b", "json:loads",
    "a.b", "(", "[a-z]", "text", "id", "cpu", "gpu", "json", "utf-16", "sudoku-4x4", "free,rules", "a=1", "=",
    "s3://a/b.jsonl", "\n", "x" * 300,
]  # fmt: skip


def _random_line(chosen):
    contexts = [context for context in docs.commands() if not isinstance(context.command, type(cli))]
    context = chosen.choice(contexts)
    line = context.command_path.split()[1:]
    for _ in range(chosen.randint(0, 5)):
        options = [name for parameter in context.command.params for name in parameter.opts if name.startswith("-")]
        line.append(chosen.choice(options) if options and chosen.random() < 0.6 else chosen.choice(WORDS))
    if chosen.random() < 0.1:
        chosen.shuffle(line)
    return line


def test_no_random_command_line_ends_in_a_traceback(run, monkeypatch):
    """Whatever is given: a documented exit code, and no fault of the program's own. No model is loaded."""

    def loaded(*args, **options):
        raise structdiff.GenerationError("there is no model in this test")

    monkeypatch.setitem(vars(structdiff), "load", loaded)
    monkeypatch.setattr("structdiff_cli.puzzle.load_model", loaded)
    monkeypatch.setattr("structdiff_cli.setup._install", loaded)
    chosen = random.Random(26)
    codes = set()
    for _ in range(300):
        Path("in.jsonl").write_text('{"text": "a", "id": 1}\n{"text": ""}\n')
        line = _random_line(chosen)
        result = run(*line, text=chosen.choice(["", "hi", '{"text": "a"}\n']))
        codes.add(result.exit_code)
        assert result.exit_code in (0, 1, 2, 3, 4, 5, 6), (line, result.exit_code, result.stderr)
        assert "Traceback" not in result.output and (result.exit_code == 0 or result.stderr), line
        for path in Path().glob("out.*"):
            path.unlink()
    assert {0, 1, 2, 3} <= codes


def test_verbatim_is_for_schemas(run):
    told(run("generate", "--regex", "a+", "--verbatim"), 2, "--verbatim is for the strings of a --schema")
    told(run("generate", "--schema", '{"type": "string", "x-verbatim": 3}'), 3, "x-verbatim is 3")
