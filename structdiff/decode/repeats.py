"""Arrays that would repeat an element end instead: small models write the last element again and again otherwise.

JSON text is followed byte by byte as its tokens are written. Strings, objects and arrays are compared. An array whose
next element would equal an earlier one is taken back to the end of its last element, and there its end is written;
where the constraint wants a further element, the repeated one stands. Numbers and literals may repeat, and the same one
up to `RUN` times in a row.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

BLANKS = b" \t\r\n"
OPENING, CLOSING = b"[{", b"]}"
RUN = 16
"""So many equal numbers or literals in a row end an array."""


class _Level:
    """An open array or object, by the offset of its bracket.

    ``element``: the offset of the array's element that is being written, if it is one that is compared. ``border``:
    the offset behind its last whole element. ``waiting``: behind a comma, is the next element one that may be taken
    back? ``scalar``: the last number or literal, of which ``run`` equal ones stand in a row; ``begun``: the offset of
    the one that is being written.
    """

    def __init__(self, start: int, array: bool) -> None:
        self.start, self.array = start, array
        self.element: int | None = None
        self.border: int | None = None
        self.waiting = False
        self.seen: set[bytes] = set()
        self.begun: int | None = None
        self.scalar, self.run = b"", 0


class Repeats:
    """Follows the tokens of a JSON text; ``bytes_of`` spells a token.

    >>> repeats = Repeats(lambda token: [b'["a",', b'"', b'a', b'",'][token])
    >>> [repeats.write(token) for token in (0, 1, 2, 3)], repeats.held()
    ([False, False, False, True], 4)
    >>> repeats.take_back(), [repeats.allows(token) for token in (0, 1, 3)]  # all tokens; what follows is '["a"' again
    (4, [False, False, False])
    """

    def __init__(self, bytes_of: Callable[[int], bytes]) -> None:
        self.bytes_of = bytes_of
        self.text, self.ends = bytearray(), [0]
        self.levels: list[_Level] = []
        self.quoted = self.escaped = False
        self.found: tuple[int, int] | None = None
        self.closing: bytes | None = None
        self.closed = 0
        self._array = -1
        self._exempt: set[int] = set()

    def write(self, token: int) -> bool:
        """Take in a token. Returns whether an array repeats an element in it; then `take_back` is to be called."""
        piece = self.bytes_of(token)
        self._approach(piece)
        for byte in piece:
            self._follow(byte)
            self.text.append(byte)
        self.ends.append(len(self.text))
        return self.found is not None

    def held(self) -> int:
        """How many of the last tokens may yet be taken back."""
        borders = [level.border for level in self.levels if level.waiting and level.border is not None]
        return len(self.ends) - bisect_right(self.ends, min(borders)) if borders else 0

    def take_back(self) -> int:
        """Forget the repeated element, and wait for the end of its array; returns how many tokens are taken back."""
        assert self.found is not None
        self._array, border = self.found
        kept = bisect_right(self.ends, border)
        dropped, text = len(self.ends) - kept, bytes(self.text[: self.ends[kept - 1]])
        self.closing, self.ends = bytes(self.text[len(text) : border]), self.ends[:kept]
        self._exempt = {start for start in self._exempt if start < border}
        self.text, self.levels, self.found, self.quoted, self.escaped = bytearray(), [], None, False, False
        for byte in text:
            self._follow(byte)
            self.text.append(byte)
        self.closed += 1
        return dropped

    def allows(self, token: int) -> bool:
        """May this token be next, while the end of an array is awaited?"""
        rest = self.closing
        if rest is None:
            return True
        piece = self.bytes_of(token)
        if len(piece) <= len(rest):
            return bool(piece) and rest.startswith(piece)
        behind = piece[len(rest) :].lstrip(BLANKS)
        return piece.startswith(rest) and (not behind or behind.startswith(b"]"))

    def give_up(self) -> None:
        """The array cannot end here: its further elements may be any."""
        self._exempt.add(self._array)
        self.closing = None
        self.closed -= 1

    def _approach(self, piece: bytes) -> None:
        """The end of the array comes nearer, or is there."""
        if self.closing is not None:
            rest, behind = self.closing[len(piece) :], piece[len(self.closing) :]
            self.closing = None if behind.strip(BLANKS) else rest

    def _follow(self, byte: int) -> None:
        at, level = len(self.text), self.levels[-1] if self.levels else None
        if self.quoted:
            self.escaped, self.quoted = byte == 0x5C and not self.escaped, byte != 0x22 or self.escaped
            if not self.quoted:
                self._ended(at + 1)
        elif byte == 0x22 or byte in OPENING:
            if level is not None and level.array:
                level.element, level.run = at, 0
            self.quoted = byte == 0x22
            if not self.quoted:
                self.levels.append(_Level(at, byte == OPENING[0]))
        elif byte in CLOSING:
            self.levels.pop()
            self._ended(at + 1)
        elif byte not in BLANKS and level is not None and level.array:
            if byte == 0x2C:
                self._scalar_ended(level)
                level.waiting = level.border is not None
            else:  # a number or a literal, which ends with its last byte
                level.begun = at if level.begun is None else level.begun
                level.element, level.border, level.waiting = None, at + 1, False

    def _scalar_ended(self, level: _Level) -> None:
        """A comma: where a number or a literal stands before it, that is whole now."""
        if level.begun is None or level.border is None:
            return
        written = bytes(self.text[level.begun : level.border])
        level.run = level.run + 1 if written == level.scalar and level.run else 1
        level.begun, level.scalar = None, written
        if level.run >= RUN and level.start not in self._exempt:
            self.found = self.found or (level.start, level.border)

    def _ended(self, end: int) -> None:
        """A string, an object or an array ends before ``end``."""
        level = self.levels[-1] if self.levels else None
        if level is None or level.element is None:
            return
        written = bytes(self.text[level.element : end - 1])  # without its last byte, which says nothing
        if written in level.seen and level.border is not None and level.start not in self._exempt:
            self.found = self.found or (level.start, level.border)
            return
        level.seen.add(written)
        level.element, level.border, level.waiting = None, end, False
