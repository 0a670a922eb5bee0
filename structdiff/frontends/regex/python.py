"""Python's regular expression syntax, read by the standard library's own parser.

>>> parse_python("[a-c]+")
Loop(item=Chars(((97, 99),)), low=1, high=None)
"""

from __future__ import annotations

import _sre
import re
import sys
import warnings
from functools import lru_cache
from re import _casefix, _parser  # type: ignore[attr-defined]
from typing import Any

import numpy as np

from structdiff.automata import unicode
from structdiff.automata.unicode import Ranges
from structdiff.core.errors import InvalidSchema, UnsupportedSchema
from structdiff.frontends.regex.terms import ANYTHING, Assertion, Chars, Choice, Loop, Term, concat

NEWLINE = unicode.of_chars("\n")
_REFUSED = {
    "GROUPREF": "a backreference such as \\1 or (?P=name)",
    "GROUPREF_EXISTS": "a conditional group (?(1)...)",
    "ATOMIC_GROUP": "an atomic group (?>...)",
    "POSSESSIVE_REPEAT": "a possessive repeat such as a*+",
}
_CLASSES = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}


def parse_python(pattern: str, flags: int = 0) -> Term:
    """The terms of a pattern in the syntax of ``re``, with the flags of `re.compile` besides those inside it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = _parser.parse(pattern, flags)
    except re.error as error:
        raise InvalidSchema(f"{pattern!r} is not a regular expression: {error}") from error
    except (RecursionError, OverflowError) as error:
        raise InvalidSchema(f"{pattern[:80]!r} is nested too deeply or repeats too often") from error
    return _terms(parsed, parsed.state.flags)


def _terms(items: Any, flags: int) -> Term:
    return concat([_term(str(op), value, flags) for op, value in items])


def _term(op: str, value: Any, flags: int) -> Term:
    if op in _REFUSED:
        raise UnsupportedSchema("", "pattern", f"{_REFUSED[op]} does not describe a regular language")
    if op == "LITERAL":
        return Chars(_one_of([("LITERAL", value)], flags))
    if op == "NOT_LITERAL":
        return Chars(unicode.complement(_one_of([("LITERAL", value)], flags)))
    if op == "ANY":
        return ANYTHING if flags & re.DOTALL else Chars(unicode.complement(NEWLINE))
    if op == "IN":
        negated = str(value[0][0]) == "NEGATE"
        ranges = _one_of([(str(kind), member) for kind, member in value[negated:]], flags)
        return Chars(unicode.complement(ranges) if negated else ranges)
    if op == "BRANCH":
        return Choice(tuple(_terms(branch, flags) for branch in value[1]))
    if op == "SUBPATTERN":
        _, added, removed, body = value
        if added & (re.ASCII | re.UNICODE):
            flags &= ~(re.ASCII | re.UNICODE)
        return _terms(body, (flags | added) & ~removed)
    if op in ("MAX_REPEAT", "MIN_REPEAT"):
        low, high, body = value
        most = None if high == _parser.MAXREPEAT else int(high)
        return Loop(_terms(body, flags), int(low), most, lazy=op == "MIN_REPEAT")
    if op in ("ASSERT", "ASSERT_NOT"):
        direction, body = value
        return Assertion("ahead" if direction > 0 else "behind", _terms(body, flags), op == "ASSERT_NOT")
    if op == "AT":
        return _at(str(value), flags)
    if op == "FAILURE":
        return Choice(())
    raise UnsupportedSchema("", "pattern", f"the construct {op.lower()} is not known")


def _at(place: str, flags: int) -> Assertion:
    if place == "AT_BEGINNING":
        return Assertion("line_start" if flags & re.MULTILINE else "start")
    if place == "AT_END":
        return Assertion("line_end" if flags & re.MULTILINE else "end_or_newline")
    if place == "AT_BEGINNING_STRING":
        return Assertion("start")
    if place == "AT_END_STRING":
        return Assertion("end")
    word = Chars(unicode.python_class("w", bool(flags & re.ASCII)))
    if place == "AT_BOUNDARY":
        return Assertion("boundary", word)
    # subtle: before Python 3.14, \B does not match in an empty text.
    return Assertion("not_boundary" if sys.version_info >= (3, 14) else "not_boundary_not_empty", word)


def _one_of(members: list[tuple[str, object]], flags: int) -> Ranges:
    """The union of the members of a class, case folded as the engine does if the flags say so."""
    plain: list[tuple[int, int]] = []
    classes: list[Ranges] = []
    for kind, member in members:
        if kind == "LITERAL":
            plain.append((member, member))  # type: ignore[arg-type]
        elif kind == "RANGE":
            plain.append(member)  # type: ignore[arg-type]
        else:
            name = str(member).removeprefix("CATEGORY_")
            letter = _CLASSES[name.removeprefix("NOT_")]
            letter = letter.upper() if name.startswith("NOT_") else letter
            classes.append(unicode.python_class(letter, bool(flags & re.ASCII)))
    ranges = unicode.normalize(plain)
    if ranges and flags & re.IGNORECASE:
        ranges = _fold(ranges, bool(flags & re.ASCII))
    return unicode.join(ranges, *classes)


@lru_cache(maxsize=2)
def _lower(ascii_only: bool) -> np.ndarray:
    """int32[0x110000]: the lower case of each code point, as the matching engine computes it."""
    lower = _sre.ascii_tolower if ascii_only else _sre.unicode_tolower
    return np.fromiter((lower(c) for c in range(0x110000)), np.int32, 0x110000)


@lru_cache(maxsize=1024)
def _fold(ranges: Ranges, ascii_only: bool) -> Ranges:
    """Every character that the engine takes for one of ``ranges`` when it ignores case.

    >>> _fold(((0x6B, 0x6B),), False)    # k, K and the Kelvin sign
    ((75, 75), (107, 107), (8490, 8490))
    """
    lower = _lower(ascii_only)
    wanted = np.zeros(0x110000, bool)
    for low, high in ranges:
        wanted[lower[low : high + 1]] = True
    if not ascii_only:
        for code, alike in _casefix._EXTRA_CASES.items():
            if wanted[code]:
                wanted[list(alike)] = True
    edges = np.flatnonzero(np.diff(wanted[lower].astype(np.int8), prepend=0, append=0))
    return tuple((int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True))
