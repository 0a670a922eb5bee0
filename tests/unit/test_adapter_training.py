"""LoRA, the runs that train adapters, and the denoiser's reading of canvases, on tiny random networks."""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("faker")
pytest.importorskip("mimesis")

import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from structdiff.core.errors import GenerationError
from structdiff.decode.engine import Task
from structdiff.decode.loop import run as denoise
from structdiff.decode.policy import Policy
from structdiff.decode.samplers import published
from structdiff.frontends.regex.parser import parse_regex
from structdiff.models.adapted import AdaptedDenoiser, drafter_weights
from structdiff.models.adapter import (
    ADAPTER,
    CONTINUED,
    DENOISER,
    WEIGHTS,
    adapter_key,
    causal_digest,
    has_adapter,
    merge_adapter,
    merge_causal,
    read_files,
)
from structdiff.models.base_weights import sha256_of
from structdiff.models.causal_lm import CausalLM
from structdiff.models.llama import Llama, LlamaShape, weights_of
from structdiff.models.protocol import CausalScorer, Denoiser
from structdiff.testing.tiny import tiny as tiny_automaton
from structdiff.testing.tiny import tiny_vocabulary
from training import runs
from training.attention import use_fast_attention
from training.average import average
from training.average import main as average_main
from training.causal import CausalRun, answer_loss
from training.denoiser import DenoiserRun, make_canvases, noised_places
from training.joined import main as joined_main
from training.lora import (
    LoraLinear,
    add_lora,
    lora_state,
    read_adapter,
    save_adapter,
    set_lora_state,
    without_lora,
)
from training.runs import Run, run_parser
from training.stream import Encoded, Position, Stream

VOCABULARY, MASK, END = 24, 1, 2


