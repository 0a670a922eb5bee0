"""Unicode properties by name: general categories, scripts, script extensions, binary properties, and case folding.

The tables are those of one Unicode version (``benchmarks/unicode_tables.py`` writes them). Engines of another version
read characters that were assigned later in their own way; `settled` gives the code points on which all agree.

>>> ecma_property("Script=Ogham")
((5760, 5788),)
>>> ecma_property("Zl"), rust_property("is_line separator")
(((8232, 8232),), ((8232, 8232),))
>>> case_folded(((0x6B, 0x6B),))    # k, K and the Kelvin sign
((75, 75), (107, 107), (8490, 8490))
"""

from __future__ import annotations

import gzip
import json
from functools import lru_cache
from importlib.resources import files
from typing import Any

from structdiff.automata.unicode import EVERYTHING, Ranges, complement, join, normalize
from structdiff.core.errors import InvalidSchema, UnsupportedSchema

_CATEGORIES = {
    "L": "Letter", "LC": "Cased_Letter", "Lu": "Uppercase_Letter", "Ll": "Lowercase_Letter",
    "Lt": "Titlecase_Letter", "Lm": "Modifier_Letter", "Lo": "Other_Letter", "M": "Mark Combining_Mark",
    "Mn": "Nonspacing_Mark", "Mc": "Spacing_Mark", "Me": "Enclosing_Mark", "N": "Number",
    "Nd": "Decimal_Number digit", "Nl": "Letter_Number", "No": "Other_Number", "P": "Punctuation punct",
    "Pc": "Connector_Punctuation", "Pd": "Dash_Punctuation", "Ps": "Open_Punctuation", "Pe": "Close_Punctuation",
    "Pi": "Initial_Punctuation", "Pf": "Final_Punctuation", "Po": "Other_Punctuation", "S": "Symbol",
    "Sm": "Math_Symbol", "Sc": "Currency_Symbol", "Sk": "Modifier_Symbol", "So": "Other_Symbol", "Z": "Separator",
    "Zs": "Space_Separator", "Zl": "Line_Separator", "Zp": "Paragraph_Separator", "C": "Other", "Cc": "Control cntrl",
    "Cf": "Format", "Cs": "Surrogate", "Co": "Private_Use", "Cn": "Unassigned",
}  # fmt: skip
_NAMES = {name: short for short, names in _CATEGORIES.items() for name in [short, *names.split()]}
_GENERAL_CATEGORY = ("gc", "General_Category")
_SCRIPT = ("sc", "Script")
_EXTENSIONS = ("scx", "Script_Extensions")
_SURROGATES = ((0xD800, 0xDFFF),)


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    packed = files("structdiff.automata").joinpath("unicode_tables.json.gz").read_bytes()
    tables: dict[str, Any] = json.loads(gzip.decompress(packed))
    return tables


def _unpacked(numbers: list[int]) -> Ranges:
    out, at = [], 0
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        out.append((at + gap, at + gap + length))
        at += gap + length
    return tuple(out)


@lru_cache(maxsize=1)
def settled() -> Ranges:
    """The code points whose properties no later version of Unicode changes for a matching engine."""
    return join(_unpacked(_tables()["settled"]), _SURROGATES)


@lru_cache(maxsize=512)
def category(name: str) -> Ranges:
    """The set of a general category by its short or long name, of ``Any``, ``ASCII`` or ``Assigned``.

    >>> category("Zl"), category("Line_Separator")
    (((8232, 8232),), ((8232, 8232),))
    """
    if name in ("Any", "ASCII", "Assigned"):
        return {"Any": EVERYTHING, "ASCII": ((0, 0x7F),)}.get(name) or complement(category("Cn"))
    short = _NAMES.get(name)
    if short is None:
        raise InvalidSchema(f"{name!r} is not a general category of Unicode")
    known = _tables()["categories"]
    if short == "Cs":
        return _SURROGATES
    assigned = join(_SURROGATES, *(_unpacked(numbers) for numbers in known.values())) if short in ("Cn", "C") else ()
    if short == "Cn":
        return complement(assigned)
    members = ("Lu", "Ll", "Lt") if short == "LC" else [found for found in known if found.startswith(short)]
    rest = (complement(assigned), _SURROGATES) if short == "C" else ()
    return join(*(_unpacked(known[found]) for found in members), *rest)


@lru_cache(maxsize=512)
def binary(name: str) -> Ranges:
    """The set of a binary property by its long name."""
    return _unpacked(_tables()["properties"][name])


