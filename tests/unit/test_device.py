"""The reduction on the logits' own device (without a GPU the CPU stands in for it), and what only a GPU can show."""

import gc
import importlib.util
import json
import multiprocessing
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from scipy.stats import chisquare

import structdiff
from structdiff.core.errors import GenerationError
from structdiff.core.threads import THREADS
from structdiff.decode import constrained
from structdiff.decode.engine import Task
from structdiff.decode.loop import run
from structdiff.decode.policy import Policy
from structdiff.decode.trace import StepDone
from structdiff.lattice.device import class_sums_in_torch, reduce_logits, reduce_on_device
from structdiff.lattice.device_classes import Classes, classes_on
from structdiff.lattice.lattice import Lattice
from structdiff.lattice.reduction import PARALLEL_FROM, reduce_classes
from structdiff.models.diffusion_gemma import DiffusionGemma
from structdiff.models.recorded import Recorded
from structdiff.testing.scripted import Scripted
from structdiff.testing.tiny import tiny, tiny_vocabulary
from tests.networks import random_network

AUTOMATON = tiny("ab|b|abb", tiny_vocabulary("a b ab bb abb x y z"))
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
HOST, CLASSES = Classes(AUTOMATON, "cpu"), Classes(AUTOMATON, DEVICE)
V = len(AUTOMATON.class_of)


def logits_of(case: str) -> torch.Tensor:
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(40, V)).astype(np.float32)) * 4
    if case == "far apart":
        logits[:, ::2] -= 3000
    if case == "excluded":
        logits[:, 1] = -torch.inf
    return logits


@pytest.mark.parametrize("case", ["plain", "far apart", "excluded"])
def test_both_reductions_agree(case):
    logits = logits_of(case)
    kernel = reduce_logits(logits, 0.7, HOST)
    device = reduce_on_device(logits.to(DEVICE), 0.7, CLASSES)
    for name in ("mass", "top", "mean", "log_z", "entropy"):
        np.testing.assert_allclose(getattr(device, name), getattr(kernel, name), rtol=1e-5, atol=1e-5, err_msg=name)
    assert (device.top_token == kernel.top_token).all() and (device.argmax == kernel.argmax).all()
    assert (device.head(3).mass == device.mass[:3]).all() and len(device.head(3).logits) == 3


def test_a_class_of_many_tokens_loses_nothing_in_its_sum():
    """Added one by one in float32, these are off by 3e-6 and 2e-5."""
    size = 300_000
    logits = np.random.default_rng(0).normal(size=(2, size)).astype(np.float32) / 10
    whole = {"class_of": np.zeros(size, np.int32), "class_at": np.array([0, size])}
    one = replace(AUTOMATON, **whole, class_token=np.arange(size, dtype=np.int32))
    kernel = reduce_classes(logits, 1.0, one.class_at, one.class_token)
    high, _, total, _ = class_sums_in_torch(torch.from_numpy(logits).to(DEVICE), 1.0, Classes(one, DEVICE))
    np.testing.assert_allclose((high + total.log()).cpu()[:, 0], kernel.log_z, rtol=0, atol=1e-6)


def test_bfloat16_logits_are_read_as_they_are():
    logits = logits_of("plain").bfloat16()
    kernel = reduce_logits(logits, 1.0, HOST)
    device = reduce_on_device(logits.to(DEVICE), 1.0, CLASSES)
    np.testing.assert_allclose(device.mass, kernel.mass, rtol=1e-5, atol=1e-5)


