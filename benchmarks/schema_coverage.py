"""How much of JSON Schema as people write it compiles, and whether the result is right.

    python benchmarks/schema_coverage.py FOLDER [--sample N] [--seed S] [--extra schema|forbid] [--seconds 10] [-o OUT]

FOLDER holds ``*.jsonl.gz`` files whose lines are ``{"id", "schema", "tests": [{"valid", "data"}]}`` (JSONSchemaBench).
Each schema becomes a byte automaton within a time limit; then each test instance is asked for twice: with its keys as
they stand, and with its keys in the order of the schema. One JSON line per schema goes to OUT, the summary to standard
output.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from structdiff.errors import CompileLimit, InvalidSchema, Unsatisfiable, UnsupportedSchema
from structdiff.grammar.automaton import Limits, compile_tree
from structdiff.grammar.json_schema.compiler import CompiledSchema, options_of


class OutOfTime(Exception):
    pass


def measure(job: tuple[str, Any, list[dict], dict[str, Any], float]) -> dict[str, Any]:
    """Compile one schema and ask for its instances."""
    identifier, schema, tests, options, seconds = job
    row: dict[str, Any] = {"id": identifier, "bytes": len(json.dumps(schema))}

    def stop(*_: Any) -> None:
        raise OutOfTime

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    started = time.perf_counter()
    try:
        compiled = CompiledSchema(schema, options_of(**options), limits=Limits(seconds=seconds))
        automaton = compile_tree(compiled.tree(), compiled.limits)
        row |= {"result": "compiled", "states": automaton.states, "seconds": time.perf_counter() - started}
        signal.setitimer(signal.ITIMER_REAL, 20)
        row |= instances(compiled, automaton, tests)
    except OutOfTime:
        row |= {"result": "time" if "states" not in row else "time for instances"}
    except CompileLimit as error:
        row |= {"result": "limit", "keyword": error.limit, "pointer": error.pointer}
    except UnsupportedSchema as error:
        row |= {"result": "refused", "keyword": error.keyword, "pointer": error.pointer, "reason": error.reason}
    except Unsatisfiable as error:
        row |= {"result": "unsatisfiable", "pointer": error.pointer, "reason": str(error)}
    except InvalidSchema as error:
        row |= {"result": "invalid", "pointer": error.pointer, "reason": str(error)}
    except Exception as error:  # a crash is what this benchmark looks for
        if isinstance(error.__context__, OutOfTime) or isinstance(error.__cause__, OutOfTime):
            row |= {"result": "time"}
        else:
            row |= {"result": "crash", "reason": f"{type(error).__name__}: {error}"[:300]}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    row.setdefault("seconds", time.perf_counter() - started)
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
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    options = {"extra_properties": arguments.extra, "whitespace": arguments.whitespace}
    jobs = [
        (record["id"], record["schema"], record["tests"], options, arguments.seconds)
        for record in load(arguments.folder, arguments.sample, arguments.seed)
    ]
    compile_tree(CompiledSchema({"minLength": 2}, options_of()).tree())  # compiled kernels are loaded before the fork
    rows = []
    with multiprocessing.get_context("fork").Pool(arguments.processes, maxtasksperchild=500) as pool:
        for row in pool.imap_unordered(measure, jobs, chunksize=4):
            rows.append(row)
            if len(rows) % 200 == 0:
                print(f"{len(rows)} of {len(jobs)}", file=sys.stderr)
    if arguments.output:
        arguments.output.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(summary(rows))


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
    seconds = sorted(row["seconds"] for row in rows if row["result"] == "compiled")
    if seconds:
        states = sorted(row["states"] for row in rows if "states" in row)
        for name, values in (("seconds", seconds), ("states", states)):
            spread = (values[len(values) // 2], values[int(len(values) * 0.9)], values[-1])
            lines.append(f"{name}: median {spread[0]:.4g}, p90 {spread[1]:.4g}, max {spread[2]:.4g}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
