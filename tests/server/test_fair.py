"""Deficit round-robin: clients get equal shares of the cost, whatever they ask for."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from structdiff.decode.engine import Spent
from structdiff.server.fair import FairQueue
from structdiff.server.lane import InTurn
from structdiff.server.schedule import Ready, Request, Schedule
from structdiff.server.shares import Shares


def test_a_client_that_asks_for_more_does_not_get_more() -> None:
    queue = FairQueue[int]()
    for i in range(60):
        queue.put("greedy", i)
    for i in range(10):
        queue.put("modest", i)
    first = [queue.take() for _ in range(20)]
    assert Counter(one.client for one in first if one) == {"greedy": 10, "modest": 10}
    assert [one.item for one in first if one and one.client == "modest"] == list(range(10))


def test_shares_are_of_cost_and_not_of_items() -> None:
    queue = FairQueue[int](quantum=1.0)
    for i in range(40):
        queue.put("large", i, cost=4)
        queue.put("small", i, cost=1)
    spent: Counter[str] = Counter()
    for _ in range(30):
        one = queue.take()
        assert one is not None
        spent[str(one.client)] += int(one.cost)
    assert abs(spent["large"] - spent["small"]) <= 4


def test_what_is_not_allowed_holds_nobody_up() -> None:
    queue = FairQueue[str]()
    queue.put("a", "no")
    queue.put("a", "yes")
    queue.put("b", "no")
    taken = queue.take(lambda one: one.item == "yes")
    assert taken is not None and taken.item == "yes" and queue.take(lambda one: one.item == "yes") is None
    assert queue.remove(lambda item: item == "no") == ["no", "no"] and len(queue) == 0 and queue.take() is None


def test_counts() -> None:
    queue = FairQueue[str]()
    queue.put("a", "1")
    queue.put("b", "2")
    queue.put("b", "3")
    assert (queue.count("b"), queue.count("c"), queue.longest(), len(queue)) == (2, 0, "b", 3)


# ------------------------------------------------------------------------------------------------- seconds of the model


class Machine:
    """An engine whose passes cost what they are told: a clock, and rows with a number of passes to go."""

    def __init__(self, base: float, each: float, quantum: float = 0.05) -> None:
        self.base, self.each, self.now = base, each, 0.0
        self.schedule = Schedule(Shares(quantum))
        self.rows: list[Ready] = []
        self.own: dict[int, float] = {}
        self.left: dict[int, int] = {}
        self.had: Counter[str] = Counter()
        self.ended: dict[int, float] = {}
        self.longest = 0.0

    def add(self, client: str, count: int, passes: int, own: float = 0.0) -> list[int]:
        request, numbers = Request(client), []
        for _ in range(count):
            number = len(self.own)
            self.rows.append(Ready(number, request, 0, own))
            self.own[number], self.left[number] = own, passes
            self.schedule.shares.enter(client)
            numbers.append(number)
        return numbers

    def drop(self, row: Ready) -> None:
        self.rows.remove(row)
        self.schedule.shares.leave(row.client)

    def step(self) -> list[Ready]:
        self.schedule.shares.refill({row.client for row in self.rows})
        chosen = self.schedule.choose(self.rows)
        assert chosen, "nobody may go"
        numbers = [row.number for row in chosen]
        shared = self.base + self.each * len(chosen)
        took = shared + sum(self.own[number] for number in numbers)
        self.now += took
        self.longest = max(self.longest, took)
        self.schedule.took(chosen, Spent(shared, frozenset(numbers), {n: self.own[n] for n in numbers}))
        for row in chosen:
            self.had[str(row.client)] += 1
            self.left[row.number] -= 1
            if not self.left[row.number]:
                self.ended[row.number] = self.now
                self.drop(row)
        return chosen

    def latency(self, client: str, count: int = 1, passes: int = 25, requests: int = 20) -> float:
        """The slowest of some requests of a client, one behind the other, beside what runs."""
        slowest = 0.0
        for _ in range(requests):
            begun, numbers = self.now, self.add(client, count, passes)
            while not set(numbers) <= self.ended.keys():
                self.step()
            slowest = max(slowest, self.now - begun)
        return slowest


@pytest.mark.parametrize(
    ("base", "each", "own"),
    [(0.008, 0.008, 0.0), (0.008, 0.008, 0.02), (0.03, 0.0005, 0.002), (0.02, 0.005, 0.12), (0.0, 0.05, 0.0)],
    ids=["a processor", "long texts", "an accelerator", "expensive grammars", "a large model on a processor"],
)
def test_beside_twelve_greedy_rows_an_honest_client_takes_less_than_three_times_as_long(
    base: float, each: float, own: float
) -> None:
    quiet = Machine(base, each).latency("honest")
    crowded = Machine(base, each)
    crowded.add("greedy", 12, 100_000, own)
    for _ in range(100):
        crowded.step()
    assert crowded.latency("honest") < 3 * quiet
    before, since = crowded.had["greedy"], crowded.now
    crowded.latency("honest")
    share = (crowded.had["greedy"] - before) * (each + own) / (crowded.now - since)
    assert crowded.had["greedy"] > before and (share > 0.3 or base > each + own)  # the greedy one is not starved


def test_rows_of_others_ride_along_where_the_model_takes_no_longer_for_them() -> None:
    machine = Machine(base=0.03, each=0.0001)
    for count in (1, 4, 8):  # what a pass of many rows costs is learned
        machine.add("warm", count, 30)
        while machine.rows:
            machine.step()
    machine.add("many", 12, 10_000)
    machine.add("one", 1, 10_000)
    for _ in range(200):
        machine.step()
    assert machine.had["one"] == 200 and machine.had["many"] > 0.95 * 12 * 200


def test_one_client_alone_has_all_its_rows_in_each_pass() -> None:
    machine = Machine(0.01, 0.02)
    machine.add("alone", 16, 50, own=0.1)
    for _ in range(50):
        assert len(machine.step()) == 16
    assert not machine.rows


def test_requests_of_one_client_share_what_it_has() -> None:
    machine = Machine(0.0, 0.02, quantum=0.06)
    large, small = machine.add("one key", 8, 10_000), machine.add("one key", 1, 30)
    machine.add("another", 4, 10_000)
    steps = 0
    while small[0] not in machine.ended:
        machine.step()
        steps += 1
    assert steps <= 70 and all(machine.left[number] < 10_000 for number in large)  # all of them get on


def test_a_client_that_hangs_up_and_comes_back_has_not_lost_its_debt() -> None:
    machine = Machine(0.01, 0.0)
    machine.add("honest", 1, 10_000)
    machine.add("rude", 1, 10_000, own=1.0)
    while not any(row.client == "rude" for row in machine.step()):
        pass
    machine.drop(next(row for row in machine.rows if row.client == "rude"))
    machine.add("rude", 1, 10_000, own=1.0)
    since = machine.now
    while not any(row.client == "rude" for row in machine.step()):
        pass
    assert machine.now - since > 0.9 + 1.0  # as long as its last pass, then the pass itself


def test_a_pass_is_no_longer_than_the_seconds_that_its_clients_have_left() -> None:
    machine = Machine(0.005, 0.005)
    machine.add("a", 8, 200, own=0.02)
    machine.add("b", 8, 200, own=0.02)
    for _ in range(30):
        machine.step()
    machine.longest = 0.0
    for _ in range(200):
        machine.step()
    assert machine.longest < 2 * 0.05 + 2 * 0.025 + 0.03  # a quantum of each and a row, not sixteen rows


def test_a_large_debt_is_paid_at_once_where_nobody_else_waits() -> None:
    shares = Shares(quantum=0.05)
    shares.enter("a")
    shares.charge("a", 1000.0)
    shares.refill(["a"])
    assert 0 < shares.left("a") <= 0.05
    shares.leave("a")
    shares.enter("b")
    shares.charge("b", 1.0)
    shares.refill(["b"])
    assert shares.left("a") == shares.quantum  # nothing is kept of a client that is gone and owes nothing


def test_a_lock_goes_to_whoever_asked_first() -> None:
    lock, order, asked = InTurn(), list[int](), threading.Event()

    def again() -> None:
        asked.wait()
        for _ in range(3):
            with lock:
                order.append(1)

    def once(number: int) -> None:
        with lock:
            order.append(number)

    with lock:
        threads = [threading.Thread(target=again)]
        threads[0].start()
        asked.set()
        while not lock._waiting:
            time.sleep(0.001)
        for number in (2, 3):
            threads.append(threading.Thread(target=once, args=(number,)))
            threads[-1].start()
            while len(lock._waiting) < number:
                time.sleep(0.001)
    for thread in threads:
        thread.join(10)
    assert order[:3] == [1, 2, 3] and sorted(order) == [1, 1, 1, 2, 3]
