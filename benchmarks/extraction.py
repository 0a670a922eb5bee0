"""One extraction done three ways: at a stretch, on Ray, and killed again and again. The files must be the same.

    python -m benchmarks.extraction [--count 2000] [--kills 10] [--workers 2]

Texts of `benchmarks.throughput` go through the command `structdiff extract` as a person runs it. The killed run gets
SIGKILL at random moments and goes on with ``--resume`` each time. Exits with 1 where a byte differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.throughput import SCHEMA, texts


def command(source: Path, out: Path, *options: str) -> list[str]:
    """What a person would type."""
    extract = [sys.executable, "-c", "from structdiff_cli.main import cli; cli()", "extract"]
    return [*extract, str(source), "-o", str(out), "--schema", json.dumps(SCHEMA), *options]


def run(source: Path, out: Path, *options: str) -> float:
    """Seconds of one run to its end."""
    begun = time.perf_counter()
    subprocess.run(command(source, out, *options), check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


def run_killed(source: Path, out: Path, kills: int, whole: float, rng: random.Random) -> list[int]:
    """Kill the run at ``kills`` random moments, then let it end; returns the rows that were written at each kill.

    A run that ends before its last kill (the machine may be faster than when ``whole`` was measured) is begun anew,
    with shorter waits.
    """
    resume = command(source, out, "--resume")
    partial, written = out.with_name(out.name + ".partial"), []
    while len(written) < kills:
        process = subprocess.Popen(resume, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.02, 1.5) * whole / kills)
        if process.poll() is not None:
            print(f"the run ended before kill {len(written) + 1}: begun anew", flush=True)
            out.unlink()
            return run_killed(source, out, kills, 0.7 * whole, rng)
        process.kill()
        process.wait()
        written.append(partial.read_bytes().count(b"\n") if partial.exists() else 0)
    subprocess.run(resume, check=True, stderr=subprocess.DEVNULL)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "texts.jsonl"
        source.write_text("".join(json.dumps({"text": one.text}) + "\n" for one in texts(args.count)))
        local, ray, killed = (folder / f"{arm}.jsonl" for arm in ("local", "ray", "killed"))
        whole = run(source, local)
        rows = [json.loads(line) for line in local.read_text().splitlines()]
        print(f"local   {whole:7.1f} s  {len(rows)} rows, {sum('error' in row for row in rows)} errors", flush=True)
        seconds = run(source, ray, "--engine", "ray", "--workers", str(args.workers))
        same = [ray.read_bytes() == local.read_bytes()]
        print(f"ray     {seconds:7.1f} s  {args.workers} workers, identical: {same[0]}", flush=True)
        written = run_killed(source, killed, args.kills, whole, random.Random(args.seed))
        same.append(killed.read_bytes() == local.read_bytes())
        print(f"killed  {args.kills} times, with {written} rows written, identical: {same[1]}")
    sys.exit(0 if all(same) else 1)


if __name__ == "__main__":
    main()
