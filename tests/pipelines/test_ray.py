"""Ray runs the same extractor: identical rows, in order, also where an actor dies on the way."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

import structdiff.pipelines.ray as pipelines_ray
from structdiff.loading import EMBEDDED
from structdiff.pipelines.answers import Answer
from structdiff.pipelines.extractor import Factory
from structdiff.pipelines.records import Record

ray = pytest.importorskip("ray")
SCHEMA = {"type": "object", "properties": {"color": {"enum": ["red", "green", "blue"]}}, "required": ["color"]}


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """The cluster of RAY_ADDRESS, else one of two cores made for these tests."""
    made = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": 2, "include_dashboard": False}
    try:
        ray.init(log_to_driver=False, **made)
    except Exception as error:  # Ray has no narrower one: its daemons get 15 seconds to start
        pytest.skip(f"Ray does not start on this machine: {error}")
    yield
    ray.shutdown()


def reverse(records):
    return [Answer({"id": record.id, "value": record.text[::-1]}) for record in records]


@dataclass(frozen=True)
class Dying:
    """Makes a worker that ends its whole process once, at the chunk with the record of id 7."""

    mark: str

    def __call__(self):
        def work(records):
            if any(record.id == 7 for record in records) and not Path(self.mark).exists():
                Path(self.mark).write_text("died")
                os._exit(1)
            return reverse(records)

        return work


def test_chunks_of_an_actor_that_dies_are_done_again(tmp_path):
    chunks = [[Record(i, f"text {i}"), Record(i + 1, "ü")] for i in range(0, 20, 2)]
    mark = tmp_path / "mark"
    rows = list(pipelines_ray.extract_chunks(Dying(str(mark)), chunks, workers=2))
    assert mark.exists() and rows == [reverse(chunk) for chunk in chunks]


def test_rows_are_those_of_a_local_run():
    if not (EMBEDDED / "config.json").is_file():
        pytest.skip("this installation holds no embedded model")
    records = [Record(i, text) for i, text in enumerate(["It is red.", " ", "A green one.", "Painted blue."])]
    records.append(Record(4, error="line 5 is not JSON"))
    chunks = [records[:2], records[2:]]
    factory = Factory(SCHEMA, threads=1, options={"seed": 3, "min_confidence": 0.5})
    assert list(pipelines_ray.extract_chunks(factory, chunks)) == [*map(factory(), chunks)]
