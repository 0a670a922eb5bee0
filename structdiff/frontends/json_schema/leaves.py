"""Sets of strings and of numbers, as conjunctions of keywords that can be intersected and complemented exactly.

A *shape* describes values of one JSON type. A shape is a conjunction, so the complement of a shape is a union of
shapes, and every boolean combination of schemas becomes a union of conjunctions.

>>> a = StringShape(low=2, high=5)
>>> meet_strings(a, StringShape(only=frozenset({"x", "abc"})))
StringShape(only=frozenset({'abc'}), low=0, high=None, having=frozenset(), lacking=frozenset(), without=frozenset())
>>> [(s.low, s.high) for s in complement_string(a)]
[(0, 1), (6, None)]
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any

from structdiff.automata.byte_automaton import ByteAutomaton, of_words
from structdiff.automata.compiling import compile_tree
from structdiff.automata.lengths import fewest_characters
from structdiff.automata.tree import Repeat
from structdiff.automata.unicode import EVERYTHING, code_points
from structdiff.core.errors import CompileLimit, InvalidSchema, StructdiffError, UnsupportedSchema
from structdiff.frontends.regex import json_pattern
from structdiff.frontends.regex.parser import parse_regex
from structdiff.frontends.values.formats import MISSING, format_node
from structdiff.frontends.verbatim import KEYWORD as VERBATIM

CHARACTER = code_points(EVERYTHING)
KEYWORD = "x-structdiff"
"""Under this key the front end of Python types says what JSON Schema has no word for: which texts a string holds."""
ENUM = "enum"
"""The leaf of a list of constants, where these meet what is taken from the text."""
EXACT_FORMATS = frozenset({"date", "time", "date-time", "ipv4", "ipv6", "uuid"})
"""Formats whose automaton holds exactly the strings every validator accepts, so that their complement is safe too."""
LOOSEST = {
    "email": "@",
    "idn-email": "@",
    "uri": "^[A-Za-z][A-Za-z0-9+.-]*:",
    "iri": "^[A-Za-z][A-Za-z0-9+.-]*:",
    "uri-reference": "^[^ ]*$",
    "iri-reference": "^[^ ]*$",
    "hostname": "^[^ /]*$",
    "idn-hostname": "^[^ /]*$",
}
"""What even the loosest validators ask of a format: strings without it certainly do not have the format."""


@dataclass(frozen=True)
class Leaf:
    """One regular condition on a string's characters: a ``pattern``, a ``format`` or the name of registered texts."""

    keyword: str
    text: str
    pointer: str = field(default="", compare=False)

    def inside(self) -> ByteAutomaton:
        """Contents that certainly satisfy the condition."""
        return self._read(_inside).texts

    def outside(self) -> ByteAutomaton:
        """Contents that certainly do not."""
        return self._read(_outside).texts

    def left_out(self, satisfied: bool) -> str:
        """What of the contents that satisfy the condition, or of those that do not, is left out; "" for nothing."""
        return self._read(_inside if satisfied else _outside).left_out

    def _read(self, read: Callable[[str, str], Sure]) -> Sure:
        try:
            return read(self.keyword, self.text)
        except UnsupportedSchema as error:
            raise UnsupportedSchema(self.pointer, error.keyword or self.keyword, error.reason) from None
        except CompileLimit as error:
            raise CompileLimit(self.pointer, error.limit) from None
        except (StructdiffError, ValueError, TypeError) as error:
            raise UnsupportedSchema(self.pointer, self.keyword, str(error)) from None


@dataclass(frozen=True, eq=False)
class Sure:
    """Texts of which every validator says the same, and which texts are left out because some say otherwise."""

    texts: ByteAutomaton
    left_out: str = ""


