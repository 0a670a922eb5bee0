"""Train the embedded DiffusionGemma on generated examples; restartable at any moment.

    python -m training.train --out FOLDER --minutes 60

Three phases: the encoder's next-token loss alone (copying left to right is learned long before denoising, and much
cheaper), then that loss and denoising, then denoising with several noised canvases per encoded prompt (and the other
loss in one batch of --encoder-every) while the learning rate falls to zero. A checkpoint with the optimisers' state is
written every few minutes; the same command goes on from it. FOLDER/model is the checkpoint as users load it,
FOLDER/curve.png the loss. Recipe: docs/measurements/embedded_model.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer
from transformers.utils import logging

from training.batches import Batches
from training.forward import Forward, Fused, Plain
from training.losses import WEIGHTS, losses
from training.network import build_network, load_grown, make_optimisers, save_pretrained
from training.tokenizer import train_tokenizer

WIDTHS = (112, 176, 320)
"""Lengths of sequences when layers are compiled, once for each."""
Curve = list[tuple[float, float, float]]


def rate(share: float, first_phase: float, step: int) -> float:
    """The learning rate's factor: warm-up over 50 steps, constant in the first phase, then down to zero.

    >>> rate(0.2, 0.5, 1000), rate(0.75, 0.5, 1000), rate(1.0, 0.5, 1000)
    (1.0, 0.5, 0.0)
    """
    fall = 1.0 if share < first_phase else max(0.0, (1 - share) / (1 - first_phase))
    return min(1.0, (step + 1) / 50) * fall


def point(minutes: float, denoising: float | None, copying: float | None) -> tuple[float, float, float]:
    """A point of the curves; a loss that is not trained, or not now, is not a number.

    >>> point(1.0, 2.5, None)
    (1.0, 2.5, nan)
    """
    missing = float("nan")
    return minutes, missing if denoising is None else denoising, missing if copying is None else copying


def train(args: argparse.Namespace) -> float:
    """Run the phases; returns the last smoothed denoising loss."""
    logging.disable_progress_bar()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer_folder = args.tokenizer or args.init or args.out / "tokenizer"
    if not (tokenizer_folder / "tokenizer.json").is_file():
        train_tokenizer(tokenizer_folder)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    network = build_network(len(tokenizer), args.hidden, args.layers, args.canvas)
    if args.init:
        load_grown(network, type(network).from_pretrained(args.init, dtype=torch.float32))
    optimisers = make_optimisers(network)
    base = [[group["lr"] * args.rate for group in optimiser.param_groups] for optimiser in optimisers]
    path = args.out / "checkpoint.pt"
    state: dict[str, Any] = {"spent": 0.0, "step": 0, "curve": [], "denoising": None, "copying": None}
    if path.is_file():
        state = torch.load(path, weights_only=False)
        network.load_state_dict(state.pop("network"))
        for optimiser, saved in zip(optimisers, state.pop("optimisers"), strict=True):
            optimiser.load_state_dict(saved)
        print(f"going on from step {state['step']} after {state['spent'] / 60:.1f} minutes", flush=True)
    forward: Forward = Fused(network, compiled=True) if args.compile else Plain(network)
    widths = WIDTHS if args.compile else ()
    batches = Batches(tokenizer, args.canvas, args.tokens, args.seed + state["step"], widths=widths)
    clock = time.process_time if args.cpu else time.monotonic
    total, begun = args.minutes * 60, clock() - state["spent"]
    last_save = time.monotonic()

    def save() -> None:
        weights = {"network": network.state_dict(), "optimisers": [optimiser.state_dict() for optimiser in optimisers]}
        torch.save(state | weights, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)
        save_pretrained(network, tokenizer_folder, args.out / "model", args.steps)

    while (spent := clock() - begun) < total:
        share = spent / total
        first = share < args.first_phase
        factor = rate(share, args.first_phase, state["step"])
        for optimiser, rates in zip(optimisers, base, strict=True):
            for group, lr in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = lr * factor
        every = args.encoder_every  # kept alive later on: it reads drafts over
        reading = every > 0 and (first or state["step"] % every == 0)
        fewer = args.canvases if args.compile else 2  # one shape less to compile
        times = 0 if share < args.encoder_phase else fewer if first else args.canvases
        loss, denoising, copying = losses(
            forward, batches.next(), times=times, encoder_loss=reading, weights=args.weights
        )
        for optimiser in optimisers:
            optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        state["step"] += 1
        state["spent"] = spent
        for key, value in (("denoising", denoising), ("copying", copying)):
            if value == value:  # not a number in the phases without it
                state[key] = value if state[key] is None else 0.98 * state[key] + 0.02 * value
        if state["step"] % args.report_every == 0:
            state["curve"].append(row := point(spent / 60, state["denoising"] if times else None, state["copying"]))
            minutes, denoising, copying = row
            print(
                f"{minutes:6.1f} min  step {state['step']}  denoising {denoising:.4f}  next token {copying:.4f}",
                flush=True,
            )
        if time.monotonic() - last_save > args.save_every:
            last_save = time.monotonic()
            save()
    save()
    plot(state["curve"], args.out / "curve.png")
    return float(state["denoising"] or float("inf"))


def plot(curve: Curve, path: Path) -> None:
    """The loss curves as a PNG, where matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    axes = (figure := Figure(figsize=(7, 4), dpi=120)).subplots()
    for column, label in ((1, "denoising"), (2, "next token of the answer (encoder)")):
        axes.plot([row[0] for row in curve], [row[column] for row in curve], label=label)
    axes.set(xlabel="minutes", ylabel="cross-entropy", ylim=(0, None))
    axes.legend()
    figure.savefig(path)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, default=Path("build/training"))
    p.add_argument("--tokenizer", type=Path, help="a folder with a tokenizer; without it one is trained")
    p.add_argument(
        "--init",
        type=Path,
        help="a finished checkpoint to go on from, with fresh optimisers and, where --layers is more, added layers",
    )
    p.add_argument("--rate", type=float, default=1.0, help="factor of all learning rates (less than 1 after --init)")
    p.add_argument("--minutes", type=float, default=60)
    p.add_argument("--cpu", action="store_true", help="minutes of CPU time: comparable runs on a busy machine")
    p.add_argument("--encoder-phase", type=float, default=0.25, help="share of the time with the encoder's loss alone")
    p.add_argument("--first-phase", type=float, default=0.55, help="share of the time with the encoder's loss")
    p.add_argument("--encoder-every", type=int, default=10,
                   help="batches to one with the encoder's loss afterwards; 0: never, from the start")  # fmt: skip
    p.add_argument("--weights", choices=WEIGHTS, default="noised", help="which positions of a noised canvas count")
    p.add_argument("--canvases", type=int, default=4, help="noised canvases per prompt in the second phase")
    p.add_argument("--hidden", type=int, default=128)
    p.add_argument("--layers", type=int, default=4)
    p.add_argument("--canvas", type=int, default=48)
    p.add_argument("--tokens", type=int, default=3072, help="prompt, answer and canvas tokens of a batch")
    p.add_argument("--steps", type=int, default=48, help="denoising steps written to generation_config.json")
    p.add_argument("--save-every", type=float, default=120, help="seconds between checkpoints")
    p.add_argument(
        "--report-every", type=int, default=50, help="steps between the lines printed, and points of the curves"
    )
    p.add_argument("--compile", action="store_true",
                   help="bf16 layers compiled by torch: about twice the speed; needs a C++ compiler")  # fmt: skip
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seed", type=int, default=0)
    return p


if __name__ == "__main__":
    print(f"final denoising loss {train(parser().parse_args()):.4f}")
