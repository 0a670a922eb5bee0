"""Tables with totals, zebra and countdown: their answers by brute force and by the checker, and the command."""

import itertools
import json
import re
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from structdiff_cli.main import cli

from structdiff.core.errors import InvalidSchema, Unsatisfiable
from structdiff.puzzles.check import cells_right, legal
from structdiff.puzzles.instances import make
from structdiff.puzzles.kinds import Puzzle
from structdiff.puzzles.texts import TEXT_KINDS

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "puzzles"


@pytest.mark.parametrize("kind", TEXT_KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_made_puzzles_are_solved_by_exactly_their_answers(kind, seed):
    made = make(kind, seed)
    answers = TEXT_KINDS[kind].answers(made)
    assert made == make(kind, seed) and made.solution in answers
    assert kind == "countdown" or len(answers) == 1
    assert all(legal(made, answer) for answer in answers) and cells_right(made, made.solution) == 1
    shape = TEXT_KINDS[kind].shape(made)
    if kind == "zebra":
        jsonschema.Draft202012Validator(shape).validate(json.loads(made.solution))
    else:
        assert re.fullmatch(shape.pattern, made.solution)


def test_the_answers_of_a_table_are_all_that_the_checker_accepts():
    lines = ["| a   |   b | total |", "| --- | --: | ----: |", "| x   |   ? |     ? |", "| y   |   2 |     2 |"]
    table = "\n".join([*lines, "| sum |   5 |     5 |"])
    table = Puzzle("table", table, "")
    found = TEXT_KINDS["table"].answers(table)
    tried = [
        table.puzzle.replace("  ?", f"{a:>3}", 1).replace("    ?", f"{b:>5}")
        for a, b in itertools.product(range(12), repeat=2)
    ]
    assert found == [text for text in tried if legal(table, text)] and len(found) == 1


def test_changed_answers_are_not_legal():
    table, zebra, countdown = (make(kind, 0) for kind in ("table", "zebra", "countdown"))
    assert not legal(table, table.solution.replace("1", "2")) and not legal(table, table.puzzle)
    assert not legal(table, table.solution.replace("| phone ", "|phone  "))
    rows = json.loads(zebra.solution)
    for a, b in itertools.permutations(range(3), 2):
        rows[a]["pet"], rows[b]["pet"] = rows[b]["pet"], rows[a]["pet"]
        assert legal(zebra, json.dumps(rows)) == (rows == json.loads(zebra.solution))
    assert cells_right(zebra, "[]") == 0 and not legal(zebra, "no JSON")
    assert not legal(countdown, countdown.solution + ",1+1=2")
    other = Puzzle("countdown", "4,2,8,16", "")
    assert legal(other, "4*2=8,8+8=16") and not legal(other, "4*4=16,8-8=0") and not legal(other, "4/2=2,8*2=18")
    assert not legal(other, "4*2=8,8*2=16")


def test_unsolvable_rules_are_named():
    with pytest.raises(Unsatisfiable, match="no answer satisfies the rules of this countdown"):
        TEXT_KINDS["countdown"].answers(Puzzle("countdown", "1,1,1,99", ""))
    with pytest.raises(InvalidSchema, match="have neither size"):
        make("zebra", 0, size=4)


def test_published_countdowns_are_legal_and_among_the_answers():
    path = PUBLISHED / "cd3_test.jsonl"
    if not path.is_file():
        pytest.skip("the published countdowns are not here")
    for line in path.read_text().splitlines()[:50]:
        data = json.loads(line)
        one = Puzzle("countdown", data["input"], data["output"])
        assert legal(one, one.solution)
        assert one.solution in TEXT_KINDS["countdown"].answers(one)


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_bench_judges_every_arm(kind):
    arms = ["shape", "rules", "shuffled", "solver"]
    done = CliRunner().invoke(
        cli, ["puzzle", "bench", kind, "--n", "1", "--max-steps", "2", "--json", "--arms", ",".join(arms)]
    )
    assert done.exit_code == 0, done.output
    attempts = json.loads(done.stdout)["attempts"]
    assert [a["arm"] for a in attempts] == arms
    assert all(a["legal"] and a["solved"] for a in attempts[1:])
    made = make(kind, 0)
    shape = TEXT_KINDS[kind].shape(made)
    if kind == "zebra":
        jsonschema.Draft202012Validator(shape).validate(json.loads(attempts[0]["answer"]))
    else:
        assert re.fullmatch(shape.pattern, attempts[0]["answer"])