def large_reduction() -> np.ndarray:
    size = -(-PARALLEL_FROM // 64)
    logits = np.random.default_rng(0).normal(size=(64, size)).astype(np.float32)
    return reduce_classes(logits, 1.0, np.array([0, 1, size]), np.arange(size, dtype=np.int32)).mass


FORKS = THREADS > 1 and "fork" in multiprocessing.get_all_start_methods()


@pytest.mark.skipif(not FORKS, reason="no threads or no fork")
def test_a_forked_process_reduces_with_threads_of_its_own():
    here = large_reduction()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert (pool.apply_async(large_reduction).get(60) == here).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_bad_logits_are_named_by_their_position(value):
    logits = logits_of("plain")
    logits[37, 2] = value
    with pytest.raises(GenerationError, match="position 37"):
        reduce_on_device(logits.to(DEVICE), 1.0, CLASSES)


def test_rows_share_the_classes_of_an_automaton_for_as_long_as_it_lives():
    automaton = tiny("ab|b", tiny_vocabulary())
    assert classes_on(automaton, torch.device(DEVICE)) is classes_on(automaton, torch.device(DEVICE))
    gone = weakref.ref(classes_on(automaton, torch.device(DEVICE)))
    del automaton
    gc.collect()
    assert gone() is None


def test_joint_draws_follow_the_same_distribution():
    logits = logits_of("plain")[:3]
    lattice, rng = Lattice(AUTOMATON, 3), np.random.default_rng(1)
    posterior = lattice.posterior(logits.numpy(), 0.7)
    on_device = lattice.posterior_of(reduce_on_device(logits.to(DEVICE), 0.7, CLASSES))
    np.testing.assert_allclose(on_device.marginal, posterior.marginal, atol=1e-5)
    first = [int(on_device.draw(rng.random((3, 3)))[0][0]) for _ in range(4000)]
    own = np.exp(logits[0].numpy() / 0.7 - posterior.reduction.log_z[0])
    expected = 4000 * own * np.exp(posterior.factor[0][AUTOMATON.class_of])
    assert set(first) <= set(np.flatnonzero(expected))
    kept = expected > 5
    seen = np.bincount(first, minlength=V)
    assert chisquare(seen[kept], expected[kept] * seen[kept].sum() / expected[kept].sum()).pvalue > 1e-3


def test_the_loop_runs_on_it(monkeypatch):
    monkeypatch.setattr(constrained, "reduce_logits", reduce_on_device)
    model = Scripted.random(canvas_length=4, vocab_size=V)
    tasks = [Task([0], AUTOMATON, 3, seed, (V - 1,), number=seed) for seed in range(20)]
    for outcome in run(model, tasks, Policy(max_steps=4)):
        state = 0
        for token in outcome.tokens:
            state = AUTOMATON.step(state, token)
        assert AUTOMATON.accepting[state]


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.skipif(DEVICE == "cuda", reason="the kernels' tests run on the GPU")
@pytest.mark.parametrize("name", ["test_triton_kernels.py", "test_triton_passes.py"])
def test_the_triton_kernels_in_its_interpreter(name):
    tests = Path(__file__).parent / name
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)]
    ran = subprocess.run(
        command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, timeout=900
    )
    assert ran.returncode == 0 and "passed" in ran.stdout, ran.stdout[-3000:] + ran.stderr[-3000:]


@pytest.mark.skipif(DEVICE == "cpu", reason="no GPU")
def test_the_embedded_model_answers_on_the_gpu():
    model = structdiff.load(device="cuda", verify=False)
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
    schema |= {"required": ["name", "age"], "additionalProperties": False}
    text = "Ada Lovelace is 36 years old."
    for seed in range(5):
        jsonschema.validate(json.loads(model.generate(text, schema, seed=seed).text), schema)


@pytest.mark.skipif(DEVICE == "cpu", reason="no GPU")
@pytest.mark.parametrize("rows", [1, 3])
def test_replayed_passes_give_what_others_give(rows):
    network = random_network().to("cuda", torch.bfloat16)
    automaton = tiny("ab|b|abb", tiny_vocabulary([b"a", b"b", b"ab", *[f"x{i}".encode() for i in range(93)]]))
    policy, found = Policy(max_steps=12, patience=0, confidence=0.0), []
    for record in (True, False):
        model = DiffusionGemma(network, record=record)
        tasks = [Task([5, 6, 7 + i], automaton, 20, seed=i, end_ids=(96,)) for i in range(rows)]
        free = [Task([5, 6, 7 + i], None, 20, seed=i, end_ids=(96,)) for i in range(rows)]
        events = []
        outcomes = [
            *run(model, tasks, policy, on_event=events.append),
            *run(model, free, policy, on_event=events.append),
        ]
        found.append(([o.tokens for o in outcomes], [e.tokens for e in events if isinstance(e, StepDone)]))
        assert not record or model._recorded.possible
    assert found[0] == found[1] and len(found[0][1]) > 20


@pytest.mark.skipif(DEVICE == "cpu", reason="no GPU")
def test_what_cannot_be_recorded_is_called_as_it_is():
    recorded, x = Recorded(), torch.ones(4, device=DEVICE)
    double = lambda x: x * float(x.sum()) / 2  # noqa: E731
    recorded("key", double, x)
    with pytest.warns(UserWarning, match="not replayed"):
        assert recorded("key", double, x).tolist() == [2.0] * 4
    assert recorded("key", double, 2 * x).tolist() == [8.0] * 4


@pytest.mark.skipif(DEVICE == "cpu", reason="no GPU")
def test_a_recording_follows_its_inputs_and_is_made_anew_for_another_key():
    recorded = Recorded()
    for factor in (2.0, 3.0):
        offset = torch.full((4,), factor, device=DEVICE)
        for number in range(5):
            x = torch.full((4,), float(number), device=DEVICE)
            out = recorded(factor, lambda x, y=offset: x * y + y, x)
            assert out.tolist() == [number * factor + factor] * 4
            assert (recorded.graph is None) == (number == 0)
