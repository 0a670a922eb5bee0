"""Where values stand in their texts, and the page that shows it in a real browser."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from structdiff_cli.main import cli

from structdiff.results.evidence import find_spans


def words(value: Any, text: str) -> dict[str, str]:
    return {name: text[start:end] for name, (start, end) in find_spans(value, text).items()}


def test_spans_are_the_words_of_the_text() -> None:
    text = "Total: 1.234,56 EUR of which tax 197,11 EUR, for ACME  Corp. in 2019-2022; rate -4.5, n 12,480"
    value = {"total": 1234.56, "tax": 197.11, "who": "acme corp", "from": 2019, "to": 2022, "rate": -4.5, "n": 12480}
    assert words(value, text) == {
        "/total": "1.234,56", "/tax": "197,11", "/who": "ACME  Corp", "/from": "2019", "/to": "2022", "/rate": "-4.5",
        "/n": "12,480",
    }  # fmt: skip
    assert words({"a": "Ann", "b": 1, "c": True, "d": None, "e": ""}, "Anna has 11 pens") == {}


def test_equal_values_get_places_of_their_own() -> None:
    spans = find_spans([{"name": "Bo", "n": 2}, {"name": "Bo", "n": 2}], "Bo 2, Bo 2")
    assert list(spans.values()) == [(0, 2), (3, 4), (6, 8), (9, 10)]


ROWS = [
    {"id": 1, "text": "Ann 😀 is 31 </script>.", "name": "Ann", "age": 31, "confidence": {"/name": 0.97, "/age": 0.4}},
    {"id": 2, "text": "Nobody is here.", "name": "Bob", "age": 0, "confidence": {"/name": 0.9, "/age": 0.95}},
    {
        "id": 3,
        "text": "Pat.",
        "error": "a validator rejects it",
        "error_type": "ValidationFailed",
        "raw": '{"name": 1}',
    },
]


@pytest.fixture
def page(tmp_path: Path) -> Any:
    rows = tmp_path / "o.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    done = CliRunner().invoke(cli, ["view", str(rows), "--title", "three"])
    assert done.exit_code == 0, done.output
    return Path(f"{rows}.html")


def test_the_page_says_what_cannot_be_shown(tmp_path: Path) -> None:
    (tmp_path / "o.jsonl").write_text('{"id": 1, "name": "Ann"}\n')
    done = CliRunner().invoke(cli, ["view", str(tmp_path / "o.jsonl")])
    assert done.exit_code == 2 and "no row has a text in the column 'text'" in done.stderr
    assert CliRunner().invoke(cli, ["view", str(tmp_path / "none.jsonl")]).exit_code == 2


def test_the_page_in_a_browser(page: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on this machine")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        tab, problems = browser.new_page(), []
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("request", lambda one: None if one.url.startswith(("file:", "data:")) else problems.append(one.url))
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-ready]")
        assert tab.title() == "three" and tab.text_content("#count") == "3 of 3 rows, 1 errors in all"
        assert tab.locator("mark").all_text_contents() == ["Ann", "31"]
        assert tab.locator("article").nth(0).locator(".text").text_content() == ROWS[0]["text"]
        shades = [float(one.evaluate("m => m.style.getPropertyValue('--shade')")) for one in tab.locator("mark").all()]
        assert shades[0] > shades[1]
        tab.select_option("#show", "errors")
        assert tab.locator("article").count() == 1 and "a validator rejects it" in tab.text_content("article")
        assert '{"name": 1}' in tab.text_content("article")
        tab.select_option("#show", "low")
        assert tab.locator("article h2").all_text_contents() == ["1"]
        tab.fill("#bound", "0.3")
        assert tab.locator("article").count() == 0
        tab.select_option("#show", "unfound")
        assert tab.locator("article h2").all_text_contents() == ["2"]
        tab.select_option("#show", "all")
        tab.fill("#find", "pat")
        assert tab.locator("article h2").all_text_contents() == ["3"]
        tab.fill("#find", "")
        tab.locator("mark").nth(1).hover()
        assert tab.locator("tr.on .name").all_text_contents() == ["age"]
        browser.close()
        assert not problems
