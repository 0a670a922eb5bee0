"""A run as one animated SVG picture: the canvas settles step by step, and starts again.

    events = []
    model.generate(text, schema, on_event=events.append)
    Path("run.svg").write_text(animated_svg(events, piece))

The picture loads nothing and holds no script, so a README can show it. Where the reader asks for less motion, it shows
the last step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape

from structdiff.decode.trace import CanvasCommitted, Event, StepDone
from structdiff.view.kinds import Kind, committed, lines_of, mean_entropy, settled

CELL, LINE, MARGIN = 9.0, 24, 20
"""Pixels: the width of a character, the height of a line, the margin."""
STEP_SECONDS, LAST_SECONDS = 0.55, 3.0
"""How long a step is shown, and the last one."""
COLOURS = {
    Kind.FORCED: ("#0b6fa4", "#6cc3f0"),
    Kind.ACCEPTED: ("#1d7a3c", "#77d193"),
    Kind.DRAFT: ("#8a6100", "#e6c15c"),
    Kind.NOISE: ("#a03a86", "#d98cc5"),
}
"""The colour of each kind on a light and on a dark page."""


def animated_svg(
    events: Iterable[Event], piece: Callable[[int], str], *, width: int = 72, text: str = "", row: int = 0
) -> str:
    """The steps of all canvases of one row as a picture; ``text`` is what was read, ``width`` characters a line.

    Raises `ValueError` where the row has no steps.
    """
    frames = _frames([event for event in events if event.row == row])
    if not frames:
        raise ValueError(f"row {row} has no denoising steps to show")
    lines = [lines_of(step, piece, width) for step, _ in frames]
    tall = max(map(len, lines))
    top = MARGIN + LINE * (2 if text else 1)
    height = top + LINE * (tall + 3)
    total = STEP_SECONDS * (len(frames) - 1) + LAST_SECONDS
    style, shown = [_style()], []
    for number, ((step, caption), drawn) in enumerate(zip(frames, lines, strict=True)):
        begin, end = STEP_SECONDS * number / total, STEP_SECONDS * (number + 1) / total
        last = number == len(frames) - 1
        style.append(_keyframes(number, 100 * begin, 100 if last else 100 * end))
        style.append(f"#s{number} {{ animation: k{number} {total:.2f}s step-end infinite; }}")
        if not last:
            style.append(f"@media (prefers-reduced-motion: reduce) {{ #s{number} {{ animation: none; opacity: 0; }} }}")
        else:
            style.append(f"@media (prefers-reduced-motion: reduce) {{ #s{number} {{ animation: none; }} }}")
        body = "".join(_line(part, top + LINE * i) for i, part in enumerate(drawn))
        figures = f"{caption} · {settled(step)} of {step.live} tokens settled · mean entropy {mean_entropy(step):.2f}"
        shown.append(f'<g id="s{number}">{body}{_plain(figures, top + LINE * (tall + 0.5), "soft")}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {CELL * width + 2 * MARGIN:.0f} {height:.0f}" '
        f'role="img" aria-label="A canvas of tokens settles, step by step, into valid JSON">\n'
        f"<style>\n{chr(10).join(style)}\n</style>\n"
        f'<rect class="page" width="100%" height="100%" rx="8"/>\n'
        + (_plain(text, MARGIN + LINE * 0.6, "soft") + "\n" if text else "")
        + "\n".join(shown)
        + f"\n{_legend(top + LINE * (tall + 1.8))}\n</svg>\n"
    )


def _frames(events: list[Event]) -> list[tuple[StepDone, str]]:
    """(step, caption) in the order of time; a committed canvas is drawn as a step in which all is accepted."""
    frames: list[tuple[StepDone, str]] = []
    for event in events:
        match event:
            case StepDone():
                frames.append((event, f"canvas {event.canvas + 1} · step {event.step}"))
            case CanvasCommitted() if frames:
                frames.append((committed(frames[-1][0], event), f"canvas {event.canvas + 1} · committed"))
            case _:
                pass
    return frames


def _style() -> str:
    light = "".join(f".{kind.title} {{ fill: {colours[0]}; }} " for kind, colours in COLOURS.items())
    dark = "".join(f".{kind.title} {{ fill: {colours[1]}; }} " for kind, colours in COLOURS.items())
    return (
        "text { font: 15px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; white-space: pre; }\n"
        ".page { fill: #f6f8fa; } .soft { fill: #57606a; } .forced { font-weight: 700; }\n"
        f"{light}\n@media (prefers-color-scheme: dark) {{ "
        f".page {{ fill: #161b22; }} .soft {{ fill: #9198a1; }} {dark}}}"
    )


def _keyframes(number: int, begin: float, end: float) -> str:
    before = "0% { opacity: 0; } " if begin else ""
    after = f"{end:.3f}% {{ opacity: 0; }} " if end < 100 else ""
    return f"@keyframes k{number} {{ {before}{begin:.3f}% {{ opacity: 1; }} {after}}}"


def _line(parts: list[tuple[str, Kind]], y: float) -> str:
    """One line of tokens; each has its own place, so that no font moves it."""
    x, spans = 0, []
    for written, kind in parts:
        spans.append(f'<tspan x="{MARGIN + CELL * x:.1f}" class="{kind.title}">{escape(written)}</tspan>')
        x += len(written)
    return f'<text y="{y:.1f}" xml:space="preserve">{"".join(spans)}</text>'


def _plain(text: str, y: float, name: str) -> str:
    return f'<text x="{MARGIN}" y="{y:.1f}" class="{name}" xml:space="preserve">{escape(text)}</text>'


def _legend(y: float) -> str:
    x, spans = 0, []
    for kind in COLOURS:
        spans.append(f'<tspan x="{MARGIN + CELL * x:.1f}" class="{kind.title}">{kind.title}</tspan>')
        x += len(kind.title) + 3
    return f'<text y="{y:.1f}">{"".join(spans)}</text>'
