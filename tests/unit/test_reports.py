"""Inputs made after public reports about structured output in other tools: what they ask for is what is written."""

from __future__ import annotations

import datetime
import decimal
import ipaddress
import json
import warnings
from pathlib import Path
from typing import Any

import pydantic
import pytest

import structdiff
from structdiff.constraint.compile import Compiler
from structdiff.place import EMBEDDED
from structdiff.tokens.vocabulary import Vocabulary

FILE = Path(__file__).parents[3] / "shared" / "data" / "reports" / "schemas.jsonl"
REFUSED = {
    "metaschema-ref": "the format regex, deep in the metaschema",
    "pat-unicode-han-short": "ECMA-262 has no such property; the message says what to write",
    "pat-backref": "a backreference is not regular",
    "pat-backref-quote": "a backreference is not regular",
    "pat-named-backref": "a backreference is not regular",
    "pat-possessive": "ECMA-262 has no possessive repeats",
    "pat-atomic": "ECMA-262 has no atomic groups",
    "rx-cond": "a conditional group is not regular",
    "defs-beside-ref": "the reference leads nowhere",
    "ref-slash-defs": "the reference leads nowhere; the message says what was meant",
}
"""What is still refused (docs/limits.md), each with the reason that its message gives."""
NARROWER = {
    "unique-order-of-enum": "unique items of an enum keep its order",
    "dup-keys-open": "added keys may repeat; such an output fails as RepeatedKey and is never handed on",
}
TYPES = {
    "py-decimal": decimal.Decimal,
    "py-naive-datetime": pydantic.NaiveDatetime,
    "py-future-datetime": pydantic.FutureDatetime,
    "py-past-datetime": pydantic.PastDatetime,
    "py-ipv4network": ipaddress.IPv4Network,
    "py-ipv4interface": ipaddress.IPv4Interface,
    "py-ipvany": pydantic.IPvAnyAddress,
    "py-json-int": pydantic.Json[int],
    "py-dict-int-str": dict[int, str],
    "py-complex": complex,
    "py-fraction-decimal-list": list[decimal.Decimal],
    "py-date": datetime.date,
    "py-timedelta": datetime.timedelta,
}
"""The types of those cases whose JSON Schema says less than the class checks."""


def cases() -> list[dict[str, Any]]:
    lines = FILE.read_text(encoding="utf-8").rstrip("\n").split("\n") if FILE.is_file() else []
    return [case for case in map(json.loads, lines) if case["kind"] != "python_type"]


def typed_cases() -> list[dict[str, Any]]:
    lines = FILE.read_text(encoding="utf-8").rstrip("\n").split("\n") if FILE.is_file() else []
    return [case for case in map(json.loads, lines) if case["id"] in TYPES]


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    return Compiler(Vocabulary.of(str(EMBEDDED)))


@pytest.mark.skipif(not FILE.is_file(), reason="the reports are not here")
def test_every_report_is_written_as_asked_or_refused_with_a_known_reason(compiler: Compiler) -> None:
    wrong, refused = {}, set()
    for case in cases():
        given = case["schema_or_regex"]
        source = {"regex": structdiff.Regex, "choice": structdiff.Choice}.get(case["kind"], lambda it: it)(given)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", structdiff.RestrictionWarning)
                constraint = compiler.compile(source, **case["options"])
        except structdiff.StructdiffError as error:
            if case["accept"] or not isinstance(error, structdiff.Unsatisfiable):
                refused.add(case["id"])
            continue
        missing = [text for text in case["accept"] if not constraint.matches(text)]
        extra = [text for text in case["reject"] if constraint.matches(text)]
        if missing or extra:
            wrong[case["id"]] = {"not written": missing, "written": extra}
    assert set(wrong) == set(NARROWER), {name: what for name, what in wrong.items() if name not in NARROWER}
    assert refused == set(REFUSED), refused ^ set(REFUSED)


@pytest.mark.skipif(not FILE.is_file(), reason="the reports are not here")
def test_types_are_written_as_their_classes_check_them(compiler: Compiler) -> None:
    assert len(typed_cases()) == len(TYPES)
    for case in typed_cases():
        made = pydantic.create_model("Made", v=(TYPES[case["id"]], ...))
        constraint = compiler.compile(made)
        for text in case["reject"]:
            assert not constraint.matches(text), (case["id"], text)
        for text in case["accept"]:
            assert constraint.matches(text), (case["id"], text)
