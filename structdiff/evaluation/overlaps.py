"""Whether texts meant for judging share sequences of words with others, those a model was trained on above all."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

LENGTH = 5


class Overlap(NamedTuple):
    """The words that text number ``text`` and other text number ``other`` have in the same order."""

    text: int
    other: int
    words: str


def overlaps(texts: Iterable[str], other_texts: Iterable[str], length: int = LENGTH) -> list[Overlap]:
    """Every sequence of ``length`` words that a text shares with another one, each once per pair of texts.

    Words are compared without case, accents as composed characters, and without anything but letters and digits.

    >>> overlaps(["Please note that the shop is shut."], ["Note: that THE shop is open", "please note it"])
    [Overlap(text=0, other=0, words='note that the shop is')]

    Raises ValueError where ``length`` is not positive.
    """
    if length < 1:
        raise ValueError(f"length is {length}; it must be a number of words, 1 or more")
    holders: dict[tuple[str, ...], list[int]] = {}
    for number, text in enumerate(texts):
        for sequence in dict.fromkeys(_sequences(text, length)):
            holders.setdefault(sequence, []).append(number)
    return sorted(
        Overlap(number, other, " ".join(sequence))
        for other, text in enumerate(other_texts)
        for sequence in dict.fromkeys(_sequences(text, length))
        for number in holders.get(sequence, ())
    )


def normalised_words(text: str) -> list[str]:
    """The words of a text as `overlaps` compares them.

    >>> normalised_words("L'Été — №7, don't_stop!")
    ['l', 'été', 'no7', 'don', 't', 'stop']
    """
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold())


def _sequences(text: str, length: int) -> Iterator[tuple[str, ...]]:
    words = normalised_words(text)
    return (tuple(words[i : i + length]) for i in range(len(words) - length + 1))
