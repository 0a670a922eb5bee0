"""ECMA-262 regular expression syntax, as JSON Schema's ``pattern`` uses it.

Characters are code points (the ``u`` flag); of the older syntax, harmless spellings are accepted as well: ``\\-`` for
``-``, a ``{`` or ``]`` that stands for itself, ``[\\w-.]``. Escapes that ECMA-262 does not have (``\\A``, ``\\Z``,
``\\a``) are errors rather than letters.

JSON Schemas are also read by Python's ``re``, to which ``\\s``, ``\\w``, ``\\d``, ``.``, ``$`` and ``\\B`` mean
something else. With ``python_too`` both readings are kept side by side, character set by character set.

>>> parse_ecma("\\\\d{2,}")
Loop(item=Chars(((48, 57),)), low=2, high=None)
"""

from __future__ import annotations

import re

from structdiff.automata import properties, unicode
from structdiff.core.errors import InvalidSchema, UnsupportedSchema
from structdiff.frontends.regex.charsets import CharSet, union
from structdiff.frontends.regex.reading import Reading
from structdiff.frontends.regex.terms import Assertion, Chars, Choice, Loop, Term, concat

_NOT_NEWLINE = CharSet.of(unicode.complement(unicode.of_chars("\n\r\u2028\u2029")))
_HYPHEN = CharSet.of(unicode.of_chars("-"))
_CONTROL = {"f": 0x0C, "n": 0x0A, "r": 0x0D, "t": 0x09, "v": 0x0B}
_BRACES = re.compile(r"\{(\d+)(,(\d*))?\}")
_NAME = re.compile(r"\(\?<([^\W\d]|\$)[\w$]*>")
_FOREIGN = {"A": "write ^", "Z": "write $", "z": "write $"}


def parse_ecma(pattern: str, python_too: bool = False) -> Term:
    """The terms of an ECMA-262 pattern; with ``python_too`` classes hold for sure what ``re`` finds in them too."""
    try:
        return _Parser(pattern, python_too).parse()
    except RecursionError as error:
        raise InvalidSchema(f"{pattern[:80]!r} is nested too deeply") from error


