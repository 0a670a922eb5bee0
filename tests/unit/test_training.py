"""The generators, the tokenizer, and a training run of a few steps that is interrupted and goes on."""

from __future__ import annotations

import json
import random
import re
import zlib
from datetime import datetime
from pathlib import Path

import pytest
import torch
from jsonschema import Draft202012Validator

from structdiff.frontends.prompt import build_prompt
from training.ablations import ARMS, BASE, COLUMNS, finished, plot, table
from training.batches import Batches, encode_prompt
from training.data import PARAPHRASES, SPLITS, WORDS_OF_NUMBERS, make_example, part
from training.evaluate import evaluate, field_scores, held_out, read_examples
from training.fields import FIELDS
from training.grids import make_grid, relabelled
from training.tokenizer import train_tokenizer
from training.train import parser, train
from training.values import date, money, spelled_date, spelled_number


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(folder, size=600, examples=300)
    return folder


@pytest.mark.parametrize("split", SPLITS)
def test_examples_satisfy_their_schema_and_state_every_value(split: str) -> None:
    r = random.Random(5)
    for _ in range(300):
        example = make_example(r, split)
        Draft202012Validator(example["schema"]).validate(example["value"])
        for key, value in example["value"].items() if isinstance(example["value"], dict) else ():
            if isinstance(value, str | int) and not isinstance(value, bool) and not DATE.fullmatch(str(value)):
                said = {str(value), *(PARAPHRASED.get(value, "").split("|") if split == "train" else ())} - {""}
                if split == "train" and isinstance(value, int) and value < len(WORDS_OF_NUMBERS):
                    said.add(WORDS_OF_NUMBERS[value])
                assert any(one in example["text"].replace(",", "").lower() or one in example["text"] for one in said), (
                    key, value, example["text"])  # fmt: skip


PARAPHRASED = {value: said.lower() for options in PARAPHRASES.values() for value, said in options.items()}
DATE = re.compile(r"20\d\d-\d\d-\d\d")


def test_dates_and_sums_are_spelled_in_ways_that_can_be_read_back() -> None:
    r = random.Random(1)
    for _ in range(200):
        iso = date(r, "train")
        spelled = spelled_date(r, iso)
        forms = ("%d %B %Y", "%B %d, %Y", "%d %b %Y", "%d.%m.%Y")
        found = [datetime.strptime(spelled, form) for form in forms if _matches(spelled, form)]
        assert [day.strftime("%Y-%m-%d") for day in found[:1]] == [iso]
        amount = money(r, "train")
        assert float(spelled_number(r, amount).lstrip("$€").replace(",", "")) == amount


def _matches(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)
    except ValueError:
        return False
    return True


def test_grids_are_solved_and_held_out_ones_never_trained_on() -> None:
    r = random.Random(3)
    for held_out_ones in (False, True):
        for _ in range(60):
            kind, puzzle, solution = make_grid(r, held_out_ones)
            assert all(p in (".", s) for p, s in zip(puzzle, solution, strict=True))
            assert (zlib.crc32(relabelled(puzzle).encode()) % 10 == 0) == held_out_ones
            rows = solution.split("\n")
            columns = ["".join(c) for c in zip(*rows, strict=True)]
            if kind == "binary puzzle":
                assert all(line.count("0") == 2 and "000" not in line and "111" not in line for line in rows + columns)
            else:
                assert all(len(set(line)) == len(rows) for line in rows + columns)
            if kind.startswith("sudoku"):
                high, wide = (2, 2) if kind.endswith("4x4") else (2, 3)
                boxes = [
                    "".join(row[x : x + wide] for row in rows[y : y + high])
                    for y in range(0, len(rows), high)
                    for x in range(0, len(rows), wide)
                ]
                assert all(len(set(box)) == len(rows) for box in boxes)


def test_examples_use_the_prompt_of_the_product_and_default_json() -> None:
    r = random.Random(6)
    for _ in range(50):
        example = make_example(r)
        if isinstance(example["value"], dict):
            assert example["prompt"] == build_prompt(example["text"], example["schema"])
            assert example["answer"] == json.dumps(example["value"], ensure_ascii=False)
            known = list(example["schema"]["properties"])
            assert list(example["value"]) == [key for key in known if key in example["value"]]


