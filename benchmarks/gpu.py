"""What the constraint costs where logits are on a GPU: the class reduction, and whole steps of a network.

    python -m benchmarks.gpu --tokenizer FOLDER [--schema FILE] [--released] [--finetune 2048] [--json OUT]

All times are medians of one run on one GPU, with the device idle before and after each. ``--released`` builds a network
of the released checkpoint's architecture (25 billion parameters in bf16, drawn at random: 51 GB of GPU memory) and sets
constrained steps beside free ones; what it writes means nothing. ``--finetune`` then trains LoRA matrices in it, with
the loss and the batches of `training.finetune`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import structdiff
from benchmarks.steps import seconds
from structdiff.decode.engine import Task
from structdiff.decode.loop import Denoising
from structdiff.decode.policy import Policy
from structdiff.lattice import device as on_device
from structdiff.lattice.device import reduce_on_device
from structdiff.lattice.device_classes import Classes
from structdiff.lattice.lattice import Lattice
from structdiff.models.diffusion_gemma import DiffusionGemma
from structdiff.tokens.vocabulary import Vocabulary
from training.network import VISION

LENGTH = 256
TEXT = {
    "hidden_size": 2816, "intermediate_size": 2112, "num_hidden_layers": 30, "num_attention_heads": 16,
    "num_key_value_heads": 8, "head_dim": 256, "global_head_dim": 512, "num_global_key_value_heads": 2,
    "num_experts": 128, "top_k_experts": 8, "moe_intermediate_size": 704, "sliding_window": 1024,
}  # fmt: skip
"""Published figures of the 26B-A4B architecture; together 25.2 billion parameters."""


def milliseconds(work: Callable[[], object], repeat: int) -> float:
    """Median milliseconds of ``work``, the device idle at both ends, after a run that is not counted."""
    return 1000 * seconds(lambda: (work(), torch.cuda.synchronize()), repeat)


def reductions(constraint: structdiff.Constraint, dtype: torch.dtype, length: int, repeat: int) -> dict[str, float]:
    """Milliseconds of the parts of one step over random logits [length, V] on the GPU."""
    V = constraint.vocabulary.size
    logits = (torch.randn(length, V, device="cuda", generator=torch.Generator("cuda").manual_seed(0)) * 3).to(dtype)
    classes = Classes(constraint.automaton, "cuda")
    lattice = Lattice(constraint.automaton, length, left=4096)
    uniform = np.random.default_rng(0).random((length, 3))
    reduction = reduce_on_device(logits, 0.8, classes)
    posterior = lattice.posterior_of(reduction)
    labels = np.full(length, 1)
    kernels_for = on_device.kernels_for
    figures = {
        "reduction": lambda: reduce_on_device(logits, 0.8, classes),
        "its kernels": lambda: kernels_for(logits.device).class_sums(logits, 0.8, classes),
        "token draw": lambda: reduction.draw(labels, uniform[:, 2]),
        "lattice": lambda: lattice_work(lattice, reduction, uniform),
        "softmax": lambda: torch.softmax(logits.float(), -1),
    }
    found = {name: milliseconds(work, repeat) for name, work in figures.items()}
    on_device.kernels_for = lambda device: None  # type: ignore[assignment]
    try:
        plain = reduce_on_device(logits, 0.8, classes)
        found["reduction in torch"] = milliseconds(lambda: reduce_on_device(logits, 0.8, classes), 3)
        found["token draw in torch"] = milliseconds(lambda: plain.draw(labels, uniform[:, 2]), 3)
    finally:
        on_device.kernels_for = kernels_for
    np.testing.assert_allclose(plain.mass, reduction.mass, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(lattice.posterior_of(plain).marginal, posterior.marginal, atol=1e-4)
    assert (plain.top_token == reduction.top_token).all()
    return found


def lattice_work(lattice: Lattice, reduction: Any, uniform: np.ndarray) -> None:
    """What a step does on the host."""
    posterior = lattice.posterior_of(reduction, ahead=True)
    posterior.draw(uniform)
    _ = posterior.maximum


def released_network(vocab: int) -> Any:
    """A network of the released architecture whose parameters are drawn on the GPU; a small stand-in for vision."""
    from accelerate import init_empty_weights
    from transformers import DiffusionGemmaConfig, DiffusionGemmaForBlockDiffusion, DiffusionGemmaTextConfig

    text = DiffusionGemmaTextConfig(vocab_size=vocab, **TEXT)
    config = DiffusionGemmaConfig(text_config=text.to_dict(), vision_config=VISION, canvas_length=LENGTH)
    with init_empty_weights(include_buffers=False):
        network = DiffusionGemmaForBlockDiffusion(config)
    network.tie_weights()
    drawn: dict[int, torch.nn.Parameter] = {}
    for module in network.modules():
        for name, p in module._parameters.items():
            if p is not None and p.is_meta:
                if id(p) not in drawn:
                    value = torch.empty(p.shape, dtype=torch.bfloat16, device="cuda")
                    value = value.fill_(1.0) if p.ndim < 2 else value.normal_(0, 0.02)
                    drawn[id(p)] = torch.nn.Parameter(value, requires_grad=False)
                module._parameters[name] = drawn[id(p)]
    return network.to("cuda")


def steps(model: DiffusionGemma, task: Callable[[], Task], count: int, policy: Policy, repeat: int) -> dict[str, float]:
    """Milliseconds of one step of ``count`` rows, in all and of the network alone; the first steps are not counted."""
    engine = Denoising(model, policy)
    for number in range(count):
        engine.add(replace(task(), number=number, seed=number))
    inside: list[float] = []
    denoise = model.denoise

    def timed(*args: Any) -> torch.Tensor:
        torch.cuda.synchronize()
        begun = time.perf_counter()
        out = denoise(*args)
        torch.cuda.synchronize()
        inside.append(time.perf_counter() - begun)
        return out

    model.denoise = timed  # type: ignore[method-assign]
    whole = []
    for _ in range(repeat + 4):  # without feedback, with it, recorded, replayed
        torch.cuda.synchronize()
        begun = time.perf_counter()
        engine.step()
        torch.cuda.synchronize()
        whole.append(time.perf_counter() - begun)
    model.denoise = denoise  # type: ignore[method-assign]
    step, network = statistics.median(whole[4:]) * 1000, statistics.median(inside[4:]) * 1000
    recording = inside[2] * 1000
    return {"step": step, "network": network, "beside the network": step - network, "third pass": recording}


def finetune_steps(network: Any, tokenizer: str, count: int, tokens: int) -> dict[str, float]:
    """Seconds of a step and peak gigabytes of memory of the LoRA script's loop on ``network``."""
    from transformers import AutoTokenizer

    from training.batches import Batches
    from training.evaluate import read_examples
    from training.finetune import add_adapter, take_step

    examples = read_examples(Path("tests/data/handwritten.jsonl"))
    torch.manual_seed(0)
    if not any(p.requires_grad for p in network.parameters()):
        add_adapter(network, rank=16)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-4)
    opened = AutoTokenizer.from_pretrained(tokenizer)
    length = network.config.canvas_length
    batches = Batches(opened, length, tokens, 0, 2048, lambda r: r.choice(examples), opened.eos_token_id, 0, smallest=1)
    torch.cuda.reset_peak_memory_stats()
    times, curve = [], []
    for _ in range(count):
        batch = batches.next().to(torch.device("cuda"))
        torch.cuda.synchronize()
        begun = time.perf_counter()
        curve.append(take_step(network, batch, optimiser))
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return {
        "seconds of a step": statistics.median(times[1:]), "gigabytes": torch.cuda.max_memory_allocated() / 1e9,
        "first loss": curve[0], "last loss": curve[-1], "trained parameters": sum(p.numel() for p in trained),
    }  # fmt: skip


