"""The decoders that a model can be measured with: from left to right, and denoised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import structdiff
from benchmarks.bakeoff import ARMS, BASELINES
from benchmarks.libraries import LIBRARIES, OURS, Written, ours, write
from benchmarks.public.sets import Item
from structdiff.core.errors import StructdiffError
from structdiff.decode.engine import Outcome, Task
from structdiff.decode.loop import Denoising, run
from structdiff.models.protocol import Denoiser

FREE, STRUCTDIFF = "no constraint", "structdiff"
CANVAS_ARMS = ("joint maximum each step (DINGO)", "gamma 0.15 to 1", "gamma 1", "not verified")
"""Arms of `benchmarks.bakeoff` that are decoders by themselves."""


def decoders_of(model: structdiff.Model) -> tuple[str, ...]:
    """The names of what a model can be measured with.

    >>> decoders_of(structdiff.load("tiny"))[:2]
    ('no constraint', 'independent masks')
    """
    if isinstance(model.denoiser, Denoiser):
        return (FREE, *BASELINES, *CANVAS_ARMS, STRUCTDIFF)
    return (*LIBRARIES, *OURS)


def outputs(
    model: structdiff.Model, decoder: str, items: list[Item], budget: int, together: int
) -> Iterator[tuple[int, Written]]:
    """(number of the item, its output) under a decoder, as they are finished."""
    if isinstance(model.denoiser, Denoiser):
        yield from denoised(model, decoder, items, budget, together)
        return
    prompts = [encoded(model, one) for one in items]
    if decoder in OURS:
        yield from ours(model, OURS[decoder], [one.source for one in items], prompts, budget, together)
    else:
        plain = [one.source if one.plain is None else one.plain for one in items]
        yield from write(model, LIBRARIES[decoder](model), plain, prompts, budget, together)


def encoded(model: structdiff.Model, item: Item) -> list[int]:
    """The prompt: the same for every decoder. A source that structdiff refuses is shown as it is."""
    try:
        message = model.prompt(item.text, model.compile(item.source), item.instructions)
    except StructdiffError:
        message = f"{item.instructions}\n{item.source}\n\nText:\n{item.text}".strip()
    return model.encode_prompt(message)


def denoised(
    model: structdiff.Model, decoder: str, items: list[Item], budget: int, together: int
) -> Iterator[tuple[int, Written]]:
    """Outputs of a model that denoises, ``together`` rows at a time; refused items are told as such."""
    waiting: list[tuple[int, Task]] = []
    for number, item in enumerate(items):
        try:
            waiting.append((number, task_of(model, decoder, item, budget, number)))
        except StructdiffError as error:
            yield number, Written(error=f"{type(error).__name__}: {error}")
    for at in range(0, len(waiting), together):
        some = waiting[at : at + together]
        for (number, _), outcome in zip(some, denoise(model, decoder, [task for _, task in some]), strict=True):
            yield number, Written(model.spell(outcome.tokens), outcome.reason == "stop", outcome.steps)


def task_of(model: structdiff.Model, decoder: str, item: Item, budget: int, seed: int) -> Task:
    if decoder == FREE:
        return Task(encoded(model, item), None, budget, seed, model.vocabulary.end_ids, model.spell)
    constraint = model.compile(item.source)
    task = model.row(encoded(model, item), constraint, max(budget, constraint.min_tokens), seed)
    return replace(task, on_commit=())  # outputs outside the language have no fields


def denoise(model: Any, decoder: str, tasks: list[Task]) -> list[Outcome]:
    if decoder not in BASELINES:
        return run(model.denoiser, tasks, replace(model.policy, **ARMS.get(decoder, {})))
    engine = Denoising(model.denoiser, replace(model.policy, verify=False), sampler=BASELINES[decoder])
    for number, task in enumerate(tasks):
        task.number = number
        engine.add(task)
    return sorted(engine.run(), key=lambda outcome: outcome.task.number)
