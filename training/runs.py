"""Training runs of adapters that go on where they were stopped; what is learnt is up to the subclass.

State (adapter, optimiser, step, position in the data, random state) is written every few minutes, and when the process
is asked to stop (SIGTERM); the same command goes on where it was. `curve.jsonl` has one line for every evaluation.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from structdiff.models.base_weights import BaseWeights
from structdiff.place import ADAPTED
from training.lora import add_lora, lora_state, save_adapter, set_lora_state
from training.stream import Encoded, Position, Stream

STATE, CURVE, HELD_OUT = "state.pt", "curve.jsonl", "held_out.jsonl"
BASES = {name: model.base for name, model in ADAPTED.items()}
"""Base weights by the names of the models."""


class Run:
    """A training run in a folder. A subclass says what the loss of a batch is, and what is trained besides LoRA."""

    kind = ""

    def __init__(self, args: argparse.Namespace, network: Any, stream: Stream) -> None:
        torch.manual_seed(args.seed)
        torch.set_num_threads(args.threads)
        torch.set_default_device(args.device)
        self.args, self.folder, self.network, self.stream = args, args.runs, network.to(args.device), stream
        self.folder.mkdir(parents=True, exist_ok=True)
        self.trained = [*add_lora(network, args.rank, args.alpha), *self.more_trained()]
        if args.compile:
            for layer in network.model.layers:
                layer.compile(dynamic=True)
        self.optimiser = torch.optim.AdamW(self.trained, lr=args.lr, betas=(0.9, 0.99), weight_decay=0.0)
        self.position, self.step, self.seen, self.answered, self.seconds = Position(), 0, 0, 0, 0.0
        self.stopping = False
        self.held = stream.held_out(self.folder / HELD_OUT)

    @property
    def base(self) -> BaseWeights:
        """The weights below the adapter."""
        return BASES["smollm2"]

    def more_trained(self) -> list[torch.nn.Parameter]:
        """Parameters that are trained besides LoRA."""
        return []

    def loss(self, batch: list[Encoded]) -> tuple[torch.Tensor, int]:
        """(summed loss of a batch's tokens, their number)."""
        raise NotImplementedError

    def held_out_scores(self) -> dict[str, float]:
        """What is logged of the examples that training does not see."""
        raise NotImplementedError

    def adapter(self) -> dict[str, torch.Tensor]:
        return lora_state(self.network)

    def set_adapter(self, state: dict[str, torch.Tensor]) -> None:
        set_lora_state(self.network, state)

    def resume(self) -> bool:
        path = self.folder / STATE
        if not path.is_file():
            return False
        state = torch.load(path, map_location="cpu", weights_only=False)
        self.set_adapter(state["adapter"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.position = Position(**state["position"])
        self.step, self.seen, self.answered = state["step"], state["seen"], state["answered"]
        self.seconds = state["seconds"]
        torch.set_rng_state(state["random"])
        return True

    def save(self) -> None:
        """Write the state under another name first, so that a stop in between leaves the last one whole."""
        state = {
            "adapter": self.adapter(), "optimiser": self.optimiser.state_dict(),
            "position": vars(self.position), "step": self.step, "seen": self.seen, "answered": self.answered,
            "seconds": self.seconds, "random": torch.get_rng_state(),
        }  # fmt: skip
        part = self.folder / (STATE + ".part")
        torch.save(state, part)
        os.replace(part, self.folder / STATE)

    def settings(self) -> dict[str, Any]:
        """What is written beside a finished adapter."""
        return {
            "base": " ".join(self.base.packages), "base_sha256": self.base.sha256, "kind": self.kind,
            "rank": self.args.rank, "alpha": self.args.alpha, "step": self.step, "tokens": self.seen,
            "seconds": round(self.seconds),
        }  # fmt: skip

    def write(self, folder: Path) -> None:
        """Write the finished adapter."""
        save_adapter(self.adapter(), folder, self.settings())

    def log(self, **line: Any) -> None:
        line = {"step": self.step, "tokens": self.seen, "answer_tokens": self.answered,
                "seconds": round(self.seconds), **line}  # fmt: skip
        with (self.folder / CURVE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)

    def take_step(self, batch: list[Encoded], rate: float) -> float:
        """One step of the optimiser; returns the mean loss of a token."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss, count = self.loss(batch)
        (loss / count).backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.step, self.seen, self.answered = self.step + 1, self.seen + sum(map(len, batch)), self.answered + count
        self.position.batch += 1
        return float(loss.detach()) / count

    def train(self, minutes: float, cooldown: bool = False, steps: float = float("inf")) -> None:
        """Train for ``minutes`` or up to step number ``steps``.

        In a cool-down the rate falls linearly to zero and nothing of the run is saved.
        """
        begun = last = saved = measured = time.monotonic()
        recent: list[float] = []
        for batch in self.stream.batches(self.position):
            spent = (time.monotonic() - begun) / 60
            if spent >= minutes or self.stopping or self.step >= steps:
                break
            warm = min(1.0, (self.step + 1) / self.args.warmup)
            rate = self.args.lr * warm * (max(0.0, 1 - spent / minutes) if cooldown else 1.0)
            recent.append(self.take_step(batch, rate))
            now = time.monotonic()
            self.seconds, last = self.seconds + now - last, now
            if self.step % 20 == 0:
                self.log(loss=round(sum(recent) / len(recent), 4), rate=rate)
                recent = []
            if not cooldown and now - saved > 60 * self.args.save_minutes:
                self.save()
                saved = now
            if now - measured > 60 * self.args.measure_minutes:
                self.log(**self.held_out_scores())
                measured = last = time.monotonic()
        if not cooldown:
            self.save()
        if not self.stopping:
            self.log(**self.held_out_scores())


def carry_out(run: Run) -> None:
    """What the command line asks of a run: to train, or to cool down and write a finished adapter."""
    args = run.args
    resumed = run.resume()

    def stop(*_: Any) -> None:
        run.stopping = True

    signal.signal(signal.SIGTERM, stop)
    print(f"step {run.step}, {run.seen} tokens seen", flush=True)
    if not args.cooldown:
        run.train(args.minutes)
        return
    if not resumed:
        sys.exit(f"{args.runs} holds no checkpoint to cool down from; train first with --minutes")
    run.train(args.cooldown, cooldown=True)
    out = args.out or args.runs / f"adapter-{run.step}"
    run.write(out)
    print(f"written: {out}", flush=True)


def run_parser(description: str | None, runs: Path | None) -> argparse.ArgumentParser:
    """The options that all runs have."""
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--minutes", type=float, default=600)
    p.add_argument("--cooldown", type=float, metavar="MINUTES")
    p.add_argument("--out", type=Path, help="where a cool-down writes its adapter")
    p.add_argument("--runs", type=Path, default=runs)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--device", default="cpu", help="cuda: layers need no --compile, and --workers make the examples")
    p.add_argument("--workers", type=int, default=0, help="processes that make examples ahead of the training")
    p.add_argument("--dtype", default="bfloat16", help="of the frozen weights and of what runs through them")
    p.add_argument("--compile", action="store_true", help="compile the layers first: faster steps, a slower start")
    p.add_argument("--rank", type=int, default=32)
    p.add_argument("--alpha", type=float, default=64)
    p.add_argument("--lr", type=float, default=6e-4)
    p.add_argument("--warmup", type=int, default=30, help="steps")
    p.add_argument("--tokens", type=int, default=2600, help="padded tokens of a batch")
    p.add_argument("--longest", type=int, default=2048, help="longer examples are passed over")
    p.add_argument("--save-minutes", type=float, default=5)
    p.add_argument("--measure-minutes", type=float, default=20)
    p.add_argument("--seed", type=int, default=1)
    return p
