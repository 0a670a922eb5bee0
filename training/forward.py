"""The network's two passes as training needs them, in bf16 and with several canvases per encoded prompt.

`Plain` runs transformers' own modules, for any checkpoint of the class. `Fused` computes the same from the same
parameters for networks with one expert: the keys of a prompt are shared by its canvases instead of copied, products are
in bf16, and `torch.compile` joins what lies between them. Tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch.nn.functional import gelu

Tensor = torch.Tensor


class Forward(Protocol):
    """What the losses need of a network. A state is what the decoder reads of an encoded prompt."""

    vocab: int
    score: Callable[[Tensor, Tensor], Tensor]

    def encode(self, ids: Tensor, logits: bool) -> tuple[Any, Tensor | None]:
        """(state, next-token logits [B, N, V] or None) of int64[B, N], padded on the right."""
        ...

    def decode(
        self, state: Any, canvas: Tensor, visible: Tensor, length: int, feedback: Tensor | None, has: Tensor | None
    ) -> Tensor:
        """Logits [B T, L, V] of int64[B T, L] canvases, T to a prompt; ``visible`` int64[B]: tokens that a canvas
        follows, ``length`` their maximum; ``feedback`` self-conditioning logits of the rows in ``has`` bool[B T]."""
        ...


class RepeatedCache:
    """The encoder's cache cut to ``length`` tokens, each row ``times`` times; what the decoder reads of a cache."""

    is_compileable = False

    def __init__(self, cache: Any, length: int, times: int) -> None:
        self.layers = [_Layer(x.keys[:, :, :length], x.values[:, :, :length], times) for x in cache.layers]


class _Layer:
    def __init__(self, keys: Tensor, values: Tensor, times: int) -> None:
        self.keys, self.values = keys.repeat_interleave(times, 0), values.repeat_interleave(times, 0)


class Plain:
    """transformers' own modules."""

    def __init__(self, network: Any) -> None:
        self.network, self.vocab, self.score = network, network.config.text_config.vocab_size, cross_entropies

    def encode(self, ids: Tensor, logits: bool) -> tuple[Any, Tensor | None]:
        encoded = self.network.model.encoder(input_ids=ids)
        if not logits:
            return encoded.cache, None
        cap = self.network.final_logit_softcapping
        return encoded.cache, torch.tanh(self.network.lm_head(encoded.last_hidden_state) / cap) * cap

    def decode(
        self, state: Any, canvas: Tensor, visible: Tensor, length: int, feedback: Tensor | None, has: Tensor | None
    ) -> Tensor:
        times, L, on = len(canvas) // len(visible), canvas.shape[1], canvas.device
        first = visible.repeat_interleave(times, 0)[:, None]
        written = torch.ones(len(canvas), L, dtype=torch.bool, device=on)
        seen = torch.cat([torch.arange(length, device=on)[None] < first, written], 1)
        mask = seen[:, None, None, :].expand(-1, 1, L, -1)
        return self.network(
            decoder_input_ids=canvas,
            cache=RepeatedCache(state, length, times),
            decoder_attention_mask=dict.fromkeys(set(self.network.config.text_config.layer_types), mask),
            decoder_position_ids=first + torch.arange(L, device=on)[None],
            self_conditioning_logits=feedback,
            self_conditioning_mask=has,
        ).logits


Weights = dict[str, Tensor]
Turn = tuple[Tensor, Tensor]


