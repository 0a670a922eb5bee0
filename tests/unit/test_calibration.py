"""A calibration belongs to one checkpoint's weights, is monotone, and changes confidences alone."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch

import structdiff
from benchmarks.calibration import accuracy_after_dropping, calibration_error, fit
from structdiff.confidence.calibration import FILE, Calibration
from structdiff.decode.policy import Policy
from structdiff.loading import EMBEDDED
from structdiff.model import Model
from structdiff.testing.scripted import Scripted
from structdiff.testing.tiny import tiny_vocabulary


def test_a_calibration_of_other_weights_is_not_used(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"some weights")
    assert Calibration.read(tmp_path) is None
    Calibration((0.0, 0.5, 1.0), (0.0, 0.2, 0.9), verified=True).write(tmp_path)
    found = Calibration.read(tmp_path)
    assert found is not None and found(0.75) == pytest.approx(0.55) and found(1.0) == 0.9 and found.verified
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    assert Calibration.read(tmp_path) is None


def test_a_fit_makes_overconfident_probabilities_true():
    r = np.random.default_rng(0)
    sure = r.random(4000) ** 0.2
    right = r.random(4000) < sure**6
    made = fit(sure[:2000], right[:2000])
    assert list(made.right[:-1]) == sorted(set(made.right)) and made.probability[0] == 0 and made.probability[-1] == 1
    fitted = np.array([made(one) for one in sure[2000:]])
    assert calibration_error(sure[2000:], right[2000:]) > 0.2 > 0.06 > calibration_error(fitted, right[2000:])
    every, kept = accuracy_after_dropping(fitted, right[2000:], 0.2)
    assert kept > every


def test_confidence_is_the_calibrated_probability():
    vocabulary = tiny_vocabulary([bytes([byte]) for byte in range(32, 127)])
    logits = torch.randn(24, vocabulary.size, generator=torch.Generator().manual_seed(0))
    denoiser = Scripted(24, vocabulary.size, lambda prefix, canvas: logits)
    model = Model(denoiser, vocabulary, Policy(max_steps=2), vocabulary.end_ids, "random")
    model.encode_chat = lambda messages: [0] * len(messages[0]["content"])
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]}
    plain = model.generate("text", schema, fields=True).fields["/a"]
    assert plain.confidence == plain.probability
    model.calibration = Calibration((0.0, 1.0), (0.0, 0.5))
    found = model.generate("text", schema, fields=True).fields["/a"]
    assert found.probability == plain.probability and found.confidence == pytest.approx(plain.probability / 2)
    assert model.generate("text", schema, min_confidence=0.6).problems
    verified = replace(model.policy, verify=True)
    other = model.generate("text", schema, policy=verified, fields=True).fields["/a"]
    assert other.confidence == other.probability


def test_the_embedded_model_comes_with_its_calibration():
    if not (EMBEDDED / FILE).is_file():
        pytest.skip("this installation holds no embedded model")
    held = json.loads((EMBEDDED / FILE).read_text())
    if Calibration.read(EMBEDDED) is None:
        pytest.skip("the calibration is that of another embedded model; fit it anew (benchmarks/calibration.py)")
    model = structdiff.load()
    assert model.calibration is not None and model.calibration.weights == held["weights"]
    at = random.Random(0).random()
    assert 0 <= model.calibration(at) <= 1
