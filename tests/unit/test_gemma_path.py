"""The 262k path end to end: the real tokenizer, a random network of the real class, canvas 256, two canvases."""

import json
from pathlib import Path

import jsonschema
import pytest

from structdiff.decode.policy import Policy
from structdiff.model import Model
from structdiff.models.diffusion_gemma import DiffusionGemma
from tests.networks import random_network

GEMMA = Path(__file__).resolve().parents[3] / "shared" / "tokenizers" / "gemma3"


@pytest.mark.skipif(not GEMMA.is_dir(), reason="the Gemma tokenizer is not beside the project")
def test_two_canvases_with_the_gemma_vocabulary() -> None:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(str(GEMMA / "tokenizer.json")), bos_token="<bos>", eos_token="<eos>"
    )
    network = random_network(vocab=262_144, canvas=256, hidden=8)
    model = Model(DiffusionGemma(network), tokenizer, Policy(max_steps=2), (1, 106), "random")
    word = {"type": "string", "pattern": "^[a-z]{4}$"}  # at most four tokens each, so the list needs a second canvas
    schema = {
        "type": "object",
        "properties": {
            "words": {"type": "array", "items": word, "minItems": 130, "maxItems": 140},
            "n": {"type": "integer"},
        },
        "required": ["words", "n"],
    }
    result = model.generate("Any text.", schema, max_tokens=512, seed=3)
    assert result.usage.canvases == 2
    assert result.usage.completion_tokens <= 512
    jsonschema.validate(json.loads(result.text), schema)
    assert model.vocabulary.encode(result.text.encode()) is not None
