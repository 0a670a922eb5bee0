"""The two losses: denoising of a canvas, and the encoder's next-token loss over prompt and answer."""

from __future__ import annotations

import torch

from structdiff.decode.acceptance import accept
from training.batches import Batch
from training.forward import Forward

WEIGHTS = ("noised", "even", "inverse")
"""What a position of a noised canvas counts: 1 if it is noised and a tenth if not; 1 everywhere; as the first, over the
share that is noised (as in the likelihood bound of masked diffusion)."""


def corrupt(canvas: torch.Tensor, vocab: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(noised canvas, which positions were noised): a share t ~ U(0, 1) of uniform random tokens per example.

    A quarter of the examples are noised from some position on, a tenth everywhere; in another tenth up to three runs of
    the canvas are clean and all else is noise, as where some values are given beforehand.
    """
    (B, L), on = canvas.shape, canvas.device
    t = torch.rand(B, 1, device=on)
    t = torch.where(torch.rand(B, 1, device=on) < 0.1, torch.ones_like(t), t)
    noised = torch.rand(B, L, device=on) < t
    suffix = torch.arange(L, device=on)[None] >= (1 - t) * L
    noised = torch.where(torch.rand(B, 1, device=on) < 0.25, suffix, noised)
    edges = torch.rand(B, 6, device=on).sort(-1).values * L
    inside = (torch.arange(L, device=on)[None, :, None] >= edges[:, None]).sum(-1) % 2 == 1
    noised = torch.where(torch.rand(B, 1, device=on) < 0.1, ~inside, noised)
    return torch.where(noised, torch.randint(0, vocab, (B, L), device=on), canvas), noised


def sampler_step(logits: torch.Tensor, bound: float = 0.1) -> torch.Tensor:
    """The canvases [B, L] that follow these logits [B, L, V]: a draw where it is accepted, else random tokens."""
    logs = logits.float().log_softmax(-1)
    probabilities = logs.exp()
    at = torch.rand(*logs.shape[:2], 1, device=logs.device)
    drawn = (probabilities.cumsum(-1) < at).sum(-1).clamp(max=logs.shape[-1] - 1)
    entropy = -(probabilities * logs).sum(-1)
    noise = torch.randint(0, logits.shape[-1], drawn.shape, device=drawn.device)
    return torch.where(accept(entropy, bound), drawn, noise)


def losses(
    forward: Forward,
    batch: Batch,
    *,
    times: int,
    encoder_loss: bool,
    prompt_weight: float = 0.2,
    weights: str = "noised",
) -> tuple[torch.Tensor, float, float]:
    """(loss, denoising loss, next-token loss of the answers) of one batch, with ``times`` noised canvases a prompt.

    The encoder reads prompt *and* answer when its own loss counts: there it learns to copy from the text. The decoder
    sees only what comes before its canvas; with ``times=0`` it does not run. Self-conditioning: in half of the batches
    a first pass without gradient gives the logits, scaled as `generate()` scales them; of these canvases some are
    what the sampler makes of those logits, so that the decoder learns to mend its own mistakes, which look right, and
    not random tokens alone. Source: N. Savinov et al., Step-unrolled denoising autoencoders, 2021.
    """
    on, length = batch.canvas.device, int(batch.visible.max())
    sequence = batch.sequence if encoder_loss or batch.fixed else batch.sequence[:, :length]
    state, following = forward.encode(sequence, encoder_loss)
    total, copying = torch.zeros((), device=on), float("nan")
    if following is not None:
        each = forward.score(following[:, :-1], sequence[:, 1:])
        place = torch.arange(1, sequence.shape[1], device=on)[None]
        answer = ((place >= batch.prompt[:, None]) & (place < batch.length[:, None])).float()
        prompt = (place < batch.prompt[:, None]).float()
        own = (each * answer).sum() / answer.sum()
        total = own + prompt_weight * (each * prompt).sum() / prompt.sum()
        copying = own.item()
    if not times:
        return total, float("nan"), copying
    clean = batch.canvas.repeat_interleave(times, 0)
    noisy, noised = corrupt(clean, forward.vocab)
    feedback, has = None, None
    if torch.rand(()) < 0.5:
        with torch.no_grad():
            feedback = forward.decode(state, noisy, batch.visible, length, None, None)
            feedback = feedback / (0.4 + 0.6 * float(torch.rand(())))
        has = torch.rand(len(clean), device=on) < 0.9
        unrolled = (torch.rand(len(clean), 1, device=on) < 0.6) & has[:, None]
        noisy = torch.where(unrolled, sampler_step(feedback), noisy)
        noised = torch.where(unrolled, noisy != clean, noised)
    logits = forward.decode(state, noisy, batch.visible, length, feedback, has)
    weight = torch.where(noised, 1.0, 1.0 if weights == "even" else 0.1) * torch.where(clean == batch.pad, 0.1, 1.0)
    if weights == "inverse":
        weight = weight / noised.float().mean(-1, keepdim=True).clamp(min=1 / clean.shape[1])
    denoising = (forward.score(logits, clean) * weight).sum() / weight.sum()
    return total + denoising, denoising.item(), copying
