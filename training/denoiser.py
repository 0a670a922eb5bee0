"""Train the denoising adapter of the default model: a second LoRA over the causal model, which reads canvases.

    python -m training.denoiser --adapter ADAPTER --minutes 600     start, or go on from the last checkpoint
    python -m training.denoiser --cooldown 30                       a finished adapter; the run stays as it is

The base weights with the causal adapter added are frozen. They encode prompt and answer once, without gradients; a
canvas of ``--canvas`` places, starting anywhere in the answer, is read by the same weights with the second adapter,
with full attention over the prefix's keys and values and the canvas. Noise is absorbing: a place is the mask token (an
unused special token, whose embedding is trained) or what it is. Predictions are shifted as the causal model's are: the
token before the canvas is fed in front of it, and the output at place i - 1 predicts place i.

A run keeps a copy of the causal adapter that it began with.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface

from structdiff.models.adapted import EMBEDDING
from structdiff.models.adapter import ADAPTER, CONTINUED, causal_digest, files_of, has_adapter, merge_causal
from structdiff.models.base_weights import SMOLLM2, load_base
from training.attention import causal_attention
from training.causal import padded
from training.lora import lora_state, read_adapter, save_adapter, set_lora_state, without_lora
from training.runs import Run, carry_out, run_parser
from training.stream import Encoded, Stream

RUNS = Path.home() / ".cache" / "structdiff-training" / "denoiser"
MASK_TOKEN = "<empty_output>"
ATTENTION = "structdiff_prefix_and_canvas"
CAUSAL = "causal"


@dataclass(frozen=True)
class Canvases:
    """K canvases for each of B sequences, R = B K rows.

    ``start`` int64[R]: the place of the first of their tokens in the sequence. ``truth`` and ``noised`` int64[R, L]:
    the answer's tokens, the end token behind its end, and the same with mask tokens. ``asked`` bool[R, L]: masked
    places up to the first end token.
    """

    start: torch.Tensor
    truth: torch.Tensor
    noised: torch.Tensor
    asked: torch.Tensor


def noised_places(r: random.Random, length: int, whole: float) -> list[bool]:
    """Which of a canvas's places are masked: all of them in a share ``whole`` of the canvases, else later ones more
    often; one at least.

    >>> noised_places(random.Random(0), 3, whole=1.0)
    [True, True, True]
    """
    if r.random() < whole:
        return [True] * length
    level = r.random()
    places = [r.random() < level * (0.5 + (i + 0.5) / length) for i in range(length)]
    return places if any(places) else [*places[:-1], True]


def make_canvases(
    batch: list[Encoded], r: random.Random, *, count: int, length: int, mask: int, end: int, whole: float
) -> Canvases:
    """``count`` canvases for each sequence, the first of which starts with the answer, the others anywhere in it."""
    start, truth, noised, asked = [], [], [], []
    for one in batch:
        for k in range(count):
            begin = 0 if k == 0 else r.randrange(len(one.answer))
            tokens = one.answer[begin : begin + length]
            real = len(tokens)
            tokens = tokens + [end] * (length - real)
            masked = noised_places(r, length, whole)
            if not any(masked[:real]):
                masked[real - 1] = True
            masked[real:] = [masked[real - 1]] * (length - real)  # what is behind the end does not tell where it is
            start.append(len(one.prompt) + begin)
            truth.append(tokens)
            noised.append([mask if hidden else token for token, hidden in zip(tokens, masked, strict=True)])
            asked.append([hidden and i < real for i, hidden in enumerate(masked)])
    return Canvases(torch.tensor(start), torch.tensor(truth), torch.tensor(noised), torch.tensor(asked))


class PrefixAttention:
    """Attention of a network that is causal over whole sequences, or full over a prefix's keys and a canvas.

    ``keys`` and ``values``: of every layer, [B, G, N, D], or None for the causal form. ``hidden`` bool[R, N]: what the
    rows must not see of them; R is a multiple of B, and rows of one sequence follow each other.
    """

    def __init__(self, network: Any) -> None:
        self.state: list[tuple[torch.Tensor, torch.Tensor]] | None = None
        self.hidden = torch.zeros(0, 0, dtype=torch.bool)
        name = f"{ATTENTION}_{id(self)}"
        AttentionInterface.register(name, self)
        network.set_attn_implementation(name)

    def __call__(
        self,
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: Any,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        if self.state is None:
            return causal_attention(module, query, key, value, attention_mask, **options)
        keys, values = self.state[module.layer_idx]
        (R, H, M, D), (B, G, N, _) = query.shape, keys.shape
        K, g = R // B, H // G
        q = (query * options["scaling"]).reshape(B, K, G, g * M, D)
        own = q @ key.reshape(B, K, G, M, D).mT
        read = q.transpose(1, 2).reshape(B, G, K * g * M, D) @ keys.mT
        read = read.view(B, G, K, g * M, N).transpose(1, 2)
        read = read.masked_fill(self.hidden.view(B, K, 1, 1, N), float("-inf"))
        shares = torch.cat([read, own], -1).float().softmax(-1).to(query.dtype)
        before = shares[..., :N].transpose(1, 2).reshape(B, G, K * g * M, N) @ values
        mixed = before.view(B, G, K, g * M, D).transpose(1, 2) + shares[..., N:] @ value.reshape(B, K, G, M, D)
        return mixed.reshape(R, H, M, D).transpose(1, 2), None


class DenoiserRun(Run):
    """The loss of masked places of canvases; ``network`` has the causal adapter in its weights."""

    kind = "denoiser"

    def __init__(self, args: argparse.Namespace, network: Any, stream: Stream, mask: int, end: int) -> None:
        self.mask, self.end = mask, end
        self.attention = PrefixAttention(network)
        embedding = network.get_input_embeddings().weight[mask].detach().float().clone()
        self.embedding = torch.nn.Parameter(embedding)
        super().__init__(args, network, stream)

    def more_trained(self) -> list[torch.nn.Parameter]:
        return [self.embedding]

    def adapter(self) -> dict[str, torch.Tensor]:
        return {**lora_state(self.network), EMBEDDING: self.embedding.detach()}

    def set_adapter(self, state: dict[str, torch.Tensor]) -> None:
        set_lora_state(self.network, {name: value for name, value in state.items() if name != EMBEDDING})
        with torch.no_grad():
            self.embedding.copy_(state[EMBEDDING])

    def settings(self) -> dict[str, Any]:
        causal = causal_digest(self.folder / CAUSAL)
        return {**super().settings(), "causal_sha256": causal, "canvas": self.args.canvas, "mask_token": self.mask}

    def canvases(self, batch: list[Encoded], seed: str, whole: float) -> Canvases:
        options = {"count": self.args.canvases, "length": self.args.canvas, "mask": self.mask, "end": self.end}
        return make_canvases(batch, random.Random(f"{self.args.seed} {seed}"), whole=whole, **options)

    @torch.no_grad()
    def encode(self, ids: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Every layer's keys and values [B, G, N, D] of whole sequences, from the causal model."""
        with without_lora(self.network):
            cache = self.network.model(input_ids=ids, use_cache=True).past_key_values
        return [(layer.keys, layer.values) for layer in cache.layers]

    def logits(self, batch: list[Encoded], canvases: Canvases) -> torch.Tensor:
        """float[P, V] at the asked places, row by row."""
        ids, _ = padded(batch)
        state = self.encode(ids)
        rows = torch.arange(len(canvases.start)) // self.args.canvases
        fed = torch.cat([ids[rows, canvases.start - 1][:, None], canvases.noised], 1)
        table = self.network.get_input_embeddings()
        inputs = torch.where((fed == self.mask)[..., None], self.embedding.to(table.weight.dtype), table(fed))
        places = canvases.start[:, None] - 1 + torch.arange(fed.shape[1])
        self.attention.hidden = torch.arange(ids.shape[1]) >= canvases.start[:, None] - 1
        self.attention.state = state
        try:
            hidden = self.network.model(inputs_embeds=inputs, position_ids=places, use_cache=False).last_hidden_state
        finally:
            self.attention.state = None
        found: torch.Tensor = self.network.lm_head(hidden[:, :-1][canvases.asked]).float()
        return found

    def loss(self, batch: list[Encoded]) -> tuple[torch.Tensor, int]:
        canvases = self.canvases(batch, f"noise {self.step}", self.args.whole)
        targets = canvases.truth[canvases.asked]
        return F.cross_entropy(self.logits(batch, canvases), targets, reduction="sum"), len(targets)

    @torch.no_grad()
    def held_out_scores(self) -> dict[str, float]:
        """Loss and share of right tokens of whole masks, and of the noise of training."""
        scores = {}
        for name, whole in (("whole", 1.0), ("noised", 0.0)):
            loss = right = count = 0.0
            for number, batch in enumerate(self.held):
                canvases = self.canvases(batch, f"held out {number}", whole)
                logits, targets = self.logits(batch, canvases), canvases.truth[canvases.asked]
                loss += float(F.cross_entropy(logits, targets, reduction="sum"))
                right += float((logits.argmax(-1) == targets).sum())
                count += len(targets)
            scores |= {f"held_out_{name}": round(loss / count, 4), f"right_{name}": round(right / count, 4)}
        return scores


