"""Scores worked out by hand, and alignment against brute force and SciPy."""

import itertools
import json
import random

import pytest

from structdiff.core.errors import GenerationError, InvalidSchema
from structdiff.evaluation.alignment import align_in_order, assign
from structdiff.evaluation.judging import Rule
from structdiff.evaluation.overlaps import overlaps
from structdiff.evaluation.run import Example, evaluate, read_examples
from structdiff.evaluation.scoring import compare, count_gold
from structdiff.evaluation.summary import Scored, bootstrap, summarise, wilson

TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
PERSON = {
    "type": "object",
    "properties": {
        "name": TEXT,
        "age": WHOLE,
        "email": {"type": ["string", "null"]},
        "born": {"type": "string", "format": "date"},
        "role": {"enum": ["chair", "guest"]},
        "tags": {"type": "array", "items": TEXT},
        "nick": TEXT,
    },
    "required": ["name", "age", "email", "born", "role", "tags"],
}
ANN = {"name": "Ann Ray", "age": 31, "email": None, "born": "1990-02-03", "role": "chair", "tags": ["a", "b", "c"]}


def outcomes(predicted, gold, schema):
    return {leaf.pointer: (leaf.kind, leaf.outcome) for leaf in compare(predicted, gold, schema)}


def counts(predicted, gold, schema):
    """right, wrong, invented, omitted"""
    found = [leaf.outcome for leaf in compare(predicted, gold, schema)]
    return tuple(found.count(one) for one in ("right", "wrong", "invented", "omitted"))


def test_each_outcome_of_a_flat_object():
    predicted = {"name": "Ann Ray.", "age": 13, "email": "a@b.c", "born": "1990-02-03", "tags": ["a", "x", "c"]}
    assert outcomes(predicted, ANN, PERSON) == {
        "/name": ("string", "right"),
        "/age": ("integer", "wrong"),
        "/email": ("string", "invented"),
        "/born": ("format", "right"),
        "/role": ("enum", "omitted"),
        "/tags/0": ("string", "right"),
        "/tags/1": ("string", "wrong"),
        "/tags/2": ("string", "right"),
        "/nick": ("null", "right"),
    }


def test_gold_against_itself_is_right_and_counts_absent_properties():
    assert counts(ANN, ANN, PERSON) == (9, 0, 0, 0)
    assert count_gold(ANN, PERSON) == 9


def test_null_absent_and_the_empty_array_are_the_same_nothing():
    schema = {"properties": {"a": TEXT, "b": {"type": "array", "items": TEXT}}}
    for gold, predicted in itertools.product([{}, {"a": None}, {"b": []}, {"a": None, "b": []}], repeat=2):
        assert counts(predicted, gold, schema) == (2, 0, 0, 0)
    assert counts({"a": "x", "b": ["y", "z"]}, {}, schema) == (0, 0, 3, 0)
    assert counts({"b": None}, {"a": "x", "b": ["y", "z"]}, schema) == (0, 0, 0, 3)


def test_a_failed_prediction_omits_every_leaf_those_of_absent_properties_too():
    assert counts(None, ANN, PERSON) == (0, 0, 0, 9)
    assert counts("Ann", ANN, PERSON) == (0, 9, 0, 0)


def test_scalars_in_arrays_keep_their_order():
    schema = {"type": "array", "items": TEXT}
    assert counts(["b", "c"], ["a", "b", "c"], schema) == (2, 0, 0, 1)
    assert counts(["a", "x", "b", "c"], ["a", "b", "c"], schema) == (3, 0, 1, 0)
    assert counts(["b", "a"], ["a", "b"], schema) == (1, 0, 1, 1)
    assert counts(["c", "b", "a"], ["a", "b", "c"], schema) == (1, 2, 0, 0)
    assert counts(["x", "y"], ["a", "b", "c"], schema) == (0, 2, 0, 1)


