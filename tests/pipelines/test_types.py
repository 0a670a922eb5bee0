"""Columns of the types of their schema: what is written is read by pandas, polars and DuckDB, value by value."""

import datetime
import decimal
import enum
import json
import re
from decimal import Decimal
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from structdiff.core.errors import ValidationFailed
from structdiff.pipelines.answers import Answer
from structdiff.pipelines.columns import Columns
from structdiff.pipelines.parquet import fields_of
from structdiff.pipelines.places import InputError
from structdiff.pipelines.records import read_records
from structdiff.pipelines.targets import Target
from structdiff.results.arrow_types import arrow_field, typed_schema
from structdiff.results.arrow_values import Misfit, cell, value_of
from structdiff.results.result import Failure, Result, Usage
from structdiff.results.table import Results

arrow = pytest.importorskip("pyarrow")
import pyarrow.parquet  # noqa: E402

UTC = datetime.UTC


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    name: str
    price: Decimal = Field(max_digits=8, decimal_places=2)


class Order(BaseModel):
    title: str
    quantity: int
    ratio: float
    open: bool
    color: Color
    size: Literal["s", "m"] | None
    level: Literal[1, 2]
    due: datetime.date | None
    at: datetime.datetime
    clock: datetime.time
    price: Decimal
    total: Decimal | None = Field(None, max_digits=10, decimal_places=3)
    tags: list[str]
    best: Item | None = None
    items: list[Item]
    stock: dict[str, int]
    either: int | str


ROW = {
    "title": "Größe", "quantity": 3, "ratio": 2, "open": True, "color": "red", "size": None, "level": 2,
    "due": "2026-05-01", "at": "2026-05-01T10:15:00.25+02:00", "clock": "21:40:00Z", "price": "19.90", "total": 7.125,
    "tags": ["a", "b"], "best": {"name": "x", "price": 1.5}, "items": [{"name": "y", "price": "0.05"}],
    "stock": {"here": 1}, "either": "7",
}  # fmt: skip
EXPECTED = {
    "title": "Größe", "quantity": 3, "ratio": 2.0, "open": True, "color": "red", "size": None, "level": 2,
    "due": datetime.date(2026, 5, 1), "at": datetime.datetime(2026, 5, 1, 8, 15, 0, 250000, tzinfo=UTC),
    "clock": datetime.time(21, 40), "price": Decimal("19.900000000000000000"), "total": Decimal("7.125"),
    "tags": ["a", "b"], "best": {"name": "x", "price": Decimal("1.50")},
    "items": [{"name": "y", "price": Decimal("0.05")}], "stock": {"here": 1}, "either": '"7"',
}  # fmt: skip
TYPES = {
    "title": "string", "quantity": "int64", "ratio": "double", "open": "bool",
    "color": "dictionary<values=string, indices=int32, ordered=0>",
    "size": "dictionary<values=string, indices=int32, ordered=0>", "level": "int64", "due": "date32[day]",
    "at": "timestamp[us, tz=UTC]", "clock": "time64[us]", "price": "decimal128(38, 18)", "total": "decimal128(10, 3)",
    "tags": "list<item: string>", "best": "struct<name: string, price: decimal128(8, 2)>",
    "items": "list<item: struct<name: string, price: decimal128(8, 2)>>", "stock": "map<string, int64>",
    "either": "string",
}  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("types") / "o.parquet"
    target = order_target(path)
    nothing = {"id": 2, "error": "no", "error_type": "GenerationError"}
    assert target.fit(Answer({"id": 1, **ROW})).error is None
    target.write(lambda: iter([{"id": 1, **ROW}, nothing]), path)
    return path


def order_target(path):
    schema = typed_schema(Order, Order.model_json_schema())
    return Target(str(path), Columns(tuple(Order.model_fields), (), None), schema)


