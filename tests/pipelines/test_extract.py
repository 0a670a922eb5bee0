"""Files through `structdiff extract`: rows, errors as rows, and runs that are killed and resumed."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from structdiff_cli.main import cli

import structdiff
from structdiff.decode.policy import Policy
from structdiff.model import Model
from structdiff.pipelines import parquet
from structdiff.pipelines.files import Journal, chosen, run
from structdiff.pipelines.records import InputError, Record, read_records
from structdiff.testing.scripted import Scripted

SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": ["order", "offer"]}, "count": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["kind", "count"],
}
CHILD = """
import sys, time
from pathlib import Path
from structdiff.pipelines import parquet
from structdiff.pipelines.files import Journal, run
from structdiff.pipelines.records import read_records

def work(chunks):
    for records in chunks:
        time.sleep(0.004)
        yield [{"id": r.id, "value": r.text[::-1]} for r in records]

source, output = map(Path, sys.argv[1:])
journal = Journal(output, {"a": 1}, 4, True)
run(lambda: read_records(source), range(500), work, journal, 4)
journal.finish()
"""


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_killed_at_random_moments_and_resumed_to_the_same_file(tmp_path):
    source = jsonl(tmp_path / "in.jsonl", [{"text": f"text number {i}"} for i in range(500)])
    output, kills, seed = tmp_path / "out.jsonl", 0, random.Random(4)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    while not output.exists():
        child = subprocess.Popen([sys.executable, "-c", CHILD, source, output], env=environment)
        if kills < 10:
            before = _size(output)
            while _size(output) == before and child.poll() is None:
                time.sleep(0.001)
            time.sleep(seed.uniform(0, 0.03))
            child.send_signal(signal.SIGKILL)
            kills += child.wait() == -signal.SIGKILL
        else:
            assert child.wait() == 0
    expected = [{"id": i + 1, "value": f"text number {i}"[::-1]} for i in range(500)]
    assert [json.loads(line) for line in output.read_text().splitlines()] == expected
    assert kills == 10 and sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def _size(output):
    path = Path(f"{output}.partial")
    return path.stat().st_size if path.exists() else 0


@pytest.mark.parametrize("cut", range(0, 260, 7))
def test_a_journal_torn_at_any_byte_is_resumed_with_the_same_chunks(tmp_path, cut):
    source = jsonl(tmp_path / "in.jsonl", [{"text": f"t{i}"} for i in range(10)])
    whole, torn = _journal(tmp_path / "whole.jsonl", source, None)[0], tmp_path / "torn.jsonl"
    rows, chunks = _journal(torn, source, cut)
    assert rows == whole and all(chunk[0] % 4 == 1 for chunk in chunks)


def _journal(output, source, cut):
    chunks = []

    def work(given):
        for records in given:
            chunks.append([record.id for record in records])
            yield [{"id": record.id, "value": record.text} for record in records]

    def go():
        journal = Journal(output, {"schema": 1}, 4, True)
        run(lambda: read_records(source), range(10), work, journal, 4)
        journal.finish()

    go()
    if cut is not None:
        text = json.dumps({"schema": 1}) + "\n" + output.read_text()
        Path(f"{output}.partial").write_text(text[:cut])
        output.unlink()
        chunks.clear()
        go()
    return output.read_text(), chunks


def test_resume_refuses_another_run_and_keeps_the_rows(tmp_path):
    output = tmp_path / "out.jsonl"
    Journal(output, {"schema": {"type": "string"}}, 1, False).append([{"id": 1, "value": "a"}])
    before = Path(f"{output}.partial").read_bytes()
    with pytest.raises(InputError, match="begun with another schema"):
        Journal(output, {"schema": {"type": "integer"}}, 1, True)
    with pytest.raises(InputError, match="unfinished run"):
        Journal(output, {"schema": {"type": "string"}}, 1, False)
    with pytest.raises(InputError, match="ids differ"):
        journal = Journal(output, {"schema": {"type": "string"}}, 1, True)
        run(lambda: iter([Record(2, "b")]), range(1), lambda chunks: [], journal, 1)
    assert Path(f"{output}.partial").read_bytes() == before


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


def test_parquet_in_and_out(tmp_path):
    pytest.importorskip("pyarrow")
    import pyarrow as arrow
    import pyarrow.parquet

    path = tmp_path / "in.parquet"
    arrow.parquet.write_table(arrow.table({"k": ["a", "b"], "text": ["eins", None]}), path)
    first, second = read_records(path, id_field="k")
    assert (first.id, first.text) == ("a", "eins") and second.id == "b" and "no text" in second.error
    with pytest.raises(InputError, match="no column 'body'; its columns are k, text"):
        list(read_records(path, "body"))
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="not a Parquet file"):
        list(read_records(tmp_path / "bad.parquet"))
    types = parquet.column_types({"properties": {"n": {"type": "integer"}, "v": {"type": "number"}, "l": {}}}, True)
    journal = Journal(tmp_path / "out.parquet", {}, 1, False)
    rows = [{"id": 1, "n": -1.0, "v": 2, "l": ["x"]}, {"id": 2, "v": 0.5}, {"id": 3, "n": 2**63}]
    journal.append([parquet.fit(row, types) for row in rows])
    journal.finish(lambda lines, made: parquet.write_rows(lines, made, types))
    found = arrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    nothing = {"n": None, "v": None, "l": None, "error": None}
    assert found[:2] == [{"id": 1, "n": -1, "v": 2.0, "l": '["x"]', "error": None}, {**nothing, "id": 2, "v": 0.5}]
    assert found[2]["id"] == 3 and "64 bits" in found[2]["error"]


def test_input_without_records(tmp_path):
    for name in ("empty.jsonl", "empty.csv", "other.pdf"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(InputError, match="holds no texts|not a .jsonl"):
            list(read_records(tmp_path / name))
    with pytest.raises(InputError, match="does not exist"):
        list(read_records(tmp_path / "none.jsonl"))


def test_limit_and_sample():
    def read():
        return iter([Record(i, "x") for i in range(100)])

    assert chosen(read, 3, None, 0) == ([0, 1, 2], 100)
    places, _ = chosen(read, None, 10, 1)
    assert len(set(places)) == 10 and places == sorted(places) and chosen(read, None, 10, 2)[0] != places
    assert chosen(read, 4, 10, 1)[0] == places[:4]


@pytest.fixture
def random_model(monkeypatch):
    network = structdiff.load()
    denoiser = Scripted.random(canvas_length=48, vocab_size=network.denoiser.spec.vocab_size)
    denoiser.context_length = 2000
    loaded = Model(denoiser, network.tokenizer, Policy(max_steps=2), network.vocabulary.end_ids, "random")
    monkeypatch.setitem(vars(structdiff), "load", lambda *args, **options: loaded)


def test_command_line(random_model, tmp_path):
    texts = [{"text": "An order for 3."}, {"text": " "}, {"text": "word " * 5000}, {"text": "An offer for 4."}]
    source, output = jsonl(tmp_path / "in.jsonl", texts), tmp_path / "out.jsonl"
    arguments = ["extract", source, "-o", output, "--schema", json.dumps(SCHEMA), "--batch-size", 3]

    def call(*more):
        return CliRunner().invoke(cli, [str(argument) for argument in (*arguments, *more)])

    result = call()
    assert result.exit_code == 0, (result.output, result.exception)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["id"] for row in rows] == [1, 2, 3, 4]
    assert (
        "empty" in rows[1]["error"] and "context" in rows[2]["error"] and "2 of this run's are errors" in result.stderr
    )
    for row in (rows[0], rows[3]):
        jsonschema.validate({name: value for name, value in row.items() if name != "id"}, SCHEMA)
    split = tmp_path / "split.jsonl"
    assert call("-o", split, "--long-text", "split").exit_code == 0
    jsonschema.validate({k: v for k, v in json.loads(split.read_text().splitlines()[2]).items() if k != "id"}, SCHEMA)
    assert "exists already" in call().stderr and "nothing to do" in call("--resume").stderr
    output.unlink()
    assert call("--limit", 1).exit_code == 0 and len(output.read_text().splitlines()) == 1
    table = tmp_path / "out.parquet"
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    assert call("-o", table, "--limit", 2).exit_code == 0
    first, second = pyarrow.parquet.read_table(table).to_pylist()
    assert first["kind"] in ("order", "offer") and first["error"] is None and "empty" in second["error"]
    assert call("-o", tmp_path / "no" / "out.jsonl").exit_code == 1
    assert call("-o", tmp_path / "out.txt").exit_code == 2


def test_an_interrupt_keeps_the_finished_rows(random_model, tmp_path, monkeypatch):
    source = jsonl(tmp_path / "in.jsonl", [{"text": f"An order for {i}."} for i in range(6)])
    arguments = ["extract", str(source), "--schema", json.dumps(SCHEMA), "--batch-size", "2", "-o"]
    whole, output = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    assert CliRunner().invoke(cli, [*arguments, str(whole)]).exit_code == 0
    denoise, calls = Scripted.denoise, []

    def interrupted(self, *rest):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return denoise(self, *rest)

    monkeypatch.setattr(Scripted, "denoise", interrupted)
    result = CliRunner().invoke(cli, [*arguments, str(output)])
    assert result.exit_code == 130 and "--resume" in result.stderr and not output.exists()
    assert len(Path(f"{output}.partial").read_text().splitlines()) == 3
    assert CliRunner().invoke(cli, [*arguments, str(output), "--resume"]).exit_code == 0
    assert [json.loads(line)["id"] for line in output.read_text().splitlines()] == list(range(1, 7))
    assert not Path(f"{output}.partial").exists() and len(calls) == 4 + 4
