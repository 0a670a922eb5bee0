"""The decoder of a model: denoising where it denoises, else from left to right."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from structdiff.core.errors import StructdiffError
from structdiff.decode.engine import Task
from structdiff.decode.left_to_right import LeftToRight
from structdiff.decode.loop import Denoising
from structdiff.decode.policy import Policy
from structdiff.decode.trace import Event
from structdiff.models.protocol import CausalModel, Denoiser

Decoder = Denoising | LeftToRight


def decoder_of(
    model: Denoiser | CausalModel,
    policy: Policy | None = None,
    on_event: Callable[[Event], None] | None = None,
    on_error: Callable[[Task, StructdiffError], None] | None = None,
    piecewise: bool = False,
) -> Decoder:
    """An engine for rows of ``model``; ``piecewise``: its passes are short (`structdiff.decode.loop.Denoising`).

    >>> from structdiff.testing.scripted import Scripted
    >>> type(decoder_of(Scripted.random(canvas_length=4, vocab_size=4))).__name__
    'Denoising'
    """
    if hasattr(model, "denoise"):  # not isinstance: a model may stand behind a proxy
        return Denoising(cast(Denoiser, model), policy, on_event, on_error=on_error, piecewise=piecewise)
    return LeftToRight(model, policy, on_event, on_error)
