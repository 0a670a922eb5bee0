r"""The reader of GBNF, as llama.cpp writes grammars, and of the EBNF of vLLM and xgrammar, which is nearly the same.

>>> from structdiff.automata.compiling import compile_tree
>>> from structdiff.automata.recursion import unroll
>>> rules = read_gbnf('root ::= [a-c]+ ("," root)? # a list')
>>> compile_tree(unroll(rules, "root", rounds=2)[0]).accepts(b"abc,c")
True

Names are letters, digits, ``-``, ``_`` and ``.``. There are strings, classes, ``.``, groups, ``|``, ``* + ?`` and
``{n}``, ``{n,}``, ``{n,m}``. A rule ends where the next one begins. It is over characters: there is no lexer.
"""

from __future__ import annotations

import re

from structdiff.automata.tree import EMPTY, Node, Reference, Repeat, literal, optional, sequence, union
from structdiff.automata.unicode import ANY_CHAR, Ranges, code_points, complement, normalize
from structdiff.core.errors import InvalidSchema

_SPACE = re.compile(r"(?:\s|#[^\n]*)*")
_NAME = re.compile(r"[A-Za-z_0-9][A-Za-z_0-9.-]*")
_ARROW = re.compile(r"(?:\s|#[^\n]*)*::=")
_COUNT = re.compile(r"\{\s*(\d+)\s*(?:(,)\s*(\d*)\s*)?\}")
_SHORT = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "a": "\a", "b": "\b", "e": "\x1b", "0": "\0"}
_CODE = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|u\{([0-9A-Fa-f]{1,6})\}")
_MOST_NESTING = 200


def read_gbnf(text: str, start: str = "root") -> dict[str, Node]:
    """The rules of a grammar by name. Raises `InvalidSchema` with line and column for bad syntax, for a rule that is
    used and not defined, and where the rule ``start`` is missing."""
    reader = _Reader(text)
    rules = reader.rules()
    for name, at in reader.used.items():
        if name not in rules:
            raise reader.error(f"there is no rule {name!r}", at)
    if start not in rules:
        raise InvalidSchema(f"the grammar has no rule {start!r} to start from")
    return rules


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.used: dict[str, int] = {}
        self.depth = 0

    def error(self, message: str, at: int | None = None) -> InvalidSchema:
        at = self.at if at is None else at
        line = self.text.count("\n", 0, at) + 1
        column = at - (self.text.rfind("\n", 0, at) + 1) + 1
        return InvalidSchema(f"the grammar cannot be read: {message}, at line {line} column {column}")

    def space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def rules(self) -> dict[str, Node]:
        rules: dict[str, Node] = {}
        self.space()
        while self.at < len(self.text):
            begun = self.at
            name = _NAME.match(self.text, self.at)
            arrow = name and _ARROW.match(self.text, name.end())
            if name is None or arrow is None:
                raise self.error("a rule is written as name ::= ...")
            if name[0] in rules:
                raise self.error(f"the rule {name[0]!r} is defined twice", begun)
            self.at = arrow.end()
            rules[name[0]] = self.alternatives()
            self.space()
            if self.peek() == ")":
                raise self.error("')' closes nothing")
        if not rules:
            raise InvalidSchema("the grammar has no rules")
        return rules

    def alternatives(self) -> Node:
        self.depth += 1
        if self.depth > _MOST_NESTING:
            raise self.error(f"groups are nested more than {_MOST_NESTING} deep")
        options = [self.items()]
        while self.peek() == "|":
            self.at += 1
            options.append(self.items())
        self.depth -= 1
        return union(*options)

    def items(self) -> Node:
        """One alternative; it ends at ``|``, ``)``, the end, or where the next rule begins."""
        found: list[Node] = []
        while True:
            self.space()
            char = self.peek()
            if char in ("", "|", ")"):
                return sequence(*found)
            name = _NAME.match(self.text, self.at)
            if name is not None and _ARROW.match(self.text, name.end()):
                return sequence(*found)
            found.append(self.repeated(self.item(char, name)))

    def item(self, char: str, name: re.Match[str] | None) -> Node:
        begun = self.at
        if name is not None:
            self.at = name.end()
            if self.peek() == "(":
                raise self.error(f"the macro {name[0]}(...) is not known", begun)
            self.used.setdefault(name[0], begun)
            return Reference(name[0])
        self.at += 1
        if char in "\"'":
            return self.string(char, begun)
        if char == "[":
            return code_points(self.members(begun))
        if char == ".":
            return ANY_CHAR
        if char == "(":
            self.space()
            if self.peek() == "=":
                raise self.error("a lookahead (= ...) is not known", begun)
            inner = self.alternatives()
            if self.peek() != ")":
                raise self.error("the group is not closed", begun)
            self.at += 1
            return inner
        if char in "<!":
            raise self.error("tokens <...> belong to one vocabulary; write their text", begun)
        raise self.error(f"{char!r} begins nothing", begun)

    def repeated(self, item: Node) -> Node:
        while True:
            char = self.peek()
            if char and char in "*+?":
                self.at += 1
                item = optional(item) if char == "?" else Repeat(item, int(char == "+"), None)
            elif char == "{":
                count = _COUNT.match(self.text, self.at)
                if count is None:
                    raise self.error("a count is written as {n}, {n,} or {n,m}")
                low = int(count[1])
                high = low if count[2] is None else int(count[3]) if count[3] else None
                if high is not None and high < low:
                    raise self.error(f"the count {count[0]} ends before it begins")
                self.at = count.end()
                item = EMPTY if high == 0 else Repeat(item, low, high)
            else:
                return item

    def string(self, quote: str, begun: int) -> Node:
        out = []
        while (char := self.peek()) != quote:
            if char in ("", "\n"):
                raise self.error("the string is not closed", begun)
            out.append(self.character())
        self.at += 1
        return literal("".join(map(chr, out)).encode("utf-8"))

    def members(self, begun: int) -> Ranges:
        negated = self.peek() == "^"
        self.at += negated
        ranges: list[tuple[int, int]] = []
        while (char := self.peek()) != "]":
            if char == "":
                raise self.error("the class is not closed", begun)
            at = self.at
            low = high = self.character()
            if self.peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self.character()
            if high < low:
                raise self.error(f"the range {self.text[at : self.at]!r} ends before it begins", at)
            ranges.append((low, high))
        self.at += 1
        found = normalize(ranges)
        return complement(found) if negated else found

    def character(self) -> int:
        """The code point of one character, escaped or not."""
        char = self.peek()
        self.at += 1
        if char != "\\":
            return ord(char)
        code = _CODE.match(self.text, self.at)
        if code is not None:
            self.at = code.end()
            found = int(next(filter(None, code.groups())), 16)
            if found > 0x10FFFF or 0xD800 <= found < 0xE000:
                raise self.error(f"there is no character {code[0]!r}", code.start())
            return found
        escaped = self.peek()
        if not escaped or (escaped.isalnum() and escaped not in _SHORT):
            raise self.error(f"the escape \\{escaped} is not known", self.at - 1)
        self.at += 1
        return ord(_SHORT.get(escaped, escaped))
