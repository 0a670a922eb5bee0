"""Images in place of texts: DiffusionGemma's own network and image processor; the judge is transformers' `generate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from click.testing import CliRunner
from transformers import LogitsProcessorList

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("transformers.models.gemma4.image_processing_pil_gemma4")

from structdiff_cli.main import cli  # noqa: E402

import structdiff  # noqa: E402
from structdiff.core.images import opened  # noqa: E402
from structdiff.frontends.prompt import IN_IMAGE  # noqa: E402
from structdiff.testing.seeing import write_seeing  # noqa: E402

SCHEMA = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}}, "required": ["name"]}
QUESTION = "What is it?"


def noise(width: int, height: int, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    path = tmp_path_factory.mktemp("seeing")
    write_seeing(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> structdiff.Model:
    return structdiff.load(folder)


def first_logits(model: structdiff.Model, prompt: list[int], canvas: torch.Tensor) -> torch.Tensor:
    denoiser: Any = model.denoiser
    return denoiser.denoise([denoiser.open(prompt)], canvas, None, torch.tensor([False]))


@pytest.mark.parametrize("attention", ["vision", None])
def test_a_network_sees_what_transformers_shows_it(
    model: structdiff.Model, attention: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The logits of the first step are those of their `generate`, for two images of different shapes in one prompt."""
    images = [noise(60, 40), noise(24, 90, seed=1)]
    prompt = model.encode_prompt(QUESTION, images)
    network: Any = model.denoiser.network
    token = network.config.image_token_id
    monkeypatch.setattr(network.config.text_config, "use_bidirectional_attention", attention)
    canvas = torch.arange(16)[None] + 30
    ids, seen = torch.tensor([prompt]), []

    def listen(input_ids: Any, scores: Any, cur_step: Any = None) -> Any:
        seen.append(scores.clone())
        return scores

    prepared = model.pictures.processor(images=images, return_tensors="pt")
    counts = prepared.pop("num_soft_tokens_per_image")
    assert prompt.count(token) == int(sum(counts)) and len(set(map(int, counts))) == 2
    network.generate(
        ids, **prepared, mm_token_type_ids=(ids == token).long(), decoder_input_ids=canvas.clone(),
        logits_processor=LogitsProcessorList([listen]), max_new_tokens=16, max_denoising_steps=1,
    )  # fmt: skip
    torch.testing.assert_close(first_logits(model, prompt, canvas), seen[0], atol=1e-4, rtol=1e-4)
    other = first_logits(model, model.encode_prompt(QUESTION, [images[0], noise(24, 90, seed=2)]), canvas)
    assert (other - seen[0]).abs().max() > 0.1
    monkeypatch.setattr(network.config.text_config, "use_bidirectional_attention", None if attention else "vision")
    assert (first_logits(model, prompt, canvas) - seen[0]).abs().max() > 0.01


def test_python_takes_images_and_files_of_images(model: structdiff.Model, tmp_path: Path) -> None:
    picture = noise(48, 48)
    picture.save(tmp_path / "receipt.PNG")
    told = model.generate(picture, SCHEMA, seed=3)
    jsonschema.validate(told.value, SCHEMA)
    assert IN_IMAGE in told.prompt and told.usage.prompt_tokens == len(model.encode_prompt(told.prompt, [picture]))
    assert model.generate(tmp_path / "receipt.PNG", SCHEMA, seed=3) == told
    for one in model.batch([noise(20, 70), "Ann is here."], SCHEMA):
        jsonschema.validate(one.value, SCHEMA)


def test_what_cannot_be_read_is_one_clear_error(model: structdiff.Model, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(structdiff.GenerationError, match=r"a\.png cannot be read as an image"):
        model(tmp_path / "a.png", SCHEMA)
    with pytest.raises(structdiff.GenerationError, match=r"b\.jpg: no such file"):
        model(tmp_path / "b.jpg", SCHEMA)
    with pytest.raises(TypeError, match="nor the path of an image"):
        model(tmp_path / "a.txt", SCHEMA)
    with pytest.raises(structdiff.GenerationError, match="x-verbatim"):
        model(noise(20, 20), SCHEMA, verbatim=True)
    with pytest.raises(structdiff.GenerationError, match="90 x 60 pixels"):
        opened(noise(90, 60), most_pixels=5_000)
    with pytest.raises(structdiff.GenerationError, match="the model 'embedded' reads no images"):
        structdiff.load("tiny")(noise(20, 20), SCHEMA)
    failed, right = model.batch([tmp_path / "a.png", noise(20, 20)], SCHEMA, errors="return")
    assert isinstance(failed, structdiff.Failure) and failed.text.endswith("a.png") and right.value


def test_an_image_lies_as_its_camera_held_it(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    noise(30, 10).save(path, exif=exif)
    assert opened(path).size == (10, 30) and opened(noise(30, 10).convert("P")).mode == "RGB"


def test_the_command_takes_the_file_of_an_image(folder: Path, tmp_path: Path) -> None:
    noise(48, 48).save(tmp_path / "receipt.png")
    asked = ["generate", str(tmp_path / "receipt.png"), "--schema", json.dumps(SCHEMA)]
    done = CliRunner().invoke(cli, [*asked, "--model", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    jsonschema.validate(json.loads(done.stdout), SCHEMA)
    refused = CliRunner().invoke(cli, [*asked, "--model", "tiny"])
    assert refused.exit_code != 0 and "reads no images" in refused.output + str(refused.exception)
