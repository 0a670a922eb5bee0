"""The page in a real browser: what a person does with it, by mouse and by keyboard."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

sync_api = pytest.importorskip("playwright.sync_api")
WAIT = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on this machine")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    """Opens the page of a service; an error in the console, or an asset from elsewhere, fails the test."""
    contexts, problems = [], []

    def open_it(running: Any, **options: Any) -> Any:
        context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if "Security Policy" in message.text else None)
        page.on("request", lambda r: None if r.url.startswith((running.url, "data:")) else problems.append(r.url))
        page.goto(running.url)
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert not problems


def says(page: Any, where: str, what: str) -> None:
    """Wait until an element says something."""
    sync_api.expect(page.locator(where)).to_contain_text(what, timeout=WAIT)


def finished(page: Any) -> None:
    says(page, "#reason", "stop")
    sync_api.expect(page.locator("#run")).to_be_enabled(timeout=WAIT)


def generate(page: Any) -> str:
    page.click("#run")
    finished(page)
    return page.text_content("#answer")


def schema_of(page: Any) -> Any:
    return json.loads(page.input_value("#source"))


def test_an_answer_is_watched_scrubbed_and_read_field_by_field(open_page: Any, running: Any) -> None:
    page = open_page(running)
    answer = generate(page)
    value = json.loads(answer)
    jsonschema.validate(value, schema_of(page))
    steps = int(page.get_attribute("#scrub", "max")) + 1
    assert steps > 1 and f"step {steps} of {steps}" in page.text_content("#figures")
    page.locator("#scrub").focus()
    page.keyboard.press("Home")
    assert f"step 1 of {steps}" in page.text_content("#figures")
    assert page.locator("#canvas .noise").count() > 0
    first = page.text_content("#canvas")
    page.keyboard.press("End")
    assert page.text_content("#canvas") != first
    page.check("#best")
    shown = "".join(page.locator("#canvas span:not(.padding)").all_text_contents())
    assert shown == answer
    cells = page.locator("#fields td:nth-of-type(1)").all_text_contents()
    assert [json.loads(cell) for cell in cells] == [value["name"], value["email"], value["phone"]]
    sure = page.locator("#fields td.sure").all_text_contents()
    asked = {
        "model": page.text_content("#model"), "seed": 0, "structdiff": {"fields": True},
        "messages": [{"role": "user", "content": page.input_value("#text")}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "it", "schema": schema_of(page)}},
    }  # fmt: skip
    told = httpx.post(f"{running.url}/v1/chat/completions", json=asked, timeout=WAIT).json()
    fields = told["choices"][0]["structdiff"]["fields"]
    assert sure == [f"{100 * fields[one]['confidence']:.1f} %" for one in ("/name", "/email", "/phone")]
    assert page.locator("#fields th[scope=row]").all_text_contents() == ["/name", "/email", "/phone"]


def test_what_the_grammar_fixes_is_a_forced_token(open_page: Any, running: Any) -> None:
    page = open_page(running)
    page.check("[name=kind][value=regex]")
    page.fill("#source", "k")
    assert generate(page) == "k"
    page.locator("#scrub").press("Home")
    assert page.locator("#canvas .forced").all_text_contents() == ["k"]


def test_every_example_gives_a_valid_answer(open_page: Any, running: Any) -> None:
    page = open_page(running)
    names = page.locator("#example option").all_text_contents()
    for name in names:
        page.select_option("#example", label=name)
        page.fill("#seed", "1")
        answer = generate(page)
        kind = page.locator("[name=kind]:checked").get_attribute("value")
        if kind == "json":
            jsonschema.validate(json.loads(answer), schema_of(page))
        elif kind == "choice":
            assert answer in page.input_value("#source").split("\n")
        else:
            assert re.fullmatch(page.input_value("#source"), answer)
        assert page.text_content("#problem") == ""


def test_thought_is_shown_apart_and_asked_for_in_the_copied_request(open_page: Any, running: Any) -> None:
    page = open_page(running)
    page.fill("#think", "1")
    answer = generate(page)
    jsonschema.validate(json.loads(answer), schema_of(page))
    page.click("#thinking summary")
    thought = page.text_content("#thought")
    assert thought and page.text_content("#canvas .thought") == thought
    page.click("#copy-python")
    says(page, "#copied", "Python")
    code = page.evaluate("navigator.clipboard.readText()")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == answer + "\n"
    page.fill("#think", "0")
    generate(page)
    assert page.locator("#thinking").is_hidden()


def test_curl_and_python_give_the_same_answer(open_page: Any, running: Any) -> None:
    page = open_page(running)
    page.fill("#text", "Maria's name is \"O'Neill\".\nShe is 34.")
    page.fill("#source", """{"enum": ["O'Neill", "Maria \\"M\\"", null, true]}""")
    answer = generate(page)
    page.click("#copy-python")
    says(page, "#copied", "Python")
    code = page.evaluate("navigator.clipboard.readText()")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == answer + "\n"
    page.click("#copy-curl")
    says(page, "#copied", "curl")
    command = page.evaluate("navigator.clipboard.readText()")
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == answer


def test_by_keyboard_alone(open_page: Any, running: Any) -> None:
    page = open_page(running)
    page.locator("#example").focus()
    reached = []
    while "run" not in reached:
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        assert len(reached) < 20
    assert {"text", "source", "seed", "max-tokens"} <= set(reached)
    page.keyboard.press("Enter")
    finished(page)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Home")
    assert "step 1 of" in page.text_content("#figures")
    page.keyboard.press("ArrowRight")
    assert "step 2 of" in page.text_content("#figures")


def test_every_control_has_a_name(open_page: Any, running: Any) -> None:
    page = open_page(running)
    tree = page.locator("body").aria_snapshot()
    for role, name in [
        ("combobox", "Example"), ("textbox", "Text to read"), ("textbox", "JSON Schema"), ("spinbutton", "Seed"),
        ("spinbutton", "Most tokens"), ("spinbutton", "Canvases of thought"), ("button", "Generate"),
        ("slider", "denoising step"),
        ("group", "tokens of the canvas at this step"), ("list", "legend"),
    ]:  # fmt: skip
        assert f'{role} "{name}"' in tree, f"{role} {name} is missing from\n{tree}"
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, select, textarea')]"
        ".filter(e => !e.labels.length && !e.ariaLabel).map(e => e.id)"
    )
    assert unnamed == []


def test_what_is_refused_is_said(open_page: Any, running: Any) -> None:
    page = open_page(running)
    page.fill("#source", "{")
    page.click("#run")
    says(page, "#problem", "not JSON")
    page.fill("#source", '{"type": "strin"}')
    page.click("#run")
    says(page, "#problem", "strin")
    assert page.get_attribute("#problem", "role") == "alert"


def test_a_key_is_asked_for_and_sent(open_page: Any, start: Any) -> None:
    page = open_page(start(api_keys=("open-sesame",)))
    says(page, "#problem", "401")
    page.click("summary")
    page.fill("#key", "open-sesame")
    jsonschema.validate(json.loads(generate(page)), schema_of(page))
    page.click("#copy-curl")
    says(page, "#copied", "curl")
    assert "open-sesame" not in page.evaluate("navigator.clipboard.readText()")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_follow_the_reader_and_the_button(open_page: Any, running: Any, scheme: str) -> None:
    page = open_page(running, color_scheme=scheme)

    def brightness() -> float:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour.strip("rgb()").split(",")) / 3

    assert (brightness() > 128) == (scheme == "light")
    page.click("#theme")
    assert (brightness() > 128) == (scheme == "dark")
