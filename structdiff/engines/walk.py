"""The last look at an output: its tokens walked through the automaton by whoever hands them to the client."""

from __future__ import annotations

from collections.abc import Sequence

from structdiff.core.errors import GenerationError
from structdiff.decode.cursor import Cursor
from structdiff.tokens.automaton import TokenAutomaton


class Walk:
    """Walks an output as it arrives.

    >>> from structdiff.testing.tiny import tiny
    >>> walk = Walk(tiny("ab|b"), end_ids=(3,), max_tokens=3)
    >>> walk.add([0]); walk.add([1, 3]); walk.close()
    >>> walk.add([0])
    Traceback (most recent call last):
    structdiff.core.errors.GenerationError: token 0 stands behind the end of the output
    """

    def __init__(self, automaton: TokenAutomaton, end_ids: tuple[int, ...], max_tokens: int) -> None:
        self.cursor, self.left = Cursor(automaton, end_ids), max_tokens
        self.state = 0

    def add(self, tokens: Sequence[int]) -> None:
        """Take the next tokens. Raises `GenerationError` at one that no output has there."""
        automaton = self.cursor.automaton
        for token in tokens:
            if self.state == automaton.states:
                raise GenerationError(f"token {token} stands behind the end of the output")
            following = self.cursor.step(self.state, token, self.left)
            if following < 0:
                raise GenerationError(f"token {token} cannot stand where the engine wrote it; the row had failed")
            self.state, self.left = following, self.left - 1

    def close(self) -> None:
        """Raises `GenerationError` where the output is not complete."""
        automaton = self.cursor.automaton
        if self.state != automaton.states and not automaton.accepting[self.state]:
            raise GenerationError("the engine ended the output before it was complete")
