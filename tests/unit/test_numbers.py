"""Numbers against exact arithmetic, `json.loads` and `jsonschema`."""

import json
import math
import random
import sys
from collections import deque
from decimal import Decimal
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import NEVER
from structdiff.core.errors import InvalidSchema, UnsupportedSchema
from structdiff.frontends.values.numbers import integer, number

KEYWORDS = {
    "minimum": "minimum", "maximum": "maximum", "exclusiveMinimum": "exclusive_minimum",
    "exclusiveMaximum": "exclusive_maximum", "multipleOf": "multiple_of",
}  # fmt: skip
SCALES = st.sampled_from([Decimal("1"), Decimal("0.1"), Decimal("0.01"), Decimal("0.001"), Decimal("1000")])
DECIMALS = st.builds(lambda n, scale: n * scale, st.integers(-3000, 3000), SCALES)
BOUNDS = st.one_of(st.none(), st.integers(-300, 300), DECIMALS, st.floats(-50, 50), st.floats(-1e20, 1e20))


def arguments(schema: dict) -> dict:
    return {KEYWORDS[k]: v for k, v in schema.items() if k in KEYWORDS and v is not None}


@cache
def to_the_end(automaton: ByteAutomaton) -> list[int]:
    """For every state the number of bytes to the nearest accepting state."""
    far = len(automaton.accepting)
    before: list[set[int]] = [set() for _ in range(far)]
    for state, row in enumerate(automaton.by_byte):
        for target in np.unique(row[row >= 0]).tolist():
            before[target].add(state)
    distance = [0 if accepting else far for accepting in automaton.accepting]
    pending = deque(state for state in range(far) if not distance[state])
    while pending:
        target = pending.popleft()
        for state in before[target]:
            if distance[target] + 1 < distance[state]:
                distance[state] = distance[target] + 1
                pending.append(state)
    return distance


def draw(automaton: ByteAutomaton, rng: random.Random, stop: float) -> bytes:
    """A random accepted string: a random walk that stops with probability ``stop`` where it may, and after sixty
    bytes takes the shortest way out (a range such as (0, 1e-300) has no short number)."""
    distance = to_the_end(automaton)
    out, state = bytearray(), 0
    while not (automaton.accepting[state] and (rng.random() < stop or (automaton.by_byte[state] < 0).all())):
        moves = [b for b in range(256) if automaton.by_byte[state][b] >= 0]
        if len(out) > 60:
            if automaton.accepting[state]:
                break
            moves = [b for b in moves if distance[automaton.by_byte[state][b]] == distance[state] - 1]
        byte = rng.choice(moves)
        out.append(byte)
        state = int(automaton.by_byte[state][byte])
    return bytes(out)


@settings(max_examples=30, deadline=None)
@given(BOUNDS, BOUNDS, BOUNDS, BOUNDS, st.sampled_from([None, 1, 2, 3, 7, 10, 12, 250, 0.5, 2.5, Decimal("1.2")]))
def test_integers_are_exactly_those_in_range(low, high, above, below, step) -> None:
    schema = {"minimum": low, "maximum": high, "exclusiveMinimum": above, "exclusiveMaximum": below, "multipleOf": step}
    schema = {k: v for k, v in schema.items() if v is not None}
    a = compile_tree(integer(**arguments(schema)))
    exact = Draft202012Validator({k: Decimal(repr(v)) if isinstance(v, float) else v for k, v in schema.items()})
    for n in [*range(-320, 321), *(s * 10**k + d for k in range(3, 21) for d in (-1, 0, 1) for s in (-1, 1))]:
        if abs(n) < 10**15:
            assert a.accepts(str(n).encode()) == exact.is_valid(n), n
        elif a.accepts(str(n).encode()):
            assert exact.is_valid(n) and Draft202012Validator({**schema, "multipleOf": 1}).is_valid(n)


@pytest.mark.parametrize("text", ["-0", "00", "01", "+1", "1.0", "1e3", "", "-", "0x1"])
def test_integers_have_one_spelling(text: str) -> None:
    assert not compile_tree(integer()).accepts(text.encode())


