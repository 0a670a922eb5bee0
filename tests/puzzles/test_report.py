"""What a person sees of puzzles: films of a grid, pictures, the report; and the errors of the command."""

import json

import pytest
from click.testing import CliRunner
from structdiff_cli.main import cli

from structdiff.decode.trace import CanvasCommitted, StepDone
from structdiff.frontends.grid.grid import Grid
from structdiff.frontends.grid.rules import AllDifferent, lines
from structdiff.puzzles.arms import Attempt, summary
from structdiff.puzzles.film import Film, candidates, settled
from structdiff.puzzles.picture import panels, show
from structdiff.puzzles.report import write

LATIN = [AllDifferent(line) for line in lines(2, 2)]


def step(canvas, committed, entropy):
    n = len(committed)
    return StepDone(0, canvas, 1, 1, committed, committed, [True] * n, [False] * n, entropy, n)


def test_a_film_follows_the_grid_over_canvases():
    film = Film(
        Grid(2, 2, "12"), lambda token: "12\n"[token], canvas_length=3
    )  # pieces: 2 cells, a line break, 2 cells
    film(step(0, [0, 0, 2], [0.0, 2.0, 0.0]))
    film(step(0, [0, 1, 2], [0.0, 0.0, 0.0]))
    film(CanvasCommitted(0, 0, [0, 1, 2], "12\n"))
    film(step(1, [1, 0, 0], [0.0, 0.0, 0.0]))
    texts = [moment.text(film.grid) for moment in film.moments]
    assert texts == ["11\n..", "12\n..", "12\n21"]
    assert film.moments[0].sure[0, 1] < 0.2 < film.moments[1].sure[0, 1]
    assert settled(film.moments, [(0, 0), (0, 1), (1, 0)]) == {(0, 0): 1, (0, 1): 2, (1, 0): 3}


def test_candidates_are_what_single_rules_leave():
    assert candidates(Grid.of("1.\n..", "12", LATIN)) == {(0, 1): 1, (1, 0): 1, (1, 1): 2}


def test_pictures_tell_right_from_wrong():
    film = Film(Grid.of("1.\n..", "12", LATIN), lambda token: "12\n"[token], canvas_length=5)
    film(step(0, [0, 1, 2, 0, 0], [0.0, 0.1, 0.0, 0.3, 0.3]))
    before, during, after = panels(film.grid, film.moments, "12\n22", "12\n21")
    assert [cell[1] for cell in before.cells.values()] == ["given", "empty", "empty", "empty"]
    assert [cell[:2] for cell in during.cells.values()] == [
        ("1", "given"),
        ("2", "draft"),
        ("1", "draft"),
        ("1", "draft"),
    ]
    assert [cell[1] for cell in after.cells.values()] == ["given", "right", "right", "wrong"]
    from rich.console import Console

    console = Console(width=80, record=True, force_terminal=False)
    console.print(show([before, during, after]))
    shown = console.export_text()
    assert "1 2" in shown and "before" in shown


def attempt(arm, solved, bound=0.1):
    return Attempt("latin square", arm, 3, "", solved, solved, float(solved), 4, 0.1, False, bound)


def test_the_summary_tells_settings_apart():
    done = [attempt("shape", True), attempt("shape", False, 0.5), attempt("solver", True)]
    assert [(row["arm"], row["settings"], row["solved"]) for row in summary(done)] == [
        ("shape", "bound 0.1, 48 steps", 1.0), ("shape", "bound 0.5, 48 steps", 0.0), ("solver", "", 1.0)
    ]  # fmt: skip


def test_the_report_holds_the_table_and_every_plot(tmp_path):
    done = [attempt(arm, arm == "rules", bound) for arm in ("shape", "rules") for bound in (0.1, 0.5)]
    written = write(done, tmp_path, "latin square", settling=[(1, 1), (2, 3), (2, 5)])
    assert [path.name for path in written] == [
        "report.md", "report.html", "budget.png", "difficulty.png", "settling.png"
    ]  # fmt: skip
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64") == 3 and "<td" in page and "rules, bound 0.5" in page
    assert "determine 0 of 1 puzzles" in (tmp_path / "report.md").read_text()


def run(tmp_path, lines_of, *arguments):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines_of))
    return CliRunner().invoke(cli, ["puzzle", *arguments, "--input", str(path)])


def test_solve_draws_what_it_solves(tmp_path):
    puzzle = {"puzzle": "1.\n..", "solution": "12\n21"}
    done = run(tmp_path, [puzzle], "solve", "latin square", "--show", "--picture", str(tmp_path / "drawn"))
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["answer"] == "12\n21"
    assert "before" in done.stderr and "after" in done.stderr
    assert (tmp_path / "drawn" / "1.png").read_bytes().startswith(b"\x89PNG")


def test_bench_writes_the_report(tmp_path):
    puzzle = {"puzzle": "1.\n..", "solution": "12\n21"}
    options = ["--arms", "shape,rules", "--bounds", "0.1,1", "--max-steps", "2", "--report", str(tmp_path / "r")]
    done = run(tmp_path, [puzzle], "bench", "latin square", *options)
    assert done.exit_code == 0, done.output
    names = {path.name for path in (tmp_path / "r").iterdir()}
    assert names == {"report.md", "report.html", "difficulty.png", "budget.png", "settling.png"}


@pytest.mark.parametrize(
    ("kind", "puzzle", "code", "said"),
    [
        ("latin square", "11\n..", 3, "the givens contradict rule 0 (AllDifferent"),
        ("binary puzzle", "0.\n0.\n0.\n0.", 3, "contradict"),
        ("sudoku 4x4", "1.\n..", 3, "this sudoku has 4 rows and columns, not 2 x 2"),
        ("latin square", "1x\n..", 3, "the given 'x' at row 0, column 1 is not in the alphabet"),
        ("latin square", "1.\n...", 3, "not equally long"),
    ],
)
def test_puzzles_without_an_answer_are_named(tmp_path, kind, puzzle, code, said):
    done = run(tmp_path, [{"puzzle": puzzle, "solution": puzzle}], "solve", kind)
    assert done.exit_code == code and said in done.output and not done.stdout, done.output


def test_an_alphabet_of_several_tokens_a_letter_is_named(monkeypatch, tmp_path):
    from structdiff.puzzles.kinds import KINDS, Kind

    monkeypatch.setattr("structdiff_cli.puzzle.KINDS", (*KINDS, "runes"))
    monkeypatch.setitem(KINDS, "runes", Kind(lambda size, clues: "ᚠᚢ", lambda rows, cols, clues: [], 2))
    done = run(tmp_path, [{"puzzle": "..\n..", "solution": "ᚠᚢ\nᚢᚠ"}], "solve", "runes", "--arm", "shape")
    assert done.exit_code == 1 and "a grid needs one token a cell" in done.output and "'ᚠ'" in done.output


def test_text_puzzles_and_other_arms_have_no_pictures(tmp_path):
    for kind, arm in (("countdown", "rules"), ("latin square", "free")):
        done = run(tmp_path, [{"puzzle": "1.\n..", "solution": "12\n21"}], "solve", kind, "--arm", arm, "--show")
        assert done.exit_code == 2 and "draw grids of the arms" in done.output