def test_objects_in_arrays_are_assigned_by_their_right_leaves():
    schema = {"type": "array", "items": {"properties": {"item": TEXT, "count": WHOLE, "note": TEXT}}}
    gold = [{"item": "lamp", "count": 2}, {"item": "chair", "count": 4}, {"item": "desk", "count": 1, "note": "oak"}]
    predicted = [{"item": "desk", "count": 1}, {"item": "lamp", "count": 3}]
    # lamp: item and absent note right, count wrong; desk: note omitted; chair: all three omitted, the absent note too
    assert counts(predicted, gold, schema) == (4, 1, 0, 4)
    assert outcomes(predicted, gold, schema)["/0/count"] == ("integer", "wrong")
    extra = [*gold, {"item": "sofa", "count": 9}]
    assert counts(extra, gold, schema) == (9, 0, 2, 0)
    assert counts([*gold, {}], gold, schema) == (9, 0, 1, 0)


def test_arrays_in_arrays_are_aligned_at_both_levels():
    schema = {"type": "array", "items": {"properties": {"day": TEXT, "shows": {"type": "array", "items": TEXT}}}}
    gold = [{"day": "Mon", "shows": ["p", "q"]}, {"day": "Tue", "shows": []}]
    predicted = [{"day": "Tue", "shows": ["r"]}, {"day": "Mon", "shows": ["q"]}]
    assert outcomes(predicted, gold, schema) == {
        "/0/day": ("string", "right"),
        "/0/shows/0": ("string", "omitted"),
        "/0/shows/1": ("string", "right"),
        "/1/day": ("string", "right"),
        "/1/shows/0": ("string", "invented"),
    }


def test_an_absent_object_is_one_leaf_and_an_invented_one_as_many_as_it_has_values():
    schema = {"properties": {"owner": {"type": ["object", "null"], "properties": {"name": TEXT, "town": TEXT}}}}
    assert counts({"owner": {"name": None}}, {"owner": None}, schema) == (1, 0, 0, 0)
    assert counts({"owner": {"name": "Bo", "town": "Ulm"}}, {"owner": None}, schema) == (0, 0, 2, 0)
    assert counts({}, {"owner": {"name": "Bo"}}, schema) == (0, 0, 0, 2)
    assert counts({"owner": {}}, {"owner": {"name": "Bo"}}, schema) == (1, 0, 0, 1)


def test_properties_that_the_schema_does_not_list_are_invented():
    assert counts({"a": "x", "b": "y", "c": None}, {"a": "x"}, {"properties": {"a": TEXT}}) == (1, 0, 1, 0)


def test_kinds_come_from_the_schema_and_the_gold_value():
    schema = {
        "properties": {
            "n": {"type": "number"}, "i": WHOLE, "b": {"type": "boolean"}, "e": {"type": "string", "enum": ["x"]},
            "f": {"$ref": "#/$defs/day"}, "s": {"anyOf": [TEXT, {"type": "null"}]}, "z": {"enum": ["y", None]},
        },
        "$defs": {"day": {"type": "string", "format": "date"}},
    }  # fmt: skip
    gold = {"n": 3, "i": 3, "b": True, "e": "x", "f": "2024-01-02", "s": "t", "z": None}
    found = {pointer: kind for pointer, (kind, _) in outcomes(gold, gold, schema).items()}
    assert found == {
        "/n": "number", "/i": "integer", "/b": "boolean", "/e": "enum", "/f": "format", "/s": "string", "/z": "null",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "predicted", "gold", "same"),
    [
        (Rule(), " Rome. ", "Rome", True),
        (Rule(), "rome", "Rome", False),
        (Rule(), "Rome  Via", "Rome Via", False),
        (Rule(), "(Rome)", "Rome", False),
        (Rule(), 12.0, 12, True),
        (Rule(), "12", 12, False),
        (Rule(), True, 1, False),
        (Rule(), 0, False, False),
        (Rule("exact"), "Rome.", "Rome", False),
        (Rule("exact"), "Rome", "Rome", True),
        (Rule("casefold"), "STRASSE.", "Straße", True),
        (Rule("number", 0.01), 9.99, 10, True),
        (Rule("number", 0.01), 9.98, 10, False),
        (Rule("number"), "9.50", 9.5, True),
        (Rule("number"), "nine", 9, False),
        (Rule("number"), True, 1, False),
        (Rule("number"), "nan", 9, False),
    ],
)
def test_rules(rule, predicted, gold, same):
    assert rule.same(predicted, gold) is same