def test_types_of_a_class(written):
    schema = pyarrow.parquet.read_schema(written)
    found = {name: str(schema.field(name).type) for name in TYPES}
    assert {name: re.sub(r" \('\w+'\)", "", kind.replace("element", "item")) for name, kind in found.items()} == TYPES
    assert schema.names == ["id", *TYPES, "error", "error_type", "raw"]


def test_pandas_reads_the_values(written):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(written, dtype_backend="pyarrow")
    row = frame.iloc[0]
    for name, value in EXPECTED.items():
        found = row[name]
        if name == "stock":
            found = dict(found)
        elif name in ("tags", "items"):
            found = list(found)
        elif name == "at":
            found = found.to_pydatetime()
        assert (found is pandas.NA or found is None) if value is None else found == value, name
    assert frame["error"].iloc[1] == "no" and frame["quantity"].isna().tolist() == [False, True]


def test_polars_reads_the_values(written):
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(written)
    row = frame.row(0, named=True)
    for name, value in EXPECTED.items():
        found = row[name]
        if name == "stock" and isinstance(found, list):  # a map is a list of pairs to some versions
            found = {one["key"]: one["value"] for one in found}
        assert found == value, name
    assert frame.schema["quantity"] == polars.Int64 and frame.schema["due"] == polars.Date


def test_duckdb_reads_the_values(written):
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(f"select * from '{written}' order by id").fetchall()[0]
    names = [one[0] for one in duckdb.sql(f"describe select * from '{written}'").fetchall()]
    row = dict(zip(names, found, strict=True))
    for name, value in EXPECTED.items():
        if name == "at":
            assert row[name].astimezone(UTC) == value
        else:
            assert row[name] == value, name


def test_a_file_is_read_back_to_the_rows_it_was_written_from(written):
    target = order_target(written)
    first, second = target.read()
    again = written.with_name("again.parquet")
    order_target(again).write(lambda: iter([first, second]), again)
    assert pyarrow.parquet.read_table(again).equals(pyarrow.parquet.read_table(written))
    assert first["either"] == "7" and target.error_of(second) == "GenerationError"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("quantity", 2**63, "64 bits"),
        ("total", "1.2345", "more than 3 decimal places"),
        ("total", "12345678.5", "more than 7 digits"),
        ("at", "2026-05-01T10:15:00.0000001Z", "finer than a microsecond"),
        ("due", "2026-02-30", "2026-02-30"),
        ("best", {"name": "x", "price": 1, "more": 2}, "'more'"),
    ],
)
def test_what_has_no_place_is_an_error_row(tmp_path, name, value, reason):
    target = order_target(tmp_path / "o.parquet")
    answer = target.fit(Answer({"id": 1, "lang": "de", **ROW, name: value}))
    assert answer.error == "Misfit" and reason in answer.row["error"] and answer.row["lang"] == "de"
    assert json.loads(answer.row["raw"])[name] == value and name not in answer.row


def test_types_of_schemas():
    root = {"$defs": {"day": {"type": "string", "format": "date"}}}
    cases = [
        ({"$ref": "#/$defs/day"}, "date32[day]"),
        ({"anyOf": [{"$ref": "#/$defs/day"}, {"type": "null"}]}, "date32[day]"),
        ({"type": ["integer", "null"]}, "int64"),
        ({"type": ["integer", "number"]}, "double"),
        ({"enum": ["a", None]}, "dictionary<values=string, indices=int32, ordered=0>"),
        ({"const": 3}, "int64"),
        ({"enum": [1, "a"]}, "string"),
        ({"type": "array", "items": {"type": "array", "items": {"type": "boolean"}}}, "list<item: list<item: bool>>"),
        ({"prefixItems": [{"type": "integer"}] * 2, "type": "array", "maxItems": 2}, "list<item: int64>"),
        ({"type": "object"}, "string"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "map<string, double>"),
        ({}, "string"),
        (True, "string"),
    ]
    for schema, expected in cases:
        assert str(arrow_field("x", schema, root).type) == expected, schema
    tree = {"$defs": {"t": {"type": "object", "properties": {"below": {"$ref": "#/$defs/t"}}}}, "$ref": "#/$defs/t"}
    field = arrow_field("x", tree, tree)
    assert str(field.type) == "string" and field.metadata == {b"structdiff": b"json"}