@settings(max_examples=60, deadline=None)
@given(BOUNDS, BOUNDS, BOUNDS, BOUNDS, st.integers(0, 2**32).map(random.Random))
def test_everything_accepted_is_valid(low, high, above, below, rng) -> None:
    schema = {"minimum": low, "maximum": high, "exclusiveMinimum": above, "exclusiveMaximum": below}
    schema = {k: v for k, v in schema.items() if v is not None}
    a = compile_tree(number(**arguments(schema)))
    if a.is_empty:
        return
    plain = {k: float(v) if isinstance(v, Decimal) else v for k, v in schema.items()}
    for _ in range(20):
        text = draw(a, rng, 0.3).decode()
        value = json.loads(text)
        assert math.isfinite(value)
        assert Draft202012Validator({"type": "number", **plain}).is_valid(value), text
        assert in_range(Fraction(text), schema), text


def exact(value: float | Decimal) -> Fraction:
    return Fraction(Decimal(repr(value))) if isinstance(value, float) else Fraction(value)


def in_range(value: Fraction, schema: dict) -> bool:
    return (
        ("minimum" not in schema or value >= exact(schema["minimum"]))
        and ("maximum" not in schema or value <= exact(schema["maximum"]))
        and ("exclusiveMinimum" not in schema or value > exact(schema["exclusiveMinimum"]))
        and ("exclusiveMaximum" not in schema or value < exact(schema["exclusiveMaximum"]))
        and ("multipleOf" not in schema or (value / exact(schema["multipleOf"])).denominator == 1)
    )


SMALL = st.one_of(st.none(), st.integers(-12, 12), st.integers(-1200, 1200).map(lambda n: n / 100))


@settings(max_examples=25, deadline=None)
@given(SMALL, SMALL, SMALL, SMALL, st.sampled_from([None, None, 1, 3, 0.01, 0.1, 2.5, 0.25, 0.3, Decimal("1.25")]))
def test_short_decimals_are_exactly_those_in_range(low, high, above, below, step) -> None:
    schema = {"minimum": low, "maximum": high, "exclusiveMinimum": above, "exclusiveMaximum": below, "multipleOf": step}
    schema = {k: v for k, v in schema.items() if v is not None}
    a = compile_tree(number(**arguments(schema)))
    for n in range(-1300, 1301):
        text = f"{n // 100}.{n % 100:02}" if n >= 0 else f"-{-n // 100}.{-n % 100:02}"
        value = Fraction(n, 100)
        spellings = {text, text[:-1] if text.endswith("0") else text, text[:-3] if text.endswith(".00") else text}
        if step == 1 or step == 3:
            spellings.discard(text)  # one digit after the point at most
        for spelling in spellings:
            assert a.accepts(spelling.encode()) == in_range(value, schema), spelling


@pytest.mark.parametrize("step", [0.01, 0.1, 2.5, 0.25, 5, 1.0])
def test_multiples_agree_with_jsonschema(step: float) -> None:
    """Exactly with decimals; with floats for the steps whose quotients are exact in binary."""
    a = compile_tree(number(multiple_of=step))
    decimals = Draft202012Validator({"multipleOf": Decimal(repr(step))})
    floats = Draft202012Validator({"multipleOf": step})
    for n in range(-999, 1000):
        text = str(Decimal(n) / 100)
        if text in ("-0", "-0.00") or "E" in text:
            continue
        assert a.accepts(text.encode()) == decimals.is_valid(Decimal(text)), text
        if step in (2.5, 0.25, 5, 1.0):
            assert a.accepts(text.encode()) == floats.is_valid(json.loads(text)), text


@pytest.mark.parametrize("text", ["1e5", "-1.5E-7", "6.02e23", "1e-05", "9.99e307", "0.1", "-0.001", "120"])
def test_unbounded_numbers(text: str) -> None:
    assert compile_tree(number()).accepts(text.encode())


@pytest.mark.parametrize("text", ["1e308", "1e999", "01.5", ".5", "5.", "-0", "-0.0", "1e", "+1", "NaN", "10e3", "0e1"])
def test_not_written(text: str) -> None:
    assert not compile_tree(number()).accepts(text.encode())


def test_double_limits_are_no_bounds() -> None:
    a = compile_tree(number(minimum=-1.7976931348623157e308, maximum=1.7976931348623157e308))
    assert a == compile_tree(number())


@pytest.mark.parametrize(
    "bounds",
    [
        {"minimum": 5, "maximum": 4},
        {"exclusive_minimum": 3, "maximum": 3},
        {"minimum": 0.5, "maximum": 0.6, "multiple_of": 1},
    ],
)
def test_an_empty_range_is_never(bounds: dict) -> None:
    assert number(**bounds) == NEVER
    assert integer(**bounds) == NEVER


def test_tiny_ranges_are_not_lost() -> None:
    a = compile_tree(number(exclusive_minimum=0, maximum=1e-20))
    assert a.accepts(b"0.00000000000000000001") and not a.accepts(b"0.0000000000000000001")


