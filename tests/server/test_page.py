"""The page in a real browser: what a person does with it, by mouse and by keyboard."""

from __future__ import annotations

import itertools
import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from PIL import Image

sync_api = pytest.importorskip("playwright.sync_api")
WAIT = 60_000
DOCS = Path(__file__).parents[2] / "docs"


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
        settings = {"permissions": ["clipboard-read", "clipboard-write"], "reduced_motion": "reduce", **options}
        context = browser.new_context(**settings)
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
    says(page, "#verdict", "tokens")
    sync_api.expect(page.locator("#run")).to_be_enabled(timeout=WAIT)


def generate(page: Any) -> str:
    page.click("#run")
    finished(page)
    return page.get_attribute("#answer", "data-written")


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
    page.locator("#best").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.place") == "0"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.place") == "1"
    assert "position 1," in page.text_content("#token") and "step 2 of" in page.text_content("#figures")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.place") == "1"


def test_every_control_has_a_name(open_page: Any, running: Any) -> None:
    page = open_page(running)
    tree = page.locator("body").aria_snapshot()
    for role, name in [
        ("combobox", "Example"), ("textbox", "Text to read"), ("textbox", "JSON Schema"), ("spinbutton", "Seed"),
        ("spinbutton", "Most tokens"), ("spinbutton", "Canvases of thought"), ("button", "Generate"),
        ("slider", "denoising step"), ("spinbutton", "Choices"), ("spinbutton", "Temperature"), ("button", "Copy link"),
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
    assert page.evaluate("document.activeElement.id") == "key" and page.locator("#key").is_visible()
    page.keyboard.type("open-sesame")
    page.keyboard.press("Tab")
    sync_api.expect(page.locator("#problem")).to_be_empty(timeout=WAIT)
    says(page, "#checked", "exactly")
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


def in_view(page: Any, *selectors: str) -> None:
    """Each element lies whole within the window, and nothing is wider than it."""
    wide, high = page.evaluate("[innerWidth, innerHeight]")
    assert page.evaluate("document.documentElement.scrollWidth") <= wide
    for selector in selectors:
        box = page.locator(selector).bounding_box()
        assert box and box["x"] >= 0 and box["y"] >= 0, (selector, box)
        assert box["x"] + box["width"] <= wide and box["y"] + box["height"] <= high, (selector, box)


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (375, 667)])
def test_errors_and_the_buttons_are_always_in_view(open_page: Any, running: Any, width: int, height: int) -> None:
    page = open_page(running, viewport={"width": width, "height": height})
    in_view(page, "#run", "#stop")
    page.fill("#source", "{")
    page.click("#run")
    says(page, "#problem", "not JSON")
    in_view(page, "#run", "#problem")
    page.locator("#source").scroll_into_view_if_needed()
    in_view(page, "#run", "#problem")
    page.select_option("#example", label="A ticket")
    generate(page)
    page.locator("#canvas").scroll_into_view_if_needed()
    in_view(page, "#run")


def test_the_parts_of_the_form_stand_one_below_the_other(open_page: Any, running: Any) -> None:
    page = open_page(running, viewport={"width": 1280, "height": 800})
    says(page, "#checked", "13 tokens at least")
    boxes = [one.bounding_box() for one in page.locator("#asked > *:visible").all()]
    assert len(boxes) > 8
    for upper, lower in itertools.pairwise(boxes):
        assert upper["y"] + upper["height"] <= lower["y"] + 1
    assert page.locator("#source").bounding_box()["height"] > 150


def test_an_answer_is_printed_judged_counted_and_copied(open_page: Any, running: Any) -> None:
    page = open_page(running)
    answer = generate(page)
    assert page.text_content("#answer") == json.dumps(json.loads(answer), indent=2, ensure_ascii=False)
    said = page.text_content("#verdict")
    found = re.fullmatch(r"Valid; not judged in this page: format · ([\d.]+) s · (\d+) tokens · (\d+) steps", said)
    assert found and float(found[1]) > 0 and int(found[3]) >= int(page.get_attribute("#scrub", "max")) + 1
    page.click("#copy-answer")
    says(page, "#copied", "the answer")
    assert page.evaluate("navigator.clipboard.readText()") == answer


