"""Imports point one way: no circle among modules, no arrow from a lower room to a higher one."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "structdiff"

ROOMS = [
    {"core"}, {"automata"}, {"tokens"}, {"lattice"}, {"frontends"}, {"constraint"}, {"models"}, {"decode"},
    {"confidence"}, {"results"}, {"options"}, {"retries"}, {"awaiting", "partials", "prompts"}, {"model"}, {"place"},
    {"loading"},
    {"view", "pipelines", "puzzles", "evaluation", "integrations"}, {"server", "engines"}, {"__main__"},
]  # fmt: skip
"""From the bottom to the top: a room imports from itself and from those before it. `testing` stands beside them all."""
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[name] = path
    return found


def imported(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of the package that a module imports anywhere, for types alone included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{name} imports by a relative name"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & known.keys()) or {node.module}
    return {one for one in found if one in known and one != name}


def room(name: str) -> str:
    return name.split(".")[1]


def test_no_circles_and_no_arrows_back() -> None:
    known = modules()
    graph = {name: imported(name, path, known) for name, path in known.items() if name != "structdiff"}
    try:
        list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        raise AssertionError(f"a circle: {' -> '.join(error.args[1])}") from None
    arrows = [
        f"{name} -> {other}"
        for name, others in graph.items()
        for other in others
        if other != "structdiff"
        and "testing" not in (room(name), room(other))
        and LEVEL[room(other)] > LEVEL[room(name)]
    ]
    assert not arrows
    assert not [
        name
        for name, others in graph.items()
        if room(name) != "testing"
        for o in others
        if o.startswith("structdiff.testing")
    ]


def test_modules_stay_small() -> None:
    """Compiled kernels apart: a loop that is one function is faster than several."""
    long = {}
    for name, path in modules().items():
        text = path.read_text(encoding="utf-8")
        if "kernels" in path.name:
            continue
        if text.count("\n") > 400:
            long[name] = text.count("\n")
        for node in ast.walk(ast.parse(text)):
            compiled = any("njit" in ast.unparse(one) for one in getattr(node, "decorator_list", ()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno and not compiled:
                if node.end_lineno - node.lineno > 80:
                    long[f"{name}.{node.name}"] = node.end_lineno - node.lineno
    assert not long


def test_compiling_needs_neither_torch_nor_transformers() -> None:
    """`import structdiff` and `structdiff.compile` work where both packages are missing."""
    script = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
import structdiff
from pathlib import Path
folder = Path(structdiff.__file__).parent / "models" / "embedded"
schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
constraint = structdiff.compile(schema, folder, whitespace="compact")
assert constraint.matches('{"a":1}') and constraint.plan(20).anchors
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
