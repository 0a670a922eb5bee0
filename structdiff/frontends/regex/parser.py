"""Regular expressions as grammar trees over UTF-8, with everything in them that still describes a regular language.

Anchors, word boundaries, lookahead and lookbehind are conditions on the text before and after a place. They may stand
anywhere, inside loops and alternatives too. The method: give each condition a *mark*, a byte that UTF-8 never uses, and
build the language of texts with marks; a condition is itself a language of texts with one mark; take away every marked
text that breaks a condition; at last erase the marks.

>>> from structdiff.automata.compiling import compile_tree
>>> a = compile_tree(parse_regex("(?=.*[0-9])[a-z0-9]{3}"))
>>> [a.accepts(text) for text in (b"ab1", b"abc", b"1ab2")]
[True, False, False]
>>> a = compile_tree(parse_regex("^a|b$", dialect="ecma"))
>>> [a.accepts(text) for text in (b"ax", b"xb", b"xa")]
[True, True, False]
"""

from __future__ import annotations

from collections.abc import Set
from functools import lru_cache
from typing import Literal

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import EMPTY, ByteSet, Embedded, Network, Node, Repeat, literal, optional, sequence, union
from structdiff.automata.unicode import ANY_CHAR, code_points
from structdiff.core.errors import InvalidSchema, UnsupportedSchema
from structdiff.frontends.regex.ecma import parse_ecma
from structdiff.frontends.regex.python import parse_python
from structdiff.frontends.regex.rust import parse_rust
from structdiff.frontends.regex.terms import Assertion, Chars, Choice, Concat, Loop, Term, concat, count_assertions

Dialect = Literal["python", "ecma", "rust"]
ANY_TEXT = Repeat(ANY_CHAR)
NEWLINE = literal("\n")
MARKS = (0xC0, 0xC1, *range(0xF5, 0x100))
"""The bytes that never occur in UTF-8."""
NO_MARKS: Set[int] = frozenset()


def parse_regex(
    pattern: str,
    dialect: Dialect = "python",
    anchored: bool | None = None,
    *,
    flags: int = 0,
    perhaps: bool = False,
    pointer: str = "",
) -> Node:
    """The texts that ``pattern`` matches, as valid UTF-8.

    ``anchored`` says whether the whole text must match (the default for ``python``: `re.fullmatch`) or any part of it
    (the default for ``ecma``: the ``pattern`` keyword of JSON Schema; and for ``rust``: ``pattern`` of Pydantic).
    ``flags`` are those of `re.compile`, for ``python``. Where engines disagree on a character, a text matches if it
    does to all of them; with ``perhaps`` if it does to one. Raises `InvalidSchema` for bad syntax and
    `UnsupportedSchema` for backreferences and for conditional, atomic and possessive groups.
    """
    if dialect not in ("python", "ecma", "rust"):
        raise ValueError(f"dialect is {dialect!r}; it must be 'python', 'ecma' or 'rust'")
    whole = dialect == "python" if anchored is None else anchored
    try:
        parse = {"python": lambda text: parse_python(text, flags), "ecma": parse_ecma, "rust": parse_rust}[dialect]
        return language(parse(pattern), whole, not perhaps)
    except UnsupportedSchema as error:
        raise UnsupportedSchema(pointer, error.keyword, error.reason) from error
    except InvalidSchema as error:
        raise InvalidSchema(str(error), pointer) from error


def language(term: Term, whole: bool, sure: bool = True) -> Node:
    """The texts that a term matches as a whole or, if not ``whole``, somewhere: in every reading (``sure``), or in one
    reading at least."""
    around: Node = EMPTY if whole else ANY_TEXT
    return _texts(_options(term), around, around, sure)


def inside_text(term: Term, mark: int) -> Node:
    """All texts with two marks between which the term matches, its conditions seeing what stands around them."""
    counts = count_assertions(term)
    marks = _assign(counts, taken=(mark,))
    here = literal(bytes([mark]))
    return _enforce(sequence(ANY_TEXT, here, _node(term, marks, True), here, ANY_TEXT), counts, marks, (mark,), True)


def _options(term: Term) -> list[Term]:
    """The alternatives at the top of a term."""
    if isinstance(term, Choice):
        return [option for item in term.items for option in _options(item)]
    return [term]


