"""The canvas settling in a terminal: forced tokens, accepted, drafts and noise told apart, step by step.

    with Watcher(piece) as watcher:
        model.generate(text, schema, on_event=watcher)

``piece(token_id) -> str`` gives a token's text. Where the terminal has no colour, a line of marks under each line of
tokens says the same; where there is no terminal at all, only the last step of each canvas is printed.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import TracebackType

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from structdiff.decode.trace import CanvasCommitted, CanvasStarted, Event, Finished, StepDone
from structdiff.view.kinds import Kind, kinds_of, mean_entropy, one_line

STYLES = {
    Kind.FORCED: "bold cyan",
    Kind.ACCEPTED: "green",
    Kind.DRAFT: "yellow",
    Kind.NOISE: "magenta",
}


class Watcher:
    """Draws the trace events of one row of a batch as they come; give it to ``generate`` as ``on_event``.

    ``pace`` is the least time in seconds a step stays on the screen.
    """

    def __init__(
        self, piece: Callable[[int], str], *, console: Console | None = None, row: int = 0, pace: float = 0.0
    ) -> None:
        self.piece, self.row, self.pace = piece, row, pace
        self.console = console or Console(stderr=True)
        self.written: dict[int, str] = {}
        self.step: StepDone | None = None
        self.end: Finished | None = None
        self._live = Live(console=self.console, auto_refresh=False, vertical_overflow="crop")
        self._shown = 0.0

    def __enter__(self) -> Watcher:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live.is_started:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        if event.row != self.row:
            return
        match event:
            case CanvasStarted():
                self.step = None
            case StepDone():
                self.step = event
                self._draw()
            case CanvasCommitted():
                self.step = _settled(self.step, event) if self.step else None
                self._draw()
                if not self.console.is_terminal:
                    self.console.print(self.render())
                self.written[event.canvas] = event.text
            case Finished():
                self.end = event
                self._draw()

    def render(self) -> RenderableType:
        """What is on the screen now: the text so far, the canvas, and the line of figures."""
        parts: list[RenderableType] = []
        if self.step is not None:
            before = "".join(text for canvas, text in self.written.items() if canvas < self.step.canvas)
            parts += [Text(one_line(before), style="dim")] if before else []
            parts += [
                draw_canvas(self.step, self.piece, self.console),
                figures(self.step, self.end),
                legend(self.console),
            ]
        return Group(*parts)

    def _draw(self) -> None:
        if not self._live.is_started:
            return
        time.sleep(max(0.0, self._shown + self.pace - time.monotonic()))
        self._live.update(self.render(), refresh=True)
        self._shown = time.monotonic()


def _settled(step: StepDone, event: CanvasCommitted) -> StepDone:
    """The canvas as it was committed, drawn as a last step in which everything is accepted."""
    live = len(event.tokens)
    tokens = [*event.tokens, *step.committed[live:]]
    return replace(step, tokens=tokens, committed=tokens, accepted=[True] * len(tokens), live=live)


def draw_canvas(step: StepDone, piece: Callable[[int], str], console: Console) -> Text:
    """The tokens of a canvas, wrapped between tokens; with a line of marks under each line where there is no colour."""
    marked = console.color_system is None or console.no_color
    lines: list[Text] = []
    for line in _wrap(step, piece, console.width):
        lines.append(Text.assemble(*((text, STYLES[kind]) for text, kind in line), no_wrap=True, overflow="crop"))
        if marked:
            lines.append(
                Text("".join(kind.mark * cell_len(text) for text, kind in line), no_wrap=True, overflow="crop")
            )
    return Text("\n").join(lines)


def _wrap(step: StepDone, piece: Callable[[int], str], width: int) -> Iterator[list[tuple[str, Kind]]]:
    """The text tokens of a canvas as lines of at most ``width`` cells."""
    line: list[tuple[str, Kind]] = []
    used = 0
    for token, kind in zip(step.tokens, kinds_of(step), strict=True):
        if kind is Kind.PADDING:
            break
        text = one_line(piece(token))
        if line and used + cell_len(text) > width:
            yield line
            line, used = [], 0
        line.append((text, kind))
        used += cell_len(text)
    yield line


def figures(step: StepDone, end: Finished | None = None) -> Text:
    """The line of figures: which canvas and step, how much is settled, how sure the model is."""
    kinds = kinds_of(step)
    settled = sum(kind in (Kind.FORCED, Kind.ACCEPTED) for kind in kinds)
    text = (
        f"canvas {step.canvas + 1} · step {step.step} · {settled} of {step.live} tokens settled · "
        f"mean entropy {mean_entropy(step):.3f} nats"
    )
    return Text(f"{text} · {end.reason}" if end else text, style="bold")


def legend(console: Console) -> Text:
    """One word for each kind, drawn as the kind is."""
    marked = console.color_system is None or console.no_color
    parts: list[Text] = [
        Text(f"{kind.mark} {kind.title}" if marked else kind.title, style=style) for kind, style in STYLES.items()
    ]
    return Text("  ").join(parts)


def film(events: Iterable[Event], piece: Callable[[int], str], console: Console, frames: int = 4) -> RenderableType:
    """A few steps of the first canvas below each other: how it settled, as one picture."""
    steps = [event for event in events if isinstance(event, StepDone) and event.row == 0 and event.canvas == 0]
    last = len(steps) - 1
    chosen = sorted({round(i * last / max(1, frames - 1)) for i in range(frames)}) if steps else []
    parts: list[RenderableType] = []
    for index in chosen:
        parts += [figures(steps[index]), draw_canvas(steps[index], piece, console), Text()]
    return Group(*parts, legend(console))


def film_svg(events: Iterable[Event], piece: Callable[[int], str], *, width: int = 100, frames: int = 4) -> str:
    """``film`` as an SVG picture that loads nothing from elsewhere."""
    from rich._export_format import CONSOLE_SVG_FORMAT

    template = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(film(events, piece, console, frames))
    svg = console.export_svg(title="structdiff", code_format=template)
    return "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"
