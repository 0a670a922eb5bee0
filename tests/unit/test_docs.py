"""What the documentation shows is true: docstring examples, the Python blocks of Markdown files, and their links."""

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
from pathlib import Path

import pytest
import structdiff_cli

import structdiff

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "structdiff" / "models" / "embedded"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("schemas/*.md")])
MODULES = sorted(
    module.name
    for name, path in (
        ("structdiff", structdiff.__path__),
        ("structdiff_cli", structdiff_cli.__path__),
        ("benchmarks", [str(ROOT / "benchmarks")]),
        ("training", [str(ROOT / "training")]),
    )
    for module in pkgutil.walk_packages(path, f"{name}.")
)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(page, monkeypatch):
    """The blocks of a page run in order, in one namespace; a comment ``# -> value`` after a print is its output."""
    if "structdiff.load()" in page.read_text(encoding="utf-8") and not (EMBEDDED / "config.json").is_file():
        pytest.skip("this installation holds no embedded model")
    monkeypatch.chdir(ROOT)
    names: dict = {"__name__": page.stem}
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, str(page), "exec"), names)
        assert printed.getvalue().splitlines() == re.findall(r"# -> (.*)$", block, re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target
