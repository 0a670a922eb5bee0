"""The process that runs a model: its vocabulary, the constraints that were handed over, and the rows they make."""

from __future__ import annotations

import hashlib
import logging
import time
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from structdiff.constraint import disk_cache
from structdiff.constraint.compile import Compiler
from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import UnsupportedTokenizer
from structdiff.core.restrictions import RestrictionWarning
from structdiff.decode.policy import Policy
from structdiff.decode.session import CanvasSession
from structdiff.engines.asked import Asked
from structdiff.engines.row import EngineRow
from structdiff.models.protocol import DenoiserSpec, Noise
from structdiff.tokens.vocabulary import Vocabulary

UNIFORM = Noise()
SLOW = 0.2
"""Seconds from which reading a constraint in the model's process is worth a line in the log."""

logger = logging.getLogger(__name__)


def vocabulary_of(tokenizer: Any, end_ids: Iterable[int | None], size: int) -> Vocabulary:
    """The vocabulary that front end and workers both use: the tokens at which the engine stops end an output.

    Raises `UnsupportedTokenizer` where there is no tokenizer, no end token, or no token that is never text.
    """
    if tokenizer is None:
        raise UnsupportedTokenizer("the engine runs without a tokenizer; constraints need it")
    ends = tuple(sorted({token for token in end_ids if token is not None}))
    vocabulary = Vocabulary.of(tokenizer, ends, size)
    if not vocabulary.end_ids:
        raise UnsupportedTokenizer("the engine stops at no token of this vocabulary; constraints need one")
    marker_of(vocabulary)
    return vocabulary


def marker_of(vocabulary: Vocabulary, mask: int | None = None) -> int:
    """A token that is never text, no end and no ``mask``: what a failed row writes."""
    for token, data in enumerate(vocabulary.table.token_bytes):
        if data is None and token != mask and token not in vocabulary.end_ids:
            return token
    raise UnsupportedTokenizer("every token of this vocabulary is text; a failed row could not be told from others")


def hand_over(constraint: Constraint) -> None:
    """Keep a constraint where workers look for it; without a key they compile it again."""
    if constraint.key is not None and not disk_cache.holds(constraint.key):
        disk_cache.store(constraint.key, constraint.automaton, constraint.restrictions)


class Worker:
    """Makes the rows of constrained requests.

    ``length`` is the engine's canvas, ``policy`` the checkpoint's own, ``noise`` what its model denoises. Canvases live
    on the host, logits where they are.
    """

    def __init__(
        self, vocabulary: Vocabulary, length: int, context: int, policy: Policy, noise: Noise = UNIFORM
    ) -> None:
        self.vocabulary, self.length, self.policy = vocabulary, length, policy
        self.compiler = Compiler(vocabulary)
        self.marker = marker_of(vocabulary, noise.mask)
        self.warm = False
        self.spec = DenoiserSpec(length, vocabulary.size, context, noise, self_conditioning=False)

    def warm_up(self, device: torch.device) -> None:
        """Load all that the first request would wait for; draws nothing from the engine's random stream."""
        asked = Asked("choice", ["a", "b"])
        row = self.row("warm-up", asked.to_dict(), max_tokens=self.length)
        drawn = torch.randn(self.length, self.vocabulary.size, generator=torch.Generator().manual_seed(0))
        row.observe(drawn.to(device))
        if row.error is not None:
            raise row.error
        self.warm = True

    def row(
        self, name: str, asked: dict[str, Any], max_tokens: int, written: Sequence[int] = (), length: int | None = None,
        constraint: Constraint | None = None,
    ) -> EngineRow:  # fmt: skip
        """The row of request ``name``, which the engine ends behind ``max_tokens`` tokens, the end token among them.

        ``constraint`` is what was asked for, where this process has it.
        """

        def build() -> CanvasSession:
            want = Asked.from_dict(asked)
            found = constraint or self.constraint(want)
            return CanvasSession(
                found.automaton, self.vocabulary.end_ids, max_tokens - 1, self.spec, rules=found.rules,
                policy=self.policy if want.temperature == 1 else self.policy.scaled(want.temperature),
                seed=seed_of(want, name),
            )  # fmt: skip

        return EngineRow(
            name, build, length=length or self.length, end=self.vocabulary.end_ids[0], marker=self.marker,
            written=written,
        )  # fmt: skip

    def constraint(self, asked: Asked) -> Constraint:
        """The constraint that was admitted, from memory or the disk; where it was lost on the way, compiled again."""
        source, options = asked.compilable()
        begun = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RestrictionWarning)  # the front end has told it
            constraint = self.compiler.compile(source, **{k: v for k, v in options.items() if k != "strict"})
        if (seconds := time.perf_counter() - begun) > SLOW and self.warm:
            logger.warning(
                "structdiff: reading the constraint %s held the model up for %.1f seconds; give the front end and the "
                "workers one cache folder (STRUCTDIFF_CACHE) that is large enough (STRUCTDIFF_CACHE_MB)",
                constraint.source.name, seconds,
            )  # fmt: skip
        return constraint


def seed_of(asked: Asked, name: str) -> int:
    """The seed of a row: the request's own, or one from the row's name, the same on every rank.

    >>> seed_of(Asked("regex", "a", seed=5, rows=2), "1_cmpl-x"), seed_of(Asked("regex", "a", seed=5), "cmpl-x")
    (6, 5)
    """
    if asked.seed is None:
        return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big")
    return asked.seed + (int(name.partition("_")[0]) if asked.rows > 1 else 0)