def test_the_handwritten_cases_satisfy_their_schemas() -> None:
    examples = read_examples(Path(__file__).parents[1] / "data" / "handwritten.jsonl")
    assert len(examples) == 40
    for one in examples:
        Draft202012Validator(one["schema"]).validate(one["value"])
        assert field_scores(one["value"], one["value"])[0] == field_scores(one["value"], one["value"])[1] > 0


def test_the_same_seed_gives_the_same_examples() -> None:
    assert held_out("values", 20) == held_out("values", 20)
    assert held_out("values", 20) != held_out("train", 20)


def test_held_out_clauses_are_not_trained_on() -> None:
    for spec in FIELDS.values():
        if len(spec.clauses) > 1:
            assert not set(part(spec.clauses, "train")) & set(part(spec.clauses, "wordings"))


def test_tokenizer_round_trips_any_text_and_has_every_byte(tokenizer_folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    for text in ('{"a": "b c", "n": 12.50}', "Zoë 東京 🙂\n\ttab", "".join(map(chr, range(1, 256)))):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    assert tokenizer.convert_tokens_to_ids(["<pad>", "<eos>", "<bos>", "<|turn>", "<turn|>"]) == [0, 1, 2, 3, 4]
    digits = tokenizer("1234", add_special_tokens=False)["input_ids"]
    assert len(digits) == 4
    assert tokenizer.decode(encode_prompt(tokenizer, "hi")) == "<bos><|turn>user\nhi<turn|>\n<|turn>model\n"


def test_long_answers_are_trained_canvas_by_canvas(tokenizer_folder: Path) -> None:
    from transformers import AutoTokenizer

    batches = Batches(AutoTokenizer.from_pretrained(tokenizer_folder), canvas=4, tokens=400, seed=0)
    batch = batches.collate([([9] * 3, [11, 12, 13, 14, 15, 16, 4])] * 20)
    seen = {(int(v), tuple(c)) for v, c in zip(batch.visible, batch.canvas.tolist(), strict=True)}
    assert seen == {(3, (11, 12, 13, 14)), (7, (15, 16, 4, 0))}


@pytest.mark.parametrize("encoder", ["", "--encoder-phase 0 --encoder-every 0"])
def test_training_runs_stops_and_goes_on(
    encoder: str, tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the encoder's own loss, and without it: then no next-token loss can be told."""
    size = "--hidden 32 --layers 2 --tokens 600 --steps 2 --threads 1 --report-every 5"
    common = ["--out", str(tmp_path), "--tokenizer", str(tokenizer_folder), *size.split(), *encoder.split()]
    train(parser().parse_args([*common, "--minutes", "0.08"]))
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    train(parser().parse_args([*common, "--minutes", "0.14"]))
    assert (tmp_path / "model" / "model.safetensors").read_bytes() != before
    told = [line for line in capsys.readouterr().out.splitlines() if "next token" in line]
    assert told and all(line.endswith("next token nan") == bool(encoder) for line in told)
    score = evaluate(tmp_path / "model", held_out("train", 3))
    assert score.count == 3 and score.fields > 0


def test_field_scores_ask_for_the_same_place_and_value() -> None:
    assert field_scores({"a": 1, "b": [True, "x"]}, {"a": 1.0, "b": [1, "x"]}) == (2, 3)  # 1 is 1.0, but not true
    assert field_scores("open", "open") == (1, 1)
    assert field_scores({"a": 1}, None) == (0, 1)


def test_arms_of_the_ablations_are_options_of_training_and_come_out_as_a_table(tmp_path: Path) -> None:
    options = {name: vars(parser().parse_args([*BASE.split(), *change.split()])) for name, change in ARMS.items()}
    same = [name for name, chosen in options.items() if chosen == options["base"]]
    assert same == ["base", "tokenizer that has seen the held-out names"]
    score = {"fields": 100, "fields_right": 80}
    for place, name in enumerate(("no encoder loss", "base")):
        scores = {f"{column} {how}": score for column in COLUMNS for how in ("constrained", "unconstrained")}
        result = {"arm": name, "curve": [[1.0, 3.5], [2.0, 3.0]], **scores}
        (tmp_path / f"{place}.json").write_text(json.dumps(result))
    shown = table(results := finished(tmp_path))
    assert [line.split(" | ")[0] for line in shown.splitlines()[2:]] == ["| base", "| no encoder loss"]
    assert "| 0.800 ± 0.078 (0.800) |" in shown
    plot(results, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("weights", ["noised", "even", "inverse"])
def test_weights_of_the_positions_change_the_denoising_loss_as_they_say(weights: str, tokenizer_folder: Path) -> None:
    import torch
    from transformers import AutoTokenizer

    from training.forward import Plain
    from training.losses import corrupt, losses
    from training.network import build_network

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    torch.manual_seed(0)
    network = build_network(len(tokenizer), 32, 2, 24)
    forward, batch = Plain(network), Batches(tokenizer, 24, 600, seed=0).next()

    def draws(seed: int) -> tuple[torch.Tensor, torch.Tensor, bool]:
        torch.manual_seed(seed)
        return *corrupt(batch.canvas, len(tokenizer)), bool(torch.rand(()) < 0.5)

    seed = next(seed for seed in range(100) if not draws(seed)[2])  # without self-conditioning
    noisy, noised, _ = draws(seed)
    torch.manual_seed(seed)
    loss, denoising, _ = losses(forward, batch, times=1, encoder_loss=False, weights=weights)
    state, _ = forward.encode(batch.sequence[:, : int(batch.visible.max())], False)
    logits = forward.decode(state, noisy, batch.visible, int(batch.visible.max()), None, None)
    each = -logits.float().log_softmax(-1).gather(-1, batch.canvas[..., None])[..., 0].detach()
    total, weight = 0.0, 0.0
    for row in range(len(each)):
        share = max(1, int(noised[row].sum())) / 24
        for at in range(24):
            w = (1.0 if noised[row, at] or weights == "even" else 0.1) * (0.1 if batch.canvas[row, at] == 0 else 1.0)
            w /= share if weights == "inverse" else 1.0
            total, weight = total + w * float(each[row, at]), weight + w
    assert denoising == pytest.approx(total / weight, rel=1e-4) and float(loss.detach()) == pytest.approx(denoising)


def loss_on(folder: Path, adapter: Path | None, data: Path) -> float:
    """The denoising loss on fixed noised canvases of every example, with or without an adapter."""
    import torch
    from peft import PeftModel
    from transformers import AutoTokenizer, DiffusionGemmaForBlockDiffusion

    from training.forward import Plain
    from training.losses import losses

    network = DiffusionGemmaForBlockDiffusion.from_pretrained(folder, dtype=torch.float32)
    if adapter:
        network = PeftModel.from_pretrained(network, adapter).get_base_model()
    batches = Batches(AutoTokenizer.from_pretrained(folder), canvas=48, tokens=800, seed=0)
    batch = batches.collate([batches.encode(one) for one in read_examples(data)])
    torch.manual_seed(1)
    with torch.no_grad():
        return losses(Plain(network), batch, times=32, encoder_loss=False)[1]


def test_an_adapter_learns_goes_on_and_leaves_the_checkpoint_alone(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from safetensors.torch import load_file

    import structdiff
    from training import finetune

    embedded = Path(structdiff.__file__).parent / "models" / "embedded"
    data = Path(__file__).parents[1] / "data" / "handwritten.jsonl"
    few = tmp_path / "few.jsonl"
    few.write_text("".join(data.read_text().splitlines(keepends=True)[:2]))
    rates = ["--lr", "0.001", "--tokens", "800"]
    options = [str(embedded), "--out", str(tmp_path / "adapter"), "--data", str(few), *rates]
    first = finetune.finetune(finetune.parser().parse_args([*options, "--steps", "12", "--save-every", "5"]))
    before = load_file(tmp_path / "adapter" / finetune.WEIGHTS)
    assert before and all("lora" in name for name in before)
    more = finetune.finetune(finetune.parser().parse_args([*options, "--steps", "30"]))
    assert len(first) == 12 and len(more) == 18
    assert loss_on(embedded, tmp_path / "adapter", few) < 0.97 * loss_on(embedded, None, few)
    after = load_file(tmp_path / "adapter" / finetune.WEIGHTS)
    assert any((before[name] != after[name]).any() for name in before)


@pytest.mark.parametrize("fed_back", [False, True])
def test_the_fused_pass_computes_what_transformers_does(fed_back: bool) -> None:
    import torch

    from training.forward import Fused, Plain
    from training.network import build_network

    torch.manual_seed(3)
    network = build_network(70, 32, 3, 6)
    for p in network.parameters():  # away from norms of one and experts that do nothing
        p.data += 0.05 * torch.randn_like(p)
    ids, canvas = torch.randint(5, 70, (2, 9)), torch.randint(5, 70, (6, 6))
    visible = torch.tensor([9, 5])  # the second prompt is shorter: what lies behind it is hidden
    feedback = 3 * torch.randn(6, 6, 70) if fed_back else None
    has = torch.tensor([True, False, True, True, True, False]) if fed_back else None
    seen = {}
    for forward in (Plain(network), Fused(network, dtype=torch.float32), Fused(network)):
        state, following = forward.encode(ids, True)
        logits = forward.decode(state, canvas, visible, 9, feedback, has)
        assert following is not None
        loss = forward.score(logits, canvas).mean() + forward.score(following[:, :-1], ids[:, 1:]).mean()
        network.zero_grad()
        loss.backward()
        gradients = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
        seen[type(forward).__name__ + str(getattr(forward, "dtype", ""))] = (following, logits, gradients)
    plain, fused, coarse = seen.values()
    for i in (0, 1):
        assert torch.allclose(plain[i], fused[i], atol=1e-4)
        assert (plain[i] - coarse[i]).norm() < 0.05 * plain[i].norm()  # bf16
    for name, gradient in fused[2].items():
        assert torch.allclose(gradient, plain[2][name], atol=1e-4), name
    assert {n for n, g in plain[2].items() if g.abs().max() > 1e-7} <= set(fused[2])


def test_added_layers_change_nothing_at_first_and_learn() -> None:
    import torch

    from training.forward import Plain
    from training.network import build_network, load_grown

    torch.manual_seed(0)
    old, new = build_network(50, 32, 2, 6), build_network(50, 32, 4, 6)
    load_grown(new, old)
    ids, canvas, visible = torch.randint(5, 50, (2, 7)), torch.randint(5, 50, (2, 6)), torch.tensor([7, 4])
    results = []
    for network in (old, new):
        forward = Plain(network)
        state, _ = forward.encode(ids, False)
        results.append(forward.decode(state, canvas, visible, 7, None, None))
    assert torch.equal(*results)
    forward.score(results[1], canvas).mean().backward()
    added = [
        p for n, p in new.named_parameters() if ".layers.1.post_" in n and n.endswith("attention_layernorm.weight")
    ]
    assert added and all(p.grad is not None and p.grad.abs().max() > 0 for p in added)


def test_a_sampler_step_keeps_what_is_sure_and_renoises_the_rest() -> None:
    import torch

    from training.losses import sampler_step

    torch.manual_seed(0)
    logits = torch.zeros(1, 400, 50)
    logits[0, :200, 7] = 50.0  # sure of token 7; the other half says nothing
    canvas = sampler_step(logits)[0]
    assert (canvas[:200] == 7).all() and len(set(canvas[200:].tolist())) > 40


def test_batches_of_few_widths_have_few_shapes(tokenizer_folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    batches = Batches(tokenizer, canvas=16, tokens=1500, seed=0, widths=(120, 240))
    shapes = set()
    for _ in range(60):
        batch = batches.next()
        assert int(batch.length.max()) <= batch.sequence.shape[1]
        shapes.add(tuple(batch.sequence.shape))
    assert shapes == {(1500 // 136, 120), (1500 // 256, 240)}


def test_held_out_values_never_come_up_in_training() -> None:
    from training.values import HELD, company, job, person, place, thing, title

    r = random.Random(0)
    for _ in range(3000):
        for make in (person, place, thing, job, company, title):
            assert not set(make(r, "train").lower().split()) & HELD


def test_muon_moves_matrices_as_torchs_own_does() -> None:
    """Ours takes stacks; on matrices, tall and wide, three steps agree with the library's to the rounding of bf16."""
    from training.network import Muon

    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator) for shape in ((24, 8), (8, 24), (16, 16))]
    moved = []
    for make in (
        lambda params: Muon(params, lr=0.02, momentum=0.9),
        lambda params: torch.optim.Muon(params, lr=0.02, momentum=0.9, weight_decay=0.0),
    ):
        params = [torch.nn.Parameter(one.clone()) for one in start]
        optimiser, gradients = make(params), torch.Generator().manual_seed(1)
        for _ in range(3):
            for p in params:
                p.grad = torch.randn(p.shape, generator=gradients)
            optimiser.step()
        moved.append([p.detach() - one for p, one in zip(params, start, strict=True)])
    for ours, theirs in zip(*moved, strict=True):
        assert ours.norm() > 0.05 and (ours - theirs).norm() < 0.06 * ours.norm()
