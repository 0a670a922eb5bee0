"""A model that would write known texts, so that conversations can be tested without a model that can hold one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from structdiff.model import Model
from structdiff.testing.scripted import Scripted


class _Prefix(list[int]):
    """The tokens of a row so far, and how many of them are its prompt."""

    begun = 0


class Speaking(Scripted):
    """A denoiser with the vocabulary of ``model`` that would write ``answer(prompt's text)``; a constraint makes it
    write what is allowed and nearest.

    >>> import structdiff
    >>> tiny = structdiff.load("tiny")
    >>> speaking(tiny, lambda prompt: "yes" if "?" in prompt else "no")("Is it warm?", structdiff.Regex("[a-z]+"))
    'yes'
    """

    def __init__(self, model: Model, answer: Callable[[str], str]) -> None:
        self.vocabulary, self.answer = model.vocabulary, answer
        spec = model.denoiser.spec
        super().__init__(spec.canvas_length, spec.vocab_size, self._logits)

    def open(self, prompt: list[int]) -> list[int]:
        prefix = _Prefix(prompt)
        prefix.begun = len(prompt)
        return prefix

    def _logits(self, prefix: Any, canvas: torch.Tensor) -> torch.Tensor:
        text = self.vocabulary.bytes_of(prefix[: prefix.begun]).decode("utf-8", "replace")
        tokens = self.vocabulary.encode(self.answer(text).encode()) or []
        first = len(prefix) - prefix.begun
        end = self.vocabulary.end_ids[0]
        wanted = [*tokens[first : first + self.canvas_length], *[end] * self.canvas_length][: self.canvas_length]
        logits = torch.zeros(self.canvas_length, self.vocab_size)
        logits[torch.arange(self.canvas_length), torch.tensor(wanted)] = 30.0
        return logits


def speaking(model: Model, answer: Callable[[str], str]) -> Model:
    """A model that would write ``answer(prompt's text)``, with the tokenizer of ``model``."""
    policy = replace(model.policy, verify=False)
    return Model(Speaking(model, answer), model.tokenizer, policy, model.vocabulary.end_ids, model.name)
