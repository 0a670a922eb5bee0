"""How much of JSON Schema as people write it compiles, and whether the result is right.

    python -m benchmarks.schema_coverage FOLDER -o ROWS.jsonl [--tokenizer FOLDER] [--outputs N] [--sample N] [--seed S]

FOLDER holds ``*.jsonl.gz`` files whose lines are ``{"id", "schema", "tests": [{"valid", "data"}]}`` (JSONSchemaBench).
Each schema becomes a byte automaton, and with ``--tokenizer`` a token automaton, within limits of CPU time and memory;
then each test instance is asked for twice: with its keys as they stand, and with its keys in the order of the schema.
With ``--outputs`` each token automaton writes outputs under random logits, which jsonschema judges, formats included.
Schemas come in a random order, each one's row goes to ROWS at once, and what is in ROWS is not measured again: a run
that was ended goes on, and is a sample until it is through. The summary goes to standard output.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import random
import resource
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from benchmarks.random_logits import problem, validator
from structdiff.automata.compiling import compile_tree
from structdiff.core.errors import CompileLimit, InvalidSchema, Unsatisfiable, UnsupportedSchema
from structdiff.core.limits import Limits
from structdiff.frontends.json_schema.compiler import CompiledSchema, options_of
from structdiff.lattice.lattice import Lattice
from structdiff.lattice.reduction import reduce_classes
from structdiff.tokens.automaton import TokenAutomaton, build_token_automaton
from structdiff.tokens.vocabulary import Vocabulary

VOCABULARY: Vocabulary | None = None
"""Set before the worker processes are forked."""
LOGITS: np.ndarray | None = None
"""float32[canvas, V], random; set before the fork."""
CANVAS = 32
PATIENCE = 5.0
"""How many seconds of the clock a second of CPU time may take on a loaded machine."""


class OutOfTime(Exception):
    pass


def measure(job: tuple[str, Any, list[dict], dict[str, Any], float, int]) -> dict[str, Any]:
    """Compile one schema, ask for its instances, and let it write ``count`` outputs."""
    identifier, schema, tests, options, seconds, count = job
    row: dict[str, Any] = {"id": identifier, "bytes": len(json.dumps(schema))}

    fired = False

    def stop(*_: Any) -> None:
        nonlocal fired
        fired = True
        raise OutOfTime

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    started = time.process_time()
    try:
        limits = Limits(seconds=PATIENCE * seconds)
        compiled = CompiledSchema(schema, options_of(**options), limits=limits)
        automaton = compile_tree(compiled.tree(), limits)
        if VOCABULARY is not None:
            tokens = build_token_automaton(automaton, VOCABULARY, limits=limits)
            row["edges"] = tokens.edges
        row |= {"result": "compiled", "states": automaton.states, "seconds": time.process_time() - started}
        signal.setitimer(signal.ITIMER_PROF, 20)
        row |= instances(compiled, automaton, tests)
        if count and VOCABULARY is not None:
            signal.setitimer(signal.ITIMER_PROF, 60)
            row["outputs"] = {"out of time": 1}
            row["outputs"] = outputs(tokens, schema, count)
    except OutOfTime:
        if "states" not in row:
            row["result"] = "time"
        row.setdefault("instances", {"out of time": len(tests)})
    except CompileLimit as error:
        row |= {"result": "limit", "keyword": error.limit, "pointer": error.pointer}
    except UnsupportedSchema as error:
        row |= {"result": "refused", "keyword": error.keyword, "pointer": error.pointer, "reason": error.reason}
    except Unsatisfiable as error:
        row |= {"result": "unsatisfiable", "pointer": error.pointer, "reason": str(error)}
    except InvalidSchema as error:
        row |= {"result": "invalid", "pointer": error.pointer, "reason": str(error)}
    except MemoryError:
        row |= {"result": "memory"}
    except Exception as error:  # a crash is what this benchmark looks for
        if fired:  # a kernel turns the alarm into an error of its own
            row |= {"result": "time"}
        else:
            row |= {"result": "crash", "reason": f"{type(error).__name__}: {error}"[:300]}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    row.setdefault("seconds", time.process_time() - started)
    return row


def instances(compiled: CompiledSchema, automaton: Any, tests: list[dict]) -> dict[str, Any]:
    """How many instances came out as labelled, and why the others did not."""
    out: Counter[str] = Counter()
    wrong = []
    for i, test in enumerate(tests):
        as_given = automaton.accepts(json.dumps(test["data"], ensure_ascii=False).encode("utf-8", "surrogatepass"))
        arranged = compiled.algebra.arrange(compiled.root, test["data"])
        ordered = as_given or (
            arranged is not None
            and automaton.accepts(json.dumps(arranged[0], ensure_ascii=False).encode("utf-8", "surrogatepass"))
        )
        if not test["valid"]:
            out["invalid accepted" if ordered or arranged else "invalid refused"] += 1
            if ordered or arranged:
                wrong.append((i, "invalid accepted"))
        elif as_given:
            out["valid accepted"] += 1
        elif ordered:
            out["valid accepted in schema order"] += 1
        elif arranged is not None:
            out["valid beyond the bounds"] += 1
            wrong.append((i, "beyond the bounds"))
        else:
            out["valid refused"] += 1
            wrong.append((i, "valid refused"))
    return {"instances": dict(out), "wrong": wrong}


def outputs(automaton: TokenAutomaton, schema: Any, count: int) -> dict[str, int]:
    """How many of ``count`` draws under random logits are valid, by what jsonschema says of the others.

    Budgets are the least possible and up to 200 tokens more; canvases are short, so that most outputs span several.
    """
    assert VOCABULARY is not None and LOGITS is not None
    reduction = reduce_classes(LOGITS, 1.0, automaton.class_at, automaton.class_token)
    rng, judge, least = np.random.default_rng(0), validator(schema), int(automaton.distance[0])
    out: Counter[str] = Counter()
    for k in range(count):
        budget = left = max(1, least + [0, 20, 60, 200][k % 4])
        written, state = [], 0
        while left and state != automaton.states:
            n = min(CANVAS, left)
            left -= n
            drawn, state = Lattice(automaton, n, left, state).posterior_of(reduction.head(n)).draw(rng.random((n, 3)))
            ends = np.flatnonzero(np.isin(drawn, VOCABULARY.end_ids)) if state == automaton.states else []
            written += drawn[: ends[0] if len(ends) else n].tolist()  # behind the end stands a free tail
        text = VOCABULARY.bytes_of(written).decode("utf-8")
        try:
            out[problem(text, budget, len(written), judge) or "valid"] += 1
        except Exception as error:  # a schema that jsonschema cannot apply, as a pattern that `re` cannot read
            out[f"no judge: {type(error).__name__}"] += 1
    return dict(out)


def load(folder: Path, sample: int | None, seed: int) -> list[dict]:
    lines = []
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            lines += file.readlines()
    if sample is not None and sample < len(lines):
        lines = random.Random(seed).sample(lines, sample)
    return [json.loads(line) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--extra", choices=("schema", "forbid"), default="schema")
    parser.add_argument("--whitespace", choices=("json", "compact", "pretty"), default="json")
    parser.add_argument("--seconds", type=float, default=10, help="of CPU time")
    parser.add_argument("--memory", type=float, default=4, help="GiB beyond what the vocabulary takes")
    parser.add_argument("--tokenizer", help="a folder with tokenizer.json: token automata are built too")
    parser.add_argument("--outputs", type=int, default=0, help="to write under random logits per schema")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    options = {"extra_properties": arguments.extra, "whitespace": arguments.whitespace}
    rows = []
    if arguments.output.exists():
        rows = [json.loads(line) for line in arguments.output.read_text(encoding="utf-8").splitlines()]
    done = {row["id"] for row in rows}
    records = load(arguments.folder, arguments.sample, arguments.seed)
    random.Random(arguments.seed).shuffle(records)
    jobs = [
        (record["id"], record["schema"], record["tests"], options, arguments.seconds, arguments.outputs)
        for record in records
        if record["id"] not in done
    ]
    prepare(arguments.tokenizer)
    limit = int(arguments.memory * 2**30)
    pool = multiprocessing.get_context("fork").Pool(
        arguments.processes, resource.setrlimit, (resource.RLIMIT_DATA, (limit, limit)), maxtasksperchild=100
    )
    with pool, arguments.output.open("a", encoding="utf-8") as file:
        for row in track(pool.imap_unordered(measure, jobs), "schemas", len(jobs)):
            rows.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()
    print(summary(rows))


def prepare(tokenizer: str | None) -> None:
    """What every worker needs is loaded once, before the fork."""
    global VOCABULARY, LOGITS
    automaton = compile_tree(CompiledSchema({"minLength": 2}, options_of()).tree())
    if tokenizer is not None:
        VOCABULARY = Vocabulary.of(tokenizer)
        tokens = build_token_automaton(automaton, VOCABULARY)
        LOGITS = np.random.default_rng(0).normal(0, 3, (CANVAS, VOCABULARY.size)).astype(np.float32)
        outputs(tokens, {"minLength": 2}, 2)


def summary(rows: list[dict]) -> str:
    """The table that goes into the documentation."""
    results = Counter(row["result"] for row in rows)
    lines = [f"{len(rows)} schemas"]
    lines += [f"{count:6d}  {100 * count / len(rows):5.1f} %  {name}" for name, count in results.most_common()]
    reasons = Counter(f"{row['result']}: {row.get('keyword', '')}" for row in rows if row["result"] != "compiled")
    lines += ["", "not compiled, by keyword or limit"]
    lines += [f"{count:6d}  {reason}" for reason, count in reasons.most_common(25)]
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row.get("instances", {}))
    lines += ["", "instances of what compiled"]
    lines += [f"{count:6d}  {name}" for name, count in sorted(total.items())]
    written: Counter[str] = Counter()
    for row in rows:
        for what, count in row.get("outputs", {}).items():
            written[what if what.startswith(("valid", "no judge", "out of time")) else "invalid"] += count
    lines += ["", "outputs under random logits, judged by jsonschema"]
    lines += [f"{count:6d}  {name}" for name, count in sorted(written.items())]
    seconds = sorted(row["seconds"] for row in rows if row["result"] == "compiled")
    if seconds:
        states = sorted(row["states"] for row in rows if "states" in row)
        for name, values in (("seconds", seconds), ("states", states)):
            middle, tenth, hundredth = (values[int(len(values) * share)] for share in (0.5, 0.9, 0.99))
            lines.append(f"{name}: median {middle:.4g}, p90 {tenth:.4g}, p99 {hundredth:.4g}, max {values[-1]:.4g}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
