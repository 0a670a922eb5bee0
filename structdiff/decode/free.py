"""Canvases without a constraint: the sampler of transformers, and its like for models whose noise is a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from structdiff.core.errors import GenerationError
from structdiff.decode.acceptance import Offer
from structdiff.decode.canvas import Canvas, Sampler, Step, Unchanged, finished_by


class FreeSampler(Sampler):
    """For uniform noise the sampler of transformers' DiffusionGemma, token for token under the same seed."""

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self.unchanged = Unchanged(canvas.policy.stability)

    def observe(self, logits: torch.Tensor) -> Step:
        canvas = self.canvas
        processed, candidate, best, entropy = self.drawn(logits)
        accepted = canvas.acceptance.select(self.offer(processed, candidate, entropy, None, 0))
        following = canvas.keep(accepted, candidate)
        committed = best.cpu().numpy()
        stable = self.unchanged(committed.tolist())
        done = stable and bool(entropy.mean() < canvas.policy.confidence)
        return self.step(following, processed, done, candidate, committed, accepted, entropy)

    def drawn(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """(logits over the temperature [L, V], drawn tokens [L], best tokens [L], entropies [L])."""
        canvas, policy = self.canvas, self.canvas.policy
        left = torch.tensor(policy.max_steps - canvas.step + 1, device=logits.device, dtype=torch.int32)
        logits = canvas.noise.hide(logits)
        if canvas.thinking:
            logits = logits.clone()
            logits[..., list(canvas.end_ids)] = -1e30
        processed = logits / (policy.t_min + ((policy.t_max - policy.t_min) * (left / policy.max_steps)))
        best = processed.argmax(dim=-1)
        sound = processed.gather(-1, best[:, None])[:, 0].isfinite()
        if not sound.all():
            place = int(sound.int().argmin())
            raise GenerationError(
                f"the model's logits at canvas position {place} contain NaN or +inf; nothing can be drawn"
            )
        probabilities = torch.softmax(processed, dim=-1, dtype=torch.float32)
        candidate = torch.multinomial(probabilities, 1, generator=canvas.generator)[:, 0]
        distribution: Any = torch.distributions.Categorical(logits=processed)
        return processed, candidate, best, distribution.entropy()

    def offer(
        self,
        processed: torch.Tensor,
        candidate: torch.Tensor,
        entropy: torch.Tensor,
        open: torch.Tensor | None,
        held: int,
    ) -> Offer:
        """What the rule of acceptance is asked."""

        def probability() -> torch.Tensor:
            return torch.log_softmax(processed.float(), -1).gather(-1, candidate[:, None])[:, 0].exp()

        def margin() -> torch.Tensor:
            best = torch.softmax(processed.float(), -1).topk(2, dim=-1).values
            return best[:, 0] - best[:, 1]

        return Offer(entropy, probability, open, held, self.canvas.step, self.canvas.policy.max_steps, margin)

    def step(
        self,
        following: torch.Tensor,
        processed: torch.Tensor,
        done: bool,
        candidate: torch.Tensor,
        committed: np.ndarray,
        accepted: torch.Tensor,
        entropy: torch.Tensor,
    ) -> Step:
        """The same as a `Step`; all positions are live, for an end token is looked for at the commit."""
        return Step(
            following, processed if self.canvas.self_conditioning else None, done, candidate.cpu().numpy(), committed,
            accepted.cpu().numpy(), entropy.cpu().numpy(), self.canvas.length,
        )  # fmt: skip


class MaskedFreeSampler(FreeSampler):
    """For noise of masks: accepted tokens take the place of masks, until the text is written."""

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self.held = torch.zeros(canvas.length, dtype=torch.bool, device=canvas.device)

    def observe(self, logits: torch.Tensor) -> Step:
        canvas, policy, held = self.canvas, self.canvas.policy, self.held
        processed, candidate, best, entropy = self.drawn(logits)
        candidate = best if policy.candidate == "maximum" else candidate
        candidate, best = torch.where(held, canvas.tokens, candidate), torch.where(held, canvas.tokens, best)
        entropy = entropy.masked_fill(held, 0.0)
        accepted = held
        if not held.all():  # else nothing is open: a canvas that is denoised on after its end
            offer = self.offer(processed, candidate, entropy, ~held, int(held.sum()))
            accepted = held | canvas.acceptance.select(offer)
        if canvas.step >= policy.max_steps:  # what the rule leaves open gets the best token
            candidate, accepted = torch.where(accepted, candidate, best), torch.ones_like(held)
        following = canvas.keep(accepted, candidate)
        committed = torch.where(accepted, candidate, best).cpu().numpy()
        ends = finished_by(committed, accepted.cpu().numpy(), canvas.end_ids)
        done = ends >= 0 and (policy.keep_accepted or self.unchanged(committed[:ends].tolist()))
        if policy.keep_accepted:
            self.held = accepted
        return self.step(following, processed, done, candidate, committed, accepted, entropy)


def free(canvas: Canvas) -> Sampler:
    """The sampler of a canvas without a constraint."""
    return FreeSampler(canvas) if canvas.noise.mask is None else MaskedFreeSampler(canvas)
