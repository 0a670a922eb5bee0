"""A token automaton small enough to enumerate, for docstrings and tests."""

from __future__ import annotations

import math
import re

from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import Node, literal, union
from structdiff.core.limits import Limits
from structdiff.tokens.automaton import TokenAutomaton, build_token_automaton
from structdiff.tokens.table import TokenTable
from structdiff.tokens.vocabulary import Vocabulary


def tiny_vocabulary(pieces: str | list[bytes | None] = "a b ab", ends: tuple[int, ...] | None = None) -> Vocabulary:
    """A vocabulary of a few pieces; without ``ends`` one more id, the end token, follows them."""
    table: list[bytes | None]
    table = [p.encode() for p in pieces.split()] if isinstance(pieces, str) else list(pieces)
    if ends is None:
        ends = (len(table),)
        table = [*table, None]

    def encode(text: str) -> list[int]:  # longest match first
        data, out = text.encode(), []
        while data:
            fits = [(len(p), i) for i, p in enumerate(table) if p and data.startswith(p)]
            if not fits:
                return []
            length, token = max(fits, key=lambda fit: (fit[0], -fit[1]))
            out.append(token)
            data = data[length:]
        return out

    return Vocabulary(TokenTable(table, ends, encode, f"tiny-{table!r}-{ends!r}"))


def tiny(words: str | Node, vocabulary: Vocabulary | None = None, canonical: bool = False) -> TokenAutomaton:
    """The token automaton of ``"word|word"`` (or a grammar tree) over a tiny vocabulary."""
    tree = union(*(literal(word) for word in re.split(r"\|", words))) if isinstance(words, str) else words
    limits = Limits(seconds=math.inf)  # the first call compiles the kernels
    automaton = compile_tree(tree, limits)
    return build_token_automaton(automaton, vocabulary or tiny_vocabulary(), canonical=canonical, limits=limits)
