"""Random Python types against Pydantic: is every output that a constraint allows an instance of its class?

    python -m benchmarks.fuzz_classes [--classes 3000] [--seed 0] [--rounds 3] [--walks 20]

Of every type, ``--rounds`` outputs are generated from random logits and ``--walks`` texts are taken from the automaton
at random; Pydantic judges each. A type that is refused has to be refused while it is compiled, with its place. A
finding is printed with the number of its type, and the run ends with status 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import ipaddress
import operator
import pathlib
import random
import re
import sys
import time
import typing as t
import uuid
import warnings
from collections import Counter, OrderedDict, deque

import numpy as np
import pydantic
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, RootModel, StringConstraints, TypeAdapter
from pydantic.networks import IPvAnyAddress, IPvAnyInterface, IPvAnyNetwork
from typing_extensions import TypedDict

import structdiff
from benchmarks.random_logits import ROOT, adversary
from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.core.errors import CompileLimit, StructdiffError, ValidationFailed
from structdiff.core.limits import enforced
from structdiff.decode.engine import Task
from structdiff.decode.loop import run
from structdiff.decode.policy import Policy
from structdiff.frontends import read_source
from structdiff.tokens.vocabulary import Vocabulary

LIMITS = structdiff.Limits(states=60_000, seconds=20)
Rng = random.Random
A = t.Annotated


class Colour(enum.Enum):
    RED, GREEN = "red", "green"


class Level(enum.IntEnum):
    LOW, HIGH = 1, 5


class Mixed(enum.Enum):
    A, B, C, D, E = "a", 1.5, True, None, (1, 2)


class Point(t.NamedTuple):
    x: int
    y: float = 0.0


T = t.TypeVar("T")


class Crate(BaseModel, t.Generic[T]):
    content: T
    label: str = ""


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


class Derived(BaseModel):
    width: int
    model_config = ConfigDict(extra="forbid")

    @pydantic.computed_field
    @property
    def double(self) -> int:
        return 2 * self.width


PATTERNS = (
    r"^[a-z]{2,4}$", r"\d+", r"(?i)^yes|no$", r"^[[:alpha:]]+$", r"\p{Greek}", r"\A\w+\z", r"^(?P<y>\d{4})-\d\d$",
    r"^\W+$", r"^[\w&&[^\d]]+$", r"^\s*\S+\s*$", r"(?x) ^ a b $", r"\bfoo\b", r"^[^\s,]+(?:,[^\s,]+)*$",
)  # fmt: skip
PLAIN: tuple[t.Any, ...] = (
    int, float, bool, str, None, bytes, bytearray, complex, decimal.Decimal, fractions.Fraction, dt.date, dt.time,
    dt.datetime, dt.timedelta, uuid.UUID, pydantic.UUID1, pydantic.UUID3, pydantic.UUID4, pydantic.UUID5,
    pydantic.UUID7,
    pydantic.NaiveDatetime, pydantic.AwareDatetime, pydantic.PastDate, pydantic.FutureDate, pydantic.PastDatetime,
    pydantic.FutureDatetime, ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network,
    ipaddress.IPv4Interface, ipaddress.IPv6Interface, IPvAnyAddress, IPvAnyInterface, IPvAnyNetwork, pydantic.EmailStr,
    pydantic.NameEmail, pydantic.AnyUrl, pydantic.FileUrl, pydantic.PostgresDsn, pydantic.RedisDsn, pydantic.MongoDsn,
    pydantic.KafkaDsn, pydantic.AmqpDsn, pydantic.Base64Bytes, pydantic.Base64Str, pydantic.Base64UrlBytes,
    pydantic.Base64UrlStr, pydantic.ByteSize, pathlib.Path, pathlib.PurePosixPath, re.Pattern, re.Pattern[str],
    pydantic.SecretStr, pydantic.SecretBytes, pydantic.StrictInt, pydantic.StrictStr, pydantic.StrictBool,
    pydantic.StrictFloat, pydantic.FiniteFloat, pydantic.PositiveInt, pydantic.NonNegativeFloat, Colour, Level, Mixed,
    Point, Tree, Derived, t.Literal["a", 1, True, None], t.Literal["x"], t.Literal[3, 4], pydantic.JsonValue, t.Any,
    pydantic.FilePath, t.Callable, pydantic.ImportString, t.Hashable,
)  # fmt: skip


def constrained(rng: Rng) -> t.Any:
    """A scalar type with limits of its own."""
    low = rng.randrange(-20, 20)
    day, noon = (
        dt.date(2024, 1, 1) + dt.timedelta(days=rng.randrange(400)),
        dt.time(rng.randrange(24), rng.randrange(60)),
    )
    moment = dt.datetime.combine(day, noon, rng.choice([None, dt.UTC, dt.timezone(dt.timedelta(hours=2))]))
    span = dt.timedelta(minutes=rng.randrange(1, 9000))
    edge = rng.choice(["gt", "ge", "lt", "le"])
    kinds: list[t.Callable[[], t.Any]] = [
        lambda: A[int, Field(**{edge: low})],
        lambda: A[int, Field(ge=low, lt=low + rng.randrange(1, 90), multiple_of=rng.choice([1, 3, 5]))],
        lambda: A[float, Field(**{edge: low / 4})],
        lambda: A[float, Field(multiple_of=rng.choice([0.5, 0.25, 0.01]), allow_inf_nan=False)],
        lambda: A[decimal.Decimal, Field(**{edge: decimal.Decimal(low) / 8})],
        lambda: A[decimal.Decimal, Field(max_digits=rng.randrange(1, 8), decimal_places=rng.randrange(4))],
        lambda: A[decimal.Decimal, Field(max_digits=rng.randrange(1, 8), ge=0)],
        lambda: A[decimal.Decimal, Field(decimal_places=rng.randrange(4), multiple_of=decimal.Decimal("0.5"))],
        lambda: A[str, Field(pattern=rng.choice(PATTERNS))],
        lambda: A[str, Field(min_length=rng.randrange(3), max_length=rng.randrange(3, 9))],
        lambda: A[
            str, StringConstraints(strip_whitespace=True, to_lower=rng.random() < 0.5, min_length=rng.randrange(3))
        ],
        lambda: A[str, StringConstraints(pattern=re.compile(r"^[a-f]+(?=g)", re.I), max_length=9)],
        lambda: A[bytes, Field(min_length=rng.randrange(3), max_length=rng.randrange(3, 9))],
        lambda: A[dt.date, Field(**{edge: day})],
        lambda: A[dt.datetime, Field(**{edge: moment})],
        lambda: A[dt.datetime, Field(ge=moment, lt=moment + span)],
        lambda: A[dt.time, Field(**{edge: noon})],
        lambda: A[dt.timedelta, Field(**{edge: span})],
        lambda: A[fractions.Fraction, Field(**{edge: fractions.Fraction(low, 3)})],
        lambda: A[pydantic.EmailStr, Field(max_length=30)],
        lambda: A[pydantic.Base64Str, Field(max_length=6)],
        lambda: A[pydantic.HttpUrl, pydantic.UrlConstraints(max_length=40)],
        lambda: A[pydantic.ByteSize, Field(gt=low)],
        lambda: A[int | str, Field(title="either")],
        lambda: A[t.Sequence[int], Field(min_length=2)],
        lambda: A[t.Any, Field(gt=3)],
        lambda: A[list[int] | str, Field(max_length=3)],
    ]
    return rng.choice(kinds)()


def scalar(rng: Rng) -> t.Any:
    return rng.choice(PLAIN) if rng.random() < 0.6 else constrained(rng)


def random_type(rng: Rng, depth: int) -> t.Any:
    """A type of up to ``depth`` levels."""
    if depth == 0 or rng.random() < 0.3:
        return scalar(rng)
    inner = lambda: random_type(rng, depth - 1)  # noqa: E731
    size = rng.choice([{}, {"min_length": 1}, {"max_length": 3}, {"min_length": 2, "max_length": 4}])
    kinds: list[t.Callable[[], t.Any]] = [
        lambda: A[list[inner()], Field(**size)],  # type: ignore[misc]
        lambda: tuple[inner(), inner()],  # type: ignore[misc]
        lambda: tuple[inner(), ...],  # type: ignore[misc]
        lambda: A[set[scalar(rng)], Field(**size)],  # type: ignore[misc]
        lambda: frozenset[scalar(rng)],  # type: ignore[misc]
        lambda: A[dict[scalar(rng), inner()], Field(**size)],  # type: ignore[misc]
        lambda: dict[str, inner()],  # type: ignore[misc]
        lambda: inner() | None if inner is not None else None,
        lambda: t.Union[inner(), inner()],  # noqa: UP007
        lambda: pydantic.Json[inner()],  # type: ignore[misc]
        lambda: deque[inner()],  # type: ignore[misc]
        lambda: OrderedDict[str, inner()],  # type: ignore[misc]
        lambda: Counter[str],
        lambda: t.Iterable[inner()],  # type: ignore[misc]
        lambda: Crate[inner()],  # type: ignore[misc]
        lambda: RootModel[inner()],  # type: ignore[misc]
        *[lambda: random_model(rng, depth - 1)] * 5,
        lambda: random_dataclass(rng, depth - 1),
        lambda: random_typed_dict(rng, depth - 1),
        lambda: discriminated(rng, depth - 1),
    ]
    return rng.choice(kinds)()


def alias(rng: Rng, name: str) -> dict[str, t.Any]:
    return rng.choice(
        [
            {}, {}, {}, {"alias": f"{name}-alias"}, {"validation_alias": f"{name.upper()}"},
            {"validation_alias": AliasChoices(f"{name}1", f"{name}2")},
            {"validation_alias": AliasPath(f"{name}p", "inner", 1)},
            {"validation_alias": AliasPath("shared", f"{name}k")},
            {"validation_alias": AliasChoices(AliasPath(f"{name}q", 0), f"{name}z")},
        ]
    )  # fmt: skip


def random_model(rng: Rng, depth: int) -> t.Any:
    config = rng.choice(
        [
            {}, {}, {"extra": "forbid"}, {"extra": "allow"}, {"strict": True}, {"str_strip_whitespace": True},
            {"str_max_length": 5}, {"populate_by_name": True}, {"val_json_bytes": "base64"}, {"val_json_bytes": "hex"},
            {"regex_engine": "python-re"}, {"frozen": True}, {"use_enum_values": True}, {"ser_json_timedelta": "float"},
        ]
    )  # fmt: skip
    fields = {}
    for name in ("a", "b", "c")[: rng.randrange(1, 4)]:
        default = {"default": None} if rng.random() < 0.3 else {}
        fields[name] = (random_type(rng, depth), Field(**default, **alias(rng, name)))
    return pydantic.create_model("Random", __config__=ConfigDict(**config), **fields)


def random_dataclass(rng: Rng, depth: int) -> t.Any:
    make = rng.choice([dataclasses.dataclass, pydantic.dataclasses.dataclass])
    names = ("a", "b")[: rng.randrange(1, 3)]
    return make(type("Data", (), {"__annotations__": {name: random_type(rng, depth) for name in names}}))


def random_typed_dict(rng: Rng, depth: int) -> t.Any:
    return TypedDict("Typed", {"a": random_type(rng, depth), "b": random_type(rng, depth)}, total=rng.random() < 0.5)


def discriminated(rng: Rng, depth: int) -> t.Any:
    tags: list[t.Any] = rng.choice([["cat", "dog"], [1, 2], ["x", 7]])
    members = [
        pydantic.create_model(f"Member{i}", kind=(t.Literal[tag], ...), value=(random_type(rng, depth), ...))
        for i, tag in enumerate(tags)
    ]
    return A[functools.reduce(operator.or_, members), Field(discriminator="kind")]


def walk(automaton: ByteAutomaton, rng: Rng, longest: int = 300) -> bytes:
    """A random text: random steps, then the shortest way out."""
    table, state, text = automaton.by_byte, 0, bytearray()
    for _ in range(rng.randrange(longest)):
        steps = np.flatnonzero(table[state] >= 0)
        if not len(steps) or (automaton.accepting[state] and rng.random() < 0.1):
            break
        byte = int(rng.choice(steps))
        text.append(byte)
        state = int(table[state, byte])
    layer, seen = [(state, b"")], {state}
    while layer:
        following = []
        for at_state, ending in layer:
            if automaton.accepting[at_state]:
                return bytes(text) + ending
            row = table[at_state]
            for target, byte in zip(*np.unique(row, return_index=True), strict=True):
                if target >= 0 and int(target) not in seen:
                    seen.add(int(target))
                    following.append((int(target), ending + bytes([int(byte)])))
        layer = following
    raise AssertionError("a state that leads nowhere")


def consumed(value: t.Any) -> t.Any:
    """The value with its generators read to their ends: these validate late."""
    if isinstance(value, t.Iterator):
        return [consumed(item) for item in value]
    if isinstance(value, BaseModel):
        return [consumed(item) for item in value.__dict__.values()]
    if isinstance(value, dict):
        return [consumed(item) for item in value.values()]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return [consumed(item) for item in value]
    if dataclasses.is_dataclass(value):
        return [consumed(getattr(value, field.name)) for field in dataclasses.fields(value)]
    return value


def faults(source: t.Any, vocabulary: Vocabulary | None, rounds: int, walks: int, seed: int) -> list[str]:
    """What is wrong with texts of a type. Raises the errors of compiling."""
    rng, read = Rng(seed), read_source(source)
    adapter = TypeAdapter(source)
    texts: list[str] = []
    with enforced(LIMITS.restarted()):
        automaton = compile_tree(read.build(LIMITS.restarted()).tree)
    texts += [walk(automaton, rng).decode() for _ in range(walks)]
    if vocabulary is not None and rounds:
        constraint = structdiff.compile(source, vocabulary, limits=LIMITS)
        for number in range(rounds):
            budget = max(1, constraint.min_tokens + rng.randrange(60))
            task = Task([0], constraint.automaton, budget, seed + number, vocabulary.end_ids)
            network = adversary(rng.choice([8, 16, 32]), vocabulary, seed + number)
            outcome = run(network, [task], Policy(max_steps=rng.choice([1, 2])))[0]
            texts.append(vocabulary.bytes_of(outcome.tokens).decode("utf-8", "surrogateescape"))
    found = []
    for text in texts:
        try:
            consumed(read.parse(text))
            if read.traits.json:  # else the text is not JSON but one of some choices
                consumed(adapter.validate_json(text))
        except (pydantic.ValidationError, ValidationFailed, TypeError) as error:
            found.append(f"{text[:300]}\n    {str(error)[:300]}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--walks", type=int, default=20)
    parser.add_argument("--only", type=int, help="the number of one type")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    vocabulary = Vocabulary.of(str(ROOT / "structdiff" / "models" / "embedded")) if args.rounds else None
    begun, counts, reasons, wrong = time.monotonic(), Counter[str](), Counter[str](), 0
    for number in range(args.seed, args.seed + args.classes) if args.only is None else [args.only]:
        rng = Rng(number)
        try:
            source = random_type(rng, 3)
            TypeAdapter(source)
        except Exception:  # no type at all: Pydantic says so
            counts["no type"] += 1
            continue
        try:
            found = faults(source, vocabulary, args.rounds, args.walks, number)
        except CompileLimit:
            counts["too large"] += 1
            continue
        except StructdiffError as error:
            counts["refused"] += 1
            reasons[re.sub(r"at \S+: ", "", str(error))[:90]] += 1
            if args.only is not None or "no value" in str(error):
                print(f"type {number}: {error}")
            continue
        counts["right" if not found else "wrong"] += 1
        if found:
            wrong += 1
            print(f"type {number}: {source!r:.300}\n    {found[0]}", flush=True)
    for reason, count in reasons.most_common(25):
        print(f"{count:5} {reason}")
    print(f"{dict(counts)} in {time.monotonic() - begun:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
