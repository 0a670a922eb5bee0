"""Published benchmarks on one model with several decoders: validity, right answers, passes, seconds.

    python -m benchmarks.public bfcl=FOLDER sudoku=FILE ... [--model NAME] [--decoders NAME ...] [--limit 100]
        [--max-tokens 512] [--together 8] [--rows OUT.jsonl]

A set is NAME=PATH; the names and what their files look like stand in `benchmarks/public/sets.py`. Every decoder sees
the same items, prompts and budget. An output that is cut off is judged as it stands. ROWS keeps each decoder's outputs,
and the same command goes on behind the last one; outputs of another model, budget or limit are refused.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path
from typing import Any

import torch

import structdiff
from benchmarks.kept import keep, kept_rows
from benchmarks.public.decoders import decoders_of, outputs
from benchmarks.public.report import table
from benchmarks.public.sets import SETS, Item
from structdiff.place import DEFAULT


def read_set(argument: str, limit: int | None) -> tuple[str, list[Item]]:
    """(name as it is shown, items) of NAME=PATH."""
    name, _, path = argument.partition("=")
    if name not in SETS or not path:
        raise SystemExit(f"{argument!r} is no set; write NAME=PATH, where NAME is one of {', '.join(SETS)}")
    if not Path(path).exists():
        raise SystemExit(f"{path} is not there; it should hold the set {name}")
    return f"{name} ({Path(path).stem})", list(itertools.islice(SETS[name](Path(path)), limit))


def measured(
    model: structdiff.Model, name: str, items: list[Item], decoder: str, budget: int, together: int
) -> list[dict[str, Any]]:
    """A row for each item under one decoder, told on standard error as it is known."""
    rows, begun = [], time.perf_counter()
    for number, written in outputs(model, decoder, items, budget, together):
        judged = items[number].judge("" if written.error else written.text)
        rows.append({
            "set": name, "decoder": decoder, "id": items[number].id, "valid": judged.valid, "right": judged.right,
            "of": judged.of, "error": written.error, "cut off": not written.ended and not written.error,
            "passes": written.passes, "text": written.text,
        })  # fmt: skip
        print(f"{name}, {decoder}: {len(rows)}/{len(items)}", file=sys.stderr, flush=True)
    seconds = (time.perf_counter() - begun) / max(1, len(items))
    return [row | {"seconds": seconds} for row in rows]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="NAME=PATH")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--decoders", nargs="*", metavar="NAME", help="by default all that the model can be read with")
    parser.add_argument("--limit", type=int, help="the first N items of each set")
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--together", type=int, default=8)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rows", type=Path, metavar="OUT")
    args = parser.parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    sets = [read_set(one, args.limit) for one in args.sets]
    model = structdiff.load(args.model)
    known = decoders_of(model)
    decoders = args.decoders or known
    if unknown := [one for one in decoders if one not in known]:
        parser.error(f"{unknown[0]!r} is no decoder of {model.name}; there are {', '.join(map(repr, known))}")
    said = {"model": model.name, "weights": model.denoiser.fingerprint, "max_tokens": args.max_tokens}
    try:
        rows = kept_rows(args.rows, said | {"limit": args.limit})
    except ValueError as error:
        parser.error(str(error))
    for (name, items), decoder in itertools.product(sets, decoders):
        if any((row["set"], row["decoder"]) == (name, decoder) for row in rows):
            continue
        fresh = measured(model, name, items, decoder, args.max_tokens, args.together)
        rows += fresh
        keep(args.rows, fresh)
    print(f"{model.name}, {torch.get_num_threads()} threads, at most {args.max_tokens} tokens\n")
    print(table(rows))


if __name__ == "__main__":
    main()
