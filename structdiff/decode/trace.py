"""What happened, step by step: the events that views, streams and benchmarks read. Plain data, no tensors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CanvasStarted:
    """A row begins canvas number ``canvas``; ``start`` tokens were committed before it; it has ``length`` positions."""

    row: int
    canvas: int
    start: int
    length: int


@dataclass(frozen=True)
class StepDone:
    """One denoising step of one row. All lists have L entries.

    ``tokens`` is the candidate (a joint draw), ``committed`` the joint maximum so far, ``accepted`` what was kept of
    the candidate (the rest was re-noised), ``anchors`` the fixed positions, ``entropy`` the posterior entropy in nats;
    ``live`` positions of ``committed`` are text, the rest is tail.
    """

    row: int
    canvas: int
    step: int
    steps_left: int
    tokens: list[int]
    committed: list[int]
    accepted: list[bool]
    anchors: list[bool]
    entropy: list[float]
    live: int


@dataclass(frozen=True)
class CanvasCommitted:
    """A canvas was committed: its token ids (text only) and the text they spell; a ``thought`` was written freely
    before the output and is no part of it."""

    row: int
    canvas: int
    tokens: list[int]
    text: str
    thought: bool = False


@dataclass(frozen=True)
class Finished:
    """A row is complete; ``reason`` is "stop" (or "length" for an unconstrained row that used up its budget)."""

    row: int
    text: str
    reason: str


Event = CanvasStarted | StepDone | CanvasCommitted | Finished
