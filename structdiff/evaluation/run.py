"""Any extractor on a file of texts with gold values: ask, compare, report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from structdiff.core.errors import StructdiffError
from structdiff.evaluation.scoring import compare, count_gold
from structdiff.evaluation.summary import Row, Scored, Share, summarise

Answer = Callable[[str, Any], tuple[Any, int, float]]
"""Text and JSON Schema in; the value, the model calls it took and the seconds out."""


@dataclass(frozen=True)
class Example:
    """A text, the schema that says what is asked, and the gold value. ``words`` counts the text's."""

    id: str
    text: str
    schema: Any
    value: Any
    style: str = ""
    language: str = ""
    words: int = 0


@dataclass(frozen=True)
class Report:
    """The scored texts in the order of the file, and their counts."""

    scored: tuple[Scored, ...]

    @property
    def rows(self) -> list[Row]:
        """The counts over all texts and by group."""
        return summarise(self.scored)

    @property
    def errors(self) -> list[tuple[str, str]]:
        """The texts without a prediction, and why."""
        return [(one.id, one.error) for one in self.scored if one.error]

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data: the counts, what the calls cost, and each text's leaves that are not right."""
        return {
            "rows": [row.as_json() for row in self.rows],
            "calls_per_text": self._per_text([one.calls for one in self.scored]),
            "seconds_per_text": self._per_text([one.seconds for one in self.scored]),
            "errors": dict(self.errors),
            "texts": [
                {
                    "id": one.id, "leaves": len(one.leaves), "right": one.right, "calls": one.calls,
                    "seconds": one.seconds,
                    "not_right": [
                        {"pointer": leaf.pointer, "outcome": leaf.outcome, "kind": leaf.kind, "gold": leaf.gold,
                         "predicted": leaf.predicted}
                        for leaf in one.leaves if leaf.outcome != "right"
                    ],
                }
                for one in self.scored
            ],
        }  # fmt: skip

    def table(self) -> str:
        """The counts as a Markdown table, then what the calls cost and how many texts failed."""
        head = "| group | | texts | leaves | right | wrong | invented | omitted | accuracy | of gold | exact |"
        lines = [head, "|" + "---|" * 11]
        for row in self.rows:
            of_gold = "" if row.of_gold is None else _figure(row.of_gold)
            counts = f"{row.texts} | {row.leaves} | {row.right} | {row.wrong} | {row.invented} | {row.omitted}"
            shares = f"{_share(row.accuracy)} | {of_gold} | {_share(row.exact)}"
            lines.append(f"| {row.group} | {row.name} | {counts} | {shares} |")
        calls, seconds = (self._per_text([getattr(one, name) for one in self.scored]) for name in ("calls", "seconds"))
        lines += ["", f"{calls:.1f} calls and {seconds:.2f} s a text, {len(self.errors)} without a value"]
        return "\n".join(lines)

    def _per_text(self, values: Sequence[float]) -> float:
        return sum(values) / len(values) if values else 0.0


def read_examples(path: str | Path) -> list[Example]:
    """The texts of a JSONL file with "text", "schema" and "value" in each line; the other fields may be missing.

    Raises ValueError that names the line.
    """
    examples = []
    with Path(path).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                examples.append(_example(line, f"{path}, line {number}", str(number)))
    if not examples:
        raise ValueError(f"{path} holds no text; a line is an object with text, schema and value")
    return examples


def _example(line: str, place: str, name: str) -> Example:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: no JSON: {error}") from error
    missing = {"text", "schema", "value"} - set(row) if isinstance(row, dict) else {"text", "schema", "value"}
    if missing:
        raise ValueError(f"{place}: {', '.join(sorted(missing))} missing; a line is an object with text, schema, value")
    text = row["text"]
    if not isinstance(text, str):
        raise ValueError(f"{place}: text is {type(text).__name__}, not a string")
    return Example(
        str(row.get("id", name)), text, row["schema"], row["value"],
        str(row.get("style", "")), str(row.get("language", "")), len(text.split()),
    )  # fmt: skip


def evaluate(
    answer: Answer, source: str | Path | Iterable[Example], on_text: Callable[[Scored], None] | None = None
) -> Report:
    """The report of an extractor on a JSONL file, or on examples.

    A `StructdiffError` of ``answer`` counts all leaves of its text as omitted and is kept; other errors are not caught.
    ``on_text`` is called after each text.

    >>> example = Example("a", "Ann is 31.", {"properties": {"age": {"type": "integer"}}}, {"age": 31})
    >>> report = evaluate(lambda text, schema: ({"age": 31}, 1, 0.0), [example])
    >>> report.rows[0].accuracy.value, report.errors
    (1.0, [])
    """
    examples = read_examples(source) if isinstance(source, str | Path) else source
    scored = []
    for example in examples:
        one = score(answer, example)
        scored.append(one)
        if on_text is not None:
            on_text(one)
    return Report(tuple(scored))


def score(answer: Answer, example: Example) -> Scored:
    """One text asked and compared."""
    breadth = count_gold(example.value, example.schema)
    value, calls, seconds, error = None, 0, 0.0, ""
    try:
        value, calls, seconds = answer(example.text, example.schema)
    except StructdiffError as problem:
        error = f"{type(problem).__name__}: {problem}"
    leaves = tuple(compare(value, example.value, example.schema))
    words = example.words or len(example.text.split())
    return Scored(
        example.id, leaves, breadth, words, example.language, example.style, calls, seconds, error
    )  # fmt: skip


def _figure(share: float) -> str:
    return f"{share:.3f}".removeprefix("0")


def _share(share: Share | None) -> str:
    if share is None or share.value is None:
        return ""
    if share.low is None or share.high is None:
        return _figure(share.value)
    return f"{_figure(share.value)} ({_figure(share.low)} to {_figure(share.high)})"
