"""How long a command takes from its start: help, wrong uses, and a whole generation, beside an earlier version.

    python -m benchmarks.start_up --before FOLDER --rounds 5

FOLDER is a checkout of the version to compare with. Versions take turns, so that both meet the same machine; the
figures are medians of wall time and of the processor time of the command. The model is STRUCTDIFF_MODEL, else "tiny";
kernels are compiled and files cached beforehand.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
START = "import sys; sys.argv[0] = 'structdiff'; from structdiff_cli.main import cli; cli()"
LOW = '{"type": "object", "properties": {"n": {"type": "integer", "minimum": 5, "maximum": 3}}, "required": ["n"]}'
CASES = {
    "`--help`": ["--help"],
    "a schema that is not there": ["generate", "--schema", "no.json"],
    "an invalid schema": ["generate", "--schema", '{"type": "strin"}'],
    "an unknown device": ["generate", "--schema", "contact.json", "--device", "gpu"],
    "a folder that is not there": ["generate", "--schema", "contact.json", "--model", "./nomodel"],
    "a budget too small": ["generate", "--schema", "contact.json", "--max-tokens", "2"],
    "a contradiction": ["generate", "--schema", LOW],
    "a pattern that is no regex": ["generate", "--regex", "(a"],
    "a class that is not there": ["generate", "--schema", "no_module:Person"],
    "a trace that cannot be written": ["generate", "--schema", "contact.json", "--trace", "/no/folder/run.html"],
    "`schema check`": ["schema", "check", "contact.json"],
    "`generate`": ["generate", "--schema", "contact.json"],
}
TEXT = "Hello, my name is Maria Lopez. You can reach me at maria@posta.es."


def once(root: Path, folder: Path, arguments: list[str]) -> tuple[float, float, int]:
    """(wall seconds, processor seconds, exit code) of one command of the version in ``root``."""
    link = folder / f"shim-{root.name}"
    if not link.exists():
        link.mkdir()
        (link / "structdiff_cli").symlink_to(root / "cli")
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{link}", "HF_HUB_OFFLINE": "1"}
    environment.setdefault("STRUCTDIFF_MODEL", "tiny")
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", START, *arguments],
        input=TEXT, capture_output=True, text=True, cwd=folder, env=environment,
    )  # fmt: skip
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, spent, done.returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="a checkout of the version to compare with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    given = parser.parse_args()
    versions = ({"before": given.before.resolve()} if given.before else {}) | {"now": ROOT}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "contact.json").write_text((ROOT / "schemas" / "contact.json").read_text(encoding="utf-8"))
        for root in versions.values():
            once(root, folder, CASES["`generate`"])
        found = {}
        for case, arguments in CASES.items():
            runs: dict[str, list[tuple[float, float, int]]] = {version: [] for version in versions}
            for _ in range(given.rounds):
                for version, root in versions.items():
                    runs[version].append(once(root, folder, arguments))
            found[case] = {
                version: [statistics.median(run[i] for run in some) for i in (0, 1)] + [some[-1][2]]
                for version, some in runs.items()
            }
            print(case, found[case], file=sys.stderr, flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(f"| | {' | '.join(f'{version}: wall s | processor s | code' for version in versions)} |")
    print(f"|---|{'---:|' * 3 * len(versions)}")
    for case, figures in found.items():
        cells = (f"{wall:.2f} | {spent:.2f} | {code}" for wall, spent, code in figures.values())
        print(f"| {case} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
