"""From a source and a vocabulary to a constraint, through a cache in memory and one on disk.

Both caches go by content: what the source says, its options, the vocabulary and the code that compiles. An edited
schema file, another registry or another option is another constraint.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
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

    @property
    def lowered(self) -> bool:
        return lowers(self.restrictions)


def lowers(restrictions: Iterable[Restriction]) -> bool:
    """Is a maximum lowered, which a known budget may leave alone?"""
    return any(one.keyword in COUNTED for one in restrictions)


def _rounded(max_tokens: int) -> int:
    """The next power of two: few different budgets, few automata."""
    return 1 << (max_tokens - 1).bit_length()


@dataclass(frozen=True)
class _Asked:
    """A source that is read, and the terms on which it is compiled."""

    read: Source
    canonical: bool
    limits: Limits

    def name(self, vocabulary: Vocabulary) -> str | None:
        """What its automaton is kept by; None where its content is not known."""
        return disk_cache.name_of(self.read.key, vocabulary, self.canonical, self.limits)


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
        asked = _Asked(read_source(source, **options), canonical, limits or Limits())
        made = self._made(asked, max_tokens)
        assert made is not None
        _tell(made.source, made.restrictions, strict)
        return made

    def _made(self, asked: _Asked, max_tokens: int | None, build: bool = True) -> Constraint | None:
        """The constraint of a source, for a budget where it matters; without ``build``, None unless it is in memory."""
        found = self._kept(asked, build)
        if max_tokens is None or asked.read.within is None or (found is not None and not found.lowered):
            if found is None and build:
                found = self._keep(asked, _Building(asked, self.vocabulary).compiled())
            return None if found is None else self._constraint(asked, found)
        most = _rounded(max_tokens)
        within = replace(asked, read=asked.read.within(most * self.vocabulary.trie.longest))
        bounded = self._kept(within, build)
        if bounded is None and not build:
            return None
        if bounded is None and found is None:
            building = _Building(asked, self.vocabulary)
            if not lowers(building.grammar.restrictions):
                return self._constraint(asked, self._keep(asked, building.compiled()))
        if bounded is None:
            bounded = self._keep(within, _Building(within, self.vocabulary).compiled())
        made = replace(self._constraint(within, bounded), most_tokens=most)
        return made if made.min_tokens <= most else self._made(asked, made.min_tokens, build)

    def _constraint(self, asked: _Asked, found: Compiled) -> Constraint:
        read, name = asked.read, asked.name(self.vocabulary)
        rules = read.rules(self.vocabulary) if read.rules is not None else None
        laying = None
        if found.template is not None:
            laying = Laying.of(found.template, self.vocabulary, asked.canonical, asked.limits)
        key = name if laying is None else None  # by its key a constraint is found without its slots
        return Constraint(read, self.vocabulary, found.automaton, rules, found.restrictions, key, laying=laying)

    def _kept(self, asked: _Asked, disk: bool) -> Compiled | None:
        """What is remembered, else what is on the disk."""
        name = asked.name(self.vocabulary)
        found = self._known.get(name) if name else None
        if found is not None or not name or not disk:
            return found
        loaded = disk_cache.load(name)
        return None if loaded is None else self._keep(asked, Compiled(*loaded))

    def _keep(self, asked: _Asked, compiled: Compiled) -> Compiled:
        name = asked.name(self.vocabulary)
        if name:
            self.remember({name: compiled})
        return compiled

    def name_of(
        self,
        source: Any,
        *,
        limits: Limits | None = None,
        canonical: bool = True,
        strict: bool = False,
        max_tokens: int | None = None,
        **options: Any,
    ) -> str | None:
        """A name that is equal where `compile` gives constraints of one language; None where that is not known."""
        asked = _Asked(read_source(source, **options), canonical, limits or Limits())
        name = asked.name(self.vocabulary)
        if name is None or max_tokens is None or asked.read.within is None:
            return name
        return f"{name} within {_rounded(max_tokens)}"

    def remembers(
        self,
        source: Any,
        *,
        limits: Limits | None = None,
        canonical: bool = True,
        strict: bool = False,
        max_tokens: int | None = None,
        **options: Any,
    ) -> bool:
        """Would `compile` find the automaton of this source in memory?"""
        if isinstance(source, Constraint):
            return True
        asked = _Asked(read_source(source, **options), canonical, limits or Limits())
        return self._made(asked, max_tokens, build=False) is not None

    @property
    def remembered(self) -> dict[str, Compiled]:
        """All that is remembered, by name, for `remember` of another process."""
        return dict(self._known.items())

    def remember(self, compiled: Mapping[str, Compiled]) -> None:
        """Keep what was compiled, so that `compile` finds it."""
        for name, one in compiled.items():
            self._known.put(name, one, one.automaton.nbytes)

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


class _Building:
    """A source on its way to an automaton: its grammar first, which tells what it leaves out."""

    def __init__(self, asked: _Asked, vocabulary: Vocabulary) -> None:
        _ = vocabulary.trie
        load_kernels()
        self._asked, self._vocabulary = asked, vocabulary
        self._limits = asked.limits.restarted()  # the clock measures the constraint, not what is loaded once
        with enforced(self._limits):
            self.grammar = asked.read.build(self._limits)

    def compiled(self) -> Compiled:
        """The automaton, kept on the disk where it took long."""
        read, limits, grammar = self._asked.read, self._limits, self.grammar
        narrowed = self._vocabulary if read.restrict is None else read.restrict(self._vocabulary)
        with enforced(limits):
            compiled = compile_tree(grammar.tree, limits)
            template = Template(compiled, grammar.slots) if grammar.slots else None
            if template is not None:
                compiled = template.free(limits)
            automaton = build_token_automaton(compiled, narrowed, canonical=self._asked.canonical, limits=limits)
        name = self._asked.name(self._vocabulary)
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