def _texts(options: list[Term], before: Node, after: Node, sure: bool) -> Node:
    """The whole texts that one of the alternatives matches with ``before`` and ``after`` around it. Anchors at the
    ends of an alternative decide what may surround it.

    subtle: alternatives with the same surroundings share them; a search for one of 50 words would otherwise remember
    which of the 50 it has seen.
    """
    plain: dict[tuple[Node, Node], list[Node]] = {}
    conditional: list[Node] = []
    for option in options:
        ahead, body, behind = _surroundings(option, before, after, sure)
        counts = count_assertions(body)
        if counts:
            split = _split(ahead, body, behind, sure)
            if split is None:
                marks = _assign(counts, taken=())
                node = sequence(ahead, _node(body, marks, sure), behind)
                split = _enforce(node, counts, marks, (), sure)
            conditional.append(split)
        else:
            plain.setdefault((ahead, behind), []).append(_node(body, {}, sure))
    return union(*(sequence(ahead, union(*bodies), behind) for (ahead, behind), bodies in plain.items()), *conditional)


def _surroundings(term: Term, before: Node, after: Node, sure: bool) -> tuple[Node, Term, Node]:
    """What may stand before and after an alternative, and the alternative without the anchors that said so."""
    items = list(term.items) if isinstance(term, Concat) else [term]
    while items and items[0] == Assertion("start"):
        items.pop(0)
        before = EMPTY
    while items and isinstance(items[-1], Assertion) and items[-1].kind.startswith("end"):
        kind = _end(items.pop(), sure)
        if kind == "end":
            after = EMPTY
        elif after == ANY_TEXT:
            after = optional(NEWLINE)
    return before, concat(items), after


def _end(assertion: Term, sure: bool) -> str:
    assert isinstance(assertion, Assertion)
    if assertion.kind == "end_perhaps_newline":
        return "end" if sure else "end_or_newline"
    return assertion.kind


_BOUNDARIES = ("boundary", "not_boundary", "not_boundary_not_empty", "not_boundary_perhaps_empty")
_LOOKS_BACK = frozenset(("start", "line_start", "behind", *_BOUNDARIES))


def _split(before: Node, body: Term, after: Node, sure: bool) -> Node | None:
    """Lookaheads with nothing conditional before them: what follows them is an intersection of languages.

    None where a condition looks back over the place, so that marks have to do it.
    """
    items = list(body.items) if isinstance(body, Concat) else [body]
    first = next((i for i, item in enumerate(items) if isinstance(item, Assertion) and item.kind == "ahead"), None)
    if first is None or count_assertions(concat(items[:first])):
        return None
    last = first
    while last < len(items) and isinstance(item := items[last], Assertion) and item.kind == "ahead":
        last += 1
    looks_back = any(condition_kinds(item) & _LOOKS_BACK for item in items[first:])
    if looks_back and (first > 0 or before != EMPTY):
        return None
    following: ByteAutomaton | None = None
    for found in sorted((_seen(item, sure) for item in items[first:last]), key=lambda a: a.states):
        following = found if following is None else following & found
    assert following is not None
    if last < len(items) or after != ANY_TEXT:
        following = following & compile_tree(_texts(_options(concat(items[last:])), EMPTY, after, sure))
    return sequence(before, _node(concat(items[:first]), {}, sure), Embedded(following))


def _seen(ahead: Term, sure: bool) -> ByteAutomaton:
    """What may follow a lookahead up to the end of the text, by itself alone."""
    assert isinstance(ahead, Assertion) and ahead.item is not None
    texts = compile_tree(_texts(_options(ahead.item), EMPTY, ANY_TEXT, sure != ahead.negative))
    return compile_tree(ANY_TEXT) - texts if ahead.negative else texts


def condition_kinds(term: Term) -> set[str]:
    """The kinds of all conditions in a term, those inside other conditions too."""
    if isinstance(term, Assertion):
        return {term.kind} | (condition_kinds(term.item) if term.item is not None else set())
    if isinstance(term, Loop):
        return condition_kinds(term.item)
    items = term.items if isinstance(term, Concat | Choice) else ()
    return {kind for item in items for kind in condition_kinds(item)}


def _node(term: Term, marks: dict[Assertion, int], sure: bool) -> Node:
    """The term as a tree, its conditions as marks."""
    if isinstance(term, Chars):
        return code_points(term.ranges if sure else term.chars.perhaps)
    if isinstance(term, Concat):
        return sequence(*(_node(item, marks, sure) for item in term.items))
    if isinstance(term, Choice):
        return union(*(_node(item, marks, sure) for item in term.items))
    if isinstance(term, Loop):
        return Repeat(_node(term.item, marks, sure), term.low, term.high)
    assert isinstance(term, Assertion)
    return literal(bytes([marks[term]]))


def _assign(counts: dict[Assertion, int], taken: tuple[int, ...]) -> dict[Assertion, int]:
    free = [mark for mark in MARKS if mark not in taken]
    if len(counts) > len(free):
        raise UnsupportedSchema("", "pattern", f"more than {len(free)} different lookarounds and anchors in one place")
    return dict(zip(counts, free, strict=False))