@lru_cache(maxsize=4096)
def _inside(keyword: str, text: str) -> Sure:
    if keyword in _TEXTS:
        return Sure(_TEXTS[keyword](text))
    if keyword == VERBATIM:
        return Sure(valid_text())  # which of them is known only with the text
    if keyword == ENUM:
        return Sure(of_words(one.encode() for one in json.loads(text)))
    if keyword == "pattern":
        found, ecma = json_pattern.having(text), _ecma(text)
        return Sure(found, "" if ecma is None or found == ecma else _disagree(text))
    missing = MISSING.get(text, "")
    return Sure(_format(text), f"of format {text}, {missing} are left out" if missing else "")


@lru_cache(maxsize=4096)
def _outside(keyword: str, text: str) -> Sure:
    if keyword in _TEXTS:
        return Sure(valid_text() - _TEXTS[keyword](text))
    if keyword == VERBATIM:
        raise UnsupportedSchema("", VERBATIM, "it cannot be negated (not, oneOf, if): the text alone tells")
    if keyword == ENUM:
        return Sure(valid_text() - _inside(keyword, text).texts)
    if keyword == "pattern":
        found, ecma = json_pattern.lacking(text), _ecma(text)
        return Sure(found, "" if ecma is None or found == valid_text() - ecma else _disagree(text))
    if text in LOOSEST:
        loosest = compile_tree(parse_regex(LOOSEST[text], dialect="ecma", anchored=False))
        return Sure(valid_text() - loosest, f"texts that some validator takes for the format {text} are left out")
    if text not in EXACT_FORMATS:
        raise UnsupportedSchema("", "format", f"validators disagree on what is not a {text!r}, so it cannot be negated")
    return Sure(valid_text() - _format(text), _inside(keyword, text).left_out)


def _ecma(pattern: str) -> ByteAutomaton | None:
    """The texts in which ECMA-262 finds a pattern; None where it cannot read it, or says the same as Python anyway."""
    if not json_pattern.is_sensitive(pattern):
        return None
    try:
        return compile_tree(parse_regex(pattern, dialect="ecma", anchored=False)) & valid_text()
    except StructdiffError:
        return None


def _disagree(pattern: str) -> str:
    return f"texts of which Python and ECMA-262 disagree whether {pattern} matches are left out"


@lru_cache(maxsize=256)
def _format(name: str) -> ByteAutomaton:
    node = format_node(name)
    assert node is not None, name  # unknown formats are annotations and never become leaves
    return compile_tree(node) & valid_text()


_TEXTS: dict[str, Callable[[str], ByteAutomaton]] = {}


def register_texts(name: str, read: Callable[[str], ByteAutomaton]) -> None:
    """Let schemas ask for texts by ``name`` under `KEYWORD`; ``read`` makes them of the argument given there."""
    _TEXTS[name] = lru_cache(maxsize=512)(read)


def asked_texts(asked: Any, pointer: str) -> list[Leaf]:
    """The leaves of what stands under `KEYWORD`. Raises `InvalidSchema` where that names no registered texts."""
    pairs = asked.get("text") if isinstance(asked, Mapping) else None
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and pair[0] in _TEXTS and isinstance(pair[1], str) for pair in pairs
    ):
        raise InvalidSchema(f"{KEYWORD} is a keyword of structdiff's own and names no texts here", pointer)
    return [Leaf(name, argument, pointer) for name, argument in pairs]


@lru_cache(maxsize=1)
def valid_text() -> ByteAutomaton:
    """Every sequence of code points, as UTF-8."""
    return compile_tree(Repeat(CHARACTER))


