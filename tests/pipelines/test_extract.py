"""Files through `structdiff extract`: rows, errors as rows, and runs that are killed and resumed."""

import csv
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import jsonschema
import pytest
import torch
from click.testing import CliRunner
from pydantic import BaseModel, field_validator
from structdiff_cli.main import cli

import structdiff
from structdiff.decode.policy import Policy
from structdiff.model import Model
from structdiff.pipelines.answers import Answer
from structdiff.pipelines.columns import Columns
from structdiff.pipelines.journal import Journal
from structdiff.pipelines.places import InputError
from structdiff.pipelines.records import Record, read_records
from structdiff.pipelines.run import Chosen, TooManyErrors, finish, open_rows, run
from structdiff.pipelines.targets import Target
from structdiff.testing.scripted import Scripted

SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": ["order", "offer"]}, "count": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["kind", "count"],
}
HEADER = {"schema": {"type": "string"}, "model": "none"}
CHILD = """
import sys, time
from structdiff.pipelines.answers import Answer
from structdiff.pipelines.columns import Columns
from structdiff.pipelines.records import Table
from structdiff.pipelines.run import Chosen, finish, open_rows, run
from structdiff.pipelines.targets import Target

def work(chunks):
    for records in chunks:
        time.sleep(0.004)
        yield [Answer({"id": r.id, "value": r.text[::-1], "beside": [o.text for o in records]}) for r in records]

target = Target(sys.argv[2], Columns(None, (), None))
chosen = Chosen.of(Table(sys.argv[1]), None, None, 0)
rows = open_rows(target, chosen, {"a": 1})
run(chosen, rows, work, 4)
finish(rows, target, {"a": 1})
"""


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def lines(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def target(path):
    return Target(str(path), Columns(None, (), None))


def test_killed_at_random_moments_with_rows_added_and_resumed_to_the_same_file(tmp_path):
    """20 kills, three of them with new rows: the output is that of one run over the last input."""
    texts = [{"text": f"text number {i}"} for i in range(650)]
    source, output, seed = tmp_path / "in.jsonl", tmp_path / "out.jsonl", random.Random(4)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def child(where):
        return subprocess.Popen([sys.executable, "-c", CHILD, source, where], env=environment)

    lengths, kills = [410, 410, 503, 503, 503, 650], 0
    jsonl(source, texts[:410])
    while kills < 20 or not output.exists():
        running = child(output)
        if kills < 20:
            before = _size(output)
            while _size(output) == before and running.poll() is None:
                time.sleep(0.001)
            time.sleep(seed.uniform(0, 0.02))
            running.send_signal(signal.SIGKILL)
            kills += running.wait() == -signal.SIGKILL
            jsonl(source, texts[: lengths[min(kills // 4, 5)]])
        else:
            assert running.wait() == 0
    whole = tmp_path / "whole.jsonl"
    assert child(whole).wait() == 0
    assert output.read_bytes() == whole.read_bytes() and len(lines(output)) == 650 and kills == 20
    assert not Path(f"{output}.partial").exists()


def test_a_finished_output_goes_on_with_new_rows_to_the_same_file(tmp_path):
    texts = [{"text": f"t{i}"} for i in range(23)]
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for count in (5, 6, 23):
        subprocess.run([sys.executable, "-c", CHILD, jsonl(source, texts[:count]), output], env=environment, check=True)
    subprocess.run([sys.executable, "-c", CHILD, source, tmp_path / "whole.jsonl"], env=environment, check=True)
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def _size(output):
    path = Path(f"{output}.partial")
    return path.stat().st_size if path.exists() else 0


@pytest.mark.parametrize("cut", range(0, 900, 23))
def test_a_journal_torn_at_any_byte_is_resumed_with_the_same_chunks(tmp_path, cut):
    source = jsonl(tmp_path / "in.jsonl", [{"text": f"t{i}"} for i in range(10)])
    partial = tmp_path / "out.jsonl.partial"
    chunks = []

    def work(given):
        for records in given:
            chunks.append([record.id for record in records])
            yield [Answer({"id": record.id, "value": record.text}) for record in records]

    chosen = Chosen.of(read_all(source), None, None, 0)
    rows = open_rows(target(tmp_path / "out.jsonl"), chosen, HEADER)
    run(chosen, rows, work, 4)
    rows.close()
    partial.write_bytes(partial.read_bytes()[:cut])
    chunks.clear()
    rows = open_rows(target(tmp_path / "out.jsonl"), chosen, HEADER)
    run(chosen, rows, work, 4)
    finish(rows, target(tmp_path / "out.jsonl"), HEADER)
    assert lines(tmp_path / "out.jsonl") == [{"id": i + 1, "value": f"t{i}"} for i in range(10)]
    assert all(chunk[0] % 4 == 1 for chunk in chunks)


class read_all:
    """The records of a file, from the first whenever they are asked for."""

    def __init__(self, path):
        self.path = path

    def __iter__(self):
        return read_records(self.path)


def test_resume_refuses_another_run_and_keeps_the_rows(tmp_path):
    output = tmp_path / "out.jsonl"
    journal = Journal(Path(f"{output}.partial"), HEADER)
    journal.append([0], [Record(1, "a").digest()], [Answer({"id": 1, "value": "a"})])
    journal.close()
    before = Path(f"{output}.partial").read_bytes()
    with pytest.raises(InputError, match="begun with another schema"):
        open_rows(target(output), Chosen([Record(1, "a")], [0]), HEADER | {"schema": {"type": "integer"}})
    with pytest.raises(InputError, match="text 1 of the input is not the one"):
        open_rows(target(output), Chosen([Record(1, "b")], [0]), HEADER)
    with pytest.raises(InputError, match="choose 0 texts"):
        open_rows(target(output), Chosen([], []), HEADER)
    assert Path(f"{output}.partial").read_bytes() == before


def test_too_many_errors_stop_a_run(tmp_path):
    chosen = Chosen([Record(i, "x") for i in range(10)], range(10))
    rows = open_rows(target(tmp_path / "o.jsonl"), chosen, HEADER)

    def work(chunks):
        for records in chunks:
            yield [Answer({"id": one.id, "error": "no"}, "GenerationError") for one in records]

    with pytest.raises(TooManyErrors, match="4 of 4 rows are errors, more than the 2 allowed"):
        run(chosen, rows, work, 2, max_errors=2)
    assert len(rows.offsets) == 4


def test_bad_lines_are_records_with_errors(tmp_path):
    path = tmp_path / "in.jsonl"
    lines = [b'{"k": 1, "text": "a"}', b"{broken", b"\xff\xfe\x00", b'{"k": 1, "text": "b"}', b"[]", b'{"k": 2}', b""]
    path.write_bytes(b"\n".join(lines) + b'\n{"k": 3, "text": "' + b"x" * 10_000_000 + b'"}')
    found = list(read_records(path, id_field="k"))
    assert [record.id for record in found] == [1, None, None, 1, None, 2, 3]
    words = [None, "line 2 is not JSON", "line 3 is not UTF-8", "already used", "line 5 is not a JSON", "no text", None]
    for record, word in zip(found, words, strict=True):
        assert record.error is None if word is None else word in record.error
    assert len(found[6].text) == 10_000_000


def test_csv_and_folders(tmp_path):
    table = tmp_path / "in.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["k", "text"], ["a", 'two\nlines, "quoted"'], ["b"]])
    first, second = read_records(table, id_field="k")
    assert (first.id, first.text) == ("a", 'two\nlines, "quoted"') and second.id == "b" and "no text" in second.error
    with pytest.raises(InputError, match="no column 'body'; its columns are k, text"):
        list(read_records(table, "body"))
    (tmp_path / "b.txt").write_text("zwei")
    (tmp_path / "a.txt").write_bytes(b"\x80")
    found = list(read_records(tmp_path))
    assert [record.id for record in found] == ["a.txt", "b.txt"]
    assert "UTF-8" in found[0].error and found[1].text == "zwei"


def test_input_without_records(tmp_path):
    for name in ("empty.jsonl", "empty.csv", "other.pdf"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(InputError, match="holds no texts|not a .jsonl"):
            list(read_records(tmp_path / name))
    with pytest.raises(InputError, match="does not exist"):
        list(read_records(tmp_path / "none.jsonl"))


def test_limit_and_sample():
    records = [Record(i, "x") for i in range(100)]
    chosen = Chosen.of(records, 3, None, 0)
    assert [one.id for one in chosen.at(range(3))] == [0, 1, 2] and len(chosen) == 3
    places = Chosen.of(records, None, 10, 1).positions
    assert len(set(places)) == 10 and list(places) == sorted(places)
    assert Chosen.of(records, None, 10, 2).positions != places and Chosen.of(records, 4, 10, 1).positions == places[:4]


def test_other_encodings_packed_files_and_endings(tmp_path):
    (tmp_path / "A.CSV").write_text("k,text\n1,Größe\n", encoding="cp1252")
    assert [one.text for one in read_records(tmp_path / "A.CSV", encoding="cp1252")] == ["Größe"]
    with pytest.raises(InputError, match="no encoding 'klingon'"):
        list(read_records(tmp_path / "A.CSV", encoding="klingon"))
    (tmp_path / "b.tsv").write_text("k\ttext\n1\ta, b\n", encoding="utf-8")
    assert [one.text for one in read_records(tmp_path / "b.tsv")] == ["a, b"]
    (tmp_path / "c.JSONL.gz").write_bytes(gzip.compress(b'{"text": "packed"}\n'))
    assert [one.text for one in read_records(tmp_path / "c.JSONL.gz")] == ["packed"]
    (tmp_path / "d.jsonl").write_text('{"text": "weit"}\n', encoding="utf-16")
    assert [one.text for one in read_records(tmp_path / "d.jsonl", encoding="utf-16")] == ["weit"]
    (tmp_path / "e.csv").write_text("text\na,b\nc\n")
    first, second = read_records(tmp_path / "e.csv")
    assert "more than the header" in first.error and second.text == "c"


def test_remote_paths(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://box/in.jsonl", "wb") as file:
        file.write(b'{"text": "far"}\n')
    assert [one.text for one in read_records("memory://box/in.jsonl")] == ["far"]
    with pytest.raises(InputError, match="does not exist"):
        list(read_records("memory://box/none.jsonl"))
    with pytest.raises(InputError, match="klingon"):
        list(read_records("klingon://box/in.jsonl"))


# The command line, on an engine whose logits are random


@pytest.fixture(scope="module")
def network():
    return structdiff.load()


@pytest.fixture
def random_model(monkeypatch, network):
    size = network.vocabulary.size

    def script(prefix, canvas):  # random, and the same for the same prompt and draft
        generator = torch.Generator().manual_seed(sum(prefix) + int(canvas.sum()))
        return torch.randn(48, size, generator=generator) * 3

    denoiser = Scripted(48, size, script)
    denoiser.context_length = 2000
    loaded = Model(denoiser, network.tokenizer, Policy(max_steps=2), network.vocabulary.end_ids, "random")
    monkeypatch.setitem(vars(structdiff), "load", lambda *args, **options: loaded)
    return loaded


def call(*arguments, **options):
    result = CliRunner().invoke(cli, [str(argument) for argument in ("extract", *arguments)], **options)
    assert result.exit_code != 70, result.stderr
    return result


def test_command_line(random_model, tmp_path):
    texts = [{"text": "An order for 3."}, {"text": " "}, {"text": "word " * 5000}, {"text": "An offer for 4."}]
    source, output = jsonl(tmp_path / "in.jsonl", texts), tmp_path / "out.jsonl"
    arguments = [source, "--schema", json.dumps(SCHEMA), "--batch-size", 3, "-o"]
    result = call(*arguments, output, "--no-keep")
    assert result.exit_code == 5, (result.output, result.exception)
    rows = lines(output)
    assert [row["id"] for row in rows] == [1, 2, 3, 4]
    assert "empty" in rows[1]["error"] and "context" in rows[2]["error"]
    assert [row["error_type"] for row in rows[1:3]] == ["GenerationError"] * 2
    assert "2 values, 2 errors (GenerationError 2)" in result.stderr
    for row in (rows[0], rows[3]):
        jsonschema.validate({name: value for name, value in row.items() if name != "id"}, SCHEMA)
    split = tmp_path / "split.jsonl"
    assert call(*arguments, split, "--long-text", "split", "--no-keep").exit_code == 5
    jsonschema.validate({k: v for k, v in lines(split)[2].items() if k != "id"}, SCHEMA)
    assert "exists already" in call(*arguments, output).stderr
    before = output.stat().st_mtime_ns
    again = call(*arguments, output, "--resume", "--no-keep")
    assert (again.exit_code, output.stat().st_mtime_ns) == (5, before) and "up to date" in again.stderr
    other = call(source, "--schema", '{"type": "integer"}', "--batch-size", 3, "-o", output, "--resume", "--no-keep")
    assert other.exit_code == 2 and "another schema" in other.stderr
    jsonl(source, [*texts, {"text": "An order for 5."}])
    assert call(*arguments, output, "--resume", "--no-keep").exit_code == 5
    whole = tmp_path / "whole.jsonl"
    call(*arguments, whole, "--no-keep")
    assert output.read_bytes() == whole.read_bytes() and len(lines(output)) == 5
    jsonl(source, [{"text": "another"}, *texts])
    changed = call(*arguments, output, "--resume", "--no-keep")
    assert changed.exit_code == 2 and "not those that" in changed.stderr
    assert call(*arguments, tmp_path / "no" / "out.jsonl").exit_code == 6
    assert call(*arguments, tmp_path / "out.txt").exit_code == 2


def test_limit_raised_on_a_finished_output(random_model, tmp_path):
    source = jsonl(tmp_path / "in.jsonl", [{"text": f"An order for {i}."} for i in range(7)])
    arguments = [source, "--schema", json.dumps(SCHEMA), "--batch-size", 2, "-o"]
    assert call(*arguments, tmp_path / "a.csv", "--limit", 3).exit_code == 0
    assert call(*arguments, tmp_path / "a.csv", "--resume").exit_code == 0
    assert call(*arguments, tmp_path / "b.csv").exit_code == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    fewer = call(*arguments, tmp_path / "a.csv", "--resume", "--limit", 2)
    assert fewer.exit_code == 2 and "has 7 rows, but these options choose 2 texts" in fewer.stderr
    (tmp_path / "a.csv.run.json").unlink()
    assert "which says what it was made from" in call(*arguments, tmp_path / "a.csv", "--resume").stderr


class Picky(BaseModel):
    kind: Literal["a", "b", "c"]

    @field_validator("kind")
    @classmethod
    def known(cls, value: str) -> str:
        if REJECTED(value):
            raise ValueError("this is no kind")
        return value


def REJECTED(value):
    return False


def test_a_rejecting_validator_costs_its_row_alone(random_model, tmp_path, monkeypatch):
    """3 rows in, 2 values and 1 error row out; --resume and --retry-errors both go on."""
    from structdiff_cli import extract as command

    texts = ["one", "two", "three"]
    source, output = jsonl(tmp_path / "in.jsonl", [{"text": text} for text in texts]), tmp_path / "out.jsonl"
    monkeypatch.setattr(command.Asked, "source", Picky)
    seen = []
    monkeypatch.setitem(globals(), "REJECTED", lambda value: seen.append(value) or len(seen) == 2)
    arguments = [source, "--schema", "x:Y", "-o", output]
    result = call(*arguments)
    assert result.exit_code == 5, result.stderr
    rows = lines(output)
    assert ["kind" in row for row in rows] == [True, False, True]
    assert rows[1]["error_type"] == "ValidationFailed" and "this is no kind" in rows[1]["error"]
    assert json.loads(rows[1]["raw"])["kind"] == seen[1]
    assert call(*arguments, "--resume").exit_code == 5 and lines(output) == rows
    monkeypatch.setitem(globals(), "REJECTED", lambda value: False)
    retried = call(*arguments, "--retry-errors")
    assert retried.exit_code == 0 and "1 done now" in retried.stderr, retried.stderr
    assert lines(output)[::2] == rows[::2] and "kind" in lines(output)[1]


def test_columns_are_kept_and_names_that_meet_are_told_apart(random_model, tmp_path):
    records = [{"text": "a 1", "count": 5, "id": "x", "lang": "de", "error": "none"}, {"text": "", "lang": "en"}]
    source = jsonl(tmp_path / "in.jsonl", records)
    result = call(source, "--schema", json.dumps(SCHEMA), "-o", tmp_path / "o.jsonl")
    first, second = lines(tmp_path / "o.jsonl")
    assert list(first) == ["id", "text", "input_count", "input_id", "lang", "input_error", "kind", "count"]
    assert (first["id"], first["input_count"], first["input_id"], second["lang"]) == (1, 5, "x", "en")
    assert "the column count of the input is called input_count" in result.stderr
    own = {"type": "object", "properties": {"id": {"type": "integer"}, "error": {"type": "boolean"}}}
    call(
        source,
        "--schema",
        json.dumps(own | {"required": ["id", "error"]}),
        "-o",
        tmp_path / "p.jsonl",
        "--keep",
        "lang",
    )
    first, second = lines(tmp_path / "p.jsonl")
    assert list(first) == ["row_id", "lang", "id", "error"] and first["row_id"] == 1 and isinstance(first["id"], int)
    assert list(second) == ["row_id", "lang", "row_error", "error_type"]
    missing = call(source, "--schema", "true", "-o", tmp_path / "q.jsonl", "--keep", "lang,nothing")
    assert missing.exit_code == 2 and "no record has the column 'nothing'" in missing.stderr


def test_confidence_spans_and_problems(random_model, tmp_path):
    source = jsonl(tmp_path / "in.jsonl", [{"text": "order or offer, 0 1 2 3 4 5 6 7 8 9"}])
    extra = ["--confidence", "--spans", "--min-confidence", "1"]
    call(source, "--schema", json.dumps(SCHEMA), "-o", tmp_path / "o.jsonl", *extra)
    (row,) = lines(tmp_path / "o.jsonl")
    assert set(row["confidence"]) == {"/kind", "/count"} and all(0 <= one <= 1 for one in row["confidence"].values())
    start, end = row["spans"]["/kind"]
    assert row["text"][start:end] == row["kind"] and any("/count: " in one for one in row["problems"])


def test_standard_input_and_output(random_model, tmp_path):
    lines_in = "".join(json.dumps({"text": f"An order for {i}."}) + "\n" for i in range(3))
    result = call("-", "--schema", json.dumps(SCHEMA), "-o", "-", "--no-keep", input=lines_in)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0 and [row["id"] for row in rows] == [1, 2, 3], result.stderr
    assert "3 rows in standard output" in result.stderr
    assert call("-", "--schema", "true", "-o", "-", "--resume", input=lines_in).exit_code == 2


def test_remote_and_packed_outputs_are_those_on_disk(random_model, tmp_path, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.chdir(tmp_path)
    source = jsonl(tmp_path / "in.jsonl", [{"text": f"An order for {i}."} for i in range(3)])
    arguments = [source, "--schema", json.dumps(SCHEMA), "-o"]
    for name in ("memory://far/o.jsonl", "o.jsonl", "o.jsonl.gz"):
        assert call(*arguments, name).exit_code == 0
    with fsspec.open("memory://far/o.jsonl", "rb") as file:
        assert file.read() == Path("o.jsonl").read_bytes() == gzip.decompress(Path("o.jsonl.gz").read_bytes())
    assert "up to date" in call(*arguments, "memory://far/o.jsonl", "--resume").stderr
    assert not list(tmp_path.glob("*.partial")) and not list(tmp_path.glob("*.made"))


def test_progress_without_a_terminal(random_model, tmp_path, monkeypatch):
    from structdiff_cli import extract as command

    monkeypatch.setattr(command, "EVERY", 0.0)
    source = jsonl(tmp_path / "in.jsonl", [{"text": f"An order for {i}."} for i in range(4)])
    result = call(source, "--schema", json.dumps(SCHEMA), "-o", tmp_path / "o.jsonl", "--batch-size", 2)
    assert "2 of 4 rows, 0 errors, " in result.stderr


def test_a_field_that_no_record_has(random_model, tmp_path):
    source = jsonl(tmp_path / "in.jsonl", [{"text": "a"}, {"txt": "b"}])
    result = call(source, "--schema", "true", "--text-field", "body", "-o", tmp_path / "o.jsonl")
    assert result.exit_code == 2 and "no record has a text in the field 'body'" in result.stderr
    assert "text, txt" in result.stderr


def test_an_interrupt_keeps_the_finished_rows(random_model, tmp_path, monkeypatch):
    source = jsonl(tmp_path / "in.jsonl", [{"text": f"An order for {i}."} for i in range(6)])
    arguments = [source, "--schema", json.dumps(SCHEMA), "--batch-size", "2", "-o"]
    whole, output = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    assert call(*arguments, whole).exit_code == 0
    denoise, calls = Scripted.denoise, []

    def interrupted(self, *rest):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return denoise(self, *rest)

    monkeypatch.setattr(Scripted, "denoise", interrupted)
    result = call(*arguments, output)
    assert result.exit_code == 130 and "--resume" in result.stderr and not output.exists()
    assert len(Path(f"{output}.partial").read_text().splitlines()) == 3
    assert call(*arguments, output, "--resume").exit_code == 0
    assert [row["id"] for row in lines(output)] == list(range(1, 7))
    assert not Path(f"{output}.partial").exists() and len(calls) == 4 + 4


def test_verbatim_columns_have_the_places_of_their_own_text(tmp_path):
    texts = ["Ann Lee lives\n in Ulm.", "Bo is in Bonn. Bo is here.", "in Ulm, in Ulm"]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (tmp_path / "in.jsonl").write_text(lines)
    schema = json.dumps({"type": "object", "properties": {"who": {"type": "string"}}, "required": ["who"]})
    arguments = ["extract", f"{tmp_path}/in.jsonl", "--schema", schema, "-o", f"{tmp_path}/out.jsonl"]
    done = CliRunner().invoke(cli, [*arguments, "--verbatim", "--spans", "--model", "tiny"])
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    for row, text in zip(rows, texts, strict=True):
        start, end = row["spans"]["/who"]
        assert " ".join(text[start:end].split()) == row["who"] != ""
