"""The generators, the tokenizer, and a training run of a few steps that is interrupted and goes on."""

from __future__ import annotations

import json
import random
import re
import zlib
from datetime import datetime
from pathlib import Path

import pytest

pytest.importorskip("torch")

from jsonschema import Draft202012Validator

from structdiff.prompt import build_prompt
from training.batches import Batches, encode_prompt
from training.data import SPLITS, make_example, part
from training.evaluate import evaluate, field_scores, held_out, read_examples
from training.fields import FIELDS
from training.grids import make_grid, relabelled
from training.tokenizer import train_tokenizer
from training.train import parser, train
from training.values import date, money, spelled_date, spelled_number


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(folder, size=600, examples=300)
    return folder


@pytest.mark.parametrize("split", SPLITS)
def test_examples_satisfy_their_schema_and_state_every_value(split: str) -> None:
    r = random.Random(5)
    for _ in range(300):
        example = make_example(r, split)
        Draft202012Validator(example["schema"]).validate(example["value"])
        for key, value in example["value"].items() if isinstance(example["value"], dict) else ():
            if isinstance(value, str | int) and not isinstance(value, bool) and not DATE.fullmatch(str(value)):
                assert str(value) in example["text"].replace(",", ""), (key, value, example["text"])


DATE = re.compile(r"20\d\d-\d\d-\d\d")


def test_dates_and_sums_are_spelled_in_ways_that_can_be_read_back() -> None:
    r = random.Random(1)
    for _ in range(200):
        iso = date(r, "train")
        spelled = spelled_date(r, iso)
        forms = ("%d %B %Y", "%B %d, %Y", "%d %b %Y", "%d.%m.%Y")
        found = [datetime.strptime(spelled, form) for form in forms if _matches(spelled, form)]
        assert [day.strftime("%Y-%m-%d") for day in found[:1]] == [iso]
        amount = money(r, "train")
        assert float(spelled_number(r, amount).lstrip("$€").replace(",", "")) == amount


def _matches(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)
    except ValueError:
        return False
    return True


def test_grids_are_solved_and_held_out_ones_never_trained_on() -> None:
    r = random.Random(3)
    for held_out_ones in (False, True):
        for _ in range(60):
            kind, puzzle, solution = make_grid(r, held_out_ones)
            assert all(p in (".", s) for p, s in zip(puzzle, solution, strict=True))
            assert (zlib.crc32(relabelled(puzzle).encode()) % 10 == 0) == held_out_ones
            rows = solution.split("\n")
            columns = ["".join(c) for c in zip(*rows, strict=True)]
            if kind == "binary puzzle":
                assert all(line.count("0") == 2 and "000" not in line and "111" not in line for line in rows + columns)
            else:
                assert all(len(set(line)) == len(rows) for line in rows + columns)
            if kind.startswith("sudoku"):
                high, wide = (2, 2) if kind.endswith("4x4") else (2, 3)
                boxes = [
                    "".join(row[x : x + wide] for row in rows[y : y + high])
                    for y in range(0, len(rows), high)
                    for x in range(0, len(rows), wide)
                ]
                assert all(len(set(box)) == len(rows) for box in boxes)


def test_examples_use_the_prompt_of_the_product_and_default_json() -> None:
    r = random.Random(6)
    for _ in range(50):
        example = make_example(r)
        if isinstance(example["value"], dict):
            assert example["prompt"] == build_prompt(example["text"], example["schema"])
            assert example["answer"] == json.dumps(example["value"], ensure_ascii=False)
            known = list(example["schema"]["properties"])
            assert list(example["value"]) == [key for key in known if key in example["value"]]


def test_the_handwritten_cases_satisfy_their_schemas() -> None:
    examples = read_examples(Path(__file__).parents[1] / "data" / "handwritten.jsonl")
    assert len(examples) == 40
    for one in examples:
        Draft202012Validator(one["schema"]).validate(one["value"])
        assert field_scores(one["value"], one["value"])[0] == field_scores(one["value"], one["value"])[1] > 0


