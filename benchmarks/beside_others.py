"""Compiling real JSON Schemas beside llguidance, xgrammar and outlines-core: coverage, exactness, CPU time.

    python -m benchmarks.beside_others FOLDER --tokenizer FOLDER [--sample 300] [--seed 0] [--limit 10] -o rows.jsonl

FOLDER holds ``*.jsonl.gz`` files whose lines are ``{"id", "schema", "tests": [{"valid", "data"}]}`` (JSONSchemaBench).
Every engine gets the same schemas in turn, in a process of its own that keeps its vocabulary, with the same limits:
CPU seconds per schema and memory. Measured is the CPU time of all threads,
without caches, until the mask of the first token is known. An instance counts as accepted if it is accepted as it
stands or with its keys in the order of the schema. Every result is appended at once; what is in the file is not
measured again. At the end a table goes to standard output and a plot beside the rows.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import multiprocessing
import os
import platform
import resource
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.schema_coverage import load

MEMORY = 8 * 2**30
INSTANCE_SECONDS = 20.0
"""CPU seconds for all instances of one schema and the order of their keys."""
Accepts = Callable[[str], bool]
Compile = Callable[[Any], Accepts]


def _structdiff(tokenizer: str) -> Compile:
    os.environ["STRUCTDIFF_CACHE_MB"] = "0"
    import structdiff
    from structdiff.core.limits import Limits
    from structdiff.tokens.vocabulary import Vocabulary

    vocabulary = Vocabulary.of(tokenizer)
    limits = Limits(seconds=600)  # wall-clock time; CPU time is limited from outside, as for the others

    def compile_schema(schema: Any) -> Accepts:
        return structdiff.compile(schema, vocabulary, extra_properties="schema", limits=limits).matches

    return compile_schema


def _llguidance(tokenizer: str) -> Compile:
    import llguidance
    import llguidance.hf
    from transformers import PreTrainedTokenizerFast

    hf = PreTrainedTokenizerFast(tokenizer_file=f"{tokenizer}/tokenizer.json")
    vocabulary = llguidance.hf.from_tokenizer(hf, eos_token=1)

    def compile_schema(schema: Any) -> Accepts:
        grammar = llguidance.LLMatcher.grammar_from_json_schema(schema)
        matcher = llguidance.LLMatcher(vocabulary, grammar, log_level=0)
        if not matcher.is_error():
            matcher.compute_bitmask()
        if matcher.is_error():
            raise ValueError(matcher.get_error())

        def accepts(text: str) -> bool:
            copy = matcher.deep_copy()
            ids = vocabulary.tokenize_str(text)
            return copy.try_consume_tokens(ids) == len(ids) and copy.is_accepting()

        return accepts

    return compile_schema


def _xgrammar(tokenizer: str) -> Compile:
    import xgrammar
    from transformers import PreTrainedTokenizerFast

    hf = PreTrainedTokenizerFast(tokenizer_file=f"{tokenizer}/tokenizer.json")
    info = xgrammar.TokenizerInfo.from_huggingface(hf, vocab_size=len(hf), stop_token_ids=[1])
    compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
    mask = xgrammar.allocate_token_bitmask(1, info.vocab_size)

    def compile_schema(schema: Any) -> Accepts:
        grammar = compiler.compile_json_schema(json.dumps(schema), strict_mode=False)
        xgrammar.GrammarMatcher(grammar).fill_next_token_bitmask(mask)

        def accepts(text: str) -> bool:
            matcher = xgrammar.GrammarMatcher(grammar, terminate_without_stop_token=True)
            return matcher.accept_string(text) and matcher.is_completed()

        return accepts

    return compile_schema


def outlines_vocabulary(vocabulary: Any, end: int) -> Any:
    """A vocabulary of ours as outlines-core has it."""
    import outlines_core

    tokens: dict[bytes, list[int]] = {}
    for token, data in enumerate(vocabulary.table.token_bytes):
        if data and token not in vocabulary.end_ids:
            tokens.setdefault(data, []).append(token)
    return outlines_core.Vocabulary(end, tokens)


def _outlines_core(tokenizer: str) -> Compile:
    import outlines_core
    from outlines_core.json_schema import build_regex_from_schema

    from structdiff.tokens.vocabulary import Vocabulary

    ours = Vocabulary.of(tokenizer)
    vocabulary = outlines_vocabulary(ours, 1)

    def compile_schema(schema: Any) -> Accepts:
        index = outlines_core.Index(build_regex_from_schema(json.dumps(schema)), vocabulary)
        start = index.get_initial_state()
        index.get_allowed_tokens(start)

        def accepts(text: str) -> bool:
            state = start
            for token in ours.encode(text.encode()) or ():
                state = index.get_next_state(state, token)
                if state is None:
                    return False
            return index.is_final_state(state)

        return accepts

    return compile_schema


ENGINES = {
    "structdiff": _structdiff,
    "llguidance": _llguidance,
    "xgrammar": _xgrammar,
    "outlines-core": _outlines_core,
}


def _serve(engine: str, tokenizer: str, link: Connection) -> None:
    """One engine's process: it loads the vocabulary once, and forks a worker again whenever one has ended."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    compile_schema = ENGINES[engine](tokenizer)
    compile_schema({"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}})
    while True:
        worker = os.fork()
        if not worker:
            link.send(os.getpid())
            while True:
                _work(engine, compile_schema, link)
        _, status = os.waitpid(worker, 0)
        link.send({"died": status})


def _work(engine: str, compile_schema: Compile, link: Connection) -> None:
    """A schema comes in, first the outcome of compiling goes out, then that of the instances."""
    schema, tests = link.recv()
    began, accepts = time.process_time(), None
    try:
        accepts = compile_schema(schema)
        outcome = {"result": "compiled"}
    except MemoryError:
        outcome = {"result": "memory"}
    except BaseException as error:  # a panic of a Rust library is no Exception
        outcome = {"result": "refused", "reason": f"{type(error).__name__}: {error}"[:300]}
    link.send(outcome | {"cpu": round(time.process_time() - began, 6)})
    if engine == "structdiff":
        tests = [[text, *_in_schema_order(schema, json.loads(text))] for [text] in tests]
    answers = [any(map(accepts, texts)) for texts in tests] if accepts else []
    link.send({"tests": tests, "accepted": answers})


def _in_schema_order(schema: Any, value: Any) -> list[str]:
    from structdiff.core.errors import StructdiffError
    from structdiff.frontends.json_schema.compiler import CompiledSchema, options_of

    try:
        compiled = CompiledSchema(schema, options_of(extra_properties="schema"))
        arranged = compiled.algebra.arrange(compiled.root, value)
    except (StructdiffError, RecursionError):
        return []
    return [json.dumps(arranged[0], ensure_ascii=False)] if arranged else []


class Engine:
    """An engine in a process of its own; what takes longer than its share of CPU time is killed."""

    def __init__(self, name: str, tokenizer: str, limit: float) -> None:
        self.name, self.limit = name, limit
        context = multiprocessing.get_context("spawn")
        self.link, theirs = context.Pipe()
        context.Process(target=_serve, args=(name, tokenizer, theirs), daemon=True).start()
        theirs.close()
        self.worker = self.link.recv()

    def ask(self, schema: Any, tests: list[list[str]]) -> tuple[dict[str, Any], list[list[str]]]:
        """The row of one schema, and the texts of its instances."""
        self.link.send((schema, tests))
        row = self._answer(self.limit)
        if "ended" in row:
            return {"result": row["ended"], "cpu": self.limit}, tests
        found = self._answer(INSTANCE_SECONDS)
        if "ended" in found:
            return row | {"instances": found["ended"]}, tests
        return row | {"accepted": found["accepted"]}, found["tests"]

    def _answer(self, limit: float) -> dict[str, Any]:
        began, asked, late = _cpu_seconds(self.worker), time.monotonic(), False
        while not self.link.poll(0.02):
            asleep = time.monotonic() - asked > 30 * limit + 60
            if not late and (asleep or _cpu_seconds(self.worker) - began > limit):
                late = True
                os.kill(self.worker, signal.SIGKILL)
        answer = self.link.recv()
        if late and "died" not in answer:  # it answered in its last moment
            answer = self.link.recv()
        if "died" not in answer:
            return answer
        self.worker = self.link.recv()
        return {"ended": "time" if late else "crash"}


def _cpu_seconds(process: int) -> float:
    """CPU time of a process, all threads, as the operating system counts it."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    if args.output.exists():
        rows = [json.loads(line) for line in args.output.read_text(encoding="utf-8").splitlines()]
    done = {(row["id"], row["engine"]) for row in rows}
    orders = {row["id"]: row["tests"] for row in rows if "tests" in row}
    engines = [Engine(name, args.tokenizer, args.limit) for name in ENGINES]
    with args.output.open("a", encoding="utf-8") as file:
        for record in load(args.folder, args.sample, args.seed):
            tests = [[json.dumps(test["data"], ensure_ascii=False)] for test in record["tests"]]
            tests = orders.get(record["id"], tests)
            for engine in engines:
                if (record["id"], engine.name) in done:
                    continue
                row, tests = engine.ask(record["schema"], tests)
                row = {"id": record["id"], "engine": engine.name, **row}
                if engine.name == "structdiff":
                    row["tests"] = tests
                row["valid"] = [test["valid"] for test in record["tests"]]
                rows.append(row)
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                file.flush()
    return rows


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def table(rows: list[dict[str, Any]], limit: float) -> str:
    """Markdown: what each engine compiled, how its instances came out, and its CPU time, beside ours."""
    of = {name: {row["id"]: row for row in rows if row["engine"] == name} for name in ENGINES}
    lines = [
        f"{len(of['structdiff'])} schemas, at most {limit:g} s of CPU time each, "
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "",
        "| engine | version | compiled | refused | out of time or memory | crashed | valid accepted | invalid accepted "
        "| median | p90 | p99 | max |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, mine in of.items():
        results = Counter(row["result"] for row in mine.values())
        pairs = Counter(
            pair for row in mine.values() for pair in zip(row["valid"], row.get("accepted", ()), strict=False)
        )
        times = [row["cpu"] for row in mine.values() if row["result"] == "compiled"]
        if not times:
            continue
        spread = (statistics.median(times), quantile(times, 0.9), quantile(times, 0.99), max(times))
        lines.append(
            f"| {name} | {importlib.metadata.version(name)} | {results['compiled']} | {results['refused']} "
            f"| {results['time'] + results['memory']} | {results['crash']} "
            f"| {pairs[True, True]} of {pairs[True, True] + pairs[True, False]} "
            f"| {pairs[False, True]} of {pairs[False, True] + pairs[False, False]} | "
            + " | ".join(f"{1000 * value:,.1f} ms" for value in spread)
            + " |"
        )
    lines += ["", "| CPU time over ours, schemas that both compiled | schemas | median ratio | ratio of medians |"]
    lines += ["|---|---|---|---|"]
    ours = {i: row["cpu"] for i, row in of["structdiff"].items() if row["result"] == "compiled"}
    for name in list(ENGINES)[1:]:
        both = [(row["cpu"], ours[i]) for i, row in of[name].items() if row["result"] == "compiled" and i in ours]
        if both:
            ratio = statistics.median(theirs / mine for theirs, mine in both)
            medians = statistics.median(a for a, _ in both) / statistics.median(b for _, b in both)
            lines.append(f"| {name} | {len(both)} | {ratio:.3g} | {medians:.3g} |")
    return "\n".join(lines)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """The share of all schemas that are ready after so much CPU time."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name in ENGINES:
        mine = [row for row in rows if row["engine"] == name]
        times = sorted(row["cpu"] for row in mine if row["result"] == "compiled")
        if times:
            shares = [100 * (i + 1) / len(mine) for i in range(len(times))]
            axes.step([1000 * t for t in times], shares, where="post", label=f"{name} ({shares[-1]:.0f} %)")
    axes.set(xscale="log", xlabel="CPU time to compile (ms)", ylabel="schemas compiled (%)", ylim=(0, 100))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokenizer", required=True, help="a folder with tokenizer.json")
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=10)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    rows = measure(args)
    plot(rows, args.output.with_suffix(".png"))
    print(table(rows, args.limit))


if __name__ == "__main__":
    main()
