"""Reading a pattern from left to right: what the parsers of ECMA-262 and of Rust have in common."""

from __future__ import annotations

from structdiff.core.errors import InvalidSchema


class Reading:
    """A pattern and the place ``at`` of its next character.

    >>> reading = Reading("a+b")
    >>> reading.take("a"), reading.peek("b"), reading.next(), reading.at
    (True, False, '+', 2)
    """

    dialect = "a regular expression"

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def error(self, message: str) -> InvalidSchema:
        """The error that says what is wrong at this place."""
        return InvalidSchema(f"{self.text!r} is not {self.dialect}: {message} at position {self.at}")

    def peek(self, text: str) -> bool:
        """Does ``text`` come next?"""
        return self.text.startswith(text, self.at)

    def take(self, text: str) -> bool:
        """Step over ``text`` if it comes next."""
        if self.peek(text):
            self.at += len(text)
            return True
        return False

    def next(self) -> str:
        """Step over the next character. Raises `InvalidSchema` at the end."""
        if self.at >= len(self.text):
            raise self.error("it ends too early")
        self.at += 1
        return self.text[self.at - 1]
