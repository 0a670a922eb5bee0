"""Examples as token ids, in batches of similar length."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from training.data import Example, make_example
from training.network import END, PAD


def encode_prompt(tokenizer: Any, prompt: str) -> list[int]:
    """The ids of the prompt in the chat template, as the product sends it."""
    chat = [{"role": "user", "content": prompt}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@dataclass(frozen=True)
class Batch:
    """``sequence`` int64[B, N]: prompt and answer, padded on the right; ``prompt`` and ``length`` int64[B]: tokens of
    the prompt alone and of both; ``visible`` int64[B]: tokens before the canvas; ``canvas`` int64[B, L]; ``pad``: the
    id behind the end; ``fixed``: the sequences have one of few widths, and keep it."""

    sequence: torch.Tensor
    prompt: torch.Tensor
    length: torch.Tensor
    visible: torch.Tensor
    canvas: torch.Tensor
    pad: int = PAD
    fixed: bool = False

    def to(self, device: torch.device) -> Batch:
        parts = (self.sequence, self.prompt, self.length, self.visible, self.canvas)
        return Batch(*(part.to(device) for part in parts), self.pad, self.fixed)


class Batches:
    """An endless stream of batches of about ``tokens`` tokens; one random canvas of each answer.

    ``make`` gives an example from a `random.Random` (default: the generators, training split); ``end`` and ``pad`` are
    the ids at and behind the end of an answer; prompts of more than ``longest`` tokens are passed over. With ``widths``
    sequences are padded to the next of these and longer ones passed over, so that batches have that many shapes. A
    batch has ``smallest`` examples or more.
    """

    def __init__(
        self,
        tokenizer: Any,
        canvas: int,
        tokens: int,
        seed: int,
        longest: int = 330,
        make: Callable[[random.Random], Example] = make_example,
        end: int = END,
        pad: int = PAD,
        widths: tuple[int, ...] = (),
        smallest: int = 4,
    ) -> None:
        self.tokenizer, self.canvas, self.tokens, self.longest = tokenizer, canvas, tokens, longest
        self.make, self.end, self.pad = make, end, pad
        self.random, self.widths, self.smallest = random.Random(seed), widths, smallest
        self.pool: list[tuple[list[int], list[int]]] = []

    def encode(self, example: Example) -> tuple[list[int], list[int]]:
        answer = [*self.tokenizer(example["answer"], add_special_tokens=False)["input_ids"], self.end]
        return encode_prompt(self.tokenizer, example["prompt"]), answer

    def width(self, pair: tuple[list[int], list[int]]) -> int:
        """Tokens of a sequence in its batch; 0 where it is too long for every width."""
        number = len(pair[0]) + len(pair[1])
        return next((w for w in self.widths if w >= number), 0) if self.widths else number

    def size(self, pair: tuple[list[int], list[int]]) -> int:
        """Examples in a batch whose longest one this is."""
        return max(self.smallest, self.tokens // (self.width(pair) + self.canvas))

    def next(self) -> Batch:
        if len(self.pool) < 400:
            while len(self.pool) < 1200:
                one = self.encode(self.make(self.random))
                if len(one[0]) <= self.longest and self.width(one):
                    self.pool.append(one)
            self.pool.sort(key=lambda pair: len(pair[0]) + len(pair[1]))
        at = self.random.randrange(len(self.pool))
        at = max(at, self.size(self.pool[at]) - 1)
        size = self.size(self.pool[at])
        at -= size - 1  # the longest comes last, and the others fit its width
        chosen, self.pool[at : at + size] = self.pool[at : at + size], []
        return self.collate(chosen)

    def collate(self, chosen: list[tuple[list[int], list[int]]]) -> Batch:
        width = max(map(self.width, chosen))
        starts = [self.canvas * self.random.randrange(math.ceil(len(a) / self.canvas)) for _, a in chosen]
        canvases = [a[s : s + self.canvas] for (_, a), s in zip(chosen, starts, strict=True)]
        return Batch(
            torch.tensor([p + a + [self.pad] * (width - len(p) - len(a)) for p, a in chosen]),
            torch.tensor([len(p) for p, _ in chosen]),
            torch.tensor([len(p) + len(a) for p, a in chosen]),
            torch.tensor([len(p) + s for (p, _), s in zip(chosen, starts, strict=True)]),
            torch.tensor([c + [self.pad] * (self.canvas - len(c)) for c in canvases]),
            self.pad,
            bool(self.widths),
        )