@dataclass(frozen=True)
class StringShape:
    """Strings with a length in ``low..high`` code points, ``having`` some leaves, ``lacking`` others, ``without`` some
    constants; or ``only`` the constants listed (then nothing else is set)."""

    only: frozenset[str] | None = None
    low: int = 0
    high: int | None = None
    having: frozenset[Leaf] = frozenset()
    lacking: frozenset[Leaf] = frozenset()
    without: frozenset[str] = frozenset()

    @property
    def verbatim(self) -> Leaf | None:
        """The leaf that says that the string is taken from the text."""
        return next((leaf for leaf in self.having if leaf.keyword == VERBATIM), None)

    def contains(self, text: str) -> bool:
        if self.only is not None:
            return text in self.only
        if len(text) < self.low or (self.high is not None and len(text) > self.high) or text in self.without:
            return False
        if not self.having and not self.lacking:
            return True
        data = text.encode("utf-8", "surrogatepass")
        return all(leaf.inside().accepts(data) for leaf in self.having) and all(
            leaf.outside().accepts(data) for leaf in self.lacking
        )

    @property
    def is_free(self) -> bool:
        """No keyword but those of the length speaks of it."""
        return self.is_plain

    @property
    def is_plain(self) -> bool:
        """Only the length is constrained."""
        return self.only is None and not (self.having or self.lacking or self.without)

    def text(self) -> ByteAutomaton | None:
        """The automaton of the characters, whatever their number; None: any text."""
        if self.only is not None:
            return of_words(text.encode() for text in self.only)
        result: ByteAutomaton | None = None
        parts = sorted((leaf.inside() for leaf in self.having), key=lambda a: a.states)
        parts += [leaf.outside() for leaf in self.lacking]
        if self.without:
            parts.append(valid_text() - of_words(text.encode() for text in self.without))
        for part in parts:
            result = part if result is None else result & part
        return result

    def is_empty(self) -> bool:
        if self.only is not None:
            return not self.only
        if self.high is not None and self.low > self.high:
            return True
        if self.is_plain:
            return False
        return _string_is_empty(self)


@lru_cache(maxsize=4096)
def _string_is_empty(shape: StringShape) -> bool:
    text = shape.text()
    assert text is not None  # not plain
    if text.is_empty or (not shape.low and shape.high is None):
        return text.is_empty
    if shape.low:
        text = text & compile_tree(Repeat(CHARACTER, shape.low))
    return text.is_empty or (shape.high is not None and fewest_characters(text) > shape.high)


def meet_strings(a: StringShape, b: StringShape) -> StringShape:
    if a.only is not None:
        only = frozenset(text for text in a.only if b.contains(text))
        if b.verbatim is None:
            return StringShape(only=only)
        return StringShape(having=frozenset({b.verbatim, Leaf(ENUM, json.dumps(sorted(only)), b.verbatim.pointer)}))
    if b.only is not None:
        return meet_strings(b, a)
    highs = [high for high in (a.high, b.high) if high is not None]
    return StringShape(
        None,
        max(a.low, b.low),
        min(highs, default=None),
        a.having | b.having,
        a.lacking | b.lacking,
        a.without | b.without,
    )


def complement_string(shape: StringShape) -> list[StringShape]:
    if shape.only is not None:
        return [StringShape(without=shape.only)]
    out = []
    if shape.low > 0:
        out.append(StringShape(high=shape.low - 1))
    if shape.high is not None:
        out.append(StringShape(low=shape.high + 1))
    out += [StringShape(lacking=frozenset({leaf})) for leaf in shape.having]
    out += [StringShape(having=frozenset({leaf})) for leaf in shape.lacking]
    if shape.without:
        out.append(StringShape(only=shape.without))
    return out


WHOLE, ZEROS, FRACTION = "whole", "zeros", "fraction"
"""How a number may be told: an integer written as one (``5``), an integer with point or exponent (``5.0``), no integer.
Draft 4 calls only the first an integer."""
NUMBERS = frozenset({WHOLE, ZEROS, FRACTION})
INTEGERS = frozenset({WHOLE, ZEROS})


