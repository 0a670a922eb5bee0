"""Every error a user of structdiff can meet: what is wrong, where it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class StructdiffError(Exception):
    """Base class of all errors that structdiff raises on purpose.

    ``results`` holds the results and failures of all rows where `Model.batch` raised the error of one of them.
    """

    results: list[Any] | None = None


class InvalidSchema(StructdiffError):
    """The source of a constraint is not what it claims to be: not JSON, not a JSON Schema, not a regex.

    ``pointer`` is the JSON Pointer of the offending place ("" is the whole document).

    >>> str(InvalidSchema("'strin' is not a JSON type", pointer="/properties/name/type"))
    "at /properties/name/type: 'strin' is not a JSON type"
    """

    def __init__(self, message: str, pointer: str = "") -> None:
        self.pointer = pointer
        super().__init__(f"at {pointer}: {message}" if pointer else message)


class UnsupportedSchema(StructdiffError):
    """The schema is valid but asks for something structdiff cannot enforce exactly; it is never dropped.

    >>> str(UnsupportedSchema("/properties/tags", "uniqueItems", "items range over an infinite set"))
    'at /properties/tags: uniqueItems cannot be enforced: items range over an infinite set'
    """

    def __init__(self, pointer: str, keyword: str, reason: str) -> None:
        self.pointer, self.keyword, self.reason = pointer, keyword, reason
        super().__init__(f"at {pointer or '/'}: {keyword} cannot be enforced: {reason}")


class CompileLimit(StructdiffError):
    """A constraint grew past a limit while it was compiled.

    >>> str(CompileLimit("/properties/b", "200000 states"))
    'at /properties/b: the constraint needs more than 200000 states; simplify that part of the schema or raise Limits'
    """

    def __init__(self, pointer: str, limit: str) -> None:
        self.pointer, self.limit = pointer, limit
        super().__init__(
            f"at {pointer or '/'}: the constraint needs more than {limit}; "
            "simplify that part of the schema or raise Limits"
        )


class Unsatisfiable(InvalidSchema):
    """No value at all satisfies the schema (for example ``minimum`` above ``maximum``)."""


class Restricted(StructdiffError):
    """Under ``strict=True``: the constraint would write less than its source allows.

    >>> str(Restricted(["at /: $ref: recursion ends after 3 rounds"]))
    'strict: not everything that the source allows can be written: at /: $ref: recursion ends after 3 rounds'
    """

    def __init__(self, restrictions: Sequence[object]) -> None:
        self.restrictions = tuple(restrictions)
        shown = "; ".join(str(one) for one in self.restrictions[:3])
        more = f"; and {len(self.restrictions) - 3} more" if len(self.restrictions) > 3 else ""
        super().__init__(f"strict: not everything that the source allows can be written: {shown}{more}")


class VocabularyMismatch(StructdiffError):
    """A constraint was compiled for another tokenizer than the model's."""


class ValidationFailed(StructdiffError):
    """An output that the grammar allows was rejected by a validator of the class.

    ``text`` is the output; ``errors`` says what the validator found, one entry a fault: (JSON Pointer, message).
    """

    def __init__(self, text: str, errors: Sequence[tuple[str, str]]) -> None:
        self.text, self.errors = text, tuple(errors)
        shown = "; ".join(f"at {pointer or '/'}: {message}" for pointer, message in self.errors)
        super().__init__(f"a validator of the class rejects the output: {shown}")


class RepeatedKey(ValidationFailed):
    """An output has an object with the same key twice: an automaton cannot remember all keys that it was free to write.

    >>> RepeatedKey('{"x": 1, "x": 2}', "", "x").errors
    (('', "the output has the key 'x' twice"),)
    """

    def __init__(self, text: str, pointer: str, key: str) -> None:
        message = f"the output has the key {key!r} twice"
        super().__init__(text, [(pointer, message)])
        self.args = (f"at {pointer or '/'}: {message}; try another seed, or list the keys",)


class BudgetTooSmall(StructdiffError):
    """The shortest output of the constraint is longer than ``max_tokens`` allows.

    >>> str(BudgetTooSmall(needed=12, given=8))
    'the shortest valid output needs 12 tokens but max_tokens is 8; allow at least 12'
    """

    def __init__(self, needed: int, given: int) -> None:
        self.needed, self.given = needed, given
        super().__init__(
            f"the shortest valid output needs {needed} tokens but max_tokens is {given}; allow at least {needed}"
        )


class UnsupportedTokenizer(StructdiffError):
    """The tokenizer's algorithm has no exact token-to-bytes reading (WordPiece, for example)."""


class BadSetting(StructdiffError):
    """An environment variable holds what it cannot mean."""


class GenerationError(StructdiffError):
    """Denoising could not go on: NaN logits, a text longer than the context, an empty text."""


class NothingToQuote(GenerationError):
    """A string must be taken from the text, and no part of the text can be it.

    >>> str(NothingToQuote("/name"))
    'the value of /name must stand in the text, and no part of the text can be it; give it a text, or allow null'
    """

    def __init__(self, pointer: str) -> None:
        self.pointer = pointer
        super().__init__(
            f"the value of {pointer or '/'} must stand in the text, and no part of the text can be it; "
            "give it a text, or allow null"
        )
