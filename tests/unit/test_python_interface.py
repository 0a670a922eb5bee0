"""What Python users meet beside a plain call: awaiting, streams, examples, Series, wrong arguments, quiet loading."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel

import structdiff
from structdiff.decode.policy import Policy
from structdiff.model import Model
from structdiff.results.long_text import LongTextWarning
from structdiff.results.result import Result
from structdiff.testing.scripted import Scripted

ROOT = Path(__file__).parents[2]


class Person(BaseModel):
    age: int


@pytest.fixture(scope="module")
def model() -> Model:
    network = structdiff.load()
    size = network.vocabulary.size

    def script(prefix: list[int], canvas: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(sum(prefix) + int(canvas.sum()))
        return torch.randn(48, size, generator=generator) * 3

    return Model(
        Scripted(48, size, script), network.tokenizer, Policy(max_steps=2), network.vocabulary.end_ids, "random"
    )


def test_awaiting_gives_what_a_call_gives(model: Model) -> None:
    async def both() -> list[Result[Person]]:
        return list(await asyncio.gather(model.agenerate("Ann", Person), model.agenerate("Bob", Person, seed=3)))

    first, second = asyncio.run(both())
    assert first == model.generate("Ann", Person) and second == model.generate("Bob", Person, seed=3)


def test_an_event_loop_goes_on_meanwhile(model: Model) -> None:
    async def run() -> tuple[list[Any], int]:
        ticks = 0
        done = asyncio.Event()

        async def tick() -> None:
            nonlocal ticks
            while not done.is_set():
                ticks += 1
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        events = [event async for event in model.astream("Ann", Person)]
        done.set()
        await ticking
        return events, ticks

    events, ticks = asyncio.run(run())
    assert ticks > 1 and isinstance(events[-1], Result) and events == list(model.stream("Ann", Person))


def test_errors_arrive_where_they_are_awaited(model: Model) -> None:
    with pytest.raises(structdiff.GenerationError, match="empty"):
        asyncio.run(model.agenerate("", Person))


def test_examples_and_instructions_are_in_the_prompt(model: Model) -> None:
    asked = {"examples": [("Bo is 5.", Person(age=5)), ("Al is 7.", {"age": 7})], "instructions": "Read the age."}
    prompt = model.generate("Ann is 31.", Person, **asked).prompt
    places = [prompt.index(part) for part in ("Read the age.", "Bo is 5.", "5}", "Al is 7.", "7}", "Ann is 31.")]
    assert places == sorted(places)
    assert '"B"' not in model.generate("x", structdiff.Choice(["A", "B"]), examples=[("y", "B")]).prompt
    with pytest.raises(structdiff.InvalidSchema, match='the value of example 1, {"age": "old"}, is not what'):
        model("Ann", Person, examples=[("Bo", {"age": "old"})])


@pytest.mark.parametrize("texts", ["a string", b"bytes", None, {"a": 1}, 3])
def test_batches_of_what_is_no_list_are_refused_by_name(model: Model, texts: Any) -> None:
    with pytest.raises(TypeError, match=f"a batch takes a list of texts, not (a {type(texts).__name__}|None)"):
        model.batch(texts, Person)


def test_texts_that_are_no_texts_are_refused_by_number(model: Model) -> None:
    with pytest.raises(TypeError, match="text 2 is None, not a str"):
        model.batch(["a", None], Person)  # type: ignore[list-item]
    with pytest.raises(TypeError, match="text 1 is a bytes"):
        model(b"a", Person)  # type: ignore[call-overload]


def test_series_of_texts(model: Model) -> None:
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(["Ann", "Bob"], index=["x", "y"])
    results = model.batch(series, Person)
    assert results == model.batch(["Ann", "Bob"], Person)
    frame = results.to_pandas()
    assert list(frame.index) == ["x", "y"] and frame["age"].tolist() == [one.value.age for one in results]
    polars = pytest.importorskip("polars")
    assert model.batch(polars.Series(["Ann", "Bob"]), Person).to_polars()["age"].to_list() == frame["age"].tolist()


def test_a_result_is_saved_as_json(model: Model, tmp_path: Path) -> None:
    result = model.generate("Ann", Person)
    result.save(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == {"age": result.value.age}


def test_a_text_beyond_the_measured_length_is_warned_of_and_split(model: Model) -> None:
    model.text_tokens = 40
    try:
        text = "Nothing is said here at all. " * 20 + "Ann is 31."
        with pytest.warns(LongTextWarning, match="was measured with texts up to 40"):
            whole = model.generate(text, Person)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pieces = model.generate(text, Person, long_text="split", overlap=5)
            model.generate("Ann is 31.", Person)
        assert pieces.usage.canvases > 2 * whole.usage.canvases
    finally:
        model.text_tokens = None


def test_loading_prints_nothing_where_nobody_looks() -> None:
    code = "import structdiff; structdiff.load()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert (done.stdout, done.stderr) == ("", "")