class _Parser(Reading):
    """Recursive descent; ``at`` is the place of the next character."""

    def __init__(self, pattern: str, python_too: bool) -> None:
        # A pair of surrogates in a Python string is one character.
        super().__init__(pattern.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass"))
        self.python_too = python_too

    def named(self, letter: str) -> CharSet:
        """``\\d``, ``\\w``, ``\\s`` and their complements."""
        ecma = unicode.ecma_class(letter)
        return CharSet.between(ecma, unicode.python_class(letter)) if self.python_too else CharSet.of(ecma)

    def refuse(self, what: str) -> UnsupportedSchema:
        return UnsupportedSchema("", "pattern", f"{what} in {self.text!r}")

    def parse(self) -> Term:
        term = self.choice()
        if self.at < len(self.text):
            raise self.error("unmatched ')'")
        return term

    def choice(self) -> Term:
        options = [self.sequence()]
        while self.take("|"):
            options.append(self.sequence())
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def sequence(self) -> Term:
        items: list[Term] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            item = self.atom()
            items.append(item if isinstance(item, Assertion) else self.repeated(item))
        return concat(items)

    def repeated(self, item: Term) -> Term:
        if self.take("*"):
            bounds: tuple[int, int | None] = (0, None)
        elif self.take("+"):
            bounds = (1, None)
        elif self.take("?"):
            bounds = (0, 1)
        elif found := _BRACES.match(self.text, self.at):
            self.at = found.end()
            low = int(found[1])
            bounds = (low, low if found[2] is None else int(found[3]) if found[3] else None)
            if bounds[1] is not None and bounds[1] < low:
                raise self.error("numbers out of order in {}")
        else:
            return item
        self.take("?")  # lazy: the same language
        if self.at < len(self.text) and (self.text[self.at] in "*+?" or _BRACES.match(self.text, self.at)):
            raise self.error("nothing to repeat")
        return Loop(item, *bounds)

    def atom(self) -> Term:
        if _BRACES.match(self.text, self.at):
            raise self.error("nothing to repeat")
        char = self.next()
        if char == "^":
            return Assertion("start")
        if char == "$":
            return Assertion("end_perhaps_newline" if self.python_too else "end")
        if char == ".":
            python = CharSet.of(unicode.complement(unicode.of_chars("\n")))
            return Chars.of(CharSet(_NOT_NEWLINE.sure, python.perhaps) if self.python_too else _NOT_NEWLINE)
        if char == "[":
            return Chars.of(self.char_class())
        if char == "(":
            return self.group()
        if char == "\\":
            if self.peek("b") or self.peek("B"):
                word = Chars.of(self.named("w"))
                if self.next() == "b":
                    return Assertion("boundary", word)
                return Assertion("not_boundary_perhaps_empty" if self.python_too else "not_boundary", word)
            return Chars.of(self.escape(in_class=False))
        if char in "*+?":
            self.at -= 1
            raise self.error("nothing to repeat")
        return Chars(((ord(char), ord(char)),))

    def group(self) -> Term:
        self.at -= 1
        for opening, kind, negative in (
            ("(?=", "ahead", False), ("(?!", "ahead", True), ("(?<=", "behind", False), ("(?<!", "behind", True),
        ):  # fmt: skip
            if self.take(opening):
                return Assertion(kind, self.closed(), negative)  # type: ignore[arg-type]
        if self.take("(?:"):
            return self.closed()
        if named := _NAME.match(self.text, self.at):
            self.at = named.end()
            return self.closed()
        if self.peek("(?"):
            if re.compile(r"\(\?[a-z]*(-[a-z]+)?[:)]").match(self.text, self.at):
                raise self.refuse("flags inside the pattern, (?i) for example, are not ECMA-262")
            raise self.error("invalid group")
        self.take("(")
        return self.closed()

    def closed(self) -> Term:
        term = self.choice()
        if not self.take(")"):
            raise self.error("missing ')'")
        return term

    def char_class(self) -> CharSet:
        negated = self.take("^")
        parts: list[CharSet] = []
        while not self.take("]"):
            first = self.class_member()
            if self.peek("-") and not self.peek("-]"):
                self.take("-")
                last = self.class_member()
                low, high = _single(first), _single(last)
                if low is None or high is None:  # a class such as \w at either end: the hyphen stands for itself
                    parts += [first, _HYPHEN, last]
                elif low > high:
                    raise self.error("range out of order in character class")
                else:
                    parts.append(CharSet.of(((low, high),)))
            else:
                parts.append(first)
        chars = union(*parts)
        return ~chars if negated else chars

    def class_member(self) -> CharSet:
        char = self.next()
        return self.escape(in_class=True) if char == "\\" else CharSet.of(((ord(char), ord(char)),))

    def escape(self, *, in_class: bool) -> CharSet:
        """The set that an escape stands for; the backslash has been read."""
        char = self.next()
        if char in "dDwWsS":
            return self.named(char)
        if char in "pP":
            if not self.take("{") or "}" not in self.text[self.at :]:
                raise self.error("\\p needs a property in braces")
            end = self.text.index("}", self.at)
            chars = CharSet.settled(properties.ecma_property(self.text[self.at : end]), properties.settled())
            self.at = end + 1
            return ~chars if char == "P" else chars
        code = self.code(char, in_class)
        return CharSet.of(((code, code),))

    def code(self, char: str, in_class: bool) -> int:
        if char in _CONTROL:
            return _CONTROL[char]
        if char == "b" and in_class:
            return 8
        if char == "c":
            letter = self.next()
            if not (letter.isascii() and letter.isalpha()):
                raise self.error("\\c needs a letter")
            return ord(letter) % 32
        if char == "x":
            return self.hexadecimal(2)
        if char == "u":
            return self.unicode_escape()
        if char == "0" and not self.text[self.at : self.at + 1].isdigit():
            return 0
        if char.isdigit() or char == "k":
            raise self.refuse(f"the backreference \\{char} does not describe a regular language")
        if char in _FOREIGN:
            raise self.error(f"ECMA-262 has no \\{char} ({_FOREIGN[char]})")
        if char.isascii() and char.isalpha():
            raise self.error(f"ECMA-262 has no escape \\{char}")
        return ord(char)

    def hexadecimal(self, digits: int) -> int:
        text = self.text[self.at : self.at + digits]
        if not re.fullmatch(f"[0-9a-fA-F]{{{digits}}}", text):
            raise self.error(f"{digits} hexadecimal digits expected")
        self.at += digits
        return int(text, 16)

    def unicode_escape(self) -> int:
        if found := re.compile(r"\{([0-9a-fA-F]+)\}").match(self.text, self.at):
            self.at = found.end()
            code = int(found[1], 16)
            if code > 0x10FFFF:
                raise self.error("code point above 10FFFF")
            return code
        code = self.hexadecimal(4)
        low = re.compile(r"\\u([dD][c-fC-F][0-9a-fA-F]{2})").match(self.text, self.at)
        if 0xD800 <= code < 0xDC00 and low:
            self.at = low.end()
            return 0x10000 + (code - 0xD800) * 0x400 + int(low[1], 16) - 0xDC00
        return code


def _single(chars: CharSet) -> int | None:
    """The code point of a set that holds one."""
    first, last = chars.perhaps[0] if len(chars.perhaps) == 1 else (0, 1)
    return first if first == last else None