def test_the_schema_states_the_rule_of_a_field():
    schema = {
        "properties": {
            "price": {"type": "number", "x-judge": {"rule": "number", "tolerance": 0.5}},
            "code": {"type": "string", "x-judge": "exact"},
            "colour": {"$ref": "#/$defs/word"},
            "x-judge": TEXT,
        },
        "$defs": {"word": {"type": "string", "x-judge": "casefold"}},
    }
    gold = {"price": 10, "code": "A1", "colour": "Blue", "x-judge": "q"}
    predicted = {"price": 10.4, "code": "A1.", "colour": "BLUE", "x-judge": "q"}
    assert [leaf.pointer for leaf in compare(predicted, gold, schema) if leaf.outcome != "right"] == ["/code"]


@pytest.mark.parametrize("value", ["close", {"rule": "exact", "tolerance": 1}, {"rule": "number", "tolerance": -1}, 3])
def test_a_rule_that_is_none_is_refused_where_it_stands(value):
    with pytest.raises(InvalidSchema, match=r"^at /properties/a/x-judge: x-judge is"):
        compare({}, {}, {"properties": {"a": {"x-judge": value}}})


def _total(scores, pairs):
    return sum(scores[i][j] for i, j in enumerate(pairs) if j is not None)


def test_assignment_is_the_best_there_is():
    from scipy.optimize import linear_sum_assignment

    rng = random.Random(0)
    for _ in range(300):
        rows, columns = rng.randint(1, 7), rng.randint(1, 7)
        scores = [[rng.randint(0, 4) for _ in range(columns)] for _ in range(rows)]
        pairs = assign(scores)
        used = [j for j in pairs if j is not None]
        assert len(used) == len(set(used)) == min(rows, columns)
        best = linear_sum_assignment(scores, maximize=True)
        assert _total(scores, pairs) == sum(scores[i][j] for i, j in zip(*best, strict=True))


def test_assignment_without_agreement_stays_in_place():
    assert assign([[0] * 4 for _ in range(3)]) == [0, 1, 2]
    assert assign([[1, 1], [1, 1]]) == [0, 1]
    assert assign([]) == [] and assign([[], []]) == [None, None]


def test_alignment_in_order_is_the_best_there_is():
    rng = random.Random(1)
    for _ in range(200):
        rows, columns = rng.randint(1, 4), rng.randint(1, 4)
        scores = [[rng.randint(0, 1) for _ in range(columns)] for _ in range(rows)]
        pairs = align_in_order(scores)
        used = [j for j in pairs if j is not None]
        assert used == sorted(set(used))
        possible = (
            (sum(scores[i][j] for i, j in zip(ours, theirs, strict=True)), size)
            for size in range(min(rows, columns) + 1)
            for ours in itertools.combinations(range(rows), size)
            for theirs in itertools.combinations(range(columns), size)
        )
        assert (_total(scores, pairs), len(used)) == max(possible)


def test_intervals():
    # Newcombe 1998, table I, score method: 81 of 263 and 15 of 148
    assert [round(end, 4) for end in wilson(81, 263)] == [0.2553, 0.3662]
    assert [round(end, 4) for end in wilson(15, 148)] == [0.0624, 0.1605]
    assert wilson(0, 18)[0] == 0.0 and wilson(18, 18)[1] == 1.0
    low, high = bootstrap([(1, 1)] * 50 + [(0, 1)] * 50)
    assert 0.38 < low < 0.43 and 0.57 < high < 0.62
    wide = bootstrap([(10, 10)] * 5 + [(0, 10)] * 5)
    assert wide[1] - wide[0] > 0.5  # ten texts, not a hundred leaves


