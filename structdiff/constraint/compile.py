"""From a source and a vocabulary to a constraint."""

from __future__ import annotations

import functools
import math
from typing import Any

from structdiff.automata.byte_automaton import compile_tree
from structdiff.automata.tree import ByteSet, Repeat, literal
from structdiff.constraint import disk_cache
from structdiff.constraint.constraint import Constraint
from structdiff.core.limits import Limits, enforced
from structdiff.frontends.source import read_source
from structdiff.tokens.automaton import build_token_automaton
from structdiff.tokens.table import TokenTable
from structdiff.tokens.vocabulary import Vocabulary


def compile(
    source: Any,
    tokenizer: Any,
    *,
    limits: Limits | None = None,
    canonical: bool = True,
    end_ids: tuple[int, ...] | None = None,
    vocab_size: int | None = None,
    **options: Any,
) -> Constraint:
    """Compile a source for a tokenizer.

    ``source``: a JSON Schema (dict, bool, JSON text or path), a Pydantic class or any type Pydantic understands,
    `Regex`, `Choice`, `Grid` or `Table`. ``tokenizer``: a `Vocabulary`, a folder with tokenizer.json, or a fast
    tokenizer. ``options`` are those of `json_schema_tree` (whitespace, extra_properties, key_order, max_depth).
    Needs no torch.

    What took long to compile is kept on disk (`structdiff.constraint.disk_cache`); the next process only loads it.
    Raises `InvalidSchema`, `UnsupportedSchema`, `Unsatisfiable`, `CompileLimit`, `UnsupportedTokenizer`.
    """
    vocabulary = Vocabulary.of(tokenizer, end_ids, vocab_size)
    _ = vocabulary.trie
    _load_kernels()
    limits = (limits or Limits()).restarted()  # the clock measures the constraint, not what is loaded once
    read = read_source(source, **options)
    if read.restrict is not None:
        vocabulary = read.restrict(vocabulary)
    rules = read.rules(vocabulary) if read.rules is not None else None
    name = disk_cache.name_of(read.key, vocabulary, canonical, limits)
    automaton = disk_cache.load(name) if name else None
    if automaton is None:
        with enforced(limits):
            compiled = compile_tree(read.build(limits), limits)
            automaton = build_token_automaton(compiled, vocabulary, canonical=canonical, limits=limits)
        if name and limits.elapsed > disk_cache.WORTH_KEEPING:
            disk_cache.store(name, automaton)
    return Constraint(read, vocabulary, automaton, rules)


@functools.cache
def _load_kernels() -> None:
    """Load the compiled kernels (on the very first use of an installation, compile them)."""
    tree = Repeat(ByteSet.of(b"ab"), 0, 2)
    _ = compile_tree(tree) - compile_tree(literal("a"))
    letters = TokenTable([b"a", b"b", None], (2,), lambda text: ["ab".index(letter) for letter in text], "kernels")
    patient = Limits(seconds=math.inf)
    build_token_automaton(compile_tree(tree, patient), Vocabulary(letters), canonical=True, limits=patient)
