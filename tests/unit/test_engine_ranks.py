"""Two processes of one model: rank 0 decides a row, and the other shows the same canvases whatever it computed."""

from __future__ import annotations

import threading
from multiprocessing import get_context
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest
import torch

from structdiff.decode.session import CanvasSession
from structdiff.engines.ranks import Alone, FollowedRow, Group, told
from structdiff.engines.row import EngineRow
from structdiff.models.protocol import DenoiserSpec
from structdiff.testing.tiny import tiny

OUTPUTS, PIECES = "abababab|bbabbab|aabbaabbaabb|b", ["a", "b", "ab"]
LENGTH, END, MARKER = 4, 3, 5


def decided_row() -> EngineRow:
    spec = DenoiserSpec(LENGTH, vocab_size=4, context_length=99, self_conditioning=False)
    return EngineRow("r", lambda: CanvasSession(tiny(OUTPUTS), (END,), 12, spec), length=LENGTH, end=END, marker=MARKER)


def written(rank: int, ranks: Any) -> list[int]:
    """The tokens that an engine writes for a row on a rank, whose logits are its own."""
    row: Any = FollowedRow("r", length=LENGTH, end=END) if rank else decided_row()
    generator = torch.Generator().manual_seed(rank)
    tokens: list[int] = []

    def tell() -> None:
        line = ranks.share(told(row, LENGTH))
        if isinstance(row, FollowedRow):
            row.follow(line)

    tell()
    for _ in range(200):
        if row.done:
            tokens += row.shown.tolist()
            if END in tokens:
                return tokens
            row.committed(LENGTH)
        else:
            logits = torch.randn(LENGTH, 4, generator=generator) * 6
            row.consider_ahead(logits)
            row.observe(logits)
        tell()
    raise AssertionError("the row does not end")


def process(rank: int, store: str, out: Any) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    out.put((rank, written(rank, Group(torch.distributed.group.WORLD, rank, 0))))
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch is built without gloo")
def test_two_processes_write_what_rank_0_decides(tmp_path: Path) -> None:
    context = get_context("spawn")
    out = context.Queue()
    processes = [context.Process(target=process, args=(rank, str(tmp_path / "store"), out)) for rank in range(2)]
    for one in processes:
        one.start()
    found = dict(out.get(timeout=120) for _ in processes)
    for one in processes:
        one.join(60)
    assert found[0] == found[1] == written(0, Alone())
    text = "".join(PIECES[token] for token in found[0][: found[0].index(END)])
    assert text in OUTPUTS.split("|")


def test_a_follower_s_own_logits_decide_nothing() -> None:
    class Mailbox:
        def __init__(self, sent: Queue[np.ndarray], rank: int) -> None:
            self.sent, self.rank = sent, rank

        def share(self, values: np.ndarray) -> np.ndarray:
            if self.rank:
                return self.sent.get(timeout=60)
            self.sent.put(values.copy())
            return values

    sent: Queue[np.ndarray] = Queue()
    first: list[list[int]] = []
    leader = threading.Thread(target=lambda: first.append(written(0, Mailbox(sent, 0))))
    leader.start()
    assert [written(1, Mailbox(sent, 1))] == (leader.join() or first)  # type: ignore[func-returns-value]


def test_a_row_that_failed_is_shown_as_such_on_every_rank() -> None:
    def build() -> CanvasSession:
        raise ValueError("no")

    row = EngineRow("r", build, length=3, end=END, marker=MARKER)
    other = FollowedRow("r", length=3, end=END)
    other.follow(told(row, 5))
    assert other.done and other.shown.tolist() == row.shown.tolist() == [MARKER, END, END]
    other.committed(3, length=2)
    assert not other.done and other.length == 2
