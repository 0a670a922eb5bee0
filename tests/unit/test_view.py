"""The views: what a run looks like in the terminal and as a file, without a model."""

import io
import json
import re
from xml.etree import ElementTree

import pytest
from rich.console import Console

from structdiff.decode.trace import CanvasCommitted, CanvasStarted, Finished, StepDone
from structdiff.view.animation import animated_svg
from structdiff.view.kinds import Kind, kinds_of, mean_entropy, one_line
from structdiff.view.terminal import Watcher, legend
from structdiff.view.trace_html import trace_data, trace_page, write_trace

PIECES = ['{"', "name", '": "', "An", "n", '"}', "\n", "</script>", "<eos>"]
piece = PIECES.__getitem__


def step(canvas=0, number=1, tokens=(0, 1, 2, 3, 4, 5, 8, 8), accepted="11110000", live=7, row=0, best=None):
    tokens = list(tokens)
    return StepDone(
        row=row,
        canvas=canvas,
        step=number,
        steps_left=8 - number,
        tokens=tokens,
        committed=list(best or tokens),
        accepted=[mark == "1" for mark in accepted],
        anchors=[True, False, True] + [False] * (len(tokens) - 3),
        entropy=[0.0, 0.25, 0.0, 0.5, 0.75, 0.25, 0.0, 0.0],
        live=live,
    )


EVENTS = [
    CanvasStarted(row=0, canvas=0, start=0, length=8),
    step(number=1, tokens=(0, 1, 2, 7, 6, 5, 8, 8), accepted="11100000", best=(0, 1, 2, 3, 4, 5, 8, 8)),
    step(number=2, accepted="11111000"),
    step(number=3, accepted="11111110"),
    CanvasCommitted(row=0, canvas=0, tokens=[0, 1, 2, 3, 4, 5], text='{"name": "Ann"}'),
    Finished(row=0, text='{"name": "Ann"}', reason="stop"),
]


def screen(events, **options):
    console = Console(file=io.StringIO(), width=40, **options)
    with Watcher(piece, console=console) as watcher:
        for event in events:
            watcher(event)
    return console.file.getvalue()


def test_kinds():
    kinds = kinds_of(EVENTS[1])
    assert "".join(kind.mark for kind in kinds) == "#=#??~~."
    assert mean_entropy(EVENTS[1]) == pytest.approx(1.75 / 7)
    assert mean_entropy(step(live=0)) == 0.0


def test_one_line_moves_no_cursor():
    assert one_line("a\n\x1b[2J\x00é") == "a⏎\\x1b[2J\\x00é"


def test_terminal_uses_a_colour_for_each_kind():
    shown = screen(EVENTS, force_terminal=True, color_system="standard", legacy_windows=False)
    assert "\x1b[1;36m" in shown and "\x1b[32m" in shown and "\x1b[33m" in shown and "\x1b[35m" in shown
    assert "step 2" in shown and "mean entropy" in shown and "stop" in shown


def test_terminal_without_colour_marks_each_kind():
    shown = screen(EVENTS[:2], force_terminal=True, color_system=None)
    assert '{"name": "</script>⏎"}<eos>' in shown
    assert "##====####??????????~~~~~~~\n" in re.sub(" +\n", "\n", shown)
    assert "# forced" in shown and "? noise" in shown


def test_no_terminal_prints_each_canvas_once():
    shown = screen(EVENTS)
    assert shown.count("canvas 1") == 1
    assert '{"name": "Ann"}' in shown and "\x1b" not in shown


def test_long_canvas_wraps_between_tokens():
    long = step(tokens=[1] * 30, accepted="1" * 30, live=30)
    shown = screen([long, CanvasCommitted(0, 0, [1] * 30, "")], color_system=None)
    lines = [line for line in shown.splitlines() if "name" in line]
    assert [line.strip() for line in lines] == ["name" * 10] * 3


def test_second_canvas_shows_the_text_before_it():
    events = [*EVENTS[:-1], CanvasStarted(0, 1, 8, 8), step(canvas=1)]
    shown = screen(events, force_terminal=True, color_system="standard")
    assert "canvas 2" in shown and '{"name": "Ann"}' in shown.split("canvas 2")[-2]


def test_other_rows_are_not_drawn():
    assert screen([step(row=1), CanvasCommitted(1, 0, [0], "x")]) == ""


def test_legend_names_each_kind():
    text = legend(Console(color_system=None)).plain
    assert all(kind.title in text for kind in Kind if kind is not Kind.PADDING)


def test_the_animation_is_one_safe_picture_with_a_frame_for_each_step():
    """Every step and the committed canvas have a frame of their own, and one of them is shown at any time."""
    svg = animated_svg(EVENTS, piece, text='Ann & "co" </svg>')
    root = ElementTree.fromstring(svg)
    frames = [group for group in root if group.tag.endswith("}g")]
    steps = [event for event in EVENTS if isinstance(event, StepDone) and event.row == 0]
    assert len(frames) == len(steps) + 1 and "committed" in "".join(frames[-1].itertext())
    shown = re.findall(r"@keyframes k\d+ \{(.*)\}", svg)
    spans = [re.findall(r"([\d.]+)% \{ opacity: (\d)", one) for one in shown]
    begins = [next(float(at) for at, on in span if on == "1") for span in spans]
    ends = [next((float(at) for at, on in span if on == "0" and float(at) > 0), 100.0) for span in spans]
    assert begins[0] == 0 and begins[1:] == ends[:-1] and ends[-1] == 100
    assert "<script" not in svg and "http" not in svg.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "prefers-reduced-motion" in svg and "prefers-color-scheme" in svg


def test_a_row_without_steps_is_no_picture():
    with pytest.raises(ValueError, match="row 5 has no denoising steps"):
        animated_svg(EVENTS, piece, row=5)


def test_trace_page_is_one_safe_file(tmp_path):
    path = tmp_path / "trace.html"
    write_trace(path, EVENTS, piece, title="A <b>run</b>")
    page = path.read_text(encoding="utf-8")
    assert page.count("</script>") == 1 and not re.search(r"(?:src|href)=", page) and "http" not in page
    data = json.loads(re.search(r"^const data = (.*);$", page, re.M).group(1))
    assert data["title"] == "A <b>run</b>" and data["pieces"]["7"] == "</script>"


def test_trace_data_keeps_rows_apart():
    other = [CanvasStarted(1, 0, 0, 8), step(row=1), Finished(1, "{}", "stop")]
    data = trace_data([*EVENTS, *other], piece)
    assert [len(row["canvases"][0]["steps"]) for row in data["rows"]] == [3, 1]
    assert data["rows"][0]["canvases"][0]["steps"][0]["kinds"] == "#=#??~~."


def test_empty_trace_is_a_page():
    assert '"rows":[]' in trace_page([], piece)