def plot(result: dict[str, Any], path: Path) -> None:
    """Each kind of step as a bar: the network, and what is beside it."""
    from matplotlib.figure import Figure

    names = [name for name, found in result.items() if isinstance(found, dict) and "beside the network" in found]
    axes = (figure := Figure(figsize=(8, 3.2), dpi=120, layout="constrained")).subplots()
    left = [0.0] * len(names)
    for part, colour in (("network", "#8da0cb"), ("beside the network", "#fc8d62")):
        widths = [result[name][part] for name in names]
        axes.barh(names, widths, left=left, color=colour, label=part)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for name, end in zip(names, left, strict=True):
        axes.text(end, name, f" {end:.0f}", va="center", fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="milliseconds a step", title=f"25 billion parameters, {result['gpu']}")
    axes.legend(fontsize=8)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--schema", type=Path, default=Path("schemas/invoice.json"))
    parser.add_argument("--released", action="store_true")
    parser.add_argument("--finetune", type=int, nargs="*", default=[], help="with --released: tokens of a batch")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--json", type=Path, help="also write the figures here, and a picture of the steps beside it")
    args = parser.parse_args()
    console = Console(width=150)
    vocabulary = Vocabulary.of(args.tokenizer)
    constraint = structdiff.compile(json.loads(args.schema.read_text()), vocabulary)
    name = torch.cuda.get_device_name()
    console.print(
        f"{name}, torch {torch.__version__}, V = {vocabulary.size}, {args.schema.name}: {constraint.states} states, "
        f"{constraint.edges} edges, {constraint.classes} classes"
    )
    rows: list[dict[str, Any]] = []
    for dtype, length in ((torch.float32, LENGTH), (torch.bfloat16, LENGTH), (torch.bfloat16, 64)):
        rows.append({"dtype": str(dtype), "length": length} | reductions(constraint, dtype, length, args.repeat))
    table = Table(title="One step over logits on the GPU, milliseconds")
    for column in rows[0]:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()))
    console.print(table)
    result: dict[str, Any] = {"gpu": name, "torch": torch.__version__, "reductions": rows}
    if args.released:
        begun = time.perf_counter()
        model = DiffusionGemma(released_network(vocabulary.size), record=False)
        torch.cuda.synchronize()
        count = sum(p.numel() for p in model.network.parameters())
        memory = torch.cuda.memory_allocated() / 1e9
        console.print(
            f"{count / 1e9:.1f} billion parameters, {memory:.1f} GB, drawn in {time.perf_counter() - begun:.0f} s"
        )
        prompt = np.random.default_rng(0).integers(1000, 200_000, 512).tolist()
        policy = Policy(max_steps=10_000, confidence=0.0, stability=0, patience=0, verify=False)
        tasks = {
            "free": lambda: Task(prompt, None, 2 * LENGTH, end_ids=(vocabulary.end_ids[0],)),
            args.schema.name: lambda: Task(prompt, constraint.automaton, 2 * LENGTH, end_ids=tuple(vocabulary.end_ids)),
        }
        table = Table(title="One step, milliseconds")
        for column in ("rows", "step", "network", "beside the network", "third pass", "share beside the network"):
            table.add_column(column, justify="right")
        for recorded, count in ((False, 1), (False, args.rows), (True, 1)):
            model = DiffusionGemma(model.network, record=recorded)
            for title, task in tasks.items():
                found = steps(model, task, count, policy, args.repeat)
                name = f"{count} x {title}, {'replayed' if recorded else 'eager'}"
                result[name] = found
                share = found["beside the network"] / found["step"]
                table.add_row(name, *(f"{value:.1f}" for value in found.values()), f"{share:.0%}")
        console.print(table)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
        if args.released:
            plot(result, args.json.with_suffix(".png"))
    for tokens in args.finetune if args.released else ():
        torch.cuda.empty_cache()
        found = result[f"finetune, {tokens} tokens"] = finetune_steps(model.network, args.tokenizer, 8, tokens)
        console.print(tokens, "tokens a batch:", found)
        if args.json:
            args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
