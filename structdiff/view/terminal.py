"""The canvas settling in a terminal: forced tokens, accepted, drafts and noise told apart, step by step.

    with Watcher(piece) as watcher:
        model.generate(text, schema, on_event=watcher)

``piece(token_id) -> str`` gives a token's text. Where the terminal has no colour, a line of marks under each line of
tokens says the same; where there is no terminal at all, only the last step of each canvas is printed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from structdiff.decode.trace import CanvasCommitted, CanvasStarted, Event, Finished, StepDone
from structdiff.view.kinds import Kind, committed, lines_of, mean_entropy, one_line, settled

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
                self.step = committed(self.step, event) if self.step else None
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


def draw_canvas(step: StepDone, piece: Callable[[int], str], console: Console) -> Text:
    """The tokens of a canvas, wrapped between tokens; with a line of marks under each line where there is no colour."""
    marked = console.color_system is None or console.no_color
    lines: list[Text] = []
    for line in lines_of(step, piece, console.width):
        lines.append(Text.assemble(*((text, STYLES[kind]) for text, kind in line), no_wrap=True, overflow="crop"))
        if marked:
            lines.append(
                Text("".join(kind.mark * cell_len(text) for text, kind in line), no_wrap=True, overflow="crop")
            )
    return Text("\n").join(lines)


def figures(step: StepDone, end: Finished | None = None) -> Text:
    """The line of figures: which canvas and step, how much is settled, how sure the model is."""
    text = (
        f"canvas {step.canvas + 1} · step {step.step} · {settled(step)} of {step.live} tokens settled · "
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
