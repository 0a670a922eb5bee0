"""The published sets: each reads its own files as items with a source, a prompt, and a judge that knows no engine.

| name | files as they are published |
|---|---|
| bfcl | BFCL v4 with one function a question: a folder with BFCL_v4_live_simple.json and possible_answer/ |
| schemas | JSONSchemaBench, generation: a folder with *.jsonl.gz |
| gsm | GSM-Symbolic: JSONL with "question" and "answer" |
| sudoku, countdown | JSONL with "input" and "output" |
| extraction | JSONL with "text", "schema" and "value", as `benchmarks.fields` reads it |
"""

from __future__ import annotations

import functools
import gzip
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema

import structdiff
from structdiff.core.errors import GenerationError
from structdiff.evaluation.run import Example, read_examples, score
from structdiff.puzzles.check import legal
from structdiff.puzzles.kinds import Puzzle
from training.evaluate import closed


class Judged(NamedTuple):
    """Whether an output has the form that is asked for, and how much of it is right, of how much."""

    valid: bool
    right: int = 0
    of: int = 1


@dataclass(frozen=True)
class Item:
    """One question. ``source`` is what structdiff compiles; ``plain`` is the same as a JSON Schema or a
    `structdiff.Regex` for libraries, where it is another. ``judge`` reads an output's text."""

    id: str
    text: str
    source: Any
    judge: Callable[[str], Judged]
    instructions: str = ""
    plain: Any = None


def valid_json(text: str, schema: Any) -> Any:
    """The value of JSON that fits a schema. Raises ValueError or `jsonschema.ValidationError`."""
    value = json.loads(text)
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER).validate(
        value
    )
    return value


# --- BFCL ---

_TYPES = {"dict": "object", "float": "number", "tuple": "array"}


def bfcl_schema(parameters: Any) -> Any:
    """A function's parameters as JSON Schema.

    >>> bfcl_schema({"type": "dict", "required": [], "properties": {"at": {"type": "float", "default": 1.0}}})
    {'type': 'object', 'required': [], 'properties': {'at': {'type': 'number', 'default': 1.0}}}
    """
    if isinstance(parameters, list):
        return [bfcl_schema(one) for one in parameters]
    if not isinstance(parameters, dict):
        return parameters
    schema = {key: bfcl_schema(one) if key in ("items", "required") else one for key, one in parameters.items()}
    if "properties" in schema:
        schema["properties"] = {name: bfcl_schema(one) for name, one in parameters["properties"].items()}
    kind = parameters.get("type")
    if kind == "any":
        del schema["type"]
    elif isinstance(kind, str):
        schema["type"] = _TYPES.get(kind, kind)
    return schema


def bfcl_same(value: Any, answers: list[Any]) -> bool:
    """Whether a value is one of the possible answers, as BFCL compares: strings without case, blanks and ``,./-_*^``.

    >>> bfcl_same("New York, NY", ["new york ny"]), bfcl_same(2, [3]), bfcl_same(True, [1])
    (True, False, False)
    """
    return any(_same(value, answer) for answer in answers)


def _same(value: Any, answer: Any) -> bool:
    if isinstance(value, str) and isinstance(answer, str):
        return _spelt(value) == _spelt(answer)
    if isinstance(value, bool) or isinstance(answer, bool):
        return value is answer
    if isinstance(value, dict) and isinstance(answer, dict):
        return _same_members(value, answer)
    if isinstance(value, list) and isinstance(answer, list):
        return len(value) == len(answer) and all(map(_same, value, answer))
    return bool(value == answer)


def _spelt(text: str) -> str:
    return re.sub(r"[ ,./\-_*^]", "", text).lower().replace("'", '"')


def _same_members(value: dict[str, Any], answers: dict[str, Any]) -> bool:
    """Every member is one of its possible answers; one that may be left out has "" among them."""
    if any(name not in answers for name in value):
        return False
    return all(bfcl_same(value[name], options) if name in value else "" in options for name, options in answers.items())


def _judge_call(schema: Any, answers: dict[str, Any], text: str) -> Judged:
    try:
        value = valid_json(text, schema)
    except (ValueError, jsonschema.ValidationError):
        return Judged(False)
    return Judged(True, int(_same_members(value, answers)))


