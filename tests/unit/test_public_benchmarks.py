"""The published sets: their files are read, their judges know right from wrong, and a run counts both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import structdiff
from benchmarks.public.__main__ import main, read_set
from benchmarks.public.decoders import decoders_of, outputs
from benchmarks.public.report import paired, table
from benchmarks.public.sets import SETS, Item, Judged

DATA = Path(__file__).parents[1] / "data" / "public"

PATHS = {
    "bfcl": DATA / "bfcl", "schemas": DATA / "schemas", "gsm": DATA / "gsm.jsonl", "sudoku": DATA / "sudoku.jsonl",
    "countdown": DATA / "countdown.jsonl", "extraction": DATA / "extraction.jsonl",
}  # fmt: skip
ANSWERS: dict[str, list[tuple[int, str, tuple[bool, int]]]] = {
    "bfcl": [
        (0, '{"berth": 14, "gas": "Propane", "refill": true}', (True, 1)),
        (0, '{"berth": 14, "gas": "pro-pane"}', (True, 1)),  # refill may be left out, spelling is free
        (0, '{"berth": 15, "gas": "propane"}', (True, 0)),
        (0, '{"berth": 14}', (False, 0)),  # required
        (0, '{"berth": "14", "gas": "propane"}', (False, 0)),
        (0, '{"berth": 14, "gas": "propane", "more": 1}', (False, 0)),
        (1, '{"sails": ["Jib", "main"], "wind": {"knots": 12.0}}', (True, 1)),
        (1, '{"sails": ["main", "jib"], "wind": {"knots": 12.0}}', (True, 0)),
        (1, '{"sails": ["jib", "main"], "wind": {"knots": 12.0, "from": "SW"}}', (True, 1)),
        (1, '{"sails": ["jib", "main"], "wind": {"from": "SW"}}', (True, 0)),
    ],
    "schemas": [(0, '{"id": 3}', (True, 1)), (0, '{"id": "3"}', (False, 0)), (0, '{"id": 3', (False, 0))],
    "gsm": [
        (0, "Three crates of 12 are 36.\n#### 36", (True, 1)),
        (0, "#### 35", (True, 0)),
        (0, "36", (False, 0)),
        (1, "so #### -1200", (True, 1)),
    ],
    "sudoku": [
        (0, "1234\n3412\n2143\n4321", (True, 1)),
        (0, "1234\n3412\n3142\n4321", (True, 0)),
        (0, "2134\n3412\n2143\n4321", (False, 0)),
        (0, "1234", (False, 0)),
    ],
    "countdown": [
        (0, "20-8=12,12*3=36", (True, 1)),
        (0, "20-8=12,12+3=15", (True, 0)),
        (0, "20-8=12", (False, 0)),
    ],
    "extraction": [
        (0, '{"skipper": "Ann Ray", "berth": 14}', (True, 2)),
        (0, '{"skipper": "Ann Ray", "berth": 41}', (True, 1)),
        (0, '{"skipper": "Ann Ray"}', (False, 0)),
    ],
}


@pytest.mark.parametrize("name", SETS)
def test_a_judge_knows_right_from_wrong(name: str) -> None:
    items = list(SETS[name](PATHS[name]))
    for number, text, wanted in ANSWERS[name]:
        judged = items[number].judge(text)
        assert (judged.valid, judged.right) == wanted, text
    assert len({one.id for one in items}) == len(items)


def test_a_function_s_parameters_are_json_schema() -> None:
    [first, second] = SETS["bfcl"](PATHS["bfcl"])
    assert first.source["properties"]["berth"] == {"type": "integer", "description": "its number"}
    wind = second.source["properties"]["wind"]
    assert wind["type"] == "object" and wind["properties"]["knots"]["type"] == "number"
    assert wind["additionalProperties"] is False and second.source["properties"]["sails"]["items"] == {"type": "string"}
    assert "open_valve" in first.instructions and first.text == "Berth 14 wants propane."


def test_a_question_with_several_functions_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "bfcl"
    (folder / "possible_answer").mkdir(parents=True)
    line = json.loads((DATA / "bfcl" / "BFCL_v4_sample.json").read_text().splitlines()[0])
    (folder / "BFCL_v4_x.json").write_text(json.dumps(line | {"function": line["function"] * 2}))
    (folder / "possible_answer" / "BFCL_v4_x.json").write_text(json.dumps({"id": line["id"], "ground_truth": []}))
    with pytest.raises(ValueError, match="several functions"):
        list(SETS["bfcl"](folder))


def test_a_wrong_set_is_told_in_one_line() -> None:
    with pytest.raises(SystemExit, match="is no set; write NAME=PATH"):
        read_set("bfc=x", 1)
    with pytest.raises(SystemExit, match="nowhere is not there"):
        read_set("gsm=nowhere", 1)
    assert read_set(f"gsm={PATHS['gsm']}", 1)[0] == "gsm (gsm)"


def test_a_run_of_every_decoder_is_kept_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.jsonl"
    arguments = [
        f"extraction={PATHS['extraction']}",
        f"sudoku={PATHS['sudoku']}",
        "--model",
        "tiny",
        "--max-tokens",
        "64",
    ]
    main([*arguments, "--rows", str(rows)])
    kept = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()[1:]]
    decoders = decoders_of(structdiff.load("tiny"))
    assert [row["decoder"] for row in kept] == [*decoders, *decoders]
    valid = {(row["set"], row["decoder"]): row["valid"] for row in kept}
    assert all(ok for (_, decoder), ok in valid.items() if decoder in ("structdiff", "frontier-greedy (Dgrammar)"))
    shown = capsys.readouterr().out
    assert "### extraction (extraction)" in shown and shown.count("| structdiff | 1 | 0 | 0 | 1.000") == 2
    begun = rows.read_bytes()
    main([*arguments, "--rows", str(rows)])
    assert rows.read_bytes() == begun and capsys.readouterr().out == shown
    with pytest.raises(SystemExit):
        main([*arguments, "--max-tokens", "65", "--rows", str(rows)])
    assert rows.read_bytes() == begun and "holds answers of" in capsys.readouterr().err


def test_an_item_beyond_the_context_is_refused_and_stops_no_other() -> None:
    model = structdiff.load("tiny")
    texts = ("x", "x y " * 3000, "y")
    items = [Item(text[:3], text, structdiff.Choice(["a", "b"]), lambda text: Judged(True)) for text in texts]
    for decoder in ("no constraint", "structdiff"):
        found = dict(outputs(model, decoder, items, 48, 2))
        assert sorted(found) == [0, 1, 2] and "the model's context holds 2048" in found[1].error
        assert not found[0].error and not found[2].error and found[2].passes


def test_differences_are_paired_by_item() -> None:
    def row(decoder: str, number: int, right: int) -> dict[str, Any]:
        return {"set": "s", "decoder": decoder, "id": str(number), "valid": True, "right": right, "of": 2, "error": "",
                "cut off": False, "passes": 3, "seconds": 0.5, "text": ""}  # fmt: skip

    base = [row("one", i, i % 2) for i in range(20)]
    better = [row("two", i, i % 2 + 1) for i in reversed(range(20))]
    assert paired(better, base) == (0.5, 0.5, 0.5)
    shown = table([*base, *better])
    assert "against one" in shown and "+0.500 (+0.500 to +0.500)" in shown and "| two | 20 | 0 | 0 | 1.000" in shown


def test_every_set_s_sources_compile() -> None:
    model = structdiff.load("tiny")
    for name, read in SETS.items():
        items: list[Item] = list(read(PATHS[name]))
        for one in items:
            constraint = model.compile(one.source)
            plain = None if one.plain is None else model.compile(one.plain)
            right = [text for number, text, (_, ok) in ANSWERS[name] if ok and one is items[number]]
            if name not in ("bfcl", "gsm"):  # spellings and layouts of one's own
                assert all(constraint.matches(text) for text in right[:1])
            assert plain is None or all(plain.matches(text) for text in right)
