"""The front ends of context-free grammars: `Lark` and `GBNF`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.automata.recursion import references, unroll
from structdiff.automata.size import size
from structdiff.automata.tree import Embedded, Literal, Node, Reference, Repeat, Sequence, Union, sequence, union
from structdiff.core.errors import CompileLimit, InvalidSchema, Unsatisfiable
from structdiff.core.limits import Limits, enforced
from structdiff.core.restrictions import Restriction
from structdiff.frontends.grammar.gbnf import read_gbnf
from structdiff.frontends.grammar.lark_rules import parser_of, read_lark
from structdiff.frontends.grammar.lexing import Tokens
from structdiff.frontends.grammar.loops import looped
from structdiff.frontends.prompt import build_grammar_prompt
from structdiff.frontends.protocol import Grammar, Options, Source, content_key

DEPTH = 3
"""How often a rule may stand inside itself, unless ``max_depth`` says."""
ROOM = 24_000
"""Byte states that a grammar may take at the usual depth; with more it is nested less."""
SETTLED = 400
"""Trees of more nondeterministic states are made deterministic before they are written into others."""
Finish = Callable[[ByteAutomaton], ByteAutomaton]
Compiled = tuple[ByteAutomaton, tuple[Restriction, ...]]


@dataclass(frozen=True)
class Lark:
    """Text that a grammar in Lark's language derives: its text, or the path of a ``.lark`` file.

    >>> grammar = Lark('start: "a" start "b" | "c"')
    >>> import structdiff, pathlib
    >>> embedded = pathlib.Path(structdiff.__file__).parent / "models" / "embedded"
    >>> structdiff.compile(grammar, embedded, max_depth=2).matches("aacbb")
    True

    Using it raises `InvalidSchema` with line and column, `UnsupportedSchema` for a terminal that cannot be followed.
    """

    text: str
    start: str = "start"
    path: Path | None = field(default=None, compare=False)

    def __init__(self, text: str | Path, start: str = "start") -> None:
        path = _path(text, ".lark")
        object.__setattr__(self, "text", str(text) if path is None else _read(path))
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "path", path)

    def parser(self) -> Any:
        """Lark's own parser of this grammar: an independent judge of outputs."""
        return parser_of(self.text, self.start, self.path)


@dataclass(frozen=True)
class GBNF:
    """Text that a grammar in GBNF derives, as llama.cpp writes it, or in the EBNF of vLLM: its text, or a path.

    >>> GBNF('root ::= "yes" | "no"').start
    'root'

    Using it raises `InvalidSchema` with line and column.
    """

    text: str
    start: str = "root"

    def __init__(self, text: str | Path, start: str = "root") -> None:
        path = _path(text, ".gbnf", ".ebnf")
        object.__setattr__(self, "text", str(text) if path is None else _read(path))
        object.__setattr__(self, "start", start)


def _path(text: str | Path, *endings: str) -> Path | None:
    """The path that a text is meant to be, if it is one: every grammar has a colon."""
    if isinstance(text, Path):
        return text
    return Path(text) if text.endswith(endings) and ":" not in text else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidSchema(f"{path}: {error.strerror}; pass a grammar file or the grammar itself") from None
    except UnicodeError:
        raise InvalidSchema(f"{path} is not UTF-8 text") from None


def any_grammar(text: str) -> Lark | GBNF:
    """A grammar in whichever language: with ``::=`` it is GBNF or EBNF, else Lark, as vLLM tells them apart.

    >>> type(any_grammar('root ::= "a"')).__name__, type(any_grammar('start: "::="')).__name__
    ('GBNF', 'Lark')

    Raises `InvalidSchema` for a text that is neither; it never reads a file.
    """
    if ":" not in text:
        raise InvalidSchema(
            "this is no grammar: a rule is written as name: ... in Lark, as name ::= ... in GBNF and EBNF"
        )
    plain = (re.sub(r"\"(\\.|[^\"\\])*\"|/(\\.|[^/\\\n])+/", "", line) for line in text.splitlines())
    if any("::=" in line.split("#")[0].split("//")[0] for line in plain):
        return GBNF(text)
    return Lark(text)