def tiny(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True, initializer_range=0.15, bos_token_id=None, eos_token_id=END,
        pad_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


class EchoStream(Stream):
    """A prompt names a token; the answer is that token five times."""

    def example(self, number: int) -> Encoded:
        r = random.Random(f"{self.seed} {number}")
        token = r.randrange(4, VOCABULARY)
        return Encoded([3, *[r.choice([4, 5]) for _ in range(r.randrange(3))], token], [token] * 5 + [END])

    def held_out(self, path: Path) -> list[list[Encoded]]:
        return self.batched([self.example(-1 - i) for i in range(40)])


def options(folder: Path, *more: str) -> argparse.Namespace:
    p = run_parser(None, folder)
    p.add_argument("--on", type=Path)
    p.add_argument("--base", default="smollm2")
    p.add_argument("--canvas", type=int, default=8)
    p.add_argument("--canvases", type=int, default=3)
    p.add_argument("--whole", type=float, default=0.5)
    return p.parse_args(
        ["--threads", "1", "--rank", "8", "--alpha", "16", "--lr", "0.01", "--warmup", "1", "--tokens", "160", *more]
    )


def make_run(kind: str, folder: Path) -> Run:
    args = options(folder)
    stream = EchoStream(None, 7, args.tokens, args.longest)
    if kind == "causal":
        network = tiny()
        use_fast_attention(network)
        return CausalRun(args, network, stream)
    return DenoiserRun(args, tiny(), stream, MASK, END)


# --- LoRA ---


@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_is_the_frozen_one_and_the_scaled_product(bias: bool) -> None:
    torch.manual_seed(0)
    base = torch.nn.Linear(6, 5, bias=bias)
    layer = LoraLinear(base, rank=3, alpha=6)
    torch.nn.init.normal_(layer.b)
    base.requires_grad_(False)
    x = torch.randn(2, 4, 6, requires_grad=True)
    direct = x.detach().clone().requires_grad_()
    a, b = layer.a.detach().clone().requires_grad_(), layer.b.detach().clone().requires_grad_()
    wanted = direct @ (base.weight + 2.0 * b @ a).T + (base.bias if bias else 0.0)
    found = layer(x)
    torch.testing.assert_close(found, wanted)
    weights = torch.randn_like(wanted)
    (found * weights).sum().backward()
    (wanted * weights).sum().backward()
    for mine, reference in ((x, direct), (layer.a, a), (layer.b, b)):
        torch.testing.assert_close(mine.grad, reference.grad)


def test_adapted_network_equals_peft() -> None:
    peft = pytest.importorskip("peft")
    mine, other = tiny(), tiny()
    add_lora(mine, rank=4, alpha=8)
    for module in mine.modules():
        if isinstance(module, LoraLinear):
            torch.nn.init.normal_(module.b, std=0.1)
    config = peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    wrapped = peft.get_peft_model(other, config)
    layers = dict(wrapped.base_model.model.named_modules())
    with torch.no_grad():
        for name, value in lora_state(mine).items():
            layer, _, part = name.rpartition(".")
            getattr(layers[layer], f"lora_{part.upper()}")["default"].weight.copy_(value)
    ids = torch.randint(3, VOCABULARY, (2, 9))
    torch.testing.assert_close(mine(ids).logits, wrapped(ids).logits)


def test_merged_adapter_is_the_adapted_network_and_survives_files(tmp_path: Path) -> None:
    network = tiny()
    add_lora(network, rank=4, alpha=8)
    for module in network.modules():
        if isinstance(module, LoraLinear):
            torch.nn.init.normal_(module.b, std=0.1)
    ids = torch.randint(3, VOCABULARY, (1, 7))
    settings = {"base_sha256": "abc", "rank": 4, "alpha": 8}
    save_adapter(lora_state(network), tmp_path / "adapter", settings, torch.float32)
    torch.save({"adapter": lora_state(network)}, tmp_path / "state.pt")
    for path in (tmp_path / "adapter", tmp_path / "state.pt"):
        merged = tiny()
        merge_adapter(merged, *read_adapter(path, "abc", rank=4, alpha=8))
        torch.testing.assert_close(merged(ids).logits, network(ids).logits)
    with without_lora(network):
        torch.testing.assert_close(network(ids).logits, tiny()(ids).logits)
    assert not torch.allclose(network(ids).logits, tiny()(ids).logits)
    with pytest.raises(GenerationError, match="belongs to base weights"):
        read_adapter(tmp_path / "adapter", "another")


def test_an_adapter_of_another_network_is_refused() -> None:
    network = tiny()
    add_lora(network, rank=4, alpha=8)
    state = lora_state(network)
    state.pop(next(iter(state)))
    with pytest.raises(ValueError, match="belongs to another network"):
        set_lora_state(network, state)


# --- runs ---


def test_the_loss_counts_the_answers_alone_whatever_the_padding() -> None:
    network = tiny()
    use_fast_attention(network)
    batch = [Encoded([3, 4, 9], [9, END]), Encoded([3, 8], [8, 8, 8, 8, END])]
    together, count = answer_loss(network, batch)
    plain = tiny()
    alone = 0.0
    for one in batch:
        logits = plain(torch.tensor([one.prompt + one.answer])).logits[0].detach().log_softmax(-1)
        for i, token in enumerate(one.answer):
            alone -= float(logits[len(one.prompt) + i - 1, token])
    assert count == 7
    assert float(together) == pytest.approx(alone, abs=1e-4)


def test_examples_made_by_processes_are_the_same() -> None:
    made = EchoStream(None, 3, 100, 50, workers=1).chunks(5)
    alone = EchoStream(None, 3, 100, 50)
    assert [next(made) for _ in range(4)] == [alone.chunk(number) for number in range(5, 9)]
    made.close()


def test_a_stream_goes_on_at_its_position() -> None:
    stream = EchoStream(None, 3, 100, 50)
    position, order = Position(), []
    for batch in stream.batches(position):
        order.append(batch)
        position.batch += 1
        if len(order) == 60:
            break
    assert position.chunk > 0
    again = Position(0, 20)
    for wanted, found in zip(order[20:], stream.batches(again), strict=False):
        assert found == wanted
        again.batch += 1


@pytest.mark.parametrize("kind", ["causal", "denoiser"])
def test_a_run_that_was_stopped_ends_where_one_in_one_go_does(kind: str, tmp_path: Path) -> None:
    whole = make_run(kind, tmp_path / "whole")
    whole.train(minutes=60, steps=7)
    for steps in (3, 4, 7):
        part = make_run(kind, tmp_path / "parts")
        assert part.resume() == (steps > 3)
        part.stopping = steps == 4  # asked to stop before a step: nothing is lost, nothing is learnt
        part.train(minutes=60, steps=steps)
        assert part.step == (3 if steps == 4 else steps)
    assert vars(part.position) == vars(whole.position) and part.seen == whole.seen
    wanted = whole.adapter()
    assert set(part.adapter()) == set(wanted)
    for name, value in part.adapter().items():
        assert torch.equal(value, wanted[name]), name


@pytest.mark.parametrize(("kind", "score"), [("causal", "held_out"), ("denoiser", "held_out_whole")])
def test_training_learns_a_toy_task(kind: str, score: str, tmp_path: Path) -> None:
    run = make_run(kind, tmp_path)
    frozen = {name: value.clone() for name, value in run.network.state_dict().items() if ".a" not in name[-2:]}
    before = run.held_out_scores()
    run.train(minutes=60, steps=150)
    after = run.held_out_scores()
    assert after[score] < 0.5 * before[score]
    if kind == "denoiser":
        assert after["right_whole"] > 0.6 > before["right_whole"]
    for name, value in run.network.state_dict().items():
        if name in frozen and not name.endswith(".b"):
            assert torch.equal(value, frozen[name]), name


def test_an_adapter_continues_another_that_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tmp_path / "shipped"
    first = tiny()
    add_lora(first, 4, 8)
    random_lora(first, 1)
    save_adapter(lora_state(first), shipped, {"base_sha256": "abc", "rank": 4, "alpha": 8})
    args = options(tmp_path / "run")
    args.on = shipped
    base = tiny()
    merge_causal(base, shipped, "abc")
    use_fast_attention(base)
    run = CausalRun(args, base, EchoStream(None, 7, args.tokens, args.longest))
    run.train(minutes=60, steps=5)
    monkeypatch.setitem(runs.BASES, "smollm2", dataclasses.replace(runs.BASES["smollm2"], sha256="abc"))
    run.write(tmp_path / "both")
    both = tiny()
    merge_causal(both, tmp_path / "both", "abc")
    ids = torch.randint(3, VOCABULARY, (1, 7))
    with torch.no_grad():
        torch.testing.assert_close(both(ids).logits, run.network(ids).logits, atol=0.02, rtol=0.02)  # matrices as bytes
        with without_lora(run.network):
            assert not torch.allclose(both(ids).logits, run.network(ids).logits, atol=0.05)
    assert sha256_of(tmp_path / "both" / WEIGHTS) == sha256_of(shipped / WEIGHTS)
    assert adapter_key(tmp_path / "both") != adapter_key(shipped)
    assert causal_digest(tmp_path / "both") != causal_digest(shipped) == sha256_of(shipped / WEIGHTS)
    save_adapter(lora_state(first), tmp_path / "both", {"base_sha256": "abc", "rank": 4, "alpha": 8}, torch.float32)
    with pytest.raises(GenerationError, match="the continued adapter in .* was trained on an adapter with SHA-256"):
        merge_causal(both, tmp_path / "both", "abc")


# --- canvases ---


@pytest.mark.parametrize("name", [ADAPTER, CONTINUED])
def test_the_mean_of_adapters_is_that_of_their_matrices(name: str, tmp_path: Path) -> None:
    """Of finished ones and of a run's state; named twice, one counts twice; the latest one's settings stay."""
    told = {"base_sha256": "b", "kind": "causal", "rank": 2, "alpha": 4}
    paths = [tmp_path / "early", tmp_path / "late", tmp_path / "state.pt"]
    for step, (path, value) in enumerate(zip(paths[:2], (1.0, 2.0), strict=True), 1):
        for kind in {ADAPTER, name}:
            save_adapter({"x.a": torch.full((2, 3), value)}, path, told | {"step": step}, name=kind)
    torch.save({"adapter": {"x.a": torch.full((2, 3), 6.0)}}, paths[2])
    average([*paths, paths[1], paths[1]], tmp_path / "mean", name)
    settings, matrices, scale = read_files(tmp_path / "mean", "b", name)
    assert torch.allclose(matrices["x.a"], torch.full((2, 3), (1 + 6 + 3 * 2) / 5), rtol=0.01)
    assert (settings["step"], scale) == (2, 2.0)
    if name == CONTINUED:
        assert sha256_of(tmp_path / "mean" / WEIGHTS) == sha256_of(tmp_path / "late" / WEIGHTS)


def test_adapters_that_do_not_belong_together_have_no_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"base_sha256": "b", "kind": "causal", "rank": 2, "alpha": 4, "step": 1}
    save_adapter({"x.a": torch.ones(2, 3)}, tmp_path / "one", told)
    save_adapter({"x.a": torch.ones(2, 3)}, tmp_path / "other", told | {"base_sha256": "c"})
    save_adapter({"y.a": torch.ones(2, 3)}, tmp_path / "third", told)
    torch.save({"adapter": {}}, tmp_path / "state.pt")
    torch.save({"step": 3}, tmp_path / "bare.pt")
    (tmp_path / "text.pt").write_text("not a state")
    (tmp_path / "empty.pt").write_bytes(b"")
    for folder, said in (("no-step", '{"base_sha256": "b"}'), ("a-list", "[]"), ("no-json", "{")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "adapter.json").write_text(said)
    for names, line in (
        (["one", "other"], "differ in base_sha256; only adapters of one run have a mean"),
        (["one", "third"], "the adapters have different matrices"),
        (["state.pt"], "none of the adapters is a finished one"),
        (["one", "nothing"], "nothing"),
        (["one", "bare.pt"], "bare.pt cannot be read: 'adapter'"),
        (["one", "text.pt"], "text.pt cannot be read: "),
        (["one", "empty.pt"], "empty.pt cannot be read: "),
        (["no-step"], "adapter.json cannot be read: it has no step"),
        (["a-list"], "adapter.json cannot be read: "),
        (["no-json"], "adapter.json cannot be read: "),
    ):
        arguments = ["average", str(tmp_path / "out"), *(str(tmp_path / one) for one in names)]
        monkeypatch.setattr("sys.argv", arguments)
        with pytest.raises(SystemExit, match=line) as caught:
            average_main()
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_two_adapters_become_one_of_the_rank_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of as many ranks as both have it is their sum; of fewer, nearer to it than either adapter is."""
    told = {"base_sha256": "abc", "step": 1, "tokens": 10, "seconds": 2}
    for seed, (name, rank) in enumerate([(ADAPTER, 4), (CONTINUED, 3)]):
        trained = tiny()
        add_lora(trained, rank, 2 * rank)
        random_lora(trained, seed)
        more = {"on": sha256_of(tmp_path / "both" / WEIGHTS)} if name == CONTINUED else {}
        save_adapter(lora_state(trained), tmp_path / "both", told | more | {"rank": rank, "alpha": 2 * rank}, name=name)

    def weights(folder: Path) -> torch.Tensor:
        merged = tiny()
        merge_causal(merged, folder, "abc")
        return merged.model.layers[1].mlp.down_proj.weight.detach()

    both, plain = weights(tmp_path / "both"), tiny().model.layers[1].mlp.down_proj.weight.detach()
    for rank in (7, 5):
        monkeypatch.setattr("sys.argv", ["joined", str(tmp_path / "one"), str(tmp_path / "both"), "--rank", str(rank)])
        joined_main()
        share = float(capsys.readouterr().out.split()[0])
        assert share == 1 if rank == 7 else 0.8 < share < 1
        missing = (weights(tmp_path / "one") - both).norm() / (both - plain).norm()
        assert missing < (0.02 if rank == 7 else 0.4)
    settings, matrices, scale = read_files(tmp_path / "one", "abc")
    assert (settings["rank"], settings["tokens"], scale) == (5, 20, 2.0)
    assert {matrix.shape[0] for key, matrix in matrices.items() if key.endswith(".a")} == {5}
    monkeypatch.setattr("sys.argv", ["joined", str(tmp_path / "two"), str(tmp_path / "one")])
    with pytest.raises(SystemExit, match="the continued in .* cannot be read: "):
        joined_main()
    save_adapter({"x.a": torch.ones(2, 3)}, tmp_path / "one", told | {"rank": 2, "alpha": 4}, name=CONTINUED)
    with pytest.raises(SystemExit, match="the adapters in .* have different matrices"):
        joined_main()


def test_canvases_start_anywhere_and_ask_up_to_the_end() -> None:
    one = Encoded([3, 9], [9, 10, 11, 12, END])
    r = random.Random(0)
    starts, wholly = set(), 0
    for _ in range(200):
        found = make_canvases([one], r, count=2, length=4, mask=MASK, end=END, whole=0.5)
        assert found.start[0] == 2
        starts.add(int(found.start[1]))
        for row, begin in enumerate((found.start - 2).tolist()):
            real = one.answer[begin : begin + 4]
            assert found.truth[row].tolist() == real + [END] * (4 - len(real))
            hidden = found.noised[row] == MASK
            assert torch.equal(found.noised[row][~hidden], found.truth[row][~hidden])
            assert found.asked[row].tolist() == [bool(h) and i < len(real) for i, h in enumerate(hidden)]
            assert found.asked[row].any()
            wholly += bool(hidden.all())
    assert starts == {2, 3, 4, 5, 6}
    assert wholly > 200


def test_later_places_are_masked_more_often() -> None:
    r = random.Random(1)
    times = [0] * 16
    for _ in range(2000):
        for i, hidden in enumerate(noised_places(r, 16, 0.0)):
            times[i] += hidden
    assert times[0] < times[8] < times[15] and times[15] > 1.8 * times[0]


def test_a_canvas_reads_the_causal_prefix_and_all_of_itself(tmp_path: Path) -> None:
    """Against the same network with its own cache and an all-visible mask, one canvas at a time."""
    run = make_run("denoiser", tmp_path)
    assert isinstance(run, DenoiserRun)
    for module in run.network.modules():
        if isinstance(module, LoraLinear):
            torch.nn.init.normal_(module.b, std=0.2)
    batch = [Encoded([3, 4, 9], [9, 10, 11, END]), Encoded([3, 4, 4, 5, 8], [8, 8, 12, 8, 9, END])]
    canvases = run.canvases(batch, "test", whole=0.0)
    with torch.no_grad():
        found = run.logits(batch, canvases)
    reference = tiny()
    add_lora(reference, 8, 16)
    set_lora_state(reference, lora_state(run.network))
    rows = []
    for row, start in enumerate(canvases.start.tolist()):
        one = batch[row // 3]
        sequence = (one.prompt + one.answer)[:start]
        cache = DynamicCache()
        with torch.no_grad(), without_lora(reference):
            reference.model(input_ids=torch.tensor([sequence[:-1]]), past_key_values=cache)
        fed = torch.tensor([sequence[-1:] + canvases.noised[row].tolist()])
        embedded = reference.get_input_embeddings()(fed)
        embedded[fed == MASK] = run.embedding.detach()
        visible = torch.zeros(1, 1, fed.shape[1], start - 1 + fed.shape[1])
        with torch.no_grad():
            logits = reference(inputs_embeds=embedded, past_key_values=cache, attention_mask=visible).logits
        rows.append(logits[0, :-1][canvases.asked[row]])
    torch.testing.assert_close(found, torch.cat(rows), atol=1e-4, rtol=1e-4)


# --- the two adapters together ---


def random_lora(network: Any, seed: int) -> None:
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, LoraLinear):
            torch.nn.init.normal_(module.b, std=0.2)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, DenoiserRun]:
    """A folder with a random causal adapter and a random denoising one, and the training run that has both."""
    folder = tmp_path / "pair"
    causal, base = tiny(), tiny()
    add_lora(causal, 4, 8)
    random_lora(causal, 1)
    save_adapter(lora_state(causal), folder, {"base_sha256": "abc", "rank": 4, "alpha": 8}, torch.float32)
    merge_adapter(base, *read_adapter(folder, "abc"))
    args = options(tmp_path / "run")
    run = DenoiserRun(args, base, EchoStream(None, 7, args.tokens, args.longest), MASK, END)
    random_lora(run.network, 2)
    torch.nn.init.normal_(run.embedding, std=0.3)
    shutil.copytree(folder, tmp_path / "run" / "causal")
    settings = {**run.settings(), "base_sha256": "abc"}
    save_adapter(run.adapter(), tmp_path / "own", settings, torch.float32)
    for ending in ("safetensors", "json"):
        shutil.copy(tmp_path / "own" / f"adapter.{ending}", folder / f"denoiser.{ending}")
    return folder, run


def joined(folder: Path) -> AdaptedDenoiser:
    network = tiny()
    merge_adapter(network, *read_adapter(folder, "abc"))
    shape = LlamaShape.of(network.config)
    weights = {name: weight.clone() for name, weight in weights_of(network).items()}
    drafting, facts = drafter_weights(network, folder, "abc", torch.float32)
    assert shape is not None and has_adapter(folder, DENOISER)
    drafter = Llama(shape, drafting | {"head": weights["embed"]})
    return AdaptedDenoiser(CausalLM(Llama(shape, weights)), drafter, facts)


def test_a_denoising_adapter_beside_the_causal_one_is_what_was_trained(pair: tuple[Path, DenoiserRun]) -> None:
    """Canvases behind any prefix get the logits of training; reading from left to right is the causal model's."""
    folder, run = pair
    model = joined(folder)
    assert isinstance(model, Denoiser) and isinstance(model, CausalScorer)
    assert (model.spec.canvas_length, model.spec.noise.mask, model.spec.vocab_size) == (8, MASK, VOCABULARY)
    batch = [Encoded([3, 4, 9], [9, 10, 11, END]), Encoded([3, 4, 4, 5, 8], [8, 8, 12, 8, 9, END])]
    canvases = run.canvases(batch, "test", whole=0.3)
    with torch.no_grad():
        expected = run.logits(batch, canvases)
    prefixes = []
    for row, start in enumerate(canvases.start.tolist()):
        one = batch[row // 3]
        sequence = (one.prompt + one.answer)[:start]
        prefixes.append(model.open(sequence[: len(one.prompt)]))
        model.extend(prefixes[-1], sequence[len(one.prompt) :])
    found = model.denoise(prefixes, canvases.noised, None, torch.zeros(len(prefixes)))
    torch.testing.assert_close(found[canvases.asked], expected, atol=1e-4, rtol=1e-4)
    with torch.no_grad(), without_lora(run.network):
        sequence = batch[1].prompt + batch[1].answer
        causal = run.network(torch.tensor([sequence])).logits[0, len(batch[1].prompt) - 1 :]
    torch.testing.assert_close(model.read(model.open(batch[1].prompt), batch[1].answer), causal, atol=1e-4, rtol=1e-4)
    assert model.fingerprint == joined(folder).fingerprint != model.encoder.fingerprint
    alone = folder.parent / "alone"
    shutil.copytree(folder, alone, ignore=shutil.ignore_patterns("denoiser.*"))
    assert adapter_key(alone) != adapter_key(folder) and not has_adapter(alone, DENOISER)


@pytest.mark.parametrize("verify", [False, True])
def test_the_pair_writes_what_a_constraint_allows(pair: tuple[Path, DenoiserRun], verify: bool) -> None:
    model = joined(pair[0])
    pieces = [None, None, None, *(bytes([97 + i]) for i in range(VOCABULARY - 3))]
    automaton = tiny_automaton(parse_regex("(ab|c){2,5}d?"), tiny_vocabulary(pieces, ends=(END,)))
    tasks = [Task([3, 4, seed % 20 + 3], automaton, 12, seed, (END,)) for seed in range(20)]
    policy = Policy(**published("plain", 8) | {"verify": verify, "draft_steps": int(verify), "candidate": "draw"})
    for outcome in denoise(model, tasks, policy):
        text = "".join(chr(97 + token - 3) for token in outcome.tokens)
        assert re.fullmatch("(ab|c){2,5}d?", text) and outcome.verified == verify


def test_a_denoising_adapter_of_another_causal_one_is_refused(pair: tuple[Path, DenoiserRun]) -> None:
    folder, _ = pair
    settings = json.loads((folder / "denoiser.json").read_text())
    for changes, told in (
        ({"base_sha256": "xyz"}, "the denoiser in .* belongs to base weights with SHA-256 xyz, not abc"),
        ({"causal_sha256": "xyz"}, "was trained on a causal adapter with SHA-256 xyz, not"),
        ({"mask_token": None}, "has no mask_token"),
    ):
        changed = {name: value for name, value in (settings | changes).items() if value is not None}
        (folder / "denoiser.json").write_text(json.dumps(changed))
        with pytest.raises(GenerationError, match=told) as caught:
            joined(folder)
        assert "\n" not in str(caught.value)
    (folder / "denoiser.json").write_text(json.dumps(settings))
    (folder / "denoiser.safetensors").write_bytes(b"damaged")
    with pytest.raises(GenerationError, match="the denoiser in .* cannot be read"):
        joined(folder)
