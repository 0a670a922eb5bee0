"""From a source and a vocabulary to a constraint, through a cache in memory and one on disk.

Both caches go by content: what the source says, its options, the vocabulary and the code that compiles. An edited
schema file, another registry or another option is another constraint.
"""

from __future__ import annotations

import functools
import math
import warnings
from dataclasses import replace
from typing import Any, NamedTuple

from structdiff.automata.compiling import compile_tree
from structdiff.automata.slots import Template
from structdiff.automata.tree import ByteSet, Repeat, literal
from structdiff.constraint import disk_cache
from structdiff.constraint.constraint import Constraint
from structdiff.constraint.laying import Laying
from structdiff.core.errors import Restricted
from structdiff.core.limits import Limits, enforced
from structdiff.core.recent import Recent
from structdiff.core.restrictions import Restriction, RestrictionWarning
from structdiff.frontends import read_source
from structdiff.frontends.protocol import Source
from structdiff.tokens.automaton import TokenAutomaton, build_token_automaton
from structdiff.tokens.table import TokenTable
from structdiff.tokens.vocabulary import Vocabulary

MEMORY_BYTES = 512 << 20
"""How much memory the automata of one `Compiler` may take together; the least recently used leave."""

COUNTED = frozenset(("maxLength", "maxItems", "maxProperties"))
"""The maxima of a JSON Schema that take states for every character, item or member."""


class Compiled(NamedTuple):
    """What a source is compiled to: its automaton, what is left out, and a template where it has slots for a text."""

    automaton: TokenAutomaton
    restrictions: tuple[Restriction, ...]
    template: Template | None = None


class Compiler:
    """Compiles sources for one vocabulary and remembers the automata of the last ones.

    A remembered automaton is shared; the `Constraint` around it is always that of the source just given, so that its
    values are instances of the caller's own class.
    """

    def __init__(self, vocabulary: Vocabulary, memory_bytes: int = MEMORY_BYTES) -> None:
        self.vocabulary = vocabulary
        self._known: Recent[Compiled] = Recent(memory_bytes)

    def __len__(self) -> int:
        """How many automata are remembered."""
        return len(self._known)

    @property
    def nbytes(self) -> int:
        """How many bytes the remembered automata take."""
        return self._known.size

    def compile(
        self,
        source: Any,
        *,
        limits: Limits | None = None,
        canonical: bool = True,
        strict: bool = False,
        max_tokens: int | None = None,
        **options: Any,
    ) -> Constraint:
        """The constraint of a source; see `structdiff.compile`. A `Constraint` is given back as it is.

        With ``max_tokens`` it may be one that serves no longer outputs (`Constraint.most_tokens`). A maximum that none
        of them can reach is not counted, so it is not lowered either.
        """
        if isinstance(source, Constraint):
            return self._ready(source, strict, options)
        limits = limits or Limits()
        made = self._made(source, limits, canonical, options)
        lowered = any(one.keyword in COUNTED for one in made.restrictions)
        if max_tokens is not None and lowered and made.source.traits.json and not hasattr(source, "as_source"):
            most = 1 << (max(max_tokens, made.min_tokens) - 1).bit_length()  # few different budgets, few automata
            within = {**options, "horizon": most * self.vocabulary.trie.longest}
            made = replace(self._made(source, limits, canonical, within), most_tokens=most)
        _tell(made.source, made.restrictions, strict)
        return made

    def _made(self, source: Any, limits: Limits, canonical: bool, options: dict[str, Any]) -> Constraint:
        read = read_source(source, **options)
        name = disk_cache.name_of(read.key, self.vocabulary, canonical, limits)
        found = self._known.get(name) if name else None
        if found is None:
            found = _automaton(read, self.vocabulary, canonical, limits, name)
            if name:
                self._known.put(name, found, found.automaton.nbytes)
        automaton, restrictions, template = found
        rules = read.rules(self.vocabulary) if read.rules is not None else None
        laying = None if template is None else Laying.of(template, self.vocabulary, canonical, limits)
        key = name if laying is None else None  # by its key a constraint is found without its slots
        return Constraint(read, self.vocabulary, automaton, rules, restrictions, key, laying=laying)

    def name_of(
        self, source: Any, *, limits: Limits | None = None, canonical: bool = True, strict: bool = False, **options: Any
    ) -> str | None:
        """What the automaton of a source is remembered by, equal for equal content; None where that is not known."""
        return disk_cache.name_of(read_source(source, **options).key, self.vocabulary, canonical, limits or Limits())

    def remembers(self, source: Any, **options: Any) -> bool:
        """Would `compile` find the automaton of this source in memory?"""
        if isinstance(source, Constraint):
            return True
        name = self.name_of(source, **options)
        return name is not None and self._known.get(name) is not None

    def remember(self, source: Any, compiled: Compiled, **options: Any) -> None:
        """Keep what another process compiled for a source, so that `compile` finds it."""
        name = self.name_of(source, **options)
        if name is not None:
            self._known.put(name, compiled, compiled.automaton.nbytes)

    def _ready(self, constraint: Constraint, strict: bool, options: dict[str, Any]) -> Constraint:
        if options:
            given = ", ".join(sorted(options))
            raise TypeError(f"the constraint is compiled already and takes no options ({given}); compile its source")
        constraint.require(self.vocabulary)
        _tell(constraint.source, constraint.restrictions, strict)
        return constraint


