"""DiffusionGemma behind the protocols `Denoiser` and `CausalScorer`: transformers' own network, driven row by row.

Each row keeps its own KV cache at its own length. To denoise several rows together their caches are joined with padding
on the left of the keys; keys carry their rotary positions already, so padding changes nothing but a masked-out share.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from transformers import DynamicCache

from structdiff.models.fingerprint import fingerprint_of
from structdiff.models.keywords import cache_keyword
from structdiff.models.pictures import Pictured
from structdiff.models.protocol import DenoiserSpec
from structdiff.models.recorded import Recorded


class _Prefix:
    """One row: its cache and how many tokens it holds."""

    def __init__(self, cache: DynamicCache) -> None:
        self.cache, self.length = cache, 0
        self.hidden: torch.Tensor | None = None  # [H], of the last token


class _Layer:
    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        self.keys, self.values = keys, values


class _Joint:
    """The caches of several rows as one, in the form the decoder reads; remembered until the set of rows changes."""

    is_compileable = False

    def __init__(self, prefixes: list[_Prefix], kinds: list[str], canvas_length: int, additive: bool) -> None:
        self.key = [(id(p), p.length) for p in prefixes]
        self.rows = list(prefixes)  # keeps the ids unique
        self.layers = []
        self.masks: dict[str, torch.Tensor] = {}
        for index, kind in enumerate(kinds):
            layers: list[Any] = [p.cache.layers[index] for p in prefixes]
            lengths = [layer.keys.shape[-2] for layer in layers]
            longest = max(lengths)
            pads = [longest - n for n in lengths]
            pad = torch.nn.functional.pad
            self.layers.append(
                _Layer(
                    torch.cat([pad(x.keys, (0, 0, n, 0)) for x, n in zip(layers, pads, strict=True)]),
                    torch.cat([pad(x.values, (0, 0, n, 0)) for x, n in zip(layers, pads, strict=True)]),
                )
            )
            if kind not in self.masks:
                device = layers[0].keys.device
                at = torch.arange(longest + canvas_length, device=device)
                seen = at[None] >= torch.tensor(pads, device=device)[:, None]
                mask = seen[:, None, None, :].expand(-1, 1, canvas_length, -1)
                if additive:
                    dtype = layers[0].keys.dtype
                    mask = torch.zeros(mask.shape, dtype=dtype, device=device).masked_fill(
                        ~mask, torch.finfo(dtype).min
                    )
                self.masks[kind] = mask

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.layers[layer_idx].keys.shape[-2]


SMALL = 5_000_000
"""Networks on the CPU with fewer parameters run on one thread: their matrices are too small to share, and threads that
wait for each other may lose a slice of the scheduler at each of them: 11 s a text in place of 0.2 s beside another
process that keeps a core busy."""


def _one_thread_if_small(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def run(self: DiffusionGemma, *args: Any) -> Any:
        threads = torch.get_num_threads()
        if not self.small or threads == 1:
            return method(self, *args)
        torch.set_num_threads(1)
        try:
            return method(self, *args)
        finally:
            torch.set_num_threads(threads)

    return run


class DiffusionGemma:
    """A `DiffusionGemmaForBlockDiffusion` as a Denoiser and a CausalScorer. One thread at a time.

    On a CUDA device the decoder's passes over a single row are replayed from a recording (``record``); the logits of a
    step are good until the next one. Passes over several rows keep the device busy as they are, and their set changes
    too often for a recording to be worth its time (docs/benchmarks.md).
    """

    def __init__(self, network: Any, record: bool = True) -> None:
        self.network = network.eval()
        config = network.config
        self.canvas_length: int = config.canvas_length
        self.vocab_size: int = config.text_config.vocab_size
        self.context_length: int = config.text_config.max_position_embeddings
        self.kinds: list[str] = list(config.text_config.layer_types)
        self.small = network.device.type == "cpu" and sum(p.numel() for p in network.parameters()) < SMALL
        self._joint: _Joint | None = None
        self._cache_name = cache_keyword(network.forward)
        # a histogram of one bin takes its range from the device: networks of one expert cannot be recorded
        self._recorded = Recorded() if record and config.text_config.num_experts != 1 else None

    @property
    def spec(self) -> DenoiserSpec:
        return DenoiserSpec(self.canvas_length, self.vocab_size, self.context_length)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.network.device
        return device

    @functools.cached_property
    def fingerprint(self) -> str:
        """Tells these weights from others; see `fingerprint_of`."""
        return fingerprint_of(self.network)

    @torch.no_grad()
    def open(self, prompt: list[int]) -> _Prefix:
        prefix = _Prefix(DynamicCache(config=self.network.config.get_text_config(decoder=True)))
        self.extend(prefix, prompt)
        return prefix

    def _seen(
        self, prompt: Pictured, ids: torch.Tensor, positions: torch.Tensor, cache: DynamicCache
    ) -> dict[str, Any]:
        """What the encoder is given of the pictures in a prompt; their positions may see each other."""
        encoder, config = self.network.model.encoder, self.network.config
        dtype = self.network.dtype
        masks = encoder.create_masks_for_generate(
            config=config, inputs_embeds=torch.empty((*ids.shape, 0), dtype=dtype, device=self.device),
            attention_mask=None, position_ids=positions, mm_token_type_ids=(ids == config.image_token_id).long(),
            **{self._cache_name: cache},
        )  # fmt: skip
        return {"attention_mask": masks, **prompt.inputs(self.device, dtype)}

    @torch.no_grad()
    @_one_thread_if_small
    def extend(self, prefix: _Prefix, tokens: list[int]) -> None:
        hidden = self._encode(prefix.cache, prefix.length, tokens)
        prefix.length, prefix.hidden = prefix.length + len(tokens), hidden[-1]

    def _encode(self, cache: DynamicCache, length: int, tokens: list[int]) -> torch.Tensor:
        """The last hidden states [n, H] of tokens behind a cache of ``length`` tokens, which takes them in."""
        ids = torch.tensor([tokens], device=self.device)
        positions = torch.arange(length, length + len(tokens), device=self.device)[None]
        seen = self._seen(tokens, ids, positions, cache) if isinstance(tokens, Pictured) else {}
        encoded = self.network.model.encoder(input_ids=ids, position_ids=positions, **{self._cache_name: cache}, **seen)
        hidden: torch.Tensor = encoded.last_hidden_state[0]
        return hidden

    @torch.no_grad()
    @_one_thread_if_small
    def read(self, prefix: _Prefix, tokens: list[int]) -> torch.Tensor:
        ahead = copy.copy(prefix.cache)
        ahead.layers = [copy.copy(layer) for layer in prefix.cache.layers]  # an update replaces keys, not writes
        hidden = [prefix.hidden[None]] if prefix.hidden is not None else []
        if tokens:
            hidden.append(self._encode(ahead, prefix.length, tokens))
        logits: torch.Tensor
        logits, cap = self.network.lm_head(torch.cat(hidden)).float(), self.network.final_logit_softcapping
        return torch.tanh(logits / cap) * cap if cap else logits

    @torch.no_grad()
    @_one_thread_if_small
    def denoise(
        self, prefixes: list[_Prefix], canvas: torch.Tensor, feedback: torch.Tensor | None, has_feedback: torch.Tensor
    ) -> torch.Tensor:
        first = torch.tensor([p.length for p in prefixes], device=self.device)
        positions = first[:, None] + torch.arange(self.canvas_length, device=self.device)[None]
        masks: dict[str, torch.Tensor | None] = dict.fromkeys(self.kinds)
        cache: Any = prefixes[0].cache
        if len(prefixes) > 1:
            if self._joint is None or self._joint.key != [(id(p), p.length) for p in prefixes]:
                additive = self.network.config._attn_implementation != "sdpa"
                self._joint = _Joint(prefixes, self.kinds, self.canvas_length, additive)
            cache = self._joint
            masks = dict(self._joint.masks)
        else:
            self._joint = None
        everywhere = feedback is None or bool(has_feedback.all())
        mask = None if everywhere else has_feedback.to(self.device)

        def run(canvas: torch.Tensor, feedback: torch.Tensor | None = None) -> torch.Tensor:
            logits: torch.Tensor = self.network(
                decoder_input_ids=canvas, self_conditioning_logits=feedback, self_conditioning_mask=mask,
                decoder_attention_mask=masks, decoder_position_ids=positions, **{self._cache_name: cache},
            ).logits  # fmt: skip
            return logits

        inputs = (canvas.to(self.device),) if feedback is None else (canvas.to(self.device), feedback)
        if self._recorded is None:
            return run(*inputs)
        if len(prefixes) > 1:
            self._recorded.forget()
            return run(*inputs)
        return self._recorded((prefixes[0], prefixes[0].length), run, *inputs)
