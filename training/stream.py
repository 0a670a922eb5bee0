"""Endless batches of generated examples as token ids, in an order that is a function of a seed."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import random
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.batches import encode_prompt
from training.mixture import make_training_example

CHUNK = 256
HELD_OUT_EXAMPLES = 60


@dataclass(frozen=True)
class Encoded:
    """Token ids of a prompt, and of its answer with the end token."""

    prompt: list[int]
    answer: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


@dataclass
class Position:
    """Where a stream of batches goes on: the chunk of examples, and the next batch in it."""

    chunk: int = 0
    batch: int = 0


class Stream:
    """An endless stream of batches whose order is a function of ``seed``; `Position` says where it goes on.

    Example number i is made from the seed and i alone. Chunks of `CHUNK` examples are sorted by length and cut into
    batches of at most ``tokens`` padded tokens; examples longer than ``longest`` are passed over.
    """

    def __init__(self, tokenizer: Any, seed: int, tokens: int, longest: int, workers: int = 0) -> None:
        self.tokenizer, self.seed, self.tokens, self.longest = tokenizer, seed, tokens, longest
        self.workers = workers

    def encode(self, example: dict[str, Any]) -> Encoded:
        answer = self.tokenizer(example["answer"], add_special_tokens=False)["input_ids"]
        return Encoded(encode_prompt(self.tokenizer, example["prompt"]), [*answer, self.tokenizer.eos_token_id])

    def example(self, number: int) -> Encoded:
        return self.encode(make_training_example(random.Random(f"{self.seed} {number}")))

    def chunk(self, number: int) -> list[list[Encoded]]:
        """The batches of a chunk, in the order of training."""
        batches = self.batched([self.example(i) for i in range(number * CHUNK, (number + 1) * CHUNK)])
        random.Random(f"{self.seed} order {number}").shuffle(batches)
        return batches

    def batched(self, encoded: list[Encoded]) -> list[list[Encoded]]:
        """Batches of similar length."""
        batches: list[list[Encoded]] = [[]]
        for one in sorted((e for e in encoded if len(e) <= self.longest), key=len):
            if batches[-1] and (len(batches[-1]) + 1) * len(one) > self.tokens:
                batches.append([])
            batches[-1].append(one)
        return batches

    def batches(self, position: Position) -> Iterator[list[Encoded]]:
        """Batches from ``position`` on; whoever has learnt one adds 1 to ``position.batch``."""
        for batches in self.chunks(position.chunk):
            while position.batch < len(batches):
                yield batches[position.batch]
            position.chunk, position.batch = position.chunk + 1, 0

    def chunks(self, first: int) -> Iterator[list[list[Encoded]]]:
        """The chunks from number ``first`` on, made by processes of their own where there are ``workers``."""
        if not self.workers:
            yield from map(self.chunk, itertools.count(first))
        with ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn")) as pool:
            made = deque(pool.submit(self.chunk, number) for number in range(first, first + 2 * self.workers))
            for number in itertools.count(first + 2 * self.workers):
                made.append(pool.submit(self.chunk, number))
                yield made.popleft().result()

    def held_out(self, path: Path) -> list[list[Encoded]]:
        """Batches of examples that training does not see; made once and kept in ``path``."""
        if not path.is_file():
            r = [random.Random(f"held out {self.seed} {i}") for i in range(HELD_OUT_EXAMPLES)]
            lines = [json.dumps(make_training_example(one, held_out=True), ensure_ascii=False) for one in r]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        examples = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return self.batched([self.encode(one) for one in examples])