def read_bfcl(folder: Path) -> Iterator[Item]:
    for file in sorted(folder.glob("BFCL_*.json")):
        answers = {}
        for line in (folder / "possible_answer" / file.name).read_text(encoding="utf-8").splitlines():
            data = json.loads(line)
            answers[data["id"]] = data["ground_truth"]
        for line in file.read_text(encoding="utf-8").splitlines():
            data = json.loads(line)
            if len(data["function"]) != 1 or len(data["question"]) != 1:
                raise ValueError(f"{file}: {data['id']} has several functions or turns; only simple sets are read")
            [function], [truth] = data["function"], answers[data["id"]]
            schema = closed(bfcl_schema(function["parameters"]))
            said = [f"{message['content']}" for message in data["question"][0]]
            told = f"Give the arguments of a call of {function['name']}: {function['description']}"
            judge = functools.partial(_judge_call, schema, truth[function["name"]])
            yield Item(data["id"], "\n\n".join(said), schema, judge, told)


# --- JSONSchemaBench, generation ---


def _judge_schema(schema: Any, text: str) -> Judged:
    try:
        valid_json(text, schema)
    except (ValueError, jsonschema.ValidationError):
        return Judged(False)
    return Judged(True, 1)


def read_schemas(folder: Path) -> Iterator[Item]:
    """In a random order, which is always the same one: the first N are a sample of all."""
    files = sorted(folder.glob("*.jsonl.gz"))
    lines = [line for file in files for line in gzip.decompress(file.read_bytes()).decode().splitlines()]
    random.Random(0).shuffle(lines)
    for line in lines:
        data = json.loads(line)
        judge = functools.partial(_judge_schema, data["schema"])
        yield Item(data["id"], "Make up an example.", data["schema"], judge)


# --- GSM-Symbolic ---

GSM = structdiff.Regex(r"[^#]{1,600}#### -?[0-9]{1,9}")


def _judge_gsm(gold: str, text: str) -> Judged:
    found = re.fullmatch(r"[^#]*#### (-?[0-9]+)\s*", text)
    return Judged(found is not None, int(found is not None and int(found[1]) == int(gold)))


def read_gsm(file: Path) -> Iterator[Item]:
    told = "Solve the problem step by step. End with #### and the number."
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        data = json.loads(line)
        gold = data["answer"].rpartition("####")[2].strip().replace(",", "")
        yield Item(f"{file.stem}-{number}", data["question"], GSM, functools.partial(_judge_gsm, gold), told)


# --- puzzles ---


def _judge_sudoku(puzzle: Puzzle, text: str) -> Judged:
    shaped = re.fullmatch(puzzle.puzzle.replace(".", "[1-4]"), text) is not None
    return Judged(shaped, int(shaped and legal(puzzle, text)))


def read_sudoku(file: Path) -> Iterator[Item]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        data = json.loads(line)
        puzzle = Puzzle("sudoku 4x4", data["input"].replace("0", "."), data["output"])
        plain = structdiff.Regex(puzzle.puzzle.replace(".", "[1-4]").replace("\n", r"\n"))
        judge = functools.partial(_judge_sudoku, puzzle)
        yield Item(f"{file.stem}-{number}", puzzle.puzzle, puzzle.grid().shape(), judge, plain=plain)


STEP = "[0-9]{1,4}[-+*/][0-9]{1,4}=[0-9]{1,4}"


def _judge_countdown(puzzle: Puzzle, pattern: str, text: str) -> Judged:
    shaped = re.fullmatch(pattern, text) is not None
    return Judged(shaped, int(shaped and legal(puzzle, text)))


def read_countdown(file: Path) -> Iterator[Item]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        data = json.loads(line)
        puzzle = Puzzle("countdown", data["input"], data["output"])
        pattern = ",".join([STEP] * (data["input"].count(",") - 1))
        told = "Use each number but the last once, with + - * /, so that the last step gives the last number."
        judge = functools.partial(_judge_countdown, puzzle, pattern)
        yield Item(f"{file.stem}-{number}", puzzle.puzzle, structdiff.Regex(pattern), judge, told)


# --- extraction ---


def _judge_extraction(example: Example, text: str) -> Judged:
    def answer(_: str, schema: Any) -> tuple[Any, int, float]:
        try:
            return valid_json(text, schema), 0, 0.0
        except (ValueError, jsonschema.ValidationError) as error:
            raise GenerationError(str(error).splitlines()[0]) from error

    scored = score(answer, example)
    return Judged(not scored.error, 0 if scored.error else scored.right, len(scored.leaves))


def read_extraction(file: Path) -> Iterator[Item]:
    for one in read_examples(file):
        yield Item(one.id, one.text, one.schema, functools.partial(_judge_extraction, one))


SETS: dict[str, Callable[[Path], Iterator[Item]]] = {
    "bfcl": read_bfcl,
    "schemas": read_schemas,
    "gsm": read_gsm,
    "sudoku": read_sudoku,
    "countdown": read_countdown,
    "extraction": read_extraction,
}
