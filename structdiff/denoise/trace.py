"""What the denoising loop reports while it runs; views and streams read nothing else.

``row`` is the text of the batch, ``canvas`` counts from 0. In ``StepDone`` every list has one entry per position of the
canvas: ``tokens`` is the draft, ``committed`` the joint maximum so far, ``entropy`` is in nats; the first ``live``
positions are text, the rest is the tail.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CanvasStarted:
    row: int
    canvas: int
    start: int
    length: int


@dataclass(frozen=True)
class StepDone:
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
    row: int
    canvas: int
    tokens: list[int]
    text: str


@dataclass(frozen=True)
class Finished:
    row: int
    text: str
    reason: str


Event = CanvasStarted | StepDone | CanvasCommitted | Finished