def test_the_same_seed_gives_the_same_examples() -> None:
    assert held_out("values", 20) == held_out("values", 20)
    assert held_out("values", 20) != held_out("train", 20)


def test_held_out_clauses_are_not_trained_on() -> None:
    for spec in FIELDS.values():
        if len(spec.clauses) > 1:
            assert not set(part(spec.clauses, "train")) & set(part(spec.clauses, "wordings"))


def test_tokenizer_round_trips_any_text_and_has_every_byte(tokenizer_folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    for text in ('{"a": "b c", "n": 12.50}', "Zoë 東京 🙂\n\ttab", "".join(map(chr, range(1, 256)))):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    assert tokenizer.convert_tokens_to_ids(["<pad>", "<eos>", "<bos>", "<|turn>", "<turn|>"]) == [0, 1, 2, 3, 4]
    digits = tokenizer("1234", add_special_tokens=False)["input_ids"]
    assert len(digits) == 4
    assert tokenizer.decode(encode_prompt(tokenizer, "hi")) == "<bos><|turn>user\nhi<turn|>\n<|turn>model\n"


def test_long_answers_are_trained_canvas_by_canvas(tokenizer_folder: Path) -> None:
    from transformers import AutoTokenizer

    batches = Batches(AutoTokenizer.from_pretrained(tokenizer_folder), canvas=4, tokens=400, seed=0)
    batch = batches.collate([([9] * 3, [11, 12, 13, 14, 15, 16, 4])] * 20)
    seen = {(int(v), tuple(c)) for v, c in zip(batch.visible, batch.canvas.tolist(), strict=True)}
    assert seen == {(3, (11, 12, 13, 14)), (7, (15, 16, 4, 0))}


def test_training_runs_stops_and_goes_on(tokenizer_folder: Path, tmp_path: Path) -> None:
    common = [
        "--out",
        str(tmp_path),
        "--tokenizer",
        str(tokenizer_folder),
        "--hidden",
        "32",
        "--layers",
        "2",
        "--tokens",
        "600",
        "--steps",
        "2",
        "--threads",
        "1",
    ]
    train(parser().parse_args([*common, "--minutes", "0.08"]))
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    train(parser().parse_args([*common, "--minutes", "0.14"]))
    assert (tmp_path / "model" / "model.safetensors").read_bytes() != before
    score = evaluate(tmp_path / "model", held_out("train", 3))
    assert score.count == 3 and score.fields > 0


def test_field_scores_ask_for_the_same_place_and_value() -> None:
    assert field_scores({"a": 1, "b": [True, "x"]}, {"a": 1.0, "b": [1, "x"]}) == (2, 3)  # 1 is 1.0, but not true
    assert field_scores("open", "open") == (1, 1)
    assert field_scores({"a": 1}, None) == (0, 1)


def test_an_adapter_learns_goes_on_and_leaves_the_checkpoint_alone(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from safetensors.torch import load_file

    import structdiff
    from training import finetune

    embedded = Path(structdiff.__file__).parent / "models" / "embedded"
    data = Path(__file__).parents[1] / "data" / "handwritten.jsonl"
    few = tmp_path / "few.jsonl"
    few.write_text("".join(data.read_text().splitlines(keepends=True)[:2]))
    options = [str(embedded), "--out", str(tmp_path / "adapter"), "--data", str(few), "--lr", "0.01", "--tokens", "800"]
    first = finetune.finetune(finetune.parser().parse_args([*options, "--steps", "12", "--save-every", "5"]))
    before = load_file(tmp_path / "adapter" / finetune.WEIGHTS)
    assert before and all("lora" in name for name in before)
    more = finetune.finetune(finetune.parser().parse_args([*options, "--steps", "30"]))
    assert len(first) == 12 and len(more) == 18
    assert sum(more[-6:]) < sum(first[:6])
    after = load_file(tmp_path / "adapter" / finetune.WEIGHTS)
    assert any((before[name] != after[name]).any() for name in before)
