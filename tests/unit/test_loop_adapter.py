"""A LoRA adapter of PEFT on the embedded checkpoint: in `structdiff.load` and in the loops of other packages."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from transformers import AutoTokenizer, DiffusionGemmaForBlockDiffusion

import structdiff
from structdiff import GenerationError
from structdiff.integrations.transformers import ConstrainedLogits
from structdiff.place import EMBEDDED

peft = pytest.importorskip("peft", reason="peft is not installed")
TEXT = "My name is Ada Lovelace and I am 36 years old."
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


def wrapped() -> Any:
    """The embedded network with an adapter that changes what it writes."""
    network = DiffusionGemmaForBlockDiffusion.from_pretrained(EMBEDDED, dtype=torch.float32).eval()
    names = [name for name, _ in network.named_modules() if "decoder.layers" in name and name.endswith("q_proj")]
    torch.manual_seed(0)
    adapted = peft.get_peft_model(network, peft.LoraConfig(r=2, target_modules=names, init_lora_weights=False))
    return adapted.eval()


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    wrapped().save_pretrained(folder)
    return folder


def logits(network: Any) -> torch.Tensor:
    model = structdiff.load("tiny")
    denoiser: Any = model.denoiser
    denoiser.network = network
    prefix = denoiser.open(model.encode_prompt(TEXT))
    canvas = torch.arange(denoiser.canvas_length)[None]
    found: torch.Tensor = denoiser.denoise([prefix], canvas, None, torch.tensor([False]))
    return found


def test_load_puts_the_adapter_beside_the_weights(adapter: Path) -> None:
    model = structdiff.load("tiny", adapter=adapter)
    plain = structdiff.load("tiny")
    with_it = logits(model.denoiser.network)  # type: ignore[union-attr]
    assert torch.allclose(with_it, logits(wrapped().get_base_model()), atol=1e-5)
    assert not torch.allclose(with_it, logits(plain.denoiser.network), atol=1e-2)  # type: ignore[union-attr]
    jsonschema.validate(model(TEXT, SCHEMA), SCHEMA)
    assert model.denoiser.fingerprint != plain.denoiser.fingerprint


def test_an_adapted_model_is_constrained_in_generate() -> None:
    model, adapted = structdiff.load("tiny"), wrapped()
    processor = ConstrainedLogits(SCHEMA, AutoTokenizer.from_pretrained(EMBEDDED), adapted, max_new_tokens=48)
    ids = torch.tensor([model.encode_prompt(model.prompt(TEXT, processor.constraints[0]))])
    (result,) = processor.parse(adapted.generate(ids, max_denoising_steps=8, **processor.arguments))
    jsonschema.validate(result.value, SCHEMA)


@pytest.mark.skipif(importlib.util.find_spec("diffusers") is None, reason="diffusers is not installed")
def test_an_adapted_model_is_constrained_in_diffusers() -> None:
    import diffusers

    from structdiff.integrations.diffusers import ConstrainedScheduler, unfit_versions

    if unfit := unfit_versions():
        pytest.skip(unfit)
    model, tokenizer = structdiff.load("tiny"), AutoTokenizer.from_pretrained(EMBEDDED)
    constraint = model.compile(SCHEMA)
    scheduler = ConstrainedScheduler(diffusers.EntropyBoundScheduler(), constraint, max_new_tokens=48)
    pipe = diffusers.DiffusionGemmaPipeline(wrapped().get_base_model(), scheduler, tokenizer)
    out = pipe(model.prompt(TEXT, constraint), gen_length=48, num_inference_steps=8)
    jsonschema.validate(scheduler.parse(out)[0].value, SCHEMA)


def test_a_broken_adapter_is_one_clear_error(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match="cannot be put on the network"):
        structdiff.load("tiny", adapter=tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
    (other / "adapter_model.safetensors").write_bytes(b"broken")
    with pytest.raises(GenerationError, match="cannot be put on the network"):
        structdiff.load("tiny", adapter=other)
