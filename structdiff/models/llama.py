"""Llama's and Qwen2's network for reading alone: few large products a layer, rows of any lengths in one pass.

The tokens of all rows stand one behind the other in one matrix, so that a pass reads every weight once; attention alone
goes row by row, over each row's own cache. Sources: Touvron et al., "LLaMA", arXiv 2302.13971; Ainslie et al., "GQA",
arXiv 2305.13245; Su et al., "RoFormer", arXiv 2104.09864; Qwen Team, "Qwen2.5", arXiv 2412.15115.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

ROOM = 128
"""Tokens by which a cache grows at least."""
EXACT_HEAD = 1 << 26
"""Heads of up to so many numbers are multiplied in float32: in bfloat16 many tokens of a row get equal logits."""
PRODUCTS = ("qkv", "out", "gate_up", "down")
"""The matrices of a layer."""


@dataclass(frozen=True)
class LlamaShape:
    """The sizes of a network: V tokens, hidden H, inner I, ``layers``, ``heads`` that share ``kv_heads``, each of D
    numbers; ``context`` positions, the base of their rotation, and the norm's epsilon. ``biased``: queries, keys and
    values have a bias, as Qwen2's do."""

    vocabulary: int
    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    context: int
    rotation: float
    epsilon: float
    biased: bool = False

    @classmethod
    def of(cls, config: Any) -> LlamaShape | None:
        """The shape of a transformers configuration; None where it asks for what this network does not do."""
        rope = getattr(config, "rope_parameters", None) or {}
        biased = config.model_type == "qwen2"
        plain = not config.use_sliding_window if biased else (
            config.model_type == "llama" and not config.attention_bias and not config.mlp_bias
        )  # fmt: skip
        if (
            not plain or config.hidden_act != "silu"
            or rope.get("rope_type", "default") != "default" or rope.get("partial_rotary_factor", 1) != 1
        ):  # fmt: skip
            return None
        return cls(
            config.vocab_size, config.hidden_size, config.intermediate_size, config.num_hidden_layers,
            config.num_attention_heads, config.num_key_value_heads,
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
            config.max_position_embeddings, float(rope["rope_theta"]), config.rms_norm_eps, biased,
        )  # fmt: skip


