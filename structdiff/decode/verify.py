"""Reading a draft from left to right: a canvas that was denoised is verified by the model's own causal encoder.

The encoder of DiffusionGemma is a causal language model whose weights the decoder shares. One pass over a draft tells
what it would have written at each place behind the draft's beginning: as far as the two agree under the grammar the
draft stands, at the first difference the encoder's token takes its place, the rest of the draft is laid behind it and
read again. The text that comes out is the one that greedy left-to-right decoding under the grammar writes, in one pass
for each difference instead of one for each token. Source of the scheme: Leviathan et al., "Fast Inference from
Transformers via Speculative Decoding", arXiv 2211.17192, with the denoiser as the drafter.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np

from structdiff.decode.cursor import Cursor


@dataclass(frozen=True)
class Verified:
    """A verified canvas: its text tokens, the state behind them, the log probability of text and end token from left to
    right, the next-token logits [n, V] at each of its places, and how many passes it took."""

    tokens: list[int]
    state: int
    log_probability: float
    logits: np.ndarray
    passes: int


def verify(
    read: Callable[[list[int]], np.ndarray],
    cursor: Cursor,
    state: int,
    draft: Sequence[int],
    length: int,
    left: int,
    report: Callable[[list[int], int], None] = lambda tokens, verified: None,
) -> Verified:
    """The greedy left-to-right text of at most ``length`` tokens from ``state`` within a budget of ``left``.

    ``read(tokens)`` gives float[n + 1, V], the next-token logits behind the canvas's beginning and behind each of the n
    tokens. ``draft`` ends with an end token where its text ends. ``report(draft, verified)`` is told of every pass.
    """
    passes = verify_by_passes(read, cursor, state, draft, length, left, report)
    while True:
        try:
            next(passes)
        except StopIteration as done:
            found: Verified = done.value
            return found


def verify_by_passes(
    read: Callable[[list[int]], np.ndarray],
    cursor: Cursor,
    state: int,
    draft: Sequence[int],
    length: int,
    left: int,
    report: Callable[[list[int], int], None] = lambda tokens, verified: None,
) -> Generator[None, None, Verified]:
    """`verify` that pauses behind every pass but the last, which returns what was verified."""
    out: list[int] = []
    tail, score, passes = list(draft[:length]), 0.0, 0
    while True:
        fed = out + tail
        logits, passes = read(fed[:-1] if tail else fed), passes + 1
        while len(out) < len(logits):
            i = len(out)
            token, state = cursor.best(logits[i], state, left - i)
            score += float(logits[i][token] - log_sum(logits[i]))
            if state == cursor.automaton.states:  # an end token
                report(out, i)
                return Verified(out, state, score, logits, passes)
            out.append(token)
            if len(out) == length or cursor.automaton.final(state):
                report(out, len(out))
                return Verified(out, state, score, logits, passes)
            if i >= len(fed) or token != fed[i]:
                tail = _relaid(cursor, state, fed[i:], token, left - i - 1)[: length - len(out)]
                break
        else:
            tail = []
        report(out + tail, len(out))
        yield


def _relaid(cursor: Cursor, state: int, tail: list[int], token: int, left: int) -> list[int]:
    """What of a draft's ``tail`` is tried behind ``token``, which took the place of its first token.

    The draft may have had tokens too many (``token`` comes a little later in it), a wrong one, or one too few; the
    first of these that is legal to its end is taken, else the one that is legal for longest.
    """
    laid = [tail[j + 1 :] for j in range(1, min(5, len(tail))) if tail[j] == token] + [tail[1:], tail]
    reach = [cursor.walk(state, one, left) for one in laid]
    whole = [one for one, count in zip(laid, reach, strict=True) if one and count == len(one)]
    return whole[0] if whole else max(zip(reach, laid, strict=True), key=lambda pair: pair[0])[1]


def log_sum(row: np.ndarray) -> float:
    """The logarithm of the sum of exponentials of a row of logits."""
    high = float(row.max())
    return high + float(np.log(np.exp(row - high, dtype=np.float64).sum()))
