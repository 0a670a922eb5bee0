"""Train a causal adapter: LoRA on the base weights of a model, next-token loss on the answers.

python -m training.causal --minutes 600                 start, or go on from the last checkpoint
python -m training.causal --cooldown 30                 let the learning rate of the last checkpoint fall to zero
                                                        and write a finished adapter; the main run stays as it is
python -m training.causal --on ADAPTER --rank 8 --alpha 16
                                                        train a further, small adapter on top of a finished one
python -m training.causal --base qwen --rank 7 --alpha 14
                                                        on the weights of another model, in a folder of its own
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from structdiff.models.adapter import ADAPTER, CONTINUED, WEIGHTS, files_of, has_adapter, merge_causal
from structdiff.models.base_weights import BaseWeights, load_base, sha256_of
from structdiff.place import DEFAULT
from training.attention import use_fast_attention
from training.lora import save_adapter
from training.runs import BASES, Run, carry_out, run_parser
from training.stream import Encoded, Stream

RUNS = Path.home() / ".cache" / "structdiff-training"


def padded(batch: list[Encoded]) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids int64[B, N], where an answer's token stands bool[B, N]); padded on the right."""
    width = max(map(len, batch))
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    wanted = torch.zeros(len(batch), width, dtype=torch.bool)
    for row, one in enumerate(batch):
        ids[row, : len(one)] = torch.tensor(one.prompt + one.answer)
        wanted[row, len(one.prompt) : len(one)] = True
    return ids, wanted


def answer_loss(network: Any, batch: list[Encoded]) -> tuple[torch.Tensor, int]:
    """(summed next-token loss of the answers' tokens, their number); logits are computed at the answers alone.

    Sequences are padded on the right, where causal attention needs no mask.
    """
    ids, wanted = padded(batch)
    hidden = network.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    logits = network.lm_head(hidden[wanted[:, 1:]])
    targets = ids[wanted]
    return F.cross_entropy(logits.float(), targets, reduction="sum"), len(targets)


class CausalRun(Run):
    """Next-token loss on the answers."""

    kind = "causal"

    @property
    def base(self) -> BaseWeights:
        return BASES[self.args.base]

    def loss(self, batch: list[Encoded]) -> tuple[torch.Tensor, int]:
        return answer_loss(self.network, batch)

    @torch.no_grad()
    def held_out_scores(self) -> dict[str, float]:
        totals = [(float(loss), count) for loss, count in (answer_loss(self.network, batch) for batch in self.held)]
        return {"held_out": round(sum(loss for loss, _ in totals) / sum(count for _, count in totals), 4)}

    def settings(self) -> dict[str, Any]:
        on = {"on": sha256_of(self.args.on / WEIGHTS)} if self.args.on else {}
        return super().settings() | on

    def write(self, folder: Path) -> None:
        if not self.args.on:
            super().write(folder)
            return
        save_adapter(self.adapter(), folder, self.settings(), name=CONTINUED)
        for file in files_of(ADAPTER):
            shutil.copy(self.args.on / file, folder / file)


def main() -> None:
    p = run_parser(__doc__, None)
    p.add_argument("--on", type=Path, metavar="ADAPTER", help="the finished adapter that this one continues")
    p.add_argument("--base", choices=BASES, default=DEFAULT, help="the weights below the adapter")
    args = p.parse_args()
    args.runs = args.runs or RUNS / args.base
    base = BASES[args.base]
    network, tokenizer = load_base(base)
    if args.on:
        if has_adapter(args.on, CONTINUED):
            sys.exit(f"{args.on} is continued already; an adapter is continued once")
        merge_causal(network, args.on, base.sha256)
    network.to(getattr(torch, args.dtype))
    if args.device == "cpu":
        use_fast_attention(network)
    carry_out(CausalRun(args, network, Stream(tokenizer, args.seed, args.tokens, args.longest, args.workers)))


if __name__ == "__main__":
    main()
