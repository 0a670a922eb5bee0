"""uniqueItems over any items: what is written differs, for every judge; the judge is `jsonschema`."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import jsonschema
import pytest

from benchmarks.fuzz_schemas import random_texts
from structdiff.automata.compiling import compile_tree
from structdiff.core.errors import UnsupportedSchema
from structdiff.frontends.json_schema import compile_schema, json_schema_tree

Schema = dict[str, Any]


def unique(items: Any, **others: Any) -> Schema:
    return {"type": "array", "items": items, "uniqueItems": True, **others}


PAIR = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "boolean"}}}
CASES = [  # a schema, items of which arrays are made
    (unique({"type": "string"}), ["a", "b", "ab", "ba", "é", "\u001f", "n", 1]),
    (unique({"type": "string", "maxLength": 2}, minItems=2, maxItems=3), ["a", "b", "ab", "ba", "c"]),
    (unique({"type": "integer"}, minItems=2), [1, 2, 10, 12, 21, -1]),
    (unique({"type": "number"}), [1, 1.5, 0.5, 2, -0.5, 15, 0.25]),
    (unique({"type": ["integer", "boolean", "null", "string"]}), [1, True, 0, False, None, "1"]),
    (unique(PAIR), [{"a": 1}, {"b": True}, {"a": 1, "b": False}, {}, {"a": 2}, {"a": 11}]),
    (unique({"type": "array", "items": {"type": "integer"}}), [[], [1], [2], [1, 2], [2, 1]]),
    (unique({}), [1, "1", None, [1], {"a": 1}]),
    (unique({"type": "string"}, prefixItems=[{"type": "integer"}]), [1, "1", "a", "b", 2]),
    (unique({"type": "integer", "minimum": 1, "maximum": 49}), [1, 2, 3, 10, 49, 50]),
    (unique({"enum": list(range(400))}), [1, 2, 30, 399, 400]),
]


@pytest.mark.parametrize(("schema", "pool"), CASES, ids=lambda case: json.dumps(case)[:60])
def test_small_arrays_are_written_only_if_their_items_differ(schema: Schema, pool: list[Any]) -> None:
    judge = jsonschema.Draft202012Validator(schema)
    node, restrictions = compile_schema(schema)
    automaton = compile_tree(node)
    assert "uniqueItems" in {one.keyword for one in restrictions}
    count = {1: [0, 0], 2: [0, 0]}
    for items in itertools.chain.from_iterable(itertools.product(pool, repeat=n) for n in range(4)):
        valid, written = (
            judge.is_valid(list(items)),
            automaton.accepts(json.dumps(list(items), ensure_ascii=False).encode()),
        )
        assert valid or not written, items
        if valid and len(items) in count:
            count[len(items)][0] += 1
            count[len(items)][1] += written
    assert count[1][0] == count[1][1]
    assert count[2][1] > 0.4 * count[2][0]  # the order of some is given


@pytest.mark.parametrize(
    "options", [{}, {"ascii_only": True}, {"whitespace": "pretty"}, {"extra_properties": "schema"}]
)
@pytest.mark.parametrize("schema", [schema for schema, _ in CASES], ids=lambda schema: json.dumps(schema)[:60])
def test_every_text_is_valid(schema: Schema, options: dict[str, Any]) -> None:
    if not schema["items"] and options:
        return  # free items are large; once is enough
    judge = jsonschema.Draft202012Validator(schema)
    automaton = compile_tree(json_schema_tree(schema, **options))
    sizes = set()
    for text in random_texts(automaton, random.Random(0), 40, 300):
        value = json.loads(text)
        sizes.add(len(value))
        assert judge.is_valid(value), text
    assert max(sizes) > 1


def test_equal_values_in_two_spellings_are_not_both_written() -> None:
    numbers = compile_tree(json_schema_tree(unique({"type": "number"})))
    objects = compile_tree(json_schema_tree(unique({"type": "object"}), whitespace="json"))
    assert numbers.accepts(b"[1, 2.5]")
    for text in ("[1, 1.0]", "[0, -0]", "[0.5, 0.50]", "[0.1, 0.10000000000000000555]", "[1, 1]"):
        assert not numbers.accepts(text.encode())
    texts = compile_tree(json_schema_tree(unique({"type": "string"}), ascii_only=True))
    assert texts.accepts(b'["\\u00e9"]') and not texts.accepts(b'["\\u00e9", "\\u00E9"]')
    for text in ('[{"a": 1, "b": 2}, {"b": 2, "a": 1}]', '[{"a": 1}, {"a":1}]', '[{"a": [1]}, {"a": [ 1 ]}]'):
        assert not objects.accepts(text.encode())
    assert objects.accepts(b'[{"a": 1, "b": 2}, {"b": 2, "a": 2}]')


def test_items_come_in_any_order_and_there_may_be_many() -> None:
    automaton = compile_tree(json_schema_tree(unique({"type": "string"})))
    for names in itertools.permutations(("red", "green", "blue")):
        assert automaton.accepts(json.dumps(names).encode())
    by_sum = sorted("abcdefghijklm", key=lambda letter: compile_order(letter))
    assert automaton.accepts(json.dumps(by_sum).encode()) and not automaton.accepts(json.dumps([*by_sum, "n"]).encode())


def compile_order(letter: str) -> int:
    """The checksum of one letter between quotes, modulo 13, by arithmetic."""
    total = 0
    for byte in f'"{letter}"'.encode():
        total = (2 * total + byte) % 13
    return total


def test_what_cannot_be_told_apart_is_refused_with_its_place() -> None:
    for items, others, reason in (
        ({"type": "string"}, {"contains": {}}, "together with contains"),
        ({"type": "string", "x-verbatim": True}, {}, "taken from the text"),
        ({"type": "string"}, {"minItems": 43}, "more than 42"),
    ):
        with pytest.raises(UnsupportedSchema, match=reason) as caught:
            compile_schema({"type": "object", "properties": {"t": unique(items, **others)}})
        assert caught.value.pointer == "/properties/t"


@pytest.mark.parametrize("low", [2, 6, 9])
def test_so_many_added_keys_differ(low: int) -> None:
    schema = {"type": "object", "additionalProperties": {"type": "null"}, "minProperties": low}
    automaton = compile_tree(json_schema_tree(schema))
    made = {len(json.loads(text)) for text in random_texts(automaton, random.Random(1), 20, 300)}
    assert made and min(made) >= low
    by_sum = sorted("abcdefghijklm", key=lambda letter: ord(letter) % (low + 4 if low > 4 else 5 if low > 2 else 8))
    letters = [
        letter for n, letter in enumerate(by_sum) if n < 1 or ord(letter) % (low + 4) != ord(by_sum[n - 1]) % (low + 4)
    ]
    assert automaton.accepts(json.dumps(dict.fromkeys(letters if low > 4 else by_sum)).encode())
    assert not automaton.accepts(json.dumps(dict.fromkeys("ab"[: low - 1])).encode())
