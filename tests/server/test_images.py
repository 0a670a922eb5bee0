"""Images in requests, sent as data URLs to a tiny network of the real class; all others are refused by their place."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import httpx
import jsonschema
import openai
import pytest

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("transformers.models.gemma4.image_processing_pil_gemma4")

import structdiff  # noqa: E402
from structdiff.testing.seeing import write_seeing  # noqa: E402

SCHEMA = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}}, "required": ["name"],
          "additionalProperties": False}  # fmt: skip
FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}


def url_of(image: Any, kind: str = "png") -> str:
    file = io.BytesIO()
    image.save(file, kind)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


RED = url_of(Image.new("RGB", (40, 30), "red"))


@pytest.fixture(scope="module")
def seeing(start: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("seeing")
    write_seeing(folder)
    model = structdiff.load(folder)
    model.name = "seeing"
    return start(model=model, max_image=20_000, max_pixels=10_000)


@pytest.fixture(scope="module")
def client(seeing: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{seeing.url}/v1", api_key="none", max_retries=0, timeout=120)


def chat(*urls: str, text: str | None = "What is it?", role: str = "user") -> dict[str, Any]:
    parts: list[Any] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    parts += [] if text is None else [{"type": "text", "text": text}]
    messages = [{"role": "system", "content": "Be brief."}, {"role": role, "content": parts}]
    if role != "user":
        messages.append({"role": "user", "content": "Go on."})
    return {"model": "seeing", "messages": messages, "response_format": FORMAT, "seed": 1, "max_tokens": 32}


def test_a_chat_with_an_image_is_answered_by_what_it_shows(seeing: Any, client: openai.OpenAI) -> None:
    told = client.chat.completions.create(**chat(RED))
    jsonschema.validate(json.loads(told.choices[0].message.content), SCHEMA)
    without = client.chat.completions.create(**chat())
    prompts = [one.usage.prompt_tokens for one in (told, without)]
    assert prompts[0] - prompts[1] == 63 + 2  # soft tokens of 12 x 12 pixels: 9 by 7; one that begins, one that ends
    assert client.chat.completions.create(**chat(RED, text=None)).choices[0].finish_reason == "stop"
    others = [url_of(Image.effect_noise((40, 30), 200).convert("RGB"), kind) for kind in ("jpeg", "webp", "gif")]
    seen = {client.chat.completions.create(**chat(url)).choices[0].message.content for url in (RED, *others)}
    assert len(seen) > 1


def test_a_response_with_an_image(client: openai.OpenAI) -> None:
    content = [{"type": "input_image", "image_url": RED, "detail": "auto"}, {"type": "input_text", "text": "Read it."}]
    form = {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}
    asked: Any = {"model": "seeing", "input": [{"role": "user", "content": content}], "text": form}
    jsonschema.validate(json.loads(client.responses.create(**asked, max_output_tokens=32).output_text), SCHEMA)
    content[0]["image_url"] = "https://example.org/a.png"
    with pytest.raises(openai.BadRequestError, match=r"input\.0\.content\.0: an image is a data URL") as e:
        client.responses.create(**asked, instructions="Be brief.")
    assert e.value.param == "input.0.content.0"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://example.org/a.png", "nothing is fetched"),
        ("data:image/png,abc", "nothing is fetched"),
        ("data:image/svg+xml;base64,AAAA", "image/svg+xml are not read"),
        ("data:application/pdf;base64,AAAA", "application/pdf are not read"),
        ("data:image/png;base64,A-_A", "is not base64"),
        ("data:image/png;base64,AAA", "is not base64"),
        ("data:image/png;base64,AAAA", "cannot be read as an image of PNG"),
        (RED.replace("png", "jpeg", 1), "cannot be read as an image of JPEG"),
        (RED[:-24] + "AAAA", "cannot be read as an image of PNG"),
        ("data:image/png;base64," + "A" * 20_000, "has 20022 characters and at most 20000"),
        (url_of(Image.new("RGB", (200, 51))), "200 x 51 pixels; at most 10000"),
    ],
)
def test_what_is_no_image_is_refused_by_its_place(seeing: Any, url: str, told: str) -> None:
    answer = httpx.post(f"{seeing.url}/v1/chat/completions", json=chat(url), timeout=60)
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["param"] == "messages.1.content.0", answer.text
    assert error["message"].startswith("messages.1.content.0: ") and told in error["message"]


def test_the_images_of_a_request_share_a_bound_and_are_of_users(seeing: Any) -> None:
    part = url_of(Image.new("RGB", (90, 60)))
    for body, place, told in (
        (chat(part, part), "messages.1.content.1", "pixels"),
        (chat(RED, role="assistant"), "messages.1.content.0", "the role 'user'"),
    ):
        answer = httpx.post(f"{seeing.url}/v1/chat/completions", json=body, timeout=60)
        assert answer.status_code == 400 and answer.json()["error"]["param"] == place and told in answer.text
