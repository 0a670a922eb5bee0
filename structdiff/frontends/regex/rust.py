"""The regular expressions of Rust's ``regex`` crate, as Pydantic's ``pattern`` uses them.

Not in this dialect: lookaround and backreferences. Besides the usual: flags (``(?i)``, ``(?x)``, ``(?s-m:...)``),
``\\A``, ``\\z``, ``\\b{start}``, POSIX classes (``[[:alpha:]]``), classes inside classes and their intersection,
difference and symmetric difference (``[\\w&&[^\\d]]``, ``--``, ``~~``), Unicode properties by loose names.

>>> parse_rust("[a-f--[b-e]]"), parse_rust("(?i)k")    # k, K and the Kelvin sign
(Chars(((97, 97), (102, 102))), Chars(((75, 75), (107, 107), (8490, 8490))))
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from structdiff.automata import properties, unicode
from structdiff.automata.unicode import Ranges
from structdiff.core.errors import InvalidSchema, UnsupportedSchema
from structdiff.frontends.regex.charsets import NO_CHARS, CharSet, union
from structdiff.frontends.regex.reading import Reading
from structdiff.frontends.regex.terms import Assertion, Chars, Choice, Loop, Term, concat

_CONTROL = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
_GROUP_NAME = re.compile(r"\(\?P?<([^\W\d][\w.\[\]]*)>")
_FLAGS = re.compile(r"\(\?([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])")
_REPEAT = re.compile(r"\{\s*(\d+)\s*(,\s*(\d*)\s*)?\}")
_POSIX = re.compile(r"\[:(\^?)([a-z]+):\]")
_POSIX_CLASSES = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": "\x00-\x7f", "blank": "\t\t  ", "cntrl": "\x00-\x1f\x7f\x7f",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~", "punct": "!-/:-@[-`{-~", "space": "\t-\r  ",
    "upper": "A-Z", "word": "0-9A-Z__a-z", "xdigit": "0-9A-Fa-f",
}  # fmt: skip


@dataclass(frozen=True)
class _Flags:
    """The flags in force at a place: ignore case, many lines, dot matches all, verbose, Unicode."""

    i: bool = False
    m: bool = False
    s: bool = False
    x: bool = False
    u: bool = True
    R: bool = False


def parse_rust(pattern: str) -> Term:
    """The terms of a pattern. Raises `InvalidSchema` where Rust has no such pattern."""
    try:
        return _Parser(pattern).parse()
    except RecursionError as error:
        raise InvalidSchema(f"{pattern[:80]!r} is nested too deeply") from error


@lru_cache
def rust_class(letter: str, unicode_on: bool = True) -> CharSet:
    """``\\d``, ``\\w``, ``\\s`` and their complements."""
    if letter.isupper():
        return ~rust_class(letter.lower(), unicode_on)
    if not unicode_on:
        ascii_class = {"d": unicode.ASCII_DIGIT, "w": unicode.ASCII_WORD, "s": unicode.ASCII_SPACE}
        return CharSet.of(ascii_class[letter])
    binary, category = properties.binary, properties.category
    if letter == "d":
        return _settled(category("Nd"))
    if letter == "s":
        return _settled(binary("White_Space"))
    return _settled(
        unicode.join(binary("Alphabetic"), category("M"), category("Nd"), category("Pc"), binary("Join_Control"))
    )


def _settled(ranges: Ranges) -> CharSet:
    return CharSet.settled(ranges, properties.settled())


class _Parser(Reading):
    """Recursive descent; ``at`` is the place of the next character."""

    dialect = "a regular expression of Rust"

    def __init__(self, pattern: str) -> None:
        super().__init__(pattern)
        self.flags = _Flags()

    def skip(self) -> None:
        """In verbose mode, white space and comments."""
        while self.flags.x and self.at < len(self.text):
            if self.text[self.at].isspace():
                self.at += 1
            elif self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end + 1
            else:
                return

    def parse(self) -> Term:
        term = self.choice()
        if self.at < len(self.text):
            raise self.error("unmatched ')'")
        return term

    def choice(self) -> Term:
        """Alternatives to the end of the group; flags set inside hold to its end, over ``|``."""
        outer = self.flags
        options = [self.sequence()]
        while self.take("|"):
            options.append(self.sequence())
        self.flags = outer
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def sequence(self) -> Term:
        items: list[Term] = []
        while True:
            self.skip()
            if self.at >= len(self.text) or self.text[self.at] in "|)":
                return concat(items)
            item = self.atom()
            if item is not None:
                items.append(self.repeated(item))

    def repeated(self, item: Term) -> Term:
        while True:
            self.skip()
            bounds = self.bounds()
            if bounds is None:
                return item
            self.skip()
            self.take("?")  # lazy: the same language
            item = Loop(item, *bounds)

    def bounds(self) -> tuple[int, int | None] | None:
        if self.take("*"):
            return 0, None
        if self.take("+"):
            return 1, None
        if self.take("?"):
            return 0, 1
        if not self.peek("{"):
            return None
        found = _REPEAT.match(self.text, self.at)
        if found is None:
            raise self.error("a '{' that opens no repetition")
        self.at = found.end()
        low = int(found[1])
        high = low if found[2] is None else int(found[3]) if found[3] else None
        if high is not None and high < low:
            raise self.error("numbers out of order in {}")
        return low, high

    def atom(self) -> Term | None:
        """One term without its repetition; None for flags, which match nothing and cannot be repeated."""
        char = self.next()
        if char == "(":
            return self.group()
        if char == "[":
            return Chars.of(self.char_class())
        if char in "*+?{":
            raise self.error("nothing to repeat")
        if char in "^$" and self.flags.m and self.flags.R:
            raise UnsupportedSchema("", "pattern", f"the flags mR together in {self.text!r}")
        if char == "^":
            return Assertion("line_start" if self.flags.m else "start")
        if char == "$":
            return Assertion("line_end" if self.flags.m else "end")
        if char == ".":
            if not self.flags.u:
                raise self.error("'.' without Unicode may match half a character")
            ends = unicode.of_chars("\r\n" if self.flags.R else "\n")
            return Chars(unicode.EVERYTHING if self.flags.s else unicode.complement(ends))
        if char == "\\":
            return self.escaped()
        return Chars.of(self.literal(ord(char)))

    def literal(self, code: int) -> CharSet:
        return self.folded(CharSet.of(((code, code),)))

    def folded(self, chars: CharSet) -> CharSet:
        """The set with all characters that are alike to its own, where case is ignored."""
        if not self.flags.i:
            return chars
        whole = CharSet(properties.case_folded(chars.sure), properties.case_folded(chars.perhaps))
        return whole if self.flags.u else whole & CharSet.of(((0, 0x7F),))

    def escaped(self) -> Term:
        """The backslash has been read."""
        if self.take("A"):
            return Assertion("start")
        if self.take("z"):
            return Assertion("end")
        word = Chars.of(rust_class("w", self.flags.u))
        if self.take("B"):
            return Assertion("not_boundary", word)
        after, no_word_before = Assertion("ahead", word), Assertion("behind", word, negative=True)
        before, no_word_after = Assertion("behind", word), Assertion("ahead", word, negative=True)
        for place, conditions in {
            "b{start}": [no_word_before, after], "<": [no_word_before, after], "b{end}": [before, no_word_after],
            ">": [before, no_word_after], "b{start-half}": [no_word_before], "b{end-half}": [no_word_after],
        }.items():  # fmt: skip
            if self.take(place):
                return concat(list(conditions))
        if self.take("b"):
            return Assertion("boundary", word)
        found = self.escape()
        return Chars.of(self.literal(found) if isinstance(found, int) else found)

    def escape(self) -> CharSet | int:
        """A set of characters, or one character; the backslash has been read."""
        char = self.next()
        if char in "dDwWsS":
            if not self.flags.u and char.isupper():
                raise self.error(f"\\{char} without Unicode may match half a character")
            return rust_class(char, self.flags.u)
        if char in "pP":
            return self.property(char == "P")
        if char in _CONTROL:
            return _CONTROL[char]
        if char in _HEX_DIGITS:
            return self.hexadecimal(_HEX_DIGITS[char])
        if char.isdigit():
            raise self.error("Rust has no backreferences")
        if not char.isascii() or char.isalnum() or char in "<>":
            raise self.error(f"there is no escape \\{char}")
        return ord(char)

    def property(self, negated: bool) -> CharSet:
        if not self.flags.u:
            raise self.error("\\p needs Unicode")
        name = self.next()
        if name == "{":
            end = self.text.find("}", self.at)
            if end < 0:
                raise self.error("\\p{ without }")
            name, self.at = self.text[self.at : end], end + 1
        chars = _settled(properties.rust_property(name))
        chars = self.folded(chars)
        return ~chars if negated else chars

    def hexadecimal(self, digits: int) -> int:
        if self.take("{"):
            end = self.text.find("}", self.at)
            text = self.text[self.at : end] if end >= 0 else ""
            self.at = end + 1
        else:
            text = self.text[self.at : self.at + digits]
            self.at += digits
            if len(text) < digits:
                raise self.error(f"{digits} hexadecimal digits expected")
        if not re.fullmatch("[0-9a-fA-F]+", text):
            raise self.error("hexadecimal digits expected")
        code = int(text, 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise self.error("not a character")
        if code > 0x7F and not self.flags.u:
            raise UnsupportedSchema("", "pattern", f"bytes instead of characters, (?-u), in {self.text!r}")
        return code

    def group(self) -> Term | None:
        self.at -= 1
        if self.peek("(?") and any(self.peek(f"(?{mark}") for mark in ("=", "!", "<=", "<!")):
            raise self.error("Rust has no lookaround")
        if named := _GROUP_NAME.match(self.text, self.at):
            self.at = named.end()
            return self.closed()
        if set_flags := _FLAGS.match(self.text, self.at):
            self.at = set_flags.end()
            outer = self.flags
            self.flags = self.changed(set_flags[1], True, self.changed(set_flags[2] or "", False, outer))
            if set_flags[3] == ")":
                return None
            term = self.closed()
            self.flags = outer
            return term
        if self.peek("(?"):
            raise self.error("invalid group")
        self.at += 1
        return self.closed()

    def changed(self, names: str, value: bool, flags: _Flags) -> _Flags:
        for name in names:
            if name == "U":  # lazy and greedy change places: the same language
                continue
            if name not in "imsxuR":
                raise self.error(f"there is no flag {name!r}")
            flags = replace(flags, **{name: value})
        return flags

    def closed(self) -> Term:
        term = self.choice()
        if not self.take(")"):
            raise self.error("missing ')'")
        return term

    # ------------------------------------------------------------------------------------------------------- classes

    def char_class(self) -> CharSet:
        """A bracketed class whose ``[`` has been read, to its ``]``."""
        self.skip()
        negated = self.take("^")
        self.skip()
        parts: list[CharSet] = []
        while self.peek("-"):
            self.at += 1
            parts.append(CharSet.of(unicode.of_chars("-")))
            self.skip()
        if not parts and self.take("]"):
            parts.append(CharSet.of(unicode.of_chars("]")))
        left, operation = NO_CHARS, "|"
        while True:
            self.skip()
            if self.take("]"):
                chars = self.folded(self.combined(left, operation, union(*parts)))
                return ~chars if negated else chars
            if self.peek("["):
                parts.append(self.posix() or self.nested())
                continue
            found = next((mark for mark in ("&&", "--", "~~") if self.peek(mark)), None)
            if found is None:
                parts.append(self.class_range())
                continue
            self.at += 2
            left, operation, parts = self.combined(left, operation, union(*parts)), found, []

    def combined(self, left: CharSet, operation: str, right: CharSet) -> CharSet:
        if operation == "|":
            return left | right
        left, right = self.folded(left), self.folded(right)
        return {"&&": left & right, "--": left - right, "~~": left ^ right}[operation]

    def nested(self) -> CharSet:
        self.at += 1
        return self.char_class()

    def posix(self) -> CharSet | None:
        found = _POSIX.match(self.text, self.at)
        if found is None or found[2] not in _POSIX_CLASSES:
            return None
        self.at = found.end()
        pairs = iter(_POSIX_CLASSES[found[2]].replace("-", ""))
        chars = CharSet.of(unicode.normalize((ord(low), ord(next(pairs))) for low in pairs))
        chars = self.folded(chars)
        return ~chars if found[1] else chars

    def class_range(self) -> CharSet:
        first = self.class_member()
        self.skip()
        start = self.at
        last: CharSet | int = first
        if self.take("-"):
            self.skip()
            if self.peek("]") or self.peek("-"):
                self.at = start
            else:
                last = self.class_member()
        if isinstance(first, CharSet) and last is first:
            return first
        if isinstance(first, CharSet) or isinstance(last, CharSet):
            raise self.error("a class cannot end a range")
        if first > last:
            raise self.error("range out of order")
        return CharSet.of(((first, last),))

    def class_member(self) -> CharSet | int:
        char = self.next()
        return self.escape() if char == "\\" else ord(char)
