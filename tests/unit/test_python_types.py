"""Python types: what Pydantic checks is what a constraint allows, or the type is refused with its place."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import ipaddress
import pathlib
import re
import typing as t
import uuid
import warnings
from collections import Counter, deque

import pydantic
import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, RootModel, StringConstraints, TypeAdapter
from pydantic.networks import IPvAnyAddress, IPvAnyNetwork
from typing_extensions import TypedDict

import structdiff
from benchmarks import fuzz_classes
from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.core.errors import CompileLimit, InvalidSchema, StructdiffError, Unsatisfiable, UnsupportedSchema
from structdiff.core.limits import Limits
from structdiff.frontends import read_source

A = t.Annotated
T = t.TypeVar("T")


class Colour(enum.Enum):
    RED, GREEN = "red", "green"


class Number(enum.IntEnum):
    ONE, TWO = 1, 2


class Mixed(enum.Enum):
    WORD, HALF, PAIR = "word", 0.5, (1, 2)


class Point(t.NamedTuple):
    x: int
    y: float = 0.0


class Crate(BaseModel, t.Generic[T]):
    content: T


class Cat(BaseModel):
    kind: t.Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    kind: t.Literal["dog"]
    tricks: list[str]


@dataclasses.dataclass
class Data:
    a: int
    b: str = dataclasses.field(default="x", init=False)


class Typed(TypedDict, total=False):
    a: t.Required[int]
    b: str


class Derived(BaseModel):
    width: int

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return 2 * self.width


@functools.lru_cache(maxsize=256)
def texts_of(source: t.Any) -> ByteAutomaton:
    limits = Limits()
    return compile_tree(read_source(source).build(limits).tree, limits)


def made(config: ConfigDict | None = None, **fields: t.Any) -> t.Any:
    return pydantic.create_model("Made", __config__=config or ConfigDict(), **fields)


@pytest.mark.parametrize(
    ("source", "good", "bad"),
    [
        (uuid.UUID, ['"7d4a2b10-93cf-4e6e-8a55-0f3b6c21d9ee"'], ['"7d4a"']),
        (pydantic.UUID1, ['"7d4a2b10-93cf-1e6e-8a55-0f3b6c21d9ee"'], ['"7d4a2b10-93cf-4e6e-8a55-0f3b6c21d9ee"']),
        (pydantic.UUID4, ['"7d4a2b10-93cf-4e6e-8a55-0f3b6c21d9ee"'], ['"7d4a2b10-93cf-1e6e-8a55-0f3b6c21d9ee"']),
        (pydantic.UUID7, ['"7d4a2b10-93cf-7e6e-8a55-0f3b6c21d9ee"'], ['"7d4a2b10-93cf-8e6e-8a55-0f3b6c21d9ee"']),
        (dt.datetime, ['"2024-02-29T10:00"', '"2024-02-29T10:00:00.5+02:00"'], ['"2024-02-30T10:00"', '"noon"']),
        (pydantic.NaiveDatetime, ['"2024-02-28T10:00:00"'], ['"2024-02-28T10:00:00Z"']),
        (pydantic.AwareDatetime, ['"2024-02-28T10:00:00Z"'], ['"2024-02-28T10:00:00"']),
        (pydantic.PastDate, ['"2001-02-28"'], ['"2901-02-28"']),
        (pydantic.FutureDatetime, ['"2901-02-28T00:00:00Z"'], ['"1901-02-28T00:00:00Z"']),
        (pydantic.PastDatetime, ['"2001-02-28T00:00:00Z"'], ['"2901-02-28T00:00:00Z"']),
        (A[dt.date, Field(gt=dt.date(2024, 1, 1), le=dt.date(2024, 2, 29))], ['"2024-01-02"', '"2024-02-29"'],
         ['"2024-01-01"', '"2024-03-01"']),
        (A[dt.datetime, Field(ge=dt.datetime(2024, 1, 1, 9, 30))], ['"2024-01-01T09:30"', '"2024-01-01T09:30:00.1Z"'],
         ['"2024-01-01T09:29"', '"2024-01-01T09:29:59.9"']),
        (A[dt.time, Field(lt=dt.time(12))], ['"11:59"', '"00:00:00"'], ['"12:00"', '"12:00:00"']),
        (dt.time, ['"21:40"', '"21:40:00.25Z"'], ['"24:00"']),
        (dt.timedelta, ['"P3DT4H"', '"PT0.5S"', '"-P1D"'], ['"3 days ago"', '"P"', '"P1000000000D"']),
        (A[dt.timedelta, Field(gt=dt.timedelta(hours=36))], ['"P2D"', '"PT37H"'], ['"P1D"', '"PT36H"']),
        (decimal.Decimal, ["1.5", '"2.50"', '"-3"'], ['"abc"', "null", '"1."']),
        (A[decimal.Decimal, Field(ge=0, max_digits=5, decimal_places=2)], ['"123.45"', "1.5", "999.99"],
         ['"1234.5"', "-1", '"x"', "1000", '"0.001"']),
        # Python's decimals find a remainder only where the quotient has at most 28 digits
        (A[decimal.Decimal, Field(multiple_of=decimal.Decimal("0.5"))], ['"4999999999999999999999999999"', "2.5"],
         ['"5000000000000000000000000000"', '"-9999999999999999999999999999"', '"0.25"']),
        (dict[A[decimal.Decimal, Field(multiple_of=decimal.Decimal(3))], int],
         ['{"29999999999999999999999999997": 1}', '{"-6": 1}'], ['{"30000000000000000000000000000": 1}', '{"4": 1}']),
        (A[decimal.Decimal, Field(max_digits=3, decimal_places=3)], ['"0.123"'], ['"0"', "1", '"0.000"']),
        (fractions.Fraction, ['"3/4"', "1.5"], ['"1/0"', '"x"']),
        (complex, ['"1+2j"', '"-2j"'], ['"x"', '"1 + 2j"']),
        (ipaddress.IPv4Network, ['"10.0.0.0/8"', '"10.0.0.1"'], ['"10.0.0.5/8"', '"10.0.0.0/33"', '"hello"']),
        (ipaddress.IPv6Network, ['"2001:db8::/32"', '"fe80::/10"'], ['"2001:db8::1/32"', '"ff81::/10"']),
        (ipaddress.IPv4Interface, ['"10.0.0.5/8"'], ['"hello"', '"10.0.0.5/33"']),
        (IPvAnyAddress, ['"10.0.0.5"', '"::1"'], ['"hello"']),
        (IPvAnyNetwork, ['"10.0.0.0/8"', '"::/0"'], ['"10.0.0.5/8"']),
        (pydantic.HttpUrl, ['"https://example.org/a?b=c#d"'], ['"ftp://example.org"', '"nope"', '"http://"']),
        (pydantic.FileUrl, ['"file:///a/b"'], ['"http://a/b"']),
        (pydantic.PostgresDsn, ['"postgres://u:p@a.b:5432,c.d/x"'], ['"http://a/b"', '"postgres:///x"']),
        (pydantic.EmailStr, ['"a@b.co"'], ['"a@b"', '"a@b.test"', '"a..b@c.de"']),
        (pydantic.NameEmail, ['"Ann Lee <a@b.co>"', '"a@b.co"'], ['"Ann <a@b>"']),
        (pydantic.Base64Bytes, ['"aGVsbG8="', '"/w=="'], ['"aGVsbG8"', '"a"']),
        (pydantic.Base64Str, ['"aGVsbG8="'], ['"/w=="']),
        (pydantic.Base64UrlStr, ['"w7_Dvg=="'], ['"_w=="']),
        (A[pydantic.Base64Str, Field(max_length=2)], ['"aGU="'], ['"aGVs"']),
        (pydantic.Json[int], ['"12"'], ['"x"', '"1.5"']),
        (pydantic.Json[list[Colour]], ['"[\\"red\\"]"'], ['"[\\"blue\\"]"', '["red"]']),
        (pydantic.ByteSize, ['"10KB"', "1024", '"1.5 GiB"'], ['"ten"', '"10 foo"', "-1"]),
        (A[pydantic.ByteSize, Field(gt=3)], ["4"], ["3", '"2"']),
        (pathlib.Path, ['"/a/b"'], ["1"]),
        (re.Pattern, ['"a+b"'], ['"("']),
        (bytes, ['"abc"'], ["1"]),
        (A[bytes, Field(max_length=2)], ['"é"'], ['"éa"']),
        (Colour | None, ['"red"', "null"], ['"blue"']),
        (Number, ["1"], ["3", '"x"']),
        (Mixed, ['"word"', "0.5"], ["[1,2]", "1"]),
        (t.Literal["a", 1, True, None], ['"a"', "1", "null", "true"], ['"b"', "2", "false"]),
        (tuple[int, str, bool], ['[1,"a",true]'], ['[1,"a"]', '[1,"a",true,1]']),
        (tuple[int, ...], ["[]", "[1,2]"], ['["x"]']),
        (set[int], ["[1,2]", "[]"], ['["x"]']),
        (set[str], ['["a","b"]'], ["[1]"]),
        (set[t.Any], ['["a",1]'], ['["a",[1]]']),
        (set[pydantic.JsonValue], ['["a",1]'], ['["a",[1]]']),
        (frozenset[Colour], ['["red"]', "[]"], ['["blue"]']),
        (dict[int, str], ["{}", '{"1":"x"}', '{"-7":"x"}'], ['{"a":"x"}', '{"1.5":"x"}']),
        (dict[t.Literal["x", "y"], int], ['{"x":1,"y":2}'], ['{"z":1}']),
        (dict[float, int], ['{"1.5":1}'], ['{"a":1}']),
        (dict[bool, int], ['{"true":1}'], ['{"yess":1}']),
        (dict[dt.date, float], ['{"2024-01-31":1.5}'], ['{"2024-02-31":1}']),
        (dict[uuid.UUID, int], ['{"7d4a2b10-93cf-4e6e-8a55-0f3b6c21d9ee":1}'], ['{"x":1}']),
        (dict[A[str, Field(pattern=r"^\p{Greek}+\z")], int], ['{"αβ":1}'], ['{"ab":1}']),
        (Counter[str], ['{"a":1}'], ['{"a":"x"}']),
        (deque[int], ["[1]"], ['["x"]']),
        (Point, ["[1,2.5]", "[1]"], ["[]", '["x",1]']),
        (Data, ['{"a":1}'], ['{"b":"x"}', "{}"]),
        (Typed, ['{"a":1}', '{"a":1,"b":"x"}'], ['{"b":"x"}', "{}"]),
        (Derived, ['{"width":1}'], ['{"width":"x"}']),
        (Crate[dict[int, Colour]], ['{"content":{"1":"red"}}'], ['{"content":{"a":"red"}}']),
        (RootModel[list[pydantic.UUID4]], ["[]"], ['["x"]']),
        (A[Cat | Dog, Field(discriminator="kind")], ['{"kind":"cat","lives":9}', '{"kind":"dog","tricks":[]}'],
         ['{"lives":9}', '{"kind":"dog","lives":9}', '{"kind":"cow","lives":9}']),
        (A[str, Field(pattern="^[[:alpha:]]+$")], ['"abc"'], ['"ab1"', '"a\\n"']),
        (A[str, Field(pattern="(?i)^yes$")], ['"YES"'], ['"no"']),
        (A[str, Field(pattern=r"(?x)^ \d{4} - \d\d $")], ['"2024-01"'], ['"2024 - 01"']),
        (A[str, Field(pattern=r"\A\d+\z")], ['"24"'], ['"x"', '"24\\n"']),
        (A[str, Field(pattern=r"^(?P<y>\d{4})$")], ['"2024"'], ['"24"']),
        (A[str, Field(pattern=r"^\W$")], ['"-"'], ['"\u0301"', '"a"']),
        (A[str, StringConstraints(pattern=re.compile("^(?=.*b)a", re.I))], ['"AxB"'], ['"ax"']),
        (A[str, StringConstraints(strip_whitespace=True, min_length=2)], ['"ab"'], ['" a"']),
        (A[list[int] | str, Field(min_length=2)], ["[1,2]", '"ab"'], ["[1]", '"a"']),
        (A[t.Sequence[int], Field(max_length=1)], ["[1]"], ["[1,2]"]),
        (pydantic.FiniteFloat, ["1.5"], ["1e400"]),
        (pydantic.SecretStr, ['"x"'], ["1"]),
        (t.Hashable, ["1", '"a"'], ["[1]"]),
        (made(ConfigDict(val_json_bytes="base64"), v=(bytes, ...)), ['{"v":"aGVsbG8="}'], ['{"v":"zz"}']),
        (made(ConfigDict(val_json_bytes="hex"), v=(bytes, ...)), ['{"v":"00ff"}'], ['{"v":"0"}']),
        (made(ConfigDict(regex_engine="python-re"), v=(A[str, Field(pattern="^(?=a).b")], ...)), ['{"v":"ab"}'],
         ['{"v":"bb"}']),
        (made(ConfigDict(str_max_length=3), v=(pydantic.EmailStr | None, ...)), ['{"v":null}'], ['{"v":"a@b.co"}']),
        (made(ConfigDict(strict=True), v=(ipaddress.IPv4Address, ...)), ['{"v":"1.2.3.4"}'], ['{"v":"1.2.3"}']),
        (made(v=(int, Field(alias="V"))), ['{"V":1}'], ['{"v":1}']),
        (made(v=(int, Field(validation_alias=AliasChoices("x", "y")))), ['{"x":1}'], ['{"v":1}']),
        (made(v=(int, Field(validation_alias=AliasPath("x", "y", 1)))), ['{"x":{"y":[null,1]}}'],
         ['{"x":{"y":[1]}}', '{"v":1}']),
        (made(a=(int, Field(validation_alias=AliasPath("x", 0))), b=(str, Field(validation_alias=AliasPath("x", 1)))),
         ['{"x":[1,"s"]}'], ['{"x":[1]}', '{"x":["s"]}']),
        (made(ConfigDict(extra="forbid"), a=(int, Field(0, validation_alias=AliasPath("x", "a")))),
         ['{"x":{"a":1}}', "{}"], ['{"x":{}}']),
    ],
    ids=str,
)  # fmt: skip
def test_what_a_class_checks(source: t.Any, good: list[str], bad: list[str]) -> None:
    adapter, texts = TypeAdapter(source), texts_of(source)
    for text in good:
        adapter.validate_json(text)  # Pydantic is the judge
        assert texts.accepts(text.encode()), text
    for text in bad:
        assert not texts.accepts(text.encode()), text
    assert texts.accepts(texts.shortest())
    adapter.validate_json(texts.shortest())


class Tree(pydantic.BaseModel):
    """A class that is referred to by name, since it holds itself."""

    value: int
    children: list[Tree] = []


@pytest.mark.parametrize(
    ("source", "place", "reason"),
    [
        (made(a=(list[pydantic.FilePath], ...)), "/properties/a/items", "no property of the text"),
        (made(a=(made(b=(pydantic.ImportString, ...)), ...)), "/properties/a/properties/b", "imported"),
        (made(a=(t.Callable, ...)), "/properties/a", "no JSON value"),
        (made(a=(type[int], ...)), "/properties/a", "no JSON value"),
        (dict[str, A[t.Any, Field(gt=3)]], "/additionalProperties", "no such limit"),
        (dict[tuple[int, int], int], "/propertyNames", "tuple cannot be written"),
        (dict[None, int], "/propertyNames", "cannot be written"),
        (dict[t.Literal[1, 2], int], "/propertyNames", "can be written"),
        (set[list[int]], "/items", "cannot be hashed"),
        (frozenset[Tree], "/items", "cannot be hashed"),
        (set[pydantic.Json], "/items", "cannot be hashed"),
        (set[pydantic.NameEmail], "/items", "cannot be hashed"),
        (dict[pydantic.NameEmail, int], "/propertyNames", "cannot be hashed"),
        (A[dict[float, int], Field(min_length=2)], "", "cannot be told"),
        (t.Literal[b"x"], "", "can be written"),
    ],
    ids=str,
)
def test_what_cannot_be_written_is_refused_with_its_place(source: t.Any, place: str, reason: str) -> None:
    with pytest.raises(UnsupportedSchema, match=reason) as caught:
        texts_of(source)
    assert caught.value.pointer == place


def test_a_type_that_pydantic_does_not_understand() -> None:
    class Odd:
        pass

    with pytest.raises(InvalidSchema, match="not a schema"):
        read_source(Odd)


def test_what_is_left_out_is_told() -> None:
    def notes(source: t.Any) -> str:
        return " ".join(map(str, read_source(source).build(Limits()).restrictions))

    today = dt.datetime.now(dt.UTC).date()
    assert str(today - dt.timedelta(days=1)) in notes(pydantic.PastDatetime)
    assert "1 of its values cannot be written" in notes(Mixed)
    assert "a member is left out: import_string" in notes(pydantic.ImportString | int)
    assert notes(pydantic.UUID4) == ""
    with pytest.raises(Unsatisfiable, match="3 keys"):
        texts_of(A[dict[Colour, int], Field(min_length=3)])


def test_a_users_schema_narrows_and_never_widens() -> None:
    class Either(BaseModel):
        phone: str | None = None
        mail: str | None = None
        model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["phone"]}, {"required": ["mail"]}]})

    assert texts_of(Either).accepts(b'{"mail":null}') and not texts_of(Either).accepts(b"{}")
    shown = A[int, pydantic.WithJsonSchema({"type": "integer", "maximum": 5})]
    assert texts_of(shown).accepts(b"5") and not texts_of(shown).accepts(b"6")
    wide = A[int, Field(ge=3), pydantic.WithJsonSchema({"type": "number"})]
    assert texts_of(wide).accepts(b"3") and not texts_of(wide).accepts(b"2") and not texts_of(wide).accepts(b"3.5")
    parsed = A[int, pydantic.BeforeValidator(len), pydantic.WithJsonSchema({"type": "string"})]
    assert texts_of(parsed).accepts(b'"abc"') and TypeAdapter(parsed).validate_json('"abc"') == 3


def test_added_keys_are_never_another_name_of_a_field() -> None:
    model = made(v=(int | None, Field(None, validation_alias=AliasChoices("x", "y"))))
    source = read_source(model, extra_properties="schema")
    texts = compile_tree(source.build(Limits()).tree)
    assert texts.accepts(b'{"z":"s"}') and not texts.accepts(b'{"y":"s"}')


def test_the_schema_tells_the_model_what_is_asked() -> None:
    model = made(a=(pydantic.UUID4, ...), b=(A[str, Field(pattern=r"^\d+$")], ...), c=(pydantic.NaiveDatetime, ...))
    form = read_source(model).prompt("text", "")
    assert '"a": string (uuid4)' in form and r'"b": string (/^\d+$/)' in form
    assert '"c": string (naive date-time)' in form


def test_a_schema_of_a_user_cannot_name_texts_that_there_are_not() -> None:
    for asked in ({"text": [["nothing", ""]]}, {"text": "uuid"}, 3):
        with pytest.raises(InvalidSchema, match="x-structdiff"):
            read_source({"type": "string", "x-structdiff": asked}).build(Limits())
    with pytest.raises(UnsupportedSchema, match="version"):
        read_source({"type": "string", "x-structdiff": {"text": [["uuid", "{}"]]}}).build(Limits())


def test_the_fault_of_a_validator_is_a_place_in_the_output() -> None:
    class Kind(BaseModel):
        kind: t.Literal["k"]
        value: A[int, pydantic.AfterValidator(lambda value: 1 // 0 if value < 0 else value)]

        @pydantic.field_validator("value")
        @classmethod
        def small(cls, value: int) -> int:
            if value > 5:
                raise ValueError("too large")
            return value

    source = read_source(made(a=(list[Kind | int], ...)))
    with pytest.raises(structdiff.ValidationFailed, match="too large") as caught:
        source.parse('{"a": [1, {"kind": "k", "value": 9}]}')
    assert ("/a/1/value", "Value error, too large") in caught.value.errors
    with pytest.raises(structdiff.ValidationFailed, match="ZeroDivisionError"):
        source.parse('{"a": [{"kind": "k", "value": -1}]}')


@pytest.mark.parametrize("number", range(40))
def test_random_types(number: int) -> None:
    rng = fuzz_classes.Rng(number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            source = fuzz_classes.random_type(rng, 2)
            TypeAdapter(source)
        except Exception as error:
            pytest.skip(f"no type: {type(error).__name__}")
        try:
            assert fuzz_classes.faults(source, None, rounds=0, walks=6, seed=number) == []
        except CompileLimit:
            pytest.skip("too large for the limits of the test")
        except StructdiffError as error:
            assert isinstance(error, UnsupportedSchema | Unsatisfiable), error
