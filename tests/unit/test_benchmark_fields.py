"""The evaluation of a model on a file of texts: it goes on where it was stopped, and with nothing of another model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import structdiff
from benchmarks.fields import Rows, main, run
from structdiff.core.errors import GenerationError
from structdiff.evaluation.run import Example

SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
EXAMPLES = [Example(str(age), f"Ann is {age}.", SCHEMA, {"age": age}) for age in range(30, 36)]
SAID = {"model": "m", "weights": "w", "max_tokens": 9}


class Answering:
    """Reads the number out of a text; fails at one of them; counts what it is asked."""

    def __init__(self, stop: int = 99) -> None:
        self.asked: list[str] = []
        self.stop = stop

    def __call__(self, text: str, schema: Any) -> tuple[Any, int, float]:
        self.asked.append(text)
        if len(self.asked) > self.stop:
            raise KeyboardInterrupt
        if "33" in text:
            raise GenerationError("the model has no answer")
        return {"age": int(text[7:9]) + ("34" in text)}, 3, 0.5


def alone(answer: Answering) -> Callable[[list[Example]], Answering]:
    """One text at a time."""
    return lambda examples: answer


def test_a_run_goes_on_behind_the_last_answer(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    whole = run(EXAMPLES, alone(Answering()), Rows(None, SAID))
    with pytest.raises(KeyboardInterrupt):
        run(EXAMPLES, alone(Answering(stop=4)), Rows(path, SAID))
    with path.open("a", encoding="utf-8") as file:
        file.write('{"key": "half')
    further = Answering()
    again = run(EXAMPLES, alone(further), Rows(path, SAID))
    assert further.asked == ["Ann is 34.", "Ann is 35."]
    assert again.as_json()["rows"] == whole.as_json()["rows"]
    assert list(again.as_json()["errors"]) == ["33"] and again.as_json()["rows"][0]["right"] == 4
    nothing = Answering()
    assert (
        run(EXAMPLES, alone(nothing), Rows(path, SAID)).as_json()["rows"] == whole.as_json()["rows"]
        and not nothing.asked
    )
    assert [json.loads(line).get("id") for line in path.read_text().splitlines()[1:]] == [one.id for one in EXAMPLES]


def test_answers_of_another_model_are_refused(tmp_path: Path) -> None:
    run(EXAMPLES[:1], alone(Answering()), Rows(tmp_path / "rows.jsonl", SAID))
    with pytest.raises(ValueError, match="holds answers of"):
        Rows(tmp_path / "rows.jsonl", SAID | {"weights": "x"})


def test_the_command_reports_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "texts.jsonl"
    told = [{"id": one.id, "text": one.text, "schema": one.schema, "value": one.value} for one in EXAMPLES[:2]]
    path.write_text("".join(json.dumps(one) + "\n" for one in told))
    arguments = [str(path), "--model", "tiny", "--rows", str(tmp_path / "rows.jsonl"), "--json", str(tmp_path / "out")]
    main(arguments)
    first = capsys.readouterr()
    assert first.err.splitlines()[-1].startswith("2/2 31 ") and "| all | all | 2 |" in first.out
    main(arguments)
    assert capsys.readouterr().out == first.out
    assert len(json.loads((tmp_path / "out").read_text())["texts"]) == 2


def test_texts_read_together_have_the_answers_of_texts_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, sizes = tmp_path / "texts.jsonl", list[int]()
    told = [{"id": one.id, "text": one.text, "schema": one.schema, "value": one.value} for one in EXAMPLES[:5]]
    told[1]["schema"] = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    path.write_text("".join(json.dumps(one) + "\n" for one in told))
    batch = structdiff.Model.batch

    def counted(self: structdiff.Model, texts: list[str], *more: Any, **options: Any) -> Any:
        sizes.append(len(texts))
        return batch(self, texts, *more, **options)

    monkeypatch.setattr(structdiff.Model, "batch", counted)
    main([str(path), "--rows", str(tmp_path / "alone.jsonl")])
    assert set(sizes) == {1}
    sizes.clear()
    main([str(path), "--rows", str(tmp_path / "together.jsonl"), "--together", "3"])
    assert sizes == [3, 2]
    alone, together = ((tmp_path / name).read_text().splitlines()[1:] for name in ("alone.jsonl", "together.jsonl"))
    values = [[json.loads(line)["value"] for line in lines] for lines in (alone, together)]
    assert values[0] == values[1] and "name" in values[0][1]
