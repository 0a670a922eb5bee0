"""vLLM's real sampler with constrained rows on a GPU, without a model: what a step costs, and what must hold.

    python -m benchmarks.gpu_smoke [--device cuda] [--vocabulary FOLDER] [--steps 20]

Needs vLLM's Python tree and torch; nothing is downloaded, no weights are loaded. Logits are random, V is that of the
vocabulary (262,144 for DiffusionGemma's own; FOLDER holds its tokenizer.json). It prints a Markdown table: median
milliseconds of one call of the sampler with 8 rows, of which 0, 1, 4 or 8 are constrained, at canvases of 64 and 256;
then, on CUDA only, the lattice's passes there beside the host's (`benchmarks.gpu_passes`); then whether every output
was valid, whether a row of NaN leaves the others alone, whether equal names give equal tokens, and how often torch
compiled anything anew. About five minutes and those of the passes. Exits with 1 where something does not hold.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import gpu_passes
from benchmarks.engine_stub import GENERATION, Request, Runner
from structdiff.core.errors import GenerationError
from structdiff.engines.asked import Asked
from structdiff.engines.vllm.facts import policy_of
from structdiff.engines.walk import Walk
from structdiff.engines.worker import Worker
from structdiff.tokens.vocabulary import Vocabulary

EMBEDDED = Path(__file__).parents[1] / "structdiff" / "models" / "embedded"
ROWS = 8
TICKET = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["bug", "question", "praise"]},
        "title": {"type": "string", "maxLength": 60},
        "version": {"type": "string", "pattern": "^[0-9]+\\.[0-9]+$"},
        "urgent": {"type": "boolean"},
        "words": {"type": "array", "items": {"type": "string", "maxLength": 12}, "maxItems": 5},
    },
    "required": ["kind", "title", "version", "urgent", "words"],
}


class Smoke:
    """One worker per canvas length, and the same random logits for all."""

    def __init__(self, folder: Path, length: int, device: str) -> None:
        vocabulary = Vocabulary.of(folder)
        self.length, self.device = length, torch.device(device)
        self.worker = Worker(vocabulary, length, 10**6, policy_of(GENERATION, 48))
        self.worker.warm_up(self.device)
        drawn = torch.Generator(self.device).manual_seed(0)
        self.noise = torch.randn(2 * length, vocabulary.size, generator=drawn, device=self.device) * 4

    def logits(self, request: Request, n: int) -> torch.Tensor:
        """Another window of the same noise at each step; NaN for the row that is to fail."""
        first = (7 * request.steps + len(request.name)) % self.length
        out = self.noise[first : first + n]
        return torch.full_like(out, float("nan")) if request.name.startswith("nan") and request.steps == 2 else out

    def runner(self) -> Runner:
        vocabulary = self.worker.vocabulary
        return Runner(
            self.worker, self.logits, vocabulary.end_ids, length=self.length, vocab_size=vocabulary.size, slots=ROWS,
            device=self.device, hidden=256,
        )  # fmt: skip

    def valid(self, request: Request) -> bool:
        """Would the front end hand this output on?"""
        automaton = self.worker.constraint(Asked("json", TICKET)).automaton
        walk = Walk(automaton, self.worker.vocabulary.end_ids, request.max_tokens)
        try:
            walk.add(request.tokens)
            walk.close()
        except GenerationError:
            return False
        return True

    def milliseconds(self, constrained: int, steps: int) -> float:
        """The median of a call of the sampler with so many constrained rows of ROWS."""
        engine = self.runner()
        for i in range(ROWS):
            asked = Asked("json", TICKET).to_dict() if i < constrained else None
            engine.add(Request(f"row{i}", 10**6 if asked is None else 4000, asked))
        taken: list[float] = []
        sampler = engine.sampler

        def timed(*arguments: Any) -> Any:
            self.wait()
            begun = time.perf_counter()
            output = sampler(*arguments)
            self.wait()
            taken.append(time.perf_counter() - begun)
            return output

        engine.sampler = timed  # type: ignore[assignment]
        engine.admit()
        for _ in range(steps + 4):
            engine.step()
        return 1e3 * statistics.median(taken[4:])

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def outputs(self, *names: str) -> list[Request]:
        engine = self.runner()
        made = [engine.add(Request(name, 300, Asked("json", TICKET).to_dict())) for name in names]
        engine.run()
        return made


def compiled() -> int:
    """How many graphs torch has compiled in this process."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--vocabulary", type=Path, default=EMBEDDED)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args(arguments)
    print("| canvas | 0 constrained | 1 | 4 | 8 |\n|---|---|---|---|---|")
    graphs = []
    for length in (64, 256):
        smoke = Smoke(options.vocabulary, length, options.device)
        smoke.milliseconds(0, 2)  # vLLM compiles its own step
        graphs.append(compiled())
        cells = [smoke.milliseconds(constrained, options.steps) for constrained in (0, 1, 4, 8)]
        graphs.append(compiled())
        print(f"| {length} | {' | '.join(f'{cell:.2f} ms' for cell in cells)} |", flush=True)
    on_cuda = torch.device(options.device).type == "cuda"
    vocabulary = smoke.worker.vocabulary
    passes = (
        gpu_passes.measure(vocabulary, options.device, [1000, 10_000, 30_000], [64, 256], [1, 8]) if on_cuda else None
    )
    made = smoke.outputs(*(f"row{i}" for i in range(16)))
    again = smoke.outputs(*(f"row{i}" for i in range(16)))
    failing, *others = smoke.outputs("nan", "row1", "row2")
    facts = {
        "every output is valid": all(map(smoke.valid, made)),
        "equal names give equal tokens": [one.tokens for one in made] == [one.tokens for one in again],
        "a row of NaN is no output": not smoke.valid(failing),
        "the rows beside it are": all(map(smoke.valid, others)),
        "no graph was compiled for constrained rows": graphs[0] == graphs[1] and graphs[2] == graphs[3],
    }
    if passes is not None:
        facts["the lattice's passes equal the host's"] = passes
    for fact, holds in facts.items():
        print(f"- {fact}: {'yes' if holds else 'NO'}")
    sys.exit(0 if all(facts.values()) else 1)


if __name__ == "__main__":
    main()
