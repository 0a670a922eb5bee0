"""A predicted value against the gold one, leaf by leaf.

The leaves are the gold value's scalars, its empty arrays, and every property that the schema lists and the gold value
leaves out or sets to null (kind "null"; null, absent and the empty array all say "there is nothing" and count as the
same). Each is *right*, *wrong*, *omitted* (the prediction has nothing where gold has a value) or *invented* (the
prediction has a value where gold has nothing). What a prediction has beyond the gold value is invented as well, one
leaf for each scalar, so that a value can have more leaves than its gold.

Nothing is right inside an object or an array element that the prediction does not have: its absent fields too are
omitted.

Arrays are aligned before their leaves are counted. Elements that are scalars keep their order: as many as can be are
right, then as many as can be are paired. Other elements are assigned freely, so that the most leaves are right, and
among such assignments the least displaced; their order is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from structdiff.evaluation.alignment import align_in_order, assign
from structdiff.evaluation.judging import check_rules, rule_of
from structdiff.frontends.json_schema.places import listed_names, subschemas

Outcome = Literal["right", "wrong", "invented", "omitted"]
OUTCOMES: tuple[Outcome, ...] = ("right", "wrong", "invented", "omitted")
KINDS = ("string", "format", "number", "integer", "boolean", "enum", "null")


@dataclass(frozen=True)
class Leaf:
    """One compared place: its JSON Pointer in the gold value, its kind, its outcome, and both values.

    The kind is that of the gold value; "format" is a string whose schema names a format, "enum" a value out of a list,
    "null" nothing. A leaf beyond the gold value has the kind of the prediction and its place there.
    """

    pointer: str
    kind: str
    outcome: Outcome
    gold: Any = None
    predicted: Any = None


def compare(predicted: Any, gold: Any, schema: Any) -> list[Leaf]:
    """The leaves of a predicted value against gold under a JSON Schema; None for a prediction that failed.

    >>> schema = {"properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "mail": {"type": "string"}}}
    >>> for leaf in compare({"name": "Ann.", "age": 13}, {"name": "Ann", "age": 31}, schema):
    ...     print(leaf.pointer, leaf.kind, leaf.outcome)
    /name string right
    /age integer wrong
    /mail null right

    Raises `InvalidSchema` where the schema has an ``x-judge`` that is no rule.
    """
    check_rules(schema)
    return list(_Comparison(schema).leaves(predicted, gold, ""))


def count_gold(gold: Any, schema: Any) -> int:
    """How many leaves the gold value has, which is the breadth of the task.

    >>> count_gold({"tags": ["a", "b"], "size": None}, {"properties": {"tags": {}, "size": {}, "note": {}}})
    4
    """
    return len(compare(gold, gold, schema))


class _Comparison:
    """Compares values under one schema; what the schema says of a place is looked up once."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema
        self._parts: dict[str, list[dict[str, Any]]] = {}

    def parts(self, pointer: str) -> list[dict[str, Any]]:
        """The schemas of a place of the value."""
        if pointer not in self._parts:
            self._parts[pointer] = subschemas(self.schema, pointer)
        return self._parts[pointer]

    def leaves(self, predicted: Any, gold: Any, pointer: str) -> Iterator[Leaf]:
        """The leaves of one place and all below it."""
        if isinstance(gold, dict):
            names = dict.fromkeys([*listed_names(self.schema, pointer), *gold])
            if names:
                yield from self._object(predicted, gold, pointer, list(names))
                return
        if gold is None or gold == [] or gold == {}:
            yield from self._nothing(predicted, pointer)
        elif isinstance(gold, list):
            yield from self._array(predicted, gold, pointer)
        else:
            yield self._scalar(predicted, gold, pointer)

    def _scalar(self, predicted: Any, gold: Any, pointer: str) -> Leaf:
        kind = self.kind(gold, pointer)
        if predicted is None or predicted == [] or predicted == {}:
            return Leaf(pointer, kind, "omitted", gold, None)
        rule = rule_of(self.parts(pointer))
        right = not isinstance(predicted, dict | list) and rule.same(predicted, gold)
        return Leaf(pointer, kind, "right" if right else "wrong", gold, predicted)

    def _nothing(self, predicted: Any, pointer: str) -> Iterator[Leaf]:
        invented = list(self.invented(predicted, pointer))
        yield from invented or [Leaf(pointer, "null", "right")]

    def _object(self, predicted: Any, gold: dict[str, Any], pointer: str, names: list[str]) -> Iterator[Leaf]:
        if not isinstance(predicted, dict):
            yield from self.missed(gold, pointer, predicted)
            return
        for name in names:
            yield from self.leaves(predicted.get(name), gold.get(name), _below(pointer, name))
        for name, value in predicted.items():
            if name not in names:
                yield from self.invented(value, _below(pointer, name))

    def _array(self, predicted: Any, gold: list[Any], pointer: str) -> Iterator[Leaf]:
        if not isinstance(predicted, list):
            yield from self.missed(gold, pointer, predicted)
            return
        pairs = self.align(predicted, gold, pointer)
        for i, (one, j) in enumerate(zip(gold, pairs, strict=True)):
            here = _below(pointer, i)
            yield from self.missed(one, here, None) if j is None else self.leaves(predicted[j], one, here)
        for j in sorted(set(range(len(predicted))) - {j for j in pairs if j is not None}):
            beyond = _below(pointer, j)
            yield from list(self.invented(predicted[j], beyond)) or [Leaf(beyond, "null", "invented")]

    def align(self, predicted: list[Any], gold: list[Any], pointer: str) -> list[int | None]:
        """The predicted element of each gold element, if there is one."""

        def agreement(i: int, j: int) -> int:
            return sum(leaf.outcome == "right" for leaf in self.leaves(predicted[j], gold[i], _below(pointer, i)))

        scores = [[agreement(i, j) for j in range(len(predicted))] for i in range(len(gold))]
        plain = not any(isinstance(one, dict | list) for one in [*predicted, *gold])
        return align_in_order(scores) if plain else assign(scores)

    def missed(self, gold: Any, pointer: str, predicted: Any) -> Iterator[Leaf]:
        """All leaves of a gold value that the prediction does not have, or has something of another type for."""
        outcome: Outcome = "omitted" if predicted is None or predicted == [] or predicted == {} else "wrong"
        for leaf in self.leaves(gold, gold, pointer):
            yield replace(leaf, outcome=outcome, predicted=None)

    def invented(self, predicted: Any, pointer: str) -> Iterator[Leaf]:
        """A leaf for each scalar of a prediction for which gold has nothing."""
        if isinstance(predicted, dict):
            for name, value in predicted.items():
                yield from self.invented(value, _below(pointer, name))
        elif isinstance(predicted, list):
            for i, value in enumerate(predicted):
                yield from self.invented(value, _below(pointer, i))
        elif predicted is not None:
            yield Leaf(pointer, self.kind(predicted, pointer), "invented", None, predicted)

    def kind(self, value: Any, pointer: str) -> str:
        """What sort of leaf a scalar is."""
        parts = self.parts(pointer)
        if any("enum" in part or "const" in part for part in parts):
            return "enum"
        if isinstance(value, bool):
            return "boolean"
        if isinstance(value, str):
            return "format" if any("format" in part for part in parts) else "string"
        types = [part["type"] for part in parts if "type" in part]
        if any("number" in (one if isinstance(one, list) else [one]) for one in types):
            return "number"
        return "integer" if isinstance(value, int) or "integer" in types else "number"


def _below(pointer: str, token: str | int) -> str:
    return f"{pointer}/{str(token).replace('~', '~0').replace('/', '~1')}"
