"""The plan of a constraint: what is known of the output before any denoising."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from structdiff.lattice.frame import Frame
from structdiff.tokens.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Plan:
    """What is known of the output before any denoising: per position, which tokens can still occur.

    ``anchors`` (forced tokens) maps each position with exactly one possible token to that token.
    """

    frame: Frame
    vocabulary: Vocabulary
    title: str

    @property
    def length(self) -> int:
        return self.frame.length

    def allowed(self, position: int) -> np.ndarray:
        """int32[n]: the token ids that can occur at ``position``, end tokens included, ascending."""
        if not 0 <= position < self.length:
            raise IndexError(f"position {position} is outside the plan of {self.length} positions")
        return self.frame.allowed_tokens(position)

    def may_be_tail(self, position: int) -> bool:
        """Can the text have ended before ``position``?"""
        return self.frame.may_have_ended(position)

    @cached_property
    def anchors(self) -> dict[int, int]:
        found = {}
        for position in range(self.length):
            if not self.may_be_tail(position) and len(allowed := self.allowed(position)) == 1:
                found[position] = int(allowed[0])
        return found

    def render(self, piece: Callable[[int], str] | None = None) -> str:
        """The plan as text: forced tokens spelled out, runs of free positions with how many tokens each allows."""
        piece = piece or self.vocabulary.piece
        lines = [self.title, f"{len(self.anchors)} of {self.length} positions are forced"]
        position = 0
        while position < self.length:
            end = position + 1  # positions that share a block of live edges have the same mask
            while end < self.length and self.frame.alike(position, end):
                end += 1
            where = f"{position:>5}" if end == position + 1 else f"{position}-{end - 1}".rjust(5)
            if position in self.anchors:
                lines.append(f"{where}  forced  {piece(self.anchors[position])!r}")
            else:
                allowed = self.allowed(position)
                shown = " ".join(repr(piece(int(token))) for token in allowed[:6])
                more = f" and {len(allowed) - 6} more" if len(allowed) > 6 else ""
                tail = ", or tail" if self.may_be_tail(position) else ""
                lines.append(f"{where}  mask    {len(allowed)} tokens{tail}: {shown}{more}")
            position = end
        return "\n".join(lines)
