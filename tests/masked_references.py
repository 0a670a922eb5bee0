"""Short readings of the published networks and samplers of masked diffusion models, to compare with.

A model here is a function ``(ids, visible bool[T, T]) -> logits [T, V]`` of a whole sequence: nothing is cached. The
mask token is never predicted; the published code does not forbid it, and a trained model does not predict it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

Reading = Callable[[list[int], torch.Tensor], torch.Tensor]


def of_network(network: Any, mask: int) -> Reading:
    """A transformers network."""
    config = network.config

    @torch.no_grad()
    def read(ids: list[int], visible: torch.Tensor) -> torch.Tensor:
        def additive(seen: torch.Tensor) -> torch.Tensor:
            return torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[None, None]

        masks: Any = additive(visible)
        if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
            at = torch.arange(len(ids))
            near = (at[:, None] - at[None]).abs() < config.sliding_window
            masks = {"full_attention": masks, "sliding_attention": additive(visible & near)}
        logits = network(torch.tensor([ids]), attention_mask=masks).logits[0].float()
        logits[:, mask] = -torch.inf
        return logits

    return read


def rms(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)


def turned(x: torch.Tensor, theta: float, size: int) -> torch.Tensor:
    """The first ``size`` of each head's dimensions of [H, T, D] turned to their positions, halves paired."""
    angle = torch.arange(x.shape[1])[:, None] / theta ** (torch.arange(0, size, 2) / size)
    cos, sin = angle.cos().to(x), angle.sin().to(x)
    a, b = x[..., : size // 2], x[..., size // 2 : size]
    return torch.cat([a * cos - b * sin, b * cos + a * sin, x[..., size:]], -1)


def attended(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """[T, H D] of queries [H, T, D] over keys [G, T, D]."""
    k, v = (x.repeat_interleave(len(q) // len(x), 0) for x in (k, v))
    scores = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~visible, -torch.inf)
    return (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)


def heads(x: torch.Tensor, count: int) -> torch.Tensor:
    return x.unflatten(-1, (count, -1)).transpose(0, 1)


def llada_network(w: dict[str, torch.Tensor], c: dict[str, Any], mask: int) -> Reading:
    """LLaDA's weights by their published names."""

    def read(ids: list[int], visible: torch.Tensor) -> torch.Tensor:
        x = w["model.transformer.wte.weight"][torch.tensor(ids)]
        for i in range(c["n_layers"]):
            b = f"model.transformer.blocks.{i}."
            h = rms(x, w[b + "attn_norm.weight"], c["rms_norm_eps"])
            q, k, v = (heads(h @ w[f"{b}{p}_proj.weight"].T, n) for p, n in
                       (("q", c["n_heads"]), ("k", c["n_kv_heads"]), ("v", c["n_kv_heads"])))  # fmt: skip
            q, k = (turned(one, c["rope_theta"], one.shape[-1]) for one in (q, k))
            x = x + attended(q, k, v, visible) @ w[b + "attn_out.weight"].T
            h = rms(x, w[b + "ff_norm.weight"], c["rms_norm_eps"])
            h = F.silu(h @ w[b + "ff_proj.weight"].T) * (h @ w[b + "up_proj.weight"].T)
            x = x + h @ w[b + "ff_out.weight"].T
        logits = rms(x, w["model.transformer.ln_f.weight"], c["rms_norm_eps"]) @ w["model.transformer.ff_out.weight"].T
        logits[:, mask] = -torch.inf
        return logits.float()

    return read


def llada2_network(w: dict[str, torch.Tensor], c: dict[str, Any], mask: int) -> Reading:
    """LLaDA2's weights by their published names: one matrix for queries, keys and values, experts chosen in groups."""

    def gated(at: str, x: torch.Tensor) -> torch.Tensor:
        inner = F.silu(x @ w[at + "gate_proj.weight"].T) * (x @ w[at + "up_proj.weight"].T)
        return inner @ w[at + "down_proj.weight"].T

    def experts(at: str, x: torch.Tensor) -> torch.Tensor:
        """One token [H]: the best groups by their two best experts, then the best experts of these groups."""
        share = torch.sigmoid(w[at + "gate.weight"] @ x)
        wanted = share + w[at + "gate.expert_bias"]
        groups = wanted.view(c["n_group"], -1)
        chosen = groups.topk(2, -1).values.sum(-1).topk(c["topk_group"]).indices.tolist()
        size = groups.shape[1]
        open = [e for g in chosen for e in range(g * size, (g + 1) * size)]
        best = sorted(open, key=lambda e: -float(wanted[e]))[: c["num_experts_per_tok"]]
        total = sum(float(share[e]) for e in best)
        parts = [share[e] / total * gated(f"{at}experts.{e}.", x) for e in best]
        return c["routed_scaling_factor"] * sum(parts) + gated(at + "shared_experts.", x)

    def read(ids: list[int], visible: torch.Tensor) -> torch.Tensor:
        x = w["model.word_embeddings.weight"][torch.tensor(ids)]
        H, G, eps = c["num_attention_heads"], c["num_key_value_heads"], c["rms_norm_eps"]
        for i in range(c["num_hidden_layers"]):
            b = f"model.layers.{i}."
            h = rms(x, w[b + "input_layernorm.weight"], eps)
            every = heads(h @ w[b + "attention.query_key_value.weight"].T, H + 2 * G)
            q, k, v = every.split([H, G, G])
            q, k = (rms(one, w[f"{b}attention.{n}_layernorm.weight"], eps) for one, n in ((q, "query"), (k, "key")))
            size = int(c["head_dim"] * c["partial_rotary_factor"])
            q, k = (turned(one, c["rope_theta"], size) for one in (q, k))
            x = x + attended(q, k, v, visible) @ w[b + "attention.dense.weight"].T
            h = rms(x, w[b + "post_attention_layernorm.weight"], eps)
            if i < c["first_k_dense_replace"]:
                x = x + gated(b + "mlp.", h)
            else:
                x = x + torch.stack([experts(b + "mlp.", one) for one in h])
        logits = rms(x, w["model.norm.weight"], eps) @ w["lm_head.weight"].T
        logits[:, mask] = -torch.inf
        return logits.float()

    return read


def everywhere(length: int) -> torch.Tensor:
    return torch.ones(length, length, dtype=torch.bool)


def blocks(length: int, block: int, first: int = 0) -> torch.Tensor:
    """bool[T, T]: a place sees its own block and those before it; ``first`` places stand before the first block."""
    number = (torch.arange(length) - first) // block
    return number[None] <= number[:, None]


def llada(model: Reading, prompt: list[int], mask: int, length: int, block: int, steps: int) -> list[int]:
    """All masks from the start, filled block by block by the probability of the best token."""
    x = prompt + [mask] * length
    each = steps * block // length
    for end in range(len(prompt) + block, len(x) + 1, block):
        for step in range(each):
            sure, best = model(x, everywhere(len(x))).softmax(-1).max(-1)
            for i, token in enumerate(x):
                if token != mask or i >= end:
                    sure[i] = -torch.inf
            for i in sure.topk(block // each + (step < block % each)).indices.tolist():
                x[i] = int(best[i])
    return x[len(prompt) :]


def dream(model: Reading, prompt: list[int], mask: int, length: int, steps: int, order: str) -> list[int]:
    """The output at a place predicts the next one; all masks are open, more of them the later the time."""
    x = prompt + [mask] * length
    times = torch.linspace(1, 1e-3, steps + 1)
    for step in range(steps):
        logits = model(x, everywhere(len(x)))
        shares = torch.cat([logits[:1], logits[:-1]]).softmax(-1)
        first, second = shares.topk(2, -1).values.unbind(-1)
        entropy = -(shares * torch.log(shares + 1e-10)).sum(-1)
        sure = {"maskgit_plus": first, "topk_margin": first - second, "entropy": -entropy}[order]
        open = [i for i, token in enumerate(x) if token == mask]
        sure[[i for i in range(len(x)) if i not in open]] = -torch.inf
        due = int(len(open) * (1 - times[step + 1] / times[step])) if step < steps - 1 else len(open)
        for i in sure.topk(due).indices.tolist():
            x[i] = int(shares[i].argmax())
    return x[len(prompt) :]


def a2d_whole(model: Reading, prompt: list[int], mask: int, length: int, block: int, steps: int) -> list[int]:
    """dLLM's sampler of masked language models: as LLaDA's, with shares of what is open, rounded."""
    x = prompt + [mask] * length
    each = math.ceil(steps / math.ceil(length / block))
    for start in range(len(prompt), len(x), block):
        open, end = min(block, len(x) - start), start + block
        for left in range(each, 0, -1):
            due = round(open * (1 - (left - 1) / left))
            open -= due
            if due:
                sure, best = model(x, everywhere(len(x))).softmax(-1).max(-1)
                for i, token in enumerate(x):
                    if token != mask or i >= end:
                        sure[i] = -torch.inf
                for i in sure.topk(due).indices.tolist():
                    x[i] = int(best[i])
    return x[len(prompt) :]


def a2d_blocks(
    model: Reading, prompt: list[int], mask: int, length: int, block: int, steps: int, shifted: bool
) -> list[int]:
    """dLLM's sampler of block diffusion: blocks are counted from the end of the prompt, in both directions."""
    x = list(prompt)
    while len(x) < len(prompt) + length:
        start = len(x)
        x += [mask] * block
        open = block
        for left in range(steps, 0, -1):
            due = round(open * (1 - (left - 1) / left))
            open -= due
            if due:
                logits = model(x, blocks(len(x), block, len(prompt) % block))
                logits = logits[start - 1 : -1] if shifted else logits[start:]
                sure, best = logits.softmax(-1).max(-1)
                sure[torch.tensor(x[start:]) != mask] = -torch.inf
                for i in sure.topk(due).indices.tolist():
                    x[start + i] = int(best[i])
    return x[len(prompt) :]


def block_diffusion(
    model: Reading,
    prompt: list[int],
    mask: int,
    length: int,
    block: int,
    steps: int,
    order: str,
    threshold: float = 0.0,
    generator: torch.Generator | None = None,
    temperature: float = 1.0,
) -> list[int]:
    """SDAR's and LLaDA2's: blocks are counted from the prompt's first token; greedy without a generator."""
    total = -(-(len(prompt) + length) // block) * block
    x = prompt + [mask] * (total - len(prompt))
    for end in range(len(prompt) // block * block + block, total + 1, block):
        for step in range(steps):
            own = x[end - block : end]
            open = torch.tensor([token == mask for token in own])
            if not open.any():
                break
            shares = (model(x[:end], blocks(end, block))[end - block :] / temperature).softmax(-1)
            token = shares.argmax(-1) if generator is None else torch.multinomial(shares, 1, generator=generator)[:, 0]
            sure = shares.gather(-1, token[:, None])[:, 0].masked_fill(~open, -torch.inf)
            due = block // steps + (step < block % steps)
            if order == "sequential":
                first = int(open.int().argmax())
                chosen = [i for i in range(first, min(first + due, block)) if open[i]]
            elif order == "dynamic" and int((sure > threshold).sum()) >= due:
                chosen = torch.nonzero(sure > threshold)[:, 0].tolist()
            else:
                chosen = sure.topk(min(due, int(open.sum()))).indices.tolist()
            for i in chosen:
                x[end - block + i] = int(token[i])
    return x[len(prompt) :]


def fast_dllm(
    model: Reading, prompt: list[int], mask: int, length: int, block: int, small: int, threshold: float
) -> list[int]:
    """Fast-dLLM v2: a whole block gives the first token of the next one; the others are found in small blocks."""
    x = list(prompt)
    while len(x) < len(prompt) + length:
        if len(x) % block == 0:
            x.append(int(model(x, blocks(len(x), block))[-1].argmax()))
        end = -(-len(x) // block) * block
        x += [mask] * (end - len(x))
        for start in range(end - block, end, small):
            while mask in x[start : start + small]:
                logits = model(x, blocks(len(x), block))
                inside = torch.cat([logits[end - block : end - block + 1], logits[end - block : end - 1]])
                shares = inside[start - end + block :][:small].softmax(-1)
                sure, best = shares.max(-1)
                open = torch.tensor(x[start : start + small]) == mask
                sure = sure.masked_fill(~open, -torch.inf)
                for i in {int(sure.argmax()), *torch.nonzero(sure > threshold)[:, 0].tolist()}:
                    x[start + i] = int(best[i])
    return x[len(prompt) :]


def causal_prefix(
    model: Reading, prompt: list[int], mask: int, length: int, canvas: int, threshold: float, shifted: bool
) -> list[int]:
    """A canvas sees itself and a causal prefix; shifted, the last token before it is read with it."""
    x = list(prompt)
    while len(x) < len(prompt) + length:
        start = len(x)
        x += [mask] * canvas
        while mask in x:
            visible = torch.ones(len(x), len(x), dtype=torch.bool).tril()
            visible[start - shifted :] = True
            logits = model(x, visible)
            sure, best = (logits[start - 1 : -1] if shifted else logits[start:]).softmax(-1).max(-1)
            sure[torch.tensor(x[start:]) != mask] = -torch.inf
            for i in {int(sure.argmax()), *torch.nonzero(sure > threshold)[:, 0].tolist()}:
                x[start + i] = int(best[i])
    return x[len(prompt) :]