def test_the_report_counts_texts_and_groups(tmp_path):
    schema = {"properties": {"name": TEXT, "age": WHOLE}}
    rows = [
        {"id": "a", "text": "one " * 70, "schema": schema, "value": {"name": "Ann", "age": 3}, "language": "en"},
        {"id": "b", "text": "zwei Wörter", "schema": schema, "value": {"name": "Bo", "age": None}, "language": "de"},
        {"id": "c", "text": "rien", "schema": schema, "value": {"name": "Cy"}, "language": "fr"},
    ]
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    seen = []

    def answer(text, schema):
        if text == "rien":
            raise GenerationError("no value")
        return {"name": "Ann", "age": 3}, 4, 0.5

    report = evaluate(answer, path, seen.append)
    table = {(row.group, row.name): row for row in report.rows}
    whole = table["all", "all"]
    assert (whole.texts, whole.leaves, whole.right, whole.wrong, whole.invented, whole.omitted) == (3, 6, 2, 1, 1, 2)
    assert whole.of_gold == whole.accuracy.value == pytest.approx(2 / 6)
    assert whole.exact.value == pytest.approx(1 / 3)
    assert table["length", "61 to 150"].right == 2 and table["length", "to 60 words"].texts == 2
    assert table["language", "other than en"].leaves == 4 and table["language", "de"].wrong == 1
    assert table["breadth", "to 5 leaves"].texts == 3
    assert (table["kind", "string"].right, table["kind", "integer"].invented) == (1, 1)
    assert table["kind", "null"].omitted == 1
    assert report.errors == [("c", "GenerationError: no value")]
    assert [one.id for one in seen] == ["a", "b", "c"]
    data = json.loads(json.dumps(report.as_json()))
    assert data["calls_per_text"] == pytest.approx(8 / 3)
    assert data["texts"][1]["not_right"][0] == {
        "pointer": "/name", "outcome": "wrong", "kind": "string", "gold": "Bo", "predicted": "Ann",
    }  # fmt: skip
    assert "| all | all | 3 | 6 | 2 | 1 | 1 | 2 | .333 | .333 | .333 (.061 to" in report.table()
    assert "1 without a value" in report.table()


def test_no_interval_of_leaves_is_given_for_a_few_texts():
    schema = {"properties": {"name": TEXT}}
    scored = [
        Scored(str(i), tuple(compare({"name": "Bo"}, {"name": ("Ann", "Bo")[i % 2]}, schema)), 1, 9) for i in range(5)
    ]
    assert summarise(scored[:4])[0].accuracy.low is None
    assert summarise(scored[:4])[0].accuracy.value == 0.5
    enough = summarise(scored)[0].accuracy
    assert enough.low < 0.4 < enough.high


def test_what_is_not_a_structdiff_error_is_not_swallowed():
    def answer(text, schema):
        raise KeyError("bug")

    with pytest.raises(KeyError):
        evaluate(answer, [Example("a", "t", {}, {"a": 1})])


@pytest.mark.parametrize(
    ("line", "message"),
    [("{", "line 1: no JSON"), ('{"text": "a", "schema": {}}', "line 1: value missing"), ("", "holds no text"),
     ('{"text": 1, "schema": {}, "value": 1}', "text is int, not a string"), ("[]", "schema, text, value missing")],
)  # fmt: skip
def test_a_bad_file_is_refused_with_the_line(tmp_path, line, message):
    path = tmp_path / "bad.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_examples(path)


def test_a_summary_of_nothing_is_empty():
    assert summarise([]) == []
    assert summarise([Scored("a", (), 0, 5)])[0].accuracy.value is None


def test_overlaps_find_what_is_shared_and_nothing_else():
    ours = ["We meet at the old mill on Sunday.", "Nothing to see here"]
    theirs = ["they MEET at the old, mill! again", "meet at the old house", "", "one two three four"]
    assert overlaps(ours, theirs) == [(0, 0, "meet at the old mill")]
    assert overlaps(ours, theirs, 4) == [
        (0, 0, "at the old mill"),
        (0, 0, "meet at the old"),
        (0, 1, "meet at the old"),
    ]
    assert overlaps(["a b c d e a b c d e"], ["a b c d e"]) == [(0, 0, "a b c d e")]
    assert overlaps([], theirs) == overlaps(ours, []) == []
    with pytest.raises(ValueError, match="length is 0"):
        overlaps(ours, theirs, 0)
