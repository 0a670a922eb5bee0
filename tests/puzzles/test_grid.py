"""Grids with rules: against brute force, and legal under adversarial logits."""

import itertools

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import structdiff
from structdiff.core.errors import BudgetTooSmall, InvalidSchema, Unsatisfiable, UnsupportedTokenizer
from structdiff.decode.engine import Task
from structdiff.decode.loop import run
from structdiff.decode.policy import Policy
from structdiff.frontends.grid.rules import AllDifferent, Balanced, Differ, Less, Runs, Total, Words, boxes, lines
from structdiff.frontends.grid.solve import Rules, marginals
from structdiff.testing.scripted import Scripted
from structdiff.tokens.vocabulary import Vocabulary

CELLS = ((0, 0), (0, 1), (0, 2), (0, 3))


@pytest.fixture(scope="module")
def vocabulary():
    pieces = {letter: i for i, letter in enumerate("01234ab")} | {"Ċ": 7, "12": 8, "</s>": 9}
    tiny = Tokenizer(models.BPE(pieces, [("1", "2")]))
    tiny.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tiny.decoder = decoders.ByteLevel()
    return Vocabulary.of(tiny, end_ids=(9,))


def legal_sudoku(text):
    rows = text.split("\n")
    groups = [*rows, *("".join(c) for c in zip(*rows, strict=True))]
    groups += ["".join(rows[y + i][x : x + 2] for i in range(2)) for y in (0, 2) for x in (0, 2)]
    return all(sorted(group) == list("1234") for group in groups)


MEANINGS = [
    (AllDifferent(CELLS[:3]), "123", lambda t: len(set(t)) == 3),
    (Total(CELLS, 7), "123", lambda t: sum(map(int, t)) == 7),
    (Total(CELLS[:3], 7, distinct=True), "1234", lambda t: sum(map(int, t)) == 7 and len(set(t)) == 3),
    (Less((0, 0), (0, 1)), "123", lambda t: t[0] < t[1]),
    (Balanced(CELLS, run=1), "01", lambda t: t.count("0") == 2 and "00" not in t and "11" not in t),
    (Runs(CELLS, (1, 1), "1"), "01", lambda t: [len(r) for r in t.split("0") if r] == [1, 1]),
    (Runs(CELLS, (), "1"), "01", lambda t: "1" not in t),
    (Words(CELLS[:2], ("ab", "ba")), "ab", lambda t: t in ("ab", "ba")),
    (Differ(CELLS[:2], CELLS[2:]), "01", lambda t: (t[0] + t[2]) != (t[1] + t[3])),
]


