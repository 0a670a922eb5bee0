"""Checkpoints of masked diffusion: recognised, read as their publishers mean them, or refused in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

import structdiff
from structdiff.decode.acceptance import Threshold
from structdiff.decode.engine import Task
from structdiff.decode.loop import run
from structdiff.loading import EMBEDDED, SETTINGS
from structdiff.models.masked import BlockCausal, CausalPrefix, FullAttention
from structdiff.testing.checkpoints import KINDS, MASK_TOKEN, write_checkpoint
from tests import masked_references as references

pytestmark = pytest.mark.skipif(not (EMBEDDED / "config.json").is_file(), reason="needs the embedded tokenizer")
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "n": {"type": "integer", "minimum": 3},
                   "tags": {"type": "array", "items": {"enum": ["a", "bc"]}, "maxItems": 2}},
    "required": ["name", "n", "tags"],
}  # fmt: skip
PLAIN = ("llama", "qwen2", "qwen3", "gemma3_text")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = {}
    for kind in KINDS:
        out[kind] = tmp_path_factory.mktemp(kind)
        write_checkpoint(kind, out[kind], AutoTokenizer.from_pretrained(EMBEDDED))
    return out


def changed(folder: Path, into: Path, **changes: Any) -> Path:
    """A copy with another configuration; None takes an entry away."""
    for path in folder.iterdir():
        (into / path.name).symlink_to(path)
    config = json.loads((folder / "config.json").read_text()) | changes
    (into / "config.json").unlink()
    kept = {name: value for name, value in config.items() if value is not None}
    (into / "config.json").write_text(json.dumps(kept))
    return into


def loaded(folder: Path, kind: str, **options: Any) -> structdiff.Model:
    asked = {"masked": {"canvas_length": 16}} if kind in PLAIN else {}
    return structdiff.load(folder, **(asked | options))


def prompt_of(length: int, seed: int = 0) -> list[int]:
    return torch.randint(0, 1000, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


PROMPTS = [prompt_of(9, 1), prompt_of(37, 2), prompt_of(64, 3)]


def free(model: structdiff.Model, prompts: list[list[int]], length: int, **policy: Any) -> list[list[int]]:
    chosen = replace(model.policy, **policy)
    return [outcome.tokens for outcome in run(model.denoiser, [Task(one, None, length) for one in prompts], chosen)]


EXPECTED = {
    "a2d-llama": (FullAttention, 128), "a2d-qwen2": (FullAttention, 128), "a2d-qwen3": (FullAttention, 128),
    "sdar": (BlockCausal, 4), "Fast_dLLM_Qwen": (BlockCausal, 32), "Dream": (FullAttention, 128),
    "llada": (FullAttention, 128), "llada2_moe": (BlockCausal, 32), **dict.fromkeys(PLAIN, (CausalPrefix, 16)),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_is_known_by_its_configuration_and_writes_valid_json(kind: str, folders: dict[str, Path]) -> None:
    """20 outputs from the logits of random weights; jsonschema is the judge."""
    model = loaded(folders[kind], kind)
    denoiser = model.denoiser
    assert (type(denoiser), denoiser.spec.canvas_length) == EXPECTED[kind]
    assert denoiser.spec.noise.mask == model.tokenizer.convert_tokens_to_ids(MASK_TOKEN)
    assert denoiser.spec.aligned == (type(denoiser) is BlockCausal)
    assert model.vocabulary.table.token_bytes[denoiser.spec.noise.mask] is None
    results = model.batch([f"text {i}" for i in range(20)], SCHEMA, seed=list(range(20)), max_tokens=40)
    assert len({result.text for result in results}) > 1 or model.policy.candidate == "maximum"
    for result in results:
        jsonschema.validate(json.loads(result.text), SCHEMA)


def test_llada_writes_what_its_published_sampler_does(folders: dict[str, Path]) -> None:
    """The network and the sampler as published, from the same file."""
    model = loaded(folders["llada"], "llada", masked={"canvas_length": 64})
    model.denoiser.network.double()
    config = json.loads((folders["llada"] / "config.json").read_text())
    mask = model.denoiser.spec.noise.mask
    weights = {name: value.double() for name, value in load_file(folders["llada"] / "model.safetensors").items()}
    reading = references.llada_network(weights, config, mask)
    for steps in (64, 20):
        found = free(model, PROMPTS, 64, max_steps=steps)
        assert found == [references.llada(reading, one, mask, 64, 32, steps) for one in PROMPTS]


def test_llada2_writes_what_its_published_sampler_does(folders: dict[str, Path]) -> None:
    folder = folders["llada2_moe"]
    model = structdiff.load(folder)
    model.denoiser.network.set_experts_implementation("eager")  # the grouped product has no float64
    model.denoiser.network.double()  # masks beside each other are nearly alike: the order must not hang on rounding
    config = json.loads((folder / "config.json").read_text())
    files = [load_file(path) for path in folder.glob("*.safetensors")]
    weights = {name: value.double() for file in files for name, value in file.items()}
    mask = model.denoiser.spec.noise.mask
    reading = references.llada2_network(weights, config, mask)
    few = 0
    for one, threshold in zip(PROMPTS[:2], (0.95, 0.5), strict=True):
        length = 64 - len(one) % 32
        expected = references.block_diffusion(reading, one, mask, length, 32, 32, "dynamic", threshold)
        chosen = replace(model.policy, acceptance=Threshold(threshold)) if threshold < 0.95 else model.policy
        [outcome] = run(model.denoiser, [Task(one, None, length)], chosen)
        assert outcome.tokens == expected
        few += outcome.steps < length
    assert few  # where some were sure enough to come together


@pytest.mark.parametrize("kind", ["Dream", "sdar", "Fast_dLLM_Qwen", "a2d-qwen3"])
def test_a_checkpoint_s_policy_is_its_published_sampler(kind: str, folders: dict[str, Path]) -> None:
    options = {} if kind in ("sdar", "Fast_dLLM_Qwen") else {"masked": {"canvas_length": 48}}
    model = loaded(folders[kind], kind, **options)
    mask = model.denoiser.spec.noise.mask
    reading = references.of_network(model.denoiser.network, mask)
    one = PROMPTS[1]
    length = {"sdar": 7, "Fast_dLLM_Qwen": 59}.get(kind, 48)
    expected = {
        "Dream": lambda: references.dream(reading, one, mask, 48, 48, "entropy"),
        "sdar": lambda: references.block_diffusion(reading, one, mask, 7, 4, 4, "dynamic", 0.85),
        "Fast_dLLM_Qwen": lambda: references.fast_dllm(reading, one, mask, 59, 32, 8, 0.9),
        "a2d-qwen3": lambda: references.a2d_whole(reading, one, mask, 48, 32, 48),
    }[kind]()
    assert free(model, [one], length) == [expected]


def test_a_folder_says_how_it_denoises_and_the_caller_goes_first(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = changed(folders["qwen3"], tmp_path)
    assert not hasattr(structdiff.load(folder).denoiser, "denoise")  # a causal model, as long as nobody says more
    (folder / SETTINGS).write_text(
        '{"masked": {"canvas_length": 8, "prefix": "block", "shifted": true}, "max_steps": 3}'
    )
    model = structdiff.load(folder)
    assert isinstance(model.denoiser, BlockCausal) and model.denoiser.shifted and model.policy.max_steps == 3
    assert model.denoiser.spec.canvas_length == 8 and not model.denoiser.spec.aligned
    model = structdiff.load(folder, masked={"prefix": "causal"})
    assert isinstance(model.denoiser, CausalPrefix) and model.denoiser.shifted
    jsonschema.validate(json.loads(model.generate("some text", SCHEMA).text), SCHEMA)
    (folder / SETTINGS).write_text('{"masked": 5}')
    with pytest.raises(structdiff.GenerationError, match="masked is 5; it must be a JSON object"):
        structdiff.load(folder)


def unmasked(folder: Path, into: Path) -> Path:
    """The same with a tokenizer that names no mask."""
    for path in folder.iterdir():
        if "token" not in path.name:
            (into / path.name).symlink_to(path)
    AutoTokenizer.from_pretrained(EMBEDDED).save_pretrained(into)
    return into


@pytest.mark.parametrize("kind", ["a2d-qwen3", "sdar", "llada2_moe", "qwen2"])
def test_a_folder_without_a_mask_token_is_one_clear_line(kind: str, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = unmasked(folders[kind], tmp_path)
    with pytest.raises(structdiff.GenerationError, match="names no mask token, neither in config.json nor") as caught:
        loaded(folder, kind)
    assert "\n" not in str(caught.value)
    with pytest.raises(structdiff.GenerationError, match="has no token '<nothing>', which is to be its mask"):
        structdiff.load(folder, masked={"mask_token": "<nothing>"})
    with pytest.raises(structdiff.GenerationError, match="is 5000, but the network has"):
        structdiff.load(folder, masked={"mask_token": 5000})
    spare = AutoTokenizer.from_pretrained(EMBEDDED).convert_ids_to_tokens(700)
    model = structdiff.load(folder, masked={"mask_token": spare})
    assert model.denoiser.spec.noise.mask == 700 and model.vocabulary.table.token_bytes[700] is None


@pytest.mark.parametrize(
    ("masked", "told"),
    [
        ({"canvas": 4}, "there is no option 'canvas'; there are mask_token, canvas_length"),
        ({"canvas_length": True}, "canvas_length is True; it must be of type int"),
        ({"canvas_length": 0}, "canvas_length is 0; it must be at least 1"),
        ({"prefix": "left"}, "prefix is 'left'; it must be one of full, block, causal"),
        ({"prefix": "full", "aligned": True}, "aligned where prefix is 'block'; it is 'full'"),
    ],
)
def test_wrong_options_are_one_clear_line(masked: dict[str, Any], told: str, folders: dict[str, Path]) -> None:
    with pytest.raises(structdiff.GenerationError, match=told):
        structdiff.load(folders["sdar"], masked=masked)


def test_unknown_classes_are_told_what_is_supported(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = changed(folders["qwen3"], tmp_path, model_type="marvin", auto_map={"AutoModelForCausalLM": "m.Marvin"})
    with pytest.raises(
        structdiff.GenerationError, match="'marvin' are not supported; .*LLaDA2-MoE.*left to right"
    ) as caught:
        structdiff.load(folder)
    assert "trust_remote_code=True would run" in str(caught.value)
    with pytest.raises(structdiff.GenerationError, match="'marvin' cannot denoise masks; those of llama"):
        structdiff.load(folder, masked={"canvas_length": 8})


CODE = """
from transformers import Qwen3Config, Qwen3ForCausalLM
class MarvinConfig(Qwen3Config):
    model_type = "marvin"
