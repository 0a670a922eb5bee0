"""The ``pattern`` of JSON Schema: what ECMA-262 and Python's ``re`` both find in a text, and what neither does.

The two readings are kept side by side in one term, character set by character set, and not as two automata: where a
pattern counts words, the product of the automata would remember two counts.
"""

from __future__ import annotations

import re
from dataclasses import replace

from structdiff.automata import unicode
from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import Repeat, sequence
from structdiff.automata.unicode import EVERYTHING, Ranges, code_points
from structdiff.core.errors import CompileLimit, StructdiffError
from structdiff.core.limits import active, enforced
from structdiff.frontends.regex.ecma import parse_ecma
from structdiff.frontends.regex.parser import ANY_TEXT, NEWLINE, condition_kinds, language
from structdiff.frontends.regex.python import parse_python
from structdiff.frontends.regex.terms import Assertion, Chars, Choice, Concat, Loop, Term

FEW_STATES = 20_000
"""Texts without a pattern are told exactly by automata up to this size."""
_DIALECT_SENSITIVE = re.compile(r"[.$]|\\[sSwWdDbB]")
_STRUCTURE_SENSITIVE = re.compile(r"\{,|\[\]|\[\^\]")
"""What Python and ECMA-262 both read, and take apart differently."""
_PYTHON_ONLY = re.compile(r"\(\?P<|\(\?[aimsux-]+[:)]")


def is_sensitive(pattern: str) -> bool:
    """May ECMA-262 and Python read this pattern differently?

    >>> is_sensitive("[a-z]+"), is_sensitive(r"\\w+")
    (False, True)
    """
    return any(mark.search(pattern) for mark in (_DIALECT_SENSITIVE, _STRUCTURE_SENSITIVE, _PYTHON_ONLY))


def having(pattern: str) -> ByteAutomaton:
    """The texts in which both ECMA-262 and Python find ``pattern``. What only Python reads (``(?P<name>...)``,
    ``(?i)``) is read as Python does.

    >>> space = having(r"\\s")
    >>> [space.accepts(text.encode()) for text in (" ", "\\ufeff", "a")]
    [True, False, False]
    """
    first, *more = (compile_tree(language(term, whole=False)) for term in _readings(pattern))
    for other in more:
        first = first & other
    return first


def lacking(pattern: str) -> ByteAutomaton:
    """The texts in which neither finds it: all of them or, where these are too many states, those without characters
    that the two read differently.

    >>> no_space = lacking(r"\\s")
    >>> [no_space.accepts(text.encode()) for text in (" ", "\\ufeff", "a")]
    [False, False, True]
    """
    terms, limits, texts = _readings(pattern), active(), compile_tree(ANY_TEXT)
    try:
        with enforced(replace(limits, states=min(limits.states, FEW_STATES))):
            for term in terms:
                texts = texts - compile_tree(language(term, whole=False, sure=False))
            return texts
    except CompileLimit:
        limits.check_time()
    kinds = {kind for term in terms for kind in condition_kinds(term)}
    agreed = EVERYTHING
    for term in terms:
        agreed = unicode.subtract(agreed, _doubtful(term))
    texts = compile_tree(Repeat(code_points(agreed), int("not_boundary_perhaps_empty" in kinds)))
    if kinds & {"end_perhaps_newline", "end_or_newline"}:
        texts = texts - compile_tree(sequence(ANY_TEXT, NEWLINE))
    for term in terms:
        texts = texts - compile_tree(language(term, whole=False))
    return texts


def _readings(pattern: str) -> list[Term]:
    """One term that holds both readings, or one for each where their structure differs."""
    if _PYTHON_ONLY.search(pattern):
        return [parse_python(pattern)]
    ecma = parse_ecma(pattern)
    otherwise = _STRUCTURE_SENSITIVE.search(pattern)
    if not otherwise and not _DIALECT_SENSITIVE.search(pattern):
        return [ecma]
    try:
        python = parse_python(pattern)
    except StructdiffError:
        return [ecma]
    return [ecma, python] if otherwise else [parse_ecma(pattern, python_too=True)]


def _doubtful(term: Term) -> Ranges:
    """The characters that some set of the term has in one reading only."""
    if isinstance(term, Chars):
        return unicode.subtract(term.chars.perhaps, term.chars.sure)
    if isinstance(term, Loop):
        return _doubtful(term.item)
    if isinstance(term, Assertion):
        return () if term.item is None else _doubtful(term.item)
    return unicode.join(*(_doubtful(item) for item in (term.items if isinstance(term, Concat | Choice) else ())))