def test_times_are_in_utc():
    clock = arrow.field("t", arrow.time64("us"))
    assert cell("01:30:00+02:00", clock) == datetime.time(23, 30)
    with pytest.raises(Misfit):
        cell("nonsense", clock)
    assert value_of(Decimal("1.500"), arrow.field("d", arrow.decimal128(10, 3))) == "1.5"
    with decimal.localcontext(prec=3):
        assert cell("12345.678", arrow.field("d", arrow.decimal128(10, 3))) == Decimal("12345.678")


def test_columns_of_a_parquet_input_come_out_as_they_were(tmp_path):
    path = tmp_path / "in.parquet"
    columns = {
        "text": ["eins", "zwei"],
        "day": arrow.array([datetime.date(2026, 1, 1), None]),
        "stamp": arrow.array([1, 2], arrow.timestamp("ms")),
        "cost": arrow.array([Decimal("1.20"), None], arrow.decimal128(6, 2)),
        "pair": [{"a": 1}, None],
    }
    pyarrow.parquet.write_table(arrow.table(columns), path)
    records = list(read_records(path))
    kept = Columns(None, (), None)
    target = Target(str(tmp_path / "o.parquet"), kept, {"type": "integer"}, fields_of(str(path)))
    rows = [kept.value_row(one.id, one.columns, 3, {}) for one in records]
    target.write(lambda: iter(json.loads(json.dumps(rows))), tmp_path / "o.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "o.parquet")
    before = pyarrow.parquet.read_table(path)
    for name in columns:
        assert table.column(name).equals(before.column(name)), name
    pyarrow.parquet.write_table(arrow.table({"text": ["a"], "image": [b"x"]}), path)
    with pytest.raises(InputError, match="the column 'image' holds bytes"):
        list(read_records(path))


def test_parquet_inputs(tmp_path):
    path = tmp_path / "in.parquet"
    pyarrow.parquet.write_table(arrow.table({"k": ["a", "b"], "text": ["eins", None]}), path)
    first, second = read_records(path, id_field="k")
    assert (first.id, first.text) == ("a", "eins") and second.id == "b" and "no text" in second.error
    with pytest.raises(InputError, match="no column 'body'; its columns are k, text"):
        list(read_records(path, "body"))
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="not a Parquet file"):
        list(read_records(tmp_path / "bad.parquet"))


def result(row):
    return Result(row, json.dumps(row), "stop", Usage(1, 1, 1, 1), "", is_json=True, schema=Order.model_json_schema())


def test_results_are_tables():
    rejected = ValidationFailed('{"title": 1}', [("/title", "no")])
    results = Results([result(ROW), Failure(rejected, "text")]).of(["a", "b"], Order, True)
    table = results.to_arrow()
    assert {name: str(table.schema.field(name).type) for name in TYPES} == TYPES
    first, second = table.to_pylist()
    assert first["due"] == datetime.date(2026, 5, 1) and first["error"] is None
    assert (second["title"], second["error_type"], second["raw"]) == (None, "ValidationFailed", '{"title": 1}')
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(["a", "b"], index=["x", "y"])
    frame = Results(results).of(series, Order, False).to_pandas()
    assert list(frame.index) == ["x", "y"] and "error" not in frame
    polars = pytest.importorskip("polars")
    assert results.to_polars().schema["at"] == polars.Datetime("us", "UTC")


def test_results_of_several_sources_are_values():
    plain = Result("B", "B", "stop", Usage(1, 1, 1, 1), "")
    assert Results([plain]).of(["a"], None, False).to_arrow().to_pydict() == {"value": ["B"]}
    mixed = Results([plain, result(ROW)]).of(["a", "b"], [str, Order], False).to_arrow()
    assert json.loads(mixed.column("value")[1].as_py())["title"] == "Größe"