@dataclass(frozen=True)
class NumberShape:
    """Numbers between two ends, of some ``kinds``, being ``multiples`` of some numbers and not multiples of ``others``,
    ``without`` some constants; or ``only`` the constants listed (then nothing else is set but ``kinds``).

    >>> shape = NumberShape(kinds=frozenset({WHOLE}))
    >>> shape.contains(decimal(5)), shape.contains(decimal(5.0)), shape.contains(decimal(1.5))
    (True, False, False)
    """

    only: frozenset[Decimal] | None = None
    low: Decimal | None = None
    high: Decimal | None = None
    low_open: bool = False
    high_open: bool = False
    kinds: frozenset[str] = NUMBERS
    multiples: frozenset[Decimal] = frozenset()
    others: frozenset[Decimal] = frozenset()
    without: frozenset[Decimal] = frozenset()

    def contains(self, value: Decimal) -> bool:
        """Is the number, written as `decimal` read it, in the set?"""
        if value != value.to_integral_value():
            kind = FRACTION
        else:
            kind = WHOLE if value.as_tuple().exponent == 0 else ZEROS
        return kind in self.kinds and self.allows(value)

    def allows(self, value: Decimal) -> bool:
        """Is the number in the set, written in one way or another?"""
        if not self.kinds & ({FRACTION} if value != value.to_integral_value() else INTEGERS):
            return False
        if self.only is not None:
            return value in self.only
        if self.low is not None and (value < self.low or (self.low_open and value == self.low)):
            return False
        if self.high is not None and (value > self.high or (self.high_open and value == self.high)):
            return False
        exact = Fraction(value)
        if any(exact % Fraction(step) for step in self.multiples) or value in self.without:
            return False
        return all(exact % Fraction(step) for step in self.others)

    def is_empty(self) -> bool:
        if not self.kinds:
            return True
        if self.only is not None:
            return not self.only
        if self.kinds == {FRACTION} and any(step == step.to_integral_value() for step in self.multiples):
            return True
        if self.low is None or self.high is None:
            return False
        return self.low > self.high or (self.low == self.high and not self.allows(self.low))


def meet_numbers(a: NumberShape, b: NumberShape) -> NumberShape:
    kinds = a.kinds & b.kinds
    if a.only is not None:
        held = replace(b, kinds=kinds)
        return NumberShape(only=frozenset(value for value in a.only if held.allows(value)), kinds=kinds)
    if b.only is not None:
        return meet_numbers(b, a)
    low, low_open = max(((s.low, s.low_open) for s in (a, b) if s.low is not None), default=(None, False))
    high, not_open = min(((s.high, not s.high_open) for s in (a, b) if s.high is not None), default=(None, True))
    return NumberShape(
        None, low, high, low_open, not not_open, kinds,
        a.multiples | b.multiples, a.others | b.others, a.without | b.without,
    )  # fmt: skip


def complement_number(shape: NumberShape) -> list[NumberShape]:
    out = [] if shape.kinds == NUMBERS else [NumberShape(kinds=NUMBERS - shape.kinds)]
    if shape.only is not None:
        return [*out, NumberShape(without=shape.only)]
    if shape.low is not None:
        out.append(NumberShape(high=shape.low, high_open=not shape.low_open))
    if shape.high is not None:
        out.append(NumberShape(low=shape.high, low_open=not shape.high_open))
    out += [NumberShape(others=frozenset({step})) for step in shape.multiples]
    out += [NumberShape(multiples=frozenset({step})) for step in shape.others]
    if shape.without:
        out.append(NumberShape(only=shape.without))
    return out


def decimal(value: int | float) -> Decimal:
    """The shortest decimal that names the number; its exponent is 0 for an ``int`` and for nothing else.

    >>> decimal(0.1), decimal(5), decimal(5.0), decimal(1.2345678901234568e16)
    (Decimal('0.1'), Decimal('5'), Decimal('5.0'), Decimal('12345678901234568.0'))
    """
    if isinstance(value, int):
        return Decimal(value)
    exact = Decimal(repr(value))
    return exact.quantize(Decimal("0.1")) if exact.as_tuple().exponent == 0 else exact
