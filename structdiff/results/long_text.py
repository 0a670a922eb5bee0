"""Texts beyond what a model reads at once: pieces by section and sentence, their results merged by a stated rule."""

from __future__ import annotations

import json
import math
import re
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from structdiff.confidence.fields import Field
from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import GenerationError
from structdiff.core.json_spans import pointer_of
from structdiff.frontends.json_schema.places import listed_names
from structdiff.results.result import Result

_LAYOUTS: tuple[dict[str, Any], ...] = ({}, {"separators": (",", ":")}, {"indent": 2})


def split_text(text: str, size: int, overlap: int, count: Callable[[str], int]) -> list[str]:
    """The text in pieces of at most ``size`` tokens as ``count`` counts them.

    A piece ends, where one is in its second half, at the last end of a section (an empty line, or a line before a
    heading), else of a sentence, else at a blank. It begins with as many of the last sentences of the piece before as
    fit into ``overlap`` tokens, or where not even one does, as many of its last words.

    >>> split_text("one two three four five", 3, 1, lambda piece: len(piece.split()))
    ['one two three ', 'three four five']
    >>> split_text("One two. Three four five six. Seven.", 6, 0, lambda piece: len(piece.split()))
    ['One two. Three four five six. ', 'Seven.']

    Raises `GenerationError` where one word has more than ``size`` tokens, or the overlap leaves no room for progress.
    """
    words = re.findall(r"\s*\S+\s*?(?:\s+(?=\S)|$)", text) or [text]
    ends = [_end_of(word, after) for word, after in zip(words, [*words[1:], ""], strict=True)]
    pieces, first = [], 0

    def ahead(end: int) -> int:
        return count("".join(words[first:end]))

    def shared(last: int) -> int:
        """Where the piece behind ``last`` begins."""
        following = last - bisect_right(
            range(1, last + 1), overlap, key=lambda number: count("".join(words[last - number : last]))
        )
        return next((at for at in range(following, last) if at and ends[at - 1]), following)

    while True:
        last = first + bisect_right(range(first + 1, len(words) + 1), size, key=ahead)
        if last == first:
            raise GenerationError(f"the word {words[first].strip()[:40]!r} is longer than a piece of {size} tokens")
        nicer = _cut(ends, first, last) if last < len(words) else last
        last = nicer if shared(nicer) > first else last
        pieces.append("".join(words[first:last]))
        if last == len(words):
            return pieces
        if shared(last) <= first:
            raise GenerationError(f"an overlap of {overlap} tokens leaves no room in pieces of {size}; make it smaller")
        first = shared(last)


SECTION, SENTENCE = 2, 1


def _end_of(word: str, after: str) -> int:
    """Does a section end with a word, or a sentence, or neither (0)?

    >>> _end_of("done.\\n\\n", "Next "), _end_of("done. ", "Next "), _end_of("Dr. ", "Haller "), _end_of("a ", "b ")
    (2, 1, 0, 0)
    """
    if "\n\n" in word.replace("\r", "").replace(" ", "") or ("\n" in word and after.startswith("#")):
        return SECTION
    stripped = word.rstrip().rstrip("\"'\u201d\u2019)]")
    if stripped.endswith(("!", "?", "\u3002", "\uff01", "\uff1f")):
        return SENTENCE
    short = len(stripped.strip()) <= 3 and stripped.strip()[:1].isupper()  # a title or an initial: Dr., J.
    return SENTENCE if stripped.endswith(".") and not short and not after[:1].islower() else 0


def _cut(ends: Sequence[int], first: int, last: int) -> int:
    """The last end of a section, else of a sentence, in the second half of the words from ``first`` to ``last``."""
    middle = (first + last + 1) // 2
    for kind in (SECTION, SENTENCE):
        found = next((at for at in range(last, middle, -1) if ends[at - 1] >= kind), None)
        if found is not None:
            return found
    return last


class LongTextWarning(UserWarning):
    """A text is longer than those that the model was measured with; it is read, and likely worse."""


def warn_of_length(tokens: int, most: int | None, name: str) -> None:
    """A `LongTextWarning` for a text of so many tokens, where the model is known to read ``most`` well."""
    if most is not None and tokens > most:
        warnings.warn(
            f"a text has {tokens} tokens, and {name} was measured with texts up to {most}; "
            'long_text="split" reads it in pieces',
            LongTextWarning,
            stacklevel=5,
        )


def merge(results: Sequence[Result[Any]], constraint: Constraint) -> Result[Any]:
    """One result out of those of a text's pieces.

    Objects are merged member by member. Arrays are joined in the order of the pieces, an item that equals one of the
    piece before being taken once. Any other member is that of the piece that is surest of it, the product of the
    probabilities of its fields, the earliest among equals; a piece that leaves a member out has no say. What is not an
    object is that of the surest piece. Raises `GenerationError` where the merged object breaks the constraint.
    """
    usage = results[0].usage
    for result in results[1:]:
        usage = replace(usage, **{name: getattr(usage, name) + getattr(result.usage, name) for name in vars(usage)})
    values: list[Any] = [json.loads(result.text) if constraint.source.traits.json else None for result in results]
    if not all(isinstance(value, dict) for value in values):
        return replace(max(results, key=lambda result: _sureness(result, "")), usage=usage)
    merged: dict[str, Any] = {}
    fields: dict[str, Field] = {}
    names = dict.fromkeys([*listed_names(constraint.source.schema, ""), *(name for value in values for name in value)])
    for name in names:
        pointer = pointer_of("", name)
        holders = [(result, value[name]) for result, value in zip(results, values, strict=True) if name in value]
        if not holders:
            fields |= {pointer: results[0].fields[pointer]} if pointer in results[0].fields else {}
        elif all(isinstance(part, list) for _, part in holders):
            merged[name] = []
            before: list[Any] = []
            for result, part in holders:
                for number, item in enumerate(part):
                    if item not in before:
                        fields |= _moved(result, f"{pointer}/{number}", f"{pointer}/{len(merged[name])}")
                        merged[name].append(item)
                before = part
        else:
            result, merged[name] = max(holders, key=lambda holder: _sureness(holder[0], pointer))
            fields |= _moved(result, pointer, pointer)
    text = next((text for text in json_texts(merged) if constraint.matches(text)), None)
    if text is None:
        raise GenerationError(
            f"the {len(results)} pieces of the text are valid, but what they say together is not: "
            f"{json.dumps(merged, ensure_ascii=False)[:200]}; extract from the pieces one by one"
        )
    return replace(results[0], value=constraint.value(text), text=text, usage=usage, tokens=(), measured=fields)


def json_texts(data: Any) -> Iterator[str]:
    """A JSON value in each of the layouts that a constraint may ask for."""
    return (json.dumps(data, ensure_ascii=False, **layout) for layout in _LAYOUTS)


def _sureness(result: Result[Any], pointer: str) -> float:
    return math.prod(field.probability for name, field in result.fields.items() if _is_within(name, pointer))


def _is_within(name: str, pointer: str) -> bool:
    return name == pointer or name.startswith(f"{pointer}/")


def _moved(result: Result[Any], pointer: str, to: str) -> dict[str, Field]:
    return {to + name[len(pointer) :]: f for name, f in result.fields.items() if _is_within(name, pointer)}
