"""The prompt: what the model is told about the task, in a form a person can read too.

>>> print(build_prompt("Ann is 31.", {"type": "object", "properties": {"name": {"type": "string"},
...     "age": {"type": "integer"}}, "required": ["name"]}))
Answer with JSON of this form ("?" marks what may be left out):
{"name": string, "age"?: integer}
<BLANKLINE>
Text:
Ann is 31.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from structdiff.frontends.form import MOST, has_optional, render_form

IN_IMAGE = "The text is in the image."
"""What stands where a prompt has its text, when there is an image in place of one."""


def build_prompt(text: str, schema: Any, *, instructions: str = "") -> str:
    """The user message for filling ``schema`` (a JSON Schema as Python data) from ``text``."""
    optional = ' ("?" marks what may be left out)' if has_optional(schema) else ""
    return _assemble(f"Answer with JSON of this form{optional}:\n{render_form(schema)}", text, instructions)


def build_choice_prompt(text: str, choices: list[str], *, instructions: str = "") -> str:
    """The user message for picking one of ``choices`` as the label of ``text``."""
    shown, left = choices, MOST
    for number, choice in enumerate(choices):
        left -= len(choice) + 2
        if left < 0:
            shown = [*choices[:number], f"{len(choices) - number} more not shown"]
            break
    return _assemble("Answer with one of: " + ", ".join(shown), text, instructions)


def build_regex_prompt(text: str, pattern: str, *, instructions: str = "") -> str:
    """The user message for an answer that matches ``pattern``."""
    return _assemble(f"Answer with text that matches the pattern: {_short(pattern)}", text, instructions)


def build_grammar_prompt(text: str, grammar: str, kind: str, *, instructions: str = "") -> str:
    """The user message for an answer in the language of a grammar; ``kind`` says how the grammar is written.

    >>> print(build_grammar_prompt("Add 1 and 2.", 'start: "1+2"', "Lark"))
    Answer with a text of this Lark grammar:
    start: "1+2"
    <BLANKLINE>
    Text:
    Add 1 and 2.
    """
    return _assemble(f"Answer with a text of this {kind} grammar:\n{_short(grammar.strip())}", text, instructions)


def build_tag_prompt(text: str, tag: str, *, instructions: str = "") -> str:
    """The user message for an answer with exact parts; ``tag`` is the structural tag as JSON text."""
    return _assemble(
        f"Answer with a text that has the parts of this structural tag:\n{_short(tag)}", text, instructions
    )


def _short(text: str) -> str:
    return text if len(text) <= MOST else f"{text[:MOST]}... ({len(text) - MOST} characters not shown)"


def build_grid_prompt(puzzle: str, kind: str, *, instructions: str = "") -> str:
    """The user message for completing ``puzzle``, a grid in lines with "." for empty cells.

    >>> print(build_grid_prompt("1.\\n.1", "latin square"))
    Answer with the completed grid (latin square).
    <BLANKLINE>
    Text:
    1.
    .1
    """
    return _assemble(f"Answer with the completed grid ({kind}).", puzzle, instructions)


def build_table_prompt(text: str, columns: Mapping[str, Any], style: str, *, instructions: str = "") -> str:
    """The user message for a table in ``style`` ("markdown", "csv", ...) whose columns have these JSON Schemas.

    >>> print(build_table_prompt("2 lamps", {"item": {"type": "string"}, "n": {"type": "integer"}}, "csv"))
    Answer with a csv table of the columns: item (string), n (integer)
    <BLANKLINE>
    Text:
    2 lamps
    """
    forms = ", ".join(f"{name} ({render_form(schema)})" for name, schema in columns.items())
    return _assemble(f"Answer with a {style} table of the columns: {forms}", text, instructions)


def with_examples(instructions: str, examples: Sequence[tuple[str, str]]) -> str:
    """Instructions that end in worked examples, (text, answer) each.

    >>> print(with_examples("Names only.", [("Ann is here.", '"Ann"')]))
    Names only.
    <BLANKLINE>
    Example text:
    Ann is here.
    Its answer:
    "Ann"
    """
    shown = "\n\n".join(f"Example text:\n{text}\nIts answer:\n{answer}" for text, answer in examples)
    return f"{instructions.strip()}\n\n{shown}".strip()


def _assemble(task: str, text: str, instructions: str) -> str:
    head = f"{instructions.strip()}\n\n" if instructions.strip() else ""
    return f"{head}{task}\n\nText:\n{text}"
