"""Fine-tune a DiffusionGemma checkpoint with LoRA on your own examples, with the loss of the embedded model.

    python -m training.finetune google/diffusiongemma-26B-A4B-it --data examples.jsonl --out adapter
        --device cuda --dtype bfloat16

``--data`` is JSONL with ``text``, ``schema`` and ``value`` a line; without it the generators of the embedded model are
used. The adapter is written to OUT (peft's format) every ``--save-every`` steps and at the end, and the same command
goes on from it.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, DiffusionGemmaForBlockDiffusion
from transformers.utils import logging

from training.batches import Batch, Batches
from training.data import Example, make_example
from training.evaluate import read_examples
from training.forward import Plain
from training.losses import losses

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
WRAPPED = "base_model.model."
"""What `PeftModel.from_pretrained` expects before the names of parameters."""
WEIGHTS, STATE = "adapter_model.safetensors", "training_state.pt"


def add_adapter(network: Any, rank: int) -> LoraConfig:
    """Put LoRA matrices of ``rank`` beside every attention and feed-forward matrix; only they are trained.

    Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685.
    """
    names = [
        name
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear) and name.rsplit(".", 1)[-1] in TARGETS and "vision" not in name
    ]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names)
    inject_adapter_in_model(config, network)
    return config


def take_step(network: Any, batch: Batch, optimiser: torch.optim.Optimizer, canvases: int = 1) -> float:
    """One step of an optimiser of one group of parameters; returns the denoising loss."""
    loss, denoising, _ = losses(Plain(network), batch, times=canvases, encoder_loss=False)
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(optimiser.param_groups[0]["params"], 1.0)
    optimiser.step()
    return denoising


def finetune(args: argparse.Namespace) -> list[float]:
    """The denoising loss of every step."""
    logging.disable_progress_bar()
    torch.manual_seed(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    dtype = getattr(torch, args.dtype)
    network: Any = DiffusionGemmaForBlockDiffusion.from_pretrained(args.model, dtype=dtype)
    network = network.to(args.device)
    config = add_adapter(network, args.rank)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=args.lr)
    begun = 0
    if (args.out / WEIGHTS).is_file():
        saved = load_file(args.out / WEIGHTS)
        set_peft_model_state_dict(network, {name.removeprefix(WRAPPED): value for name, value in saved.items()})
        state = torch.load(args.out / STATE, weights_only=False)
        optimiser.load_state_dict(state["optimiser"])
        begun = state["step"]
        print(f"going on from step {begun}", flush=True)
    examples = read_examples(args.data) if args.data else []

    def pick(r: random.Random) -> Example:
        return r.choice(examples) if examples else make_example(r)

    ends = network.generation_config.eos_token_id
    batches = Batches(
        tokenizer, network.config.canvas_length, args.tokens, args.seed + begun, args.longest, pick,
        ends[-1] if isinstance(ends, list) else ends, tokenizer.pad_token_id or 0, smallest=1,
    )  # fmt: skip

    def save(step: int) -> None:
        args.out.mkdir(parents=True, exist_ok=True)
        config.base_model_name_or_path = str(args.model)
        config.save_pretrained(args.out)
        weights = get_peft_model_state_dict(network)
        save_file({WRAPPED + name: value.contiguous() for name, value in weights.items()}, args.out / WEIGHTS)
        torch.save({"optimiser": optimiser.state_dict(), "step": step}, args.out / STATE)

    curve = []
    for step in range(begun + 1, args.steps + 1):
        batch = batches.next().to(torch.device(args.device))
        curve.append(take_step(network, batch, optimiser, args.canvases))
        if step % 10 == 0:
            print(f"step {step}  denoising {sum(curve[-10:]) / len(curve[-10:]):.4f}", flush=True)
        if step % args.save_every == 0 or step == args.steps:
            save(step)
    return curve


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", help="a folder or a hub id")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--data", type=Path)
    p.add_argument("--rank", type=int, default=16)
    p.add_argument("--lr", type=float, default=1e-4)
    p.add_argument("--steps", type=int, default=1000)
    p.add_argument("--tokens", type=int, default=1024, help="prompt, answer and canvas tokens of a batch")
    p.add_argument("--longest", type=int, default=2048, help="longer prompts are passed over")
    p.add_argument("--canvases", type=int, default=1, help="noised canvases per prompt")
    p.add_argument("--save-every", type=int, default=100)
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--dtype", default="float32")
    p.add_argument("--seed", type=int, default=0)
    return p


if __name__ == "__main__":
    finetune(parser().parse_args())
