"""Context-free grammars: loops, recursion, Lark's lexers; `lark`, `sqlite3`, `ast` and brute force are the judges."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import lark
import pytest

import structdiff
from benchmarks.grammars import GRAMMARS, judged
from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.automata.recursion import unroll
from structdiff.automata.tree import Literal, Node, Reference, Sequence, Union, literal, sequence, union
from structdiff.core.errors import CompileLimit, InvalidSchema, Unsatisfiable, UnsupportedSchema
from structdiff.core.limits import Limits, enforced
from structdiff.frontends.grammar.loops import looped
from structdiff.frontends.registry import named, read_source
from structdiff.tokens.vocabulary import Vocabulary

EMBEDDED = Path(structdiff.__file__).parent / "models" / "embedded"


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.of(EMBEDDED)


def automaton_of(source: Any, **options: Any) -> tuple[ByteAutomaton, list[str]]:
    limits = Limits()
    with enforced(limits):
        grammar = read_source(source, **options).build(limits)
        return compile_tree(grammar.tree, limits), [str(one) for one in grammar.restrictions]


# --- loops ---


def derived(rules: dict[str, Node], most: int) -> dict[str, set[bytes]]:
    """All texts up to a length that rules derive: sets grown until they stay as they are."""
    known: dict[str, set[bytes]] = {name: set() for name in rules}

    def texts(node: Node) -> set[bytes]:
        if isinstance(node, Literal):
            return {node.data}
        if isinstance(node, Reference):
            return known[node.name]
        assert isinstance(node, Sequence | Union)
        if isinstance(node, Union):
            return set().union(*map(texts, node.items))
        found = {b""}
        for item in node.items:
            found = {a + b for a in found for b in texts(item) if len(a) + len(b) <= most}
        return found

    while (grown := {name: texts(node) for name, node in rules.items()}) != known:
        known = grown
    return known


def random_rules(rng: random.Random) -> dict[str, Node]:
    def part() -> Node:
        return Reference(rng.choice("ABC")) if rng.random() < 0.4 else literal(rng.choice("ab"))

    rules = {}
    for name in "ABC":
        options = [sequence(*(part() for _ in range(rng.randint(0, 3)))) for _ in range(rng.randint(1, 3))]
        last = literal(rng.choice("abc"))
        inner = sequence(union(*options), literal("d"))
        rules[name] = union(*options, last) if rng.random() < 0.8 else union(inner, last)
    return rules


def test_loops_derive_what_the_rules_derive() -> None:
    rng = random.Random(5)
    exact = 0
    for _ in range(60):
        rules = random_rules(rng)
        wanted = derived(rules, 4)["A"]
        node, restrictions = unroll(looped(rules), "A", rounds=1)
        automaton = compile_tree(node)
        found = {
            bytes(text)
            for n in range(5)
            for text in itertools.product(b"abcd", repeat=n)
            if automaton.accepts(bytes(text))
        }
        assert found <= wanted, rules
        assert restrictions or found == wanted, rules
        exact += not restrictions
    assert exact > 30


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ('start: item | start "," item\nitem: "x"', "x,x,x,x,x,x,x"),
        ('start: item | item "," start\nitem: "x"', "x,x,x,x,x,x,x"),
        ('start: a\na: "x" b | "y"\nb: "-" a', "x-x-x-x-x-x-y"),
        ('start: e\ne: bin | neg | "x"\nbin: e "+" e\nneg: "-" e', "x+--x+x+-x+x+x"),
        ('start: a* (b | a)+\na: "x"\nb: "y"', "xxxyxyxxxyyxx"),
    ],
)
def test_recursion_at_the_ends_has_no_bound(rules: str, text: str) -> None:
    automaton, restrictions = automaton_of(structdiff.Lark(rules))
    assert automaton.accepts(text.encode()) and restrictions == []
    lark.Lark(rules).parse(text)


# --- Lark ---


TERMINALS = [
    '"a"', '"ab"', '"b"', '"a"i', '"aB"i', "/a+/", "/[ab]+/", "/b|ba/", "/a+b?/", "/[aA]b?/", "/a*?b/", "/b+?/",
    '"+"', r"/[ab]+\+/", "/(?<=a)b|a/", "/A/i",
]  # fmt: skip


def random_grammar(rng: random.Random) -> str:
    names = [f"T{number}" for number in range(rng.randint(2, 5))]
    lines = []
    for name, text in zip(names, rng.sample(TERMINALS, len(names)), strict=True):
        priority = f".{rng.randint(-1, 2)}" if rng.random() < 0.2 else ""
        lines.append(f"{name}{priority}: {text}")
    for rule in ("start", "x", "y"):
        options = [
            " ".join(
                rng.choice([*names, "x", "y"]) + rng.choice([*[""] * 9, "*", "+", "?"])
                for _ in range(rng.randint(1, 3))
            )
            for _ in range(rng.randint(1, 3))
        ]
        lines.append(f"{rule}: {' | '.join([*options, rng.choice(names)])}")
    return "\n".join([*lines, '%ignore " "'][: None if rng.random() < 0.4 else -1])


def parses(parser: Any, text: str) -> bool:
    try:
        parser.parse(text)
    except lark.exceptions.LarkError:
        return False
    return True


def lalr(grammar: str, caplog: pytest.LogCaptureFixture) -> Any:
    """Lark's parser with the contextual lexer; None where its table has conflicts, which Lark decides silently."""
    caplog.clear()
    try:
        parser = lark.Lark(grammar, parser="lalr", debug=True)
    except lark.exceptions.LarkError:
        return None
    return None if any("onflict" in record.getMessage() for record in caplog.records) else parser


