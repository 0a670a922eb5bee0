"""Prompt look-up: drafts that cost nothing, because extraction copies a lot.

What followed the last characters earlier in the prompt or in the output is likely to follow them again. Characters are
compared and not tokens: a name at the beginning of a JSON string is other tokens than behind a blank. Source of the
idea: A. Saxena, "Prompt Lookup Decoding", 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

LENGTHS = (24, 16, 12, 8, 6, 5, 4, 3, 2, 1)
"""The numbers of last bytes that are looked up, the most telling first."""


def by_number(token: int) -> bytes:
    """Stands in for the spelling of a token whose vocabulary is not known."""
    return token.to_bytes(4, "big")


class PromptLookup:
    """Finds which tokens followed the last bytes before, the latest place of each number of bytes.

    >>> spelled = [b" Ann", b" Lee", b"Ann", b"."]
    >>> lookup = PromptLookup([0, 1, 3], spelled.__getitem__)
    >>> lookup.extend([2])
    >>> [spelled[token] for token in lookup.following()], lookup.following([1])
    ([b' Lee'], [3])
    """

    def __init__(self, prompt: Sequence[int], spell: Callable[[int], bytes] = by_number) -> None:
        self.tokens: list[int] = []
        self.spell = spell
        self._last = b""
        self._behind: dict[bytes, int] = {}
        self.extend(prompt)

    def extend(self, tokens: Sequence[int]) -> None:
        """Take in tokens that were written."""
        for token in tokens:
            end, last = len(self.tokens), self._last
            for length in LENGTHS:
                if length <= len(last):
                    self._behind[last[-length:]] = end
            self.tokens.append(token)
            self._last = (last + self.spell(token))[-LENGTHS[0] :]

    def following(self, further: Sequence[int] = ()) -> list[int]:
        """The tokens that followed the last bytes, ``further`` among them; behind the most equal bytes first."""
        last = self._last + b"".join(map(self.spell, further))
        places = [self._behind.get(last[-length:]) for length in LENGTHS if length <= len(last)]
        return list(dict.fromkeys(self.tokens[place] for place in places if place is not None))
