"""The text between two choices of an output, in the tokens that a model would spell it with.

Where a constraint leaves one way to go on but for blanks, the text is known, and yet several tokenisations of it may be
legal. It is a draft: the model decides.
"""

from __future__ import annotations

import functools
import re

import numpy as np

from structdiff.decode.cursor import Cursor
from structdiff.tokens.vocabulary import Vocabulary

LONGEST = 80
"""Bytes of such a text at most."""
MANY = 4096
"""Where so many tokens are legal there is a choice."""
UNBOUNDED = 1 << 40
SEPARATED = re.compile(rb'((?<=["}\]\del]),|(?<="):|[{\[])([ \t\r\n]*)(?=["\d\-tfn{\[])')
"""Separators with the blanks behind them; a few in strings are taken for some, which costs a draft and no more."""
BORDER = re.compile(rb" ?[.,;:()|\r\n]| -")
"""How what follows a value in a text begins."""
CLOSERS = (b'",', b'"},', b'"}', b'"],', b'"]', b'"')
BLANKS, DIGITS = frozenset(b" \t\r\n"), frozenset(b"-0123456789")


class Skeleton:
    """Finds the text that follows a state of a constraint, with blanks where the output so far has them.

    At first they are taken to be where `json.dumps` has them.

    >>> from structdiff.testing.tiny import tiny, tiny_vocabulary
    >>> vocabulary = tiny_vocabulary([b"a", b"b", b",", b" ", b"ab", b"x"])
    >>> cursor = Cursor(tiny("x, aba|x,aba|x, abb|x,abb", vocabulary), vocabulary.end_ids)
    >>> [vocabulary.bytes_of([token]) for token in Skeleton(cursor, vocabulary).behind(0, b"")]
    [b'x', b',', b' ', b'ab']
    """

    def __init__(self, cursor: Cursor, vocabulary: Vocabulary) -> None:
        self.cursor, self.vocabulary = cursor, vocabulary
        self.blanks = {b":": b" ", b",": b" ", b"{": b"", b"[": b""}
        self._known: dict[tuple[int, bytes], list[int]] = {}

    def see(self, written: bytes) -> None:
        """Take the blanks from ``written``, the end of the output so far.

        >>> from structdiff.testing.tiny import tiny, tiny_vocabulary
        >>> skeleton = Skeleton(Cursor(tiny("a"), (3,)), tiny_vocabulary())
        >>> skeleton.see(b'{\\n  "a": 1,"b')
        >>> skeleton.blanks
        {b':': b' ', b',': b'', b'{': b'\\n  ', b'[': b''}
        """
        seen = {match[1]: match[2] for match in SEPARATED.finditer(written)}
        if any(self.blanks[separator] != blanks for separator, blanks in seen.items()):
            self.blanks |= seen
            self._known.clear()

    def behind(self, state: int, last: bytes) -> list[int]:
        """The tokens of the text that follows ``state``, where the output so far ends with ``last``."""
        wanted = self.blanks.get(last[-1:], b"")
        key = state, wanted
        if key not in self._known:
            text = self._text(state, wanted).decode("utf-8", "ignore").encode()
            self._known[key] = (self.vocabulary.encode(text) or []) if text else []
        return self._known[key]

    def closers(self, last: bytes, token: int) -> list[int]:
        """Tokens that end a JSON string behind ``last``, where the ``token`` that follows in the text ends a value."""
        if last.endswith(b'"') or not BORDER.match(self.vocabulary.bytes_of([token])):
            return []
        return self._closers

    @functools.cached_property
    def _closers(self) -> list[int]:
        found = [self.vocabulary.encode(one) or [] for one in CLOSERS]
        return [tokens[0] for tokens in found if len(tokens) == 1]

    def _text(self, state: int, wanted: bytes) -> bytes:
        """The text that follows ``state``; the blanks that are ``wanted`` stand first, as far as they are legal."""
        text, choices = b"", frozenset[int]()
        while len(text) < LONGEST:
            choices = self._choices(state)
            others = choices - BLANKS
            if wanted[:1] and wanted[0] in choices:
                byte, wanted = wanted[0], wanted[1:]
            elif len(others) == 1:
                byte = next(iter(others))
                wanted = self.blanks.get(bytes([byte]), b"")
            else:
                break
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
        if self.cursor.automaton.accepting[state]:
            return frozenset()
        tokens, _ = self.cursor.legal(state, UNBOUNDED)
        if len(tokens) > MANY:
            return frozenset()
        return frozenset(np.unique(self.vocabulary.first_bytes[tokens]).tolist())