def compile(
    source: Any,
    tokenizer: Any,
    *,
    limits: Limits | None = None,
    canonical: bool = True,
    end_ids: tuple[int, ...] | None = None,
    vocab_size: int | None = None,
    strict: bool = False,
    **options: Any,
) -> Constraint:
    """Compile a source for a tokenizer.

    ``source``: a JSON Schema (dict, bool, JSON text or path), a Pydantic class or any type Pydantic understands,
    `Regex`, `Choice`, `Grid`, `Table`, or what a registered front end reads. ``tokenizer``: a `Vocabulary`, a folder
    with tokenizer.json, or a fast tokenizer. ``options`` are those of `json_schema_tree` (whitespace,
    extra_properties, key_order, max_depth). Needs no torch.

    Where the constraint would write less than the source allows, `Constraint.restrictions` lists what. A
    `RestrictionWarning` says so once per source, or with ``strict`` it is a `Restricted` error.

    What took long to compile is kept on disk (`structdiff.constraint.disk_cache`); the next process only loads it.
    Raises `InvalidSchema`, `UnsupportedSchema`, `Unsatisfiable`, `CompileLimit`, `UnsupportedTokenizer`.
    """
    compiler = Compiler(Vocabulary.of(tokenizer, end_ids, vocab_size), memory_bytes=0)
    return compiler.compile(source, limits=limits, canonical=canonical, strict=strict, **options)


def _automaton(read: Source, vocabulary: Vocabulary, canonical: bool, limits: Limits, name: str | None) -> Compiled:
    """The automaton from the disk, or built and kept there if that took long."""
    _ = vocabulary.trie
    load_kernels()
    limits = limits.restarted()  # the clock measures the constraint, not what is loaded once
    found = disk_cache.load(name) if name else None
    if found is not None:
        return Compiled(*found)
    narrowed = vocabulary if read.restrict is None else read.restrict(vocabulary)
    with enforced(limits):
        grammar = read.build(limits)
        compiled = compile_tree(grammar.tree, limits)
        template = Template(compiled, grammar.slots) if grammar.slots else None
        if template is not None:
            compiled = template.free(limits)
        automaton = build_token_automaton(compiled, narrowed, canonical=canonical, limits=limits)
    if name and template is None and limits.elapsed > disk_cache.WORTH_KEEPING:
        disk_cache.store(name, automaton, grammar.restrictions)
    return Compiled(automaton, grammar.restrictions, template)


_told: set[tuple[str | None, tuple[Restriction, ...]]] = set()


def _tell(read: Source, restrictions: tuple[Restriction, ...], strict: bool) -> None:
    """Say once per source what is never written; an error where that is not wanted."""
    telling = [one for one in restrictions if not one.is_marginal]
    if not telling:
        return
    if strict:
        raise Restricted(telling)
    if (read.key, restrictions) not in _told:
        _told.add((read.key, restrictions))
        more = f" (and {len(telling) - 1} more: see Constraint.restrictions)" if len(telling) > 1 else ""
        warnings.warn(f"{read.name}: {telling[0]}{more}", RestrictionWarning, stacklevel=4)


@functools.cache
def load_kernels() -> None:
    """Load the compiled kernels (on the very first use of an installation, compile them)."""
    tree = Repeat(ByteSet.of(b"ab"), 0, 2)
    _ = compile_tree(tree) - compile_tree(literal("a"))
    letters = TokenTable([b"a", b"b", None], (2,), lambda text: ["ab".index(letter) for letter in text], "kernels")
    patient = Limits(seconds=math.inf)
    build_token_automaton(compile_tree(tree, patient), Vocabulary(letters), canonical=True, limits=patient)
