"""Writes the Unicode tables of `structdiff.automata.properties`, as the regular expression engine of Pydantic has them.

    python -m benchmarks.unicode_tables [--check]

The engine is asked about every code point, block by block. With ``--check`` nothing is written: the tables are compared
with those of the package ``regex``, whose Unicode version is another one, on the code points that both know.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from fontTools.unicodedata import Scripts
from pydantic_core import SchemaError, SchemaValidator, core_schema

TARGET = Path(__file__).resolve().parent.parent / "structdiff" / "automata" / "unicode_tables.json.gz"
SETTLED = "13.0"
"""Code points assigned by this version have the same properties in every engine in use."""
CATEGORIES = (
    *("Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po"),
    *("Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co"),
)
PROPERTY_NAMES = """
    AHex:ASCII_Hex_Digit Alpha:Alphabetic Bidi_C:Bidi_Control Bidi_M:Bidi_Mirrored CI:Case_Ignorable
    Cased:Cased CWCF:Changes_When_Casefolded CWCM:Changes_When_Casemapped CWL:Changes_When_Lowercased
    CWT:Changes_When_Titlecased CWU:Changes_When_Uppercased Dash:Dash DI:Default_Ignorable_Code_Point
    Dep:Deprecated Dia:Diacritic Emoji:Emoji EComp:Emoji_Component EMod:Emoji_Modifier
    EBase:Emoji_Modifier_Base EPres:Emoji_Presentation ExtPict:Extended_Pictographic Ext:Extender
    Gr_Base:Grapheme_Base Gr_Ext:Grapheme_Extend Hex:Hex_Digit IDSB:IDS_Binary_Operator
    IDST:IDS_Trinary_Operator IDC:ID_Continue IDS:ID_Start Ideo:Ideographic Join_C:Join_Control
    LOE:Logical_Order_Exception Lower:Lowercase Math:Math NChar:Noncharacter_Code_Point Pat_Syn:Pattern_Syntax
    Pat_WS:Pattern_White_Space QMark:Quotation_Mark Radical:Radical RI:Regional_Indicator
    STerm:Sentence_Terminal SD:Soft_Dotted Term:Terminal_Punctuation UIdeo:Unified_Ideograph Upper:Uppercase
    VS:Variation_Selector space:White_Space XIDC:XID_Continue XIDS:XID_Start
"""
PROPERTIES = {long: short for short, _, long in (name.partition(":") for name in PROPERTY_NAMES.split())}


def matches(pattern: str, text: str) -> bool:
    return SchemaValidator(core_schema.str_schema(pattern=pattern)).isinstance_python(text)


def members(atom: str) -> list[tuple[int, int]]:
    """The code points that an atom matches, as ranges, without surrogates."""
    some = SchemaValidator(core_schema.str_schema(pattern=atom)).isinstance_python
    every = SchemaValidator(core_schema.str_schema(pattern=rf"\A(?:{atom})*\z")).isinstance_python

    def walk(low: int, high: int) -> Iterator[tuple[int, int]]:
        text = "".join(chr(code) for code in range(low, high + 1) if not 0xD800 <= code <= 0xDFFF)
        if not some(text):
            return
        if every(text):
            yield low, high
            return
        middle = (low + high) // 2
        yield from walk(low, middle)
        yield from walk(middle + 1, high)

    found: list[tuple[int, int]] = []
    for start in range(0, 0x110000, 0x1000):
        for low, high in walk(start, start + 0xFFF):
            if found and found[-1][1] + 1 == low:
                found[-1] = (found[-1][0], high)
            else:
                found.append((low, high))
    return found


def packed(ranges: list[tuple[int, int]]) -> list[int]:
    """First and last code points as differences from the number before."""
    out, at = [], 0
    for low, high in ranges:
        out += [low - at, high - low]
        at = high
    return out


def orbits() -> list[list[int]]:
    """The sets of characters that are alike where case is ignored."""
    alike: dict[str, set[str]] = {}
    for code in range(0x110000):
        char = chr(code)
        if 0xD800 <= code <= 0xDFFF:
            continue
        cases = (char.lower(), char.upper(), char.title(), char.casefold())
        forms = {char, *(form for form in cases if len(form) == 1)}
        if len(forms) > 1 or len(char.casefold()) > 1 or matches(r"\p{Cased}", char):
            whole = set().union(forms, *(alike.get(form, set()) for form in forms))
            for form in whole:
                alike[form] = whole
    done: set[str] = set()
    found = []
    for char, whole in sorted(alike.items()):
        if char in done:
            continue
        orbit = {other for other in whole if matches(rf"(?i)\A\x{{{ord(char):X}}}\z", other)} | {char}
        done |= orbit
        if len(orbit) > 1:
            found.append(sorted(map(ord, orbit)))
    return found


def scripts() -> dict[str, str]:
    """The scripts that the engine knows: long names, and their codes."""
    found = {}
    for code, name in Scripts.NAMES.items():
        try:
            matches(rf"\p{{Script={code}}}", "a")
        except SchemaError:
            continue
        found[name] = code
    return found


def build() -> dict[str, object]:
    known = scripts()
    return {
        "settled": packed(members(rf"\p{{Age={SETTLED}}}")),
        "categories": {name: packed(members(rf"\p{{gc={name}}}")) for name in CATEGORIES},
        "properties": {name: packed(members(rf"\p{{{name}}}")) for name in PROPERTIES},
        "property_names": {short: long for long, short in PROPERTIES.items()},
        "scripts": {name: packed(members(rf"\p{{Script={code}}}")) for name, code in known.items()},
        "extensions": {name: packed(members(rf"\p{{Script_Extensions={code}}}")) for name, code in known.items()},
        "script_names": {code: name for name, code in known.items()},
        "orbits": orbits(),
    }


def check() -> int:
    """Compare with the package ``regex``; the number of sets that differ on settled code points."""
    import regex

    from structdiff.automata import properties, unicode

    settled = [chr(code) for low, high in properties.settled() for code in range(low, high + 1)]
    text, wrong = "".join(settled), 0
    names = [*PROPERTIES, *(f"Script={name}" for name in scripts()), *(f"scx={name}" for name in scripts())]
    for name in names:
        theirs = unicode.normalize((ord(c), ord(c)) for c in regex.findall(rf"\p{{{name}}}", text))
        ours = unicode.intersect(properties.ecma_property(name), properties.settled())
        if ours != theirs:
            more, less = unicode.subtract(ours, theirs), unicode.subtract(theirs, ours)
            wrong += 1
            print(f"{name}: only here {more[:4]}, only there {less[:4]}")
    print(f"{len(names)} sets, {wrong} differ")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        check()
        return 0
    text = json.dumps(build(), separators=(",", ":"))
    TARGET.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
