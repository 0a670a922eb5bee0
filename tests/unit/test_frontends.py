"""A front end is one file and one registration; then Python, the command line and the service know it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from structdiff_cli.main import cli

import structdiff
from structdiff.automata.tree import literal, sequence, union
from structdiff.core.errors import InvalidSchema
from structdiff.frontends import FrontEnd, Grammar, Options, Source, content_key, front_ends, register, unregister
from structdiff.server.app import Service
from structdiff.server.settings import Settings


@dataclass(frozen=True)
class Plates:
    """Number plates of some districts: ``B-7``."""

    districts: tuple[str, ...]


class PlatesFrontEnd:
    """Reads `Plates`; as text, districts separated by blanks."""

    name = "plates"

    def accepts(self, source: Any) -> bool:
        return isinstance(source, Plates)

    def read(self, source: Plates, options: Options) -> Source:
        digits = union(*(literal(str(digit)) for digit in range(10)))
        tree = sequence(union(*map(literal, source.districts)), literal("-"), digits)
        return Source(
            "plates", content_key("plates", *source.districts), lambda limits: Grammar(tree),
            lambda text: tuple(text.split("-")), lambda text, instructions: f"Answer with a number plate.\n{text}",
        )  # fmt: skip

    def from_text(self, text: str) -> Plates:
        if not text.strip():
            raise InvalidSchema("there are no districts; name one")
        return Plates(tuple(text.split()))


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    register(PlatesFrontEnd())
    yield
    unregister("plates")


@pytest.fixture(scope="module")
def model() -> structdiff.Model:
    return structdiff.load()


def test_it_is_a_front_end_and_known_by_name() -> None:
    assert isinstance(front_ends()["plates"], FrontEnd)
    assert {"json", "regex", "choice", "python"} <= set(front_ends())


def test_python(model: structdiff.Model) -> None:
    result = model.generate("The plate is M-3.", Plates(("B", "M")))
    assert re.fullmatch("[BM]-[0-9]", result.text) and result.value == tuple(result.text.split("-"))
    assert result.prompt.startswith("Answer with a number plate.")


def test_command_line() -> None:
    run = CliRunner().invoke(cli, ["generate", "--source", "plates", "HH B"], input="The plate is B-3.")
    assert run.exit_code == 0, run.output
    assert re.fullmatch("(HH|B)-[0-9]", "-".join(json.loads(run.stdout)))
    unknown = CliRunner().invoke(cli, ["generate", "--source", "plate", "HH"], input="text")
    assert unknown.exit_code == 3 and "there is no front end 'plate'; known are" in unknown.stderr


def test_service(model: structdiff.Model) -> None:
    service = Service(model, Settings())
    with TestClient(service.app) as client:
        request: dict[str, Any] = {
            "model": model.name,
            "messages": [{"role": "user", "content": "The plate is M-3."}],
            "structured_outputs": {"plates": "B M"},
        }
        answer = client.post("/v1/chat/completions", json=request)
        assert answer.status_code == 200, answer.text
        assert re.fullmatch("[BM]-[0-9]", answer.json()["choices"][0]["message"]["content"])
        request["structured_outputs"] = {"plates": " "}
        refused = client.post("/v1/chat/completions", json=request)
        assert refused.status_code == 400 and "no districts" in refused.json()["error"]["message"]
        request["structured_outputs"] = {"plate": "B"}
        unknown = client.post("/v1/chat/completions", json=request)
        assert unknown.status_code == 400 and "no front end 'plate'" in unknown.json()["error"]["message"]


def test_what_nothing_reads_is_refused() -> None:
    with pytest.raises(InvalidSchema, match="is not a schema, a Regex, a Choice or a type"):
        structdiff.frontends.read_source(object())
