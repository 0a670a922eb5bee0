"""What holds before any model is loaded: light imports, declared dependencies, rooms whose imports point one way."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "numba")
DISTRIBUTION = {
    "fontTools": "fonttools", "PIL": "pillow", "markdown_it": "markdown-it-py", "agents": "openai-agents",
    "pydantic_ai": "pydantic-ai-slim", "llama_index": "llama-index-core",
}  # fmt: skip
"""Distributions whose name is not that of the package they bring, but for dashes."""
FEATURES = (
    "server", "parquet", "remote", "tables", "ray", "puzzles", "view", "gpu", "diffusers", "llm", "langextract", "peft",
    "vllm", "sglang", "grammar", "images",
)  # fmt: skip
"""The extras that users of the package install."""


def test_import_is_light():
    code = "import sys, structdiff; print([name for name in sys.argv[1:] if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@cache
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def named(requirements: list[str]) -> set[str]:
    """The distributions of requirement lines, in lower case and with dashes."""
    return {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in requirements}


def imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """All imports of a module, those inside functions too, but not those for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield from imports(node)


def modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [] if node.level else [node.module or ""]


OWN = ("structdiff", "structdiff_cli", "benchmarks", "training")


@cache
def third_party(*folders: str) -> dict[str, str]:
    """The distributions that some folders import, with a file that does."""
    found = {}
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for name in modules(node):
                    top = name.split(".")[0]
                    if top not in sys.stdlib_module_names and top not in OWN:
                        found[DISTRIBUTION.get(top, top.replace("_", "-"))] = str(path.relative_to(ROOT))
    return found


def declared(*extras: str) -> set[str]:
    """The distributions of the core and of some extras."""
    optional = project()["optional-dependencies"]
    return named(project()["dependencies"]).union(*(named(optional[extra]) for extra in extras))


@pytest.mark.parametrize(
    ("folders", "extras"),
    [
        (("structdiff", "cli"), FEATURES),
        (("training",), ("train",)),
        (("benchmarks",), ("bench", "train", "dev", "server", "clients", "diffusers", "vllm")),
    ],
    ids=lambda names: " ".join(names),
)
def test_every_import_is_declared(folders, extras):
    missing = {name: path for name, path in third_party(*folders).items() if name not in declared(*extras)}
    assert not missing, f"imported and not declared: {missing}"


def test_every_core_dependency_is_imported():
    assert named(project()["dependencies"]) <= set(third_party("structdiff", "cli"))


def test_every_dependency_of_a_feature_is_imported():
    for extra in FEATURES:
        unused = (
            named(project()["optional-dependencies"][extra]) - set(third_party("structdiff", "cli")) - {"structdiff"}
        )
        assert not unused, f"the extra {extra} has {unused}, which nothing imports"


def test_the_page_of_the_architecture_lists_every_room():
    """tests/unit/test_imports.py holds the arrows between them."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "structdiff"
    rooms = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert sorted(re.findall(r"^\| `(\w+)` \|", page, re.M)) == sorted(rooms - {"__init__"})


def test_the_checks_run_where_the_tests_do():
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    workflow = (ROOT / ".github" / "workflows" / "check.yml").read_text(encoding="utf-8")
    for target in ("make check", "make test", "make docs"):
        assert target in ci and target in workflow