class Fused:
    """The same functions of a network with one expert; raises `ValueError` for another.

    With ``compiled`` a layer is one compiled function that all layers of its kind share; batches should then have few
    different shapes (`Batches` with widths), for each is compiled once.
    """

    def __init__(self, network: Any, compiled: bool = False, dtype: torch.dtype = torch.bfloat16) -> None:
        config = network.config.text_config
        if config.num_experts != 1:
            raise ValueError(f"the fused pass is written for one expert and the network has {config.num_experts}")
        self.network, self.vocab, self.dtype = network, config.vocab_size, dtype
        self.kinds, self.eps, self.cap = list(config.layer_types), config.rms_norm_eps, config.final_logit_softcapping
        self.kv, self.groups = config.num_key_value_heads, config.num_attention_heads // config.num_key_value_heads
        self.dim, self.scale = config.head_dim, config.hidden_size**0.5
        if compiled:
            torch._dynamo.config.recompile_limit = 128
        wrap: Callable[[Any], Any] = torch.compile(dynamic=False) if compiled else lambda function: function
        self.reads, self.denoises = wrap(self.encoder_layer), wrap(self.decoder_layer)
        self.starts, self.ends, self.score = wrap(self.canvas_input), wrap(self.logits), wrap(cross_entropies)

    def encode(self, ids: Tensor, logits: bool) -> tuple[Any, Tensor | None]:
        w = self.weights()
        turns = self.turns(torch.arange(ids.shape[1])[None])
        x, states = self.embed(w[""], ids), []
        for i, kind in enumerate(self.kinds):
            x, state = self.reads(w[f"layers.{i}."], x, turns[kind])
            states.append(state)
        return (w, states), self.ends(w[""], x) if logits else None

    def decode(
        self, state: Any, canvas: Tensor, visible: Tensor, length: int, feedback: Tensor | None, has: Tensor | None
    ) -> Tensor:
        w, states = state
        times, L = len(canvas) // len(visible), canvas.shape[1]
        turns = self.turns(visible.repeat_interleave(times, 0)[:, None] + torch.arange(L)[None])
        N = states[0][0].shape[2]  # what lies behind `length` is hidden like any other padding
        mask = torch.zeros(len(visible), N).masked_fill(torch.arange(N)[None] >= visible[:, None], -1e9)
        if feedback is not None and has is None:
            has = torch.ones(len(canvas), dtype=torch.bool)
        x = self.starts(w[""], self.embed(w[""], canvas), feedback, has)
        for i, kind in enumerate(self.kinds):
            x = self.denoises(w[f"layers.{i}."], x, turns[kind], states[i], mask)
        return self.ends(w[""], x)

    def weights(self) -> dict[str, Weights]:
        """Parameters by layer, matrices in the fused type; gradients flow to the network's own."""
        found: dict[str, Weights] = {f"layers.{i}.": {} for i in range(len(self.kinds))} | {"": {}}
        for name, p in self.network.named_parameters():
            if "vision" in name:
                continue
            name = name.removeprefix("model.").removeprefix("encoder.language_model.")
            at = next((layer for layer in found if layer and name.startswith(layer)), "")
            found[at][name.removeprefix(at)] = p.to(self.dtype) if p.ndim > 1 else p
        return found

    def turns(self, positions: Tensor) -> dict[str, Turn]:
        """Cosines and sines [B, 1, N, D] of the rotary positions, by the kind of a layer."""
        rotary = self.network.model.encoder.language_model.rotary_emb
        found = {kind: rotary(torch.zeros(()), positions, kind) for kind in set(self.kinds)}
        return {kind: (cos[:, None], sin[:, None]) for kind, (cos, sin) in found.items()}

    def embed(self, w: Weights, ids: Tensor) -> Tensor:
        return torch.nn.functional.embedding(ids, w["embed_tokens.weight"]).float() * self.scale

    # --- what torch.compile sees: tensors in, tensors out ---

    def encoder_layer(self, w: Weights, x: Tensor, turn: Turn) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(hidden [B, N, H], (keys, values)) of one causal layer."""
        B, N, _ = x.shape
        q, k, v = self.project(w, x, turn)
        scores = (q.reshape(B, self.kv, self.groups * N, self.dim) @ k.mT).float()
        later = torch.ones(N, N, dtype=torch.bool).triu(1)
        scores = scores.view(B, self.kv, self.groups, N, N).masked_fill(later, -1e9)
        probabilities = scores.softmax(-1).to(self.dtype).view(B, self.kv, self.groups * N, N)
        return self.rest(w, x, (probabilities @ v).view(B, -1, N, self.dim)), (k, v)

    def decoder_layer(self, w: Weights, x: Tensor, turn: Turn, state: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        """Hidden [B T, L, H] of one layer that reads the prompt's keys [B, K, N, D] and its own canvas."""
        (R, L, _), (B, N), D = x.shape, mask.shape, self.dim
        T = R // B
        q, k, v = self.project(w, x, turn)
        keys, values = state
        own = (q.reshape(R, self.kv, self.groups * L, D) @ k.mT).float().view(B, T, self.kv, self.groups * L, L)
        shared = q.reshape(B, T, self.kv, self.groups * L, D).transpose(1, 2).reshape(B, self.kv, -1, D)
        read = (shared @ keys.mT).float() + mask[:, None, None]
        read = read.view(B, self.kv, T, self.groups * L, N).transpose(1, 2)
        probabilities = torch.cat([read, own], -1).softmax(-1).to(self.dtype)
        behind = probabilities[..., N:].reshape(R, self.kv, self.groups * L, L) @ v
        before = probabilities[..., :N].transpose(1, 2).reshape(B, self.kv, -1, N) @ values
        before = before.view(B, self.kv, T, self.groups * L, D).transpose(1, 2).reshape(R, self.kv, -1, D)
        return self.rest(w, x, (behind + before).view(R, -1, L, D))

    def canvas_input(self, w: Weights, x: Tensor, feedback: Tensor | None, has: Tensor | None) -> Tensor:
        """Embedded tokens with the self-conditioning signal."""
        if feedback is not None and has is not None:
            soft = (feedback.float().softmax(-1).to(self.dtype) @ w["embed_tokens.weight"]).float() * self.scale
            s = self.norm(soft * has[:, None, None], w["decoder.self_conditioning.pre_norm.weight"])
            x = x + self.gated(w, "decoder.self_conditioning.", s)
        return self.norm(x)

    def logits(self, w: Weights, hidden: Tensor) -> Tensor:
        x = self.norm(hidden, w["norm.weight"]).to(self.dtype) @ w["embed_tokens.weight"].T
        return torch.tanh(x.float() / self.cap) * self.cap if self.cap else x.float()

    def norm(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        x = x.float()
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)
        return x if weight is None else x * weight

    def gated(self, w: Weights, at: str, x: Tensor) -> Tensor:
        x = x.to(self.dtype)
        gate, up = x @ w[f"{at}gate_proj.weight"].T, x @ w[f"{at}up_proj.weight"].T
        return (gelu(gate.float(), approximate="tanh") * up).to(self.dtype) @ w[f"{at}down_proj.weight"].T

    def heads(self, x: Tensor, weight: Tensor | None, turn: Turn | None) -> Tensor:
        """[B, N, H D] as [B, H, N, D], normalised and turned to its positions."""
        x = self.norm(x.unflatten(-1, (-1, self.dim)), weight).transpose(1, 2)
        if turn is not None:
            a, b = x.chunk(2, -1)
            x = x * turn[0] + torch.cat([-b, a], -1) * turn[1]
        return x.to(self.dtype)

    def project(self, w: Weights, x: Tensor, turn: Turn) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values; where there is no projection of values, keys are values."""
        x = self.norm(x, w["input_layernorm.weight"]).to(self.dtype)
        q, key = x @ w["self_attn.q_proj.weight"].T, x @ w["self_attn.k_proj.weight"].T
        value = x @ w["self_attn.v_proj.weight"].T if "self_attn.v_proj.weight" in w else key
        return (
            self.heads(q, w["self_attn.q_norm.weight"], turn),
            self.heads(key, w["self_attn.k_norm.weight"], turn),
            self.heads(value, None, None),
        )

    def rest(self, w: Weights, x: Tensor, attended: Tensor) -> Tensor:
        """A layer behind its attention [B, H, N, D]."""
        mixed = attended.transpose(1, 2).flatten(2) @ w["self_attn.o_proj.weight"].T
        x = x + self.norm(mixed, w["post_attention_layernorm.weight"])
        a = self.gated(w, "mlp.", self.norm(x, w["pre_feedforward_layernorm.weight"]))
        b = self.norm(x, w["pre_feedforward_layernorm_2.weight"]).to(self.dtype)
        gate, up = (b @ w["experts.gate_up_proj"][0].T).chunk(2, -1)
        b = (gelu(gate.float(), approximate="tanh") * up).to(self.dtype) @ w["experts.down_proj"][0].T
        b = self.norm(b * w["router.per_expert_scale"], w["post_feedforward_layernorm_2.weight"])
        both = self.norm(a, w["post_feedforward_layernorm_1.weight"]) + b
        return x + self.norm(both, w["post_feedforward_layernorm.weight"])


def cross_entropies(logits: Tensor, targets: Tensor) -> Tensor:
    """The cross-entropy of each of int64[B, L] under logits [B, L, V]."""
    chosen = logits.gather(-1, targets[..., None])[..., 0]
    return logits.float().logsumexp(-1) - chosen.float()