@pytest.mark.parametrize("bounds", [{"maximum": 5e-324}, {"exclusiveMaximum": 1e-300}, {"exclusiveMaximum": 1}, {}])
@pytest.mark.parametrize("low", [{"exclusiveMinimum": 0.0}, {"minimum": 5e-324}, {"minimum": sys.float_info.min}])
def test_no_decimal_is_so_small_that_it_reads_as_zero(low: dict, bounds: dict) -> None:
    a = compile_tree(number(**arguments(low | bounds)))
    if "maximum" in bounds:  # one double lies there, and only a minimum leads to it
        assert a.is_empty == (low != {"minimum": 5e-324})
    for seed in range(0 if a.is_empty else 20):
        text = draw(a, random.Random(seed), 0.1).decode()
        assert Draft202012Validator(low | bounds).is_valid(json.loads(text)), text
    assert a.is_empty or (not a.accepts(b"0.0") and not a.accepts(b"0." + b"0" * 400 + b"1"))


def test_a_huge_float_bound_is_read_both_ways() -> None:
    assert not compile_tree(integer(maximum=1e23)).accepts(b"100000000000000000000000")
    assert compile_tree(integer(maximum=10**23)).accepts(b"100000000000000000000000")


def test_refusals() -> None:
    with pytest.raises(UnsupportedSchema, match="multipleOf"):
        number(multiple_of=Decimal("0.123456789"))
    with pytest.raises(UnsupportedSchema, match="remainders"):
        integer(multiple_of=99991)
    with pytest.raises(InvalidSchema, match="greater than zero"):
        integer(multiple_of=0)
    with pytest.raises(InvalidSchema, match="not a finite number"):
        number(minimum=math.inf)
    with pytest.raises(InvalidSchema, match="not a number"):
        integer(minimum=True)


def test_powers_of_ten_and_short_lists_need_no_remainders() -> None:
    a = compile_tree(integer(multiple_of=10**9))
    assert a.accepts(b"-3000000000") and not a.accepts(b"100000000")
    assert compile_tree(integer(minimum=0, maximum=10**6, multiple_of=99991)).accepts(b"199982")


def test_ranges_stay_small() -> None:
    assert compile_tree(integer(minimum=-(2**63), maximum=2**63 - 1)).states < 80
    assert compile_tree(number(minimum=-90, maximum=90)).states < 60


@pytest.mark.parametrize("bound", [9007199254740991, 1e17, 2**64])
def test_a_bound_far_away_leaves_room_for_decimals(bound: float) -> None:
    a = compile_tree(number(minimum=-bound, exclusive_maximum=bound))
    judge = Draft202012Validator({"minimum": -bound, "exclusiveMaximum": bound})
    near = [f"{int(bound) + d}{tail}" for d in (-2, -1, 0, 1) for tail in ("", ".4", ".6", ".99999999999999999")]
    for text in ("2.5", "-0.125", "9999999999999.75", *near):
        if a.accepts(text.encode()):
            assert judge.is_valid(json.loads(text)), text
    assert a.accepts(b"2.5") and a.accepts(b"-0.125") and a.accepts(str(int(bound) - 1000).encode())


NEAR = st.one_of(st.integers(-5, 5), st.floats(-2, 2), st.floats(-1e15, 1e15), st.integers(-(2**53) - 9, 2**53 + 9))


@settings(max_examples=150, deadline=None)
@given(NEAR, NEAR, st.booleans(), st.booleans(), st.sampled_from(["low", "high", "both"]), st.floats(-1e15, 1e15))
def test_exactly_the_doubles_in_range_are_written(low, high, low_open, high_open, which, other) -> None:
    schema = {}
    if which != "high":
        schema["exclusiveMinimum" if low_open else "minimum"] = low
    if which != "low":
        schema["exclusiveMaximum" if high_open else "maximum"] = high
    a, judge = compile_tree(number(**arguments(schema))), Draft202012Validator(schema)
    ends = [float(low), float(high), 0.0, 1e-20, other]
    values = [*ends, *(math.nextafter(end, far) for end in ends for far in (-math.inf, math.inf)), low, high]
    for value in (*values, *(-value for value in values)):
        plain = format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)
        texts = {plain.removesuffix(".0"), repr(value)} - {"-0"}
        assert any(a.accepts(text.encode()) for text in texts) == judge.is_valid(value) or value == 0, (schema, value)
        assert judge.is_valid(0) == a.accepts(b"0")
