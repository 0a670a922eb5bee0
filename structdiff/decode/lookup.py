"""Prompt look-up: drafts that cost nothing, because extraction copies a lot.

What followed the last few tokens earlier in the prompt or in the output is likely to follow them again. Source: A.
Saxena, "Prompt Lookup Decoding", 2023.
"""

from __future__ import annotations

from collections.abc import Sequence

LONGEST = 4
"""The longest run of tokens that is looked up."""


class PromptLookup:
    """Finds what followed the last tokens before; the longest run that is known decides, its latest place first.

    >>> lookup = PromptLookup([1, 2, 3, 4, 9, 2, 3, 5])
    >>> lookup.extend([7, 2, 3])
    >>> lookup.following(3)
    [5, 7, 2]
    """

    def __init__(self, prompt: Sequence[int]) -> None:
        self.tokens: list[int] = []
        self._behind: dict[tuple[int, ...], int] = {}
        self.extend(prompt)

    def extend(self, tokens: Sequence[int]) -> None:
        """Take in tokens that were written."""
        for token in tokens:
            end = len(self.tokens)
            for length in range(1, min(LONGEST, end) + 1):  # runs that end before this token: it is what followed them
                self._behind[tuple(self.tokens[end - length :])] = end
            self.tokens.append(token)

    def following(self, count: int, further: Sequence[int] = ()) -> list[int]:
        """Up to ``count`` tokens that followed the last ones, if ``further`` were written too; none where none did."""
        last = [*self.tokens[-LONGEST:], *further][-LONGEST:]
        for length in range(len(last), 0, -1):
            place = self._behind.get(tuple(last[len(last) - length :]))
            if place is not None:
                return self.tokens[place : place + count]
        return []
