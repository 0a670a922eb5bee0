"""The two losses: denoising of a canvas, and the encoder's next-token loss over prompt and answer."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from training.batches import Batch


def corrupt(canvas: torch.Tensor, vocab: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(noised canvas, which positions were noised): a share t ~ U(0, 1) of uniform random tokens per example.

    A quarter of the examples are noised from some position on, a tenth everywhere.
    """
    (B, L), on = canvas.shape, canvas.device
    t = torch.rand(B, 1, device=on)
    t = torch.where(torch.rand(B, 1, device=on) < 0.1, torch.ones_like(t), t)
    noised = torch.rand(B, L, device=on) < t
    suffix = torch.arange(L, device=on)[None] >= (1 - t) * L
    noised = torch.where(torch.rand(B, 1, device=on) < 0.25, suffix, noised)
    return torch.where(noised, torch.randint(0, vocab, (B, L), device=on), canvas), noised


class RepeatedCache:
    """The encoder's cache cut to ``length`` tokens, each row ``times`` times; what the decoder reads of a cache."""

    is_compileable = False

    def __init__(self, cache: Any, length: int, times: int) -> None:
        self.layers = [_Layer(x.keys[:, :, :length], x.values[:, :, :length], times) for x in cache.layers]


class _Layer:
    def __init__(self, keys: torch.Tensor, values: torch.Tensor, times: int) -> None:
        self.keys, self.values = keys.repeat_interleave(times, 0), values.repeat_interleave(times, 0)


def losses(
    network: Any, batch: Batch, *, times: int, encoder_loss: bool, prompt_weight: float = 0.2
) -> tuple[torch.Tensor, float, float]:
    """(loss, denoising loss, next-token loss of the answers) of one batch, with ``times`` noised canvases a prompt.

    The encoder reads prompt *and* answer when its own loss counts: there it learns to copy from the text. The decoder
    sees only what comes before its canvas; with ``times=0`` it does not run. Self-conditioning: in half of the batches
    a first pass without gradient gives the logits, scaled as `generate()` scales them.
    """
    V, L, on = network.config.text_config.vocab_size, batch.canvas.shape[1], batch.canvas.device
    length = int(batch.visible.max())
    sequence = batch.sequence if encoder_loss else batch.sequence[:, :length]
    encoded = network.model.encoder(input_ids=sequence)
    total, copying = torch.zeros((), device=on), float("nan")
    if encoder_loss:
        logits = network.lm_head(encoded.last_hidden_state[:, :-1])
        place = torch.arange(1, sequence.shape[1], device=on)[None]
        each = cross_entropy(logits.reshape(-1, V).float(), sequence[:, 1:].reshape(-1), reduction="none").reshape(
            len(sequence), -1
        )
        answer = ((place >= batch.prompt[:, None]) & (place < batch.length[:, None])).float()
        prompt = (place < batch.prompt[:, None]).float()
        own = (each * answer).sum() / answer.sum()
        total = own + prompt_weight * (each * prompt).sum() / prompt.sum()
        copying = own.item()
    if not times:
        return total, float("nan"), copying
    visible = batch.visible.repeat_interleave(times, 0)[:, None]
    written = torch.ones(len(visible), L, dtype=torch.bool, device=on)
    seen = torch.cat([torch.arange(length, device=on)[None] < visible, written], 1)
    mask = seen[:, None, None, :].expand(-1, 1, L, -1)
    common = {
        "past_key_values": RepeatedCache(encoded.past_key_values, length, times),
        "decoder_attention_mask": dict.fromkeys(set(network.config.text_config.layer_types), mask),
        "decoder_position_ids": visible + torch.arange(L, device=on)[None],
    }
    clean = batch.canvas.repeat_interleave(times, 0)
    noisy, noised = corrupt(clean, V)
    feedback, has = None, None
    if torch.rand(()) < 0.5:
        with torch.no_grad():
            feedback = network(decoder_input_ids=noisy, **common).logits / (0.4 + 0.6 * float(torch.rand(())))
        has = torch.rand(len(clean), device=on) < 0.9
    logits = network(
        decoder_input_ids=noisy, self_conditioning_logits=feedback, self_conditioning_mask=has, **common
    ).logits
    each = cross_entropy(logits.reshape(-1, V).float(), clean.reshape(-1), reduction="none").reshape(clean.shape)
    weight = torch.where(noised, 1.0, 0.1) * torch.where(clean == batch.pad, 0.1, 1.0)
    denoising = (each * weight).sum() / weight.sum()
    return total + denoising, denoising.item(), copying
