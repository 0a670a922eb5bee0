"""Random JSON Schemas against an independent judge, for as long as wanted.

    python -m benchmarks.fuzz_schemas [--minutes 60] [--seed 0]

Of every schema that compiles, random texts have to be valid by jsonschema, and of values made by hypothesis-jsonschema
and of random ones exactly those may be in its set of values that jsonschema calls valid. A finding is printed with its
seed and the schema, and the run ends with status 1.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import warnings
from collections import Counter
from typing import Any

import jsonschema
import numpy as np

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.core.errors import CompileLimit, InvalidSchema, Unsatisfiable, UnsupportedSchema
from structdiff.core.limits import Limits
from structdiff.frontends.json_schema.compiler import CompiledSchema, options_of

LIMITS = Limits(states=20_000, nodes=200_000, seconds=30)
CONSTANTS = (None, True, False, 0, 1, -1, 1.5, 2, 10, "", "a", "ab", "é", [], ["a"], [1, "a"], {}, {"a": 1}, {"b": []})
NAMES = ("a", "b", "ab", "é", "c/d")
PYTHON = {"^a": "^a", "b$": r"b\Z", "^[ab]{1,3}$": r"^[ab]{1,3}\Z", "a.b": r"a[^\n\r\u2028\u2029]b", "^é?$": r"^é?\Z"}
"""Patterns, and what jsonschema has to be given for ECMA-262's meaning: it hands them to `re`, whose ``.`` takes a
carriage return and whose ``$`` stands before a last line feed too."""
PATTERNS = tuple(PYTHON)


def random_schema(rng: random.Random, depth: int = 3) -> Any:
    """A schema over a few names, constants and patterns, so that its parts meet.

    >>> random_schema(random.Random(2), depth=0)
    {'const': 'ab'}
    """
    kinds = ["constant", "type", "number", "string"]
    kinds += ["object", "array", "combined", "object", "array", "combined", "beside"] if depth else []
    kind = rng.choice(kinds)
    if kind == "constant":
        return {"const": rng.choice(CONSTANTS)} if rng.random() < 0.5 else {"enum": rng.sample(CONSTANTS, 3)}
    if kind == "type":
        names = ["null", "boolean", "integer", "number", "string", "array", "object"]
        return rng.choice([True, False, {}, {"type": rng.choice(names)}, {"type": rng.sample(names, 2)}])
    if kind == "number":
        return _some(
            rng,
            type=rng.choice(["integer", "number"]),
            minimum=rng.choice([-2, 0, 0.5, 1]),
            exclusiveMaximum=rng.choice([1, 2.5, 10]),
            multipleOf=rng.choice([0.5, 1, 2, 3]),
        )
    if kind == "string":
        return _some(
            rng, type="string", minLength=rng.randint(0, 2), maxLength=rng.randint(1, 4), pattern=rng.choice(PATTERNS)
        )
    below = depth - 1
    if kind == "object":
        return _some(
            rng,
            type="object",
            properties={name: random_schema(rng, below) for name in rng.sample(NAMES, 2)},
            required=rng.sample(NAMES, rng.randint(0, 2)),
            additionalProperties=random_schema(rng, below),
            patternProperties={rng.choice(PATTERNS): random_schema(rng, below)},
            propertyNames=random_schema(rng, 0),
            minProperties=rng.randint(0, 2),
            maxProperties=rng.randint(0, 3),
            dependentRequired={rng.choice(NAMES): [rng.choice(NAMES)]},
        )
    if kind == "array":
        return _some(
            rng,
            type="array",
            prefixItems=[random_schema(rng, below) for _ in range(rng.randint(1, 2))],
            items=random_schema(rng, below),
            contains=random_schema(rng, below),
            minItems=rng.randint(0, 2),
            maxItems=rng.randint(0, 3),
        )
    if kind == "beside":
        one, other = random_schema(rng, below), random_schema(rng, below)
        if not (isinstance(one, dict) and isinstance(other, dict)):
            return one
        rest = random_schema(rng, 0) if rng.random() < 0.3 else False
        return {**one, **other, **_some(rng, unevaluatedProperties=rest, unevaluatedItems=rest)}
    word = rng.choice(["allOf", "anyOf", "oneOf", "not", "if"])
    if word == "not":
        return {"not": random_schema(rng, below)}
    if word == "if":
        return {part: random_schema(rng, below) for part in ("if", "then", "else")}
    return {word: [random_schema(rng, below) for _ in range(rng.randint(1, 3))]}


def _some(rng: random.Random, **keywords: Any) -> dict[str, Any]:
    return {keyword: value for keyword, value in keywords.items() if rng.random() < 0.5}


def random_value(rng: random.Random, depth: int = 2) -> Any:
    kind = rng.randrange(4 if depth else 2)
    if kind == 2:
        return [random_value(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind == 3:
        return {name: random_value(rng, depth - 1) for name in rng.sample(NAMES, rng.randrange(4))}
    return rng.choice(CONSTANTS)


def random_texts(automaton: ByteAutomaton, rng: random.Random, count: int = 10, length: int = 60) -> list[str]:
    """Members of the language: random walks that turn to the nearest end after ``length`` bytes at most."""
    moves = [np.unique(row[row >= 0]).tolist() for row in automaton.by_byte]
    distance = np.where(automaton.accepting, 0, 1 << 30)
    while True:
        nearer = [min([int(distance[t]) + 1 for t in ts] + [int(distance[s])]) for s, ts in enumerate(moves)]
        if (np.array(nearer) == distance).all():
            break
        distance = np.array(nearer)
    out = []
    for _ in range(count):
        state, data, limit = 0, bytearray(), rng.randrange(length)
        while not (automaton.accepting[state] and (not moves[state] or len(data) >= limit)):
            near = [t for t in moves[state] if distance[t] < distance[state]]
            target = rng.choice(near if len(data) >= limit and near else moves[state])
            data.append(rng.choice(np.flatnonzero(automaton.by_byte[state] == target).tolist()))
            state = target
        out.append(data.decode("utf-8"))
    return out


def for_python(schema: Any) -> Any:
    """The schema with its patterns as `re` has to read them.

    >>> for_python({"pattern": "b$", "patternProperties": {"a.b": True}})["pattern"]
    'b\\\\Z'
    """
    if isinstance(schema, dict):
        return {PYTHON.get(key, key): for_python(part) for key, part in schema.items()}
    if isinstance(schema, list):
        return [for_python(part) for part in schema]
    return PYTHON.get(schema, schema) if isinstance(schema, str) else schema


def examine(schema: Any, values: list[Any], rng: random.Random) -> tuple[str, str]:
    """("compiled" or how it was refused, what is wrong or "")."""
    validator = jsonschema.Draft202012Validator(for_python(schema))
    limits = LIMITS.restarted()
    try:
        compiled = CompiledSchema(schema, options_of(extra_properties="schema"), limits=limits)
        automaton = compile_tree(compiled.tree(), limits)
        if not automaton.states:  # what the token automaton then says
            raise Unsatisfiable("no output at all satisfies the constraint")
    except Unsatisfiable:
        found = [value for value in values if validator.is_valid(value)]
        return "unsatisfiable", f"called unsatisfiable, but {found[0]!r} is valid" if found else ""
    except (CompileLimit, UnsupportedSchema) as error:
        return type(error).__name__, ""
    except InvalidSchema as error:
        return "invalid", f"called invalid: {error}"
    except Exception as error:
        return "crash", f"{type(error).__name__}: {error}"
    for text in random_texts(automaton, rng):
        if not validator.is_valid(json.loads(text)):
            return "compiled", f"writes {text}, which is not valid"
    for value in values:
        valid = validator.is_valid(value)
        if automaton.accepts(json.dumps(value, ensure_ascii=False).encode()) and not valid:
            return "compiled", f"accepts {value!r}, which is not valid"
        if compiled.algebra.contains(compiled.root, value) != valid:
            return "compiled", f"{value!r} is {'' if valid else 'not '}valid, its set of values says otherwise"
    return "compiled", ""


def published_values(schema: Any, rng: random.Random, count: int = 5) -> list[Any]:
    """Values that hypothesis-jsonschema makes for the schema; none where it cannot."""
    from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
    from hypothesis.errors import HypothesisException
    from hypothesis_jsonschema import from_schema

    found: list[Any] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            strategy = from_schema(schema)

            @seed(rng.randrange(1 << 30))
            @settings(
                max_examples=count,
                phases=[Phase.generate],
                database=None,
                deadline=None,
                verbosity=Verbosity.quiet,
                suppress_health_check=list(HealthCheck),
            )
            @given(strategy)
            def collect(value: Any) -> None:
                found.append(value)

            collect()
    except (HypothesisException, jsonschema.SchemaError, ValueError, RecursionError, AttributeError, AssertionError):
        pass  # unsatisfiable, or beyond that library (its objects need an older hypothesis): random values remain
    return [value for value in found if not _beyond_doubles(value)]


def _beyond_doubles(value: Any) -> bool:
    """Does the value hold a float of which jsonschema's division does not tell multiples?"""
    if isinstance(value, dict | list):
        return any(map(_beyond_doubles, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and abs(value) >= 2**53


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    end, number, wrong = time.monotonic() + 60 * args.minutes, args.seed, 0
    outcomes: Counter[str] = Counter()
    values_asked = 0
    while time.monotonic() < end:
        rng = random.Random(number)
        schema = random_schema(rng)
        values = published_values(schema, rng) + [random_value(rng) for _ in range(20)]
        outcome, finding = examine(schema, values, rng)
        outcomes[outcome] += 1
        values_asked += len(values)
        if finding:
            wrong += 1
            print(f"seed {number}: {finding}\n    {json.dumps(schema)}", flush=True)
        number += 1
    print(f"{number - args.seed} schemas, {values_asked} values, {wrong} findings: {dict(outcomes)}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
