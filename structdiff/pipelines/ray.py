"""The extractor on Ray: `map_batches` over a pool of actors, each with a model of its own.

The unit of work is a chunk of records, as in a local run, so that texts meet the same neighbours and rows come out the
same. An actor that dies is started anew and its chunk done again (Ray's restarts and retries).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from structdiff.pipelines.answers import Answer
from structdiff.pipelines.extractor import Factory
from structdiff.pipelines.places import InputError
from structdiff.pipelines.records import Record

WINDOW = 4096
"""Chunks handed to one Ray Data run; the driver holds the texts of so many."""


class Worker:
    """What an actor runs: batches of chunks, as JSON text, to the answers of each, as JSON text.

    ``batch["chunk"]`` holds lists of records as dicts; usable as the class of any `Dataset.map_batches`.
    """

    def __init__(self, factory: Factory) -> None:
        self.extract = factory()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        chunks = [[Record(**record) for record in json.loads(chunk)] for chunk in batch["chunk"]]
        return {"rows": [json.dumps([answer.asdict() for answer in self.extract(chunk)]) for chunk in chunks]}


def extract_chunks(
    factory: Factory,
    chunks: Iterable[Sequence[Record]],
    *,
    workers: int = 1,
    address: str | None = None,
    **resources: Any,
) -> Iterator[list[Answer]]:
    """The answers to each chunk, in order, from ``workers`` actors.

    ``address`` is that of a Ray cluster (default: the one at hand, else one on this machine); ``resources`` go to
    `Dataset.map_batches`, such as ``num_gpus=1`` for each actor. Raises `InputError` where Ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError("this engine needs Ray: pip install 'structdiff[ray]'") from error
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False, include_dashboard=False)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    left = iter(chunks)
    while window := list(islice(left, WINDOW)):
        items = [{"chunk": json.dumps([asdict(record) for record in chunk])} for chunk in window]
        rows = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            Worker, fn_constructor_args=(factory,), batch_size=1, concurrency=workers, **resources
        )
        for row in rows.iter_rows():
            yield [Answer(**answer) for answer in json.loads(row["rows"])]