def _enforce(
    node: Node, counts: dict[Assertion, int], marks: dict[Assertion, int], outer: tuple[int, ...], sure: bool
) -> Node:
    """The texts of ``node`` whose marks all hold, without these marks; marks in ``outer`` stay where they are."""
    automaton = compile_tree(node)
    for assertion, mark in marks.items():
        transparent = {*marks.values(), *outer} - {mark}
        broken = _broken(assertion, mark, sure)
        if counts[assertion] > 1:
            transparent.add(mark)  # any one of its places may be the broken one
        automaton = automaton - compile_tree(_rewrite(broken, loops=transparent))
    return _rewrite(automaton, erased=set(marks.values()))


def _rewrite(automaton: ByteAutomaton, loops: Set[int] = NO_MARKS, erased: Set[int] = NO_MARKS) -> Node:
    """The automaton with further bytes ignored (``loops``) or with some of its own bytes left out (``erased``)."""
    edges: list[tuple[int, Node | None, int]] = []
    masks = [0] * automaton.transitions.shape[1]
    for byte, klass in enumerate(automaton.byte_class.tolist()):
        masks[klass] |= 0 if byte in erased else 1 << byte
    erased_classes = {int(automaton.byte_class[byte]) for byte in erased}
    for state, row in enumerate(automaton.transitions.tolist()):
        moves: dict[int, int] = {}
        for klass, target in enumerate(row):
            if target >= 0:
                moves[target] = moves.get(target, 0) | masks[klass]
                if klass in erased_classes:
                    edges.append((state, None, target))
        edges += [(state, ByteSet(mask), target) for target, mask in moves.items() if mask]
        if loops:
            edges.append((state, ByteSet.of(loops), state))
    finals = tuple(state for state, accepting in enumerate(automaton.accepting.tolist()) if accepting)
    if not finals:
        return union()
    return Embedded(compile_tree(Network(automaton.states, tuple(edges), 0, finals)))


def _marked(before: Node, mark: int, after: Node) -> ByteAutomaton:
    return compile_tree(sequence(before, literal(bytes([mark])), after))


@lru_cache(maxsize=128)
def _broken(assertion: Assertion, mark: int, sure: bool) -> ByteAutomaton:
    """All texts with one mark, set at a place where the assertion does not hold."""
    return _marked(ANY_TEXT, mark, ANY_TEXT) - _condition(assertion, mark, sure)


def _condition(assertion: Assertion, mark: int, sure: bool) -> ByteAutomaton:
    """All texts with one mark, set at a place where the assertion holds."""
    kind = _end(assertion, sure)
    if kind == "start":
        return _marked(EMPTY, mark, ANY_TEXT)
    if kind == "end":
        return _marked(ANY_TEXT, mark, EMPTY)
    if kind == "end_or_newline":
        return _marked(ANY_TEXT, mark, optional(NEWLINE))
    if kind == "line_start":
        return _marked(optional(sequence(ANY_TEXT, NEWLINE)), mark, ANY_TEXT)
    if kind == "line_end":
        return _marked(ANY_TEXT, mark, optional(sequence(NEWLINE, ANY_TEXT)))
    if "boundary" in kind:
        return _boundary(assertion, mark, sure)
    assert assertion.item is not None
    counts = count_assertions(assertion.item)
    marks = _assign(counts, taken=(mark,))
    sure = sure != assertion.negative
    here, item = literal(bytes([mark])), _node(assertion.item, marks, sure)
    around = (ANY_TEXT, here, item, ANY_TEXT) if kind == "ahead" else (ANY_TEXT, item, here, ANY_TEXT)
    holds = compile_tree(_enforce(sequence(*around), counts, marks, (mark,), sure))
    return _marked(ANY_TEXT, mark, ANY_TEXT) - holds if assertion.negative else holds


def _boundary(assertion: Assertion, mark: int, sure: bool) -> ByteAutomaton:
    assert isinstance(assertion.item, Chars)
    word, other = (
        code_points(chars.sure if sure else chars.perhaps) for chars in (assertion.item.chars, ~assertion.item.chars)
    )
    word_before, word_after = sequence(ANY_TEXT, word), sequence(word, ANY_TEXT)
    other_before, other_after = optional(sequence(ANY_TEXT, other)), optional(sequence(other, ANY_TEXT))
    if assertion.kind == "boundary":
        return _marked(word_before, mark, other_after) | _marked(other_before, mark, word_after)
    inside = _marked(word_before, mark, word_after) | _marked(other_before, mark, other_after)
    if assertion.kind == "not_boundary_not_empty" or (assertion.kind == "not_boundary_perhaps_empty" and sure):
        return inside - _marked(EMPTY, mark, EMPTY)
    return inside
