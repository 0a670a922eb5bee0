"""Train the causal adapter of the default model: LoRA on SmolLM2-135M-Instruct, next-token loss on the answers.

    python -m training.causal --minutes 600                 start, or go on from the last checkpoint
    python -m training.causal --cooldown 30                 let the learning rate of the last checkpoint fall to zero
                                                            and write a finished adapter; the main run stays as it is

State (adapter, optimiser, step, position in the data, random state) is written every few minutes, and when the process
is asked to stop (SIGTERM); the same command goes on where it was. `curve.jsonl` has one line for every evaluation.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from structdiff.models.base_weights import BASE, load_base
from training.attention import use_fast_attention
from training.batches import encode_prompt
from training.lora import add_lora, lora_state, save_adapter, set_lora_state
from training.mixture import make_training_example

RUNS = Path.home() / ".cache" / "structdiff-training" / "causal"
STATE, CURVE = "state.pt", "curve.jsonl"
CHUNK = 256
HELD_OUT, HELD_OUT_EXAMPLES = "held_out.jsonl", 60


@dataclass(frozen=True)
class Encoded:
    """Token ids of a prompt, and of its answer with the end token."""

    prompt: list[int]
    answer: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


@dataclass
class Position:
    """Where a stream of batches is: the chunk of examples, and the batch in it."""

    chunk: int = 0
    batch: int = 0


class Stream:
    """An endless stream of batches whose order is a function of ``seed``; `Position` says where it goes on.

    Example number i is made from the seed and i alone. Chunks of `CHUNK` examples are sorted by length and cut into
    batches of at most ``tokens`` padded tokens; examples longer than ``longest`` are passed over.
    """

    def __init__(self, tokenizer: Any, seed: int, tokens: int, longest: int) -> None:
        self.tokenizer, self.seed, self.tokens, self.longest = tokenizer, seed, tokens, longest

    def encode(self, example: dict[str, Any]) -> Encoded:
        answer = self.tokenizer(example["answer"], add_special_tokens=False)["input_ids"]
        return Encoded(encode_prompt(self.tokenizer, example["prompt"]), [*answer, self.tokenizer.eos_token_id])

    def chunk(self, number: int) -> list[list[Encoded]]:
        """The batches of a chunk, in the order of training."""
        made = (
            make_training_example(random.Random(f"{self.seed} {i}"))
            for i in range(number * CHUNK, (number + 1) * CHUNK)
        )
        batches = self.batched([self.encode(one) for one in made])
        random.Random(f"{self.seed} order {number}").shuffle(batches)
        return batches

    def batched(self, encoded: list[Encoded]) -> list[list[Encoded]]:
        """Batches of similar length."""
        batches: list[list[Encoded]] = [[]]
        for one in sorted((e for e in encoded if len(e) <= self.longest), key=len):
            if batches[-1] and (len(batches[-1]) + 1) * len(one) > self.tokens:
                batches.append([])
            batches[-1].append(one)
        return batches

    def batches(self, position: Position) -> Iterator[list[Encoded]]:
        """Batches from ``position`` on, which is moved along."""
        while True:
            batches = self.chunk(position.chunk)
            while position.batch < len(batches):
                position.batch += 1
                yield batches[position.batch - 1]
            position.chunk, position.batch = position.chunk + 1, 0


def answer_loss(network: Any, batch: list[Encoded]) -> tuple[torch.Tensor, int]:
    """(summed next-token loss of the answers' tokens, their number); logits are computed at the answers alone.

    Sequences are padded on the right, where causal attention needs no mask.
    """
    width = max(map(len, batch))
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    wanted = torch.zeros(len(batch), width, dtype=torch.bool)
    for row, one in enumerate(batch):
        ids[row, : len(one)] = torch.tensor(one.prompt + one.answer)
        wanted[row, len(one.prompt) : len(one)] = True
    hidden = network.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    logits = network.lm_head(hidden[wanted[:, 1:]])
    targets = ids[wanted]
    return F.cross_entropy(logits.float(), targets, reduction="sum"), len(targets)


@torch.no_grad()
def held_out_loss(network: Any, batches: list[list[Encoded]]) -> float:
    """Mean loss of an answer's token over examples that training does not see."""
    totals = [(float(loss), count) for loss, count in (answer_loss(network, batch) for batch in batches)]
    return sum(loss for loss, _ in totals) / sum(count for _, count in totals)


class Run:
    """A training run in a folder."""

    def __init__(self, args: argparse.Namespace) -> None:
        torch.manual_seed(args.seed)
        torch.set_num_threads(args.threads)
        self.args, self.folder = args, args.runs
        self.folder.mkdir(parents=True, exist_ok=True)
        self.network, tokenizer = load_base(dtype=getattr(torch, args.dtype))
        use_fast_attention(self.network)
        self.trained = add_lora(self.network, args.rank, args.alpha)
        self.optimiser = torch.optim.AdamW(self.trained, lr=args.lr, betas=(0.9, 0.99), weight_decay=0.0)
        self.stream = Stream(tokenizer, args.seed, args.tokens, args.longest)
        self.position, self.step, self.seen, self.answered, self.seconds = Position(), 0, 0, 0, 0.0
        self.stopping = False
        self.held = self.held_out()

    def held_out(self) -> list[list[Encoded]]:
        """Batches of examples that training does not see; made once for a run, so that its curve stays comparable."""
        path = self.folder / HELD_OUT
        if not path.is_file():
            r = [random.Random(f"held out {self.args.seed} {i}") for i in range(HELD_OUT_EXAMPLES)]
            lines = [json.dumps(make_training_example(one), ensure_ascii=False) for one in r]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        examples = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return self.stream.batched([self.stream.encode(one) for one in examples])

    def resume(self) -> bool:
        path = self.folder / STATE
        if not path.is_file():
            return False
        state = torch.load(path, weights_only=False)
        set_lora_state(self.network, state["adapter"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.position = Position(**state["position"])
        self.step, self.seen, self.answered = state["step"], state["seen"], state["answered"]
        self.seconds = state["seconds"]
        torch.set_rng_state(state["random"])
        return True

    def save(self) -> None:
        """Write the state under another name first, so that a stop in between leaves the last one whole."""
        state = {
            "adapter": lora_state(self.network), "optimiser": self.optimiser.state_dict(),
            "position": vars(self.position), "step": self.step, "seen": self.seen, "answered": self.answered,
            "seconds": self.seconds, "random": torch.get_rng_state(),
        }  # fmt: skip
        part = self.folder / (STATE + ".part")
        torch.save(state, part)
        os.replace(part, self.folder / STATE)

    def settings(self) -> dict[str, Any]:
        return {
            "base": f"{BASE.package}=={BASE.version}", "base_sha256": BASE.sha256, "kind": "causal",
            "rank": self.args.rank, "alpha": self.args.alpha, "step": self.step, "tokens": self.seen,
            "seconds": round(self.seconds),
        }  # fmt: skip

    def log(self, **line: Any) -> None:
        line = {"step": self.step, "tokens": self.seen, "answer_tokens": self.answered,
                "seconds": round(self.seconds), **line}  # fmt: skip
        with (self.folder / CURVE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)

    def take_step(self, batch: list[Encoded], rate: float) -> float:
        """One step of the optimiser; returns the mean loss of an answer's token."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss, count = answer_loss(self.network, batch)
        (loss / count).backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.step, self.seen, self.answered = self.step + 1, self.seen + sum(map(len, batch)), self.answered + count
        return float(loss.detach()) / count

    def train(self, minutes: float, cooldown: bool = False) -> None:
        """Train for ``minutes``; in a cool-down the rate falls linearly to zero and nothing of the run is saved."""
        begun = last = saved = measured = time.monotonic()
        recent: list[float] = []
        for batch in self.stream.batches(self.position):
            now = time.monotonic()
            spent = (now - begun) / 60
            if spent >= minutes or self.stopping:
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
                self.measure()
                measured = last = time.monotonic()
        if not cooldown:
            self.save()
        if not self.stopping:
            self.measure()

    def measure(self) -> None:
        self.log(held_out=round(held_out_loss(self.network, self.held), 4))


def main() -> None:
    args = parser().parse_args()
    run = Run(args)
    resumed = run.resume()

    def stop(*_: Any) -> None:
        run.stopping = True

    signal.signal(signal.SIGTERM, stop)
    print(f"step {run.step}, {run.seen} tokens seen", flush=True)
    if args.cooldown:
        if not resumed:
            sys.exit(f"{args.runs} holds no checkpoint to cool down from; train first with --minutes")
        run.train(args.cooldown, cooldown=True)
        out = args.out or args.runs / f"adapter-{run.step}"
        save_adapter(run.network, out, run.settings())
        print(f"written: {out}", flush=True)
        return
    run.train(args.minutes)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--minutes", type=float, default=600)
    p.add_argument("--cooldown", type=float, metavar="MINUTES")
    p.add_argument("--out", type=Path, help="where a cool-down writes its adapter")
    p.add_argument("--runs", type=Path, default=RUNS)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--dtype", default="bfloat16", help="of the frozen weights and of what runs through them")
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


if __name__ == "__main__":
    main()