JUDGED = [
    ({"type": "integer"}, [1, 1.5, "1", None, True]),
    ({"enum": [1, "a", None, {"b": [1, 2]}]}, [1, "a", None, {"b": [1, 2]}, {"b": [2, 1]}, 2]),
    ({"type": ["string", "null"], "minLength": 2, "maxLength": 3, "pattern": "^a"},
     ["a", "ab", "abcd", "🙂🙂", None, 1]),
    ({"minimum": 1, "exclusiveMaximum": 3}, [0, 1, 2.9, 3, "x"]),
    ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False},
     [{}, {"a": "x"}, {"a": 1}, {"a": "x", "b": 1}, []]),
    ({"prefixItems": [{"const": 1}], "items": {"type": "boolean"}, "maxItems": 2},
     [[], [1], [2], [1, True], [1, 1], [1, True, True]]),
    ({"anyOf": [{"type": "string"}, {"minimum": 5}], "oneOf": [{"type": "number"}, {"const": "a"}]}, ["a", "b", 4, 6]),
    ({"$ref": "#/$defs/t~1x", "$defs": {"t/x": {"type": "object", "properties": {"next": {"$ref": "#/$defs/t~1x"}},
      "maxProperties": 1}}}, [{}, {"next": {}}, {"next": {"next": 1}}, {"next": {}, "b": 1}]),
]  # fmt: skip


def test_the_judge_of_the_page_agrees_with_jsonschema(open_page: Any, running: Any) -> None:
    page = open_page(running)
    cases = [(schema, value) for schema, values in JUDGED for value in values]
    told = page.evaluate(
        "async cases => { const { judge } = await import('./validate.js');"
        " return cases.map(([schema, value]) => judge(value, schema)); }",
        cases,
    )
    for (schema, value), found in zip(cases, told, strict=True):
        valid = jsonschema.Draft202012Validator(schema).is_valid(value)
        assert (not found["faults"]) is valid and found["unjudged"] == [], (schema, value, found)


def test_the_first_answer_is_shown_once_more_slowly(open_page: Any, running: Any) -> None:
    page = open_page(running, reduced_motion="no-preference")
    generate(page)
    sync_api.expect(page.locator("#play")).to_have_attribute("aria-pressed", "true")
    assert int(page.input_value("#scrub")) < int(page.get_attribute("#scrub", "max"))
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("End")
    sync_api.expect(page.locator("#play")).to_have_attribute("aria-pressed", "false")
    generate(page)
    assert page.get_attribute("#play", "aria-pressed") == "false"


def test_tokens_can_be_tapped_on_a_phone(open_page: Any, running: Any) -> None:
    page = open_page(running, viewport={"width": 375, "height": 667}, has_touch=True, is_mobile=True)
    generate(page)
    page.locator("#canvas [data-place='2']").tap()
    assert "position 2," in page.text_content("#token")
    assert page.get_attribute("#canvas [data-place='2']", "aria-pressed") == "true"


def test_the_axes_of_the_chart_say_what_they_are(open_page: Any, running: Any) -> None:
    page = open_page(running)
    assert page.locator("#chart").is_hidden()
    generate(page)
    assert int(page.text_content("#x-last")) == int(page.get_attribute("#scrub", "max")) + 1
    assert float(page.text_content("#y-top")) > 0
    assert "nats" in page.text_content("#y-axis") and "denoising step" in page.text_content("#x-axis")


def test_instructions_temperature_and_choices_are_sent(open_page: Any, running: Any) -> None:
    page = open_page(running)
    page.fill("#instructions", "Names in capitals.")
    page.fill("#temperature", "0.5")
    page.fill("#n", "2")
    first = generate(page)
    page.click("#copy-curl")
    says(page, "#copied", "curl")
    asked = json.loads(page.evaluate("navigator.clipboard.readText()").split("-d '")[1].rstrip("'\n"))
    assert asked["messages"][0] == {"role": "system", "content": "Names in capitals."}
    assert (asked["temperature"], asked["n"], asked["seed"]) == (0.5, 2, 0)
    told = httpx.post(f"{running.url}/v1/chat/completions", json=asked, timeout=WAIT).json()
    wanted = [choice["message"]["content"] for choice in told["choices"]]
    assert wanted[0] == first
    page.select_option("#choice", "1")
    assert page.get_attribute("#answer", "data-written") == wanted[1]