def test_both_parsers_of_lark_take_what_is_written(caplog: pytest.LogCaptureFixture) -> None:
    """Terminals that overlap in every way: strings in expressions, priorities, lazy loops, flags."""
    rng = random.Random(11)
    caplog.set_level("DEBUG", logger=lark.logger.name)
    taken = both = missing = 0
    for _ in range(70):
        text = random_grammar(rng)
        try:
            earley = lark.Lark(text)
            automaton, restrictions = automaton_of(structdiff.Lark(text))
        except (lark.exceptions.LarkError, UnsupportedSchema):
            continue
        contextual = lalr(text, caplog)
        both += contextual is not None
        for letters in (letters for n in range(1, 4) for letters in itertools.product("abAB+ ", repeat=n)):
            written = "".join(letters)
            if automaton.accepts(written.encode()):
                taken += 1
                assert parses(earley, written) and (contextual is None or parses(contextual, written)), (text, written)
            elif contextual is not None and not restrictions and parses(contextual, written):
                missing += parses(earley, written)
    assert taken > 400 and both > 15 and missing < taken / 50


@pytest.mark.parametrize(
    ("text", "belongs"),
    [("if a else b", True), ("IFa", True), ("if aelse b", False), ("ifelse a", False), ("ifelse", True),
     ("if else else b", True), ("ifa else if", True), ("if  a", False), (" if a", False)],
)  # fmt: skip
def test_words_are_cut_as_lark_cuts_them(text: str, belongs: bool) -> None:
    """``aelse`` is one name; where only a name can stand, ``else`` is a name. Blanks are never more than one."""
    grammar = 'start: "if"i NAME ["else" NAME]\nNAME: /[a-z]+/\n%ignore " "'
    automaton, restrictions = automaton_of(structdiff.Lark(grammar))
    assert automaton.accepts(text.encode()) is belongs
    assert parses(lark.Lark(grammar, parser="lalr"), " ".join(text.split())) is belongs or text != " ".join(
        text.split()
    )
    assert restrictions == ["at /: %ignore: one blank or line break at most stands between two tokens"]


