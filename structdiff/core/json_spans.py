"""Where the values of a JSON text stand: spans of leaves and members by JSON Pointer; the text may be unfinished."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, field

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.S)
_BARE = re.compile(rb"[^\s,\]}]+")
_SPACE = re.compile(rb"\s*")


@dataclass(frozen=True)
class Leaf:
    """A scalar or an empty container: bytes ``start:end``; ``end`` is None where the text breaks off inside it.

    ``after`` is the byte behind the colon, bracket or comma before it; blanks may lie between. A number at the end of
    the text counts as broken off: more digits could follow.
    """

    pointer: str
    after: int
    start: int
    end: int | None
    number: bool


@dataclass(frozen=True)
class Gap:
    """A place of an object where a key may come: behind byte ``start`` (a brace, or the value of member ``before``).

    ``place`` is the byte of the next key's quote or of the closing brace, ``key`` that key: None for the brace, "" with
    ``cut`` where the text breaks off inside the key. ``number`` says whether a number ends at ``start``.
    """

    pointer: str
    before: str | None
    start: int
    place: int
    key: str | None
    number: bool
    cut: bool = False


@dataclass
class Spans:
    """The leaves and gaps of a text; by pointer, the bytes of every finished member (key, colon, value) and value."""

    leaves: list[Leaf] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    members: dict[str, tuple[int, int]] = field(default_factory=dict)
    values: dict[str, tuple[int, int]] = field(default_factory=dict)


class _Unfinished(Exception):
    pass


def scan(text: bytes) -> Spans:
    """The spans of a JSON text that is valid as far as it goes.

    >>> [(leaf.pointer, leaf.start, leaf.end) for leaf in scan(b'{"a": 1, "b": ["x", {}], "c": "br').leaves]
    [('/a', 6, 7), ('/b/0', 15, 18), ('/b/1', 20, 22), ('/c', 30, None)]
    """
    scanner = _Scanner(text)
    with contextlib.suppress(_Unfinished):
        scanner.value(0, "")
    return scanner.spans


def pointer_of(parent: str, token: str | int) -> str:
    """``parent`` with one more reference token, escaped.

    >>> pointer_of("/a", "b/c~d")
    '/a/b~1c~0d'
    """
    return f"{parent}/{str(token).replace('~', '~0').replace('/', '~1')}"


class _Scanner:
    def __init__(self, text: bytes) -> None:
        self.text, self.spans = text, Spans()
        self.number_ends = -1

    def space(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        assert found is not None
        if found.end() == len(self.text):
            raise _Unfinished
        return found.end()

    def value(self, after: int, pointer: str) -> int:
        """The place behind the value that starts at ``after`` or behind the blanks there."""
        at = self.space(after)
        end = self.behind(after, at, pointer)
        self.spans.values[pointer] = (at, end)
        return end

    def behind(self, after: int, at: int, pointer: str) -> int:
        opening = self.text[at : at + 1]
        if opening in (b"{", b"["):
            closing = b"}" if opening == b"{" else b"]"
            if self.text[at + 1 : at + 2] == closing:
                self.spans.leaves.append(Leaf(pointer, after, at, at + 2, False))
                if opening == b"{":
                    self.spans.gaps.append(Gap(pointer, None, at + 1, at + 1, None, False))
                return at + 2
            return self.object(at, pointer) if opening == b"{" else self.array(at, pointer)
        string = opening == b'"'
        found = (_STRING if string else _BARE).match(self.text, at)
        number = opening in b"-0123456789"
        if found is None or (not string and found.end() == len(self.text) and (number or not _word(found[0]))):
            self.spans.leaves.append(Leaf(pointer, after, at, None, number))
            raise _Unfinished
        self.spans.leaves.append(Leaf(pointer, after, at, found.end(), number))
        if number:
            self.number_ends = found.end()
        return found.end()

    def object(self, at: int, pointer: str) -> int:
        before: str | None = None
        start = at + 1
        while True:
            place = self.space(start)
            if self.text[place : place + 1] == b",":
                place = self.space(place + 1)
            number = self.number_ends == start
            if self.text[place : place + 1] == b"}":
                self.spans.gaps.append(Gap(pointer, before, start, place, None, number))
                return place + 1
            found = _STRING.match(self.text, place)
            if found is None:
                self.spans.gaps.append(Gap(pointer, before, start, place, "", number, cut=True))
                raise _Unfinished
            key = json.loads(found[0])
            self.spans.gaps.append(Gap(pointer, before, start, place, key, number))
            before, child = key, pointer_of(pointer, key)
            start = self.value(self.space(found.end()) + 1, child)
            self.spans.members[child] = (place, start)

    def array(self, at: int, pointer: str) -> int:
        at, number = at + 1, 0
        while True:
            at = self.space(self.value(at, pointer_of(pointer, number)))
            if self.text[at : at + 1] == b"]":
                return at + 1
            at, number = at + 1, number + 1


def _word(text: bytes) -> bool:
    return text in (b"true", b"false", b"null")
