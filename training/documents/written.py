"""Documents that were written one by one, each with several questions: how their files are read and checked.

`training/documents/texts/*.txt` hold them. A file says each thing once: a leaf has its key, its type and its value
in one line, and schema and answer are made from that.

>>> lines = ["=== note on a door | en", "Back at 3 or so, Ida", "--- ask", "who: str = Ida",
...     "hour: int = 3 // !of return, not of leaving", "knocked: bool? = null"]
>>> documents, errors = read_documents("\\n".join(lines))
>>> documents[0].kind, documents[0].text, errors
('note on a door', 'Back at 3 or so, Ida', [])
>>> documents[0].asks[0].value
{'who': 'Ida', 'hour': 3, 'knocked': None}
>>> faults(documents[0])
[]
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema

DOCUMENT, ASK, NOTE = "=== ", "--- ask", " // "
CLOCK = "^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$"
TYPES: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "num": {"type": "number"},
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "time": {"type": "string", "pattern": CLOCK},
    "email": {"type": "string", "format": "email"},
    "uri": {"type": "string", "format": "uri"},
}
NULL, DECIDES = "x-null", "x-decides"
"""Marks in the schemas of questions: the value may be null; the description decides which value is meant."""
KEY = re.compile(r"\s*([\w.$ -]+?)(\?)?\s*:\s*")
QUOTED = re.compile(r"\s*'([^']*)'")


class WrittenError(ValueError):
    """A line of a file of documents cannot be read."""


@dataclass
class Ask:
    """A question: a schema with the marks `NULL` and `DECIDES`, the value, and the line where it begins."""

    line: int
    schema: dict[str, Any]
    value: dict[str, Any]


@dataclass
class Written:
    """A document; ``language`` is a code of two letters."""

    kind: str
    language: str
    line: int
    text: str
    asks: list[Ask] = field(default_factory=list)


def object_schema() -> dict[str, Any]:
    return {"type": "object", "properties": {}, "required": []}


def add_member(schema: dict[str, Any], key: str, member: dict[str, Any], may_miss: bool) -> None:
    if key in schema["properties"]:
        raise WrittenError(f"the key {key!r} stands twice in one object")
    schema["properties"][key] = member
    if not may_miss:
        schema["required"].append(key)


class TypeReader:
    """Reads a type from a line: ``str``, ``enum(a|b)``, ``{qty: int, sku: str?}[]``."""

    def __init__(self, text: str, at: int = 0) -> None:
        self.text, self.at = text, at

    def fail(self, wanted: str) -> WrittenError:
        return WrittenError(f"{wanted} was expected at {self.text[self.at : self.at + 30]!r}")

    def take(self, mark: str) -> bool:
        if self.text.startswith(mark, self.at):
            self.at += len(mark)
            return True
        return False

    def blanks(self) -> None:
        while self.at < len(self.text) and self.text[self.at] == " ":
            self.at += 1

    def read(self) -> dict[str, Any]:
        schema = self.base()
        while True:
            if self.take("[]"):
                schema = {"type": "array", "items": schema}
            elif self.take("?"):
                schema = {**schema, NULL: True}
            else:
                return schema

    def base(self) -> dict[str, Any]:
        if self.take("{"):
            return self.members()
        if self.take("enum("):
            end = self.text.find(")", self.at)
            if end < 0:
                raise self.fail("')' behind the labels of an enum")
            labels = [label.strip() for label in self.text[self.at : end].split("|")]
            self.at = end + 1
            if len(set(labels)) != len(labels) or len(labels) < 2:
                raise WrittenError(f"an enum needs two different labels or more: {labels}")
            return {"type": "string", "enum": labels}
        word = re.compile(r"[a-z]+").match(self.text, self.at)
        if not word or word[0] not in TYPES:
            raise self.fail("a type (" + ", ".join(TYPES) + ", enum(a|b), {key: type})")
        self.at = word.end()
        return dict(TYPES[word[0]])

    def members(self) -> dict[str, Any]:
        schema = object_schema()
        while True:
            found = KEY.match(self.text, self.at)
            if not found:
                raise self.fail("'key: type'")
            self.at = found.end()
            member = self.read()
            if note := QUOTED.match(self.text, self.at):
                self.at = note.end()
                member |= described(note[1])
            add_member(schema, found[1], member, bool(found[2]))
            self.blanks()
            if self.take("}"):
                return schema
            if not self.take(","):
                raise self.fail("',' or '}'")


def described(note: str) -> dict[str, Any]:
    """The schema keywords of a description; one that begins with ``!`` decides.

    >>> described("!the new date")
    {'description': 'the new date', 'x-decides': True}
    """
    if note.startswith("!"):
        return {"description": note[1:].strip(), DECIDES: True}
    return {"description": note.strip()} if note.strip() else {}


def zoned(schema: dict[str, Any], value: Any) -> Any:
    """The value with ``Z`` behind each date-time that states no zone, as RFC 3339 wants one.

    >>> zoned({"format": "date-time"}, "2024-03-01T09:30:00")
    '2024-03-01T09:30:00Z'
    """
    if isinstance(value, dict):
        return {key: zoned(schema.get("properties", {}).get(key, {}), one) for key, one in value.items()}
    if isinstance(value, list):
        return [zoned(schema.get("items", {}), one) for one in value]
    bare = isinstance(value, str) and schema.get("format") == "date-time"
    return f"{value}Z" if bare and re.fullmatch(r"[0-9-]{10}T[0-9:]{8}", value) else value


def read_value(schema: dict[str, Any], text: str) -> Any:
    """The value of a leaf: JSON, or bare text where the type is a string."""
    text = text.strip()
    if text == "null" and NULL in schema:
        return None
    if schema.get("type") == "string" and not text.startswith('"'):
        return text
    try:
        return json.loads(text)
    except ValueError as e:
        raise WrittenError(f"the value {text[:60]!r} is not JSON: {e}") from None


class AskReader:
    """Reads the lines of one question."""

    def __init__(self, lines: list[str]) -> None:
        self.lines, self.at = lines, 0

    def members(self, inner: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """(schema, value) of the lines up to the closing brace, or to the end."""
        schema, value = object_schema(), dict[str, Any]()
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if not line.strip():
                self.at += 1
                continue
            if inner and line.strip().startswith("}"):
                return schema, value
            self.member(schema, value)
        if inner:
            raise WrittenError("a block { is not closed")
        return schema, value

    def member(self, schema: dict[str, Any], value: dict[str, Any]) -> None:
        line = self.lines[self.at]
        found = KEY.match(line)
        if not found:
            raise WrittenError(f"'key: type = value' was expected: {line.strip()[:60]!r}")
        key, may_miss, rest = found[1], bool(found[2]), line[found.end() :].strip()
        self.at += 1
        if rest == "{":
            member, one = self.members(inner=True)
            self.at += 1
            add_member(schema, key, member, may_miss)
            value[key] = one
            return
        types = TypeReader(rest)
        member = types.read()
        types.blanks()
        behind = rest[types.at :]
        stated, _, note = behind.partition(NOTE) if " // " in behind else (behind, "", "")
        if stated.startswith("// "):
            stated, note = "", stated[3:] + note
        if stated.strip() and not stated.startswith("="):
            raise WrittenError(f"'= value' was expected behind the type: {stated[:40]!r}")
        add_member(schema, key, member | described(note.strip()), may_miss)
        if not stated.strip():
            value[key] = self.rows(member)
        elif not (may_miss and stated[1:].strip() == "-"):
            value[key] = read_value(member, stated[1:])

    def rows(self, schema: dict[str, Any]) -> list[Any]:
        """The rows behind an array of objects, one JSON array for each."""
        items = schema.get("items", {})
        if schema.get("type") != "array" or "properties" not in items:
            raise WrittenError("'= value' is missing")
        keys, found = list(items["properties"]), []
        while self.at < len(self.lines) and self.lines[self.at].startswith((" ", "\t")):
            row = self.lines[self.at].strip().rstrip(",")
            if not row.startswith("["):
                break
            try:
                cells = json.loads(row)
            except ValueError as e:
                raise WrittenError(f"the row {row[:60]!r} is not JSON: {e}") from None
            if len(cells) != len(keys):
                raise WrittenError(f"the row {row[:60]!r} has {len(cells)} cells, not {len(keys)}")
            found.append(dict(zip(keys, cells, strict=True)))
            self.at += 1
        if not found:
            raise WrittenError("an array without rows is written '= []'")
        return found


def read_documents(text: str) -> tuple[list[Written], list[tuple[int, str]]]:
    """(the documents of a file, the lines that cannot be read with what is wrong with them)."""
    documents: list[Written] = []
    errors: list[tuple[int, str]] = []
    lines = [*text.splitlines(), DOCUMENT]
    starts = [number for number, line in enumerate(lines) if line.startswith(DOCUMENT.strip())]
    for first, last in itertools.pairwise(starts):
        kind, _, language = lines[first].removeprefix(DOCUMENT).rpartition("|")
        block = lines[first + 1 : last]
        asks = [number for number, line in enumerate(block) if line.strip() == ASK]
        body = "\n".join(line.rstrip() for line in block[: asks[0] if asks else len(block)]).strip("\n")
        one = Written(kind.strip(), language.strip(), first + 1, body)
        for begin, end in zip(asks, [*asks[1:], len(block)], strict=True):
            reader = AskReader(block[begin + 1 : end])
            try:
                schema, value = reader.members(inner=False)
            except WrittenError as e:
                errors.append((first + 2 + begin + max(reader.at, 1), str(e)))
                continue
            one.asks.append(Ask(first + 2 + begin, schema, zoned(schema, value)))
        documents.append(one)
    return documents, errors


def plain(schema: Any) -> Any:
    """A question's schema as JSON Schema, without marks."""
    if isinstance(schema, list):
        return [plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        key: {name: plain(one) for name, one in inner.items()} if key == "properties" else plain(inner)
        for key, inner in schema.items()
        if key not in (NULL, DECIDES)
    }
    return {"anyOf": [made, {"type": "null"}]} if NULL in schema else made