@lru_cache(maxsize=512)
def script(name: str, extensions: bool = False) -> Ranges:
    """The set of a script by its long name; with ``extensions`` also the characters that several scripts share."""
    return _unpacked(_tables()["extensions" if extensions else "scripts"][name])


def ecma_property(text: str) -> Ranges:
    r"""What ``\p{text}`` means in ECMA-262. Raises `InvalidSchema` for a name that it does not have."""
    key, equals, value = text.partition("=")
    tables = _tables()
    name = value if equals else key
    if equals and key in (*_SCRIPT, *_EXTENSIONS):
        long = tables["script_names"].get(name, name)
        if long in tables["scripts"]:
            return script(long, key in _EXTENSIONS)
    elif (not equals or key in _GENERAL_CATEGORY) and name in _NAMES:
        return category(name)
    elif not equals:
        if name in ("Any", "ASCII", "Assigned"):
            return category(name)
        long = tables["property_names"].get(name, name)
        if long in tables["properties"]:
            return binary(long)
        if tables["script_names"].get(name, name) in tables["scripts"]:
            raise InvalidSchema(f"\\p{{{text}}} is not a Unicode property; write \\p{{Script={name}}}")
    raise InvalidSchema(f"\\p{{{text}}} is not a Unicode property")


def rust_property(text: str) -> Ranges:
    r"""What ``\p{text}`` means to the engine behind Pydantic: names in any case, a bare name is a category, a binary
    property or a script. Raises `InvalidSchema` for unknown names, `UnsupportedSchema` for segmentation and ages."""
    for mark in ("!=", ":", "="):
        key, found, value = text.partition(mark)
        if found:
            break
    tables, loose = _tables(), _loose_names()
    if not found:
        name = _loose(text)
        for kind in ("categories", "properties", "scripts"):
            if name in loose[kind]:
                return {"categories": category, "properties": binary, "scripts": script}[kind](loose[kind][name])
        raise InvalidSchema(f"\\p{{{text}}} is not a Unicode property")
    name, key = _loose(value), _loose(key)
    if key in ("gc", "generalcategory") and name in loose["categories"]:
        ranges = category(loose["categories"][name])
    elif key in ("sc", "script", "scx", "scriptextensions") and name in loose["scripts"]:
        ranges = script(loose["scripts"][name], key.startswith(("scx", "scripte")))
    elif key in {_loose(known) for known in (*tables["properties"], *tables["property_names"])} | {
        "age", "gcb", "graphemeclusterbreak", "wb", "wordbreak", "sb", "sentencebreak",
    }:  # fmt: skip
        reason = f"\\p{{{text}}}: only categories, scripts and binary properties are known"
        raise UnsupportedSchema("", "pattern", reason)
    else:
        raise InvalidSchema(f"\\p{{{text}}} is not a Unicode property")
    return complement(ranges) if found == "!=" else ranges


@lru_cache(maxsize=1)
def _loose_names() -> dict[str, dict[str, str]]:
    """For each kind of property the long name of each name, written without case, spaces and hyphens."""
    tables = _tables()
    categories = {_loose(name): name for name in (*_NAMES, "Any", "ASCII", "Assigned")}
    properties = {_loose(name): name for name in tables["properties"]}
    properties |= {_loose(short): name for short, name in tables["property_names"].items()}
    scripts = {_loose(name): name for name in tables["scripts"]}
    scripts |= {_loose(code): name for code, name in tables["script_names"].items()}
    return {"categories": categories, "properties": properties, "scripts": scripts}


def _loose(name: str) -> str:
    plain = "".join(char for char in name.lower() if char not in " _-")
    return plain[2:] if plain.startswith("is") and len(plain) > 2 else plain


@lru_cache(maxsize=1)
def _orbits() -> tuple[dict[int, tuple[int, ...]], Ranges]:
    """The characters that are alike to each, where case is ignored; and all that are alike to others."""
    found = {code: tuple(orbit) for orbit in _tables()["orbits"] for code in orbit}
    return found, normalize((code, code) for code in found)


@lru_cache(maxsize=1024)
def case_folded(ranges: Ranges) -> Ranges:
    """Every character that is alike to one of ``ranges`` where case is ignored (simple case folding)."""
    alike, _ = _orbits()
    more = [
        (other, other)
        for low, high in ranges
        for code in (alike if high - low > len(alike) else range(low, high + 1))
        if low <= code <= high and code in alike
        for other in alike[code]
    ]
    return normalize([*ranges, *more])