def add_causal(network: Any, folder: Path, adapter: Path | None) -> None:
    """Add the run's own copy of the causal adapter to the weights; made from ``adapter`` when the run begins."""
    copied = folder / CAUSAL
    if not copied.is_dir():
        if adapter is None:
            sys.exit(f"{folder} holds no run yet; name the causal adapter with --adapter")
        matrices, scale = read_adapter(adapter, SMOLLM2.sha256)
        if adapter.is_dir():  # byte for byte: the finished denoiser names the causal adapter by its digest
            copied.mkdir(parents=True)
            for name in (ADAPTER, CONTINUED) if has_adapter(adapter, CONTINUED) else (ADAPTER,):
                for file in files_of(name):
                    shutil.copy(adapter / file, copied / file)
        else:
            rank = next(iter(matrices[name] for name in sorted(matrices) if name.endswith(".a"))).shape[0]
            settings = {"base_sha256": SMOLLM2.sha256, "kind": "causal", "rank": rank, "alpha": scale * rank}
            save_adapter(matrices, copied, settings, torch.float32)
    merge_causal(network, copied, SMOLLM2.sha256)


def main() -> None:
    p = run_parser(__doc__, RUNS)
    p.add_argument("--adapter", type=Path, help="the causal adapter to begin with: a folder, or a run's state.pt")
    p.add_argument("--canvas", type=int, default=64, help="places of a canvas")
    p.add_argument("--canvases", type=int, default=6, help="canvases of each encoded prompt")
    p.add_argument("--whole", type=float, default=0.6, help="share of canvases that are masked wholly")
    args = p.parse_args()
    network, tokenizer = load_base(SMOLLM2)
    add_causal(network, args.runs, args.adapter)
    stream = Stream(tokenizer, args.seed, args.tokens, args.longest, args.workers)
    mask = tokenizer.convert_tokens_to_ids(MASK_TOKEN)
    carry_out(DenoiserRun(args, network.to(getattr(torch, args.dtype)), stream, mask, tokenizer.eos_token_id))


if __name__ == "__main__":
    main()
