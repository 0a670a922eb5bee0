"""Tables of random logits: judged by the csv module, pandas and a Markdown parser."""

import csv
import io
import os

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import structdiff
from structdiff.core.errors import InvalidSchema, Unsatisfiable, UnsupportedSchema
from structdiff.lattice.lattice import Lattice
from structdiff.tokens.table import gpt2_alphabet
from structdiff.tokens.vocabulary import Vocabulary

pd = pytest.importorskip("pandas")
COLUMNS = {"item": {"type": "string", "maxLength": 5}, "n": {"type": "integer", "minimum": -5, "maximum": 120},
           "ok": bool}  # fmt: skip
DRAWS = int(os.environ.get("STRUCTDIFF_TABLES", "40"))  # per style


@pytest.fixture(scope="module")
def vocabulary():
    pieces = gpt2_alphabet()
    tiny = Tokenizer(
        models.BPE({**pieces, "Ġ|": 256, "ĠĠ": 257, "--": 258, "</s>": 259}, [("Ġ", "|"), ("Ġ", "Ġ"), ("-", "-")])
    )
    tiny.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tiny.decoder = decoders.ByteLevel()
    return Vocabulary.of(tiny, end_ids=(259,))


def draws(table, vocabulary, n=DRAWS, length=160):
    constraint = structdiff.compile(table, vocabulary)
    lattice, rng = Lattice(constraint.automaton, length), np.random.default_rng(0)
    for _ in range(n):
        logits = (rng.normal(size=(length, 260)) * 3).astype(np.float32)
        longer = constraint.min_tokens + int(rng.integers(40))
        logits[:longer, 259] -= 300  # else the shortest table is by far the likeliest
        logits[:, ord('"')] += 8 * rng.random()
        tokens, _ = lattice.posterior(logits).draw(rng.random((length, 3)))
        ids = tokens.tolist()
        yield vocabulary.bytes_of(ids[: ids.index(259)] if 259 in ids else ids).decode()


def judged(rows):
    assert 1 <= len(rows) <= 3
    for row in rows:
        assert list(row) == ["item", "n", "ok"]
        assert isinstance(row["item"], str) and 1 <= len(row["item"]) <= 5
        assert type(row["n"]) is int and -5 <= row["n"] <= 120 and type(row["ok"]) is bool


def test_csv(vocabulary):
    table, quoted = structdiff.Table(COLUMNS, rows=(1, 3), style="csv"), 0
    for text in draws(table, vocabulary):
        rows = table.parse(text)
        judged(rows)
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(csv.reader(io.StringIO(text, newline="")))
        assert out.getvalue() == text  # quoted exactly where it has to be
        frame = pd.read_csv(io.StringIO(text), keep_default_na=False, dtype=str)
        assert frame["item"].tolist() == [row["item"] for row in rows]
        quoted += '"' in text
    assert quoted


def test_tsv(vocabulary):
    table = structdiff.Table(COLUMNS, rows=(1, 3), style="tsv")
    for text in draws(table, vocabulary):
        rows = table.parse(text)
        judged(rows)
        frame = pd.read_csv(io.StringIO(text), sep="\t", keep_default_na=False, dtype=str)
        assert frame["item"].tolist() == [row["item"] for row in rows]


@pytest.mark.parametrize("style", ["markdown", "box"])
def test_aligned(vocabulary, style):
    table = structdiff.Table(COLUMNS, rows=(1, 3), style=style)
    widths = set()
    for text in draws(table, vocabulary, length=320):
        lines = text.split("\n")
        assert len({len(line) for line in lines}) == 1
        bar = "|" if style == "markdown" else "│"
        body = [line for line in lines if line.startswith(bar) and "---" not in line]
        assert len({tuple(i for i, c in enumerate(line) if c == bar) for line in body}) == 1
        rows = table.parse(text)
        judged(rows)
        width = len(body[0].split(bar)[1]) - 2
        assert width == max(4, *(len(row["item"]) for row in rows))  # as wide as the widest cell, no wider
        widths.add(width)
        if style == "markdown":
            markdown = pytest.importorskip("markdown_it")
            tokens = markdown.MarkdownIt("commonmark").enable("table").parse(text)
            cells = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type in ("td_open", "th_open")]
            assert len(cells) == 3 * (len(rows) + 1)
            assert cells[3::3] == [row["item"] for row in rows]
    assert widths == {4, 5}


def test_clear_errors(vocabulary):
    with pytest.raises(InvalidSchema, match="no table style 'html'"):
        structdiff.Table({"a": int}, style="html")
    with pytest.raises(UnsupportedSchema, match="at /a: type cannot be enforced"):
        structdiff.Table({"a": {"type": "array"}})
    with pytest.raises(UnsupportedSchema, match="at /a/pattern"):
        structdiff.Table({"a": {"type": "string", "pattern": "x"}})
    with pytest.raises(Unsatisfiable, match="minLength <= maxLength"):
        structdiff.Table({"a": {"type": "string", "minLength": 3, "maxLength": 2}})
    with pytest.raises(InvalidSchema, match=r"holds '\|'"):
        structdiff.Table({"a|b": int})