class Marvin(Qwen3ForCausalLM):
    config_class = MarvinConfig
    came_with_the_checkpoint = True
"""


def test_code_of_a_checkpoint_runs_where_the_user_says_so(folders: dict[str, Path], tmp_path: Path) -> None:
    auto = {"AutoConfig": "marvin.MarvinConfig", "AutoModelForCausalLM": "marvin.Marvin"}
    folder = changed(folders["qwen3"], tmp_path, model_type="marvin", auto_map=auto)
    (folder / "marvin.py").write_text(CODE)
    model = structdiff.load(folder, trust_remote_code=True)
    assert model.denoiser.network.came_with_the_checkpoint
    jsonschema.validate(json.loads(model.generate("some text", SCHEMA).text), SCHEMA)


@pytest.mark.parametrize(
    ("kind", "changes", "told"),
    [
        ("llada", {"block_type": "sequential"}, "block_type is 'sequential'; supported is 'llama'"),
        ("llada", {"include_qkv_bias": True}, "include_qkv_bias is True; supported is False"),
        ("llada2_moe", {"use_qk_norm": False}, "use_qk_norm is False; supported is True"),
        ("llada2_moe", {"num_shared_experts": 0}, "num_shared_experts is not supported"),
    ],
)
def test_another_form_of_a_family_is_refused(
    kind: str, changes: dict[str, Any], told: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(structdiff.GenerationError, match=told):
        structdiff.load(changed(folders[kind], tmp_path, **changes))


@pytest.mark.parametrize("kind", ["llada", "Dream"])
def test_missing_weights_are_named(kind: str, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = changed(folders[kind], tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(name for name in weights if "q_proj" in name))
    (folder / "model.safetensors").unlink()
    with pytest.raises(structdiff.GenerationError):
        structdiff.load(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(structdiff.GenerationError, match="1 missing keys, such as .*q_proj"):
        structdiff.load(folder)
