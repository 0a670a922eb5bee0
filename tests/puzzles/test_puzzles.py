"""Puzzles: generators, checkers, arms and the command."""

import itertools
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from structdiff_cli.main import cli

from structdiff.frontends.grid.solve import Rules
from structdiff.puzzles.check import cells_right, legal
from structdiff.puzzles.kinds import KINDS, Puzzle, make

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "puzzles"


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "sudoku 9x9"])
def test_made_puzzles_have_their_solution_by_the_checker_and_no_other_legal_neighbour(kind):
    made = make(kind, seed=3)
    assert legal(made, made.solution) and cells_right(made, made.solution) == 1
    assert Rules(made.grid()).solutions() == 1
    letters = made.grid().alphabet
    empty = [i for i, c in enumerate(made.puzzle) if c == "."]
    for i, letter in itertools.product(empty, letters):
        changed = made.solution[:i] + letter + made.solution[i + 1 :]
        assert legal(made, changed) == (changed == made.solution)


def test_kakuro_is_checked_by_its_sums():
    one = Puzzle("kakuro", "..\n..", "12\n31", {"sums": [[3, [[0, 0], [0, 1]]], [4, [[1, 0], [1, 1]]],
                                                       [4, [[0, 0], [1, 0]]], [3, [[0, 1], [1, 1]]]]})  # fmt: skip
    assert legal(one, "12\n31")
    assert not legal(one, "21\n13") and not legal(one, "12\n22") and not legal(one, "12\n3#")
    without = Puzzle("kakuro", one.puzzle, one.solution, {"sums": one.clues["sums"][:3]})
    assert not legal(without, "12\n31")
    walled = make("kakuro", seed=0)
    assert "#" in walled.puzzle and walled.puzzle.count("#") == walled.solution.count("#")
    assert not legal(walled, walled.solution.replace("#", "1", 1))


def test_word_squares_read_the_same_across_and_down():
    for seed, size in ((0, 3), (1, 4)):
        made = make("word square", seed=seed, size=size)
        rows = made.solution.split("\n")
        assert ["".join(column) for column in zip(*rows, strict=True)] == rows
        assert set(rows) <= set(made.clues["words"]) and len(set(rows)) == size
    swapped = "\n".join([rows[1], rows[0], *rows[2:]])
    assert not legal(Puzzle("word square", "....\n....\n....\n....", made.solution, made.clues), swapped)


@pytest.mark.parametrize(
    ("kind", "size", "said"), [("word square", "5", "3 and 4 letters"), ("kakuro", "9", "2 to 7 rows")]
)
def test_sizes_that_cannot_be_made_are_named(kind, size, said):
    done = CliRunner().invoke(cli, ["puzzle", "make", kind, "--size", size])
    assert done.exit_code == 3 and said in done.output


def test_uniqueness_by_enumeration():
    made = make("sudoku 4x4", seed=1, blanks=7)
    empty = [i for i, c in enumerate(made.puzzle) if c == "."]
    assert len(empty) == 7
    found = 0
    for letters in itertools.product("1234", repeat=7):
        answer = list(made.puzzle)
        for i, letter in zip(empty, letters, strict=True):
            answer[i] = letter
        found += legal(made, "".join(answer))
    assert found == 1


def test_published_sudokus_are_legal_and_solved_by_the_rules():
    path = PUBLISHED / "sudoku_4x4_6.jsonl"
    if not path.is_file():
        pytest.skip("the published sudokus are not here")
    for line in path.read_text().splitlines()[:10]:
        data = json.loads(line)
        one = Puzzle("sudoku 4x4", data["input"].replace("0", "."), data["output"])
        assert legal(one, one.solution)
        assert not legal(one, one.solution[::-1])
        assert Rules(one.grid()).solutions() == 1


def test_the_command_makes_what_it_solves(tmp_path):
    made = CliRunner().invoke(cli, ["puzzle", "make", "latin square", "--n", "1", "--size", "3"])
    assert made.exit_code == 0, made.output
    path = tmp_path / "in.jsonl"
    path.write_text(made.output)
    arms = ["free", "shape", "rules", "shuffled", "solver"]
    options = ["--input", str(path), "--max-steps", "2", "--json", "--arms", ",".join(arms)]
    done = CliRunner().invoke(cli, ["puzzle", "bench", "latin square", *options])
    assert done.exit_code == 0, done.output
    attempts = json.loads(done.stdout)["attempts"]
    assert [a["arm"] for a in attempts] == arms
    assert all(a["solved"] for a in attempts if a["arm"] in ("rules", "shuffled", "solver"))


def test_unknown_kinds_are_named():
    done = CliRunner().invoke(cli, ["puzzle", "make", "chess"])
    assert done.exit_code == 2 and "sudoku-4x4" in done.output


def test_the_plot_holds_every_arm(tmp_path):
    from structdiff.puzzles.arms import Attempt
    from structdiff.puzzles.plot import curves, draw

    done = [
        Attempt("latin square", arm, blanks, "", solved, solved, float(solved), 1, 0.1, False)
        for arm, blanks, solved in [("free", 2, True), ("free", 2, False), ("free", 5, False), ("rules", 2, True)]
    ]
    assert curves(done) == {"free": [(2, 2, 0.5, 0.5), (5, 1, 0.0, 0.0)], "rules": [(2, 1, 1.0, 1.0)]}
    pytest.importorskip("matplotlib")
    draw(done, tmp_path / "arms.png")
    assert (tmp_path / "arms.png").read_bytes().startswith(b"\x89PNG")