def test_a_schema_is_checked_while_it_is_typed(open_page: Any, running: Any) -> None:
    page = open_page(running)
    says(page, "#checked", "Can be written exactly")
    page.fill("#source", '{"type": "objec')
    says(page, "#checked", "not JSON")
    assert page.get_attribute("#source", "aria-invalid") == "true"
    page.fill("#source", '{"type": "object", "properties": {"a": {"type": "strin"}}}')
    says(page, "#checked", "/properties/a")
    page.fill("#source", '{"type": "object"}')
    says(page, "#checked", "never written")
    page.check("[name=kind][value=regex]")
    page.fill("#source", "(a")
    says(page, "#checked", "400")
    assert page.text_content("#problem") == ""


def test_what_was_typed_is_there_again_and_can_be_shared(open_page: Any, running: Any) -> None:
    page = open_page(running)
    page.fill("#text", "Größe: 3 🙂")
    page.check("[name=kind][value=choice]")
    page.fill("#source", "ja\nnein")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.input_value("#text") == "Größe: 3 🙂" and page.input_value("#source") == "ja\nnein"
    page.click("#copy-link")
    says(page, "#copied", "link")
    link = page.evaluate("navigator.clipboard.readText()")
    other = open_page(running)
    other.goto(link)  # it is open already
    sync_api.expect(other.locator("#text")).to_have_value("Größe: 3 🙂", timeout=WAIT)
    assert "#" not in other.url and other.is_checked("[name=kind][value=choice]")
    assert generate(other) in ("ja", "nein")
    assert "One of the lines" in other.text_content("#verdict")


def test_values_are_marked_where_they_stand_in_the_text(open_page: Any, running: Any) -> None:
    page = open_page(running)
    page.fill("#text", "🙂 " + page.input_value("#text"))
    value = json.loads(generate(page))
    text = page.input_value("#text")
    marks = page.locator("#marked mark").evaluate_all("all => all.map(m => [m.dataset.pointer, m.textContent])")
    marked = dict(marks)
    assert page.text_content("#marked") == text
    assert marked == {f"/{key}": part for key, part in value.items() if part in text} and marked


@pytest.mark.parametrize("options", [
    {"color_scheme": "light"}, {"color_scheme": "dark"},
    {"color_scheme": "light", "viewport": {"width": 375, "height": 667}},
], ids=["light", "dark", "a phone"])  # fmt: skip
def test_axe_finds_no_serious_fault(open_page: Any, running: Any, options: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = open_page(running, bypass_csp=True, **options)
    for ready in (lambda: None, lambda: generate(page)):
        ready()
        found = axe.Axe().run(page).response["violations"]
        serious = [
            (one["id"], [node["html"][:120] for node in one["nodes"][:3]], one["nodes"][0]["failureSummary"])
            for one in found if one["impact"] in ("serious", "critical")
        ]  # fmt: skip
        assert serious == []


def test_the_picture_in_the_documentation_can_be_taken_again(browser: Any, running: Any, tmp_path: Path) -> None:
    script = runpy.run_path(str(DOCS / "page_picture.py"))
    page = browser.new_page(viewport=script["WINDOW"], reduced_motion="reduce")
    script["take"](page, running.url, str(tmp_path / "page.png"))
    shown, last = page.evaluate("(bar => [Number(bar.value), Number(bar.max)])(document.querySelector('#scrub'))")
    assert shown == 1 < last
    with Image.open(tmp_path / "page.png") as taken, Image.open(DOCS / "page.png") as kept:
        assert taken.size == kept.size == tuple(script["WINDOW"].values())
    page.close()
