"""The instructor library against a real server: a Pydantic class in, an instance out."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel

instructor = pytest.importorskip("instructor")
openai = pytest.importorskip("openai")


class Person(BaseModel):
    kind: Literal["friend", "colleague"]
    known: bool


@pytest.mark.parametrize("mode", ["TOOLS", "JSON_SCHEMA"])
def test_a_class_in_an_instance_out(running: Any, mode: str) -> None:
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0)
    person = instructor.from_openai(client, mode=instructor.Mode[mode]).chat.completions.create(
        model="embedded",
        messages=[{"role": "user", "content": "Maria Lopez is a friend."}],
        response_model=Person,
        max_retries=0,
        seed=0,
    )
    assert isinstance(person, Person)