@pytest.mark.parametrize("rule, alphabet, meaning", MEANINGS, ids=lambda v: type(v).__name__)
def test_a_rule_is_what_it_says(rule, alphabet, meaning):
    machine, n = rule.machine(alphabet), len(rule.cells)
    weights = np.random.default_rng(0).random((n, len(alphabet)))
    mass = np.zeros_like(weights)
    for letters in itertools.product(range(len(alphabet)), repeat=n):
        right = meaning("".join(alphabet[a] for a in letters))
        assert machine.accepts(letters) == right
        for i, a in enumerate(letters):
            mass[i, a] += right * np.prod([weights[j, b] for j, b in enumerate(letters)])
    np.testing.assert_allclose(marginals(machine, weights), mass / mass.sum(1, keepdims=True), atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_the_best_grid_is_the_best_of_all(seed):
    grid = structdiff.Grid.of("...\n.2.\n...", "123", [AllDifferent(line) for line in lines(3, 3)])
    rules, scores = Rules(grid), np.random.default_rng(seed).normal(size=(9, 3)) * 3
    legal = [
        letters
        for letters in itertools.product(range(3), repeat=9)
        if letters[4] == 1
        and all(len({letters[i] for i in range(9) if i // 3 == k}) == 3 for k in range(3))
        and all(len({letters[i] for i in range(9) if i % 3 == k}) == 3 for k in range(3))
    ]
    best = max(legal, key=lambda letters: scores[np.arange(9), letters].sum())
    assert rules.best(scores).tolist() == list(best)
    assert rules.solutions(limit=20) == len(legal)
    domains = np.zeros((9, 3), bool)
    for letters in legal:
        domains[np.arange(9), letters] = True
    assert (rules.domains | ~domains).all()  # consistency never drops a letter of a solution
    assert rules.domains.sum() < 27


@pytest.mark.parametrize("spread", [0.0, 1.0, 1e4])
def test_rules_make_every_grid_legal(vocabulary, spread):
    puzzle = "1...\n....\n...3\n...."
    rules = [AllDifferent(cells) for cells in lines(4, 4) + boxes(4, 2, 2)]
    shape = structdiff.Grid.of(puzzle, "1234")
    with_rules = structdiff.Grid.of(puzzle, "1234", rules)
    for grid, always in ((shape, False), (with_rules, True)):
        constraint = structdiff.compile(grid, vocabulary)
        model = Scripted.random(canvas_length=21, vocab_size=10, seed=3, spread=spread)
        tasks = [Task([0], constraint.automaton, 20, seed, (9,), rules=constraint.rules) for seed in range(3)]
        texts = [vocabulary.bytes_of(o.tokens).decode() for o in run(model, tasks, Policy(max_steps=3))]
        assert all(text[0] == "1" and text[13] == "3" and len(text) == 19 for text in texts)
        assert [legal_sudoku(text) for text in texts] == [always] * 3


@pytest.mark.parametrize("canvas", [3, 7, 8])
def test_rules_hold_over_several_canvases(vocabulary, canvas):
    """Random logits would paint the later canvases into a corner if the first did not look ahead."""
    rules = [AllDifferent(group) for group in (*lines(4, 4), *boxes(4, 2, 2))]
    grid = structdiff.Grid(4, 4, "1234", {(0, 0): "1"}, rules)
    constraint = structdiff.compile(grid, vocabulary)
    for seed in range(6):
        model = Scripted.random(canvas_length=canvas, vocab_size=10)
        tasks = [Task([0], constraint.automaton, 20, seed, (9,), rules=constraint.rules)]
        (outcome,) = run(model, tasks, Policy(max_steps=2))
        text = vocabulary.bytes_of(outcome.tokens).decode()
        assert outcome.canvases >= 3 and legal_sudoku(text) and text[0] == "1"


def test_the_score_is_the_log_probability_of_the_tokens(vocabulary):
    grid = structdiff.Grid.of("..\n..", "12", [AllDifferent(line) for line in lines(2, 2)])
    constraint = structdiff.compile(grid, vocabulary)
    logits = torch.randn(6, 10, generator=torch.Generator().manual_seed(5))
    model = Scripted(6, 10, lambda prefix, canvas: logits)
    policy = Policy(max_steps=1)
    (outcome,) = run(model, [Task([0], constraint.automaton, 6, 0, (9,), rules=constraint.rules)], policy)
    logp = torch.log_softmax(logits / policy.temperature(1), -1)
    expected = sum(float(logp[i, t]) for i, t in enumerate([*outcome.tokens, 9]))
    assert outcome.log_probability == pytest.approx(expected, abs=1e-4)


def test_no_token_spans_two_cells(vocabulary):
    constraint = structdiff.compile(structdiff.Grid(1, 2, "12"), vocabulary)
    assert constraint.plan(3).allowed(0).tolist() == [1, 2]  # never the token "12"


def test_clear_errors(vocabulary):
    rows = [AllDifferent(line) for line in lines(2, 2)]
    with pytest.raises(Unsatisfiable, match=r"contradict rule 0 \(AllDifferent over \(0, 0\), \(0, 1\)"):
        structdiff.compile(structdiff.Grid.of("11\n..", "12", rows), vocabulary)
    one_of_each = [Total(line, 1) for line in lines(3, 3)] + [Total(((0, 0), (1, 1), (2, 2)), 2)]
    parity = [*one_of_each, Differ(((0, 0),), ((1, 1),)), Differ(((1, 1),), ((2, 2),)), Differ(((0, 2),), ((2, 0),))]
    with pytest.raises(Unsatisfiable, match="no grid satisfies"):
        structdiff.compile(structdiff.Grid(3, 3, "01", rules=parity), vocabulary)
    with pytest.raises(Unsatisfiable, match="'9' at row 0, column 0 is not in the alphabet"):
        structdiff.Grid.of("9", "12")
    with pytest.raises(UnsupportedTokenizer, match="'x' not at all"):
        structdiff.compile(structdiff.Grid(1, 1, "x"), vocabulary)
    with pytest.raises(InvalidSchema, match="not equally long"):
        structdiff.Grid.of("1.\n.", "12")
    constraint = structdiff.compile(structdiff.Grid(2, 2, "12", rules=rows), vocabulary)
    small = Scripted.random(canvas_length=4, vocab_size=10)
    with pytest.raises(BudgetTooSmall, match="needs 5 tokens but max_tokens is 4"):
        run(small, [Task([0], constraint.automaton, 4, 0, (9,), rules=constraint.rules)])


def test_rules_without_the_search_say_what_to_install(vocabulary, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ortools.sat.python", None)
    grid = structdiff.Grid(2, 2, "12", rules=[AllDifferent(line) for line in lines(2, 2)])
    with pytest.raises(structdiff.GenerationError, match=r"pip install 'structdiff\[puzzles\]'"):
        structdiff.compile(grid, vocabulary)
    structdiff.compile(grid.shape(), vocabulary)
