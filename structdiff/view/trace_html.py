"""A run as one HTML file that needs nothing else: a scrubber over the denoising steps of every canvas.

    events = []
    model.generate(text, schema, on_event=events.append)
    write_trace("run.html", events, piece)

The file holds the page (``trace.html`` beside this module) with the steps as JSON in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from structdiff.decode.trace import CanvasCommitted, CanvasStarted, Event, Finished, StepDone
from structdiff.view.kinds import Kind, kinds_of, mean_entropy, one_line


def write_trace(
    path: str | Path, events: Iterable[Event], piece: Callable[[int], str], *, title: str = "structdiff trace"
) -> None:
    """Writes the trace ``events`` to ``path`` as one self-contained HTML file."""
    Path(path).write_text(trace_page(events, piece, title=title), encoding="utf-8")


def trace_page(events: Iterable[Event], piece: Callable[[int], str], *, title: str = "structdiff trace") -> str:
    """The page as a string."""
    data = json.dumps({"title": title, **trace_data(events, piece)}, ensure_ascii=False, separators=(",", ":"))
    # subtle: "<" may only occur escaped, or a token "</script>" would end the data; U+2028 and U+2029 are safe in JSON.
    page = files("structdiff.view").joinpath("trace.html").read_text(encoding="utf-8")
    return page.replace("/*DATA*/null", data.replace("<", "\\u003c"))


def trace_data(events: Iterable[Event], piece: Callable[[int], str]) -> dict[str, Any]:
    """What the page shows: the kinds and their marks, the pieces by token id, each row's canvases and steps."""
    rows: dict[int, dict[str, Any]] = {}
    used: set[int] = set()
    for event in events:
        row = rows.setdefault(event.row, {"row": event.row, "canvases": [], "text": "", "reason": ""})
        canvases = row["canvases"]
        match event:
            case CanvasStarted():
                canvases.append({"canvas": event.canvas, "length": event.length, "steps": [], "text": ""})
            case StepDone():
                used.update(event.tokens, event.committed)
                canvases[-1]["steps"].append(step_data(event))
            case CanvasCommitted():
                canvases[-1]["text"] = event.text
            case Finished():
                row["text"], row["reason"] = event.text, event.reason
    return {
        "kinds": [{"mark": kind.mark, "title": kind.title, "note": kind.note} for kind in Kind],
        "pieces": {str(token): one_line(piece(token)) for token in sorted(used)},
        "rows": [rows[row] for row in sorted(rows)],
    }


def step_data(step: StepDone) -> dict[str, Any]:
    """One step as plain data: token ids, a mark a position for its kind, entropies in nats."""
    return {
        "step": step.step,
        "left": step.steps_left,
        "tokens": [int(token) for token in step.tokens],
        "best": [int(token) for token in step.committed],
        "kinds": "".join(kind.mark for kind in kinds_of(step)),
        "entropy": [round(float(value), 3) for value in step.entropy],
        "mean": round(mean_entropy(step), 4),
        "live": step.live,
    }
