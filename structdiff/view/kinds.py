"""What each position of a canvas is at a denoising step, and how its token is written on one line.

>>> from structdiff.decode.trace import StepDone
>>> step = StepDone(row=0, canvas=0, step=1, steps_left=7, tokens=[5, 6, 7, 8, 9], committed=[5, 6, 7, 1, 1],
...                 accepted=[True, True, False, False, False], anchors=[True, False, False, False, False],
...                 entropy=[0.0, 0.1, 0.9, 1.2, 0.0], live=4)
>>> "".join(kind.mark for kind in kinds_of(step))
'#=~?.'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum

from rich.cells import cell_len

from structdiff.decode.trace import CanvasCommitted, StepDone


class Kind(Enum):
    """The state of one position. ``mark`` stands for it where there is no colour; ``note`` is its line in a legend."""

    FORCED = ("forced", "#", "the grammar leaves one token")
    ACCEPTED = ("accepted", "=", "kept for the next step")
    DRAFT = ("draft", "~", "not accepted, agrees with the likeliest whole output")
    NOISE = ("noise", "?", "not accepted, still changing")
    PADDING = ("padding", ".", "behind the end token")

    def __init__(self, title: str, mark: str, note: str) -> None:
        self.title, self.mark, self.note = title, mark, note


def kinds_of(step: StepDone) -> list[Kind]:
    """The kind of every position of the canvas after ``step``."""
    return [
        Kind.PADDING
        if position >= step.live
        else Kind.FORCED
        if anchor
        else Kind.ACCEPTED
        if accepted
        else Kind.DRAFT
        if token == committed
        else Kind.NOISE
        for position, (token, committed, accepted, anchor) in enumerate(
            zip(step.tokens, step.committed, step.accepted, step.anchors, strict=True)
        )
    ]


def lines_of(step: StepDone, piece: Callable[[int], str], width: int) -> list[list[tuple[str, Kind]]]:
    """The text tokens of a canvas as lines of at most ``width`` cells, wrapped between tokens."""
    lines: list[list[tuple[str, Kind]]] = [[]]
    used = 0
    for token, kind in zip(step.tokens, kinds_of(step), strict=True):
        if kind is Kind.PADDING:
            break
        text = one_line(piece(token))
        if lines[-1] and used + cell_len(text) > width:
            lines.append([])
            used = 0
        lines[-1].append((text, kind))
        used += cell_len(text)
    return lines


def settled(step: StepDone) -> int:
    """How many positions are forced or accepted."""
    return sum(kind in (Kind.FORCED, Kind.ACCEPTED) for kind in kinds_of(step))


def committed(step: StepDone, event: CanvasCommitted) -> StepDone:
    """The canvas as it was committed, drawn as a last step in which everything is accepted."""
    live = len(event.tokens)
    tokens = [*event.tokens, *step.committed[live:]]
    return replace(step, tokens=tokens, committed=tokens, accepted=[True] * len(tokens), live=live)


def mean_entropy(step: StepDone) -> float:
    """Mean entropy in nats over the positions that are text (0 for an empty text)."""
    live = step.entropy[: step.live]
    return sum(live) / len(live) if live else 0.0


def one_line(piece: str) -> str:
    r"""A token's text with nothing in it that would move the cursor.

    >>> one_line('a\n\tb\x07')
    'a⏎→b\\x07'
    """
    return "".join(
        {"\n": "⏎", "\r": "␍", "\t": "→"}.get(char) or (char if char.isprintable() else _escape(char)) for char in piece
    )


def _escape(char: str) -> str:
    return f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\u{ord(char):04x}"
