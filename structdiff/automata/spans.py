"""The spans of a text as an automaton: every part of it that begins and ends between words, as JSON writes it.

The states are sets of places in the text that the same bytes lead to, so that there are about as many as the text has
bytes (the factor automaton of Blumer et al., 1985, for factors that begin and end at some places only).

>>> spans = span_automaton(Passage('Ann  Lee, of "Ulm"'))
>>> [spans.accepts(text) for text in (b"Ann", b"Ann Lee", b"Lee, of", b"An", b'\\\\"Ulm\\\\"')]
[True, True, True, False, True]
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from structdiff.automata.byte_automaton import NOTHING, ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.automata.literals import SHORT_ESCAPES
from structdiff.automata.tree import Literal, Network, Node
from structdiff.core.limits import Limits

_UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1100, 0x11FF), (0x2E80, 0xA4CF), (0xAC00, 0xD7AF),
    (0xF900, 0xFAFF), (0xFF66, 0xFF9D), (0x20000, 0x3FFFF),
)  # fmt: skip
"""Characters of scripts that put no blanks between words, or join particles to them: each is a word of its own."""
_JOINER = "\u200d"


@dataclass(frozen=True)
class Reading:
    """How a span is read off a text.

    ``words``: it begins and ends between words (else between any two characters). ``ignore_case``: it may be spelt in
    upper or lower case. ``exact_blanks``: runs of blanks and line breaks stand as in the text (else as one blank).
    ``max_words``: no more parts between blanks than that.
    """

    words: bool = True
    ignore_case: bool = False
    exact_blanks: bool = False
    max_words: int | None = None


class Passage:
    """A text under a reading: where spans may begin and end, and where a value stands."""

    def __init__(self, text: str, reading: Reading = Reading()) -> None:
        self.text, self.reading = text, reading

    @cached_property
    def _borders(self) -> list[bool]:
        """Whether a span may begin or end before each character, and at the end."""
        text, words = self.text, self.reading.words
        kinds = list(map(_kind, text))
        inside = [
            right == _MARK or text[i - 1] == _JOINER or (words and left == right == _LETTER) or
            (left == _MARK and words and right == _LETTER and _carrier(kinds, i - 1) == _LETTER)
            for i, (left, right) in enumerate(itertools.pairwise(kinds), 1)
        ]  # fmt: skip
        return [True, *(not one for one in inside), True] if text else [True]

    @cached_property
    def _pieces(self) -> list[tuple[int, int, bool]]:
        """The text as (start, end, is it blank): single characters, but whole runs of blanks where these become one.

        A character that no UTF-8 has is left out: no span goes across it.
        """
        pieces, at, text = [], 0, self.text
        while at < len(text):
            end = at + 1
            blank = text[at].isspace()
            if blank and not self.reading.exact_blanks:
                while end < len(text) and text[end].isspace():
                    end += 1
            if not "\ud800" <= text[at] <= "\udfff":
                pieces.append((at, end, blank))
            at = end
        return pieces

    def edges(self, ascii_only: bool = False) -> tuple[int, list[tuple[int, Node | None, int]], list[int]]:
        """The text as a network: its size, its edges, its final states. State 0 begins; place i is state i + 1, and
        with ``max_words`` there is a state for each place and number of words before it."""
        n, most = len(self.text) + 1, self.reading.max_words
        edges: list[tuple[int, Node | None, int]] = []
        finals = []
        borders, gap = self._borders, False
        for start, end, blank, spellings in self._runs(ascii_only):
            begins, gap = blank and not gap, blank
            if borders[start] and not blank:
                edges += [(0, one, end + 1) for one in spellings]
            for count in range(most or 1):
                after = count + (begins and most is not None)
                if most is None or after < most:
                    source, target = 1 + start + count * n, 1 + end + after * n
                    edges += [(source, one, target) for one in spellings]
                    if not blank and borders[end]:
                        finals.append(target)
        return 1 + n * (most or 1), edges, finals

    def _runs(self, ascii_only: bool) -> Iterator[tuple[int, int, bool, list[Literal]]]:
        """The pieces with their spellings, those joined that no border parts and that have one spelling each."""
        written, borders = _Written(self.reading.ignore_case, ascii_only), self._borders
        start, behind, data = 0, -1, b""
        for at, end, blank in self._pieces:
            spellings = written.blank if blank and not self.reading.exact_blanks else written[self.text[at]]
            if data and (at != behind or borders[at] or blank or len(spellings) > 1):
                yield start, behind, False, [Literal(data)]
                data = b""
            if blank or len(spellings) > 1:
                yield at, end, blank, spellings
            else:
                start, behind, data = start if data else at, end, data + spellings[0].data
        if data:
            yield start, behind, False, [Literal(data)]

    def find(self, value: str) -> list[tuple[int, int]]:
        """(start, end) of every place in the text where a value of this reading stands, in order.

        >>> Passage("Ann,\\nAnne and ANN", Reading(ignore_case=True)).find("ann")
        [(0, 3), (14, 17)]
        """
        if not value:
            return []
        fold = _folded if self.reading.ignore_case else str
        pieces = self._pieces
        single = not self.reading.exact_blanks
        line = "".join(" " if blank and single else fold(self.text[start]) for start, _, blank in pieces)
        wanted = "".join(map(fold, value))
        found, at, borders = [], line.find(wanted), self._borders
        while at >= 0:
            first, last = pieces[at], pieces[at + len(wanted) - 1]
            if borders[first[0]] and borders[last[1]] and not first[2] and not last[2]:
                found.append((first[0], last[1]))
            at = line.find(wanted, at + 1)
        return [span for span in found if not any("\ud800" <= char <= "\udfff" for char in self.text[slice(*span)])]

    def spelt(self, value: str) -> str:
        """A value as the text spells it where it first stands, its blanks as the value has them."""
        spans = self.find(value)
        if not spans or not self.reading.ignore_case:
            return value
        part = self.text[slice(*spans[0])]
        return part if self.reading.exact_blanks else " ".join(part.split())


def span_automaton(passage: Passage, ascii_only: bool = False, limits: Limits | None = None) -> ByteAutomaton:
    """The minimal automaton of all spans of a passage, written as the inside of JSON strings."""
    size, edges, finals = passage.edges(ascii_only)
    return compile_tree(Network(size, tuple(edges), 0, tuple(finals)), limits) if finals else NOTHING


_LETTER, _OWN, _MARK, _OTHER = range(4)


@functools.lru_cache(maxsize=1 << 14)
def _kind(char: str) -> int:
    code = ord(char)
    if code < 0x80:
        return _LETTER if char.isalnum() or char == "_" else _OTHER
    if char == _JOINER or unicodedata.category(char)[0] == "M" or 0x1F3FB <= code <= 0x1F3FF:
        return _MARK
    if any(low <= code <= high for low, high in _UNSPACED):
        return _OWN
    return _LETTER if char.isalnum() else _OTHER


def _carrier(kinds: list[int], at: int) -> int:
    """The kind of the character that carries the mark at ``at``."""
    while at and kinds[at] == _MARK:
        at -= 1
    return kinds[at]


def _folded(char: str) -> str:
    """One character for all the spellings of a letter, where these are single characters."""
    upper = char.upper()
    return upper if len(upper) == 1 else char


class _Written(dict[str, list[Literal]]):
    """How each character may be written inside a JSON string."""

    def __init__(self, ignore_case: bool, ascii_only: bool) -> None:
        super().__init__()
        self._ignore_case, self._ascii_only = ignore_case, ascii_only
        self.blank = [Literal(b" ")]

    def __missing__(self, char: str) -> list[Literal]:
        chars = {char}
        if self._ignore_case:
            others = (char.lower(), char.upper(), char.swapcase())
            chars |= {one for one in others if len(one) == 1 and _folded(one) == _folded(char)}
        self[char] = [Literal(data) for one in sorted(chars) for data in _spellings(one, self._ascii_only)]
        return self[char]


def _spellings(char: str, ascii_only: bool) -> Iterator[bytes]:
    code = ord(char)
    if code in SHORT_ESCAPES:
        yield SHORT_ESCAPES[code]
    elif code < 0x20 or (ascii_only and code > 0x7F):
        units = [code] if code < 0x10000 else [0xD800 + (code - 0x10000 >> 10), 0xDC00 + (code & 0x3FF)]
        texts = [""]
        for unit in units:
            texts = [f"{text}\\u{digits}" for text in texts for digits in _cases(f"{unit:04x}")]
        yield from (text.encode() for text in texts)
    else:
        yield char.encode()


def _cases(digits: str) -> list[str]:
    """Hexadecimal digits of either case."""
    found = [""]
    for digit in digits:
        found = [head + one for head in found for one in dict.fromkeys((digit, digit.upper()))]
    return found