def test_what_lark_writes_is_read() -> None:
    grammar = """
        %import common (INT, ESCAPED_STRING -> TEXT)
        start: pair{TEXT, number} ("," pair{TEXT, number})~1..2 tail?
        pair{key, value}: key ":" value
        !?number.2: SIGN? INT -> signed
        tail: [";"] /END/i
        SIGN: "+".."-"
    """
    with pytest.raises(InvalidSchema, match="line"):
        automaton_of(structdiff.Lark(grammar))
    grammar = grammar.replace("INT, ESCAPED_STRING -> TEXT)", "INT, ESCAPED_STRING)").replace("TEXT", "ESCAPED_STRING")
    automaton, _ = automaton_of(structdiff.Lark(grammar))
    parser = lark.Lark(grammar)
    for text in (
        '"a":1,"b":+2',
        '"a":1,"b":-2,"c":3;eNd',
        '"a\\"b":1,"":,2END',
        '"a":1,"b":2,"c":3,"d":4',
        '"a"b":1,"c":2',
    ):
        assert automaton.accepts(text.encode()) == parses(parser, text), text


def test_mistakes_are_one_line_with_the_place() -> None:
    for grammar, told in [
        ('start: "a" other\n', "Rule 'other' used but not defined.*line 1 column 12"),
        ('start: "a"\nb: (', "line 2 column"),
        ('begin: "a"', "no rule 'start' to start from"),
        ('start: "a" start', "derives no text"),
        ("start: %ignore", "line 1"),
        ("%import .other.X\nstart: X", "line 1: %import of a file"),
        ("start: /a*/", "zero-width|zero width"),
        ("start: A\nA: /(/", "cannot be read"),
    ]:
        with pytest.raises(InvalidSchema, match=told) as caught:
            automaton_of(structdiff.Lark(grammar))
        assert "\n" not in str(caught.value)
    with pytest.raises(Unsatisfiable):
        automaton_of(structdiff.GBNF('root ::= "a" root'))
    for grammar, told in [
        ("%declare _INDENT\nstart: _INDENT", "%declare _INDENT"),
        (r"start: /if\b/ /x/", "depends on what stands around"),
        (r"start: /(a)\1/", "backreference"),
    ]:
        with pytest.raises(UnsupportedSchema, match=told):
            automaton_of(structdiff.Lark(grammar))


def test_depth_is_as_deep_as_asked_or_as_there_is_room() -> None:
    nested = 'start: "(" start ")" | "x"'
    for depth in (0, 2, 5):
        automaton, restrictions = automaton_of(structdiff.Lark(nested), max_depth=depth)
        assert [automaton.accepts(b"(" * n + b"x" + b")" * n) for n in (depth, depth + 1)] == [True, False]
        assert restrictions == [f"at start: recursion: it ends after {depth} rounds"]
    wide = "root ::= " + " | ".join(f'"{n}" root "{n}" root "{n}"' for n in range(10, 40)) + ' | "x"'
    automaton, restrictions = automaton_of(structdiff.GBNF(wide))
    assert 0 < automaton.states <= 24_000 and restrictions == ["at root: recursion: it ends after 2 rounds"]
    with pytest.raises(CompileLimit):
        limits = Limits(states=3_000)
        with enforced(limits):
            read_source(structdiff.GBNF(wide), max_depth=3).build(limits)
    with pytest.raises(TypeError, match="max_depth alone"):
        read_source(structdiff.Lark(nested), whitespace="compact")
    with pytest.raises(TypeError, match="max_depth is"):
        read_source(structdiff.Lark(nested), max_depth=-1)


# --- GBNF and EBNF ---


