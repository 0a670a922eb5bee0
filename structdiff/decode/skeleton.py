"""The text between two choices of an output, in the tokens that a model would spell it with.

Where a constraint leaves one way to go on but for blanks, the text is known, and yet several tokenisations of it are
legal. It is a draft: the model decides.
"""

from __future__ import annotations

import numpy as np

from structdiff.decode.cursor import Cursor
from structdiff.tokens.vocabulary import Vocabulary

LONGEST = 80
"""Bytes of such a text at most."""
MANY = 4096
"""Where so many tokens are legal there is a choice."""
UNBOUNDED = 1 << 40
BLANKS, DIGITS = frozenset(b" \t\r\n"), frozenset(b"-0123456789")


class Skeleton:
    """Finds the text that follows a state of a constraint: the model has the blanks where `json.dumps` has them.

    >>> from structdiff.testing.tiny import tiny, tiny_vocabulary
    >>> vocabulary = tiny_vocabulary([b"a", b"b", b",", b" ", b"ab", b"x"])
    >>> cursor = Cursor(tiny("x, aba|x,aba|x, abb|x,abb", vocabulary), vocabulary.end_ids)
    >>> [vocabulary.bytes_of([token]) for token in Skeleton(cursor, vocabulary).behind(0, b"")]
    [b'x', b',', b' ', b'ab']
    """

    def __init__(self, cursor: Cursor, vocabulary: Vocabulary) -> None:
        self.cursor, self.vocabulary = cursor, vocabulary
        self._known: dict[tuple[int, bool], list[int]] = {}

    def behind(self, state: int, last: bytes) -> list[int]:
        """The tokens of the text that follows ``state``, where the output so far ends with ``last``."""
        key = state, last[-1:] in (b",", b":")
        if key not in self._known:
            text = self._text(state, last[-1:])
            self._known[key] = (self.vocabulary.encode(text) or []) if text else []
        return self._known[key]

    def _text(self, state: int, last: bytes) -> bytes:
        text, choices = b"", frozenset[int]()
        while len(text) < LONGEST:
            choices = self._choices(state)
            blank = 0x20 in choices and (text[-1:] or last) in (b",", b":")
            others = choices - BLANKS
            if not blank and len(others) != 1:
                break
            byte = 0x20 if blank else next(iter(others))
            if (token := self.vocabulary.byte_ids.get(byte)) is None:
                break
            text += bytes([byte])
            state = self.cursor.step(state, token, UNBOUNDED)
            if state < 0:
                break
        # A blank before a literal is part of the literal's token, and of no digit's.
        return text if not text.endswith(b" ") or choices - BLANKS <= DIGITS else text[:-1]

    def _choices(self, state: int) -> frozenset[int]:
        """The first bytes of the tokens that are legal; none where the output may end, or where there are many."""
        if self.cursor.automaton.final(state) or self.cursor.automaton.accepting[state]:
            return frozenset()
        tokens, _ = self.cursor.legal(state, UNBOUNDED)
        if len(tokens) > MANY:
            return frozenset()
        return frozenset(np.unique(self.vocabulary.first_bytes[tokens]).tolist())
