"""Deficit round-robin: clients get equal shares of the cost, whatever they ask for."""

from __future__ import annotations

from collections import Counter

from structdiff.server.fair import FairQueue


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