def free_strings(schema: dict[str, Any], value: Any) -> Iterator[str]:
    """The strings of a value that the text must spell."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from free_strings(schema.get("properties", {}).get(key, {}), one)
    elif isinstance(value, list):
        for one in value:
            yield from free_strings(schema.get("items", {}), one)
    elif isinstance(value, str) and not {"format", "enum", "pattern"} & set(schema):
        yield value


def faults(document: Written) -> list[tuple[int, str]]:
    """(line, what is wrong) with a document's language, its length and its answers."""
    found: list[tuple[int, str]] = []
    if not re.fullmatch("[a-z]{2}", document.language):
        found.append((document.line, f"a code of two letters was expected behind '|', not {document.language!r}"))
    if len(document.text.split()) < 5:
        found.append((document.line, "the text has fewer than five words"))
    if not document.asks:
        found.append((document.line, "nothing is asked"))
    spelt = " ".join(document.text.split())
    for ask in document.asks:
        judge = jsonschema.Draft202012Validator(
            plain(ask.schema), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )
        for error in judge.iter_errors(ask.value):
            found.append((ask.line, f"{'/'.join(map(str, error.absolute_path))}: {error.message[:120]}"))
        for string in free_strings(ask.schema, ask.value):
            if string != " ".join(string.split()) or string not in spelt:
                found.append((ask.line, f"the text does not spell {string!r}"))
    return found


@cache
def all_written() -> tuple[Written, ...]:
    """All documents of the package's files."""
    folder = files("training.documents") / "texts"
    found: list[Written] = []
    for file in sorted(folder.iterdir(), key=lambda one: one.name):
        documents, errors = read_documents(file.read_text(encoding="utf-8"))
        if errors:
            line, what = errors[0]
            raise WrittenError(f"{file.name}:{line}: {what}")
        found += documents
    return tuple(found)