@pytest.mark.parametrize(
    ("grammar", "good", "bad"),
    [
        ('root ::= [^"\\\\\\n]+ "\\x41\\u00e9" # note\n', ["xA\u00e9", "\U0001f642A\u00e9"], ["A\u00e9", "\nA\u00e9"]),
        ("root ::= (\n  'a' |\n  \"b\"\n)\n  [0-9a-]{2} end?\nend ::= .", ["a0-", "ba-x"], ["a0", "a0-xx"]),
        ('root ::= "a"{2,} "b"{,1}', [], []),
        ('root ::= "a"{2,} "b"{0} "c"{0,2}', ["aa", "aaaacc"], ["a", "aab", "aaccc"]),
        ('root ::= (item ",")* item\nitem ::= "x" | "(" root ")"', ["x,x,x,x", "((x),x)"], ["", "x,"]),
        ('root ::= root "+" root | "1" # left recursion', ["1", "1+1+1+1+1+1"], ["1+", "11"]),
        ('root ::= a-b_c.d\na-b_c.d ::= "ok"', ["ok"], ["o"]),
    ],
)  # fmt: skip
def test_gbnf(grammar: str, good: list[str], bad: list[str]) -> None:
    if not good:
        with pytest.raises(InvalidSchema, match="line 1 column 21"):
            automaton_of(structdiff.GBNF(grammar))
        return
    automaton, _ = automaton_of(structdiff.GBNF(grammar))
    assert [automaton.accepts(text.encode()) for text in [*good, *bad]] == [True] * len(good) + [False] * len(bad)


@pytest.mark.parametrize(
    ("grammar", "told"),
    [
        ('root ::= "a" b', "no rule 'b', at line 1 column 14"), ('root ::= "a', "not closed, at line 1 column 10"),
        ('root ::= ("a"', "group is not closed, at line 1"), ("root ::= [b-a]", "ends before it begins"),
        ('x ::= "a"', "no rule 'root'"), ('root ::= "a"\nroot ::= "b"', "defined twice, at line 2 column 1"),
        ("root = 1", "a rule is written as"), ('root ::= "\\q"', "escape"), ('root ::= "a" )', "closes nothing"),
        ('root ::= "a"{3,1}', "ends before"), ("root ::= <[12]>", "one vocabulary"), ("root ::= Tag(1)", "macro Tag"),
        ('root ::= "a" (= "b")', "lookahead"), ("", "no rules"), ('root ::= "\\uD800"', "no character"),
    ],
)  # fmt: skip
def test_gbnf_mistakes(grammar: str, told: str) -> None:
    with pytest.raises(InvalidSchema, match=told) as caught:
        automaton_of(structdiff.GBNF(grammar))
    assert "\n" not in str(caught.value)


def test_a_text_is_told_apart_and_never_taken_for_a_file() -> None:
    read = named("grammar").from_text
    assert isinstance(read('root ::= "a"'), structdiff.GBNF) and isinstance(read('start: "a" // ::='), structdiff.Lark)
    with pytest.raises(InvalidSchema, match="no grammar"):
        read("/etc/secret.lark")


def test_equal_grammars_have_equal_keys() -> None:
    text = 'start: "a" | "b"\nroot ::= "a"'
    sources = [structdiff.Lark(text), structdiff.Lark(text, start="x"), structdiff.GBNF(text)]
    keys = [read_source(source).key for source in sources] + [read_source(sources[0], max_depth=1).key]
    assert len(set(keys)) == 4 and read_source(structdiff.Lark(text)).key == keys[0]
    assert read_source(structdiff.Lark("%import .x.Y")).key is None


# --- the worked grammars ---


@pytest.mark.parametrize("name", GRAMMARS)
def test_worked_grammars(name: str, vocabulary: Vocabulary) -> None:
    """60 outputs of random logits each; `python -m benchmarks.grammars` does a thousand."""
    outputs = list(judged(name, vocabulary, 60, seed=3))
    assert [(text, wrong) for text, wrong in outputs if wrong] == []
    assert len({text for text, _ in outputs}) > 20


def test_the_value_is_the_text(tmp_path: Path) -> None:
    path = tmp_path / "yes.lark"
    path.write_text('start: "yes" | "no"')
    model = structdiff.load()
    assert model("Is it late?", structdiff.Lark(path)) in ("yes", "no")
    assert model("Is it late?", structdiff.GBNF('root ::= "yes" | "no"')) in ("yes", "no")
