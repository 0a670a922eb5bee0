"""How many fields of a file of texts a model fills right, with intervals.

    python -m benchmarks.fields [FILE] [--model NAME] [--limit N] [--every K] [--max-tokens 640]
        [--together N] [--threads T] [--verbatim] [--rows OUT.jsonl] [--json OUT]

FILE is JSONL with "text", "schema" and "value" in each line, tests/data/independent.jsonl by default. The model is
"tiny" unless it is named: "qwen-0.5b", "qwen" or "smollm2", "qwen:FOLDER" (another adapter), "qwen:none" (no adapter),
a folder or a hub id.
Texts that do not fit the context are split (see `structdiff.long_text`). One seed; calls are passes of the model. One
text at a time, or N read --together: then a text's seconds are its part of those of all.
With --rows each answer is written as soon as it is there, and a second call goes on behind the last one.
--verbatim takes free strings from the text.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structdiff
from benchmarks.kept import keep, kept_rows
from structdiff.core.errors import GenerationError
from structdiff.evaluation.run import Answer, Example, Report, read_examples, score
from structdiff.evaluation.summary import Scored

INDEPENDENT = Path(__file__).parents[1] / "tests" / "data" / "independent.jsonl"


def answers_of(model: structdiff.Model, examples: list[Example], max_tokens: int, verbatim: bool = False) -> Answer:
    """A model as `structdiff.evaluation.run.score` asks it; the texts are read now, all of them together."""
    texts, schemas = [one.text for one in examples], [one.schema for one in examples]
    begun = time.perf_counter()
    found = model.batch(
        texts, schemas, errors="return", max_tokens=max_tokens, long_text="split", verbatim=verbatim
    )  # fmt: skip
    each = (time.perf_counter() - begun) / max(1, len(examples))
    known = {key_of(one.text, one.schema): result for one, result in zip(examples, found, strict=True)}

    def answer(text: str, schema: Any) -> tuple[Any, int, float]:
        result = known[key_of(text, schema)]
        if isinstance(result, structdiff.Failure):
            raise result.error
        return result.value, result.usage.steps, each

    return answer


def key_of(text: str, schema: Any) -> str:
    """What an answer is kept by."""
    return hashlib.sha256(json.dumps([text, schema]).encode()).hexdigest()


class Rows:
    """Answers in a JSONL file, by the text and the schema; the first line says what they belong to.

    ``said`` is what decides them; raises ValueError where the file holds answers of something else. Without a path
    nothing is kept.
    """

    def __init__(self, path: Path | None, said: dict[str, Any]) -> None:
        self.path, self.known = path, {row["key"]: row for row in kept_rows(path, said)}

    def score(self, example: Example, answer: Answer) -> Scored:
        """A text compared, asked where no answer is kept."""
        key = key_of(example.text, example.schema)
        if key in self.known:
            return score(lambda text, schema: _replay(self.known[key]), example)
        row: dict[str, Any] = {"key": key, "id": example.id}

        def asked(text: str, schema: Any) -> tuple[Any, int, float]:
            row["value"], row["calls"], row["seconds"] = found = answer(text, schema)
            return found

        done = score(asked, example)
        keep(self.path, [row | {"error": done.error}])
        return done


def _replay(row: dict[str, Any]) -> tuple[Any, int, float]:
    if row["error"]:
        raise GenerationError(row["error"])
    return row["value"], row["calls"], row["seconds"]


def show(scored: Scored, number: int, count: int, right: int, leaves: int) -> None:
    """One line on standard error per text, so that a long run can be followed."""
    print(
        f"{number}/{count} {scored.id} {scored.right}/{len(scored.leaves)} {scored.calls} calls "
        f"{scored.seconds:.2f} s, so far {right / max(1, leaves):.3f} {scored.error}".rstrip(),
        file=sys.stderr, flush=True,
    )  # fmt: skip


def run(examples: list[Example], answers: Callable[[list[Example]], Answer], rows: Rows, together: int = 1) -> Report:
    """The report of all texts; ``answers`` is shown those that are read together and have no answer yet."""
    scored: list[Scored] = []
    for first in range(0, len(examples), together):
        group = examples[first : first + together]
        new = [one for one in group if key_of(one.text, one.schema) not in rows.known]
        answer = answers(new)
        for number, example in enumerate(group, first + 1):
            scored.append(rows.score(example, answer))
            right, leaves = sum(one.right for one in scored), sum(len(one.leaves) for one in scored)
            show(scored[-1], number, len(examples), right, leaves)
    return Report(tuple(scored))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=INDEPENDENT, metavar="FILE")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--dtype", help="number type of the weights")
    parser.add_argument("--limit", type=int, help="the first N texts alone")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="each K-th text alone, from the first")
    parser.add_argument("--max-tokens", type=int, default=640)
    parser.add_argument("--together", type=int, default=1, metavar="N", help="texts that are read together")
    parser.add_argument("--threads", type=int, help="threads of torch")
    parser.add_argument("--rows", type=Path, metavar="OUT", help="keep each answer, and go on behind those kept")
    parser.add_argument("--verbatim", action="store_true", help="take free strings from the text")
    parser.add_argument("--repeats", action="store_true", help="let arrays repeat elements")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write everything, each leaf that is not right too")
    args = parser.parse_args(arguments)
    for name in ("every", "together"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} is {getattr(args, name)}; it must be 1 or more")
    try:
        examples = read_examples(args.file)[: args.limit : args.every]
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    chosen = {"repeats": True} if args.repeats else {}
    model = structdiff.load(args.model, dtype=args.dtype, **chosen)
    said = {"model": model.name, "weights": model.denoiser.fingerprint, "max_tokens": args.max_tokens}
    said |= ({"verbatim": True} if args.verbatim else {}) | ({} if model.policy.repeats else {"repeats": False})
    try:
        rows = Rows(args.rows, said)
    except ValueError as error:
        parser.error(str(error))
    report = run(
        examples, lambda texts: answers_of(model, texts, args.max_tokens, args.verbatim), rows, args.together
    )  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(report.as_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(report.table())


if __name__ == "__main__":
    main()