class GrammarFrontEnd:
    """Reads `Lark` and `GBNF`; as text, a grammar in either language."""

    name = "grammar"

    def accepts(self, source: Any) -> bool:
        return isinstance(source, Lark | GBNF)

    def read(self, source: Lark | GBNF, options: Options) -> Source:
        depth = options.get("max_depth")
        if unknown := sorted(set(options) - {"max_depth"}):
            raise TypeError(f"a grammar takes the option max_depth alone, got {', '.join(unknown)}")
        if depth is not None and (not isinstance(depth, int) or isinstance(depth, bool) or depth < 0):
            raise TypeError(f"max_depth is {depth!r}; it must be a number from 0 on")
        is_lark = isinstance(source, Lark)
        kind = "Lark" if is_lark else "GBNF"
        imports = is_lark and re.search(r"^\s*%import\s+\.", source.text, re.M)
        key = None if imports else content_key("grammar", kind, source.start, source.text, repr(depth))
        return Source(
            f"{kind} grammar",
            key,
            lambda limits: _lark(source, depth, limits) if isinstance(source, Lark) else _gbnf(source, depth, limits),
            str,
            lambda text, instructions: build_grammar_prompt(text, source.text, kind, instructions=instructions),
        )

    def from_text(self, text: str) -> Lark | GBNF:
        return any_grammar(text)


def _gbnf(source: GBNF, depth: int | None, limits: Limits) -> Grammar:
    rules = read_gbnf(source.text, source.start)
    found, restrictions = _unrolled(rules, source.start, depth, limits, lambda automaton: automaton)
    return Grammar(Embedded(found), restrictions)


def _lark(source: Lark, depth: int | None, limits: Limits) -> Grammar:
    read = read_lark(source.text, source.start, source.path)
    tokens = Tokens(read, limits)
    rules: dict[str, Node] = tokens.nodes()
    for name, alternatives in read.rules.items():
        rules[name] = union(*(sequence(*map(Reference, parts)) for parts in alternatives))
    found, restrictions = _unrolled(rules, source.start, depth, limits, tokens.written)
    more = [
        Restriction(one.name, "terminal", "what is matched in some surroundings alone is not written")
        for one in tokens.terminals
        if one.narrowed
    ]
    if read.ignored:
        more.append(Restriction("", "%ignore", "one blank or line break at most stands between two tokens"))
    return Grammar(Embedded(found), tuple(sorted([*restrictions, *more])))


def _unrolled(rules: dict[str, Node], start: str, depth: int | None, limits: Limits, finish: Finish) -> Compiled:
    """The automaton of the rules: as deep as is asked for, or as deep as there is room, up to `DEPTH`."""
    if not _derives(rules, start):
        raise Unsatisfiable(f"the rule {start!r} derives no text: each of its alternatives needs itself")
    rules = looped(rules)
    if depth is not None:
        return _written(rules, start, depth, limits, finish)
    small = Limits(min(limits.states, ROOM), limits.edges, limits.seconds, limits.nodes, limits.started)
    for rounds in range(DEPTH, 0, -1):
        try:
            with enforced(small):
                return _written(rules, start, rounds, small, finish)
        except CompileLimit as error:
            if "seconds" in error.limit:
                raise
    return _written(rules, start, 0, limits, finish)


def _written(rules: dict[str, Node], start: str, rounds: int, limits: Limits, finish: Finish) -> Compiled:
    sizes: dict[int, tuple[int, Node]] = {}

    def settle(node: Node) -> Node:
        return Embedded(compile_tree(node, limits)) if size(node, sizes) > SETTLED else node

    node, restrictions = unroll(rules, start, rounds=rounds, limits=limits, settle=settle)
    return finish(compile_tree(node, limits)), restrictions


def _derives(rules: dict[str, Node], start: str) -> bool:
    """Does a rule derive a text at all?"""
    known: set[str] = set()
    while True:
        new = {name for name, node in rules.items() if name not in known and _productive(node, known)}
        if not new:
            return start in known
        known |= new


def _productive(node: Node, known: set[str]) -> bool:
    if isinstance(node, Reference):
        return node.name in known
    if isinstance(node, Literal | Embedded) or not references(node):
        return True
    if isinstance(node, Sequence):
        return all(_productive(item, known) for item in node.items)
    if isinstance(node, Union):
        return any(_productive(item, known) for item in node.items)
    assert isinstance(node, Repeat)
    return node.low == 0 or _productive(node.item, known)