class Cache:
    """One row's keys and values, [layers, 2, kv heads, room, D], of which ``length`` tokens are there."""

    def __init__(self, kept: torch.Tensor, length: int = 0) -> None:
        self.kept, self.length = kept, length

    def start(self, count: int) -> Cache:
        """A cache of its own that begins with the first ``count`` tokens."""
        return Cache(self.kept[:, :, :, :count].clone(), count)

    def crop(self, surplus: int) -> None:
        """Forget the last ``surplus`` tokens."""
        self.length -= surplus

    def make_room(self, count: int) -> None:
        """Hold ``count`` further tokens."""
        room = self.kept.shape[3]
        if self.length + count > room:
            grown = max(self.length + count, room + max(ROOM, room // 2))
            self.kept = torch.cat(
                [self.kept, self.kept.new_empty(*self.kept.shape[:3], grown - room, self.kept.shape[4])], 3
            )


class _Layer(nn.Module):
    """The weights of a layer: queries, keys and values in one matrix, gate and up in another. The norms' weights are
    multiplied into the matrices behind them."""

    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        wide = shape.heads * shape.head
        self.qkv = _weight(wide + 2 * shape.kv_heads * shape.head, shape.hidden)
        self.qkv_bias = _weight(len(self.qkv)) if shape.biased else None
        self.out = _weight(shape.hidden, wide)
        self.gate_up = _weight(2 * shape.inner, shape.hidden)
        self.down = _weight(shape.hidden, shape.inner)
        self.laid: dict[str, torch.Tensor] = {}  # see `lay_out`

    def times(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """``x`` times the transposed matrix of that name, and its bias where it has one."""
        bias = self.qkv_bias if name == "qkv" else None
        if name in self.laid:
            return torch.ops.mkldnn._linear_pointwise(x, self.laid[name], bias, "none", [], "")  # type: ignore[no-any-return]
        return F.linear(x, getattr(self, name), bias)


class Llama(nn.Module):
    """A network whose weights are given; nothing is drawn at random.

    >>> shape = LlamaShape(9, 8, 12, 1, 2, 1, 4, 32, 1e4, 1e-5)
    >>> network = Llama(shape, {name: torch.ones(p.shape) for name, p in Llama(shape).named_parameters()})
    >>> [states] = network.encode([(network.begin(), [1, 2, 3])])
    >>> states.shape, network.logits(states).shape
    (torch.Size([3, 8]), torch.Size([3, 9]))
    """

    def __init__(
        self,
        shape: LlamaShape,
        weights: Mapping[str, torch.Tensor] | None = None,
        on_laid: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.embed = _weight(shape.vocabulary, shape.hidden)
        self.layers = nn.ModuleList([_Layer(shape) for _ in range(shape.layers)])
        self.norm = _weight(shape.hidden)
        self.head = _weight(shape.vocabulary, shape.hidden)
        if weights is not None:
            self.load_state_dict({"head": weights["embed"], **weights}, assign=True)
            if "head" not in weights:
                self.head = self.embed
            self.lay_out(on_laid)
        self.requires_grad_(False)
        self._exact: torch.Tensor | None = None

    @property
    def dtype(self) -> torch.dtype:
        return self.embed.dtype

    @property
    def device(self) -> torch.device:
        return self.embed.device

    @property
    def vocab_size(self) -> int:
        return self.shape.vocabulary

    @property
    def context(self) -> int:
        return self.shape.context

    def lay_out(self, on_laid: Callable[[], None] = lambda: None) -> None:
        """Keep copies of the matrices as oneDNN reads them fastest, where they are bfloat16 on a CPU with such
        instructions. ``on_laid`` is called behind each layer: its matrices themselves are not read any more."""
        if self.device.type == "cpu" and self.dtype == torch.bfloat16 and bfloat16_is_fast():
            for layer in self.layers:
                assert isinstance(layer, _Layer)
                for name in PRODUCTS:
                    layer.laid[name] = torch.ops.mkldnn._reorder_linear_weight(getattr(layer, name).detach(), None)
                on_laid()

    def begin(self) -> Cache:
        """An empty cache."""
        s = self.shape
        return Cache(torch.empty(s.layers, 2, s.kv_heads, 0, s.head, dtype=self.dtype, device=self.device))

    @torch.no_grad()
    def encode(self, rows: Sequence[tuple[Cache, list[int]]], causal: bool = True) -> list[torch.Tensor]:
        """The last hidden states [n, H] of each row's n tokens behind its cache, which takes them in; where it is not
        ``causal``, each of them sees all the others."""
        counts = [len(tokens) for _, tokens in rows]
        at = torch.cat(
            [torch.arange(cache.length, cache.length + n) for (cache, _), n in zip(rows, counts, strict=True)]
        )
        ids = torch.tensor([token for _, tokens in rows for token in tokens], device=self.device)
        turns = self._rotations(at)
        masks = [self._mask(cache.length, n) if causal else None for (cache, _), n in zip(rows, counts, strict=True)]
        for (cache, _), n in zip(rows, counts, strict=True):
            cache.make_room(n)
        x = F.embedding(ids, self.embed).float()  # what the layers add up stays exact
        for number, layer in enumerate(self.layers):
            x = self._layer(layer, number, x, turns, [cache for cache, _ in rows], counts, masks)
        for (cache, _), n in zip(rows, counts, strict=True):
            cache.length += n
        return list(torch.split(self._scaled(x) * self.norm.float(), counts))

    @torch.no_grad()
    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """float32[n, V] of hidden states [n, H]."""
        if self._exact is None:
            self._exact = self.head.float() if self.head.numel() <= EXACT_HEAD else self.head.detach()
        return F.linear(hidden.to(self._exact.dtype), self._exact).float()

    def _layer(
        self, layer: nn.Module, number: int, x: torch.Tensor, turns: tuple[torch.Tensor, torch.Tensor],
        caches: list[Cache], counts: list[int], masks: list[torch.Tensor | None],
    ) -> torch.Tensor:  # fmt: skip
        assert isinstance(layer, _Layer)
        s = self.shape
        parts = layer.times("qkv", self._normed(x)).view(len(x), -1, s.head)
        turned = _rotate(parts[:, : s.heads + s.kv_heads], turns)
        kept = torch.stack([turned[:, s.heads :], parts[:, s.heads + s.kv_heads :]]).transpose(1, 2)  # [2, kv, T, D]
        mixed, first = [], 0
        for cache, n, mask in zip(caches, counts, masks, strict=True):
            end = cache.length + n
            cache.kept[number, :, :, cache.length : end] = kept[:, :, first : first + n]
            keys, values = cache.kept[number, :, :, :end]
            # The heads that share a key head are taken as further queries of it.
            asked = turned[first : first + n, : s.heads].view(n, s.kv_heads, -1, s.head).permute(1, 2, 0, 3)
            found = F.scaled_dot_product_attention(
                asked.reshape(1, s.kv_heads, -1, s.head), keys[None], values[None], attn_mask=mask
            )
            mixed.append(found.view(s.kv_heads, -1, n, s.head).permute(2, 0, 1, 3).reshape(n, -1))
            first += n
        x = x + layer.times("out", mixed[0] if len(mixed) == 1 else torch.cat(mixed))
        gate, up = layer.times("gate_up", self._normed(x)).chunk(2, -1)
        added: torch.Tensor = layer.times("down", F.silu(gate) * up)
        return x + added

    def _normed(self, x: torch.Tensor) -> torch.Tensor:
        """The rows of ``x`` by their root mean square, in the weights' type."""
        return self._scaled(x).to(self.dtype)

    def _scaled(self, x: torch.Tensor) -> torch.Tensor:
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scaled: torch.Tensor = x * (size * size / x.shape[-1] + self.shape.epsilon).rsqrt()
        return scaled

    def _mask(self, before: int, count: int) -> torch.Tensor | None:
        """Which of ``before`` + n tokens the n tokens see, once for each head that shares a key head; None: all."""
        if count == 1:
            return None
        seen = torch.ones(count, before + count, dtype=torch.bool, device=self.device).tril(before)
        hidden = torch.zeros(seen.shape, dtype=self.dtype, device=self.device).masked_fill(~seen, float("-inf"))
        return hidden.repeat(self.shape.heads // self.shape.kv_heads, 1)

    def _rotations(self, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(cosines, signed sines) [n, 1, D] of positions."""
        half = torch.arange(0, self.shape.head, 2, dtype=torch.float32) / self.shape.head
        angles = at[:, None, None] * (1.0 / self.shape.rotation**half)
        cos, sin = angles.cos(), angles.sin()
        both = torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)
        return both[0].to(self.device, self.dtype), both[1].to(self.device, self.dtype)


def _rotate(x: torch.Tensor, turns: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    half = x.shape[-1] // 2
    return torch.addcmul(x * turns[0], torch.cat([x[..., half:], x[..., :half]], -1), turns[1])


def _weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(*shape, device="meta"), requires_grad=False)


@torch.no_grad()
def weights_of(network: Any, dtype: torch.dtype | None = None) -> dict[str, torch.Tensor]:
    """The weights of a LlamaForCausalLM or Qwen2ForCausalLM of transformers under the names of `Llama`; without "head"
    where it is tied."""

    def plain(weight: torch.Tensor, norm: torch.Tensor | None = None) -> torch.Tensor:
        weight = weight.detach() if norm is None else weight.detach() * norm.detach()
        return weight.to(dtype or weight.dtype).contiguous()

    embed, head = network.model.embed_tokens.weight, network.lm_head.weight
    found = {"embed": plain(embed), "norm": plain(network.model.norm.weight)}
    if head.data_ptr() != embed.data_ptr():
        found["head"] = plain(head)
    for number, layer in enumerate(network.model.layers):
        mix, inner = layer.self_attn, layer.mlp
        asked = torch.cat([mix.q_proj.weight, mix.k_proj.weight, mix.v_proj.weight])
        opened = torch.cat([inner.gate_proj.weight, inner.up_proj.weight])
        found |= {
            f"layers.{number}.qkv": plain(asked, layer.input_layernorm.weight),
            f"layers.{number}.out": plain(mix.o_proj.weight),
            f"layers.{number}.gate_up": plain(opened, layer.post_attention_layernorm.weight),
            f"layers.{number}.down": plain(inner.down_proj.weight),
        }
        if mix.q_proj.bias is not None:
            found[f"layers.{number}.qkv_bias"] = plain(torch.cat([mix.q_proj.bias, mix.k_proj.bias, mix.v_proj.bias]))
    return found


def bfloat16_is_fast() -> bool:
    """Whether this CPU multiplies bfloat16 matrices by instructions of its own."""
    told = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return there and any(ask is not None and ask() for ask in told)


def as_settings(shape: LlamaShape) -> dict[str, Any]:
    """A shape as plain data; ``LlamaShape(**as_settings(shape))`` is it again."""
    return asdict(shape)
