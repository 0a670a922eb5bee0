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
from structdiff.decode.engine import Outcome, Task, check_fits
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
    """(number of the item, its output) under a decoder, as they are finished; an item beyond the context is refused."""
    prompts, fitting = [encoded(model, one) for one in items], []
    for number, prompt in enumerate(prompts):
        try:
            check_fits(model.denoiser, len(prompt), budget)
            fitting.append(number)
        except StructdiffError as error:
            yield number, _refused(error)
    asked, prompts = [items[number] for number in fitting], [prompts[number] for number in fitting]
    if isinstance(model.denoiser, Denoiser):
        found = denoised(model, decoder, asked, prompts, budget, together)
    elif decoder in OURS:
        found = ours(model, OURS[decoder], [one.source for one in asked], prompts, budget, together)
    else:
        plain = [one.source if one.plain is None else one.plain for one in asked]
        found = write(model, LIBRARIES[decoder](model), plain, prompts, budget, together)
    yield from ((fitting[number], written) for number, written in found)


def _refused(error: StructdiffError) -> Written:
    return Written(error=f"{type(error).__name__}: {error}")


def encoded(model: structdiff.Model, item: Item) -> list[int]:
    """The prompt: the same for every decoder. A source that structdiff refuses is shown as it is."""
    try:
        message = model.prompt(item.text, model.compile(item.source), item.instructions)
    except StructdiffError:
        message = f"{item.instructions}\n{item.source}\n\nText:\n{item.text}".strip()
    return model.encode_prompt(message)


def denoised(
    model: structdiff.Model, decoder: str, items: list[Item], prompts: list[list[int]], budget: int, together: int
) -> Iterator[tuple[int, Written]]:
    """Outputs of a model that denoises, ``together`` rows at a time; refused items are told as such."""
    waiting: list[tuple[int, Task]] = []
    for number, (item, prompt) in enumerate(zip(items, prompts, strict=True)):
        try:
            waiting.append((number, task_of(model, decoder, item, prompt, budget, number)))
        except StructdiffError as error:
            yield number, _refused(error)
    for at in range(0, len(waiting), together):
        some = waiting[at : at + together]
        for (number, _), outcome in zip(some, denoise(model, decoder, [task for _, task in some]), strict=True):
            yield number, Written(model.spell(outcome.tokens), outcome.reason == "stop", outcome.steps)


def task_of(model: structdiff.Model, decoder: str, item: Item, prompt: list[int], budget: int, seed: int) -> Task:
    """The row of an item. Raises `StructdiffError` where it is refused, or does not fit the context."""
    if decoder == FREE:
        return Task(prompt, None, budget, seed, model.vocabulary.end_ids, model.spell)
    constraint = model.compile(item.source)
    task = model.row(prompt, constraint, max(budget, constraint.min_tokens), seed)
    check_fits(model.denoiser, len(prompt), task.max_tokens)
    return replace(task, on_commit=())  # outputs outside the language have no fields


def denoise(model: Any, decoder: str, tasks: list[Task]) -> list[Outcome]:
    if decoder not in BASELINES:
        return run(model.denoiser, tasks, replace(model.policy, **ARMS.get(decoder, {})))
    engine = Denoising(model.denoiser, replace(model.policy, verify=False), sampler=BASELINES[decoder])
    for number, task in enumerate(tasks):
        task.number = number
        engine.add(task)
    return sorted(engine.run(), key=lambda outcome: outcome.task.number)
