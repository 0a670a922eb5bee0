"""What the documentation shows is true: examples, commands and links; and it is written in short sentences."""

from __future__ import annotations

import contextlib
import doctest
import functools
import importlib
import importlib.util
import io
import pkgutil
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import structdiff_cli
from click.testing import CliRunner

import structdiff
from structdiff import loading

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EMBEDDED = ROOT / "structdiff" / "models" / "embedded"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("schemas/*.md")])
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
FOR_USERS = [
    page
    for page in PAGES
    if "measurements" not in page.parts and page.name not in ("CHANGELOG.md", "algorithm.md", "architecture.md")
]
"""The pages whose prose is held to the rules below: not the measurements, the internals and the history."""
ENGINES = ("vllm", "sglang", "diffusers", "llm", "langextract")
"""Packages that environments of their own have (`make engines-test`, `make loops-test`)."""
MEAN_WORDS, MOST_WORDS = 20, 45
BANNED = {
    r"prefill\w*": "pinned",
    r"(read|reads|reading) (\w+ ){0,3}over\b": "verify",
    r"tails?\b": "padding",
    r"guides?\b": "automaton",
    r"FSM": "automaton",
}
"""Words that the glossary replaces, and what to write in their place."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def embedded() -> Any:
    """The embedded model, loaded once for all pages."""
    if not (EMBEDDED / "config.json").is_file():
        pytest.skip("this installation holds no embedded model")
    return structdiff.load()


@pytest.fixture
def one_model(embedded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that load the embedded model share it; they run in the root folder."""
    load = structdiff.load

    @functools.wraps(load)
    def shared(*arguments: Any, **options: Any) -> Any:
        plain = arguments in ((), (None,), ("tiny",))
        return embedded if plain and not any(options.values()) else load(*arguments, **options)

    monkeypatch.setattr(structdiff, "load", shared, raising=False)
    monkeypatch.setattr(loading, "load", shared)
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ENGINES:
            raise
        pytest.skip(f"{error.name} is not installed here; make engines-test or make loops-test runs what needs it")
    failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_python_blocks_run(page, one_model):
    """The blocks of a page run in order, in one namespace; a comment ``# -> value`` after a print is its output."""
    names: dict = {"__name__": page.stem}
    for block in blocks(page, "python"):
        assert re.search(r"^\s*assert |# -> ", block, re.M), f"a block of {page.name} proves nothing:\n{block}"
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, str(page), "exec", dont_inherit=True), names)
        assert printed.getvalue().splitlines() == re.findall(r"# -> (.*)$", block, re.M), block


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "console")], ids=name_of)
def test_commands_print_what_is_shown(page, one_model):
    """``$ structdiff ...`` or ``$ echo "text" | structdiff ...``, and the standard output below it."""
    for block in blocks(page, "console"):
        command, shown = block.removeprefix("$ ").split("\n", 1)
        words, text = shlex.split(command), ""
        if words[0] == "echo":
            text, words = words[1] + "\n", words[words.index("|") + 1 :]
        assert words[0] == "structdiff", command
        importlib.import_module("structdiff_cli.main")
        done = CliRunner().invoke(structdiff_cli.main.cli, words[1:], input=text)
        assert done.exit_code == 0, done.output
        assert done.stdout == shown


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_public_name_is_in_the_reference():
    shown = re.findall(r"^::: structdiff\.(\w+)$", (DOCS / "python.md").read_text(encoding="utf-8"), re.M)
    assert sorted(shown) == sorted(structdiff.__all__)


def test_every_measurement_names_its_command():
    for page in sorted((DOCS / "measurements").glob("*.md")):
        assert "python -m " in page.read_text(encoding="utf-8"), page.name


def test_docstrings_are_shown_as_code_and_links():
    pytest.importorskip("griffe")
    spec = importlib.util.spec_from_file_location("docstrings", DOCS / "docstrings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    failed, tried = doctest.testmod(module)
    assert (failed, tried) == (0, 1)


def sentences(text: str) -> list[str]:
    """The sentences of a page's prose: no code, tables, headings, pictures or generated parts; links as their text."""
    text = text.split("<!-- generated below")[0]
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"`[^`]*`", "code", text)
    found: list[str] = []
    for block in re.split(r"\n\s*\n", text):
        if re.match(r"\s*(#|\||    |::: )", block):
            continue
        for item in re.split(r"^\s*(?:[-*]|\d+\.) ", block, flags=re.M):
            plain = " ".join(item.split())
            found += [part for part in re.split(r"(?<=[.!?])\s+(?=[\"'(*]*[A-Z0-9c])", plain) if part]
    return found


def test_sentences_are_told_apart():
    page = "# Title\n\nOne [two](three.md). Four `five.six` seven!\n\n- eight\n- nine:\n\n    code\n"
    assert sentences(page) == ["One two.", "Four code seven!", "eight", "nine:"]
    assert sentences("| a. | b. |\n\n```python\nc. d.\n```\n") == []


@pytest.mark.parametrize("page", FOR_USERS, ids=name_of)
def test_sentences_are_short(page):
    found = sentences(page.read_text(encoding="utf-8"))
    lengths = [len(sentence.split()) for sentence in found]
    longest = max(found, key=lambda sentence: len(sentence.split()), default="")
    assert max(lengths, default=0) <= MOST_WORDS, longest
    assert sum(lengths) <= MEAN_WORDS * len(lengths), f"mean {sum(lengths) / len(lengths):.1f}; longest: {longest}"


@pytest.mark.parametrize("page", FOR_USERS, ids=name_of)
def test_words_are_those_of_the_glossary(page):
    prose = "\n".join(sentences(page.read_text(encoding="utf-8")))
    for banned, instead in BANNED.items():
        found = re.search(rf"\b{banned}", prose)
        assert not found, f"write {instead!r} in place of {found[0]!r}"
