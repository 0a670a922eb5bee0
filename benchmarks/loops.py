"""Constraints inside the loops of other packages, beside those loops without them and beside our own.

    python -m benchmarks.loops quality [--texts 40] [--seeds 3] [--loops NAME,NAME] [-o rows.jsonl]
    python -m benchmarks.loops random  [--rows 2000] [--loops NAME,NAME]
    python -m benchmarks.loops cost    [--repeats 5] [--tokenizer FOLDER]

*quality* reads hand-written texts (tests/data/handwritten.jsonl) with the tiny model, in bfloat16: valid answers by
jsonschema, fields right with 95 % bootstrap intervals over texts, decoder passes and seconds a text. Every answer is
appended at once; what is in the file is not run again. *random* gives every loop logits that agree with nothing, in
batches of rows with schemas, regexes and choices, and counts outputs that jsonschema, re or equality reject. *cost* is
the processor's time of a step of generate() without its model, with the constraint and without, in turn. Loops of
diffusers are left out where it is not installed or does not run (`make loops-test` has an environment for all of them).
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import torch
from transformers import LogitsProcessorList
from transformers.models.diffusion_gemma import generation_diffusion_gemma as theirs

import structdiff
from structdiff.evaluation.scoring import compare
from structdiff.evaluation.summary import bootstrap
from structdiff.integrations.transformers import ConstrainedLogits

TEXTS = Path(__file__).parents[1] / "tests" / "data" / "handwritten.jsonl"
BUDGET = 240
Answer = str
Loop = Callable[[dict[str, Any], int], Answer]


@functools.cache
def model() -> structdiff.Model:
    return structdiff.load("tiny", dtype="bfloat16")


def network() -> Any:
    return model().denoiser.network  # type: ignore[union-attr]


def prompt_of(row: dict[str, Any]) -> str:
    return model().prompt(row["text"], model().compile(row["schema"]))


def ours(row: dict[str, Any], seed: int, **policy: Any) -> Answer:
    chosen = replace(model().policy, **policy)
    return model().generate(row["text"], row["schema"], seed=seed, max_tokens=BUDGET, policy=chosen).text


def generate(row: dict[str, Any], seed: int, feedback: str | None = None) -> Answer:
    ids = torch.tensor([model().encode_prompt(prompt_of(row))])
    torch.manual_seed(seed)
    if feedback is None:
        out = network().generate(ids, max_new_tokens=BUDGET).sequences[0, ids.shape[1] :].tolist()
        ends = [i for i, token in enumerate(out) if token in model().vocabulary.end_ids]
        return model().spell(out[: ends[0]] if ends else out)
    processor = ConstrainedLogits(row["schema"], model().tokenizer, network(), max_new_tokens=BUDGET)
    assert processor.policy is not None
    processor.policy = replace(processor.policy, feedback=feedback)
    text: str = processor.parse(network().generate(ids, **processor.arguments))[0].text
    return text


def piped(row: dict[str, Any], seed: int, scheduler: Any, constrained: bool) -> Answer:
    import diffusers

    from structdiff.integrations.diffusers import ConstrainedScheduler

    end = model().tokenizer.eos_token_id
    inner = scheduler()
    if constrained:
        inner = ConstrainedScheduler(inner, model().compile(row["schema"]), max_new_tokens=BUDGET, end_id=end)
    pipe = diffusers.DiffusionGemmaPipeline(network(), inner, model().tokenizer)
    pipe.set_progress_bar_config(disable=True)
    out = pipe(prompt_of(row), gen_length=BUDGET, generator=torch.Generator().manual_seed(seed))
    if constrained:
        text: str = inner.parse(out)[0].text
        return text
    return str(out.texts[0])


def schedulers() -> dict[str, Callable[[], Any]]:
    """The schedulers that run here."""
    if importlib.util.find_spec("diffusers") is None:
        return {}
    import diffusers

    from structdiff.integrations.diffusers import unfit_versions

    if unfit_versions():
        return {}
    return {
        "EntropyBound": diffusers.EntropyBoundScheduler,
        "BlockRefinement": diffusers.BlockRefinementScheduler,
        "DiscreteDDIM": diffusers.DiscreteDDIMScheduler,
        "DDIM, corrected": functools.partial(diffusers.DiscreteDDIMScheduler, corrector_steps=1),
    }


def loops() -> dict[str, Loop]:
    found: dict[str, Loop] = {
        "our own": ours,
        "our own, not verified": functools.partial(ours, verify=False),
        "generate, free": generate,
        "generate, mean": functools.partial(generate, feedback="mean"),
        "generate, own": functools.partial(generate, feedback="own"),
    }
    for name, scheduler in schedulers().items():
        for kind in ("free", "constrained"):
            found[f"{name}, {kind}"] = functools.partial(piped, scheduler=scheduler, constrained=kind != "free")
    return found


def chosen(known: dict[str, Any], names: str | None) -> list[str]:
    wanted = [one.strip() for one in names.split(";")] if names else list(known)
    if missing := sorted(set(wanted) - set(known)):
        raise SystemExit(f"no loop {missing[0]!r}; there are: {'; '.join(known)}")
    return wanted


def quality(texts: int, seeds: int, names: str | None, path: Path) -> None:
    rows = [json.loads(line) for line in TEXTS.read_text(encoding="utf-8").splitlines()][:texts]
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    known, passes = loops(), [0]
    network().model.decoder.register_forward_hook(lambda *_: passes.__setitem__(0, passes[0] + 1))
    have = {(one["loop"], one["text"], one["seed"]) for one in done}
    with path.open("a") as out:
        for seed in range(seeds):
            for name in chosen(known, names):
                for number, row in enumerate(rows):
                    if (name, number, seed) in have:
                        continue
                    passes[0], began = 0, time.perf_counter()
                    text = known[name](row, seed)
                    one = {"loop": name, "text": number, "seed": seed, "answer": text, "passes": passes[0]}
                    one["seconds"] = time.perf_counter() - began
                    out.write(json.dumps(one) + "\n")
                    out.flush()
                    done.append(one)
    table(done, rows)


def table(done: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    print("| loop | n | valid | fields right | passes | seconds |\n|---|---|---|---|---|---|")
    for name in dict.fromkeys(one["loop"] for one in done):
        mine = [one for one in done if one["loop"] == name and one["text"] < len(rows)]
        valid, by_text = 0, dict[int, list[int]]()
        for one in mine:
            row, value = rows[one["text"]], None
            try:
                value = json.loads(one["answer"])
                jsonschema.validate(value, row["schema"])
                valid += 1
            except (ValueError, jsonschema.ValidationError):
                value = None
            leaves = compare(value, row["value"], row["schema"])
            part = by_text.setdefault(one["text"], [0, 0])
            part[0] += sum(leaf.outcome == "right" for leaf in leaves)
            part[1] += len(leaves)
        low, high = bootstrap([(right, total) for right, total in by_text.values()])
        share = sum(right for right, _ in by_text.values()) / sum(total for _, total in by_text.values())
        passes = statistics.mean(one["passes"] for one in mine)
        seconds = statistics.median(one["seconds"] for one in mine)
        figures = f"{share:.3f} ({low:.3f} to {high:.3f}) | {passes:.1f} | {seconds:.2f} |"
        print(f"| {name} | {len(mine)} | {valid} | {figures}")


def judged() -> list[tuple[Any, Callable[[str], bool]]]:
    """Sources, each with what judges its outputs."""
    sources: list[tuple[Any, Callable[[str], bool]]] = []
    for line in TEXTS.read_text(encoding="utf-8").splitlines()[:8]:
        schema = json.loads(line)["schema"]
        validator = jsonschema.Draft202012Validator(schema)
        sources.append((schema, lambda text, v=validator: v.is_valid(json.loads(text))))
    for pattern in (r"[a-z]{3,9}(-[a-z]+){0,3}", r"\d{4}-\d{2}-\d{2}( \d{2}:\d{2})?", "(ab|c){60,90}x"):
        sources.append((structdiff.Regex(pattern), lambda text, p=pattern: bool(re.fullmatch(p, text))))
    sources.append((structdiff.Choice(["yes", "no", "perhaps"]), {"yes", "no", "perhaps"}.__contains__))
    return sources


class Encoded:
    """A processor whose prompt is given."""

    def __init__(self, encoded: dict[str, torch.Tensor], end_id: int) -> None:
        self.encoded, self.eos_token_id = encoded, end_id

    def apply_chat_template(self, *_: Any, **__: Any) -> dict[str, torch.Tensor]:
        return self.encoded


def random_rows(count: int, names: str | None, batch: int = 40, steps: int = 2) -> None:
    sources, budget = judged(), 160
    compiled = [model().compile(source) for source, _ in sources]
    V, generator = model().vocabulary.size, torch.Generator().manual_seed(0)

    def forward(decoder_input_ids: torch.Tensor, **_: Any) -> Any:
        spread = torch.rand(len(decoder_input_ids), 1, 1, generator=generator) * 20
        logits = torch.randn(*decoder_input_ids.shape, V, generator=generator) * spread
        return SimpleNamespace(logits=logits.bfloat16())

    network().forward = forward

    def through_generate(given: list[Any]) -> list[Any]:
        processor = ConstrainedLogits(given, model().tokenizer, network(), max_new_tokens=budget)
        ids = torch.full((len(given), 4), 9)
        return processor.parse(network().generate(ids, max_denoising_steps=steps, **processor.arguments))

    def through(scheduler: Any, given: list[Any]) -> list[Any]:
        import diffusers

        from structdiff.integrations.diffusers import ConstrainedScheduler

        inner = ConstrainedScheduler(scheduler(), given, max_new_tokens=budget, end_id=model().tokenizer.eos_token_id)
        ids = torch.full((len(given), 4), 9)
        encoded = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        pipe = diffusers.DiffusionGemmaPipeline(network(), inner, Encoded(encoded, inner.end_id))
        pipe.set_progress_bar_config(disable=True)
        return inner.parse(pipe("", gen_length=budget, num_inference_steps=steps, output_type="seq"))

    known: dict[str, Callable[[list[Any]], list[Any]]] = {"generate": through_generate}
    known |= {name: functools.partial(through, scheduler) for name, scheduler in schedulers().items()}
    print("| loop | rows | invalid | over three canvases |\n|---|---|---|---|")
    for name in chosen(known, names):
        invalid, long, rows = 0, 0, 0
        while rows < count:
            order = [(rows + i) % len(sources) for i in range(min(batch, count - rows))]
            for at, result in zip(order, known[name]([compiled[i] for i in order]), strict=True):
                invalid += not sources[at][1](result.text)
                long += result.usage.completion_tokens > 2 * network().config.canvas_length
            rows += len(order)
        print(f"| {name} | {rows} | {invalid} | {long} |", flush=True)


def cost(repeats: int, tokenizer: str | None) -> None:
    """A step of generate() without its model: their temperature, draw, acceptance and stop, with and without us."""
    from structdiff.tokens.vocabulary import Vocabulary

    schema = json.loads(TEXTS.read_text(encoding="utf-8").splitlines()[0])["schema"]
    sizes: list[tuple[Any, int, int]] = [(model().tokenizer, 1536, 48)]  # ids beyond its own are never text
    if tokenizer:
        sizes.append((Vocabulary.of(tokenizer, (1, 106), 262_145), 262_145, 256))
    print("| V | L | step without | step with | ratio |\n|---|---|---|---|---|")
    for tokens, V, length in sizes:
        vocabulary = Vocabulary.of(tokens, (1, 106) if V > 9999 else model().vocabulary.end_ids, V)
        config = SimpleNamespace(canvas_length=length, get_text_config=lambda V=V: SimpleNamespace(vocab_size=V))
        shell = SimpleNamespace(config=config, generation_config=theirs.DiffusionGemmaGenerationConfig(eos_token_id=1))
        processor = ConstrainedLogits(schema, vocabulary, shell, max_new_tokens=length)
        logits = torch.randn(1, length, V, generator=torch.Generator().manual_seed(0)) * 4
        turns = [_steps(one, logits, repeats * 20 if V < 9999 else repeats) for one in (None, processor)]
        took = list(zip(*turns, strict=True))  # in turn, since others use the machine too
        plain, constrained = (statistics.median(times) for times in zip(*took, strict=True))
        ratio = constrained / plain
        print(f"| {V} | {length} | {plain * 1e3:.1f} ms | {constrained * 1e3:.1f} ms | {ratio:.2f} |", flush=True)


def _steps(processor: Any, logits: torch.Tensor, repeats: int) -> Iterator[float]:
    (length, V), most = logits.shape[1:], max(48, repeats + 1)  # steps count down
    sampler = theirs.EntropyBoundSampler(theirs.EntropyBoundSamplerConfig(0.1), length, V, most)
    stop = theirs.StableAndConfidentStoppingCriteria(1, 0.005)
    chain = LogitsProcessorList([processor] if processor else [])
    chain.append(theirs.LinearTemperatureScheduleLogitsProcessor(0.4, 0.8, most))
    ids, canvas = torch.full((1, 4), 9), sampler.initialize_canvas(1, logits.device)
    for step in range(repeats + 1):
        left, began = most - step, time.process_time()
        processed = chain(ids, logits, cur_step=torch.tensor(left))
        drawn = torch.multinomial(torch.softmax(processed, -1, dtype=torch.float32)[0], 1)[None, :, 0]
        canvas = sampler.renoise_canvas(sampler.accept_canvas(canvas, drawn, processed, left), left)
        stop(processed.argmax(-1), processed)
        if step:  # the first one warms up
            yield time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=["quality", "random", "cost"])
    parser.add_argument("--texts", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--loops", help="names, with ; between them")
    parser.add_argument("--tokenizer", help="a folder with Gemma's tokenizer")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/loops.jsonl"))
    given = parser.parse_args()
    packages = [name for name in ("torch", "transformers", "diffusers") if importlib.util.find_spec(name)]
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, ", end="")
    print(", ".join(f"{name} {version(name)}" for name in packages), "\n")
    if given.what == "quality":
        given.output.parent.mkdir(parents=True, exist_ok=True)
        quality(given.texts, given.seeds, given.loops, given.output)
    elif given.what == "random":
        random_rows(given.rows, given.loops)
    else:
        cost(given.repeats, given.tokenizer)


if __name__ == "__main__":
    main()
